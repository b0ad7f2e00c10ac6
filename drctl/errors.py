"""The error tree of drctl: one root, one exit code each, every message in four parts.

An error says what failed, where, what it means for the service, and what to type next. The command line prints exactly
these parts; nothing else in drctl prints errors. Exit codes are the table of the README; a program that meets a code it
does not know must take it for a failure.

    DrctlError
    |- DefectError            1   a fault of drctl itself
    |- UsageError             2   the command line was wrong
    |- DocumentError          3   a runbook, an inventory or a plan is wrong (carries every diagnostic)
    |- RefusedError           4   closed before anything was changed
    |- LockedError           12   another run holds what this one needs
    |- PlanChangedError      13   the plan expired or no longer fits
    |- JournalError          74   the journal cannot be written: nothing further was done
    |- LabError               4   the embedded lab could not be started or reached
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, ClassVar, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from drctl.core.diagnostics import Diagnostic


class Exit(enum.IntEnum):
    """Exit codes, for ever; the README prints this table with `MEANINGS`, and a test compares them."""

    DONE = 0
    DEFECT = 1
    USAGE = 2
    DOCUMENT = 3
    NOTHING_CHANGED = 4
    ABORTED = 5
    PAUSED = 6
    STEP_FAILED = 7
    ROLLED_BACK = 8
    ROLLBACK_FAILED = 9
    IN_DOUBT = 10
    EXCEPTIONS = 11
    LOCKED = 12
    PLAN_CHANGED = 13
    OVERDUE = 14
    AUDIT_NOT_INTACT = 20
    AUDIT_TRUNCATED = 21
    AUDIT_RULE_VIOLATED = 22
    AUDIT_NOT_ANCHORED = 23
    AUDIT_UNSIGNED_TAIL = 24
    JOURNAL = 74
    INTERRUPTED = 130
    TERMINATED = 143

    @property
    def meaning(self) -> str:
        """What it means, in the words of the README's table."""
        return MEANINGS[self]


MEANINGS: Final[dict[Exit, str]] = {
    Exit.DONE: "done; of a run: done, and the objectives met",
    Exit.DEFECT: "a defect in drctl",
    Exit.USAGE: "the command line was wrong, or names nothing that is there",
    Exit.DOCUMENT: "a runbook or an inventory is wrong",
    Exit.NOTHING_CHANGED: "closed or refused before anything was changed"
    " (preflight, unreachable, a missing secret, too much unknown, no lab)",
    Exit.ABORTED: "closed by the operator",
    Exit.PAUSED: "paused: a person is needed",
    Exit.STEP_FAILED: "a step failed: the run is open, or was closed because of it",
    Exit.ROLLED_BACK: "rolled back and closed: a step failed, or a person said so",
    Exit.ROLLBACK_FAILED: "a way back failed: half undone",
    Exit.IN_DOUBT: "a step began and its end is not known: look, then `drctl resolve`",
    Exit.EXCEPTIONS: "done with exceptions, or objectives missed or not measured",
    Exit.LOCKED: "another run or another process holds what is needed",
    Exit.PLAN_CHANGED: "a plan expired, was changed, is not whole, or no longer fits what it was made from or saw",
    Exit.OVERDUE: "a drill is overdue (not given by this version)",
    Exit.AUDIT_NOT_INTACT: "audit: not intact",
    Exit.AUDIT_TRUNCATED: "audit: truncated or forked, shown by an anchor"
    " (not given by this version: it keeps no anchors)",
    Exit.AUDIT_RULE_VIOLATED: "audit: a rule was violated (not given by this version)",
    Exit.AUDIT_NOT_ANCHORED: "audit: intact, not anchored",
    Exit.AUDIT_UNSIGNED_TAIL: "audit: an open or crashed run:"
    " not closed, not signed to its end, or torn in its last line",
    Exit.JOURNAL: "the journal, the report or stdout cannot be read or written",
    Exit.INTERRUPTED: "interrupted",
    Exit.TERMINATED: "ended by SIGTERM outside of a run; a run takes it as Ctrl-C",
}
"""The table of the README, and of `drctl explain CODE`."""


class DrctlError(Exception):
    """Root of every error that is meant for a person.

    Attributes:
        what: one sentence: what failed.
        where: the file, step, host or record it concerns; empty when there is none.
        meaning: the state things are in now, above all whether anything was changed.
        next: what to type next; empty only when nothing can be typed.
    """

    exit: ClassVar[Exit] = Exit.DEFECT

    def __init__(self, what: str, *, where: str = "", meaning: str = "", next: str = "") -> None:  # noqa: A002 - the word the reader sees
        super().__init__(what)
        self.what = what
        self.where = where
        self.meaning = meaning
        self.next = next

    def __str__(self) -> str:
        """Give the parts on one line each, the way a log shows them."""
        parts = [f"{self.where}: {self.what}" if self.where else self.what]
        parts += [part for part in (self.meaning, f"next: {self.next}" if self.next else "") if part]
        return "\n  ".join(parts)


class DefectError(DrctlError):
    """drctl itself is wrong: a state that its own rules exclude."""

    exit = Exit.DEFECT


class UsageError(DrctlError):
    """The command line was wrong; nothing was read or changed."""

    exit = Exit.USAGE


class DocumentError(DrctlError):
    """A document is wrong. Carries every problem found, not the first only."""

    exit = Exit.DOCUMENT

    def __init__(self, what: str, diagnostics: Sequence[Diagnostic] = (), *, where: str = "", next: str = "") -> None:  # noqa: A002
        super().__init__(what, where=where, meaning="Nothing was changed.", next=next)
        self.diagnostics = tuple(diagnostics)


class RefusedError(DrctlError):
    """A precondition does not hold, and nothing was changed."""

    exit = Exit.NOTHING_CHANGED


class LabError(RefusedError):
    """The embedded lab could not be started, found or spoken to."""


class LockedError(DrctlError):
    """Another run holds a lock or a host that this one needs."""

    exit = Exit.LOCKED


class PlanChangedError(DrctlError):
    """The run's documents changed since they were frozen, or an approved plan expired."""

    exit = Exit.PLAN_CHANGED


class JournalError(DrctlError):
    """The journal cannot be written or read. No record, no action: the run stopped before the next effect."""

    exit = Exit.JOURNAL
