"""From a step's `with` as written to an instance of its kind with values, or to the reason why not."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from drctl.core.expressions import evaluate
from drctl.core.kind import FieldError, FieldSpec, Kind
from drctl.core.model import Action, FieldValue, Listed, Mapped
from drctl.core.scripts import ResolvedScript, Script
from drctl.core.templates import Template
from drctl.core.values import Duration, HostRef, Map, Secret, Size, Time, Unknown, text_of, type_name
from drctl.core.written import Formula

if TYPE_CHECKING:
    from drctl.engine.scope import RunScope

SCALARS = (bool, int, Decimal, Duration, Size, Time, HostRef)


def resolve(value: FieldValue, scope: RunScope) -> Any:  # noqa: ANN401 - what a field of any type holds
    """Resolve one field: a value, a Secret, a ResolvedScript, or Unknown with its reason."""
    match value:
        case Template():
            return value.resolve(scope)
        case Formula():
            return evaluate(value.expression, scope)
        case Script():
            return value.resolve(scope)
        case Mapped():
            parts = {key: resolve(item, scope) for key, item in value.items.items()}
            missing = next((part for part in parts.values() if isinstance(part, Unknown)), None)
            return _map(parts) if missing is None else missing
        case Listed():
            members = tuple(resolve(item, scope) for item in value.items)
            missing = next((member for member in members if isinstance(member, Unknown)), None)
            return members if missing is None else missing
        case _:
            return value


def _map(parts: Mapping[str, Any]) -> Mapping[str, Any]:
    return dict(parts) if any(isinstance(part, Secret) for part in parts.values()) else Map(parts)


def build(kind: type[Kind], action: Action, scope: RunScope) -> Kind | Unknown:
    """Build the kind with resolved fields.

    Raises:
        FieldError: a resolved value is of the wrong type or not allowed.
    """
    specs = {spec.name: spec for spec in kind.fields()}
    values: dict[str, Any] = {}
    for name, written in action.fields.items():
        if isinstance(written, Script):
            allow_dash = resolve(action.fields.get("allow_dash", False), scope) is True
            value: Any = written.resolve(scope, allow_dash=allow_dash)
        else:
            value = resolve(written, scope)
        if isinstance(value, Unknown):
            return value
        values[name] = coerce(specs[name], value)
    return kind(**values)


def coerce(spec: FieldSpec, value: Any) -> Any:  # noqa: ANN401 - what a field of any type holds
    """Check a resolved value against its field; scalars become text where text is wanted, never the other way."""
    if value is None and not spec.required:
        return spec.default
    if isinstance(value, Secret) and not spec.secret:
        raise FieldError(spec.name, "is given a secret, and this field is shown and recorded", "use `env` or `stdin`")
    if spec.type in {"text", "host", "file"} and isinstance(value, SCALARS) and not isinstance(value, bool):
        value = text_of(value)
    words = value if spec.type in {"argv", "list"} and isinstance(value, tuple) else (value,)
    if not spec.secret and any(isinstance(word, str) and "\0" in word for word in words):
        raise FieldError(spec.name, "holds a NUL character", "no command and no name can hold one")
    if spec.type == "list" and isinstance(value, str):
        value = (value,)
    if not _fits(spec.type, value):
        raise FieldError(spec.name, f"wants {spec.type}, and is given {_kind_of(value)}")
    if spec.choices and value not in spec.choices:
        raise FieldError(spec.name, f"is {value!r}", f"one of: {', '.join(spec.choices)}")
    return value


def _kind_of(value: object) -> str:
    return "a secret" if isinstance(value, Secret) else type_name(value)


def _fits(wanted: str, value: object) -> bool:
    types: dict[str, tuple[type, ...]] = {
        "text": (str, Secret),
        "host": (str,),
        "file": (str, Secret),
        "int": (int,),
        "decimal": (int, Decimal),
        "bool": (bool,),
        "duration": (Duration,),
        "size": (Size,),
        "time": (Time,),
        "list": (tuple,),
        "argv": (tuple,),
        "map": (Mapping,),
        "script": (ResolvedScript,),
        "sql": (str,),
    }
    if wanted not in types:
        return True
    if isinstance(value, bool) and wanted in {"int", "decimal"}:
        return False
    return isinstance(value, types[wanted])
