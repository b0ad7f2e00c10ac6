"""Lab: what a newcomer waits for: `drctl lab demo --no-live` as a process, by the times at which its lines arrive.

Unit: seconds of wall since the process was started: to its first line, to a lab that is ready, then the length of each
part (users at work, the fault, each phase of the runbook, the evidence) and the whole, for each scenario. Installing is
not in it. There is no peer to compare with. Small only starts a lab and ends it.
"""

import contextlib
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from bench.measure import ROOT, Report, Row
from drctl.lab import api

NAME = "lab"
ROUNDS = 1
SCENARIOS = ("primary-host", "bad-delete")
_PARTS = (  # which line begins a part, and the part's name
    (re.compile(r" s  ready$"), "users at work before the fault"),
    (re.compile(r"; broken at "), "from the fault to the run"),
    (re.compile(r"^\S+Z ▶ run opened "), "opening the run"),
    (re.compile(r"^\S+Z ▶ phase +(?P<name>\S+)"), "phase {name}"),
    (re.compile(r"^\S+Z \S closed "), "summary and reports"),
    (re.compile(r"^What the users counted"), "evidence"),
)


def run(*, small: bool, rounds: int) -> Report:
    """Measure; small only starts a lab and ends it."""
    report = Report(notes=["the seconds to the first line and to ready are since the start of the process"])
    for scenario in ("lab up",) if small else SCENARIOS:
        samples = [_up() if small else _demo(scenario, report) for _ in range(rounds)]
        names = [name for name in samples[0] if all(name in sample for sample in samples)]
        report.rows += [Row(group=scenario, name=name, unit="s", values=[s[name] for s in samples]) for name in names]
    return report


def _up() -> Mapping[str, float]:
    with tempfile.TemporaryDirectory(prefix="drb") as folder:
        try:
            with _lines("lab", "up", "--folder", folder, "--ttl", "0.1") as lines:
                return {name: at for name, at in parts(list(lines)).items() if name.startswith("to ")}
        finally:
            api.down(Path(folder), keep=True)


def _demo(scenario: str, report: Report) -> Mapping[str, float]:
    with tempfile.TemporaryDirectory(prefix="drb") as folder:
        words = ("--state-dir", folder, "lab", "demo", "--no-live", "--scenario", scenario)
        with _lines(*words) as lines:
            seen = list(lines)
    found, code = parts(seen), seen[-1][1]
    if code != "exit 0":
        report.broken.append(f"{scenario}: {code}; the last lines: {' | '.join(line for _, line in seen[-4:-1])}")
    return found


def parts(seen: Sequence[tuple[float, str]]) -> dict[str, float]:
    """The length of each part, from lines and the seconds at which they came, the last of them the end."""
    found = {"to the first line": seen[0][0]}
    begins: list[tuple[float, str]] = []
    for at, line in seen:
        for pattern, name in _PARTS:
            match = pattern.search(line)
            if match:
                begins.append((at, name.format(**match.groupdict())))
    if begins:
        found["to a lab that is ready"] = begins[0][0]
    ends = [at for at, _ in begins[1:]] + [seen[-1][0]]
    for (at, name), end in zip(begins, ends, strict=True):
        found[name] = found.get(name, 0.0) + end - at
    return found | {"whole": seen[-1][0]}


@contextlib.contextmanager
def _lines(*words: str) -> Iterator[Iterator[tuple[float, str]]]:
    """The lines of a command, each with the seconds since its start; the last is `exit CODE`."""
    began = time.monotonic()
    child = subprocess.Popen(
        [sys.executable, "-m", "drctl", *words], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip

    def lines() -> Iterator[tuple[float, str]]:
        for line in child.stdout or ():
            yield time.monotonic() - began, line.rstrip("\n")
        yield time.monotonic() - began, f"exit {child.wait()}"

    with child:
        try:
            yield lines()
        finally:
            child.terminate()
