"""Expression text to tokens, each with its offset. What cannot begin a token is refused with what to write instead."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import NamedTuple

from drctl.core.expressions.errors import ExpressionError
from drctl.core.expressions.tree import NAME, LiteralValue
from drctl.core.quantities import Duration, Size
from drctl.core.value_types import number

MAX_LENGTH = 16_384
"""Characters of the longest expression; beyond it nobody can approve what they read."""

_BLANKS = frozenset(" \t\r\n")
_BLANK = re.compile(r"[ \t\r\n]*")
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_WITH_UNIT = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?[A-Za-z_]+)+[0-9]*")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[0-9T:.Z+-]*")
_DOTTED = re.compile(r"[0-9]+(?:\.[0-9A-Za-z]+){2,}")
_SYMBOL = re.compile(r"==|!=|<=|>=|[<>+\-*/().,\[\]]")
_PLAIN = frozenset(">+-().,[]")  # symbols with which nothing foreign begins
_ESCAPES = {"\\": "\\", "'": "'", '"': '"', "n": "\n", "t": "\t"}

_FOREIGN = (
    ("===", "write =="),
    ("=~", "write match(text, 're') or matches(text, 're')"),
    ("=>", "write >="),
    ("**", "multiply with *"),
    ("//", "divide with /"),
    ("=", "to compare, write =="),
    ("&&", "write and"),
    ("||", "write or"),
    ("|", "there are no filters; functions are written f(x)"),
    ("&", "write and"),
    ("!", "write not"),
    ("<>", "write !="),
    ("${{", "an expression in this place stands bare, without ${{ }}"),
    ("}}", "an expression in this place stands bare, without ${{ }}"),
    ("$", "names are written without $"),
    ("{", "there are no maps in an expression; put it under `vars`"),
    ("%", "there is no remainder; compare figures as they are"),
    ("?", "there is no `a ? b : c`; use default(x, y), or a `decide` step"),
    (":", "there are no slices, and no `a ? b : c`"),
    ("#", "there are no comments in an expression"),
    ("`", "texts stand in ' or \""),
    ("\u2018", "texts stand in straight quotes: '...'"),
    ("\u2019", "texts stand in straight quotes: '...'"),
    ("\u201c", 'texts stand in straight quotes: "..."'),
    ("\u201d", 'texts stand in straight quotes: "..."'),
    ("\\", "a backslash stands in a text only"),
    ("@", None),
    (";", "one expression stands alone; join conditions with `and`"),
    ("~", None),
    ("^", None),
)


class Token(NamedTuple):  # a tuple is made five times as fast as a frozen dataclass, and there are very many
    """A word of the grammar.

    Attributes:
        kind: "name", "literal", "symbol" or "end".
        text: as written.
        offset: where it begins.
        end: the offset behind it.
        value: of a literal.
    """

    kind: str
    text: str
    offset: int
    end: int
    value: LiteralValue = None


def tokens(text: str) -> list[Token]:
    """The tokens of an expression, an "end" token last.

    Raises:
        ExpressionError: where no token begins, or a text or number is malformed.
    """
    if len(text) > MAX_LENGTH:
        raise ExpressionError(0, f"the expression is longer than {MAX_LENGTH:,} characters", "divide it with `set`")
    found: list[Token] = []
    at = _skip_blank(text, 0)
    while at < len(text):
        token = _token(text, at)
        found.append(token)
        at = _skip_blank(text, token.end)
    found.append(Token("end", "", len(text), len(text)))
    return found


def _skip_blank(text: str, at: int) -> int:
    if text[at : at + 1] not in _BLANKS:
        return at
    blank = _BLANK.match(text, at)
    return blank.end() if blank else at


def _token(text: str, at: int) -> Token:
    first = text[at]
    if first in "'\"":
        return _string(text, at)
    if first in "0123456789":
        return _figure(text, at)
    if name := NAME.match(text, at):
        return Token("name", name[0], at, name.end())
    if first not in _PLAIN and (text.startswith("===", at) or not text.startswith(("==", "!="), at)):
        for foreign, hint in _FOREIGN:
            if text.startswith(foreign, at):
                raise ExpressionError(at, f"{foreign} is not part of the language", hint)
    if symbol := _SYMBOL.match(text, at):
        return Token("symbol", symbol[0], at, symbol.end())
    shown = first if first.isprintable() else f"the character U+{ord(first):04X}"
    raise ExpressionError(at, f"{shown} is not part of the language", _character_hint(first))


def _character_hint(character: str) -> str | None:
    if character.isspace() or not character.isprintable():
        return "it looks like a blank, or like nothing, and is neither; type it again"
    if not character.isascii():
        return "names are of a-z, 0-9, _ and -; other characters stand in a text: '...'"
    return None


def _string(text: str, start: int) -> Token:
    quote = text[start]
    parts: list[str] = []
    at = start + 1
    while at < len(text):
        character = text[at]
        if character == quote:
            return Token("literal", text[start : at + 1], start, at + 1, "".join(parts))
        if character == "\\":
            escaped = text[at + 1 : at + 2]
            if escaped not in _ESCAPES:
                raise ExpressionError(at, f"\\{escaped} means nothing in a text", _escape_hint(escaped))
            parts.append(_ESCAPES[escaped])
            at += 2
            continue
        if character in "\n\r":
            raise ExpressionError(at, "the line ends inside a text", "write \\n for a new line, or close the quote")
        parts.append(character)
        at += 1
    raise ExpressionError(start, f"the text that begins here has no closing {quote}", None)


def _escape_hint(escaped: str) -> str:
    if escaped and escaped.isprintable() and escaped.isascii():
        return f"write \\\\{escaped} for a backslash, as in the regex '\\\\d+'; a regex may also say [0-9]"
    return "a text knows \\\\ \\' \\\" \\n \\t"


def _figure(text: str, at: int) -> Token:
    if date := _DATE.match(text, at):
        raise ExpressionError(at, f"{date[0]} is not a number", "write a time as time('2026-01-31T23:59:59Z')")
    if dotted := _DOTTED.match(text, at):
        raise ExpressionError(at, f"{dotted[0]} is not a number", f"addresses and versions are texts: '{dotted[0]}'")
    digits = _NUMBER.match(text, at)
    if digits is None:  # pragma: no cover - the caller saw a digit
        raise AssertionError(text[at])
    if (with_unit := _WITH_UNIT.match(text, at)) and with_unit.end() > digits.end():
        return Token("literal", with_unit[0], at, with_unit.end(), _quantity(with_unit[0], at))
    if text[digits.end() : digits.end() + 1] == ".":
        raise ExpressionError(at, f"{digits[0]}. is not a number", "write digits after the point, or leave it out")
    try:
        value = number(Decimal(digits[0]) if "." in digits[0] else int(digits[0][:4000]))
    except ValueError as error:
        raise ExpressionError(at, str(error).rstrip("."), None) from None
    return Token("literal", digits[0], at, digits.end(), value)


def _quantity(written: str, at: int) -> Duration | Size:
    try:
        return Duration.parse(written)
    except ValueError as error:
        as_duration = str(error).rstrip(".")
    try:
        return Size.parse(written)
    except ValueError as error:
        as_size = str(error).rstrip(".")
    if "is not a duration" not in as_duration:
        raise ExpressionError(at, as_duration, None)
    if "is not a size" not in as_size:
        raise ExpressionError(at, as_size, None)
    hint = "durations: 500ms 30s 5m 1h30m 7d; sizes: 10B 4KiB 4kB 512MiB 2GB"
    raise ExpressionError(at, f"{written[:40]} is neither a number nor a duration nor a size", hint)
