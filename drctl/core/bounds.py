"""What a person bounds a run by when it is started: the hosts it may act on, and how many it turns to at a time."""

from __future__ import annotations

from typing import Final

from drctl.core.nouns import dataclass

FAN_OUT: Final = 32
"""Hosts that are turned to at a time, unless a person says another number."""
MOST: Final = 256
"""The largest such number: each is a thread and an open connection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """The bounds of one run, frozen with it.

    Attributes:
        limit: the only hosts that it may act on, in inventory order; none named means every host.
        fan_out: hosts at a time.
    """

    limit: tuple[str, ...] = ()
    fan_out: int = FAN_OUT

    def leave_out(self, host: str) -> bool:
        """Whether a host of the inventory is not to be acted on."""
        return bool(self.limit) and host not in self.limit
