"""What the traffic generator knows: each acknowledged invoice as its user believes it, and when users were refused.

Pure and thread-safe; it sends nothing and reads no clock. It is the users' side of every count of loss and outage, so
it believes only what was acknowledged: a change without an acknowledgement may or may not have taken effect.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from drctl.lab.service import time_text

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping

SHOWN = 50
"""How many numbers of a list an audit shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What an invoice says."""

    company: str
    amount: str
    date: str
    state: str


@dataclass(slots=True)
class _Entry:
    key: str
    believed: Content
    doubtful: tuple[Content, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """An amend or void that is about to be sent; give it back to the ledger with how it ended."""

    number: str
    before: Content
    after: Content


class Ledger:
    """Acknowledged invoices by number."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: dict[str, _Entry] = {}
        self._open: list[str] = []  # numbers that may still be changed: not void, no doubt, no change under way
        self._reused: list[str] = []
        self._frozen = False
        self.amended = 0
        self.voided = 0

    def acknowledged(self) -> int:
        """How many invoices were acknowledged."""
        with self._lock:
            return len(self._entries)

    def reused(self) -> list[str]:
        """Numbers that were acknowledged for two different requests: never right."""
        with self._lock:
            return list(self._reused)

    def issued(self, number: str, key: str, content: Content) -> None:
        """Note an acknowledged invoice."""
        with self._lock:
            known = self._entries.get(number)
            if known is not None and known.key != key:
                self._reused.append(number)
                return
            self._entries[number] = _Entry(key, content)
            self._open.append(number)

    def begin_change(self, rng: random.Random, *, void: bool) -> Change | None:
        """Choose an invoice to amend or void, if there is one. Nobody else changes it until it is given back."""
        with self._lock:
            if self._frozen or not self._open:
                return None
            place = rng.randrange(len(self._open))
            self._open[place], self._open[-1] = self._open[-1], self._open[place]
            number = self._open.pop()
            entry = self._entries[number]
            amount = entry.believed.amount if void else f"{rng.randint(100, 999_999) / 100:.2f}"
            after = replace(entry.believed, amount=amount, state="void" if void else "amended")
            entry.doubtful = (after,)
            return Change(number=number, before=entry.believed, after=after)

    def changed(self, change: Change) -> None:
        """The change was acknowledged."""
        with self._lock:
            entry = self._entries[change.number]
            entry.believed, entry.doubtful = change.after, ()
            if change.after.state == "void":
                self.voided += 1
            else:
                self.amended += 1
                self._open.append(change.number)

    def unchanged(self, change: Change, *, certain: bool) -> None:
        """The change was refused for good, or given up; not `certain` when an earlier attempt may have taken effect."""
        with self._lock:
            entry = self._entries[change.number]
            if certain:
                entry.doubtful = ()
                self._open.append(change.number)

    def freeze(self) -> dict[str, tuple[Content, ...]]:
        """Let no change begin until `thaw`, and give per number the contents that are right meanwhile.

        The one believed comes first, then the one of a change that is under way or was given up.
        """
        with self._lock:
            self._frozen = True
            return {number: (entry.believed, *entry.doubtful) for number, entry in self._entries.items()}

    def thaw(self) -> None:
        """Let changes begin again."""
        with self._lock:
            self._frozen = False


def compare(expected: Mapping[str, tuple[Content, ...]], found: Mapping[str, Content]) -> tuple[list[str], list[str]]:
    """The numbers that are lost and those that say something else than any content that would be right."""
    lost = [number for number in expected if number not in found]
    altered = [number for number, right in expected.items() if number in found and found[number] not in right]
    return sorted(lost), sorted(altered)


class Outages:
    """Spans in which users were refused.

    A span begins with the first refused request (when it was sent, but not before the last acknowledgement) and ends
    with the first acknowledgement of a row of `in_a_row` of them that no refusal interrupts.
    """

    def __init__(self, in_a_row: int = 5) -> None:
        self._in_a_row = in_a_row
        self._lock = threading.Lock()
        self._spans: list[tuple[float, float]] = []
        self._began: float | None = None
        self._row: list[float] = []
        self._last_good: float | None = None
        self.refusals = 0

    def refused(self, sent: float) -> None:
        """Note a refused request by the Unix time it was sent at."""
        with self._lock:
            self.refusals += 1
            self._row.clear()
            if self._began is None:
                self._began = max(sent, self._last_good or sent)

    def acknowledged(self, at: float) -> None:
        """Note an acknowledgement by the Unix time it came at."""
        with self._lock:
            self._last_good = at
            if self._began is None:
                return
            self._row.append(at)
            if len(self._row) >= self._in_a_row:
                self._spans.append((self._began, max(self._began, self._row[0])))
                self._began = None
                self._row.clear()

    def report(self, now: float) -> dict[str, object]:
        """`refusals`, `outages` (one that lasts has "to": null) and `outage_seconds` up to now."""
        with self._lock:
            spans: list[tuple[float, float | None]] = list(self._spans)
            if self._began is not None:
                spans.append((self._began, None))
            lines = [
                {
                    "from": time_text(begin),
                    "to": None if end is None else time_text(end),
                    "seconds": round((now if end is None else end) - begin, 3),
                }
                for begin, end in spans
            ]
            total = sum((now if end is None else end) - begin for begin, end in spans)
            return {
                "refusals": self.refusals,
                "outages": lines[-SHOWN:],
                "outage_count": len(lines),
                "outage_seconds": round(total, 3),
            }
