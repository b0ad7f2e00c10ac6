"""The functions of the language: a closed list with what they take and give. What they do is in `functions`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from drctl.core.nouns import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

Type: TypeAlias = Literal[
    "text", "int", "decimal", "bool", "duration", "size", "time", "host", "list", "map", "null", "secret", "any"
]
"""The types of the language; "any" is a type known only when the value is there."""

Element: TypeAlias = Literal["element", "argument", "either"]
"""A result that depends on the arguments: a member of the first, the first itself, the first or the second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """What a function takes and gives.

    Attributes:
        takes: the types each argument may have.
        gives: the type of the result, or how it follows from the arguments.
        of: the type of the members when the result is a list.
        optional: how many arguments at the end may be left out.
    """

    takes: tuple[frozenset[Type], ...]
    gives: Type | Element
    of: Type = "any"
    optional: int = 0

    @property
    def least(self) -> int:
        """The smallest number of arguments."""
        return len(self.takes) - self.optional


@dataclass(frozen=True, slots=True, kw_only=True)
class EachSignature:
    """What a function over the members of a list wants of its body, and gives: "body" is a list of the bodies' type."""

    body: Literal["bool", "ordered", "any"]
    gives: Literal["bool", "element", "argument", "body"]


_ANY: Final[frozenset[Type]] = frozenset({"any"})
_TEXT: Final[frozenset[Type]] = frozenset({"text"})
_LIST: Final[frozenset[Type]] = frozenset({"list"})
_MAP: Final[frozenset[Type]] = frozenset({"map"})
_FIGURE: Final[frozenset[Type]] = frozenset({"text", "int", "decimal"})
_SIZED: Final[frozenset[Type]] = frozenset({"text", "list", "map"})

ORDERED: Final[frozenset[Type]] = frozenset({"int", "decimal", "duration", "size", "time", "text"})
"""Types whose values have an order."""

SIGNATURES: Final[Mapping[str, Signature]] = {
    "known": Signature(takes=(_ANY,), gives="bool"),
    "default": Signature(takes=(_ANY, _ANY), gives="either"),
    "int": Signature(takes=(_FIGURE,), gives="int"),
    "decimal": Signature(takes=(_FIGURE,), gives="decimal"),
    "time": Signature(takes=(_TEXT, _TEXT), gives="time", optional=1),
    "duration": Signature(takes=(_TEXT,), gives="duration"),
    "size": Signature(takes=(_TEXT,), gives="size"),
    "json": Signature(takes=(_TEXT,), gives="any"),
    "text": Signature(takes=(_ANY,), gives="text"),
    "lines": Signature(takes=(_TEXT,), gives="list", of="text"),
    "split": Signature(takes=(_TEXT, _TEXT), gives="list", of="text"),
    "columns": Signature(takes=(_TEXT, _TEXT), gives="list", of="map"),
    "match": Signature(takes=(_TEXT, _TEXT), gives="text"),
    "matches": Signature(takes=(_TEXT, _TEXT), gives="list", of="text"),
    "starts_with": Signature(takes=(_TEXT, _TEXT), gives="bool"),
    "ends_with": Signature(takes=(_TEXT, _TEXT), gives="bool"),
    "lower": Signature(takes=(_TEXT,), gives="text"),
    "trim": Signature(takes=(_TEXT,), gives="text"),
    "join": Signature(takes=(_LIST, _TEXT), gives="text"),
    "len": Signature(takes=(_SIZED,), gives="int"),
    "empty": Signature(takes=(_SIZED,), gives="bool"),
    "first": Signature(takes=(_LIST,), gives="element"),
    "last": Signature(takes=(_LIST,), gives="element"),
    "reverse": Signature(takes=(_LIST,), gives="argument"),
    "unique": Signature(takes=(_LIST,), gives="argument"),
    "keys": Signature(takes=(_MAP,), gives="list", of="text"),
    "sum": Signature(takes=(_LIST,), gives="element"),
    "min": Signature(takes=(_LIST,), gives="element"),
    "max": Signature(takes=(_LIST,), gives="element"),
    "group": Signature(takes=(_TEXT,), gives="list", of="host"),
    "now": Signature(takes=(), gives="time"),
}

EACH_SIGNATURES: Final[Mapping[str, EachSignature]] = {
    "filter": EachSignature(body="bool", gives="argument"),
    "map": EachSignature(body="any", gives="body"),
    "sort": EachSignature(body="ordered", gives="argument"),
    "all": EachSignature(body="bool", gives="bool"),
    "any": EachSignature(body="bool", gives="bool"),
    "min_by": EachSignature(body="ordered", gives="element"),
    "max_by": EachSignature(body="ordered", gives="element"),
}

RESERVED: Final = frozenset(
    {
        *("inputs", "vars", "steps", "marks", "run", "objectives", "host", "hosts"),
        *("and", "or", "not", "in", "true", "false", "null"),
    }
)
"""Words no input, var, step, capture or loop may be called by, and no EACH function may bind."""

USAGE: Final[Mapping[str, str]] = {
    "default": "default(x, y)",
    "time": "time(t) or time(t, '%d.%m.%Y %H:%M %z')",
    "split": "split(t, ',')",
    "columns": "columns(t, 'name lsn state')",
    "match": "match(t, 're')",
    "matches": "matches(t, 're')",
    "starts_with": "starts_with(t, 'a')",
    "ends_with": "ends_with(t, 'a')",
    "join": "join(list, ', ')",
    "group": "group('web')",
    "now": "now()",
}


def usage(function: str) -> str:
    """How a call of the function is written, as an example."""
    if function in EACH_SIGNATURES:
        return f"{function}(x in list, {_BODIES[EACH_SIGNATURES[function].body]})"
    return USAGE.get(function, f"{function}(x)")


_BODIES: Final = {"bool": "x.size > 0B", "ordered": "x.at", "any": "x.name"}
