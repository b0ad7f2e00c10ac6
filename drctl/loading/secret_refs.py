"""References to secrets, in an inventory and in inputs: one form for both. The secret itself is never written."""

from __future__ import annotations

import re
from typing import Final

from drctl.core.inventory import SecretRef
from drctl.core.nouns import dataclass
from drctl.loading.nodes import Mapping, Node, Scalar
from drctl.loading.records import Key, ListOf, Record
from drctl.loading.shapes import BAD, Bad, Reading, Schema, Word, refuse

_NAMES: Final = {
    "env": r"[A-Za-z_][A-Za-z0-9_]*",
    "ssm": r"[A-Za-z0-9_.:/-]{1,2048}",
    "secretsmanager": r"[A-Za-z0-9/_+=.@:-]{1,2048}(?:#[^#\s]+)?",
}
SECRET_SOURCE: Final = "|".join(f"{source}:{name}" for source, name in _NAMES.items()) + "|file:.+"
_HINT: Final = "write env:NAME, file:PATH, ssm:NAME, secretsmanager:NAME#KEY or {cmd: [program, argument]}"


@dataclass(frozen=True, slots=True)
class SecretReference:
    """Where a secret is found. The secret itself is refused, and its line is never printed."""

    def read(self, node: Node, reading: Reading) -> SecretRef | Bad:  # noqa: PLR0911 - one for each form
        """Read a text such as `env:NAME`, or a map with one source."""
        if isinstance(node, Mapping):
            found = _MAP.read(node, reading)
            if isinstance(found, Bad):
                return BAD
            given = [(name, found.many(name, str)) for name in _SOURCES if found.many(name, str)]
            if not given and any(name in found for name in _SOURCES):
                return BAD  # told where it stands
            if len(given) != 1:
                return refuse(node, reading, f"one of {', '.join(_SOURCES)}", _HINT)
            return SecretRef(source=given[0][0], target=given[0][1])
        if not isinstance(node, Scalar):
            return refuse(node, reading, "a reference to a secret", _HINT)
        if node.text.startswith("cmd:"):
            summary = f"a command is a list, never a shell string{reading.of}"
            reading.problems.error("E204", node.where, summary, "write {cmd: [program, argument]}")
            return BAD
        if not re.fullmatch(SECRET_SOURCE, node.text):
            reading.problems.error("E403", node.where, f"a secret is never written in a document{reading.of}", _HINT)
            return BAD
        source, _, target = node.text.partition(":")
        return SecretRef(source=source, target=(target,))

    def schema(self) -> Schema:
        """Either form."""
        return {"anyOf": [{"type": "string", "pattern": f"^(?:{SECRET_SOURCE})$"}, _MAP.schema()]}


_MAP: Final = Record(
    {
        "env": Key(Word("a variable's name", _NAMES["env"]), "Environment variable of drctl."),
        "file": Key(Word("a text"), "File on the control node."),
        "cmd": Key(ListOf(Word("a text")), "Program and arguments that print it; never a shell string."),
        "ssm": Key(Word("a parameter's name", _NAMES["ssm"]), "Parameter of AWS Systems Manager, decrypted."),
        "secretsmanager": Key(
            Word("a secret's name", _NAMES["secretsmanager"]),
            "Secret of AWS Secrets Manager; #KEY takes one text of a JSON object.",
        ),
    }
)
_SOURCES: Final = tuple(_MAP.keys)
SECRET: Final = SecretReference()
