"""From documents and inputs to a context: constants resolved, secrets left as references until they are used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drctl.core.nouns import replace
from drctl.core.outline import outline_of
from drctl.core.values import Secret, Unknown, Value, from_json, to_json
from drctl.engine.fields import resolve
from drctl.engine.scope import RunScope

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from drctl.core.model import Runbook
    from drctl.engine.context import Context


def freeze_inputs(runbook: Runbook, values: Mapping[str, Value]) -> dict[str, Any]:
    """Inputs in their frozen form: defaults filled in, optional ones left out, secrets as references."""
    frozen: dict[str, Any] = {}
    for spec in runbook.inputs:
        if spec.source is not None:
            frozen[spec.name] = {"$secret": spec.source}
        elif spec.name in values and values[spec.name] is not None:
            frozen[spec.name] = to_json(values[spec.name])
        elif spec.has_default:
            frozen[spec.name] = to_json(spec.default)
    return frozen


def thaw_inputs(
    runbook: Runbook, frozen: Mapping[str, Any], secret: Callable[[str], Secret]
) -> dict[str, Value | Unknown | Secret]:
    """Inputs as expressions see them; one that was answered "not known" is none."""
    values: dict[str, Value | Unknown | Secret] = {}
    for spec in runbook.inputs:
        written = frozen.get(spec.name)
        if isinstance(written, dict) and "$secret" in written:
            values[spec.name] = secret(written["$secret"])
        elif spec.name in frozen:
            values[spec.name] = from_json(written)
        else:
            values[spec.name] = Unknown(f'{spec.name} was answered "not known"', not_yet=False)
    return values


def resolve_vars(context: Context) -> dict[str, Value | Unknown]:
    """Resolve constants, which may use one another; the loader has refused cycles."""
    values: dict[str, Value | Unknown] = {}
    wanted = dict(context.runbook.vars)
    scope = RunScope(context=replace(context, vars=values))  # it sees each value as soon as it is there
    before = 0
    while len(wanted) != before:
        before = len(wanted)
        for name in list(wanted):
            value = resolve(wanted[name], scope)
            if not isinstance(value, Unknown) or not any(f"vars has no '{other}'" in value.reason for other in wanted):
                values[name] = value
                del wanted[name]
        wanted = dict(reversed(wanted.items()))  # a chain written upside down is done in the second turn
    return values | {name: Unknown("it cannot be resolved", not_yet=False) for name in wanted}


def complete(context: Context) -> Context:
    """Add the index of steps and the resolved constants."""
    indexed = replace(context, outline=outline_of(context.runbook))
    return replace(indexed, vars=resolve_vars(indexed))
