"""Time, as the machine of drctl tells it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from drctl.core.values import Duration, Time

if TYPE_CHECKING:
    from collections.abc import Callable

_TICK = 0.05


class SystemClock:
    """The Clock port on this machine."""

    def now(self) -> Time:
        """UTC now."""
        return Time(time.time_ns() // 1000)

    def monotonic(self) -> Duration:
        """CLOCK_MONOTONIC."""
        return Duration(time.monotonic_ns() // 1000)

    def boottime(self) -> Duration:
        """CLOCK_BOOTTIME, which counts time asleep; where it is missing (not Linux), the monotonic clock."""
        clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
        return Duration(time.clock_gettime_ns(clock) // 1000)

    def sleep(self, length: Duration, wake: Callable[[], bool] | None = None) -> None:
        """Sleep; with `wake`, look every 50 ms whether to stop."""
        end = time.monotonic() + length.micros / 1_000_000
        while (left := end - time.monotonic()) > 0:
            if wake is not None and wake():
                return
            time.sleep(left if wake is None else min(_TICK, left))
