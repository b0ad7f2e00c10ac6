"""stdout and stderr that are always there: a reader that went away must not change what a command does or gives.

`drctl audit verify RUN | true` has to end with the verdict's exit code, not with that of a broken pipe; and a run whose
stdout was closed must not find its journal behind file descriptor 1.
"""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from drctl.adapters.console import QuietStream
from drctl.errors import Exit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TextIO


@contextmanager
def lasting() -> Iterator[Callable[[int], int]]:
    """Stand in for stdout and stderr; gives a function that takes an exit code and gives the one to end with.

    A pipe whose reader went away changes no exit code. Any other loss of stdout (a full disk) makes a good end
    `Exit.JOURNAL`: what was asked for was not handed over.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number: this one
    out, err = _standing(sys.stdout, 1), _standing(sys.stderr, 2)
    sys.stdout, sys.stderr = out, err  # they answer to all that is used of a TextIO

    def ended(code: int) -> int:
        out.flush()
        lost = out.failure
        if lost is not None and not isinstance(lost, BrokenPipeError):
            err.write(f"error: stdout cannot be written: {lost.strerror or lost}\n")
            code = code or int(Exit.JOURNAL)
        err.flush()
        for stream, number in ((out, 1), (err, 2)):
            if stream.gone:  # the interpreter flushes once more at its end, and would complain
                os.dup2(os.open(os.devnull, os.O_WRONLY), number)
        return code

    yield ended


def speak_utf8() -> None:
    """Have stdout carry UTF-8: JSON is never anything else (RFC 8259, section 8.1), nor is a report."""
    if isinstance(sys.stdout, QuietStream):
        sys.stdout.speak_utf8()


def _standing(stream: TextIO | None, number: int) -> QuietStream:
    if stream is None:  # it was closed when we were started
        stream = os.fdopen(number, "w", encoding="utf-8", closefd=False)
    return QuietStream(stream)
