"""Inputs of a runbook, and the answers a `manual` step wants: the same table, the same rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from drctl.core.expressions.patterns import PatternError, compiled
from drctl.core.input_specs import InputSpec, InputType
from drctl.core.inputs import named_hosts
from drctl.core.written import Text
from drctl.loading.literals import typed_constant
from drctl.loading.nodes import Scalar, Sequence
from drctl.loading.records import Fields, Key, Named, Record
from drctl.loading.secret_refs import SECRET
from drctl.loading.shapes import Bad, Choice, Word, written
from drctl.loading.suggest import did_you_mean
from drctl.loading.tables import HOST_NAME

if TYPE_CHECKING:
    from drctl.core.inventory import Inventory
    from drctl.core.values import Value

_GROUP: Final = Record({"group": Key(Word("a group", HOST_NAME), "The host must be in this group.", required=True)})
MEMBER: Final = Choice(("text", "int", "decimal", "bool", "duration", "size", "time", "host"))


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
            return (group,) if group and self.is_group(group) else ()
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

    def is_group(self, group: str) -> bool:
        if self.inventory is None:
            return True
        groups = {name for host in self.inventory.hosts.values() for name in host.groups}
        if group not in groups:
            self.fields.error("E308", "of", f"the inventory has no group '{group}'", did_you_mean(group, groups))
        return group in groups

    def value(self, key: str, of: tuple[str, ...]) -> Value:
        if key not in self.fields or not self.known or self.type is InputType.SECRET:
            return None
        node, reading = self.fields.nodes[key], self.fields.reading
        value = typed_constant(self.type.value, node, reading, of)
        if isinstance(value, Bad):
            return None
        if self.type is InputType.CHOICE and of and value not in of:
            self.fields.error("E204", key, f"'{value}' is not among the choices", did_you_mean(str(value), of))
        return self.known_hosts(key, value, of)

    def known_hosts(self, key: str, value: Value, of: tuple[str, ...]) -> Value:
        """The default with hosts for their names; without an inventory any name is taken for one."""
        if self.inventory is None:
            return value
        spec = InputSpec(name=self.name, type=self.type, of=of, where=self.fields.node.where)
        try:
            return named_hosts(spec, value, self.inventory.hosts)
        except ValueError as error:
            self.fields.error("E308", key, str(error), did_you_mean(str(value), self.inventory.hosts))
            return None

    def limit(self, key: str) -> Value:
        if not self.only_for(key, *_ORDERED_TYPES):
            return None
        value = typed_constant(self.type.value, self.fields.nodes[key], self.fields.reading)
        return None if isinstance(value, Bad) else value

    def compare(self, low: Value, high: Value, key: str, complaint: str) -> None:
        if low is not None and high is not None and low > high:  # type: ignore[operator] # both of the input's type
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


_ORDERED_TYPES: Final = (InputType.INT, InputType.DECIMAL, InputType.DURATION, InputType.SIZE, InputType.TIME)
