"""Where a step runs and as whom: `on` and `as`, inherited from block and phase.

A host, a role and a group share one namespace. Groups are refused in this version, never narrowed to one host.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from drctl.core.kind import Place
from drctl.core.model import On, OnFailure, PlaceKind
from drctl.core.templates import Template
from drctl.loading.literals import is_template
from drctl.loading.nodes import Mapping, Node, Sequence
from drctl.loading.shapes import BAD, Bad, Reading, written
from drctl.loading.suggest import did_you_mean
from drctl.loading.tables import GROUPS
from drctl.loading.texts import TemplateText

if TYPE_CHECKING:
    from drctl.core.inventory import Inventory
    from drctl.loading.records import Fields

LOCAL: Final = "local"
HOST_NAME: Final = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}"


class Role(enum.Enum):
    """What a step is to the step it stands in."""

    STEP = "step"
    LOOK = "look"
    WAY = "way"
    METHOD = "method"


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What a step takes from the block, phase or step around it. `on` is None where nothing was said: local."""

    path: str
    role: Role = Role.STEP
    on: On | None = None
    as_user: Template | None = None
    on_failure: OnFailure = OnFailure.PAUSE


def read_on(node: Node, reading: Reading, inventory: Inventory | None) -> On | Bad:
    """Read `on`; names are looked up in the inventory when there is one."""
    if isinstance(node, Mapping | Sequence):
        reading.problems.error("E205", node.where, f"a selection of hosts{reading.of} is not in this version", GROUPS)
        return BAD
    scalar = written(node, reading, "a host, a role, or local")
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
    members = [host.name for host in inventory.hosts.values() if name in host.groups]
    if members:
        hint = f"{GROUPS}: {', '.join(members)}"
        reading.problems.error(
            "E205", node.where, f"'{name}' is a group; a group{reading.of} is not in this version", hint
        )
        return BAD
    known = {LOCAL, *inventory.hosts, *(host.role for host in inventory.hosts.values() if host.role)}
    summary = f"the inventory '{inventory.name}' has no host or role '{name}'"
    reading.problems.error("E308", node.where, summary, did_you_mean(name, known))
    return BAD


def inherited(fields: Fields, around: Around, inventory: Inventory | None) -> Around:
    """What is around the steps of a phase or block: its own `on`, `as` and `on_failure`, else those around it."""
    own = read_on(fields.nodes["on"], fields.reading, inventory) if "on" in fields else None
    return Around(
        path=around.path,
        role=around.role,
        on=own if isinstance(own, On) else around.on,
        as_user=fields.get("as", Template) or around.as_user,
        on_failure=fields.member("on_failure", OnFailure, around.on_failure),
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
