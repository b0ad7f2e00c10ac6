"""What the engine is handed by wiring: the ports, by place.

A planner gets a `Looking`, which cannot act. An executor gets a `World`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from drctl.core.inventory import SecretRef
    from drctl.core.ports import ClaimShell, Facts, Http, Notifier, Probe
    from drctl.core.values import Duration

LOCAL = "local"
"""The place that is the machine of drctl itself."""


class Looking(Protocol):
    """The world to look at."""

    @property
    def facts(self) -> Facts:
        """What kinds may ask of the inventory; to ask makes no port and costs no link."""
        ...

    def probe(self, place: str, timeout: Duration) -> Probe:
        """Ports for looking from a place: a host's name, or `local`."""
        ...

    def reach(self, place: str) -> str:
        """Connect to a host and check that it can be worked on; empty when it can, else why not. Changes nothing."""
        ...

    def finds(self, secret: SecretRef) -> str:
        """Look whether a secret of the inventory is where it is said to be; empty when it is, else why not."""
        ...


class World(Looking, Protocol):
    """The world to act upon."""

    def shell(self, place: str) -> ClaimShell:
        """The claiming shell of a place."""
        ...

    def http(self, place: str) -> Http:
        """HTTP with all methods, from a place."""
        ...

    def claims(self, place: str) -> str:
        """Which store of claims a place has, where that is not plain from the place itself.

        A host's claims lie on the host. Those of `local` lie in one folder of one machine: another machine, or another
        folder, has none of them, and a claim that is missing there proves nothing.
        """
        ...

    @property
    def notifier(self) -> Notifier:
        """The inventory's channels."""
        ...
