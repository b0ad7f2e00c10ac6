"""The terminal adapter: reading never blocks the run, writing never ends it."""

import io
import os
import sys
import time
from pathlib import Path

import pexpect
import pytest

from drctl.adapters.console import QuietStream, Terminal, Typed
from tests.fakes.terminals import person


def test_a_line_is_read() -> None:
    with person() as someone:
        someone.is_asked(lambda: someone.terminal.read_line(lambda: False, None))
        someone.types("db2 核对")
        assert someone.gave() == Typed(text="db2 核对")


def test_reading_ends_when_the_question_is_settled_elsewhere() -> None:
    polls: list[int] = []

    def settled() -> bool:
        polls.append(1)
        return len(polls) > 3

    with person() as someone:
        someone.is_asked(lambda: someone.terminal.read_line(settled, None))
        assert someone.gave() == Typed()
    assert len(polls) == 4


def test_reading_ends_when_time_is_over() -> None:
    with person() as someone:
        someone.is_asked(lambda: someone.terminal.read_line(lambda: False, 0.3))
        assert someone.gave() == Typed(left=True)


def test_a_hang_up_is_leaving() -> None:
    with person() as someone:
        someone.is_asked(lambda: someone.terminal.read_line(lambda: False, None))
        someone.hangs_up()
        assert someone.gave() == Typed(left=True)


def test_writing_to_a_terminal_that_is_gone_does_nothing() -> None:
    with person() as someone:
        someone.hangs_up()
        someone.terminal.write("lost\n")
        someone.terminal.write("lost again\n")
        assert someone.terminal.err.gone
        assert not someone.terminal.interactive


def test_what_was_typed_before_the_question_does_not_answer_it() -> None:
    with person() as someone:
        someone.types("approve")
        someone.sees("approve")
        someone.terminal.forget_typed()
        someone.is_asked(lambda: someone.terminal.read_line(lambda: False, 0.3))
        assert someone.gave() == Typed(left=True)


def test_what_an_encoding_lacks_is_escaped() -> None:
    raw = io.BytesIO()
    stream = QuietStream(io.TextIOWrapper(raw, encoding="ascii"))
    stream.write("发票 ✔")
    stream.flush()
    assert raw.getvalue() == b"\\u53d1\\u7968 \\u2714"
    assert not stream.unicode


class Broken(io.StringIO):
    def write(self, text: str) -> int:  # noqa: ARG002 - the signature of a stream
        raise OSError(5, "Input/output error")


def test_a_stream_that_breaks_is_silent_from_then_on() -> None:
    stream = QuietStream(Broken())
    stream.write("x")
    stream.flush()
    assert stream.gone


@pytest.mark.parametrize(
    ("color", "no_color", "term", "painted"),
    [
        ("auto", "", "xterm", True),
        ("auto", "1", "xterm", False),
        ("auto", "", "dumb", False),
        ("never", "", "xterm", False),
        ("always", "1", "xterm", True),
    ],
)
def test_colour(monkeypatch: pytest.MonkeyPatch, color: str, no_color: str, term: str, *, painted: bool) -> None:
    monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setenv("TERM", term)
    with person(color) as someone:
        someone.terminal.write("02:11:00Z ✖ FAILED      step\n")
        someone.sees("\x1b[1;31m✖ FAILED\x1b[0m      step" if painted else "02:11:00Z ✖ FAILED      step")


def test_a_file_or_a_pipe_is_not_interactive(tmp_path: Path) -> None:
    with (tmp_path / "in").open("w+") as stdin:
        assert not Terminal(stdin=stdin, stderr=io.StringIO()).interactive


ASK = """
import sys
from drctl.adapters.console import Terminal
terminal = Terminal()
terminal.write(f"interactive {terminal.interactive}\\n")
typed = terminal.read_line(lambda: False, 60)
terminal.write(f"got {typed.text}\\n")
"""


def test_a_foreground_process_on_a_real_terminal_is_interactive() -> None:
    child = pexpect.spawn(
        sys.executable, ["-c", ASK], encoding="utf-8", timeout=60, env={**os.environ, "TERM": "xterm"}
    )
    child.expect_exact("interactive True")
    child.sendline("yes")
    child.expect_exact("got yes")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


def test_polling_is_about_five_times_a_second() -> None:
    """Counted, not timed to the millisecond: a slow machine polls less often, never much more."""
    polls = 0

    def settled() -> bool:
        nonlocal polls
        polls += 1
        return False

    with person() as someone:
        began = time.monotonic()
        someone.is_asked(lambda: someone.terminal.read_line(settled, 1.0))
        someone.gave()
        assert 2 <= polls <= 8 * (time.monotonic() - began) + 2
