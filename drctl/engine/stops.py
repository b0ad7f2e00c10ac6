"""How a walk through a runbook ends early, and how a word from outside reaches it."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from drctl.errors import Exit


class Stop(Exception):  # noqa: N818 - not an error: the run stands still, or is about to close
    """The walk stops here.

    Attributes:
        reason: question, failure, doubt, operator, preflight; or abort, failed, rollback when the run is to close.
        path: the step it concerns.
        exit: the exit code that goes with it.
    """

    def __init__(self, reason: str, *, path: str = "", because: str = "", exit: Exit) -> None:  # noqa: A002
        super().__init__(because or reason)
        self.reason = reason
        self.path = path
        self.because = because
        self.exit = exit

    @property
    def closes(self) -> bool:
        """Whether the run is to be closed, not paused."""
        return self.reason in {"abort", "failed", "rollback", "nothing_changed"}


@dataclass(slots=True)
class Control:
    """Words from outside: a level that only rises. Read between steps; set from a signal or the inbox.

    Levels: 0 go on; 1 stop after the running steps; 2 end the running steps, never an irreversible one.
    """

    level: int = 0
    because: str = ""
    abort: bool = False
    halted: threading.Event = field(default_factory=threading.Event)

    def raise_to(self, level: int, because: str) -> None:
        """Raise the level."""
        if level > self.level:
            self.level, self.because = level, because
