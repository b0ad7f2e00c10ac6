"""A plan: what a run would do as far as looking can tell, and a count of what it cannot tell."""

from __future__ import annotations

import enum
from dataclasses import field
from typing import TYPE_CHECKING, Final

from drctl.core.nouns import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drctl.core.values import Duration


class Status(enum.Enum):
    """What a plan says about one step; disjoint on purpose."""

    LOOKED = "looked"  # a look, taken for real: nothing acts before it
    NOW = "now"  # a look, taken for real, but an act comes before it: only what is seen today
    NOT_LOOKED = "not looked"  # a look that was left out, with the reason
    WOULD_RUN = "would run"
    NO_CHANGE = "no change"
    WOULD_SKIP = "would skip"
    WOULD_WAIT = "would wait"  # for people or time
    DEPENDS = "depends"  # on a step that has not run
    CANNOT_TELL = "cannot tell"
    KNOWN = "known"  # works on values only, and they are known
    WOULD_STOP = "would stop"  # as things are, the run would stop here


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedStep:
    """One row of a plan.

    Attributes:
        origin: its address in the document; in a round `path` is another one.
        stands_for: how many steps like this one are meant; more than 1 where rounds are not shown one by one.
        depth: how deep in blocks, phases are 0.
        place: host, 'local', or empty.
        hosts: all that it stands for, where it stands for several.
        open: it runs only if a condition that is not known yet comes true.
        at_once: how many of the rows inside it run together.
        pauses: how long it pauses in all between the rows inside it.
        perhaps: where its place is not known yet, every host that it may turn out to be.
        text: exactly what is sent, unknown values shown as such.
        because: why this status; for a look what was seen.
        unknown: what it could not know, one sentence each.
        needs: people and conditions: 'approval by commander', 'when ...'.
        back: how it is undone, or why it cannot be.
        declared: a shell look, read-only by the author's word alone.
        depends: addresses of the steps that have to run before more can be told.
        no_return: a point of no return.
        no_undo: why nothing takes this act back; empty when something does.
        approvals: who must agree before it.
        expected: how long it took in past runs (the median) or is said to take; None when nobody knows.
        samples: in how many ends of past runs that was seen; 0 when only the author says so.
    """

    path: str
    title: str
    kind: str
    depth: int
    status: Status
    place: str = ""
    effect: str = "read"
    text: str = ""
    because: str = ""
    unknown: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    back: str = ""
    takes: Duration | None = None
    timeout: Duration | None = None
    declared: bool = False
    depends: tuple[str, ...] = ()
    no_return: bool = False
    no_undo: str = ""
    approvals: tuple[str, ...] = ()
    expected: Duration | None = None
    samples: int = 0
    origin: str = ""
    stands_for: int = 1
    hosts: tuple[str, ...] = ()
    perhaps: tuple[str, ...] = ()
    open: bool = False
    at_once: int = 1
    pauses: Duration | None = None

    @property
    def waits_for_people(self) -> bool:
        """Whether its time is that of people, which nothing here can know."""
        return self.kind == "manual" or (self.kind == "decide" and self.status is Status.WOULD_WAIT)


BLOCKS: Final = frozenset({"phase", "steps", "parallel", "loop", "table", "rolling", "batch", "include"})
"""Kinds of rows that only hold others; they are not counted as steps."""
IGNORANCE: Final = (Status.NOW, Status.NOT_LOOKED, Status.DEPENDS, Status.CANNOT_TELL)
"""What a plan does not know; every other status is a statement."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All rows, and the digest of the frozen documents and inputs they were made from.

    `limit` are the only hosts that may be acted on; none named means every host.
    """

    runbook: str
    title: str
    digest: str
    inventory: str
    environment: str
    rto: Duration | None
    rpo: Duration | None
    rows: tuple[PlannedStep, ...]
    warnings: tuple[str, ...] = ()
    inputs: Mapping[str, str] = field(default_factory=dict)
    limit: tuple[str, ...] = ()

    @property
    def steps(self) -> tuple[PlannedStep, ...]:
        """The rows that are steps; phases and blocks only hold some."""
        return tuple(row for row in self.rows if row.kind not in BLOCKS)

    @property
    def unknowns(self) -> tuple[PlannedStep, ...]:
        """The steps of which looking could not tell everything."""
        return tuple(row for row in self.steps if row.status in IGNORANCE)

    @property
    def coverage(self) -> Mapping[str, int]:
        """How many steps there are and have each status, how many are unknown, how many looks the author vouches for.

        Phases and blocks are no steps, they only hold some. The one count that screens, files and limits go by;
        `declared` are the looks that were taken, read-only by the author's word alone.
        """
        seen = {Status.LOOKED, Status.NOW}
        steps = self.steps
        counts = {"steps": sum(r.stands_for for r in steps), "unknown": sum(r.stands_for for r in self.unknowns)}
        counts |= {s.value: sum(row.stands_for for row in steps if row.status is s) for s in Status}
        counts["declared"] = sum(row.declared and row.status in seen for row in steps)
        return {name: count for name, count in counts.items() if count or name in {"steps", "unknown"}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """How long the steps take together, as far as anybody knows. Lengths are microseconds.

    Attributes:
        known_us: the steps of known length that surely run: in order one after the other, of those that run together
            the longest, or their share when not all can; without people.
        more_us: what is added when every condition that is not known yet comes true.
        without: steps that would run and of which nothing is known.
        people: how many steps and approvals wait for people.
        people_us: what such steps took in past runs; `people_without` of how many that is not known.
    """

    known_us: int
    more_us: int
    without: int
    people: int
    people_us: int
    people_without: int


_AT_ONCE: Final = frozenset({"check", "set", "decide", "fence.host", "fence.lift"})
"""Kinds without a length of their own worth a word."""


def estimate(plan: Plan) -> Estimate:
    """Add up; nothing is made up for what is not known."""
    timed = [row for row in plan.steps if row.status is not Status.WOULD_SKIP and row.kind not in _AT_ONCE]
    people = [row for row in plan.steps if row.waits_for_people and row.status is not Status.WOULD_SKIP]
    machine = [row for row in timed if not row.waits_for_people]
    asked = sum(len(row.approvals) for row in plan.rows if row.status is not Status.WOULD_SKIP)
    waits = [row.expected.micros for row in people if row.expected is not None]
    sure, most = (_length(plan.rows, 0, -1, 1, is_open=is_open)[0].total for is_open in (False, True))
    number = asked + sum(row.stands_for for row in people)
    return Estimate(
        known_us=sure, more_us=most - sure,
        without=sum(row.stands_for for row in machine if row.expected is None),
        people=number, people_us=sum(waits), people_without=number - len(waits),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Time:
    """What some rows take together, and the longest of them that stand for one another."""

    total: int
    longest: int


def _length(rows: tuple[PlannedStep, ...], at: int, depth: int, at_once: int, *, is_open: bool) -> tuple[_Time, int]:
    """The length of the rows deeper than `depth` from a place on, and where they end; with or without open ones."""
    found: list[_Time] = []
    while at < len(rows) and rows[at].depth > depth:
        row, own = rows[at], 0
        counts = row.status is not Status.WOULD_SKIP and (is_open or not row.open)
        if row.expected is not None and counts and not row.waits_for_people:
            own = row.expected.micros
        inner, at = _length(rows, at + 1, row.depth, row.at_once, is_open=is_open)
        pauses = row.pauses.micros if row.pauses is not None and counts else 0
        # What its author says of a whole is no more than what is known of its parts.
        found.append(_Time(max(own * row.stands_for, inner.total + pauses), max(own, inner.longest + pauses)))
    total, longest = sum(one.total for one in found), sum(one.longest for one in found)
    if at_once > 1:
        longest = max((one.longest for one in found), default=0)
        total = max(longest, -(-total // at_once))
    return _Time(total, longest), at
