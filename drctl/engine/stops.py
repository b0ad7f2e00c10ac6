"""How a walk through a runbook ends early, and how a word from outside reaches it."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import field
from typing import TYPE_CHECKING

from drctl.core.nouns import dataclass
from drctl.errors import Exit

if TYPE_CHECKING:
    from collections.abc import Iterator


class Stop(Exception):  # noqa: N818 - not an error: the run stands still, or is about to close
    """The walk stops here.

    Attributes:
        reason: question, failure, doubt, operator, preflight, locked; or abort, failed, rollback, nothing_changed when
            the run is to close.
        path: the step it concerns.
        exit: the exit code that goes with it.
    """

    def __init__(self, reason: str, *, path: str = "", because: str = "", exit: Exit) -> None:  # noqa: A002 - the word of the code that it becomes
        super().__init__(because or reason)
        self.reason = reason
        self.path = path
        self.because = because
        self.exit = exit

    @property
    def closes(self) -> bool:
        """Whether the run is to be closed, not paused."""
        return self.reason in {"abort", "failed", "rollback", "nothing_changed"}


ENDING = 2
"""The level at which running acts are ended on their hosts."""


@dataclass(slots=True)
class Control:
    """Words from outside: a level that only rises. Read between steps; set from a signal or the inbox.

    Levels: 0 go on; 1 stop after the running steps; 2 end the running steps, never an irreversible one. Setting it
    takes no lock, so that a signal may do it at any moment.
    """

    level: int = 0
    because: str = ""
    exit: Exit = Exit.INTERRUPTED
    """What a run that stops for this exits with: a signal, or a word that asked for a pause."""
    abort: bool = False
    shields: int = 0
    """Uninterruptible blocks under way."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def raise_to(self, level: int, because: str) -> None:
        """Raise the level."""
        if level > self.level:
            self.level, self.because = level, because

    def stop(self, path: str) -> Stop:
        """The stop that follows a word."""
        if self.abort:
            return Stop("abort", path=path, because=self.because or "the operator said abort", exit=Exit.ABORTED)
        return self.pause(path)

    def pause(self, path: str) -> Stop:
        """The stop of a run that stays open."""
        return Stop("operator", path=path, because=self.because or "stopped by the operator", exit=self.exit)

    @property
    def stopping(self) -> bool:
        """No further step begins. Inside an uninterruptible block a first word waits for its end."""
        if self.level >= ENDING:
            return True
        return not self.shields and (self.abort or self.level > 0)

    @property
    def ending(self) -> bool:
        """What runs is to be ended."""
        return self.level >= ENDING

    @contextlib.contextmanager
    def shielded(self, *, really: bool) -> Iterator[None]:
        """Around an uninterruptible block."""
        with self._lock:
            self.shields += really
        try:
            yield
        finally:
            with self._lock:
                self.shields -= really
