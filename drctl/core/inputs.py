"""Reads a typed answer: an input of a runbook, or a field of a `manual` step.

Pure: the text and the specification in, the value or a sentence about what is wrong out.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from drctl.core.expressions.patterns import compiled
from drctl.core.input_specs import InputSpec, InputType
from drctl.core.nouns import replace
from drctl.core.values import Duration, Size, Time, Value, number, text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from drctl.core.inventory import Host

_BOOLS: Final = {"true": True, "yes": True, "false": False, "no": False}
_WHOLE: Final = re.compile(r"-?[0-9]{1,100}")
_EXACT: Final = re.compile(r"-?[0-9]{1,99}(?:\.[0-9]{1,99})?")
MOST_MEMBERS: Final = 1000
_LONGEST: Final = 2000
"""Characters of one answer: what a person types; a record has room for a few of them."""


def read_input(spec: InputSpec, text: str, hosts: Mapping[str, Host]) -> Value:
    """Read one value; the members of a list stand between commas.

    Raises:
        ValueError: with a sentence for the person who typed it.
    """
    text = text.strip()
    if spec.type is InputType.LIST and not (text == "" and spec.optional):
        return read_members(spec, [part for part in text.split(",") if part.strip()], hosts)
    if text == "" and spec.optional:
        return None
    if len(text) > _LONGEST:
        raise ValueError(f"{spec.name} has {len(text)} characters, and at most {_LONGEST} are taken")
    value = _typed(spec, text, hosts)
    for bound, bad in ((spec.minimum, "at least"), (spec.maximum, "at most")):
        if bound is not None and _beyond(value, bound, low=bad == "at least"):
            raise ValueError(f"{spec.name} must be {bad} {as_typed(bound)}, and is {text}")
    return value


def read_members(spec: InputSpec, texts: Sequence[str], hosts: Mapping[str, Host]) -> Value:
    """Read the members of a list, each by the type of its members.

    Raises:
        ValueError: with a sentence that names the member.
    """
    if len(texts) > MOST_MEMBERS:
        raise ValueError(f"{spec.name} has {len(texts)} members, and at most {MOST_MEMBERS} are taken")
    return tuple(read_input(member_spec(spec, number), text, hosts) for number, text in enumerate(texts))


def member_spec(spec: InputSpec, number: int) -> InputSpec:
    """What one member of a list must be."""
    kind = InputType(spec.of[0]) if spec.of else InputType.TEXT
    return replace(spec, name=f"{spec.name}[{number}]", type=kind, of=(), optional=False)


def check_value(spec: InputSpec, value: Value, hosts: Mapping[str, Host] | None = None) -> None:
    """Check a value of the right type that was written in a document; without hosts, any name is taken for one.

    Raises:
        ValueError: with a sentence about what is wrong.
    """
    match spec.type:
        case InputType.CHOICE:
            _typed(spec, str(value), {})
        case InputType.HOST if hosts is not None:
            _host(spec, str(value), hosts)
        case InputType.TEXT:
            _text(spec, str(value))
        case InputType.LIST if isinstance(value, tuple):
            for number, member in enumerate(value):
                check_value(member_spec(spec, number), member, hosts)
        case _:
            pass
    for bound, bad in ((spec.minimum, "at least"), (spec.maximum, "at most")):
        if bound is not None and _beyond(value, bound, low=bad == "at least"):
            raise ValueError(f"{spec.name} must be {bad} {as_typed(bound)}, and is {as_typed(value)}")


def named_hosts(spec: InputSpec, value: Value, hosts: Mapping[str, Host]) -> Value:
    """The value of an input whose hosts may be given by their names: with hosts, of which fields can be read.

    Raises:
        ValueError: a name is no host of the inventory, or one outside of the input's group.
    """
    if spec.type is InputType.HOST and isinstance(value, str):
        return _host(spec, value, hosts)
    if spec.type is InputType.LIST and isinstance(value, tuple):
        return tuple(named_hosts(member_spec(spec, at), one, hosts) for at, one in enumerate(value))
    return value


def as_typed(value: Value) -> str:
    """A value as a person would type it."""
    match value:
        case tuple():
            return ", ".join(as_typed(member) for member in value)
        case Duration() | Size():
            return value.exact()
        case _:
            return text_of(value)


def _typed(spec: InputSpec, text: str, hosts: Mapping[str, Host]) -> Value:
    match spec.type:
        case InputType.CHOICE:
            if text not in spec.of:
                raise ValueError(f"{spec.name} is one of {', '.join(spec.of)}, and {text!r} is none of them")
            return text
        case InputType.HOST:
            return _host(spec, text, hosts)
        case known if known in _READERS:
            try:
                return _READERS[known](text)
            except ValueError as error:
                raise ValueError(f"{spec.name}: {error}") from None
        case _:
            return _text(spec, text)


def _int(text: str) -> Value:
    if not _WHOLE.fullmatch(text):
        raise ValueError(f"a whole number is wanted, and {text!r} is none")
    return number(int(text))


def _decimal(text: str) -> Value:
    if not _EXACT.fullmatch(text):
        raise ValueError(f"a number such as 3 or 0.25 is wanted, and {text!r} is none")
    return number(Decimal(text))


def _bool(text: str) -> Value:
    if text.lower() not in _BOOLS:
        raise ValueError(f"yes or no is wanted, and {text!r} is neither")
    return _BOOLS[text.lower()]


_READERS: Final[Mapping[InputType, Callable[[str], Value]]] = {
    InputType.INT: _int,
    InputType.DECIMAL: _decimal,
    InputType.BOOL: _bool,
    InputType.DURATION: Duration.parse,
    InputType.SIZE: Size.parse,
    InputType.TIME: Time.parse,
}


def _text(spec: InputSpec, text: str) -> Value:
    if text == "":
        raise ValueError(f"{spec.name} is empty")
    if spec.pattern is not None and not compiled(spec.pattern).fullmatch(text):
        raise ValueError(f"{spec.name} must match {spec.pattern}, and {text!r} does not")
    return text


def _host(spec: InputSpec, text: str, hosts: Mapping[str, Host]) -> Value:
    if text not in hosts:
        raise ValueError(f"{spec.name} is a host of the inventory, and {text!r} is none")
    if spec.of and not set(spec.of) & set(hosts[text].groups):
        raise ValueError(f"{spec.name} must be in group {spec.of[0]}, and {text} is not")
    return hosts[text].ref


def _beyond(value: Value, bound: Value, *, low: bool) -> bool:
    for kind in (int | Decimal, Duration, Size, Time):
        if isinstance(value, kind) and isinstance(bound, kind):
            return value < bound if low else value > bound  # type: ignore[operator] # of one type
    return False
