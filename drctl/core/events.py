"""The events of a journal: one closed table, for ever.

A record's body is exactly `encode(event)`; `decode` takes a body of any age, drops fields it does not know and refuses
known ones of another type. What each event holds is in `core.event_types` and `core.event_words`; the names are
imported from here.
"""

from __future__ import annotations

import dataclasses
import enum
import types
import typing
from collections.abc import Mapping
from typing import Any

from drctl.core.event_types import (
    Anchored,
    BlockFinished,
    BlockStarted,
    ClockWarned,
    CommandRan,
    Degraded,
    Event,
    JsonMap,
    LockLost,
    LockTaken,
    MarkSet,
    PlanPart,
    PreflightFinished,
    Recovered,
    Role,
    RunClosed,
    RunOpened,
    RunPaused,
    RunResumed,
    RunTakenOver,
    StepFinished,
    StepStarted,
    Suspended,
    UnknownEvent,
)
from drctl.core.event_words import Answered, Asked, ControlReceived, DeviationNoted, NoteAdded

__all__ = [
    "EVENTS",
    "Anchored",
    "Answered",
    "Asked",
    "BlockFinished",
    "BlockStarted",
    "ClockWarned",
    "CommandRan",
    "ControlReceived",
    "Degraded",
    "DeviationNoted",
    "Event",
    "JsonMap",
    "LockLost",
    "LockTaken",
    "MarkSet",
    "NoteAdded",
    "PlanPart",
    "PreflightFinished",
    "Recovered",
    "Role",
    "RunClosed",
    "RunOpened",
    "RunPaused",
    "RunResumed",
    "RunTakenOver",
    "StepFinished",
    "StepStarted",
    "Suspended",
    "UnknownEvent",
    "decode",
    "encode",
]

EVENTS: Mapping[str, type[Event]] = {
    cls.TYPE: cls
    for cls in (
        RunOpened, PlanPart, RunPaused, RunResumed, RunTakenOver, RunClosed, PreflightFinished, BlockStarted,
        BlockFinished, StepStarted, CommandRan, StepFinished, Asked, Answered, ControlReceived, MarkSet, NoteAdded,
        DeviationNoted, LockTaken, LockLost, Suspended, ClockWarned, Recovered, Degraded, Anchored,
    )
}  # fmt: skip
"""Every type of record but `checkpoint`, which belongs to the record format itself."""


def encode(event: Event) -> dict[str, Any]:
    """Turn an event into a record's body. Fields at their default are left out: a default never changes."""
    body: dict[str, Any] = {}
    for f in dataclasses.fields(event):
        value = getattr(event, f.name)
        has_default = f.default is not dataclasses.MISSING or f.default_factory is not dataclasses.MISSING
        default = f.default_factory() if f.default_factory is not dataclasses.MISSING else f.default
        if has_default and value == default and type(value) is type(default):
            continue
        body[f.name] = _plain(value)
    return body


def decode(type_: str, body: Mapping[str, Any]) -> Event:
    """Turn a record back into an event; an unknown type becomes an UnknownEvent, unknown fields are dropped.

    Raises:
        ValueError: when a known type lacks a field it must have, or a field has another type.
    """
    cls = EVENTS.get(type_)
    if cls is None:
        return UnknownEvent(type=type_, body=dict(body))
    hints = _hints(cls)
    known = {name: _typed(f"{type_}.{name}", hints[name], body[name]) for name in hints if name in body}
    try:
        return cls(**known)
    except TypeError as error:
        message = f"a {type_} record lacks a field: {error}"
        raise ValueError(message) from error


_HINTS: dict[type[Event], dict[str, object]] = {}


def _hints(cls: type[Event]) -> dict[str, object]:
    if cls not in _HINTS:
        every = typing.get_type_hints(cls)
        _HINTS[cls] = {f.name: every[f.name] for f in dataclasses.fields(cls)}
    return _HINTS[cls]


def _plain(value: object) -> object:
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(v) for v in value]
    return value


def _typed(name: str, hint: object, value: object) -> object:
    """Bring a JSON value to the field's type; only the shapes that events use are known."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin in (types.UnionType, typing.Union):
        inner = next(h for h in args if h is not type(None))
        return None if value is None else _typed(name, inner, value)
    if origin is tuple:
        if not isinstance(value, list):
            raise _wrong(name, "a list")
        if args[-1] is not Ellipsis and len(value) != len(args):
            raise _wrong(name, f"of {len(args)} members")
        return tuple(_typed(name, args[0], v) for v in value)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(value, dict):
            raise _wrong(name, "a map")
        return {k: _typed(f"{name}.{k}", args[1], v) for k, v in value.items()}
    assert isinstance(hint, type)  # noqa: S101 - the shapes end here
    return _single(name, hint, value)


def _single(name: str, hint: type, value: object) -> object:
    """A text, a number, a truth, or a word of an enumeration."""
    if issubclass(hint, enum.Enum):
        known = {member.value: member for member in hint}
        if not isinstance(value, str) or value not in known:
            raise _wrong(name, f"one of {', '.join(known)}")
        return known[value]
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise _wrong(name, f"of type {hint.__name__}")
    return value


def _wrong(name: str, wanted: str) -> ValueError:
    return ValueError(f"{name} is not {wanted}")
