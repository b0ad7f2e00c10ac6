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
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

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
    for name, has_default, default in _defaults(type(event)):
        value = getattr(event, name)
        if has_default and value == default and type(value) is type(default):
            continue
        body[name] = _plain(value)
    return body


def decode(type_: str, body: Mapping[str, Any]) -> Event:
    """Turn a record back into an event; an unknown type becomes an UnknownEvent, unknown fields are dropped.

    Raises:
        ValueError: when a known type lacks a field it must have, or a field has another type.
    """
    cls = EVENTS.get(type_)
    if cls is None:
        return UnknownEvent(type=type_, body=dict(body))
    known, name = {}, ""
    try:
        for name, read in _readers(cls).items():
            if name in body:
                known[name] = read(body[name])
    except _MisfitError as error:
        message = f"{type_}.{name}{error.inside} is not {error.wanted}"
        raise ValueError(message) from None
    try:
        return cls(**known)
    except TypeError as error:
        message = f"a {type_} record lacks a field: {error}"
        raise ValueError(message) from error


_DEFAULTS: dict[type[Event], tuple[tuple[str, bool, object], ...]] = {}


def _defaults(cls: type[Event]) -> tuple[tuple[str, bool, object], ...]:
    """The fields of an event: name, whether there is a default, and that, to be compared with only."""
    if cls in _DEFAULTS:
        return _DEFAULTS[cls]
    found: list[tuple[str, bool, object]] = []
    for f in dataclasses.fields(cls):
        made = f.default_factory is not dataclasses.MISSING
        default = f.default_factory() if f.default_factory is not dataclasses.MISSING else f.default
        found.append((f.name, made or default is not dataclasses.MISSING, default))
    return _DEFAULTS.setdefault(cls, tuple(found))


def _plain(value: object) -> object:
    if isinstance(value, (str, int)) and not isinstance(value, enum.Enum):  # most of them, and quickly told
        return value
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(v) for v in value]
    return value


class _MisfitError(Exception):
    """A JSON value is not what its field holds. `inside`: where in the value."""

    def __init__(self, wanted: str, inside: str = "") -> None:
        super().__init__(wanted)
        self.wanted = wanted
        self.inside = inside


_Read: TypeAlias = Callable[[object], object]
"""Brings a JSON value to the type of a field."""


_READERS: dict[type[Event], Mapping[str, _Read]] = {}


def _readers(cls: type[Event]) -> Mapping[str, _Read]:
    if cls not in _READERS:
        every = typing.get_type_hints(cls)
        _READERS[cls] = {f.name: _reader(every[f.name]) for f in dataclasses.fields(cls)}
    return _READERS[cls]


def _reader(hint: object) -> _Read:
    """How a field with this hint is read; only the shapes that events use are known."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return lambda value: value
    if origin in (types.UnionType, typing.Union):
        inner = _reader(next(h for h in args if h is not type(None)))
        return lambda value: None if value is None else inner(value)
    if origin is tuple:
        return _list_reader(_reader(args[0]), None if args[-1] is Ellipsis else len(args))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _map_reader(_reader(args[1]))
    assert isinstance(hint, type)  # noqa: S101 - the shapes end here
    return _word_reader(hint) if issubclass(hint, enum.Enum) else _single_reader(hint)


def _list_reader(member: _Read, length: int | None) -> _Read:
    def read(value: object) -> object:
        if not isinstance(value, list):
            raise _MisfitError("a list")
        if length is not None and len(value) != length:
            raise _MisfitError(f"of {length} members")
        return tuple(map(member, value))

    return read


def _map_reader(member: _Read) -> _Read:
    def read(value: object) -> object:
        if not isinstance(value, dict):
            raise _MisfitError("a map")
        found, key = {}, ""
        try:
            for key, one in value.items():
                found[key] = member(one)
        except _MisfitError as error:
            raise _MisfitError(error.wanted, f".{key}{error.inside}") from None
        return found

    return read


def _word_reader(hint: type[enum.Enum]) -> _Read:
    known = {member.value: member for member in hint}

    def read(value: object) -> object:
        if not isinstance(value, str) or value not in known:
            raise _MisfitError(f"one of {', '.join(known)}")
        return known[value]

    return read


def _single_reader(hint: type) -> _Read:
    def read(value: object) -> object:
        if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
            raise _MisfitError(f"of type {hint.__name__}")
        return value

    return read
