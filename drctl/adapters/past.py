"""How long steps took in past runs of a runbook: read from the newest journals, and no more of them than is needed.

Only first lines are read to find the runs, and only the records of beginnings and ends are parsed. A step is the same
one at the same address, of the same kind and on the same host, in runs on the same inventory. A journal that cannot be
read is left out, one that is long is read in part, and both are said.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, TypeAlias

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
Key: TypeAlias = tuple[str, str, str]
"""Address, kind and host of a step."""
_WANTED: Final = (b'"step_started"', b'"step_finished"')


@dataclass(slots=True)
class Past:
    """Lengths in microseconds by address, kind and host of a step; `skipped` says what was not read, and why."""

    lengths: dict[Key, list[int]] = field(default_factory=dict)
    runs: int = 0
    skipped: list[str] = field(default_factory=list)

    def median(self, path: str, kind: str, host: str) -> tuple[int, int] | None:
        """The median length and the number of ends it is made of; None when there was none."""
        found = self.lengths.get((path, kind, host))
        if not found:
            return None
        from statistics import median  # noqa: PLC0415 - 2 ms, for nothing where there is no past

        return int(median(found)), len(found)


def past_of(root: Path, runbook: str, inventory: str) -> Past:
    """The past of a runbook on an inventory, by their names, in a state folder; empty when there is none."""
    past = Past()
    folders = _newest(root / "runs")
    for folder in folders[:FOLDERS]:
        if past.runs == RUNS:
            break
        journal = folder / NAME
        try:
            with journal.open("rb") as file:
                first = parse(file.readline(MAX_LINE + 1))
                if (first.body.get("runbook"), first.body.get("inventory")) != (runbook, inventory):
                    continue
                found, left = _lengths(file)
        except (OSError, ParseError, KeyError, TypeError, ValueError) as error:
            past.skipped.append(f"run {folder.name} is left out of the time estimate: {error}")
            continue
        past.runs += 1
        if left:
            past.skipped.append(f"run {folder.name} counts only in part for the time estimate: {left}")
        for key, length in found:
            past.lengths.setdefault(key, []).append(length)
    if past.runs < RUNS and len(folders) > FOLDERS:
        past.skipped.append(f"only the newest {FOLDERS} of {len(folders)} runs were searched for the time estimate")
    return past


def _newest(runs: Path) -> list[Path]:
    """Folders of runs, the newest first."""
    ages: list[tuple[int, str]] = []
    with contextlib.suppress(OSError):
        for entry in os.scandir(runs):
            with contextlib.suppress(OSError):
                ages.append(((Path(entry.path) / NAME).stat().st_mtime_ns, entry.name))
    return [runs / name for _, name in sorted(ages, reverse=True)]


def _lengths(file: IO[bytes]) -> tuple[list[tuple[Key, int]], str]:
    """The length of every step that ended well, from its first attempt to the end; and why the rest was not read."""
    found: list[tuple[Key, int]] = []
    begun: dict[tuple[str, str], tuple[Record, str]] = {}
    read = 0
    while line := file.readline(MAX_LINE + 1):
        read += len(line)
        if read > LONGEST:
            return found, f"its journal is longer than {LONGEST // 1024 // 1024} MiB"
        if line[-1:] != b"\n":  # a writer that died in its last line, unless there is more of it than a line may hold
            return found, "a line of its journal is too long" if len(line) > MAX_LINE else ""
        if not any(word in line for word in _WANTED):
            continue
        record = parse(line)
        if record.type == "step_started":
            at = (str(record.body["path"]), str(record.body.get("host", "")))
            begun.setdefault(at, (record, str(record.body.get("kind", ""))))
        elif record.type == "step_finished":
            found += _ended(record, begun)
    return found, ""


def _ended(record: Record, begun: dict[tuple[str, str], tuple[Record, str]]) -> Iterator[tuple[Key, int]]:
    body: Mapping[str, Any] = record.body
    if not body.get("final", True):
        return  # another attempt follows, and its time belongs to the step
    path, host = str(body["path"]), str(body.get("host", ""))
    start = begun.pop((path, host), None)
    if start is None or body["outcome"] != "ok" or body.get("found") or body.get("role", "look") not in {"act", "look"}:
        return
    first, kind = start
    again = body.get("attempt", 1) != first.body.get("attempt", 1)
    own = 0 if again else int(body.get("elapsed_us", 0))  # what waits for people or time keeps no length of its own
    length = own or record.mono - first.mono
    if length >= 0 and (own or first.boot == record.boot):
        yield (path, kind, host), length
