"""Short forms of long things, for one line of a record or a question."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST: Final = 12
"""Names in one line."""
LONGEST: Final = 120
"""Characters of a command in one line."""


def listed(names: Sequence[str], most: int = MOST) -> str:
    """The first of many names, and how many are left out."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def one_line(text: str) -> str:
    """The beginning of what was sent, on one line."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}..."
