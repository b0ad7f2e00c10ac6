"""The benches work: each runs at its smallest size and prints well-formed JSON. How fast anything is, is not judged."""

import json
import math
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench import lab, ssh_step
from bench.measure import Report, Row, Sample, Subject, interleaved, whole_process

ROOT = Path(__file__).resolve().parents[1]
BENCHES = ("journal", "lab", "language", "load", "ssh", "ssh-step", "start-up")
WITH_PEERS = ("journal", "language", "load", "ssh", "ssh-step", "start-up")


def bench(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_the_list_names_every_bench_and_says_what_it_compares() -> None:
    done = bench("--list")
    assert done.returncode == 0, done.stderr
    lines = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert sorted(lines) == sorted(BENCHES)
    assert all(len(line.split()) > 5 for line in lines.values())


def test_an_unknown_bench_is_refused_with_the_names_there_are() -> None:
    done = bench("nothing")
    assert done.returncode == 2
    assert all(name in done.stderr for name in BENCHES)


def check_document(document: dict[str, Any]) -> None:
    assert set(document) == {"bench", "conditions", "rows", "missing", "notes", "broken"}
    assert document["broken"] == []
    assert {"python", "cpus", "load_1m", "load_1m_after", "bytecode"} <= set(document["conditions"])
    assert set(document["conditions"]["bytecode"]) == {"drctl", "click", "yaml", "written"}
    assert document["rows"]
    for row in document["rows"]:
        assert row["low"] <= row["median"] <= row["high"], row
        assert all(math.isfinite(row[part]) and row[part] >= 0 for part in ("low", "high")), row
        assert row["unit"], row
        assert not (row["peer"] and row["ratios"]), row


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.lab] if name == "lab" else []) for name in BENCHES]
)
def test_the_smallest_size_runs_and_prints_json(name: str) -> None:
    done = bench(name, "--small", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    check_document(document)
    assert document["bench"] == name
    assert any(row["ratios"] for row in document["rows"]) == (name in WITH_PEERS)
    assert not document["missing"] or name in {"language", "ssh", "ssh-step"}


def test_without_openssh_the_far_side_is_asyncssh_and_the_missing_peer_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ssh_step, "SSHD", "/nonexistent")
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    report = ssh_step.run(small=True, rounds=1)
    assert report.missing == ["OpenSSH ControlMaster: there is no ssh here"]
    assert report.notes[0].startswith("far side: asyncssh")
    assert {row.name for row in report.rows if row.peer} == {
        "asyncssh", "paramiko channel", "paramiko channel, TCP_NODELAY",
    }  # fmt: skip


def test_rounds_are_taken_turn_by_turn_and_ratios_are_paired() -> None:
    turns: list[str] = []
    values = {"ours": iter([99.0, 2.0, 30.0, 4.0]), "peer": iter([99.0, 1.0, 10.0, 4.0])}

    def subject(name: str) -> Subject:
        def sample() -> Sample:
            turns.append(name)
            return {"ms": next(values[name])}

        return Subject(name=name, run=sample, peer=name == "peer")

    rows = interleaved("group", [subject("ours"), subject("peer")], 3)
    assert turns == ["ours", "peer", "ours", "peer", "peer", "ours", "ours", "peer"]  # the first pair is the warm-up
    report = Report(rows=[*rows, Row(group="another", name="else", unit="ms", values=[1.0, 1.0, 1.0], peer=True)])
    assert report.ratios(rows[0]) == {"peer": 2.0}  # of 2, 3 and 1; the medians alone would give 4 / 4
    assert report.ratios(rows[1]) == {}


def test_a_command_that_fails_is_no_figure(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="exit 3: no such luck"):
        whole_process(
            [sys.executable, "-c", "import sys; print('no such luck', file=sys.stderr); sys.exit(3)"],
            env={}, cwd=tmp_path,
        )  # fmt: skip


def test_the_parts_of_a_demo_are_read_from_its_lines() -> None:
    seen = [
        (0.5, "[  0.0s] drctl demo: a small invoice system is started, broken (primary-host) and brought back."),
        (6.0, "[  5.5s]   5.2 s  gateway ready"),
        (7.0, "[  6.1s]   5.8 s  ready"),
        (10.0, "[  9.6s] invoices are issued and acknowledged: 61 acknowledged"),
        (11.0, "[  9.6s] primary-host: inv-a dies hard; broken at 2026-11-23T16:35:39.083Z"),
        (11.5, "16:35:39Z ▶ run opened  invoice-outage, run H0607, lab, by root"),
        (12.0, "16:35:40Z ▶ phase       report  Report"),
        (14.0, "16:35:42Z ▶ phase       diagnose  Find the kind of fault"),
        (20.0, "16:35:48Z ✔ closed      done, exit 0; 80 records"),
        (21.0, "What the users counted, independently of drctl:"),
        (21.5, "exit 0"),
    ]
    assert lab.parts(seen) == {
        "to the first line": 0.5, "to a lab that is ready": 7.0, "users at work before the fault": 4.0,
        "from the fault to the run": 0.5, "opening the run": 0.5, "phase report": 2.0, "phase diagnose": 6.0,
        "summary and reports": 1.0, "evidence": 0.5, "whole": 21.5,
    }  # fmt: skip
