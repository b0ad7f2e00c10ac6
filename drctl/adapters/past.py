"""How long steps took in past runs of a runbook: read from the newest journals, and no more of them than is needed.

Only first lines are read to find the runs, and only the records of beginnings and ends are parsed. A journal that
cannot be read is left out, and said so.
"""

from __future__ import annotations

import contextlib
import os
import statistics
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from drctl.adapters.journal import NAME
from drctl.core.nouns import dataclass
from drctl.core.records import MAX_LINE, ParseError, Record, parse

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

RUNS: Final = 20
"""How many of the newest runs of a runbook are asked."""
FOLDERS: Final = 500
"""How many of the newest folders are looked through for them."""
LONGEST: Final = 64 * 1024 * 1024
"""Bytes of one journal that are read at most."""
_WANTED: Final = (b'"step_started"', b'"step_finished"')


@dataclass(slots=True)
class Past:
    """Lengths in microseconds by address and kind of step; `skipped` says which journals could not be read, and why."""

    lengths: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    runs: int = 0
    skipped: list[str] = field(default_factory=list)

    def median(self, path: str, kind: str) -> tuple[int, int] | None:
        """The median length and the number of ends it is made of; None when there was none."""
        found = self.lengths.get((path, kind))
        return (int(statistics.median(found)), len(found)) if found else None


def past_of(root: Path, runbook: str) -> Past:
    """The past of a runbook, by its name, in a state folder; empty when there is none."""
    past = Past()
    for folder in _newest(root / "runs"):
        if past.runs == RUNS:
            break
        journal = folder / NAME
        try:
            with journal.open("rb") as file:
                first = parse(file.readline(MAX_LINE + 1))
                if first.body.get("runbook") != runbook:
                    continue
                found = list(_lengths(file))
        except (OSError, ParseError, KeyError, TypeError, ValueError) as error:
            past.skipped.append(f"run {folder.name} is left out of the time estimate: {error}")
            continue
        past.runs += 1
        for key, length in found:
            past.lengths.setdefault(key, []).append(length)
    return past


def _newest(runs: Path) -> list[Path]:
    """Folders of runs, the newest first."""
    ages: list[tuple[int, str]] = []
    with contextlib.suppress(OSError):
        for entry in os.scandir(runs):
            with contextlib.suppress(OSError):
                ages.append(((Path(entry.path) / NAME).stat().st_mtime_ns, entry.name))
    return [runs / name for _, name in sorted(ages, reverse=True)[:FOLDERS]]


def _lengths(file: Any) -> Iterator[tuple[tuple[str, str], int]]:  # noqa: ANN401 - a binary file
    """The length of every step that ended well, from its first attempt to the end."""
    begun: dict[tuple[str, str], tuple[Record, str]] = {}
    read = 0
    while line := file.readline(MAX_LINE + 1):
        read += len(line)
        if read > LONGEST or line[-1:] != b"\n":
            return
        if not any(word in line for word in _WANTED):
            continue
        record = parse(line)
        if record.type == "step_started":
            key = (str(record.body["path"]), str(record.body.get("host", "")))
            begun.setdefault(key, (record, str(record.body.get("kind", ""))))
        elif record.type == "step_finished":
            yield from _ended(record, begun)


def _ended(record: Record, begun: dict[tuple[str, str], tuple[Record, str]]) -> Iterator[tuple[tuple[str, str], int]]:
    body: Mapping[str, Any] = record.body
    if not body.get("final", True):
        return  # another attempt follows, and its time belongs to the step
    start = begun.pop((str(body["path"]), str(body.get("host", ""))), None)
    if start is None or body["outcome"] != "ok" or body.get("found") or body.get("role", "look") not in {"act", "look"}:
        return
    first, kind = start
    again = body.get("attempt", 1) != first.body.get("attempt", 1)
    own = 0 if again else int(body.get("elapsed_us", 0))  # what waits for people or time keeps no length of its own
    length = own or record.mono - first.mono
    if length >= 0 and (own or first.boot == record.boot):
        yield (str(body["path"]), kind), length
