"""`include`: which file it names, and the inputs it is given. The files of one load are read once each."""

from __future__ import annotations

from dataclasses import field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from drctl.core.input_specs import InputSpec, InputType
from drctl.core.inputs import check_value
from drctl.core.nouns import dataclass
from drctl.loading.document import read_document
from drctl.loading.literals import SecretText, is_template, typed_constant
from drctl.loading.nodes import Broken, CoreType, Mapping, Node, Scalar
from drctl.loading.shapes import BAD, Bad, refuse
from drctl.loading.suggest import did_you_mean
from drctl.loading.texts import TemplateText

if TYPE_CHECKING:
    from collections.abc import Callable

    from drctl.core.inventory import Inventory
    from drctl.core.model import FieldValue, Runbook
    from drctl.loading.codes import Problems
    from drctl.loading.records import Fields
    from drctl.loading.results import Shown
    from drctl.loading.shapes import Reading

DEEPEST: Final = 8
"""Includes inside of includes."""
MOST_CALLS: Final = 500
"""Includes of one runbook, those inside of others counted each time."""
MOST_TEXT: Final = 4 * 1024 * 1024
"""Characters of all that is included, counted each time: what is written once must not be read for ever."""
MOST_BESIDE: Final = 1024 * 1024
"""Bytes of a file that a field names: what `file.put` puts into one."""


@dataclass(slots=True, kw_only=True)
class Files:
    """The files of one load."""

    read: Callable[[str], bytes]
    texts: dict[str, str] = field(default_factory=dict)
    roots: dict[str, Node | None] = field(default_factory=dict)
    calls: int = 0
    length: int = 0

    def root(self, name: str, problems: Problems) -> Node | None:
        """The root node of a file; None when it could not be read, which was reported the first time."""
        if name not in self.roots:
            self.roots[name], text = read_document(name, self.read, problems)
            if self.roots[name] is not None:
                self.texts[name] = text
        return self.roots[name]

    def included(self, fields: Fields, around: tuple[str, ...]) -> str | None:
        """The name of the file an `include` names; None when it must not be read here.

        Args:
            fields: the step.
            around: the files that are being read, outermost first.
        """
        written = fields.get("include", str)
        if written is None:
            return None
        name = (PurePosixPath(around[-1]).parent / written).as_posix()
        self.calls += 1
        if name in around:
            chain = " includes ".join([*around[around.index(name) :], name])
            fields.error("E311", "include", "the file includes itself", chain)
        elif len(around) > DEEPEST:
            fields.error("E311", "include", f"more than {DEEPEST} includes inside one another", "say it in fewer files")
        elif self.calls > MOST_CALLS or self.length > MOST_TEXT:
            fields.error("E311", "include", f"too much is included: {self.calls} files", "say it in fewer files")
        elif name not in self.roots and not self._there(name, fields):
            self.roots[name] = None
        else:
            self.length += len(self.texts.get(name, ""))
            return name
        return None

    def beside(self, name: str) -> bytes:
        """The bytes of a file that is no document; its text is kept with those that are.

        Raises:
            OSError: it cannot be read, or is longer than `MOST_BESIDE`.
        """
        data = self.read(name)
        if len(data) > MOST_BESIDE:
            raise OSError(f"it has {len(data):,} bytes, and at most {MOST_BESIDE:,} can be kept with the run")
        self.texts[name] = data.decode("utf-8", "replace")
        return data

    def _there(self, name: str, fields: Fields) -> bool:
        """Whether the file can be read; said at the place that names it."""
        try:
            self.read(name)
        except OSError as error:
            summary = f"{name} cannot be read: {error.strerror or error}"
            fields.error("E100", "include", summary, "an include names a file beside the one it stands in")
            return False
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Included:
    """A file at the place of an `include`, with the types of its outputs."""

    runbook: Runbook
    outputs: Shown


def given_inputs(fields: Fields, included: Runbook, inventory: Inventory | None) -> dict[str, FieldValue]:
    """The inputs that an `include` gives, checked against those the file asks for."""
    node, reading = fields.nodes.get("with"), fields.reading
    specs = {spec.name: spec for spec in included.inputs}
    values: dict[str, FieldValue] = {}
    named: set[str] = set()
    if node is not None and not isinstance(node, Mapping):
        refuse(node, reading, "a map of inputs")
        return values
    for entry in node.entries if node is not None else ():
        name = entry.key.text
        named.add(name)
        if name not in specs:
            hint = did_you_mean(name, specs, "it has no inputs")
            summary = f"the included file has no input '{name[:60]}'{reading.of}"
            reading.problems.error("E312", entry.key.where, summary, hint)
            continue
        value = _value(specs[name], entry.value, inventory, reading)
        if not isinstance(value, Bad):
            values[name] = value
    for spec in included.inputs:
        if spec.required and spec.name not in named:
            hint = f"write with: {{{spec.name}: ...}}; it is {spec.type.value}"
            fields.error("E312", "include", f"the input '{spec.name}' of the included file is missing", hint)
    return values


def _value(spec: InputSpec, node: Node, inventory: Inventory | None, reading: Reading) -> FieldValue | Bad:
    if isinstance(node, Broken):
        return BAD
    if spec.type is InputType.SECRET:
        return SecretText().read(node, reading)  # type: ignore[return-value] # a template, or BAD
    if is_template(node):
        return TemplateText().read(node, reading)
    if spec.optional and isinstance(node, Scalar) and node.core_type is CoreType.NULL:
        return None
    return _literal(spec, node, inventory, reading)


def _literal(spec: InputSpec, node: Node, inventory: Inventory | None, reading: Reading) -> FieldValue | Bad:
    value = typed_constant(spec.type.value, node, reading, spec.of)
    if isinstance(value, Bad):
        return BAD
    try:
        check_value(spec, value, None if inventory is None else inventory.hosts)
    except ValueError as error:
        reading.problems.error("E204", node.where, f"{error}{reading.of}")
        return BAD
    return value
