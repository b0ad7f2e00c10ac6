"""Texts with `${{ EXPR }}` in them: parsed at load time, resolved to a value, shown in a plan.

What a template inserts is data for ever: the result is never parsed again. Texts that go to a shell are not for this
module; see `drctl.core.scripts`, which never puts a value into the text of a script.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from drctl.core.encoding import text_of
from drctl.core.expressions import (
    Expression,
    ExpressionError,
    Problem,
    Scope,
    Type,
    TypeScope,
    check,
    evaluate_field,
    infer,
    parse,
)
from drctl.core.nouns import dataclass
from drctl.core.value_types import MAX_TEXT, Secret, Unknown, Value

if TYPE_CHECKING:
    from collections.abc import Iterator

OPEN: Final = "${{"
CLOSE: Final = "}}"


@dataclass(frozen=True, slots=True)
class Placeholder:
    """One `${{ EXPR }}` of a text.

    Attributes:
        expression: what stands between the braces.
        offset: where `${{` begins.
        inner: where the text of the expression begins; its own offsets count from there.
        end: the offset behind `}}`.
    """

    expression: Expression
    offset: int
    inner: int
    end: int


def placeholders(text: str) -> tuple[Placeholder, ...]:
    """The templates of a text, from left to right. `}}` inside a quoted text does not end one.

    Raises:
        ExpressionError: with its offset in the whole text.
    """
    return tuple(_placeholders(text))


def _placeholders(text: str) -> Iterator[Placeholder]:
    known: dict[str, Expression] = {}  # an expression holds no place of its own in the text, so equal ones are one
    at = text.find(OPEN)
    while at >= 0:
        inner = at + len(OPEN)
        end = _closing(text, inner)
        if end is None:
            hint = "close it with }}; to write the three characters themselves: ${{ '${{' }}"
            raise ExpressionError(at, "the template that begins here is not closed", hint)
        written = text[inner:end]
        if written not in known:
            try:
                known[written] = parse(written)
            except ExpressionError as error:
                raise error.moved(inner) from None
        yield Placeholder(known[written], at, inner, end + len(CLOSE))
        at = text.find(OPEN, end + len(CLOSE))


def _closing(text: str, at: int) -> int | None:
    """Where the `}}` of a template stands that begins before `at`."""
    quote = ""
    while at < len(text):
        character = text[at]
        if quote:
            if character == "\\":
                at += 1
            elif character == quote:
                quote = ""
        elif character in "'\"":
            quote = character
        elif text.startswith(CLOSE, at):
            return at
        at += 1
    return None


def shown_value(value: Value | Unknown | Secret, expression: Expression) -> str:
    """A value as a plan shows it: `<steps.x.y: not yet>` when there is none, `***` for a secret."""
    if isinstance(value, Unknown):
        why = "not yet" if value.not_yet else value.reason
        return f"<{expression.canonical()}: {why}>"
    if isinstance(value, Secret):
        return str(value)
    return "null" if value is None else text_of(value)


@dataclass(frozen=True, slots=True)
class Template:
    """A text that may hold `${{ EXPR }}`. Made by `Template.parse`."""

    text: str
    parts: tuple[str | Placeholder, ...]

    @classmethod
    def parse(cls, text: str) -> Template:
        """Read a text.

        Raises:
            ExpressionError: with its offset in the text.
        """
        parts: list[str | Placeholder] = []
        at = 0
        for each in placeholders(text):
            if each.offset > at:
                parts.append(text[at : each.offset])
            parts.append(each)
            at = each.end
        if at < len(text) or not parts:
            parts.append(text[at:])
        return cls(text, tuple(parts))

    @property
    def is_plain(self) -> bool:
        """Whether the text holds no template and stands for itself."""
        return not self.placeholders

    @property
    def is_single(self) -> bool:
        """Whether the text is nothing but one template: its value keeps its type."""
        return len(self.parts) == 1 and isinstance(self.parts[0], Placeholder)

    @property
    def placeholders(self) -> tuple[Placeholder, ...]:
        """The templates with their places."""
        return tuple(part for part in self.parts if isinstance(part, Placeholder))

    @property
    def expressions(self) -> tuple[Expression, ...]:
        """The expressions of the templates, from left to right."""
        return tuple(each.expression for each in self.placeholders)

    def resolve(self, scope: Scope) -> Value | Unknown | Secret:
        """The value of the text.

        Returns:
            The value of its one template, or a text; no value when a part has none. A secret only from a text that is
            one template.
        """
        if self.is_plain:
            return self.text
        found = [(each.expression, evaluate_field(each.expression, scope)) for each in self.placeholders]
        if self.is_single:
            return found[0][1]
        texts = [_text_part(expression, value) for expression, value in found]
        unknown = [each for each in texts if isinstance(each, Unknown)]
        if unknown:
            return next((each for each in unknown if each.not_yet), unknown[0])
        values = iter(texts)
        whole = "".join(part if isinstance(part, str) else str(next(values)) for part in self.parts)
        if len(whole) > MAX_TEXT:
            return Unknown("the text would be longer than 1 MiB", not_yet=False, origin=found[0][0].canonical())
        return whole

    def show(self, scope: Scope) -> str:
        """The text for a plan: parts without a value as `<steps.x.y: not yet>`, secrets as `***`."""
        return "".join(
            part if isinstance(part, str) else shown_value(evaluate_field(part.expression, scope), part.expression)
            for part in self.parts
        )

    def check(self, types: TypeScope) -> tuple[Problem, ...]:
        """What is wrong with its expressions as far as types are known, with offsets in the whole text."""
        problems: list[Problem] = []
        for each in self.placeholders:
            problems += [problem.moved(each.inner) for problem in check(each.expression, types)]
            kind = infer(each.expression, types)
            if not self.is_single and kind in {"secret", "null"}:
                problems.append(Problem(each.offset, f"{kind} cannot be part of a text", _ALONE))
        return tuple(problems)

    def infer(self, types: TypeScope) -> Type:
        """The type of its value: that of its one template, else text."""
        return infer(self.expressions[0], types) if self.is_single else "text"


_ALONE: Final = "it may only be the whole of a field"


def _text_part(expression: Expression, value: Value | Unknown | Secret) -> str | Unknown:
    origin = expression.canonical()
    if isinstance(value, Unknown):
        return value
    if isinstance(value, Secret):
        return Unknown("a secret cannot be part of a text; " + _ALONE, not_yet=False, origin=origin)
    try:
        return text_of(value)
    except ValueError as error:
        return Unknown(str(error).rstrip("."), not_yet=False, origin=origin)
