"""Text for people: cleaned of control characters, measured in terminal cells, wrapped, values as words.

Everything that came from a host, a file or a person goes through `clean` before it is shown anywhere: a terminal obeys
what it is sent, and a colour code in a log line must not be able to hide a failure. What the texts say is left to the
views.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from rich.cells import cell_len

from drctl.core.values import Duration, Size, Time, from_json, text_of

if TYPE_CHECKING:
    from datetime import tzinfo

WIDTH = 80
"""Columns that every text screen fits, except for commands, which are never broken."""

MILLISECOND = 1000

_KEPT = frozenset("\u200c\u200d")  # joiners that real words need (Persian, emoji)
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_WORD = re.compile(r"\s+|\S+")
_PLAIN = str.maketrans(
    {
        "✔": "+", "✖": "x", "⏸": "=", "▶": ">", "·": "-", "…": "...", "—": "-", "\u2013": "-", "→": "->", "█": "#",
        "░": ".", "├": "+", "└": "+", "│": "|",
        "─": "-", "≤": "<=", "≥": ">=", "\u2212": "-", "⏎": "Enter", "⚑": "*", "✎": "*", "↩": "<",
    }
)  # fmt: skip


def clean(text: str, *, lines: bool = False) -> str:
    """Escape what a terminal or a reader could be misled by: control, formatting and direction characters.

    Args:
        text: anything.
        lines: keep line ends; else they are escaped too.
    """
    if text.isprintable():  # nothing that is hidden, turned or obeyed is printable
        return text
    return "".join(_shown_character(c, lines=lines) for c in text.replace("\t", "    "))


def _shown_character(c: str, *, lines: bool) -> str:
    if (lines and c == "\n") or c in _KEPT or unicodedata.category(c) not in _HIDDEN:
        return c
    return f"\\x{ord(c):02x}" if ord(c) < 0x100 else f"\\u{ord(c):04x}" if ord(c) < 0x10000 else f"\\U{ord(c):08x}"  # noqa: PLR2004 - sizes of escapes


def one_line(text: str) -> str:
    """The text as one clean line: line ends become blanks."""
    return clean(" ".join(text.split("\n")).strip())


def plain_signs(text: str) -> str:
    """The same text for a terminal without UTF-8: every sign of ours has a letter beside it, and becomes ASCII."""
    return text.translate(_PLAIN)


def width(text: str) -> int:
    """Cells the text takes on a terminal; a Chinese character takes two."""
    return len(text) if text.isascii() and text.isprintable() else cell_len(text)


def pad(text: str, cells: int) -> str:
    """Fill up with blanks to a width."""
    return text + " " * max(0, cells - width(text))


def cut(text: str, cells: int) -> str:
    """Shorten to a width; an ellipsis says that something is missing."""
    if width(text) <= cells:
        return text
    kept = ""
    for character in text:
        if width(kept + character) > cells - 1:
            break
        kept += character
    return kept + "…"


def wrap(text: str, *, first: str = "", rest: str | None = None, cells: int = WIDTH) -> list[str]:
    """Break a text into lines of at most so many cells; line ends in it stay.

    Args:
        text: already clean.
        first: what stands before the first line.
        rest: what stands before the others; blanks as wide as `first` when left out.
        cells: how wide.
    """
    indent = " " * width(first) if rest is None else rest
    lines: list[str] = []
    for paragraph in text.split("\n"):
        line = first if not lines else indent
        empty = True
        for token in _tokens(paragraph):
            if not empty and width(line + token.rstrip()) > cells:
                lines.append(line.rstrip())
                line, empty = indent, True
            if empty and token.isspace():
                continue
            while width(line + token) > cells and width(token) > cells - width(indent):
                head = _head(token, max(1, cells - width(line)))
                lines.append(line + head)
                line, token = indent, token[len(head) :]  # noqa: PLW2901 - what is left of it
            line, empty = line + token, False
        lines.append(line.rstrip())
    return lines


def _tokens(text: str) -> Iterator[str]:
    """Where a line may break: at blanks, and around every wide character."""
    for found in _WORD.finditer(text):
        word = found.group()
        if word.isascii():
            yield word
            continue
        start = 0
        for i, character in enumerate(word):
            if width(character) > 1:
                yield from (part for part in (word[start:i], character) if part)
                start = i + 1
        if start < len(word):
            yield word[start:]


def _head(token: str, cells: int) -> str:
    taken = token[:1]
    for character in token[1:]:
        if width(taken + character) > cells:
            break
        taken += character
    return taken


def shown(value: object) -> str:  # noqa: PLR0911 - one for each shape of a record
    """A recorded value (tagged JSON) as a word for people, on one line."""
    if isinstance(value, Mapping) and set(value) in ({"$unknown"}, {"$none"}):
        return f"unknown ({one_line(str(next(iter(value.values()))))})"
    if isinstance(value, Mapping) and set(value) == {"$ref"}:
        return f"kept under out/{str(value['$ref'])[:12]}…"
    try:
        found = from_json(value)
    except ValueError:
        return one_line(str(value))
    if isinstance(found, Duration):
        return human(found) if found.micros >= 0 else found.human()
    if isinstance(found, Size):
        return found.human()
    if isinstance(found, Time):
        return str(found)
    return one_line(text_of(found))


def human(length: Duration | int | None) -> str:
    """A length (microseconds) for people: no finer than a millisecond; a dash for none."""
    if length is None:
        return "—"
    us = length.micros if isinstance(length, Duration) else length
    if 0 < us < MILLISECOND:
        return "<1ms"
    return Duration(us // MILLISECOND * MILLISECOND).human()


def clock(at: Time) -> str:
    """Time of day in UTC: `02:14:07Z`."""
    return f"{at.as_datetime():%H:%M:%S}Z"


def moment(at: Time) -> str:
    """Day and time in UTC: `2026-11-22 02:14:07Z`."""
    return f"{at.as_datetime():%Y-%m-%d %H:%M:%S}Z"


def zone_of(name: str) -> tzinfo | None:
    """The zone of that name; None when this machine does not know it, and then only UTC is shown."""
    if not name or name == "UTC":
        return None
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError  # noqa: PLC0415 - takes 2 ms to load

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def local_clock(at: Time, zone: tzinfo | None) -> str:
    """Time of day in a zone, with its offset: `10:14:07+08:00`; empty without a zone."""
    if zone is None:
        return ""
    there = at.as_datetime().astimezone(zone)
    offset = there.strftime("%z")
    return f"{there:%H:%M:%S}{offset[:3]}:{offset[3:]}"


def last_name(path: str) -> str:
    """The last part of a step's path, as people say it; a step that has only a number is named in full."""
    name = path.rsplit("/", 1)[-1]
    return path if name.isdigit() else name


def count(number: int, word: str, many: str = "") -> str:
    """`1 step`, `2 steps`."""
    return f"{number} {word if number == 1 else many or word + 's'}"
