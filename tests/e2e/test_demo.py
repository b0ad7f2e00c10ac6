"""The main job, end to end: a broken invoice system comes back by the runbook, and the evidence holds."""

import io
import os
import random
import re
import secrets
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path

import pytest

from drctl.adapters.keys import verify_signature
from drctl.cli import app
from drctl.core.verification import Verdict, verify
from tests.e2e.conftest import Demo
from tests.lab.running import processes_of

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]
SCENARIOS = ("primary-host", "bad-delete")
_EMPTY = frozenset(("area", "base", "br", "col", "hr", "img", "input", "link", "meta", "source", "wbr"))


class Page(HTMLParser):
    """Reads a page and insists that what is opened is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002 - the base class's
        if tag not in _EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> at {self.getpos()}"

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_demo_recovers_and_says_so(demos: Mapping[str, Demo], scenario: str) -> None:
    done = demos[scenario].done
    assert done.code == 0, str(done)
    first = done.out.strip().splitlines()[0]
    assert re.search(r"\bRECOVERED\b", first), first
    assert "NOT RECOVERED" not in done.out + done.err
    assert "approvals simulated" in first
    assert re.search(r"^ +RTO .+ of 15m .*met", done.out, re.MULTILINE), done.out
    assert re.search(r"^ +RPO .+ of 5m .*met", done.out, re.MULTILINE), done.out


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_users_of_a_demo_miss_nothing(demos: Mapping[str, Demo], scenario: str) -> None:
    out = demos[scenario].done.out
    counted = re.search(r"(\d+) invoices acknowledged, (\d+) lost, (\d+) altered; (\d+) requests refused", out)
    assert counted, out
    acknowledged, lost, altered, refused = map(int, counted.groups())
    assert (lost, altered) == (0, 0)
    assert acknowledged >= 60
    assert refused >= 1  # there was an outage to recover from


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_record_of_a_demo_is_intact_and_its_report_can_be_read(demos: Mapping[str, Demo], scenario: str) -> None:
    demo = demos[scenario]
    assert "Audit of the record: intact, not anchored" in demo.done.out
    said = demo.commands.run("audit", "verify", demo.run)
    assert (said.code, "first bad" in said.out) == (23, False), str(said)
    named = re.search(r"^Report: (.+)$", demo.done.out, re.MULTILINE)
    assert named, demo.done.out
    page = Page()
    page.feed(Path(named.group(1)).read_text(encoding="utf-8"))
    page.close()
    assert not page.open
    assert demo.run in page.text
    assert "emergency" in page.text


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_nothing_of_a_demo_is_left_but_its_record(demos: Mapping[str, Demo], scenario: str) -> None:
    demo = demos[scenario]
    assert not demo.lab.exists()
    assert processes_of(demo.lab) == []
    assert list((demo.commands.states.root / "keys").iterdir()) == []


def test_every_changed_byte_of_a_finished_record_is_found_at_its_record(demos: Mapping[str, Demo]) -> None:
    seed = int(os.environ.get("DRCTL_TEST_SEED") or secrets.randbelow(2**32))
    print(f"seed {seed}")  # noqa: T201 - shown when the test fails
    rng = random.Random(seed)
    demo = demos["primary-host"]
    data = demo.commands.journal(demo.run).read_bytes()
    assert verify(io.BytesIO(data), public_key=None, check_signature=verify_signature).verdict is (
        Verdict.INTACT_NOT_ANCHORED
    )
    ends = [found.start() for found in re.finditer(rb"\n", data)]
    for at in {*ends, *rng.sample(range(len(data)), 200)}:
        changed = bytearray(data)
        changed[at] ^= 1 << rng.randrange(8)
        found = verify(io.BytesIO(bytes(changed)), public_key=None, check_signature=verify_signature)
        seq = sum(end < at for end in ends)
        where = f"byte {at}, record {seq}: {found.verdict}"
        if at == len(data) - 1:  # an unfinished last line is what a crash leaves too
            assert (found.verdict, found.records) == (Verdict.TORN, len(ends) - 1), where
            continue
        assert found.first_bad is not None, where
        assert (found.verdict, found.first_bad.seq) == (Verdict.ALTERED, seq), where


def test_the_auditor_is_told_which_record_was_changed(
    demos: Mapping[str, Demo], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    demo = demos["bad-delete"]
    lines = demo.commands.journal(demo.run).read_bytes().splitlines(keepends=True)
    seq = next(n for n, line in enumerate(lines) if b'"step_finished"' in line and b"recovery/swap" in line)
    lines[seq] = lines[seq].replace(b'"ok"', b'"no"')
    changed = tmp_path / "journal.jsonl"
    changed.write_bytes(b"".join(lines))
    assert app.run(["audit", "verify", str(changed)]) == 20
    assert f"first bad record: {seq} " in capsys.readouterr().out
