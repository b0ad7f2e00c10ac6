"""The operator's console: lines and live view, from any thread, with or without a terminal."""

import io
import json
import threading
from typing import Any

import pytest

from drctl.adapters.console import Terminal
from drctl.cli.console import Console
from drctl.core import events as ev
from drctl.core.fold import RunState
from tests.fakes.terminals import person
from tests.reporting.builder import RunBuilder
from tests.reporting.events import failed_run, full_run, waiting_run


def console(stderr: io.TextIOBase, *, output: str = "text", live: bool | None = None) -> Console:
    terminal = Terminal(color="never", stdin=io.StringIO(), stderr=stderr)  # type: ignore[arg-type]
    return Console(live=live, color="never", output=output, yes=False, terminal=terminal)


def shown(run: RunBuilder) -> str:
    """Everything a console without a terminal shows of a run."""
    stream = io.StringIO()
    view, state = console(stream), RunState()
    for entry in run.entries[:2]:
        state.apply(entry)
        view.watch(entry)
    assert stream.getvalue() == "", "before begin nothing is shown"
    view.begin(state, lambda text: text.replace("pg_promote", "***"))
    for entry in run.entries[2:]:
        state.apply(entry)
        view.watch(entry)
    view.say("Stopping\x1b[2J")
    view.end()
    return stream.getvalue()


def test_without_a_terminal_every_event_is_a_line() -> None:
    text = shown(full_run())
    assert text.splitlines()[0].startswith("02:11:00Z ▶ run opened")
    assert "02:12:07Z ✔ answered" in text
    assert text.splitlines()[-1] == "Stopping\\x1b[2J"
    assert "***" in text, "secrets are masked"
    assert "pg_promote" not in text


def test_it_is_not_interactive_without_a_terminal() -> None:
    assert not console(io.StringIO()).interactive


def test_a_stream_without_unicode_gets_ascii() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii", write_through=True)
    view, run = console(stream), full_run()
    view.begin(run.state(), str)
    for entry in run.entries:
        view.watch(entry)
    assert "+ ok " in raw.getvalue().decode("ascii")


def test_many_threads_may_tell_at_once() -> None:
    stream, run = io.StringIO(), full_run()
    view = console(stream)
    view.begin(run.state(), str)

    def tell() -> None:
        for entry in run.entries:
            view.watch(entry)

    threads = [threading.Thread(target=tell) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = stream.getvalue().splitlines()
    assert len(lines) % 4 == 0
    assert set(lines) == {line for line in lines if lines.count(line) >= 4}


def test_the_summary_goes_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    console(io.StringIO()).summary("8F2KQ", full_run().state(), ["/r.html"])
    out = capsys.readouterr().out
    assert out.startswith("! RECOVERED WITH EXCEPTIONS   approvals simulated")
    assert out.endswith("drctl report 8F2KQ\n")


def test_the_summary_as_json_is_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    console(io.StringIO(), output="json").summary("8F2KQ", failed_run().state(), ["/r.html"])
    data = json.loads(capsys.readouterr().out)
    assert (data["id"], data["state"], data["exit"], data["reports"]) == ("8F2KQ", "paused", 7, ["/r.html"])


def test_a_question_is_answered_while_records_go_on() -> None:
    """The live view makes room for the question, and records that come meanwhile are shown as lines."""
    run = waiting_run()
    run.entries.pop()
    with person() as someone:
        view, state = (
            Console(live=True, color="never", output="text", yes=False, terminal=someone.terminal),
            run.state(),
        )
        view.begin(state, str)
        someone.is_asked(lambda: view.ask(state.questions["q1"].asked, lambda: False, 100))
        someone.sees("drctl approve 8F2KQ promote --as NAME --target db2")
        someone.sees("(the run pauses): ")
        note = run.add(ev.NoteAdded(by="mei", text="on my way"))
        state.apply(note)
        view.watch(note)
        someone.sees("mei: on my way")
        someone.types("db2")
        someone.sees("name: ")
        someone.types("commander")
        given = someone.gave()
        view.end()
    assert (given.choice, given.by, given.target) == ("approve", "commander", "db2")


def test_a_question_settled_elsewhere_is_withdrawn() -> None:
    run = waiting_run()
    settled = threading.Event()
    with person() as someone:
        view = Console(live=False, color="never", output="text", yes=False, terminal=someone.terminal)
        view.begin(run.state(), str)
        someone.is_asked(lambda: view.ask(run.state().questions["q1"].asked, settled.is_set, None))
        someone.sees("(the run pauses): ")
        settled.set()
        someone.sees("settled elsewhere")
        assert someone.gave() is None


def test_a_terminal_that_hangs_up_does_not_end_the_run() -> None:
    run = full_run()
    with person() as someone:
        view, state = Console(live=True, color="auto", output="text", yes=False, terminal=someone.terminal), RunState()
        view.begin(state, str)
        for number, entry in enumerate(run.entries):
            if number == 10:
                someone.hangs_up()
            state.apply(entry)
            view.watch(entry)
        view.say("still here")
        view.end()
        assert someone.terminal.err.gone


def test_branches_ask_one_after_the_other() -> None:
    run = failed_run()
    answers: list[Any] = []
    with person() as someone:
        view = Console(live=False, color="never", output="text", yes=False, terminal=someone.terminal)
        view.begin(run.state(), str)
        first = ev.Asked(id="q1", kind="decide", path="p/first", text="First?", choices=("a", "b"))
        second = ev.Asked(id="q2", kind="decide", path="p/second", text="Second?", choices=("c", "d"))
        someone.is_asked(lambda: view.ask(first, lambda: False, 100))
        someone.sees("(the run pauses): ")
        other = threading.Thread(target=lambda: answers.append(view.ask(second, lambda: False, 100)))
        other.start()
        someone.types("a")
        assert someone.gave().choice == "a"
        someone.sees("Second?")
        someone.sees("(the run pauses): ")
        someone.types("d")
        other.join(60)
    assert answers[0].choice == "d"


def test_a_question_that_waits_for_its_turn_can_be_settled_elsewhere() -> None:
    run, settled = failed_run(), threading.Event()
    with person() as someone:
        view = Console(live=False, color="never", output="text", yes=False, terminal=someone.terminal)
        view.begin(run.state(), str)
        asked = ev.Asked(id="q1", kind="decide", path="p/first", text="First?", choices=("a", "b"))
        someone.is_asked(lambda: view.ask(asked, lambda: False, 100))
        someone.sees("(the run pauses): ")
        settled.set()
        assert view.ask(asked, settled.is_set, 100) is None
        assert view.ask(asked, lambda: False, 0.1) is None
        someone.types("b")
        assert someone.gave().choice == "b"


def test_a_view_that_fails_is_switched_off_and_the_run_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    run = full_run()
    with person() as someone:
        view = Console(live=True, color="never", output="text", yes=False, terminal=someone.terminal)
        view.begin(run.state(), str)
        monkeypatch.setattr("drctl.reporting.live.LiveView.update", lambda *_: 1 / 0)
        view.watch(run.entries[-1])
        someone.sees("the view failed and was switched off, the run goes on: ZeroDivisionError")
        view.watch(run.entries[-1])
        someone.sees("closed")
        view.end()
