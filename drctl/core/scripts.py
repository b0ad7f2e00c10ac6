"""The shell scripts of `run:`. A value never becomes part of a script: it travels beside it, in the environment.

Each `${{ EXPR }}` becomes a variable `DRCTL_1`, `DRCTL_2`, ...: outside quotes `"${DRCTL_1}"`, one word whatever is in
it; inside double quotes `${DRCTL_1}`. Places where a shell, or a program it starts, would read the value as code are
refused when the script is parsed. The script itself is sent as it is; running it is left to others.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from drctl.core.encoding import text_of
from drctl.core.expressions import Expression, ExpressionError, Problem, Scope, TypeScope, check, evaluate_field, infer
from drctl.core.nouns import dataclass
from drctl.core.shell.scanner import scan
from drctl.core.templates import Placeholder, placeholders, shown_value
from drctl.core.value_types import Secret, Unknown, Value, type_name

PREFIX: Final = "DRCTL_"
LARGEST: Final = 120_000
"""Bytes of one value: Linux takes at most 131,072 bytes a variable, and fails every command after that."""

_OWN_NAME = re.compile(rf"{PREFIX}[0-9]")
_DASH_HINT: Final = "as a word of its own it would be read as an option; write `with: {allow_dash: true}` if it may"


@dataclass(frozen=True, slots=True)
class Binding:
    """One value of a script.

    Attributes:
        name: the variable it is exported as.
        expression: where the value comes from.
        bare_word: whether the value begins a word, so that a `-` in front would make it an option.
        offset: where `${{` stands in the script as written.
        inner: where the text of the expression begins there.
    """

    name: str
    expression: Expression
    bare_word: bool
    offset: int
    inner: int
    glued: bool = False
    """Whether it stands right behind another one that begins the same word; an empty value there passes the word on."""


@dataclass(frozen=True, slots=True)
class ResolvedScript:
    """A script with its values: what is sent as text, and what is exported beside it."""

    text: str
    env: Mapping[str, str | Secret]


@dataclass(frozen=True, slots=True)
class Script:
    """A POSIX shell script that may hold `${{ EXPR }}`. Made by `Script.parse`.

    Attributes:
        source: as written in the runbook.
        text: what is sent to the shell.
        bindings: the variables it needs, in the order of the text.
    """

    source: str
    text: str
    bindings: tuple[Binding, ...]

    @classmethod
    def parse(cls, text: str) -> Script:
        """Read a script. One without templates is taken as it is, whatever shell it is written for.

        Raises:
            ExpressionError: with its offset in the script, for a template that cannot be read or stands where a value
                could become code.
        """
        found = placeholders(text)
        if not found:
            return cls(text, text, ())
        _check_names(text, found)
        quoted, leading = scan(text, {each.offset: each.end for each in found})
        pieces: list[str] = []
        bindings: list[Binding] = []
        at = 0
        for count, each in enumerate(found, start=1):
            if each.offset not in quoted:
                raise ExpressionError(each.offset, "where this template stands cannot be told surely", None)
            name = f"{PREFIX}{count}"
            reference = f"${{{name}}}"
            pieces += [text[at : each.offset], reference if quoted[each.offset] else f'"{reference}"']
            is_glued = count > 1 and at == each.offset and found[count - 2].offset in leading
            begins = each.offset in leading
            bindings.append(Binding(name, each.expression, begins, each.offset, each.inner, begins and is_glued))
            at = each.end
        return cls(text, "".join([*pieces, text[at:]]), tuple(bindings))

    @property
    def expressions(self) -> tuple[Expression, ...]:
        """The expressions of the templates, in the order of the text."""
        return tuple(binding.expression for binding in self.bindings)

    def resolve(self, scope: Scope, *, allow_dash: bool = False) -> ResolvedScript | Unknown:
        """The script with the values of this scope.

        Args:
            scope: where names are looked up.
            allow_dash: a value that begins a word may begin with `-`.

        Returns:
            No value, with the reason, when a value is missing or cannot be handed to a shell.
        """
        env: dict[str, str | Secret] = {}
        pending: Unknown | None = None
        last = ""
        for binding in self.bindings:
            begins = binding.bare_word and not (binding.glued and last)
            found = evaluate_field(binding.expression, scope)
            value = _exported(binding, found, may_begin_with_dash=allow_dash or not begins)
            if not isinstance(value, Unknown):
                env[binding.name] = value
                last = value.reveal() if isinstance(value, Secret) else value
            elif pending is None or (value.not_yet and not pending.not_yet):
                pending = value
        return ResolvedScript(self.text, env) if pending is None else pending

    def show(self, scope: Scope) -> str:
        """The script for a plan, with the values in place: missing as `<steps.x.y: not yet>`, secrets as `***`."""
        pieces: list[str] = []
        at = 0
        for each in placeholders(self.source):
            pieces += [
                self.source[at : each.offset],
                shown_value(evaluate_field(each.expression, scope), each.expression),
            ]
            at = each.end
        return "".join([*pieces, self.source[at:]])

    def check(self, types: TypeScope) -> tuple[Problem, ...]:
        """What is wrong with its expressions as far as types are known, with offsets in the script as written."""
        problems: list[Problem] = []
        for binding in self.bindings:
            problems += [problem.moved(binding.inner) for problem in check(binding.expression, types)]
            kind = infer(binding.expression, types)
            if kind in {"list", "map", "null"}:
                problems.append(Problem(binding.offset, f"{kind} cannot be a word of a script", _hint(kind)))
        return tuple(problems)


def _check_names(text: str, found: tuple[Placeholder, ...]) -> None:
    inside = [range(each.offset, each.end) for each in found]
    for own in _OWN_NAME.finditer(text):
        if not any(own.start() in each for each in inside):
            raise ExpressionError(own.start(), f"names such as {own[0]} belong to drctl", "choose another name")


def _hint(kind: str) -> str:
    if kind == "null":
        return "write default(x, '') if there may be none"
    return "use `foreach`, `stdin: ${{ text(x) }}`, or join(x, ' ')" if kind == "list" else "name one of its members"


def _exported(
    binding: Binding, value: Value | Unknown | Secret, *, may_begin_with_dash: bool
) -> str | Secret | Unknown:
    if isinstance(value, Unknown):
        return value
    origin = binding.expression.canonical()
    kind = type_name(value)
    if value is None or isinstance(value, tuple | Mapping):
        return Unknown(f"{kind} cannot be a word of a script; {_hint(kind)}", not_yet=False, origin=origin)
    text = value.reveal() if isinstance(value, Secret) else text_of(value)
    reason = _unfit(text, may_begin_with_dash=may_begin_with_dash)
    if reason is not None:
        return Unknown(reason, not_yet=False, origin=origin)
    return value if isinstance(value, Secret) else text


def _unfit(text: str, *, may_begin_with_dash: bool) -> str | None:
    """Why a text cannot be handed to a shell in a variable; nothing of the text itself, which may be a secret."""
    if "\0" in text:
        return "the value has a NUL character, which no variable can hold; hand it over by stdin"
    if len(text.encode("utf-8", "surrogatepass")) > LARGEST:
        return f"the value is longer than {LARGEST:,} bytes; hand it over by stdin"
    if text.startswith("-") and not may_begin_with_dash:
        return f"the value begins with '-'; {_DASH_HINT}"
    return None
