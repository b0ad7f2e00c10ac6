"""What an author has written and a run evaluates later: texts for people, and expressions with their place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drctl.core.nouns import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drctl.core.diagnostics import Where
    from drctl.core.expressions import Expression
    from drctl.core.templates import Template


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """Text for people: one template per language; a plain string has the language ''."""

    by_language: Mapping[str, Template]

    def pick(self, language: str) -> Template:
        """Give the template for a language, else English, else the first written."""
        for wanted in (language, "", "en"):
            if wanted in self.by_language:
                return self.by_language[wanted]
        return next(iter(self.by_language.values()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Formula:
    """An expression and where it stands."""

    expression: Expression
    where: Where

    @property
    def text(self) -> str:
        """The expression as written."""
        return self.expression.text
