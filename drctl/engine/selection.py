"""Which hosts a selection gives now. Evaluated once, when its step begins, and frozen; never on a guess."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drctl.core.expressions import evaluate
from drctl.core.nouns import replace
from drctl.core.values import HostRef, Unknown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from drctl.core.inventory import Inventory
    from drctl.core.places import On, Selection
    from drctl.core.written import Formula
    from drctl.engine.scope import RunScope


def chosen(selection: Selection, scope: RunScope, *, bounded: bool = True) -> tuple[str, ...] | Unknown:
    """The hosts that satisfy everything the selection says, in inventory order; Unknown when that cannot be told.

    Of these, only those within the run's `--limit`, if it is `bounded`.
    """
    inventory = scope.context.inventory
    named = _names(selection.hosts, scope)
    left_out = _names(selection.leave_out, scope)
    if isinstance(named, Unknown):
        return named
    if isinstance(left_out, Unknown):
        return left_out
    foreign = [name for name in (*(named or ()), *(left_out or ())) if name not in inventory.hosts]
    if foreign:
        return Unknown(f"{foreign[0]!r} is not a host of the inventory", not_yet=False)
    found = []
    for host in inventory.hosts.values():
        outside = host.name in (left_out or ()) or (named is not None and host.name not in named)
        if outside or not selection.fits(host):
            continue
        wanted = _wanted(selection.condition, replace(scope, place=host.name))
        if isinstance(wanted, Unknown):
            return wanted
        if wanted:
            found.append(host.name)
    taken = found if selection.take is None else found[: selection.take]
    return tuple(host for host in taken if not (bounded and scope.context.bounds.leave_out(host)))


def candidates(selection: Selection, scope: RunScope) -> tuple[str, ...]:
    """The hosts it may give, as far as the inventory tells: conditions and lists that are not known leave none out."""
    bounds, hosts = scope.context.bounds, scope.context.inventory.hosts.values()
    fitting = (host.name for host in hosts if selection.fits(host) and selection.hosts is None)
    return tuple(host for host in fitting if not bounds.leave_out(host))


def possible(on: On | None, inventory: Inventory) -> tuple[str, ...]:
    """Every host that a place which is not known yet may turn out to be."""
    selection = on.selection if on is not None else None
    return tuple(host.name for host in inventory.hosts.values() if selection is None or selection.fits(host))


def batches(selection: Selection, hosts: tuple[str, ...], scope: RunScope) -> tuple[tuple[str, ...], ...]:
    """The hosts in the batches they are taken in: canaries first, then so many at a time."""
    first: tuple[str, ...] = ()
    if isinstance(selection.canaries, str):
        in_group = {h.name for h in scope.context.inventory.hosts.values() if selection.canaries in h.groups}
        out = _names(selection.leave_out, scope)
        left_out = out if isinstance(out, tuple) else ()
        bounds, every = scope.context.bounds, scope.context.inventory.hosts
        fitting = (host for host in every if host in in_group and host not in left_out)
        first = tuple(host for host in fitting if not bounds.leave_out(host))
    elif selection.canaries is not None:
        first = hosts[: selection.canaries.of(len(hosts))]
    rest = tuple(host for host in hosts if host not in first)
    size = len(rest) if selection.batch is None else selection.batch.of(len(hosts))
    found = [first] if first else []
    found += [rest[at : at + size] for at in range(0, len(rest), max(1, size))]
    return tuple(found)


def allowed(selection: Selection, total: int) -> int:
    """How many hosts may fail."""
    return selection.max_failures.of(total) if selection.max_failures is not None else 0


def _wanted(condition: Formula | None, scope: RunScope) -> bool | Unknown:
    if condition is None:
        return True
    seen = evaluate(condition.expression, scope)
    if isinstance(seen, Unknown) and not seen.not_yet:
        return Unknown(f"cannot tell whether {condition.text} for {scope.place}: {seen}", not_yet=False)
    return seen if isinstance(seen, Unknown) else seen is True


def _names(formula: Formula | None, scope: RunScope) -> tuple[str, ...] | Unknown | None:
    if formula is None:
        return None
    value = evaluate(formula.expression, scope)
    if isinstance(value, Unknown):
        return value
    members: Iterable[object] = value if isinstance(value, tuple) else (value,)
    return tuple(member.name if isinstance(member, HostRef) else str(member) for member in members)
