"""A diagnostic as text for people: place, code, sentence, the source line with a caret, and what to write instead.

Carets stand under the right character also in Chinese and Japanese text, where a character takes two columns of a
terminal. Control characters of the source are shown as escapes, so a document cannot steer the terminal.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

from drctl.loading.codes import UNPRINTABLE_CODES

if TYPE_CHECKING:
    from drctl.core.diagnostics import Diagnostic

_WIDEST = 100
_SECRET = re.compile(
    r"(\b(?:password|passphrase|secret|token|bearer|keys|from)[\"']?\s*:\s*)"
    r"(?![\"']?(?:env:|file:|ssm:|secretsmanager:|\$\{\{|\{|\[))(\"[^\"]*\"?|'[^']*'?|[^\s,}\]\"'][^,}\]]*)",
    re.IGNORECASE,
)


def render(diagnostic: Diagnostic, source_text: str) -> str:
    """Write one diagnostic with its snippet.

    Args:
        diagnostic: what was found.
        source_text: the text of the file it was found in; empty leaves the snippet out.
    """
    head = f"{diagnostic.where}: {diagnostic.severity.value}[{diagnostic.code}]: {_visible(diagnostic.summary)}"
    parts = [head, *snippet(diagnostic, source_text)]
    if diagnostic.hint:
        parts.append(f"  = {_visible(diagnostic.hint)}")
    return "\n".join(parts)


def snippet(diagnostic: Diagnostic, source_text: str) -> list[str]:
    """The line of the source and the caret below it; nothing when there is none, or when it may hold a secret."""
    where = diagnostic.where
    lines = source_text.split("\n")
    if not 0 < where.line <= len(lines) or diagnostic.code in UNPRINTABLE_CODES:
        return []
    line, column = masked(lines[where.line - 1].removesuffix("\r")), where.column - 1
    start = max(0, column - _WIDEST // 2) if len(line) > _WIDEST else 0
    before, after = _visible(line[start:column]), _visible(line[column : start + _WIDEST])
    number = str(where.line)
    return [f"  {number} | {before}{after}", f"  {' ' * len(number)} | {' ' * cell_width(before)}^"]


def masked(line: str) -> str:
    """The line with what may be a secret starred out, at the same length: another problem may stand beside it."""
    return _SECRET.sub(lambda found: found[1] + "*" * len(found[2]), line)


def cell_width(text: str) -> int:
    """Columns of a terminal a text takes: 2 for wide characters, 0 for marks that combine."""
    return sum(_cells(character) for character in text)


def _cells(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1


def _visible(text: str) -> str:
    return "".join(_escape(character) for character in text)


def _escape(character: str) -> str:
    if character == "\t":
        return " "
    return character if character.isprintable() else f"\\u{ord(character):04x}"
