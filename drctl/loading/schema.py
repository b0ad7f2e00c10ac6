"""The JSON Schema (Draft 2020-12) of runbooks and inventories, for editors and other tools.

It is made from the same tables the loader reads with, so the two cannot say different things of a key. A schema knows
nothing of references, types of expressions or what goes with which effect: what it accepts may still be refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from drctl.loading import inventory_tables, tables
from drctl.loading.inputs import MEMBER
from drctl.loading.literals import kind_record
from drctl.loading.records import Record
from drctl.loading.secret_refs import SECRET
from drctl.loading.shapes import WRITTEN, Name
from drctl.loading.tables import HOST_NAME

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drctl.core.kind import Kind
    from drctl.loading.shapes import Schema

_DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"
_DO: Final = "The kind of step; drctl kinds lists them."
_GROUP: Final = "One of the hosts of this group."
_ANY_OF_STEP: Final = ("do", "run", "steps", "parallel", "include")
_LANGUAGE_FIELDS: Final = {
    "decide": tables.DECIDE,
    "manual": tables.MANUAL,
    "wait": tables.WAIT,
    "restore": tables.RESTORE,
    "fence.host": tables.FENCE,
    "fence.lift": tables.LIFT,
}


def runbook_schema(kinds: Mapping[str, type[Kind]]) -> Schema:
    """The schema of a runbook with these step kinds."""
    head: Schema = {"$schema": _DRAFT, "title": "drctl runbook"}
    return head | tables.RUNBOOK.schema() | {"$defs": _parts() | _fields(kinds) | _steps(kinds)}


def inventory_schema() -> Schema:
    """The schema of an inventory."""
    channels = [table.schema() for table in inventory_tables.CHANNELS.values()]
    for name, channel in zip(inventory_tables.CHANNELS, channels, strict=True):
        properties = channel["properties"]
        if isinstance(properties, dict):
            properties["type"] = {"const": name, "description": properties["type"]["description"]}
    head: Schema = {"$schema": _DRAFT, "title": "drctl inventory"}
    return head | inventory_tables.INVENTORY.schema() | {"$defs": {"channel": {"oneOf": channels}}}


def _parts() -> Schema:
    """The definitions that `Raw` shapes refer to."""
    return {
        "literal": {"type": ["string", "number", "boolean", "null"]},
        "default": {"anyOf": [{"$ref": "#/$defs/literal"}, {"type": "array", "items": {"$ref": "#/$defs/literal"}}]},
        "input_of": {
            "anyOf": [
                MEMBER.schema(),
                {"type": "array", "items": {"type": ["string", "number", "boolean"]}, "minItems": 1},
                {
                    "type": "object",
                    "properties": {"group": {"type": "string", "pattern": f"^{HOST_NAME}$", "description": _GROUP}},
                    "required": ["group"],
                    "additionalProperties": False,
                },
            ]
        },
        "secret": SECRET.schema(),
        "vars": {"type": "object", "propertyNames": tables.VARIABLE.schema()},
        "on": {"anyOf": [dict(WRITTEN), _selection()]},
        "foreach": {
            "type": "object",
            "minProperties": 1,
            "propertyNames": Name("a loop name").schema(),
            "additionalProperties": {"anyOf": [dict(WRITTEN), {"type": "array", "minItems": 1}]},
        },
        "inputs": {"type": "object"},
        "phases": {"type": "array", "minItems": 1, "items": tables.PHASE.schema()},
        "steps": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/step"}},
        "looks": _one_or_more("look"),
        "methods": _one_or_more("method"),
        "proofs": _either(
            {"anyOf": [tables.ANY_OF.schema(), {"$ref": "#/$defs/look"}]},
        ),
        "way": {"anyOf": [{"const": "auto"}, tables.WAY_NONE.schema(), _one_or_more("way_step")]},
    }


def _selection() -> Schema:
    needed = [{"required": [key]} for key in ("group", "site", "role", "hosts")]
    return tables.SELECTION.schema() | {"anyOf": needed}


def _one_or_more(name: str) -> Schema:
    return _either({"$ref": f"#/$defs/{name}"})


def _either(item: Schema) -> Schema:
    return {"anyOf": [item, {"type": "array", "minItems": 1, "items": item}]}


def _fields(kinds: Mapping[str, type[Kind]]) -> Schema:
    """The `with` of every kind, and of `run:`, whose script stands outside it."""
    found: Schema = {f"with {name}": kind_record(kind).schema() for name, kind in kinds.items()}
    found |= {f"with {name}": table.schema() for name, table in _LANGUAGE_FIELDS.items()}
    found["with set"] = tables.SET.schema()
    if "shell" in kinds:
        beside = {name: key for name, key in kind_record(kinds["shell"]).keys.items() if name != "run"}
        found["with run"] = Record(beside).schema()
    return found


def _steps(kinds: Mapping[str, type[Kind]]) -> Schema:
    """The forms of a step, and the steps inside steps; which one is meant follows from its keys."""
    names = sorted({*kinds, *tables.FORMS})
    plain = [name for name in names if name not in tables.FORMS]
    found: Schema = {
        "step run": _form(tables.ACTION, "run", plain, kinds, stated=True),
        "step do": _form(tables.ACTION, "do", plain, kinds, stated=True),
        "step steps": tables.BLOCK.schema(),
        "step parallel": tables.PARALLEL.schema(),
        "step include": tables.INCLUDE.schema(),
    }
    choices = [_when({"required": [key]}, f"step {key}") for key in ("run", "steps", "parallel", "include")]
    for name, table in tables.FORMS.items():
        found[f"step {name}"] = _language_step(name, table)
        choices.append(_when(_does([name]), f"step {name}"))
    choices.append(_when(_does(plain), "step do"))
    one: Schema = {
        "oneOf": [{"required": [key]} for key in _ANY_OF_STEP],
        "properties": {"do": {"enum": names, "description": _DO}},
    }
    found["step"] = {"type": "object"} | one | {"allOf": choices}
    for name, table, values in (
        ("look", tables.LOOK, tables.LOOK_KINDS),
        ("way_step", tables.WAY_STEP, tables.WAY_KINDS),
        ("method", tables.METHOD, frozenset[str]()),
    ):
        inner = [_form(table, "run", plain, kinds), _form(table, "do", plain, kinds)]
        for value in sorted(values):
            own = _language_step(value, tables.inner_form(value, table))
            inner.append({"allOf": [own, _does([value])]})
        found[name] = {"oneOf": inner}
    return found


def _form(
    table: Record, form: str, names: list[str], kinds: Mapping[str, type[Kind]], *, stated: bool = False
) -> Schema:
    """An action written with `run` or with `do`; with `do`, its `with` is that of the kind."""
    other = "do" if form == "run" else "run"
    schema = Record({name: key for name, key in table.keys.items() if name != other}).schema()
    required = [*_list(schema.get("required")), form]
    if form == "run":
        return schema | {
            "required": [*required, *(["effect"] if stated else [])],
            "allOf": [{"properties": {"with": _with("run", "What goes with the script.")}}] if "shell" in kinds else [],
        }
    conditions = [_fields_of(name, kinds, stated=stated) for name in names]
    return schema | {"required": required, "allOf": [_does(names), *conditions]}


def _fields_of(name: str, kinds: Mapping[str, type[Kind]], *, stated: bool) -> Schema:
    kind = kinds.get(name)
    then: Schema = {"properties": {"with": _with(name, _first_line(kind))}}
    needed = []
    if name in _LANGUAGE_FIELDS or name == "set" or (kind is not None and any(spec.required for spec in kind.fields())):
        needed.append("with")
    if stated and kind is not None and kind.EFFECT is None:
        needed.append("effect")
    return {"if": _does([name]), "then": then | ({"required": needed} if needed else {})}


def _with(name: str, meaning: str) -> Schema:
    """The `with` of a kind, with a sentence that an editor shows."""
    return {"$ref": f"#/$defs/with {name}", "description": meaning}


def _first_line(kind: type[Kind] | None) -> str:
    lines = (kind.__doc__ or "").strip().splitlines() if kind is not None else []
    return f"{kind.NAME}: {lines[0]}" if kind is not None and lines else "The fields of the kind."


def _language_step(name: str, table: Record) -> Schema:
    schema = table.schema()
    if name in _LANGUAGE_FIELDS or name == "set":
        properties = {"with": _with(name, f"The fields of {name}.")}
        schema["allOf"] = [{"properties": properties, "required": ["do", "with"]}]
    return schema


def _does(names: list[str]) -> Schema:
    return {"properties": {"do": {"enum": names}}, "required": ["do"]}


def _when(condition: Schema, definition: str) -> Schema:
    return {"if": condition, "then": {"$ref": f"#/$defs/{definition}"}}


def _list(value: object) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list) else []
