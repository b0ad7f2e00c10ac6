"""The pauses and limits of `until` and `retry`."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Final

from drctl.core.values import Duration

if TYPE_CHECKING:
    from collections.abc import Callable

    from drctl.core.model import Repeat

LONGEST_PAUSE: Final = Duration(300_000_000)
LEAST: Final = Duration(1_000_000)
"""An attempt that is made at all is given this long."""


class Ladder:
    """Takes the rungs of a wait that are due; the walk is put in once it is there.

    `take` gives why a rung failed, else an empty text.
    """

    def __init__(self) -> None:
        self.take: Callable[[Repeat, Duration], str] = lambda _repeat, _since: ""


class Pace:
    """One row of attempts."""

    def __init__(self, repeat: Repeat, now: Duration) -> None:
        self._repeat = repeat
        self._began = now
        self._pause = repeat.every
        self.tries = 0
        self.refused = ""
        """Why a rung of the ladder failed: then the whole has."""
        self.time_over = False
        """Whether `within` ended it, not `times`."""

    def climb(self, ladder: Ladder, now: Duration) -> bool:
        """Take the rungs that are due; whether the wait may go on."""
        self.refused = ladder.take(self._repeat, Duration(now.micros - self._began.micros))
        return not self.refused

    def left(self, now: Duration) -> Duration | None:
        """What remains of `within`; None when there is no such limit."""
        if self._repeat.within is None:
            return None
        return Duration(max(0, self._began.micros + self._repeat.within.micros - now.micros))

    def limit(self, of_attempt: Duration, now: Duration) -> Duration:
        """An attempt gets the smaller of its own limit and what is left."""
        left = self.left(now)
        return of_attempt if left is None else max(LEAST, min(of_attempt, left))

    def next_pause(self, now: Duration, needed: int = 1) -> Duration | None:
        """The pause before the next try; None when it can no longer succeed (`needed` more tries are wanted)."""
        times = self._repeat.times
        if times is not None and self.tries + needed > times:
            return None
        left = self.left(now)
        if left is not None and left.micros <= self._pause.micros * needed:
            self.time_over = True
            return None
        pause, factor = self._pause, self._repeat.backoff
        if isinstance(factor, int | Decimal):
            self._pause = Duration(min(LONGEST_PAUSE.micros, int(pause.micros * factor)))
        return pause
