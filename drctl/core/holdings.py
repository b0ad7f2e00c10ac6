"""Whose a host is: what hosts say about runs that own them, and about who goes on with a run.

The port that asks them is `ports.ClaimShell`; the host's side of it is `adapters/claim_wrapper.sh`.
"""

from __future__ import annotations

from typing import Final

from drctl.core.nouns import dataclass

HELD: Final = "held by another run"
"""How `because` of a refusal begins when another run holds the host (exit 12)."""
GIVEN: Final = "run:"
"""How the holder of an epoch begins that is another run: the host was taken from the one and given to the other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """Who holds a host, in the host's own words: a run (`run`, `run_id`), or an epoch of a run (`epoch`, `holder`).

    `since` is the UTC time that whoever took it gave. A holder `run:UID:ID` is another run: the host was taken from
    this one and given to it.
    """

    operator: str
    since: str
    run: str = ""
    run_id: str = ""
    epoch: int = 0
    holder: str = ""

    @property
    def replaces(self) -> bool:
        """Whether somebody else goes on with this very run: what its writer here still does, it does beside them."""
        return self.epoch > 0 and not self.holder.startswith(GIVEN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Who owns a host, and the newest epoch of a run that it has seen; `because` says why it cannot be told."""

    owner: Holding | None = None
    newest: Holding | None = None
    because: str = ""


class LinkError(Exception):
    """A host could not be reached or the link broke; `began` tells whether the remote side may have started."""

    def __init__(self, because: str, *, began: bool, held_by: Holding | None = None) -> None:
        super().__init__(because)
        self.because = because
        self.began = began
        self.held_by = held_by
