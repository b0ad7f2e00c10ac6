"""Values written in a document: constants, and the fields of step kinds, which may hold `${{ }}`.

A text stays a text: `3.10`, `on` and `no` in a text field are what was written. A number is taken in the one form that
every reader reads alike. A literal of a field is checked against the field's type here, a template when it has a value.
"""

from __future__ import annotations

from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Final

from drctl.core.model import FieldValue, Listed, Mapped
from drctl.core.nouns import dataclass
from drctl.core.values import Duration, Size, Time, Value
from drctl.core.values import Map as FrozenMap
from drctl.loading.nodes import Broken, CoreType, Mapping, Node, Scalar, Sequence
from drctl.loading.records import Key, MapOf, Named, Record
from drctl.loading.shapes import (
    BAD,
    Bad,
    Bool,
    Choice,
    Int,
    Number,
    Quantity,
    Reading,
    Schema,
    Shape,
    read_number,
    refuse,
    written,
)
from drctl.loading.texts import FileText, FormulaText, ScriptText, TemplateText

if TYPE_CHECKING:
    from collections.abc import Mapping as Map

    from drctl.core.kind import FieldSpec, Kind
    from drctl.core.templates import Template

_OPENING: Final = "${{"


def is_template(node: Node) -> bool:
    """Whether a scalar holds `${{ }}`."""
    return isinstance(node, Scalar) and _OPENING in node.text


def constant(node: Node, reading: Reading) -> Value | Bad:
    """Read a constant: text, number, bool or null."""
    if not isinstance(node, Scalar):
        return refuse(node, reading, "a text, number, true, false or null")
    if is_template(node):
        hint = "write a value; use `set` to give a name to a computed one"
        reading.problems.error("E203", node.where, f"a template cannot stand here{reading.of}", hint)
        return BAD
    match node.core_type:
        case CoreType.NULL:
            return None
        case CoreType.BOOL:
            return node.text.lower() == "true"
        case CoreType.INT | CoreType.FLOAT:
            return read_number(node, reading, "a number")
        case CoreType.TEXT:
            return node.text


@dataclass(frozen=True, slots=True)
class Constants:
    """A constant, or a list or map of them, at any depth."""

    def read(self, node: Node, reading: Reading) -> Value | Bad:
        """Read it."""
        match node:
            case Mapping():
                entries = ((entry.key.text, self.read(entry.value, reading)) for entry in node.entries)
                return FrozenMap({name: value for name, value in entries if not isinstance(value, Bad)})
            case Sequence():
                items = (self.read(item, reading) for item in node.items)
                return tuple(item for item in items if not isinstance(item, Bad))
            case _:
                return constant(node, reading)

    def schema(self) -> Schema:
        """Anything."""
        return {}


@dataclass(frozen=True, slots=True)
class Anything:
    """Any value, templates inside texts at any depth."""

    def read(self, node: Node, reading: Reading) -> FieldValue | Bad:
        """Read it."""
        match node:
            case Mapping():
                found = MapOf(self, least=0).read(node, reading)
                return found if isinstance(found, Bad) else mapped(found)
            case Sequence():
                return ListValue(self).read(node, reading)
            case Scalar() if node.core_type is CoreType.TEXT:
                return TemplateText().read(node, reading)
            case Broken():
                return BAD
            case _:
                return constant(node, reading)

    def schema(self) -> Schema:
        """Anything."""
        return {}


def mapped(found: Map[str, Named]) -> Mapped:
    """The map of a step's `with` from entries that were read as field values."""
    return Mapped(items={name: one.value for name, one in found.items()})  # type: ignore[misc] # read by Anything


@dataclass(frozen=True, slots=True)
class OrTemplate:
    """A typed value, or a text that holds `${{ }}` and becomes one."""

    shape: Shape

    def read(self, node: Node, reading: Reading) -> object:
        """Read a template as one, anything else by its type."""
        return TemplateText().read(node, reading) if is_template(node) else self.shape.read(node, reading)

    def schema(self) -> Schema:
        """Either."""
        return {"anyOf": [self.shape.schema(), {"type": "string", "pattern": r"\$\{\{"}]}


@dataclass(frozen=True, slots=True)
class TextChoice:
    """A text that is one of a few words, or a template that becomes one; a template either way."""

    words: tuple[str, ...]

    def read(self, node: Node, reading: Reading) -> object:
        """Read it."""
        if not is_template(node) and isinstance(Choice(self.words).read(node, reading), Bad):
            return BAD
        return TemplateText().read(node, reading)

    def schema(self) -> Schema:
        """The words, or a template."""
        return OrTemplate(Choice(self.words)).schema()


@dataclass(frozen=True, slots=True)
class SecretText:
    """A field that takes a secret: a template; the secret itself never stands in a document."""

    def read(self, node: Node, reading: Reading) -> object:
        """Read it."""
        scalar = written(node, reading, "a reference to a secret")
        if isinstance(scalar, Bad):
            return BAD
        if not is_template(node):
            hint = 'write "${{ inputs.NAME }}", where NAME is an input of type secret'
            reading.problems.error("E403", node.where, f"a secret cannot be written here{reading.of}", hint)
            return BAD
        return TemplateText().read(node, reading)

    def schema(self) -> Schema:
        """A template."""
        return {"type": "string", "pattern": r"\$\{\{"}


@dataclass(frozen=True, slots=True)
class ListValue:
    """A list; its members are read by `item`."""

    item: Shape

    def read(self, node: Node, reading: Reading) -> Listed | Bad:
        """Read it."""
        if not isinstance(node, Sequence):
            return refuse(node, reading, "a list")
        found = (self.item.read(item, reading) for item in node.items)
        return Listed(items=tuple(one for one in found if not isinstance(one, Bad)))  # type: ignore[misc] # by its item

    def schema(self) -> Schema:
        """A list."""
        return {"type": "array", "items": self.item.schema()}


@dataclass(frozen=True, slots=True)
class MapValue:
    """A map of anything."""

    def read(self, node: Node, reading: Reading) -> Mapped | Bad:
        """Read it."""
        found = MapOf(Anything(), least=0).read(node, reading)
        return BAD if isinstance(found, Bad) else mapped(found)

    def schema(self) -> Schema:
        """An object."""
        return {"type": "object"}


@dataclass(frozen=True, slots=True)
class SqlText:
    """SQL of the author: a value in it would be read as SQL, so it holds none."""

    def read(self, node: Node, reading: Reading) -> Template | Bad:
        """Read it; values come by `args`."""
        found = TemplateText().read(node, reading)
        if isinstance(found, Bad) or found.is_plain:
            return found
        hint = "hand it over as args: {x: \"${{ ... }}\"}, and write :'x' in the SQL"
        place = reading.texts.place(found, found.placeholders[0].offset, node.where)
        reading.problems.error("E203", place, f"a template cannot stand in SQL{reading.of}", hint)
        return BAD

    def schema(self) -> Schema:
        """Text."""
        return TemplateText().schema()


_TYPES: Final[dict[str, Shape]] = {
    "text": TemplateText(),
    "file": FileText(),
    "host": TemplateText(),
    "int": OrTemplate(Int()),
    "decimal": OrTemplate(Number()),
    "bool": OrTemplate(Bool()),
    "duration": OrTemplate(Quantity(Duration)),
    "size": OrTemplate(Quantity(Size)),
    "time": OrTemplate(Quantity(Time)),
    "list": OrTemplate(ListValue(Anything())),
    "argv": ListValue(TemplateText()),
    "map": OrTemplate(MapValue()),
    "any": Anything(),
    "script": ScriptText(),
    "sql": SqlText(),
    "expression": FormulaText(),
    "secret": SecretText(),
}
FIELD_TYPES: Final = frozenset(_TYPES)
"""Types a field of a kind may have."""


def field_shape(spec: FieldSpec) -> Shape:
    """The shape of a field of a kind."""
    return TextChoice(spec.choices) if spec.choices else _TYPES[spec.type]


@cache
def fields_of(kind: type[Kind]) -> Map[str, FieldSpec]:
    """The fields of a kind by name; kept, since a runbook asks for them at every step."""
    return {spec.name: spec for spec in kind.fields()}


@cache
def kind_record(kind: type[Kind]) -> Record:
    """The table of a kind's `with`."""
    keys = {name: Key(field_shape(spec), spec.doc, required=spec.required) for name, spec in fields_of(kind).items()}
    return Record(keys)


def typed_constant(type_name: str, node: Node, reading: Reading, of: tuple[str, ...] = ()) -> Value | Bad:
    """Read the default or a limit of an input by the input's type; `of` names the type of a list's members."""
    shapes: dict[str, Shape] = {
        "int": Int(),
        "decimal": Number(),
        "bool": Bool(),
        "duration": Quantity(Duration),
        "size": Quantity(Size),
        "time": Quantity(Time),
    }
    if type_name == "list":
        if not isinstance(node, Sequence):
            return refuse(node, reading, "a list", "write [.., ..]")
        members = [typed_constant(of[0] if of else "text", item, reading) for item in node.items]
        return tuple(one for one in members if not isinstance(one, Bad))
    if is_template(node):
        return constant(node, reading)
    if type_name not in shapes:
        scalar = written(node, reading, "a text")
        return BAD if isinstance(scalar, Bad) else scalar.text
    found = shapes[type_name].read(node, reading)
    return found if isinstance(found, bool | int | Decimal | Duration | Size | Time) else BAD
