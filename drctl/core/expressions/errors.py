"""What can be wrong with an expression: it cannot be read (ExpressionError) or cannot mean anything (Problem)."""

from __future__ import annotations

from drctl.core.nouns import dataclass


class ExpressionError(ValueError):
    """A text that is no expression, template or script of the language.

    Attributes:
        offset: where in the text, in characters from 0.
        summary: what is wrong, one sentence without its full stop.
        hint: what to write instead, or None.
    """

    def __init__(self, offset: int, summary: str, hint: str | None = None) -> None:
        super().__init__(offset, summary, hint)
        self.offset = offset
        self.summary = summary
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.summary}; {self.hint}" if self.hint else self.summary

    def moved(self, by: int) -> ExpressionError:
        """The same error in a larger text, `by` characters further on."""
        return ExpressionError(self.offset + by, self.summary, self.hint)


@dataclass(frozen=True, slots=True)
class Problem:
    """An expression that can be read and yet is wrong: an unknown name, types that do not fit.

    Attributes:
        offset: where in the text of the expression, in characters from 0.
        summary: what is wrong, one sentence without its full stop.
        hint: what to write instead, or None.
    """

    offset: int
    summary: str
    hint: str | None = None

    def moved(self, by: int) -> Problem:
        """The same problem in a larger text, `by` characters further on."""
        return Problem(self.offset + by, self.summary, self.hint)
