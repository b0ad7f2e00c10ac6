"""Notices, between two steps, that the machine slept or that its clock was moved."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from drctl.core import events as ev
from drctl.core.values import Duration

if TYPE_CHECKING:
    from drctl.core.ports import Clock
    from drctl.engine.recorder import Recorder

NOTICED: Final = 5_000_000
"""Microseconds; clocks drift, and a slew of the time service is no jump."""


class Sleeps:
    """Compares the clocks of one writer."""

    def __init__(self, clock: Clock, recorder: Recorder) -> None:
        self._clock = clock
        self._recorder = recorder
        self._lock = threading.Lock()
        self._asleep, self._utc = self._read()

    def taken_up(self) -> None:
        """Record what happened to the clocks while nobody carried the run out; called once, before anything is done.

        On the same boot both clocks went on, and UTC may be ahead by what the machine slept, at most. After a restart
        nothing but UTC is left: it can only be told that it went back.
        """
        left, entry = self._recorder.state.left, self._recorder.state.newest
        if left is None or entry is None:
            return
        asleep = self._asleep
        wall, went = entry.at.micros - left.at.micros, entry.mono - left.mono
        if entry.boot != left.boot or went < 0:
            if wall < -NOTICED:
                self._warn(wall, "while nobody carried the run out, by which its machine was started anew,")
            return
        ahead = wall - went
        if NOTICED < ahead <= asleep + NOTICED:
            self._recorder.write(ev.Suspended(gap_us=ahead))
        elif abs(ahead) > NOTICED:
            self._warn(ahead, "while nobody carried the run out")

    def check(self) -> None:
        """Record what happened since the last check."""
        with self._lock:
            asleep, utc = self._read()
            slept, moved = asleep - self._asleep, utc - self._utc
            self._asleep, self._utc = asleep, utc
        if slept > NOTICED:
            self._recorder.write(ev.Suspended(gap_us=slept))
        if abs(moved) > NOTICED:
            self._warn(moved)

    def _warn(self, moved: int, when: str = "") -> None:
        way = "forward" if moved > 0 else "back"
        because = f"the clock of this machine was moved {way} by {Duration(abs(moved)).human()}"
        self._recorder.write(ev.ClockWarned(because=f"{when} {because}".strip()))

    def _read(self) -> tuple[int, int]:
        """Time asleep, and how far UTC is from the clock that counts it; both in microseconds."""
        boottime = self._clock.boottime().micros
        return boottime - self._clock.monotonic().micros, self._clock.now().micros - boottime
