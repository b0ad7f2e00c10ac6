"""Fields of a step that a person changed for its later attempts: how they are read, and how they stand in for the old.

A change is a value, never an expression: nothing that was typed in an emergency is parsed as anything but data. It is
recorded as a deviation, and what people had agreed to is asked again, since the step sends something else.
"""

from __future__ import annotations

from collections.abc import Mapping as AnyMapping
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final

from drctl.core.kind import FieldError
from drctl.core.model import Action, FieldValue, Mapped, Step
from drctl.core.nouns import dataclass, replace
from drctl.core.scripts import Script
from drctl.core.templates import Template
from drctl.core.values import Duration, Size, Time, Unknown, Value, from_json, number, parse_json, text_of
from drctl.core.written import Formula
from drctl.engine.fields import build, coerce
from drctl.engine.parts import ending, everything
from drctl.engine.scope import RunScope

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from drctl.core.kind import FieldSpec
    from drctl.engine.context import Context

LONGEST: Final = 1000
"""Characters of a changed value: a record must hold it whole."""
_BOOLS: Final = {"true": True, "yes": True, "false": False, "no": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One changed field, or one member of a map (`env.PORT`), of one step."""

    path: str
    name: str
    old: str
    value: Value


def as_changed(action: Action, changes: Sequence[tuple[int, Mapping[str, Any]]], upto: int | None = None) -> Action:
    """The action with the fields that people changed; `upto`: only the first so many changes."""
    fields = dict(action.fields)
    for _, change in changes[:upto]:
        for name, tagged in change.items():
            field, _, key = name.partition(".")
            value = from_json(tagged)
            fields[field] = _member(fields.get(field), key, value) if key else _written(fields.get(field), value, field)
    return replace(action, fields=fields) if changes[:upto] else action


def _written(old: FieldValue | None, value: Value, field: str) -> FieldValue:
    is_script = isinstance(old, Script) or (old is None and field == "run")
    return Script(value, value, ()) if is_script and isinstance(value, str) else value


def _member(old: FieldValue | None, key: str, value: Value) -> FieldValue:
    items: dict[str, Any] = {}
    if isinstance(old, Mapped):
        items = dict(old.items)
    elif isinstance(old, AnyMapping):
        items = dict(old)
    return Mapped(items=items | {key: value})


# -- reading what was typed -------------------------------------------------------------------------------------------


def read_changes(
    context: Context, step: Step, typed: Mapping[str, str], again: Callable[[Step], bool], mask: Callable[[str], str]
) -> list[Change]:
    """The changes that were typed as `[STEP:]FIELD[.KEY]` and a value, for a step that is to be tried again.

    `again` says of a step inside whether it will be; without STEP, the change is for every one of those.

    Raises:
        ValueError: one of them cannot be; for the person who typed it.
    """
    found: list[Change] = []
    for name, text in typed.items():
        inner, _, field = name.rpartition(":")
        targets = [one for one in _acting(context, step) if again(one) and (not inner or _is_named(one, inner))]
        if not targets:
            raise ValueError(f"nothing named {inner or step.id} with fields is to be tried again here")
        if not inner and len({one.origin or one.path for one in targets}) > 1:
            names = ", ".join(one.id for one in targets)
            raise ValueError(f"{field} of which step? write STEP:{field}=VALUE, with one of {names}")
        if mask(text) != text:
            raise ValueError(f"{field} would hold a secret, and what is changed is recorded")
        found += [_read(context, one, field, text) for one in targets]
    return found


def _acting(context: Context, step: Step) -> list[Step]:
    methods = [one for one in everything(context) if one.path.startswith(f"{step.path}/methods/")]
    inner = [*ending(context, step), *methods]
    return [one for one in inner if isinstance(one.body, Action)]


def _is_named(step: Step, name: str) -> bool:
    return name in {step.path, step.id} or step.path.endswith(f"/{name}")


def _read(context: Context, step: Step, name: str, text: str) -> Change:
    assert isinstance(step.body, Action)  # noqa: S101 - the callers chose those
    field, _, key = name.partition(".")
    kind = context.kinds[step.body.kind]
    spec = next((one for one in kind.fields() if one.name == field), None)
    if spec is None:
        known = ", ".join(one.name for one in kind.fields())
        raise ValueError(f"{step.id} ({kind.NAME}) has no field {field!r}; it has {known}")
    if key and spec.type != "map":
        raise ValueError(f"{field} is {spec.type}, and has no member {key}")
    if spec.type == "secret":
        raise ValueError(f"{field} is a secret, and what is changed is recorded")
    value = _typed(name, "text" if key else spec.type, text)
    try:
        if not key and spec.type != "script":
            coerce(spec, value)
        now = context.state.changes.get(step.path, [])
        before = as_changed(step.body, now)
        action = replace(before, fields={**before.fields, field: _put(before, spec, key, value)})
        build(kind, action, RunScope(context=context, place=_place(context, step)).at(step))
    except FieldError as error:
        raise ValueError(f"{error}{f' ({error.hint})' if error.hint else ''}") from None
    return Change(path=step.path, name=name, old=_shown(before.fields.get(field), key), value=value)


def _put(action: Action, spec: FieldSpec, key: str, value: Value) -> FieldValue:
    old = action.fields.get(spec.name)
    return _member(old, key, value) if key else _written(old, value, spec.name)


def _place(context: Context, step: Step) -> str:
    intent = context.state.step(step.path).intent
    return intent.host if intent is not None else ""


def _typed(name: str, kind: str, text: str) -> Value:
    if len(text) > LONGEST:
        raise ValueError(f"{name} has {len(text)} characters, and at most {LONGEST} are taken")
    if "${{" in text:
        raise ValueError(f"{name} takes a value, and {text!r} is a template")
    try:
        return _parsed(kind, text)
    except (ValueError, InvalidOperation) as error:
        raise ValueError(f"{name} is {kind}, and {text!r} is none: {error}") from None


def _parsed(kind: str, text: str) -> Value:
    read = _READERS.get(kind)
    return read(text) if read is not None else text


def _bool(text: str) -> Value:
    if text.lower() not in _BOOLS:
        raise ValueError("yes or no is wanted")
    return _BOOLS[text.lower()]


def _json(text: str) -> Value:
    found = parse_json(text)
    if isinstance(found, Unknown):
        raise ValueError(found.reason)  # noqa: TRY004 - what was typed is wrong, not its type
    return found


_READERS: Final[Mapping[str, Callable[[str], Value]]] = {
    "int": lambda text: number(int(text)),
    "decimal": lambda text: number(Decimal(text)),
    "bool": _bool,
    "duration": Duration.parse,
    "size": Size.parse,
    "time": Time.parse,
    "list": _json,
    "argv": _json,
    "map": _json,
}


def _shown(old: FieldValue | None, key: str) -> str:
    """What stood there, as written; a value that is computed is shown as such."""
    if key:
        items = old.items if isinstance(old, Mapped) else old if isinstance(old, AnyMapping) else {}
        old = items.get(key)
    if isinstance(old, Script | Template | Formula):
        return old.source if isinstance(old, Script) else old.text
    if old is None:
        return "nothing"
    if isinstance(old, str | int | bool | Decimal | Duration | Size | Time):
        return text_of(old)
    return "what the runbook computes"
