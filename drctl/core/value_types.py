"""The values an expression, a capture or a field may have, and the three things that are no ordinary value.

`Unknown` is the absence of a value together with its reason; `Secret` never prints itself; everything else is frozen
plain data: lists are tuples, maps are `Map`, numbers are whole or exact decimals, never floats.
How values are written and read back is left to `drctl.core.encoding`; `drctl.core.values` offers both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field
from decimal import Decimal
from typing import Final, NoReturn, TypeAlias, final

from drctl.core.nouns import dataclass
from drctl.core.quantities import Duration, Size, Time

Value: TypeAlias = (
    "bool | int | Decimal | str | Duration | Size | Time | HostRef | tuple[Value, ...] | Mapping[str, Value] | None"
)
"""What a name may stand for. Never a float; an int is at most 2^53 either way, beyond that it is a Decimal."""

MAX_TEXT: Final = 1024 * 1024
"""Characters of the longest text an expression handles; bytes of the longest JSON it parses."""
MAX_MEMBERS: Final = 100_000
"""Members of the longest list or map."""

LARGEST_INT: Final = 2**53
_MOST_DIGITS: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRef:
    """A host as a value: a name of the inventory with what expressions may ask of it. Its text is its name."""

    name: str
    address: str
    port: int = 22
    site: str | None = None
    role: str | None = None
    groups: tuple[str, ...] = ()
    facts: Mapping[str, Value] = field(default_factory=lambda: Map())  # noqa: PLW0108 - Map is defined below

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True, eq=False)
class Unknown:
    """No value, and why.

    It equals nothing, not even itself, and has no truth: code that forgets the case fails loudly instead of going on
    with a guess.

    Attributes:
        reason: a phrase for people, such as "x was skipped".
        not_yet: True when the value may still come (a plan before the step has run), False when it never will.
        origin: the expression it came from, such as "steps.x.lag"; empty when not known.
    """

    reason: str
    not_yet: bool
    origin: str = ""

    def __str__(self) -> str:
        why = "not yet" if self.not_yet and not self.reason else self.reason
        return f"{self.origin}: {why}" if self.origin else why

    def __eq__(self, other: object) -> bool:
        return False

    def __hash__(self) -> int:
        return id(self)

    def __bool__(self) -> NoReturn:
        raise TypeError(f"A missing value is neither true nor false ({self}).")


@final
class Secret:
    """A text that never prints itself: repr, str and format give `***`; json, pickle and copy are refused.

    Args:
        value: the secret text.
        name: where it comes from, such as `env:DB_PASSWORD`; it may be shown and digested, the value may not.
    """

    __slots__ = ("_value", "name")

    def __init__(self, value: str, name: str = "") -> None:
        self._value = value
        self.name = name

    def reveal(self) -> str:
        """The text itself, for the one place that must send it."""
        return self._value

    def __repr__(self) -> str:
        return "***"

    def __format__(self, spec: str) -> str:
        return "***"

    def __bool__(self) -> NoReturn:
        raise TypeError("A secret takes part in no condition.")

    def __reduce__(self) -> NoReturn:
        raise TypeError("A secret is never pickled or copied.")

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("A secret is never pickled or copied.")


@final
class Map(Mapping[str, Value]):
    """A map that cannot change; hashable when its values are, and picklable, unlike a MappingProxyType."""

    __slots__ = ("_entries",)

    def __init__(self, entries: Mapping[str, Value] = {}) -> None:
        self._entries = dict(entries)

    def __getitem__(self, key: str) -> Value:
        return self._entries[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: object) -> bool:
        return key in self._entries

    def __hash__(self) -> int:
        return hash(frozenset(self._entries.items()))

    def __repr__(self) -> str:
        return f"Map({self._entries!r})"

    def __reduce__(self) -> tuple[type[Map], tuple[dict[str, Value]]]:
        return Map, (self._entries,)


def number(figure: int | Decimal) -> int | Decimal:
    """The figure as the language holds it: an int beyond 2^53 becomes a decimal.

    Raises:
        ValueError: for NaN, infinity, and figures of more than 100 digits before or after the point: written out they
            could fill the memory, and none is a measurement.
    """
    if isinstance(figure, int):
        if -LARGEST_INT <= figure <= LARGEST_INT:
            return int(figure)
        if abs(figure) >= 10**_MOST_DIGITS:
            raise ValueError(f"This number has more than {_MOST_DIGITS} digits.")
        return Decimal(figure)
    if not figure.is_finite():
        raise ValueError(f"{figure} is not a number.")
    _, digits, exponent = figure.as_tuple()
    if len(digits) > _MOST_DIGITS or not -_MOST_DIGITS <= int(exponent) <= _MOST_DIGITS - len(digits):
        raise ValueError(f"This number has more than {_MOST_DIGITS} digits.")
    return figure or abs(figure)  # -0 would be written "-0", and read as an option by a command


def plain_number(figure: int | Decimal) -> str:
    """The figure without an exponent: `1500`, `0.25`."""
    return str(figure) if isinstance(figure, int) else f"{figure:f}"


def type_name(value: object) -> str:
    """The language's name for the type of a value: text, int, decimal, bool, duration, ..., null."""
    if value is None:
        return "null"
    for known, name in _TYPE_NAMES:
        if isinstance(value, known):
            return name
    raise TypeError(f"{type(value).__name__} is not a type of the runbook language.")


_TYPE_NAMES: Final[tuple[tuple[type, str], ...]] = (
    (str, "text"),
    (bool, "bool"),  # before int: Python's True is an int, the language's is not
    (int, "int"),
    (Decimal, "decimal"),
    (Duration, "duration"),
    (Size, "size"),
    (Time, "time"),
    (HostRef, "host"),
    (tuple, "list"),
    (Mapping, "map"),
    (Secret, "secret"),
    (Unknown, "no value"),
)


def same_family(left: str, right: str) -> bool:
    """Whether values of these types may be compared: the same type; int and decimal are one family."""
    return left == right or {left, right} == {"int", "decimal"}


def order_key(value: Value) -> tuple[str, object] | None:
    """Type and figure of a value that has an order: number, duration, size, time, text; None for all others."""
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, Decimal)):
        return "number", value
    if isinstance(value, (str, Duration, Size, Time)):
        return type_name(value), value
    return None
