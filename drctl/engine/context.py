"""What a run is made of: the one noun that engine functions share."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from drctl.core.bounds import Bounds
from drctl.core.nouns import dataclass
from drctl.core.outline import Outline
from drctl.core.places import On, PlaceKind
from drctl.core.values import Duration, HostRef, Secret, Unknown, Value
from drctl.engine.world import LOCAL

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from drctl.core.fold import RunState
    from drctl.core.inventory import Inventory
    from drctl.core.kind import Kind
    from drctl.core.model import Frame, Runbook, Step
    from drctl.core.ports import Clock
    from drctl.engine.outputs import Store

LOOK_LIMIT = Duration(30_000_000)
ACT_LIMIT = Duration(600_000_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who this run is: on the hosts, in the journal, to people.

    `holder` is the fingerprint of the run key in use; with `epoch` it names the writer to the hosts.
    """

    uid: str
    id: str
    operator: str
    operator_person: str = ""
    node: str = ""
    epoch: int = 1
    holder: str = ""
    mode: str = "live"
    language: str = ""


def no_secret(reference: str) -> Secret:
    """A secret where none can be had: it is known by its name only."""
    return Secret("", reference)


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The documents, the frozen inputs, the kinds, the clock, and the state as known so far."""

    runbook: Runbook
    inventory: Inventory
    kinds: Mapping[str, type[Kind]]
    inputs: Mapping[str, Value | Unknown | Secret]
    vars: Mapping[str, Value | Unknown]
    clock: Clock
    state: RunState
    identity: Identity
    store: Store
    planning: bool = False
    bounds: Bounds = field(default_factory=Bounds)
    outline: Outline = field(default_factory=Outline)
    secret: Callable[[str], Secret] = no_secret
    rounds: dict[tuple[str, int, int], tuple[Frame, ...]] = field(default_factory=dict)
    """Rounds that were read from the journal, so that they are read once."""
    made: dict[str, Step] = field(default_factory=dict)
    """Steps of rounds, by address, so that they are made once."""
    held: dict[str, dict[str, Secret]] = field(default_factory=dict)
    """Values of sensitive steps by path and name: in this process only, gone with it."""


def fixed_place(on: On | None, inventory: Inventory) -> str | None:
    """The place of a step as far as the documents tell; None when it is computed. Roles are bound by the inventory."""
    if on is None or on.kind is PlaceKind.LOCAL:
        return LOCAL
    if on.kind is PlaceKind.HOST:
        return on.name
    if on.kind is PlaceKind.ROLE:
        host = inventory.host_of_role(on.name)
        return host.name if host else None
    return None


def host_value(inventory: Inventory, name: str) -> HostRef | None:
    """A host or the holder of a role as a value."""
    host = (inventory.hosts.get(name) or inventory.host_of_role(name)) if name else None
    return host.ref if host else None
