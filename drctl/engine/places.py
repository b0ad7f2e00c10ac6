"""Where a step stands, by the record where it began, else by the documents and what is known so far."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drctl.core.values import Unknown
from drctl.engine.context import Context, fixed_place
from drctl.engine.parts import carried
from drctl.engine.scope import RunScope
from drctl.engine.selection import chosen
from drctl.engine.world import LOCAL

if TYPE_CHECKING:
    from drctl.core.model import Step


def place_of(context: Context, step: Step, scope: RunScope | None = None) -> str | Unknown:
    """The one place of a step, computed when it has to be; Unknown with its reason when it cannot be told."""
    place = _place_of(context, step, scope)
    if isinstance(place, str) and place != LOCAL and context.bounds.leave_out(place) and step.acts:
        return Unknown(f"{place} is left out by --limit {','.join(context.bounds.limit)}", not_yet=False)
    return place


def _place_of(context: Context, step: Step, scope: RunScope | None) -> str | Unknown:
    fixed = fixed_place(step.on, context.inventory)
    if fixed is not None or step.on is None:
        return fixed or LOCAL
    if step.on.many:  # never one of many: who asks here cannot carry it out on each
        return Unknown("it stands on several hosts", not_yet=False)
    begun = context.state.step(step.path).intent
    if begun is not None:  # evaluated once, and frozen with the first unit
        return begun.host
    names = (scope or RunScope(context=context)).at(step)
    value: object = LOCAL
    if step.on.selection is not None:
        batch = carried(step)
        hosts = batch.hosts or () if batch is not None else chosen(step.on.selection, names, bounded=False)
        none = Unknown("the selection gives no host", not_yet=False)
        value = hosts if isinstance(hosts, Unknown) else hosts[0] if hosts else none
    elif step.on.computed is not None:
        value = step.on.computed.resolve(names)
    if isinstance(value, Unknown):
        return value
    name = str(value)
    if name != LOCAL and name not in context.inventory.hosts:
        return Unknown(f"{name!r} is not a host of the inventory", not_yet=False)
    return name
