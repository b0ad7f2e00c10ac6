"""The run's own time: how long things took, whatever somebody did to the clocks.

Lengths come from the monotonic clock, time asleep added where the journal tells it. Only where the machine was started
anew, or the run moved to another one, is there nothing but the wall clock; such a stretch is known as one, and is never
less than nothing. The run's own time begins at the UTC time of the first record, so that it reads like one.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Final

from drctl.core.event_types import ClockWarned, Suspended
from drctl.core.nouns import dataclass

if TYPE_CHECKING:
    from drctl.core.states import Entry
    from drctl.core.values import Time


NOTICED: Final = 5_000_000
"""Microseconds; clocks drift, and a slew of the time service is no jump."""
SLEWED: Final = 500
"""How far a time service moves a clock at most, in microseconds for each second."""


@dataclass(slots=True)
class Timeline:
    """Own times of records, in microseconds. `walls` are the stretches that the wall clock alone has measured."""

    walls: list[tuple[int, int]] = field(default_factory=list)
    now: int = 0
    offset: int = 0
    """How far UTC is from the monotonic clock of the newest boot, with every jump and sleep that the journal tells."""
    untold: int = 0
    """A jump at the end of the boot before the newest, which nobody lived to tell."""
    _last: Entry | None = None
    _by_seq: dict[int, int] = field(default_factory=dict)
    _by_utc: dict[int, int] = field(default_factory=dict)

    def take(self, entry: Entry) -> int:
        """Take one more record; gives its own time."""
        last = self._last
        if last is None:
            self.now = entry.at.micros
        elif entry.boot == last.boot and entry.mono >= last.mono:
            self.now += entry.mono - last.mono
        else:
            before, wall = self.now, max(0, entry.at.micros - last.at.micros)
            self.now += wall
            self.walls.append((before, self.now))
        ahead = self.ahead(entry.at.micros, entry.mono)
        if last is not None and entry.boot != last.boot:
            before = self.ahead(last.at.micros, last.mono)
            self.untold = before if abs(before) > NOTICED else 0
        if last is None or entry.boot != last.boot or abs(ahead) <= NOTICED:  # clocks drift, and are slewed: no jump
            self.offset += ahead
        if isinstance(entry.event, Suspended):
            self.now += max(0, entry.event.gap_us)
            self.offset += entry.event.gap_us
        elif isinstance(entry.event, ClockWarned):
            self.offset += entry.event.moved_us
        self._last = entry
        self._by_seq[entry.seq] = self._by_utc[entry.at.micros] = self.now
        return self.now

    def at(self, seq: int) -> int:
        """The own time of a record."""
        return self._by_seq.get(seq, self.now)

    def of(self, value: Time) -> int:
        """The own time of a UTC time that a record carries, or that a person gave: by the record nearest to it."""
        exact = self._by_utc.get(value.micros)
        if exact is not None:
            return exact
        nearest = min(self._by_utc, key=lambda at: abs(at - value.micros), default=value.micros)
        return self._by_utc.get(nearest, nearest) + value.micros - nearest

    def by_wall(self, start: int, end: int) -> bool:
        """Whether part of a stretch of own time was measured by the wall clock alone."""
        return any(first < end and last >= start for first, last in self.walls)

    def ahead(self, utc: int, mono: int) -> int:
        """How far UTC has gone ahead of the monotonic clock beyond what the journal tells; negative = behind."""
        return utc - mono - self.offset

    def since(self, mono: int) -> int:
        """Own time now, for the writer of the newest record, whose monotonic clock says `mono`."""
        return self.now + max(0, mono - self._last.mono) if self._last is not None else self.now
