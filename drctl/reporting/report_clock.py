"""Times in a report: moments with their zone, lengths by the right clock, and where the time of a recovery went."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drctl.reporting.facts import BY_WALL, answered_us
from drctl.reporting.report_model import Moment, SplitRow
from drctl.reporting.texts import clock, local_clock, moment, zone_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from drctl.core.fold import Entry, RunState
    from drctl.core.values import Time

Interval = tuple[int, int]


class Clock:
    """Makes moments in one run's zone."""

    def __init__(self, state: RunState) -> None:
        self._zone = zone_of(state.opened.zone if state.opened is not None else "")
        self._own = state.timeline
        self._made: dict[int, Moment] = {}

    def moment(self, at: Time) -> Moment:
        """A time, in UTC and in the zone of the run."""
        us = at.micros
        if us not in self._made:  # a record's time stands in the timeline, at its step and at the attempt
            self._made[us] = Moment(
                us=us, utc=moment(at), clock=clock(at), local=local_clock(at, self._zone), own_us=self._own.of(at)
            )
        return self._made[us]

    def length(self, first: Entry, last: Entry) -> int:
        """Microseconds between two records, in the run's own time."""
        return self._own.at(last.seq) - self._own.at(first.seq)

    def own(self, entry: Entry) -> int:
        """When a record was written, in the run's own time."""
        return self._own.at(entry.seq)

    def maybe(self, at: Time | None) -> Moment | None:
        """The same for a time that may be missing."""
        return None if at is None else self.moment(at)


def standstills(state: RunState) -> tuple[Interval, ...]:
    """When nobody carried the run out, in its own time: from the last record before each resume to the resume."""
    return tuple((first, last) for first, last in state.away_us if last > first)


def split(state: RunState, still: Sequence[Interval]) -> tuple[SplitRow, ...]:
    """Where the time went: detect, decide, wait for people, stand still, machine."""
    if state.opened_at is None or state.last_at is None:
        return ()
    fault, detected = _at(state, "fault"), _at(state, "detected")
    declared = _at(state, "declared") or state.opened_at.micros  # where own time begins
    restored = _at(state, "service_restored")
    end = max(declared, restored if restored is not None else state.timeline.now)
    people = _clip(_waits(state), declared, end)
    both = _clip([*_waits(state), *still], declared, end)
    human, idle = _total(people), _total(both) - _total(people)
    whole = end - declared
    until = (
        "until service_restored" if restored is not None else "until the last record: service_restored was never set"
    )
    return (
        _detect(fault, detected, declared),
        SplitRow(
            name="decide",
            us=max(0, declared - detected) if detected is not None else None,
            note="from detected to declared" if detected is not None else "no mark detected",
        ),
        SplitRow(name="wait for people", us=human, note="questions that stood open; overlapping ones count once"),
        SplitRow(name="stood still", us=idle, note=f"paused or crashed, and no question open{_by_wall(state, still)}"),
        SplitRow(name="machine", us=max(0, whole - human - idle), note=f"everything else from declared {until}"),
        SplitRow(name="declared to restored", us=whole, note=f"wait, standstill and machine together, {until}"),
    )


def _detect(fault: int | None, detected: int | None, declared: int) -> SplitRow:
    if fault is None:
        return SplitRow(name="detect", us=None, note="no mark fault")
    if detected is None:
        return SplitRow(name="detect", us=max(0, declared - fault), note="from fault to declared: no mark detected")
    return SplitRow(name="detect", us=max(0, detected - fault), note="from fault to detected")


def _at(state: RunState, name: str) -> int | None:
    mark = state.mark(name)
    return mark.us if mark is not None else None


def _by_wall(state: RunState, still: Sequence[Interval]) -> str:
    """What a standstill over a restart of the machine was measured by."""
    return BY_WALL if any(state.timeline.by_wall(first, last) for first, last in still) else ""


def _waits(state: RunState) -> list[Interval]:
    found = []
    for question in state.questions.values():
        end = answered_us(question) or (state.timeline.now if question.open else question.asked_us)
        found.append((question.asked_us, end))
    return found


def _clip(intervals: Iterable[Interval], start: int, end: int) -> list[Interval]:
    return [(max(a, start), min(b, end)) for a, b in intervals if min(b, end) > max(a, start)]


def _total(intervals: Iterable[Interval]) -> int:
    """The length of the union."""
    whole, reached = 0, None
    for start, end in sorted(intervals):
        begin = start if reached is None else max(start, reached)
        whole += max(0, end - begin)
        reached = end if reached is None else max(reached, end)
    return whole
