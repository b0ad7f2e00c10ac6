"""The order in which `vars` can be computed, and cycles among them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drctl.core.model import FieldValue, Listed, Mapped
from drctl.core.nouns import dataclass
from drctl.core.scripts import Script
from drctl.core.templates import Template
from drctl.core.written import Formula

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from drctl.core.diagnostics import Where
    from drctl.core.expressions import Expression
    from drctl.loading.shapes import Reading

_VARS_MEMBER = 2


@dataclass(frozen=True, slots=True)
class Standing:
    """An expression, the parsed text it stands in, and the offset of its own text in that."""

    expression: Expression
    text: object
    inner: int


def expressions_of(value: FieldValue) -> Iterator[Standing]:
    """Every expression of a value, at any depth."""
    match value:
        case Template():
            yield from (Standing(each.expression, value, each.inner) for each in value.placeholders)
        case Formula():
            yield Standing(value.expression, value.expression, 0)
        case Script():
            yield from (Standing(each.expression, value, each.inner) for each in value.bindings)
        case Mapped():
            for member in value.items.values():
                yield from expressions_of(member)
        case Listed():
            for member in value.items:
                yield from expressions_of(member)
        case _:
            return


def order_of_variables(values: Mapping[str, FieldValue], reading: Reading, where: Where) -> tuple[str, ...]:
    """The names in an order in which each can be computed; members of a cycle are reported and come last."""
    needs = {name: _needs(value) & values.keys() for name, value in values.items()}
    users: dict[str, list[str]] = {name: [] for name in values}
    for name, needed in needs.items():
        for other in needed:
            users[other].append(name)
    missing = {name: len(needed) for name, needed in needs.items()}
    ready = [name for name, count in missing.items() if count == 0]
    for name in ready:  # grows while it is walked
        for user in users[name]:
            missing[user] -= 1
            if missing[user] == 0:
                ready.append(user)
    done = set(ready)
    stuck = [name for name in values if name not in done]
    for name in stuck:
        standing = next((one for one in expressions_of(values[name]) if _uses(one.expression)), None)
        place = reading.texts.place(standing.text, standing.inner, where) if standing else where
        hint = f"it needs {', '.join(sorted(needs[name]))}; one of them must stand by itself"
        reading.problems.error("E307", place, f"the variable {name} depends on itself, or on one that does", hint)
    return (*ready, *stuck)


def _needs(value: FieldValue) -> set[str]:
    return {name for one in expressions_of(value) for name in _uses(one.expression)}


def _uses(expression: Expression) -> set[str]:
    return {use.path[1] for use in expression.paths() if use.path[0] == "vars" and len(use.path) >= _VARS_MEMBER}
