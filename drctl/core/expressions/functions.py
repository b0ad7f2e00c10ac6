"""What the functions of the closed list do with their values. Who calls them has checked the types.

`known`, `default`, `group` and `now` need more than values and are carried out by `evaluate`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

from drctl.core.encoding import parse_json, text_of
from drctl.core.expressions import patterns
from drctl.core.expressions.operators import NoValueError, calculate, compare
from drctl.core.quantities import Duration, Size, Time
from drctl.core.value_types import Map, Unknown, Value, number, order_key, type_name

_INT = re.compile(r"[+-]?[0-9]{1,100}")
_DECIMAL = re.compile(r"[+-]?[0-9]{1,100}(?:\.[0-9]{1,100})?(?:[eE][+-]?[0-9]{1,3})?")


def shown(text: str) -> str:
    """A text from a host as it may stand in a reason: one line, short, unprintable characters escaped."""
    cut = text if len(text) <= 40 else text[:37] + "..."  # noqa: PLR2004 - what fits a line of a message
    return ascii(cut) if not cut.isprintable() or "'" in cut else f"'{cut}'"


def _int(value: Any) -> Value:  # noqa: ANN401 - the signature has checked it
    if isinstance(value, str):
        if not _INT.fullmatch(value.strip()):
            raise NoValueError(f"{shown(value)} is no whole number")
        return number(int(value))
    if value != int(value):
        raise NoValueError(f"{value} is no whole number")
    return number(int(value))


def _decimal(value: Any) -> Value:  # noqa: ANN401
    if isinstance(value, str) and not _DECIMAL.fullmatch(value.strip()):
        raise NoValueError(f"{shown(value)} is no number")
    return number(Decimal(value.strip() if isinstance(value, str) else value))


def _time(text: str, written: str | None = None) -> Value:
    return Time.parse(text.strip()) if written is None else patterns.read_time(text.strip(), written)


def _json(text: str) -> Value:
    value = parse_json(text)
    if isinstance(value, Unknown):
        raise NoValueError(value.reason)
    return value


def lines(text: str) -> tuple[str, ...]:
    """The lines of a text: LF and CR LF end a line, and nothing else does (a form feed is data)."""
    found = text.replace("\r\n", "\n").split("\n")
    return tuple(found[:-1] if found[-1] == "" else found)


def _split(text: str, separator: str) -> Value:
    if not separator:
        raise NoValueError("the separator of split is empty")
    return tuple(text.split(separator))


def _columns(text: str, header: str) -> Value:
    names = header.split()
    if not names or len(set(names)) != len(names):
        raise NoValueError("columns needs names, each once")
    rows = (line.split(None, len(names) - 1) for line in lines(text))
    return tuple(Map(dict(zip(names, (part.rstrip() for part in row), strict=False))) for row in rows if row)


def _match(text: str, pattern: str) -> Value:
    found = patterns.first_match(pattern, text)
    if found is None:
        raise NoValueError(f"nothing in the text matches '{pattern}'")
    return found


def _matches(text: str, pattern: str) -> Value:
    return tuple(patterns.all_matches(pattern, text))


def _join(members: tuple[Value, ...], separator: str) -> Value:
    for member in members:
        if member is None or isinstance(member, tuple | Mapping):
            raise NoValueError(f"join takes texts and figures, and one member is {type_name(member)}")
    return separator.join(text_of(member) for member in members)


def _end(members: tuple[Any, ...], at: int) -> Any:  # noqa: ANN401 - a value or a node
    if not members:
        raise NoValueError("the list is empty")
    return members[at]


def _unique(members: tuple[Value, ...]) -> Value:
    seen: dict[object, Value] = {}
    kinds = {family for family in map(_family, members) if family != "null"}
    if len(kinds) > 1:
        raise NoValueError(f"the list holds {' and '.join(sorted(kinds))}, which cannot be compared")
    for member in members:
        seen.setdefault(_identity(member), member)
    return tuple(seen.values())


def _family(value: Value) -> str:
    name = type_name(value)
    return "number" if name in {"int", "decimal"} else name


def _identity(value: Value) -> object:
    """Equal for equal values of one type, and for nothing else (Python holds True and 1 to be equal)."""
    if isinstance(value, tuple):
        return tuple(_identity(member) for member in value)
    if isinstance(value, Mapping):
        return frozenset((key, _identity(member)) for key, member in value.items())
    return _family(value), value


def _sum(members: tuple[Value, ...]) -> Value:
    if not members:
        return 0
    total = members[0]
    if not isinstance(total, int | Decimal | Duration | Size) or isinstance(total, bool):
        raise NoValueError(f"{type_name(total)} cannot be summed")
    for member in members[1:]:
        total = calculate("+", total, member)
    return total


def _least(members: tuple[Value, ...]) -> Value:
    least: Value = best(members, members, "<")
    return least


def _greatest(members: tuple[Value, ...]) -> Value:
    greatest: Value = best(members, members, ">")
    return greatest


def best(members: tuple[Any, ...], keys: tuple[Value, ...], operator: str) -> Any:  # noqa: ANN401 - a value or a node
    """The member with the smallest (`<`) or largest (`>`) key, the first of equals.

    Raises:
        NoValueError: for an empty list, and for keys without a common order.
    """
    if not members:
        raise NoValueError("the list is empty")
    check_ordered(keys)
    chosen = 0
    for at in range(1, len(keys)):
        if compare(operator, keys[at], keys[chosen]):
            chosen = at
    return members[chosen]


def check_ordered(keys: tuple[Value, ...]) -> None:
    """Refuse keys that have no common order.

    Raises:
        NoValueError: naming the types.
    """
    orders = [order_key(key) for key in keys]
    if any(order is None for order in orders):
        odd = next(key for key, order in zip(keys, orders, strict=True) if order is None)
        raise NoValueError(f"{type_name(odd)} has no order")
    families = {order[0] for order in orders if order is not None}
    if len(families) > 1:
        raise NoValueError(f"{' and '.join(sorted(families))} have no common order")


def sorted_by(members: tuple[Any, ...], keys: tuple[Value, ...]) -> tuple[Any, ...]:
    """The members in ascending order of their keys; equals keep their order.

    Raises:
        NoValueError: for keys without a common order.
    """
    check_ordered(keys)
    order: list[Any] = list(keys)
    return tuple(members[at] for at in sorted(range(len(members)), key=order.__getitem__))


def _text(value: Value) -> Value:
    return text_of(value)


IMPLEMENTATIONS: Final[Mapping[str, Callable[..., Any]]] = {
    "int": _int,
    "decimal": _decimal,
    "time": _time,
    "duration": lambda text: Duration.parse(text.strip()),
    "size": lambda text: Size.parse(text.strip()),
    "json": _json,
    "text": _text,
    "lines": lines,
    "split": _split,
    "columns": _columns,
    "match": _match,
    "matches": _matches,
    "starts_with": lambda text, part: text.startswith(part),
    "ends_with": lambda text, part: text.endswith(part),
    "lower": lambda text: text.lower(),
    "trim": lambda text: text.strip(),
    "join": _join,
    "len": len,
    "empty": lambda value: len(value) == 0,
    "first": lambda members: _end(members, 0),
    "last": lambda members: _end(members, -1),
    "reverse": lambda members: members[::-1],
    "unique": _unique,
    "keys": lambda entries: tuple(sorted(entries)),
    "sum": _sum,
    "min": _least,
    "max": _greatest,
}

WHOLE_MEMBERS: Final = frozenset({"join", "unique", "sum", "min", "max", "text"})
"""Functions that look into the members of a list: all of them must be values."""


def call(function: str, arguments: list[Any]) -> Any:  # noqa: ANN401 - a value or a node
    """The function's result.

    Raises:
        NoValueError: when it has none for these values.
    """
    try:
        return IMPLEMENTATIONS[function](*arguments)
    except ValueError as error:
        raise NoValueError(str(error).rstrip(".")) from None
