"""What a kind says about fields that are written out in full: its own checks, made before anything runs.

A field that holds a template has no value yet; a step with one is checked by the engine when it has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from drctl.core.kind import EngineKind, FieldError
from drctl.core.model import FieldValue, Listed, Mapped
from drctl.core.scripts import ResolvedScript, Script
from drctl.core.templates import Template
from drctl.core.values import Map
from drctl.core.written import Formula
from drctl.loading.literals import fields_of
from drctl.loading.suggest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drctl.core.diagnostics import Where
    from drctl.core.inventory import Inventory
    from drctl.core.kind import Kind
    from drctl.core.model import Action
    from drctl.loading.shapes import Reading


class _NotYet:
    """The value holds a template."""


_NOT_YET: Final = _NotYet()


def check_given(kind: type[Kind], action: Action, where: Where, reading: Reading) -> bool:
    """Let the kind judge which fields are given, whether or not they have values yet; say if it takes them.

    A field that is written out as its default, such as `unit: ""`, is not given.
    """
    specs = {spec.name: spec for spec in kind.fields()}
    empty = {
        name for name, value in action.fields.items()
        if name in specs and not specs[name].required and _literal(value) == specs[name].default
    }  # fmt: skip
    try:
        kind.choose(action.field_where.keys() - empty)
    except FieldError as error:
        reading.problems.error(
            "E210", action.field_where.get(error.name, where), f"{error.summary}{reading.of}", error.hint
        )
        return False
    return True


def check_literals(kind: type[Kind], action: Action, where: Where, reading: Reading) -> None:
    """Let the kind judge its fields, when every one of them is written out."""
    required = {name for name, spec in fields_of(kind).items() if spec.required}
    if issubclass(kind, EngineKind) or not required <= action.fields.keys():
        return
    values = {name: _literal(value) for name, value in action.fields.items()}
    if any(isinstance(value, _NotYet) for value in values.values()):
        return
    try:
        kind(**values)
    except FieldError as error:
        place = action.field_where.get(error.name, where)
        reading.problems.error("E204", place, f"'{error.name}': {error.summary}{reading.of}", error.hint)


def _literal(value: FieldValue) -> object:
    match value:
        case Template():
            return value.text if value.is_plain else _NOT_YET
        case Script():
            return _NOT_YET if value.bindings else ResolvedScript(value.text, {})
        case Formula():
            return _NOT_YET
        case Mapped():
            parts = {name: _literal(member) for name, member in value.items.items()}
            return _NOT_YET if any(isinstance(part, _NotYet) for part in parts.values()) else Map(parts)  # type: ignore[arg-type] # values now
        case Listed():
            members = tuple(_literal(member) for member in value.items)
            return _NOT_YET if any(isinstance(member, _NotYet) for member in members) else members
        case _:
            return value


def check_entries(
    kind: type[Kind], action: Action, where: Where, inventory: Inventory | None, reading: Reading
) -> None:
    """Look up what fields name of the inventory: databases, buckets, channels."""
    if inventory is None:
        return
    for spec in kind.fields():
        known = inventory.entries(spec.entry) if spec.entry else {}
        for name in _plain_texts(action.fields, spec.name) if spec.entry else ():
            if name not in known:
                place = action.field_where.get(spec.name, where)
                summary = f"the inventory '{inventory.name}' has no {spec.entry} '{name}'"
                reading.problems.error("E308", place, summary + reading.of, did_you_mean(name, known))


def _plain_texts(fields: Mapping[str, FieldValue], name: str) -> list[str]:
    value = fields.get(name)
    members = value.items if isinstance(value, Listed) else (value,)
    return [one.text for one in members if isinstance(one, Template) and one.is_plain and one.text]
