"""The live view: what it draws, that scrollback stays whole, and that neither hosts nor threads can upset it."""

import io
import re
import threading

import pytest
from rich.console import Console

from drctl.core import events as ev
from drctl.core.fold import RunState
from drctl.core.values import Time
from drctl.reporting.live import LiveView
from drctl.reporting.texts import width
from tests.reporting.builder import SECOND, RunBuilder, opened
from tests.reporting.events import full_run, waiting_run
from tests.reporting.snapshots import same_as


class Screen(io.StringIO):
    """A stream that says it is a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def drawn(run: RunBuilder, *, after: int = 0) -> str:
    """The view's body as plain text, some seconds after the last record."""
    state = run.state()
    assert state.last_at is not None
    now = Time(state.last_at.micros + after * SECOND)
    view = LiveView(Screen(), color=False, now=lambda: now)
    view.start(state)
    view.pause()
    paper = Console(file=io.StringIO(), width=80, color_system=None)
    paper.print(view.body())
    text = paper.file.getvalue()  # type: ignore[attr-defined]
    return "\n".join(line.rstrip() for line in text.splitlines())


def replayed(run: RunBuilder, *, ascii_only: bool = False) -> str:
    """All that a live view wrote to the terminal over a whole run, cursor movements left out."""
    stream = Screen()
    view, state = LiveView(stream, color=False, ascii_only=ascii_only, now=lambda: state.last_at or Time(0)), RunState()
    view.start(state)
    for entry in run.entries:
        state.apply(entry)
        view.update(entry, state)
    view.stop()
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue())


def test_body_in_the_middle_of_a_phase() -> None:
    run = full_run()
    cut = next(i for i, e in enumerate(run.entries) if isinstance(e.event, ev.Asked))
    run.entries = run.entries[: cut + 1]
    text = drawn(run, after=41)
    same_as("live.txt", text)
    assert all(width(line) <= 80 for line in text.splitlines())


def test_what_waits_is_shown_with_its_time() -> None:
    run = waiting_run()
    run.entries.pop()
    text = drawn(run, after=75)
    assert "⏸ APPROVAL NEEDED: promote (q1) waits 1m15s for commander or deputy" in text


def test_a_missed_objective_is_over_a_hundred() -> None:
    run = RunBuilder()
    opened(run, rto_us=60 * SECOND)
    assert "151% of 1m" in drawn(run, after=90)


def test_the_scrollback_keeps_every_phase_with_its_steps() -> None:
    text = replayed(full_run())
    for wanted in (
        "✔ diagnose  Find the kind of fault  ok",
        "✔ failover  Move to the standby  ok",
        "✔ verify  Prove that it works  ok",
        "· failback  skipped: inputs.failback is false",
        "refused",
        "Phoned the commander, 指挥员已知情",
    ):
        assert wanted in text
    assert len(re.findall(r" ✔ promote +db2 ", text)) >= 1


def test_an_unfinished_phase_stays_on_the_screen_when_it_stops() -> None:
    run = full_run()
    cut = next(i for i, e in enumerate(run.entries) if isinstance(e.event, ev.RunPaused))
    run.entries = run.entries[: cut + 1]
    tail = replayed(run).rsplit("failover  Move to the standby  running", 1)
    assert len(tail) == 2
    assert " ✖ switch" in tail[1]


def test_ascii_for_terminals_without_unicode() -> None:
    run = RunBuilder()
    opened(run)
    run.phase("p")
    run.look("p/a", "db1")
    run.over("p")
    assert replayed(run, ascii_only=True).isascii()


def test_host_texts_are_neither_markup_nor_commands() -> None:
    run = RunBuilder()
    opened(run, runbook="[bold]x[/bold]")
    run.phase("p", "[red]title[/red]\x1b[2J")
    run.act("p/a", "db1", text="t", outcome="failed", because="[link=http://evil]\x1b]0;t\x07")
    run.over("p", "failed")
    text = replayed(run)
    assert "[red]title[/red]\\x1b[2J" in text
    assert "\x1b]0" not in text
    assert "[bold]x[/bold]" in text


def test_it_survives_a_fold_that_changes_while_it_is_drawn() -> None:
    run = full_run()
    state, stop = RunState(), threading.Event()
    view = LiveView(Screen(), color=False, now=lambda: Time(0))
    view.start(state)
    failures: list[BaseException] = []

    def draw() -> None:
        try:
            while not stop.is_set():
                view.body()
        except BaseException as failure:  # noqa: BLE001 - shown by the assertion
            failures.append(failure)

    thread = threading.Thread(target=draw)
    thread.start()
    for _ in range(30):
        for entry in run.entries:
            state.apply(entry)
        state.steps.clear()
        state.questions.clear()
        state.blocks.clear()
    stop.set()
    thread.join()
    view.pause()
    assert failures == []


def test_a_small_terminal_shows_the_newest_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINES", "14")
    monkeypatch.setenv("COLUMNS", "60")
    run = RunBuilder()
    opened(run)
    run.phase("p")
    for number in range(40):
        run.look(f"p/step{number}", "db1")
    text = drawn(run)
    assert "earlier steps" in text
    assert "step39" in text
    assert "step0 " not in text
    assert len(text.splitlines()) <= 14
