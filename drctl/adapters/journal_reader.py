"""Reading a journal, finished or growing. Strict about each line; the chain is left to `core.verification`."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from drctl.core.records import ParseError, Record, parse
from drctl.core.values import Duration
from drctl.core.verification import pieces
from drctl.errors import JournalError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import BinaryIO

    from drctl.core.ports import Clock
    from drctl.core.verification import Verifier

_POLL = Duration(200_000)


def read(path: Path, verifier: Verifier | None = None) -> Iterator[Record]:
    """The records of a journal, checkpoints included, strictly parsed; the chain is not checked (`audit verify` does).

    Stops before an unfinished last line: its writer is still at it, or crashed. A verifier is fed every line that is
    read, that last one too, and so judges the very bytes that the records came from.

    Raises:
        JournalError: the file cannot be read, or a line is not a record.
    """
    try:
        with path.open("rb") as file:
            for number, (line, length) in enumerate(pieces(file), start=1):
                known = verifier.feed(line, length) if verifier is not None else None
                if line[-1:] != b"\n":
                    return
                yield known or _parsed(path, line, number)
    except OSError as error:
        raise JournalError(f"The journal cannot be read: {error.strerror}.", where=str(path)) from error


def _parsed(path: Path, line: bytes, number: int) -> Record:
    try:
        return parse(line)
    except ParseError as error:
        raise JournalError(
            f"This line is not a record: {error}.",
            where=f"{path}:{number}",
            meaning="The journal is damaged or was changed; what follows cannot be trusted.",
            next=f"drctl audit verify {path}",
        ) from error


def follow(path: Path, stop: Callable[[], bool], *, clock: Clock, every: Duration = _POLL) -> Iterator[Record]:
    """The records of a journal as they come, from the first on, until `stop()`; all that is there by then is given.

    The file may not exist yet, and may become another one under the same name: a resumed run goes on in a new inode
    that begins with the same bytes.

    Raises:
        JournalError: as `read`, or the file became shorter than what was already read.
    """
    offset, number = 0, 0
    while True:
        last = stop()
        with contextlib.suppress(FileNotFoundError), _opened(path) as file:
            if os.fstat(file.fileno()).st_size < offset:
                raise JournalError("The journal became shorter while it was followed.", where=str(path))
            file.seek(offset)
            for line, length in pieces(file):
                if line[-1:] != b"\n":
                    break
                offset, number = offset + length, number + 1
                yield _parsed(path, line, number)
        if last:
            return
        clock.sleep(every, wake=stop)


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise
    except OSError as error:
        raise JournalError(f"The journal cannot be read: {error.strerror}.", where=str(path)) from error
