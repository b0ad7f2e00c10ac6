"""Selections of hosts: a map under `on`, or the name of a group; and which hosts one can be at all.

What a selection picks in a run depends on conditions. Its group, site and role are known before: hosts outside of them
are never picked, and two selections without a host in common never meet.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from drctl.core.places import Count, On, PlaceKind, Selection
from drctl.core.values import Duration
from drctl.core.written import Formula
from drctl.loading import tables
from drctl.loading.shapes import BAD, Bad, Reading
from drctl.loading.suggest import did_you_mean

if TYPE_CHECKING:
    from drctl.core.inventory import Inventory
    from drctl.loading.nodes import Mapping
    from drctl.loading.records import Fields

_ONE_OF = ("group", "site", "role", "hosts")
_ROLLING = ("batch", "canaries", "soak")


def read_selection(node: Mapping, reading: Reading, inventory: Inventory | None) -> On | Bad:
    """Read a selection; its names are looked up in the inventory when there is one."""
    fields = tables.SELECTION.read(node, reading.inside(f"on of {reading.within}" if reading.within else "on"))
    if isinstance(fields, Bad):
        return BAD
    _check_rolling(fields)
    if not any(key in fields for key in _ONE_OF):
        summary = f"nothing says which hosts{reading.of}"
        reading.problems.error("E202", node.where, summary, "give one or more of group, site, role, hosts")
        return BAD
    known = _check_names(fields, inventory)
    if not known or fields.keys.keys() - fields.values.keys():
        return BAD
    found = Selection(
        group=fields.get("group", str) or "",
        site=fields.get("site", str) or "",
        role=fields.get("role", str) or "",
        hosts=fields.get("hosts", Formula),
        condition=fields.get("where", Formula),
        leave_out=fields.get("except", Formula),
        take=fields.get("take", int),
        batch=_count(fields, "batch"),
        canaries=_canaries(fields),
        soak=fields.get("soak", Duration),
        max_failures=_count(fields, "max_failures"),
        all_or_none=fields.get("all_or_none", bool) or False,
    )
    on = On(kind=PlaceKind.SELECTION, selection=found, where=node.where)
    if inventory is not None and candidates(on, inventory) == frozenset():
        keys = [key for key in ("group", "site", "role") if key in fields]
        words = " and ".join(f"{key} {fields.get(key, str)}" for key in keys)
        fields.error(
            "E308", keys[0], f"no host of the inventory '{inventory.name}' has {words}", "take one of them out"
        )
        return BAD
    return on


def candidates(on: On | None, inventory: Inventory | None) -> frozenset[str] | None:
    """The hosts this place can be, as far as the document tells; None when that may be any."""
    if on is None or inventory is None:
        return None
    if on.selection is not None:
        return frozenset(host.name for host in inventory.hosts.values() if on.selection.fits(host))
    if on.kind is PlaceKind.ROLE:
        holder = inventory.host_of_role(on.name)
        return None if holder is None else frozenset({holder.name})
    if on.kind is PlaceKind.HOST:
        return frozenset({on.name})
    return frozenset() if on.kind is PlaceKind.LOCAL else None


def exact(on: On, inventory: Inventory | None) -> frozenset[str]:
    """The hosts this place certainly is; empty when conditions decide."""
    chosen = on.selection
    if chosen is None:
        if on.kind is PlaceKind.ROLE or inventory is not None:
            return candidates(on, inventory) or frozenset({on.name} if on.kind is PlaceKind.ROLE else ())
        return frozenset({on.name}) if on.kind is PlaceKind.HOST else frozenset()
    open_ended = (chosen.hosts, chosen.condition, chosen.leave_out, chosen.take)
    return frozenset() if any(one is not None for one in open_ended) else candidates(on, inventory) or frozenset()


def _check_rolling(fields: Fields) -> None:
    if fields.get("take", int) == 1:
        for key in _ROLLING:
            if key in fields:
                fields.error("E210", key, f"'{key}' cannot stand", "take: 1 is one host; there is nothing to roll over")
    elif "soak" in fields and "batch" not in fields and "canaries" not in fields:
        fields.error("E210", "soak", "'soak' needs 'batch' or 'canaries'", "it is the pause between batches")
    for key in ("batch", "canaries"):
        if fields.get(key, str) == "0":
            fields.error("E204", key, f"'{key}' is at least 1", "leave it out to take all at once")


def _check_names(fields: Fields, inventory: Inventory | None) -> bool:
    """Whether every group, site and role is one of the inventory."""
    if inventory is None:
        return True
    hosts = inventory.hosts.values()
    known = {
        "group": {group for host in hosts for group in host.groups},
        "site": {*inventory.sites, *(host.site for host in hosts if host.site)},
        "role": {host.role for host in hosts if host.role},
    }
    good = True
    wanted = [(key, key, fields.get(key, str)) for key in known]
    if isinstance(_canaries(fields), str):
        wanted.append(("canaries", "group", fields.get("canaries", str)))
    for key, what, name in wanted:
        if name is not None and name not in known[what]:
            good = False
            summary = f"the inventory '{inventory.name}' has no {what} '{name}'"
            fields.error("E308", key, summary, did_you_mean(name, known[what]))
    return good


def _count(fields: Fields, key: str) -> Count | None:
    written = fields.get(key, str)
    if written is None:
        return None
    return Count(number=int(written.removesuffix("%")), percent=written.endswith("%"))


def _canaries(fields: Fields) -> Count | str | None:
    written = fields.get("canaries", str)
    return _count(fields, "canaries") if written is None or re.fullmatch(tables.COUNT, written) else written
