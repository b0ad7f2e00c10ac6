"""The terminal: writing that survives a hang-up, reading lines without ever blocking the run.

What is said and asked is left to `reporting` and `cli.console`; this file knows only file descriptors.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import select
import sys
import termios
import time
from typing import TYPE_CHECKING, TextIO

from drctl.core.nouns import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

POLL = 0.2
"""Seconds between two looks at whether a question was settled elsewhere."""

_ESCAPES = {"✔": "32", "✖": "1;31", "⏸": "1;33", "▶": "36", "!": "1;33", "?": "1;35", "·": "2"}
_SIGNED = re.compile(r"(?m)^((?:\d\d:\d\d:\d\dZ )?\s*)([✔✖⏸▶!?·])( +[^ ]+)")


@dataclass(frozen=True, slots=True)
class Typed:
    """What reading a line gave: `text`, or `left` when the person or the terminal went away. Both empty: settled."""

    text: str | None = None
    left: bool = False


class QuietStream:
    """A text stream that never raises: when a terminal hangs up, the run goes on without it.

    It stands in for `sys.stderr`, also towards rich. Characters its encoding lacks are escaped, never an error.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.gone = False
        self.failure: OSError | None = None

    @property
    def encoding(self) -> str:
        """The stream's encoding."""
        return self._stream.encoding or "utf-8"

    @property
    def unicode(self) -> bool:
        """Whether signs beyond ASCII can be written."""
        return self.encoding.lower().replace("-", "").replace("_", "") == "utf8"

    def speak_utf8(self) -> None:
        """Write UTF-8 from now on, whatever the locale says."""
        if isinstance(self._stream, io.TextIOWrapper):
            self._stream.reconfigure(encoding="utf-8", errors="backslashreplace")

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        with contextlib.suppress(ValueError, OSError):
            return self._stream.isatty()
        return False

    def fileno(self) -> int:
        """Its file descriptor."""
        return self._stream.fileno()

    def write(self, text: str) -> int:
        """Write; a stream that is gone swallows it."""
        if not self.gone:
            data = text.encode(self.encoding, "backslashreplace")
            try:
                self._stream.write(data.decode(self.encoding))
            except RuntimeError:  # a signal came in the middle of a write: its message goes out unbuffered
                os.write(self.fileno(), data)
            except (OSError, ValueError) as error:
                self._lose(error)
        return len(text)

    def flush(self) -> None:
        """Flush; a stream that is gone swallows it."""
        if not self.gone:
            try:
                self._stream.flush()
            except (OSError, ValueError) as error:
                self._lose(error)

    def _lose(self, error: OSError | ValueError) -> None:
        self.gone = True
        self.failure = error if isinstance(error, OSError) else None


class Terminal:
    """The person's terminal: stdin for answers, stderr for everything shown."""

    def __init__(self, *, color: str = "auto", stdin: TextIO | None = None, stderr: TextIO | None = None) -> None:
        self._stdin = sys.stdin if stdin is None else stdin
        self.err = QuietStream(sys.stderr if stderr is None else stderr)
        self.color = color == "always" or (
            color == "auto" and self.err.isatty() and not os.environ.get("NO_COLOR") and not self.dumb
        )

    @property
    def dumb(self) -> bool:
        """Whether the terminal cannot move its cursor."""
        return os.environ.get("TERM", "dumb") in {"dumb", ""}

    @property
    def interactive(self) -> bool:
        """Whether a person can be asked: stdin and stderr are terminals and this process is in the foreground."""
        try:
            there = self._stdin.isatty() and self.err.isatty() and not self.err.gone
            return there and os.tcgetpgrp(self._stdin.fileno()) == os.getpgrp()
        except (OSError, ValueError, AttributeError):
            return False

    @property
    def columns(self) -> int:
        """How wide it is; 80 when it does not say."""
        with contextlib.suppress(OSError, ValueError):
            return os.get_terminal_size(self.err.fileno()).columns or 80
        return 80

    def write(self, text: str) -> None:
        """Write text as it is; signs at the beginning of a line get their colour."""
        self.err.write(_SIGNED.sub(_painted, text) if self.color else text)
        self.err.flush()

    def forget_typed(self) -> None:
        """Throw away what was typed before a question stood there: an early Enter answers nothing."""
        with contextlib.suppress(termios.error, OSError, ValueError):
            termios.tcflush(self._stdin.fileno(), termios.TCIFLUSH)

    def read_line(self, settled: Callable[[], bool], seconds: float | None) -> Typed:
        """Read one line, looking about five times a second whether it is still wanted.

        Args:
            settled: asked between waits; True ends the reading.
            seconds: most time to wait; None for no limit.

        Returns:
            The line without its end; `left` at end of file, hang-up, or when time is over.
        """
        end = None if seconds is None else time.monotonic() + seconds
        try:
            number = self._stdin.fileno()
            while not settled():
                if end is not None and time.monotonic() >= end:
                    return Typed(left=True)
                if select.select([number], [], [], POLL)[0]:
                    data = os.read(number, 65536)
                    if not data:
                        return Typed(left=True)
                    return Typed(text=data.decode(self._stdin.encoding or "utf-8", "replace").rstrip("\r\n"))
        except (OSError, ValueError):
            return Typed(left=True)
        return Typed()


def _painted(found: re.Match[str]) -> str:
    return f"{found[1]}\x1b[{_ESCAPES[found[2]]}m{found[2]}{found[3]}\x1b[0m"
