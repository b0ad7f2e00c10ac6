"""Measuring: rounds taken turn by turn, whole processes, and the conditions that figures were taken under.

What is measured is known to the modules that have a NAME.
"""

import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]

Sample = Mapping[str, float]
"""One turn of a subject: unit to value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Something that is measured; a peer is what drctl is compared with."""

    name: str
    run: Callable[[], Sample]
    peer: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What one subject showed in one unit, a value for each round. Rows of a group and unit may be compared."""

    group: str
    name: str
    unit: str
    values: Sequence[float]
    peer: bool = False


@dataclass(slots=True, kw_only=True)
class Report:
    """What a bench found.

    Attributes:
        rows: the figures.
        missing: peers that could not be measured, each with the reason.
        notes: what a reader must know beside the figures.
        broken: what did not end as it must: the figures beside it mean nothing.
    """

    rows: list[Row] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def ratios(self, row: Row) -> dict[str, float]:
        """The row divided by each of its peers, round by round; the median."""
        peers = [p for p in self.rows if p.peer and (p.group, p.unit) == (row.group, row.unit) and not row.peer]
        return {
            peer.name: statistics.median(a / b for a, b in zip(row.values, peer.values, strict=True) if b)
            for peer in peers
            if all(peer.values)
        }

    def document(self, bench: str, conditions: Mapping[str, Any]) -> dict[str, Any]:
        """Everything, for JSON."""
        rows = [
            {
                "group": row.group, "name": row.name, "unit": row.unit, "peer": row.peer, "rounds": len(row.values),
                "median": statistics.median(row.values), "low": min(row.values), "high": max(row.values),
                "ratios": self.ratios(row),
            }
            for row in self.rows
        ]  # fmt: skip
        return {
            "bench": bench, "conditions": dict(conditions), "rows": rows, "missing": self.missing, "notes": self.notes,
            "broken": self.broken,
        }  # fmt: skip


def interleaved(group: str, subjects: Sequence[Subject], rounds: int, *, warm: bool = True) -> list[Row]:
    """Measure all subjects in each round, beginning with another one each time; with `warm`, once before that."""
    for subject in subjects if warm else ():
        subject.run()
    samples: dict[str, list[Sample]] = {subject.name: [] for subject in subjects}
    for turn in range(rounds):
        first = turn % len(subjects)
        for subject in (*subjects[first:], *subjects[:first]):
            samples[subject.name].append(subject.run())
    return [
        Row(group=group, name=one.name, unit=unit, values=[s[unit] for s in samples[one.name]], peer=one.peer)
        for unit in samples[subjects[0].name][0]
        for one in subjects
        if unit in samples[one.name][0]
    ]


def whole_process(argv: Sequence[str], *, env: Mapping[str, str], cwd: Path) -> Sample:
    """Run a command to its end: its wall time, and its CPU time (user and system) as the kernel counted it.

    Raises:
        RuntimeError: it failed; a failing command is quick for the wrong reason.
    """
    with tempfile.TemporaryFile() as said:
        began = time.perf_counter()
        child = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=said, env=env, cwd=cwd
        )
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.perf_counter() - began
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != 0:
            said.seek(0)
            raise RuntimeError(f"{' '.join(argv)}: exit {child.returncode}: {said.read().decode(errors='replace')}")
    return {"wall ms": wall * 1e3, "CPU ms": (usage.ru_utime + usage.ru_stime) * 1e3}


def with_bytecode(files: Iterable[Path]) -> str:
    """How many of these source files have bytecode that Python would take instead of compiling them: `n of m`."""
    files = list(files)
    kept = [(file, Path(importlib.util.cache_from_source(str(file)))) for file in files]
    current = [1 for file, code in kept if code.is_file() and code.stat().st_mtime >= file.stat().st_mtime]
    return f"{len(current)} of {len(files)}"


def sources_of(package: str) -> list[Path]:
    """The source files of an installed package."""
    found = importlib.util.find_spec(package)
    return sorted(Path(found.origin).parent.rglob("*.py")) if found and found.origin else []


def conditions() -> dict[str, Any]:
    """What the figures are taken under, as of now."""
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpus": os.cpu_count() or 0,
        "load_1m": os.getloadavg()[0],
        "bytecode": {
            **{name: with_bytecode(sources_of(name)) for name in ("drctl", "click", "yaml")},
            "written": not sys.dont_write_bytecode,
        },
    }


def text(document: Mapping[str, Any]) -> str:
    """The document for people."""
    found = document["conditions"]
    kept = ", ".join(f"{name} {count}" for name, count in found["bytecode"].items() if name != "written")
    load = f"load {found['load_1m']:.1f} before and {found['load_1m_after']:.1f} after"
    lines = [
        f"{document['bench']}: {found['python']}, {found['system']}, {found['cpus']} CPUs, {load}",
        f"source files with bytecode: {kept}; written when missing: {'yes' if found['bytecode']['written'] else 'no'}",
    ]
    group = None
    for row in document["rows"]:
        if row["group"] != group:
            group = row["group"]
            lines += ["", group]
        spread = f"({row['low']:.4g} to {row['high']:.4g})" if row["rounds"] > 1 else ""
        ratios = "; ".join(f"{ratio:.2f}x {peer}" for peer, ratio in row["ratios"].items())
        name = f"{row['name']}{' (peer)' if row['peer'] else ''}"
        lines.append(f"  {name:<46} {row['median']:>9.4g} {row['unit']:<22} {spread:<20} {ratios}".rstrip())
    for title in ("missing", "notes", "broken"):
        lines += ["", *(f"{title}: {one}" for one in document[title])] if document[title] else []
    return "\n".join(lines)


def as_json(document: Mapping[str, Any]) -> str:
    """The document as one line of JSON; a number that JSON does not have is an error."""
    return json.dumps(document, ensure_ascii=False, allow_nan=False)
