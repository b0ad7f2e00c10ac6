"""Reads a typed answer: an input of a runbook, or a field of a `manual` step.

Pure: the text and the specification in, the value or a sentence about what is wrong out.
"""

from __future__ import annotations

from collections.abc import Mapping

from drctl.core.inventory import Host
from drctl.core.model import InputSpec, InputType
from drctl.core.values import Duration, Time, Value

_BOOLS = {"true": True, "yes": True, "false": False, "no": False}


def read_input(spec: InputSpec, text: str, hosts: Mapping[str, Host]) -> Value:
    """Read one value.

    Raises:
        ValueError: with a sentence for the person who typed it.
    """
    text = text.strip()
    if text == "" and spec.optional:
        return None
    value = _typed(spec, text, hosts)
    for bound, bad in ((spec.minimum, "at least"), (spec.maximum, "at most")):
        if bound is not None and _beyond(value, bound, low=bad == "at least"):
            raise ValueError(f"{spec.name} must be {bad} {bound}, and is {text}")
    return value


def _typed(spec: InputSpec, text: str, hosts: Mapping[str, Host]) -> Value:
    match spec.type:
        case InputType.INT:
            if not text.lstrip("-").isdigit():
                raise ValueError(f"{spec.name} is a whole number, and {text!r} is none")
            return int(text)
        case InputType.BOOL:
            if text.lower() not in _BOOLS:
                raise ValueError(f"{spec.name} is yes or no, and {text!r} is neither")
            return _BOOLS[text.lower()]
        case InputType.CHOICE:
            if text not in spec.of:
                raise ValueError(f"{spec.name} is one of {', '.join(spec.of)}, and {text!r} is none of them")
            return text
        case InputType.DURATION:
            return Duration.parse(text)
        case InputType.TIME:
            return Time.parse(text)
        case InputType.HOST:
            return _host(spec, text, hosts)
        case _:
            return text


def _host(spec: InputSpec, text: str, hosts: Mapping[str, Host]) -> Value:
    if text not in hosts:
        raise ValueError(f"{spec.name} is a host of the inventory, and {text!r} is none")
    if spec.of and not set(spec.of) & set(hosts[text].groups):
        raise ValueError(f"{spec.name} must be in group {spec.of[0]}, and {text} is not")
    return hosts[text].ref


def _beyond(value: Value, bound: Value, *, low: bool) -> bool:
    for kind in (int, Duration, Time):
        if isinstance(value, kind) and isinstance(bound, kind):
            return value < bound if low else value > bound  # type: ignore[operator]
    return False
