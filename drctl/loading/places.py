"""Where a step runs and as whom: `on` and `as`, inherited from block and phase.

A host, a role and a group share one namespace; the name of a group is a selection of all its hosts.
"""

from __future__ import annotations

import enum
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from drctl.core.kind import Place
from drctl.core.nouns import dataclass
from drctl.core.outcomes import OnFailure
from drctl.core.places import On, PlaceKind, Selection
from drctl.core.templates import Template
from drctl.loading.literals import is_template
from drctl.loading.nodes import Mapping, Node
from drctl.loading.selections import read_selection
from drctl.loading.shapes import BAD, Bad, Reading, written
from drctl.loading.suggest import did_you_mean
from drctl.loading.tables import HOST_NAME
from drctl.loading.texts import TemplateText

if TYPE_CHECKING:
    from drctl.core.inventory import Inventory
    from drctl.loading.records import Fields

LOCAL: Final = "local"


class Role(enum.Enum):
    """What a step is to the step it stands in."""

    STEP = "step"
    LOOK = "look"
    WAY = "way"
    METHOD = "method"


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What a step takes from the block, phase or step around it. `on` is None where nothing was said: local.

    Attributes:
        home: the address of the `include` whose file this is; empty in the main file.
        carried: `on` is the selection of a block around, which carries its hosts through the steps inside.
        bound: loop names around.
    """

    path: str
    home: str = ""
    carried: bool = False
    bound: frozenset[str] = frozenset()
    role: Role = Role.STEP
    on: On | None = None
    as_user: Template | None = None
    on_failure: OnFailure = OnFailure.PAUSE


def read_on(node: Node, reading: Reading, inventory: Inventory | None) -> On | Bad:
    """Read `on`; names are looked up in the inventory when there is one."""
    if isinstance(node, Mapping):
        return read_selection(node, reading, inventory)
    scalar = written(node, reading, "a host, a role, a group, local, or a selection")
    if isinstance(scalar, Bad):
        return BAD
    if is_template(scalar):
        template = TemplateText().read(scalar, reading)
        return BAD if isinstance(template, Bad) else On(kind=PlaceKind.COMPUTED, computed=template, where=node.where)
    if scalar.text == LOCAL:
        return On(kind=PlaceKind.LOCAL, name=LOCAL, where=node.where)
    return _named(scalar.text, scalar, reading, inventory)


def _named(name: str, node: Node, reading: Reading, inventory: Inventory | None) -> On | Bad:
    if not re.fullmatch(HOST_NAME, name):
        reading.problems.error("E308", node.where, f"'{name[:60]}' is not a host name{reading.of}")
        return BAD
    if inventory is None or name in inventory.hosts:
        return On(kind=PlaceKind.HOST, name=name, where=node.where)
    if inventory.host_of_role(name) is not None:
        return On(kind=PlaceKind.ROLE, name=name, where=node.where)
    groups = {group for host in inventory.hosts.values() for group in host.groups}
    if name in groups:
        return On(kind=PlaceKind.SELECTION, selection=Selection(group=name), where=node.where)
    known = {LOCAL, *inventory.hosts, *groups, *(host.role for host in inventory.hosts.values() if host.role)}
    summary = f"the inventory '{inventory.name}' has no host, role or group '{name}'"
    reading.problems.error("E308", node.where, summary, did_you_mean(name, known))
    return BAD


def inherited(fields: Fields, around: Around, inventory: Inventory | None) -> Around:
    """What is around the steps of a phase or block: its own `on`, `as` and `on_failure`, else those around it."""
    own = read_on(fields.nodes["on"], fields.reading, inventory) if "on" in fields else None
    return replace(
        around,
        on=own if isinstance(own, On) else around.on,
        as_user=fields.get("as", Template) or around.as_user,
        on_failure=fields.member("on_failure", OnFailure, around.on_failure),
        carried=around.carried and not isinstance(own, On),
    )


def placed(
    fields: Fields, around: Around, place: Place, inventory: Inventory | None
) -> tuple[On | None, Template | None]:
    """Where a step runs and as which user, and whether its kind can run there."""
    label = fields.reading.within or "this step"
    if place is Place.NONE:
        for key in ("on", "as"):
            if key in fields:
                fields.error("E209", key, f"'{key}' cannot stand", "this kind works on values only")
        return None, None
    here = On(kind=PlaceKind.LOCAL, name=LOCAL, where=fields.node.where)
    own = read_on(fields.nodes["on"], fields.reading, inventory) if "on" in fields else None
    on = own if isinstance(own, On) else around.on or here
    if place is Place.LOCAL:
        if isinstance(own, On) and own.kind is not PlaceKind.LOCAL:
            fields.reading.problems.error("E214", own.where, f"{label} runs on local only", "leave `on` out")
        on = own if isinstance(own, On) and own.kind is PlaceKind.LOCAL else here
    elif place is Place.HOST and on.kind is PlaceKind.LOCAL and not isinstance(own, Bad):
        fields.reading.problems.error("E214", fields.at("on"), f"{label} needs a host", "write on: HOST or on: ROLE")
    return on, fields.get("as", Template) or _user(around, on)


def _user(around: Around, on: On) -> Template | None:
    """The inherited user; on local only for the steps of one step that runs there too."""
    of_one_step = around.role is not Role.STEP and around.on is not None and around.on.kind is PlaceKind.LOCAL
    return around.as_user if on.kind is not PlaceKind.LOCAL or of_one_step else None
