"""Near-miss hints: which of the known words was probably meant."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_LONGEST = 60


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Give the known word nearest to `word`; None when nothing is near enough to be worth a hint."""
    candidates = sorted(set(known))
    if len(word) > _LONGEST or not candidates:
        return None
    folded = word.lower().replace("-", "_")
    same = [one for one in candidates if one.lower().replace("-", "_") == folded]
    return same[0] if same else next(iter(difflib.get_close_matches(word, candidates, n=1, cutoff=0.7)), None)


def did_you_mean(word: str, known: Iterable[str], otherwise: str = "") -> str:
    """Write the hint for an unknown word: the nearest known one, else what is known, else `otherwise`."""
    candidates = sorted(set(known))
    near = nearest(word, candidates)
    if near is not None:
        return f"did you mean '{near}'?"
    shown = ", ".join(candidates[:12])
    return f"known here: {shown}{', ...' if len(candidates) > 12 else ''}" if candidates else otherwise  # noqa: PLR2004 - what fits a line
