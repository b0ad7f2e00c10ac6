"""Time in memory: it passes when somebody waits, the machine may sleep or start anew, and UTC may be moved."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from drctl.core.values import Duration, Time

if TYPE_CHECKING:
    from collections.abc import Callable

START = 1_790_000_000_000_000


class FakeClock:
    """Time that passes only when somebody waits.

    `slept` is time asleep, which the monotonic clock does not count; `moved` how far somebody moved UTC. `then` is
    called when somebody has waited, with the length.
    """

    def __init__(self) -> None:
        self.micros = START
        self.slept = 0
        self.moved = 0
        self.boot = "boot"
        self.booted = 0
        self.then: Callable[[Duration], None] = lambda _: None
        self._lock = threading.Lock()

    def now(self) -> Time:
        with self._lock:
            self.micros += 1000
        return self.shown

    @property
    def shown(self) -> Time:
        """What UTC is now, without any time passing."""
        return Time(self.micros + self.slept + self.moved)

    def restart(self) -> None:
        """Start the machine anew: its clocks begin at nothing, UTC goes on."""
        self.boot, self.booted = f"{self.boot}+", self.micros
        self.moved, self.slept = self.moved + self.slept, 0

    def monotonic(self) -> Duration:
        return Duration(self.micros - self.booted)

    def boottime(self) -> Duration:
        return Duration(self.micros - self.booted + self.slept)

    def sleep(self, length: Duration, wake: Callable[[], bool] | None = None) -> None:
        if wake is None or not wake():
            with self._lock:
                self.micros += length.micros
        self.then(length)
