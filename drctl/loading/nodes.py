"""The nodes of a YAML document: what was written, and where.

A scalar keeps its written form; which type it has is decided by whoever reads the field (`3.10` is a text in a text
field). `core_type` says what YAML 1.2 core makes of it.
"""

from __future__ import annotations

import enum
import re
from dataclasses import field
from typing import TypeAlias

from drctl.core.diagnostics import Where
from drctl.core.nouns import dataclass


class Style(enum.Enum):
    """How a scalar is written."""

    PLAIN = "plain"
    SINGLE = "single"
    DOUBLE = "double"
    LITERAL = "literal"
    FOLDED = "folded"


class CoreType(enum.Enum):
    """What YAML 1.2 core makes of a scalar."""

    NULL = "null"
    BOOL = "bool"
    INT = "int"
    FLOAT = "float"
    TEXT = "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The text of one file, to find positions inside scalars."""

    file: str
    text: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scalar:
    """A text as written, quotes and escapes resolved.

    `cut` is the place of a comment that follows on the same line; None when there is none. `comma` says that a plain
    text was ended by a comma of `[]` or `{}`. `source` serves `place`: where a character of the value stands.
    """

    text: str
    where: Where
    style: Style
    cut: Where | None = None
    comma: bool = False
    source: Source = field(repr=False, compare=False)

    @property
    def core_type(self) -> CoreType:
        """The type by the YAML 1.2 core schema; a quoted scalar is always text."""
        if self.style is not Style.PLAIN:
            return CoreType.TEXT
        for core_type, pattern in _CORE:
            if pattern.fullmatch(self.text):
                return core_type
        return CoreType.TEXT

    def place(self, offset: int) -> Where:
        """Say where character `offset` of the value stands in the file; the scalar's start when that is not certain."""
        before = self.text[:offset]
        row, column = before.count("\n"), offset - (before.rfind("\n") + 1)
        if self.style is Style.LITERAL:
            return self._in_line(self.where.line + 1 + row, row, column)
        quoted = self.style in {Style.SINGLE, Style.DOUBLE}
        start = self.where.column - 1 + quoted
        line = self._line(self.where.line)
        if line[start : start + len(before)] == before and "\n" not in before:
            return Where(file=self.where.file, line=self.where.line, column=start + offset + 1)
        return self.where

    def _in_line(self, line: int, row: int, column: int) -> Where:
        written = self.text.split("\n")[row]
        found = self._line(line).find(written) if written else -1
        return Where(file=self.where.file, line=line, column=found + column + 1) if found >= 0 else self.where

    def _line(self, number: int) -> str:
        return self.source.lines[number - 1] if number <= len(self.source.lines) else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sequence:
    """A list."""

    items: tuple[Node, ...]
    where: Where


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A key and its value."""

    key: Scalar
    value: Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapping:
    """A map; no key stands twice."""

    entries: tuple[Entry, ...]
    where: Where

    def get(self, key: str) -> Node | None:
        """Give the value of a key."""
        return next((entry.value for entry in self.entries if entry.key.text == key), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """Stands where a problem was already reported; readers pass over it in silence."""

    where: Where


Node: TypeAlias = Scalar | Sequence | Mapping | Broken

_CORE = (
    (CoreType.NULL, re.compile(r"~|null|Null|NULL|")),
    (CoreType.BOOL, re.compile(r"true|True|TRUE|false|False|FALSE")),
    (CoreType.INT, re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")),
    (
        CoreType.FLOAT,
        re.compile(
            r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
        ),
    ),
)


def describe(node: Node) -> str:
    """Name a node in a message: 'a map', 'a list', 'nothing', 'a number', 'a text'."""
    if isinstance(node, Mapping):
        return "a map"
    if isinstance(node, Sequence):
        return "a list"
    if isinstance(node, Broken):
        return "a value"
    return {
        CoreType.NULL: "nothing",
        CoreType.BOOL: "true or false",
        CoreType.INT: "a number",
        CoreType.FLOAT: "a number",
        CoreType.TEXT: "a text",
    }[node.core_type]
