"""Notices, between two steps, that the machine slept or that its clock was moved."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from drctl.core import events as ev
from drctl.core.timeline import NOTICED, SLEWED
from drctl.core.values import Duration

if TYPE_CHECKING:
    from drctl.core.ports import Clock
    from drctl.engine.recorder import Recorder


class Sleeps:
    """Compares the clocks of one writer with what the journal knows of them (`core.timeline`)."""

    def __init__(self, clock: Clock, recorder: Recorder) -> None:
        self._clock = clock
        self._recorder = recorder
        self._lock = threading.Lock()
        self._asleep = self._time_asleep()

    def taken_up(self) -> None:
        """Record what happened to the clocks while nobody carried the run out; called once, before anything is done.

        On the same boot UTC may be ahead by what the machine slept, and no more. After a restart nothing but UTC is
        left: it can only be told that it went back.
        """
        left, entry = self._recorder.state.left, self._recorder.state.newest
        if left is None or entry is None:
            return
        when = "while nobody carried the run out"
        if entry.boot != left.boot:
            untold, back = self._recorder.state.timeline.untold, entry.at.micros - left.at.micros
            if untold:
                self._warn(untold, "before this machine was started anew,", moved=0)
            if back < -NOTICED:
                self._warn(back, f"{when} and this machine was started anew,", moved=0)
            return
        with self._lock:
            self._asleep, ahead = self._read()
            least = NOTICED + (entry.mono - left.mono) // 1_000_000 * SLEWED
            if least < ahead <= self._asleep + least:
                self._recorder.write(ev.Suspended(gap_us=ahead))
            elif abs(ahead) > least:
                self._warn(ahead, f"{when},")

    def check(self) -> None:
        """Record what happened since the last check."""
        with self._lock:
            asleep, ahead = self._read()
            slept, self._asleep = asleep - self._asleep, asleep
            moved = ahead - slept
            if slept > NOTICED:
                self._recorder.write(ev.Suspended(gap_us=slept))
            if abs(moved) > NOTICED:
                self._warn(moved)

    def _warn(self, moved_us: int, when: str = "", moved: int | None = None) -> None:
        way = "forward" if moved_us > 0 else "back"
        because = f"{when} the clock of this machine was moved {way} by {Duration(abs(moved_us)).human()}".strip()
        self._recorder.write(ev.ClockWarned(because=because, moved_us=moved_us if moved is None else moved))

    def _read(self) -> tuple[int, int]:
        """Time asleep, and how far UTC is ahead of what the journal tells; read anew when it slept in between."""
        while True:
            before, utc = self._time_asleep(), self._clock.now().micros
            mono, after = self._clock.monotonic().micros, self._time_asleep()
            if abs(after - before) <= NOTICED:
                return after, self._recorder.state.timeline.ahead(utc, mono)

    def _time_asleep(self) -> int:
        return self._clock.boottime().micros - self._clock.monotonic().micros
