"""Events and records: what goes in comes out, for ever; what does not fit is refused."""

from __future__ import annotations

import dataclasses
import enum
import types
import typing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drctl.core import events as ev

TEXTS = st.text(max_size=20)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)


def values(hint: object) -> st.SearchStrategy[Any]:
    """Values of a field's type."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return PLAIN
    if origin in (types.UnionType, typing.Union):
        return st.none() | values(next(arg for arg in args if arg is not type(None)))
    if origin is tuple:
        several = args[-1] is Ellipsis
        return st.lists(values(args[0]), max_size=3).map(tuple) if several else st.tuples(*map(values, args))
    if origin is not None:
        return st.dictionaries(TEXTS, values(args[1]), max_size=3)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return st.sampled_from(hint)
    return {str: TEXTS, int: st.integers(-(2**53), 2**53), bool: st.booleans()}[hint]  # type: ignore[index]


@st.composite
def events(draw: st.DrawFn) -> ev.Event:
    cls = draw(st.sampled_from(sorted(ev.EVENTS.values(), key=lambda cls: cls.TYPE)))
    hints = typing.get_type_hints(cls)
    return cls(**{field.name: draw(values(hints[field.name])) for field in dataclasses.fields(cls)})


@given(events())
def test_every_event_survives_its_record(event: ev.Event) -> None:
    assert ev.decode(event.TYPE, ev.encode(event)) == event


@given(events())
def test_a_field_of_a_later_version_is_dropped_and_the_rest_kept(event: ev.Event) -> None:
    assert ev.decode(event.TYPE, {**ev.encode(event), "later": [1]}) == event


def test_an_event_of_a_later_version_is_kept_as_it_is() -> None:
    event = ev.decode("quorum_moved", {"by": "li"})
    assert isinstance(event, ev.UnknownEvent)
    assert (event.type, event.body) == ("quorum_moved", {"by": "li"})


@pytest.mark.parametrize(
    ("type_", "body"),
    [
        ("step_started", {}),
        ("step_started", {"path": 1}),
        ("step_started", {"path": "a", "attempt": "1"}),
        ("step_started", {"path": "a", "attempt": True}),
        ("step_started", {"path": "a", "no_return": 1}),
        ("step_started", {"path": "a", "role": "boss"}),
        ("step_started", {"path": "a", "role": ["act"]}),
        ("step_started", {"path": "a", "undo": []}),
        ("step_finished", {"path": "a", "outcome": "ok", "unknown": {"x": 1}}),
        ("step_finished", {"path": "a", "outcome": "ok", "outputs": None}),
        ("command_ran", {"path": "a", "exit": "0"}),
        ("asked", {"id": "q1", "kind": "doubt", "path": "a", "text": "?", "choices": "yes"}),
        ("asked", {"id": "q1", "kind": "doubt", "path": "a", "text": "?", "show": [["a"]]}),
        ("preflight_finished", {"phase": "a", "ok": True, "hosts": [1]}),
    ],
)
def test_a_record_that_does_not_fit_its_type_is_refused(type_: str, body: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=type_):
        ev.decode(type_, body)


DEFAULTS = {
    "run_opened": "title='' mode='live' environment='production' inventory='' operator='' node='' version='' "
    "plan_digest='' plan_parts=0 pubkey='' rto_us=None rpo_us=None language='' zone='UTC' transport='fabric'",
    "run_resumed": "transport='fabric'",
    "run_taken_over": "transport='fabric'",
    "run_paused": "path='' because='' exit=0",
    "run_closed": "because='' exceptions=() by=''",
    "step_started": "host='' attempt=1 generation=1 role='look' kind='' effect='read' title='' text='' digest='' "
    "key='' prior={} undo=None restore=None no_return=False",
    "command_ran": "host='' attempt=1 state='' exit=None elapsed_us=0 out={} cut=False host_key='' boot=''",
    "step_finished": "host='' attempt=1 role='look' final=True found=False because='' outputs={} captures={} "
    "unknown={} tolerated=False observed=False effect_there=False elapsed_us=0 by=''",
    "asked": "choices=() by=() until_at=0 show=() target='' fields=() digest='' quorum=1",
    "answered": "because='' reason='' role='' values={} proof='claimed' simulated=False given_at=0 source='inbox' "
    "word=''",
    "control_received": "by='' reason='' accepted=True because='' word=''",
    "block_finished": "because='' host=''",
}
"""What a record of the first version means where it is silent. Only ever add; a change makes old journals lie."""


@pytest.mark.parametrize("type_", DEFAULTS)
def test_a_default_never_changes(type_: str) -> None:
    found = []
    for field in dataclasses.fields(ev.EVENTS[type_]):
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            continue
        value = field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default
        found.append(f"{field.name}={value.value if isinstance(value, enum.Enum) else value!r}".replace("='", "='"))
    shown = [f"role='{text[5:]}'" if text.startswith("role=") and "'" not in text else text for text in found]
    assert set(DEFAULTS[type_].split()) <= set(shown)


def test_the_table_of_events_only_grows() -> None:
    first = (
        "run_opened plan_part run_paused run_resumed run_taken_over run_closed preflight_finished block_started "
        "block_finished step_started command_ran step_finished asked answered control_received mark_set note_added "
        "deviation_noted lock_taken lock_lost suspended clock_warned recovered degraded anchored"
    )
    assert set(first.split()) <= set(ev.EVENTS)
