"""Shapes of maps, lists and records: a record is a table of keys, and the table is also the JSON Schema.

A key of the language that this version does not have is in the table too, and is refused by name; it is never ignored.
"""

from __future__ import annotations

import enum
from dataclasses import field
from typing import TYPE_CHECKING, TypeVar

from drctl.core.nouns import dataclass
from drctl.loading.nodes import Broken, Mapping, Node, Scalar, Sequence
from drctl.loading.shapes import Bad, Reading, Schema, Shape, Word, empty, refuse
from drctl.loading.suggest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Mapping as Map

    from drctl.core.diagnostics import Where

T = TypeVar("T")
E = TypeVar("E", bound=enum.Enum)


@dataclass(frozen=True, slots=True)
class Raw:
    """A node handed on unread: its reader needs to know more (the kind, the place). `reference` names its schema."""

    reference: str

    def read(self, node: Node, reading: Reading) -> Node:  # noqa: ARG002 - the shape's contract
        """Hand it on."""
        return node

    def schema(self) -> Schema:
        """The definition it refers to; an empty reference takes anything."""
        return {"$ref": f"#/$defs/{self.reference}"} if self.reference else {}


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list; with `or_one`, a single value stands for a list of one."""

    item: Shape
    or_one: bool = False
    least: int = 1

    def read(self, node: Node, reading: Reading) -> tuple[object, ...] | Bad:
        """Read every member; those that were refused are left out."""
        if not isinstance(node, Sequence):
            if self.or_one:
                return tuple(one for one in (self.item.read(node, reading),) if not isinstance(one, Bad))
            return refuse(node, reading, "a list")
        if len(node.items) < self.least:
            return empty(node, reading, "at least one member")
        found = [self.item.read(item, reading) for item in node.items if not reading.problems.full]
        return tuple(one for one in found if not isinstance(one, Bad))

    def schema(self) -> Schema:
        """A list, or its member."""
        listed: Schema = {"type": "array", "items": self.item.schema(), "minItems": self.least}
        return {"anyOf": [self.item.schema(), listed]} if self.or_one else listed


@dataclass(frozen=True, slots=True)
class MapOf:
    """A map from names to values of one shape. Gives a dict of `Named`; `label` names an entry in messages."""

    item: Shape
    key: Shape = field(default_factory=Word)
    least: int = 1
    label: str = ""

    def read(self, node: Node, reading: Reading) -> dict[str, Named] | Bad:
        """Read every entry; those that were refused are left out."""
        if not isinstance(node, Mapping):
            return refuse(node, reading, "a map")
        if len(node.entries) < self.least:
            return empty(node, reading, "at least one entry")
        found: dict[str, Named] = {}
        for entry in node.entries:
            name = self.key.read(entry.key, reading)
            if reading.problems.full:
                break
            inner = reading.inside(f"{self.label} '{entry.key.text[:60]}'") if self.label else reading
            value = self.item.read(entry.value, inner)
            if isinstance(name, str) and not isinstance(value, Bad):
                found[name] = Named(value=value, key=entry.key, node=entry.value)
        return found

    def schema(self) -> Schema:
        """An object whose values are alike."""
        names = {word: rule for word, rule in self.key.schema().items() if word in {"pattern", "maxLength", "enum"}}
        return {
            "type": "object",
            "minProperties": self.least,
            "additionalProperties": self.item.schema(),
        } | ({"propertyNames": names} if names else {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A value with the key it stands under."""

    value: object
    key: Scalar
    node: Node


@dataclass(frozen=True, slots=True)
class ByForm:
    """A value whose shape follows from whether a scalar, a list or a map was written."""

    expected: str
    scalar: Shape | None = None
    listed: Shape | None = None
    mapped: Shape | None = None

    def read(self, node: Node, reading: Reading) -> object:
        """Read it with the shape of its form."""
        shape = {Scalar: self.scalar, Sequence: self.listed, Mapping: self.mapped}.get(type(node))
        return refuse(node, reading, self.expected) if shape is None else shape.read(node, reading)

    def schema(self) -> Schema:
        """Any of the forms."""
        return {"anyOf": [shape.schema() for shape in (self.scalar, self.listed, self.mapped) if shape is not None]}


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a record: the shape of its value and a sentence for editors and documentation."""

    shape: Shape
    doc: str
    required: bool = False


@dataclass(frozen=True, slots=True)
class Record:
    """A map with known keys.

    Attributes:
        keys: what may stand here.
        later: keys of the language that this version does not have, with what to do without them.
        elsewhere: keys of the language that do not go here, with the reason.
    """

    keys: Map[str, Key]
    later: Map[str, str] = field(default_factory=dict)
    elsewhere: Map[str, str] = field(default_factory=dict)

    def read(self, node: Node, reading: Reading) -> Fields | Bad:
        """Read every key; refuse unknown ones, and miss required ones."""
        if not isinstance(node, Mapping):
            return refuse(node, reading, "a map")
        fields = Fields(node=node, reading=reading)
        for entry in node.entries:
            if reading.problems.full:
                break
            name = entry.key.text
            fields.keys[name] = entry.key
            fields.nodes[name] = entry.value
            if name not in self.keys:
                self.refuse_key(entry.key, reading)
                continue
            value = self.keys[name].shape.read(entry.value, reading)
            if not isinstance(value, Bad):
                fields.values[name] = value
        for name, key in self.keys.items():
            if key.required and name not in fields.keys:
                reading.problems.error("E202", node.where, f"'{name}' is missing{reading.of}", key.doc)
        return fields

    def refuse_key(self, key: Scalar, reading: Reading) -> None:
        """Say why a key cannot stand here."""
        name = key.text
        if name in self.later:
            reading.problems.error("E205", key.where, f"'{name}'{reading.of} is not in this version", self.later[name])
        elif name in self.elsewhere:
            reading.problems.error(
                "E209", key.where, f"'{name}' cannot stand{reading.of or ' here'}", self.elsewhere[name]
            )
        else:
            hint = did_you_mean(name, self.keys)
            reading.problems.error("E201", key.where, f"unknown key '{name[:60]}'{reading.of}", hint)

    def schema(self) -> Schema:
        """An object with these keys and no others."""
        required = [name for name, key in self.keys.items() if key.required]
        schema: Schema = {
            "type": "object",
            "additionalProperties": False,
            "properties": {name: key.shape.schema() | {"description": key.doc} for name, key in self.keys.items()},
        }
        return schema | ({"required": required} if required else {})


@dataclass(slots=True)
class Fields:
    """The values of a record, by key, with their places. A value that was refused is as if it were not there."""

    node: Mapping
    reading: Reading
    values: dict[str, object] = field(default_factory=dict)
    keys: dict[str, Scalar] = field(default_factory=dict)
    nodes: dict[str, Node] = field(default_factory=dict)

    def __contains__(self, key: str) -> bool:
        """Whether the key is written, readable or not."""
        return key in self.keys

    def get(self, key: str, kind: type[T]) -> T | None:
        """The value when it is there and of this type."""
        value = self.values.get(key)
        return value if isinstance(value, kind) else None

    def many(self, key: str, kind: type[T]) -> tuple[T, ...]:
        """The members of a list, or the single value."""
        value = self.values.get(key)
        listed = value if isinstance(value, tuple) else (value,)
        return tuple(one for one in listed if isinstance(one, kind))

    def named(self, key: str) -> dict[str, Named]:
        """The entries of a map."""
        value = self.values.get(key)
        return {name: one for name, one in value.items() if isinstance(one, Named)} if isinstance(value, dict) else {}

    def member(self, key: str, kind: type[E], otherwise: E) -> E:
        """The member of an enumeration a choice names."""
        value = self.values.get(key)
        return kind(value) if isinstance(value, str) else otherwise

    def at(self, key: str) -> Where:
        """Where the key stands; the record itself when it does not."""
        return self.keys[key].where if key in self.keys else self.node.where

    def nodes_of(self, key: str) -> Iterator[Node]:
        """The nodes of a list, or the single node."""
        node = self.nodes.get(key)
        if isinstance(node, Sequence):
            yield from node.items
        elif node is not None and not isinstance(node, Broken):
            yield node

    def error(self, code: str, key: str, summary: str, hint: str = "") -> None:
        """Report a problem of one key."""
        self.reading.problems.error(code, self.at(key), summary + self.reading.of, hint)
