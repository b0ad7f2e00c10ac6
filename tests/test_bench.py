"""The benches work: each runs at its smallest size and prints well-formed JSON. How fast anything is, is not judged."""

import json
import math
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench import lab, ssh, ssh_step
from bench.farm import Word, address, farm
from bench.measure import Report, Row, Sample, Subject, interleaved, whole_process
from bench.process_tree import measured, orphans_adopted
from tests.fakes.sshservers import Keys

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


def test_a_fleet_without_openssh_is_served_by_asyncssh_and_the_missing_peers_are_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ssh, "SSHD", "/nonexistent")
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    report = ssh.run(small=True, rounds=1, only="W2")
    assert report.broken == []
    assert [one.partition(":")[0] for one in report.missing] == ["OpenSSH", "ansible raw"]
    assert report.notes[0].startswith("far side: asyncssh; no OpenSSH;")
    assert {row.name for row in report.rows if row.peer} == {"asyncssh", "fabric"}


def test_a_part_that_a_bench_has_not_is_refused_with_those_it_has() -> None:
    done = bench("ssh", "--only", "W9")
    assert done.returncode == 2
    assert all(part in done.stderr for part in ssh.PARTS)
    assert bench("start-up", "--only", "W1").returncode == 2


@pytest.mark.parametrize("kind", ["asyncssh", pytest.param("sshd", marks=pytest.mark.needs("openssh-server"))])
def test_the_hosts_of_a_farm_do_as_their_words_say(tmp_path: Path, kind: str) -> None:
    Keys.make(tmp_path)
    words: list[Word] = ["good", "refuse", "mute", "drop", "good"]
    seen = []
    with farm(tmp_path, kind, words) as port:
        for number, _ in enumerate(words, 1):
            try:
                with socket.create_connection((address(number), port), timeout=1) as sock:
                    sock.settimeout(0.2 if words[number - 1] == "mute" else 30)
                    try:
                        seen.append("good" if sock.recv(4) == b"SSH-" else "something else")
                    except TimeoutError:
                        seen.append("mute")
            except ConnectionRefusedError:
                seen.append("refuse")
            except TimeoutError:
                seen.append("drop")
    assert seen == words
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((address(1), port), timeout=30)


def test_what_a_client_leaves_in_the_background_is_counted_and_ended(tmp_path: Path) -> None:
    daemon = (
        "import os, pathlib, time\n"
        "os.setsid()\n"
        "while time.process_time() < 0.5: pass\n"
        "pathlib.Path('new').write_text(str(os.getpid()))\n"
        "os.rename('new', 'pid')\n"
        "time.sleep(600)\n"
    )
    client = (
        "import os, subprocess, sys, time\n"
        f"subprocess.Popen([sys.executable, '-c', {daemon!r}])\n"
        "while not os.path.exists('pid'): time.sleep(0.01)\n"
        "print('done')\n"
    )
    with orphans_adopted():
        ended = measured([sys.executable, "-c", client], env=dict(os.environ), cwd=tmp_path, memory=True)
    assert (ended.code, ended.stdout) == (0, "done\n")
    assert ended.cpu > 0.5
    assert ended.peak_mb > 5
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_a_client_that_did_not_do_its_work_on_a_host_is_named() -> None:
    words: list[Word] = ["good", "refuse", "mute"]
    typed = {"h1": "ok", "h2": "unreachable: refused: x", "h3": "unreachable: silent: x"}
    assert ssh.amiss(words, typed, ours=True) == ""
    assert ssh.amiss(words, {"h1": "ok", "h2": "exit 255", "h3": "exit 255"}, ours=False) == ""
    assert ssh.amiss(words, typed | {"h1": "exit 1"}, ours=True) == "h1, good: exit 1"
    assert ssh.amiss(words, typed | {"h3": "ok"}, ours=True) == "h3, mute: ok"
    assert ssh.amiss(words, typed | {"h3": "unreachable: refused: x"}, ours=True).startswith("h3, mute: ")
    with pytest.raises(ValueError, match="longer"):
        ssh.amiss(words, {"h1": "ok"}, ours=True)


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
