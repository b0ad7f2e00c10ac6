"""What repeats on a screen: counts, the members that matter, and a frame that stays readable at 1,000 hosts."""

import re

import pytest

from drctl.core import events as ev
from drctl.core.plan import PlannedStep, Status
from drctl.reporting.fleets import rows
from drctl.reporting.status import phase_lines
from tests.reporting.builder import RunBuilder, opened
from tests.reporting.plans import plan
from tests.reporting.snapshots import same_as
from tests.reporting.test_live import drawn


def fleet(number: int, bad: tuple[int, ...] = (), *, done: int = -1, over: bool = False) -> RunBuilder:
    """A table on so many hosts, of which the first `done` have ended."""
    run = RunBuilder()
    opened(run)
    run.phase("main", "Restart the fleet")
    hosts = [f"web{i:04}" for i in range(number)]
    run.add(ev.BlockStarted(path="main/restart", form="table", frozen={"batches": [hosts]}), 0.1)
    for i, host in enumerate(hosts[: done if done >= 0 else number]):
        outcome, because = ("failed", "exit is 1\x1b[31m") if i in bad else ("ok", "")
        after = 9.0 if i == number // 2 else 0.3
        run.act(f"main/restart/@{host}", host, text="r", outcome=outcome, because=because, after=after)
    if over:
        run.add(ev.BlockFinished(path="main/restart", outcome="partial", because="3 of 1000 failed"), 0.1)
    return run


def test_a_thousand_hosts_of_which_three_failed() -> None:
    run = fleet(1000, (7, 500, 999), over=True)
    text = "\n".join(phase_lines(run.state()))
    same_as("fleet.txt", text)
    same_as("fleet-live.txt", drawn(run))
    assert "997 ok" in text
    assert not re.search(r"[\x00-\x09\x0b-\x1f]", text)


def test_a_frame_of_a_thousand_hosts_fits_a_small_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINES", "24")
    monkeypatch.setenv("COLUMNS", "80")
    text = drawn(fleet(1000, tuple(range(100)), done=600))
    assert len(text.splitlines()) <= 24
    assert "400 not begun" in text


def test_up_to_a_dozen_members_are_all_shown() -> None:
    assert len(rows(fleet(12).state(), "main")) == 1 + 12


def test_a_tolerated_end_is_told_from_partial() -> None:
    run = fleet(2, (1,))
    run.add(ev.BlockFinished(path="main/restart", outcome="failed", tolerated=True))
    group = phase_lines(run.state())[1]
    assert "failed, foreseen" in group
    assert "PARTIAL" in phase_lines(fleet(2, (1,), over=True).state())[1]


def test_rounds_stand_in_order_under_what_repeats() -> None:
    run = RunBuilder()
    opened(run)
    run.phase("main")
    run.add(ev.BlockStarted(path="main/copy", form="loop", frozen={"items": [{"n": 1}] * 4}))
    for number in (2, 0, 1):
        run.look(f"main/copy/{number}", "db1")
    found = [row.step.path if row.step else row.group.text if row.group else "" for row in rows(run.state(), "main")]
    assert found == ["3 ok, 1 not begun", "main/copy/0", "main/copy/1", "main/copy/2"]


def test_members_that_a_plan_leaves_out_count_as_not_known() -> None:
    before = plan().coverage
    made = plan(
        PlannedStep(path="m/t", title="", kind="table", depth=1, status=Status.WOULD_RUN),
        PlannedStep(path="m/t/@a", title="", kind="shell", depth=2, status=Status.WOULD_RUN),
        PlannedStep(path="m/t/...", title="", kind="table", depth=2, status=Status.CANNOT_TELL),
    ).coverage
    assert made["steps"] == before["steps"] + 2
    assert made["cannot tell"] == before["cannot tell"] + 1
