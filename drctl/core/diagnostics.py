"""A problem in a document: where it is, what it is, what to write instead."""

from __future__ import annotations

import enum

from drctl.core.nouns import dataclass


class Severity(enum.Enum):
    """Errors refuse the document; warnings are printed and the document is used."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Where:
    """A place in a file. Lines and columns count from 1, in characters; 0 means the file as a whole."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        """Write file:line:column, the form editors and terminals make clickable."""
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnostic:
    """One problem. `code` is stable and greppable (E103); `hint` says what to write instead."""

    where: Where
    code: str
    summary: str
    hint: str = ""
    severity: Severity = Severity.ERROR
