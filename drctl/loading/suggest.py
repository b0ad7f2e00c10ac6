"""Near-miss hints: which of the known words was probably meant."""

from __future__ import annotations

import difflib
import itertools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_LONGEST = 60
_MOST_SLIPS = 4
_MOST_COMPARED = 500
_MOST_LISTED = 12


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Give the known word nearest to `word`; None when nothing is near enough to be worth a hint."""
    alike = (one for one in known if abs(len(one) - len(word)) <= _MOST_SLIPS)
    candidates = sorted(set(itertools.islice(alike, _MOST_COMPARED)))
    if len(word) > _LONGEST or not candidates:
        return None
    folded = word.lower().replace("-", "_")
    same = [one for one in candidates if one.lower().replace("-", "_") == folded]
    same = same or [one for one in candidates if _one_slip(folded, one)]
    return same[0] if same else next(iter(difflib.get_close_matches(word, candidates, n=1, cutoff=0.7)), None)


def _one_slip(word: str, known: str) -> bool:
    """Whether one letter was changed, left out, added, or swapped with its neighbour; of words that are not tiny."""
    if abs(len(word) - len(known)) > 1 or min(len(word), len(known)) < 2:  # noqa: PLR2004 - one letter is any other
        return False
    start = next((at for at, (left, right) in enumerate(zip(word, known, strict=False)) if left != right), None)
    if start is None:
        return True
    tails = (word[start:], known[start:])
    if tails[0][:2] == tails[1][1::-1] and tails[0][2:] == tails[1][2:]:
        return True
    return tails[0][1:] == tails[1][1:] or tails[0][1:] == tails[1] or tails[0] == tails[1][1:]


def did_you_mean(word: str, known: Iterable[str], otherwise: str = "") -> str:
    """Write the hint for an unknown word: the nearest known one, else what is known, else `otherwise`."""
    words = list(known)
    near = nearest(word, words)
    if near is not None:
        return f"did you mean '{near}'?"
    shown = sorted(set(words[:_MOST_COMPARED]))
    more = ", ..." if len(shown) > _MOST_LISTED else ""
    return f"known here: {', '.join(shown[:_MOST_LISTED])}{more}" if shown else otherwise
