"""Shapes of texts that are parsed: templates, scripts, expressions, and text for people.

What a parser complains of is reported at its character in the file.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final, TypeVar

from drctl.core.diagnostics import Where
from drctl.core.expressions import ExpressionError, parse
from drctl.core.nouns import dataclass
from drctl.core.scripts import Script
from drctl.core.templates import Template
from drctl.core.written import Formula, Text
from drctl.loading.nodes import Mapping, Node, Scalar, Source, Style
from drctl.loading.shapes import BAD, WRITTEN, Bad, Reading, Schema, empty, written

if TYPE_CHECKING:
    from collections.abc import Callable

LANGUAGE: Final = r"[a-z]{2,3}(?:-[A-Za-z0-9]{2,8})*"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TemplateText:
    """A text that may hold `${{ }}`."""

    def read(self, node: Node, reading: Reading) -> Template | Bad:
        """Read and parse it."""
        scalar = written(node, reading, "a text")
        return BAD if isinstance(scalar, Bad) else parsed(Template.parse, scalar, reading)

    def schema(self) -> Schema:
        """Text."""
        return dict(WRITTEN)


@dataclass(frozen=True, slots=True)
class FileText:
    """The name of a file beside the document; the value is its text, in which `${{ }}` may stand."""

    def read(self, node: Node, reading: Reading) -> Template | Bad:
        """Read the name, the file and the templates in it."""
        scalar = written(node, reading, "the name of a file")
        if isinstance(scalar, Bad) or reading.beside is None:
            return BAD
        name = (PurePosixPath(scalar.where.file).parent / scalar.text).as_posix()
        try:
            text = reading.beside(name).decode("utf-8")
        except OSError as error:
            why = f"{name} cannot be read: {error.strerror or error}"
        except UnicodeDecodeError as error:
            why = f"{name} is no text in UTF-8: byte {error.start + 1:,} cannot be read"
        except ValueError as error:  # a NUL in the name
            why = f"this cannot be the name of a file: {error}"
        else:
            if "\0" not in text:
                return _inside(name, text, reading)
            why = f"{name} holds a NUL byte, which no field can hold"
        reading.problems.error("E100", node.where, f"{why}{reading.of}", "name a file beside the one this stands in")
        return BAD

    def schema(self) -> Schema:
        """Text."""
        return dict(WRITTEN)


def _inside(name: str, text: str, reading: Reading) -> Template | Bad:
    """The template that a file holds; what is wrong with it is told at its place there."""
    source = Source(file=name, text=text, lines=tuple(text.split("\n")))
    scalar = Scalar(text=text, where=Where(file=name, line=0, column=1), style=Style.LITERAL, source=source)
    return parsed(Template.parse, scalar, reading)


@dataclass(frozen=True, slots=True)
class ScriptText:
    """A shell script that may hold `${{ }}`."""

    def read(self, node: Node, reading: Reading) -> Script | Bad:
        """Read and parse it."""
        scalar = written(node, reading, "a script")
        if isinstance(scalar, Bad):
            return BAD
        warn_cut(scalar, reading)
        return parsed(Script.parse, scalar, reading)

    def schema(self) -> Schema:
        """Text."""
        return dict(WRITTEN)


@dataclass(frozen=True, slots=True)
class FormulaText:
    """An expression, bare."""

    def read(self, node: Node, reading: Reading) -> Formula | Bad:
        """Read and parse it."""
        scalar = written(node, reading, "an expression")
        if isinstance(scalar, Bad):
            return BAD
        warn_cut(scalar, reading)
        expression = parsed(parse, scalar, reading)
        return BAD if isinstance(expression, Bad) else Formula(expression=expression, where=node.where)

    def schema(self) -> Schema:
        """Text; `true`, `false` and a number are expressions too."""
        return dict(WRITTEN)


@dataclass(frozen=True, slots=True)
class PeopleText:
    """Text for people: a string, or one for each language."""

    def read(self, node: Node, reading: Reading) -> Text | Bad:
        """Read it; every language is parsed as a template."""
        if not isinstance(node, Mapping):
            template = TemplateText().read(node, reading)
            return BAD if isinstance(template, Bad) else Text(by_language={"": template})
        found: dict[str, Template] = {}
        for entry in node.entries:
            if not re.fullmatch(LANGUAGE, entry.key.text):
                hint = "write {en: ..., zh: ...}"
                reading.problems.error(
                    "E201", entry.key.where, f"'{entry.key.text[:60]}' is not a language{reading.of}", hint
                )
                continue
            template = TemplateText().read(entry.value, reading)
            if not isinstance(template, Bad):
                found[entry.key.text] = template
        if not node.entries:
            empty(node, reading, "a text in at least one language")
        return Text(by_language=found) if found else BAD

    def schema(self) -> Schema:
        """A text, or a map of texts by language."""
        by_language = {"type": "object", "minProperties": 1, "additionalProperties": dict(WRITTEN)}
        return {"anyOf": [dict(WRITTEN), by_language | {"propertyNames": {"pattern": f"^{LANGUAGE}$"}}]}


def parsed(parser: Callable[[str], T], scalar: Scalar, reading: Reading) -> T | Bad:
    """Run a parser of the language over a text; its complaint gets its place in the file."""
    try:
        found = parser(scalar.text)
    except ExpressionError as error:
        hint = error.hint or ""
        if scalar.cut:
            hint = "the text ends before ` #`, which begins a comment: put it in quotes"
        elif scalar.comma and error.offset >= len(scalar.text.rstrip()):
            hint = "in [] and {} a comma ends the text: put it in quotes"
        reading.problems.error("E301", scalar.place(error.offset), f"{error.summary}{reading.of}", hint)
        return BAD
    reading.texts.remember(found, scalar)
    return found


def warn_cut(scalar: Scalar, reading: Reading) -> None:
    """Warn of a comment that may have been meant as a part of the text."""
    if scalar.cut:
        hint = "put the text in quotes, or the comment on a line of its own"
        reading.problems.warn("W001", scalar.cut, f"a comment cuts the text off here{reading.of}", hint)
