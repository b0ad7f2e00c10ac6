"""What the operators do with two values, and which types they take: one table serves the check and the evaluation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import ROUND_HALF_EVEN, Context, Decimal, Inexact
from typing import Any, Final

from drctl.core.quantities import Duration, Size
from drctl.core.value_types import Unknown, Value, number, order_key, same_family, type_name

_EXACT: Final = Context(prec=250, Emax=10**6, Emin=-(10**6))
_ROUNDED: Final = Context(prec=28, Emax=10**6, Emin=-(10**6))


class NoValueError(Exception):
    """An operation that has no result for these values; the text is the reason."""


def family(kind: str) -> str:
    """Int and decimal are one family of types for the operators."""
    return "number" if kind in {"int", "decimal"} else kind


def _divide(left: int | Decimal, right: int | Decimal) -> int | Decimal:
    if not right:
        raise NoValueError("division by zero")
    context = _EXACT.copy()
    quotient = context.divide(Decimal(left), Decimal(right))
    if context.flags[Inexact]:
        quotient = _ROUNDED.divide(Decimal(left), Decimal(right))
    return int(quotient) if quotient == quotient.to_integral_value(context=_EXACT) else _EXACT.normalize(quotient)


def _add(left: int | Decimal, right: int | Decimal) -> int | Decimal:
    if isinstance(left, int) and isinstance(right, int):
        return left + right
    return _EXACT.add(Decimal(left), Decimal(right))


def negative(figure: int | Decimal) -> int | Decimal:
    """`-figure`, exactly: Python's own minus would round a decimal to 28 digits."""
    return -figure if isinstance(figure, int) or not figure else figure.copy_negate()


def _multiply(left: int | Decimal, right: int | Decimal) -> int | Decimal:
    if isinstance(left, int) and isinstance(right, int):
        return left * right
    return _EXACT.multiply(Decimal(left), Decimal(right))


def _nearest(figure: int | Decimal) -> int:
    """Whole microseconds or bytes; the half goes to the even neighbour."""
    return int(Decimal(figure).to_integral_value(ROUND_HALF_EVEN, _EXACT))


_TABLE: Final[Mapping[tuple[str, str, str], tuple[str, Callable[[Any, Any], Any]]]] = {
    ("+", "number", "number"): ("number", _add),
    ("-", "number", "number"): ("number", lambda a, b: _add(a, negative(b))),
    ("*", "number", "number"): ("number", _multiply),
    ("/", "number", "number"): ("number", _divide),
    ("+", "duration", "duration"): ("duration", lambda a, b: a + b),
    ("-", "duration", "duration"): ("duration", lambda a, b: a - b),
    ("+", "time", "duration"): ("time", lambda a, b: a + b),
    ("-", "time", "duration"): ("time", lambda a, b: a - b),
    ("-", "time", "time"): ("duration", lambda a, b: a - b),
    ("+", "size", "size"): ("size", lambda a, b: a + b),
    ("-", "size", "size"): ("size", lambda a, b: a - b),
    ("*", "number", "duration"): ("duration", lambda a, b: Duration(_nearest(_multiply(a, b.micros)))),
    ("*", "duration", "number"): ("duration", lambda a, b: Duration(_nearest(_multiply(a.micros, b)))),
    ("*", "number", "size"): ("size", lambda a, b: Size(_nearest(_multiply(a, b.bytes)))),
    ("*", "size", "number"): ("size", lambda a, b: Size(_nearest(_multiply(a.bytes, b)))),
    ("/", "duration", "number"): ("duration", lambda a, b: Duration(_nearest(_divide(a.micros, b)))),
    ("/", "size", "number"): ("size", lambda a, b: Size(_nearest(_divide(a.bytes, b)))),
    ("/", "duration", "duration"): ("number", lambda a, b: _divide(a.micros, b.micros)),
    ("/", "size", "size"): ("number", lambda a, b: _divide(a.bytes, b.bytes)),
}


def result_type(operator: str, left: str, right: str) -> str | None:
    """The type of `left operator right`; None when the operator does not take these types."""
    entry = _TABLE.get((operator, family(left), family(right)))
    if entry is None:
        return None
    if entry[0] != "number":
        return entry[0]
    return "int" if left == right == "int" and operator != "/" else "decimal"


def calculate(operator: str, left: Value, right: Value) -> Value:
    """`left operator right` for `+ - * /`.

    Raises:
        NoValueError: for types that do not go together, division by zero, and results beyond what drctl counts.
    """
    names = type_name(left), type_name(right)
    entry = _TABLE.get((operator, family(names[0]), family(names[1])))
    if entry is None:
        raise NoValueError(operator_sentence(operator, *names))
    try:
        result: Value = entry[1](left, right)
        is_number = isinstance(result, int | Decimal) and not isinstance(result, bool)
        return number(result) if is_number else result  # type: ignore[arg-type]
    except ValueError as error:
        raise NoValueError(str(error).rstrip(".")) from None


def operator_sentence(operator: str, left: str, right: str) -> str:
    """Why the operator does not take these types."""
    verb = {"+": "added to", "-": "subtracted from", "*": "multiplied by", "/": "divided by"}[operator]
    first, second = (right, left) if operator in "+-" else (left, right)
    return f"{first} cannot be {verb} {second}"


def operator_hint(left: str, right: str) -> str | None:
    """What to write instead of an operator on these types."""
    kinds = {family(left), family(right)}
    if kinds == {"text"}:
        return "join texts with join([a, b], ''), or put both into one template"
    if "text" in kinds:
        return "make a figure of the text with int(t), decimal(t), duration(t), size(t) or time(t)"
    if kinds == {"number", "duration"}:
        return "n * 1s is a duration, d / 1s a number"
    if kinds == {"number", "size"}:
        return "n * 1B is a size, s / 1B a number"
    return None


def equal(left: Value, right: Value) -> bool | Unknown:
    """`==`. Different types are no value, never simply false; null may be compared with anything.

    Lists and maps are compared member by member, as a chain of `and`.
    """
    if left is None or right is None:
        return left is right
    names = type_name(left), type_name(right)
    if not same_family(*names):
        return Unknown(f"{names[0]} and {names[1]} cannot be compared", not_yet=False)
    if isinstance(left, tuple) and isinstance(right, tuple):
        return len(left) == len(right) and _all_equal(zip(left, right, strict=True))
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return left.keys() == right.keys() and _all_equal((left[key], right[key]) for key in left)
    return bool(left == right)


def _all_equal(pairs: Any) -> bool | Unknown:  # noqa: ANN401 - an iterable of pairs of values
    pending: Unknown | None = None
    for left, right in pairs:
        same = equal(left, right)
        if isinstance(same, Unknown):
            pending = same if pending is None else pending
        elif not same:
            return False
    return True if pending is None else pending


def compare(operator: str, left: Value, right: Value) -> bool:
    """`< <= > >=` on numbers, durations, sizes, times and texts (by code point).

    Raises:
        NoValueError: for types that differ or have no order.
    """
    first, second = order_key(left), order_key(right)
    if first is None or second is None or first[0] != second[0]:
        raise NoValueError(f"{type_name(left)} and {type_name(right)} have no order")
    a: Any = first[1]
    b: Any = second[1]
    return bool({"<": a < b, "<=": a <= b, ">": a > b, ">=": a >= b}[operator])


def contains(member: Value, container: Value) -> bool | Unknown:
    """`in`: member of a list, key of a map, part of a text.

    Raises:
        NoValueError: for types that do not go together.
    """
    if isinstance(container, str | Mapping):
        if not isinstance(member, str):
            what = "a key of a map" if isinstance(container, Mapping) else "part of a text"
            raise NoValueError(f"{what} is a text, not {type_name(member)}")
        return member in container
    if not isinstance(container, tuple):
        raise NoValueError(f"{type_name(container)} contains nothing; `in` takes a list, a map or a text")
    pending: Unknown | None = None
    for each in container:
        same = equal(member, each)
        if isinstance(same, Unknown):
            pending = same
        elif same:
            return True
    return False if pending is None else pending


def conversion_hint(written: str, own: str, other: str) -> str | None:
    """How the side `written` of type `own` is made comparable with a value of type `other`."""
    if own == "text" and other in {"int", "decimal", "duration", "size", "time"}:
        return f"write {other}({written})"
    if own == "text" and other == "bool":
        return f"write {written} == 'true'"
    if own == "host" and other == "text":
        return f"write {written}.name"
    if own in {"int", "decimal"} and other in {"duration", "size"}:
        return f"write {written} * {'1s' if other == 'duration' else '1B'}"
    return None
