"""Who must agree, in words: the one sentence that plans, questions, pictures and reports share."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def agreement(by: Sequence[str], quorum: int = 1) -> str:
    """Who may answer, and how many different people must: `2 of commander or deputy`."""
    who = " or ".join(by) or "the operator"
    return f"{quorum} of {who}" if quorum > 1 else who
