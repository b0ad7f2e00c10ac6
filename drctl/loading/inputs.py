"""Inputs of a runbook, and the answers a `manual` step wants: the same table, the same rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from drctl.core.expressions.patterns import PatternError, compiled
from drctl.core.input_specs import InputSpec, InputType
from drctl.core.values import Duration, Time, Value
from drctl.core.written import Text
from drctl.loading.literals import typed_constant
from drctl.loading.nodes import Node, Scalar, Sequence
from drctl.loading.records import Fields, Key, Named, Record
from drctl.loading.secret_refs import SECRET
from drctl.loading.shapes import Bad, Choice, Word, refuse, written
from drctl.loading.suggest import did_you_mean
from drctl.loading.tables import HOST_NAME

if TYPE_CHECKING:
    from drctl.core.inventory import Inventory

_GROUP: Final = Record({"group": Key(Word("a group", HOST_NAME), "The host must be in this group.", required=True)})
MEMBER: Final = Choice(("text", "int", "bool", "duration", "time", "host"))


def read_inputs(
    entries: dict[str, Named], inventory: Inventory | None, *, answers: bool = False
) -> tuple[InputSpec, ...]:
    """Read the entries of `inputs`, or of `ask` in a `manual` step."""
    found = []
    for name, entry in entries.items():
        if isinstance(entry.value, Fields):
            found.append(_InputReader(name, entry.value, inventory).read(entry, answers=answers))
    return tuple(found)


class _InputReader:
    def __init__(self, name: str, fields: Fields, inventory: Inventory | None) -> None:
        self.name = name
        self.fields = fields
        self.inventory = inventory
        self.type = fields.member("type", InputType, InputType.TEXT)
        self.known = fields.get("type", str) is not None

    def read(self, entry: Named, *, answers: bool) -> InputSpec:
        """Read one input; what was refused is left out."""
        fields = self.fields
        of = self.choices()
        default = self.value("default", of)
        least, most = self.limit("min"), self.limit("max")
        self.compare(least, default, "default", "less than min")
        self.compare(default, most, "default", "more than max")
        self.compare(least, most, "max", "less than min")
        if self.type is InputType.SECRET and "default" in fields:
            fields.error("E403", "default", "a secret has no default", "write from: env:NAME")
        if answers and self.type is InputType.SECRET:
            fields.error("E305", "type", "a secret cannot be an answer: answers are recorded", "make it an input")
        if "default" in fields and fields.get("optional", bool):
            fields.error("E210", "optional", "'default' and 'optional' exclude each other", "leave one of them out")
        return InputSpec(
            name=self.name,
            type=self.type,
            ask=fields.get("ask", Text),
            default=default,
            has_default="default" in fields,
            optional=fields.get("optional", bool) or False,
            of=of,
            pattern=self.pattern(default),
            minimum=least,
            maximum=most,
            source=self.source(),
            where=entry.key.where,
        )

    def only_for(self, key: str, *types: InputType) -> bool:
        """Whether the key is written and fits the type."""
        if key not in self.fields:
            return False
        if self.known and self.type not in types:
            words = " or ".join(one.value for one in types)
            self.fields.error("E209", key, f"'{key}' cannot stand", f"it belongs to {words}; this is {self.type.value}")
            return False
        return self.known

    def choices(self) -> tuple[str, ...]:
        if self.type is InputType.CHOICE and "of" not in self.fields:
            self.fields.error("E210", "type", "'of' is missing", "a choice needs of: [.., ..]")
        if self.type is InputType.LIST and "of" not in self.fields:
            self.fields.error("E210", "type", "'of' is missing", "a list needs of: TYPE, such as of: text")
        if not self.only_for("of", InputType.CHOICE, InputType.HOST, InputType.LIST):
            return ()
        node, reading = self.fields.nodes["of"], self.fields.reading
        if self.type is InputType.HOST:
            found = _GROUP.read(node, reading)
            group = None if isinstance(found, Bad) else found.get("group", str)
            self.check_group(group)
            return (group,) if group else ()
        if self.type is InputType.LIST:
            word = MEMBER.read(node, reading)
            return () if isinstance(word, Bad) else (word,)
        if not isinstance(node, Sequence) or not node.items:
            reading.problems.error("E203", node.where, f"a list of choices is expected{reading.of}", "of: [.., ..]")
            return ()
        words = [scalar.text for item in node.items if isinstance(scalar := written(item, reading, "a text"), Scalar)]
        if len(set(words)) < len(words):
            reading.problems.error("E207", node.where, f"a choice stands twice{reading.of}")
        return tuple(words)

    def check_group(self, group: str | None) -> None:
        if group is None or self.inventory is None:
            return
        groups = {name for host in self.inventory.hosts.values() for name in host.groups}
        if group not in groups:
            self.fields.error("E308", "of", f"the inventory has no group '{group}'", did_you_mean(group, groups))

    def value(self, key: str, of: tuple[str, ...]) -> Value:
        if key not in self.fields or not self.known or self.type is InputType.SECRET:
            return None
        node, reading = self.fields.nodes[key], self.fields.reading
        if self.type is InputType.LIST:
            return self.members(node, of)
        value = typed_constant(self.type.value, node, reading)
        if isinstance(value, Bad):
            return None
        if self.type is InputType.CHOICE and of and value not in of:
            self.fields.error("E204", key, f"'{value}' is not among the choices", did_you_mean(str(value), of))
        if self.type is InputType.HOST and self.inventory is not None and value not in self.inventory.hosts:
            hint = did_you_mean(str(value), self.inventory.hosts)
            self.fields.error("E308", key, f"the inventory has no host '{value}'", hint)
        return value

    def members(self, node: Node, of: tuple[str, ...]) -> Value:
        """The default of a list."""
        reading = self.fields.reading
        if not isinstance(node, Sequence):
            refuse(node, reading, "a list", "default: [.., ..]")
            return None
        found = [typed_constant(of[0] if of else "text", item, reading) for item in node.items]
        return tuple(one for one in found if not isinstance(one, Bad))

    def limit(self, key: str) -> Value:
        if not self.only_for(key, *_ORDERED_TYPES):
            return None
        value = typed_constant(self.type.value, self.fields.nodes[key], self.fields.reading)
        return None if isinstance(value, Bad) else value

    def compare(self, low: Value, high: Value, key: str, complaint: str) -> None:
        pairs = [(low, high)] if type(low) is type(high) and isinstance(low, int | Duration | Time) else []
        if any(left > right for left, right in pairs):  # type: ignore[operator] # of one type
            self.fields.error("E204", key, f"'{key}' is {complaint}")

    def pattern(self, default: Value) -> str | None:
        written_pattern = self.fields.get("pattern", str)
        if not self.only_for("pattern", InputType.TEXT) or written_pattern is None:
            return None
        try:
            expression = compiled(written_pattern)
        except PatternError as error:
            self.fields.error("E204", "pattern", str(error))
            return None
        if isinstance(default, str) and not expression.fullmatch(default):
            self.fields.error("E204", "default", "'default' does not match 'pattern'")
        return written_pattern

    def source(self) -> str | None:
        if not self.only_for("from", InputType.SECRET):
            return None
        found = SECRET.read(self.fields.nodes["from"], self.fields.reading)
        return None if isinstance(found, Bad) else found.written


_ORDERED_TYPES: Final = (InputType.INT, InputType.DURATION, InputType.TIME)
