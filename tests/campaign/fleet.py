"""A fleet with a third of its hosts dead, through `drctl run`: every host told as what it is, none waited for in vain.

Of each hundred hosts ten refuse, ten are black holes (half drop the SYN, half take the connection and say nothing), and
in ten the command never ends. One runbook acts on all of them: as a table, and as a loop with a fifth of them at a time
(200 of 1,000). drctl is a process of its own, the hosts are another (`tests.fakes.fleets`); what is judged is the
journal, the view and what the hosts show. A case is a host in one of the two steps.
"""

import json
import math
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.measure import ROOT
from drctl.adapters.journal_reader import read
from drctl.adapters.statedir import StateDir
from drctl.cli.runs import fold_of
from drctl.core.fold import RunState
from drctl.core.outcomes import Outcome
from drctl.core.states import Unit
from drctl.errors import Exit
from tests.campaign.registry import Figures
from tests.fakes.fleets import DROPS, HANGS, MUTE, OK, REFUSES, Place, fleet
from tests.fakes.sshservers import Keys

NAME = "fleet"
ROWS = ("R16",)
COUNT = 1000
CI_COUNT = 200
SECONDS = 300.0

WRONG = "hosts told as something else"
ELSE = "hosts that show something else"
LATE = "steps beyond three times their waves"
MEMORY = "more than 300 MB"
KEPT = "descriptors of dead hosts kept"
SHOWN = "views that differ from the journal"
EXIT = "another exit than with exceptions"
_PROMISES = (WRONG, ELSE, LATE, MEMORY, KEPT, SHOWN, EXIT)

SABOTAGE = ""
"""MODULE:FUNCTION called in the process before drctl is; only tests of this campaign set it."""
_RSS = 300 * 1024
_MORE_FDS = 32  # the journal, the lock, pipes of the step that rests
_LONGEST = 900.0
_READABLE = 120
"""Lines of a view that a person still reads."""

_MEANT: Mapping[str, tuple[Outcome, str]] = {
    OK: (Outcome.OK, ""),
    HANGS: (Outcome.TIMEOUT, "seen to be gone"),
    REFUSES: (Outcome.UNREACHABLE, "refused:"),
    MUTE: (Outcome.UNREACHABLE, "silent:"),
    DROPS: (Outcome.UNREACHABLE, "silent:"),
}

_DO = 'echo STEP >>"$HOME/effects"; test ! -e "$HOME/hangs" || sleep 600'
_BOOK = """\
runbook: fleet
phases:
  - id: all
    steps:
      - id: table
        on: {group: fleet, max_failures: DEAD}
        run: 'TABLE'
        effect: idempotent
        timeout: LIMITs
        undo: {none: a test}
      - id: loop
        foreach: {member: "map(h in group('fleet'), h.name)"}
        at_once: AT_ONCE
        max_failures: DEAD
        on: "${{ member }}"
        run: 'LOOP'
        effect: idempotent
        timeout: LIMITs
        undo: {none: a test}
      - {id: rest, run: ': >FOLDER/rests; until [ -e FOLDER/go ]; do sleep 0.1; done', effect: read, timeout: 5m}
"""


def sorts(count: int, rng: random.Random) -> dict[str, str]:
    """Which host is what, mixed."""
    found = [REFUSES] * (count // 10) + [HANGS] * (count // 10)
    found += [MUTE, DROPS] * (count // 20)
    found += [OK] * (count - len(found))
    rng.shuffle(found)
    return {f"n{number:04}": sort for number, sort in enumerate(found)}


@dataclass(slots=True)
class Watched:
    """The process of drctl, seen from outside."""

    pid: int
    rss: int = 0
    fds: list[int] = field(default_factory=list)

    def look(self) -> int:
        """How many descriptors it has now; keeps its highest memory, KiB."""
        status = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        self.rss = max(self.rss, sum(int(line.split()[1]) for line in status if line.startswith("VmHWM:")))
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))


@dataclass(slots=True)
class Fleet:
    """One fleet and the run over it."""

    folder: Path
    sorts: Mapping[str, str]
    figures: Figures
    places: Mapping[str, Place]
    limit: int

    @property
    def at_once(self) -> int:
        return max(8, len(self.sorts) // 5)

    def write(self, keys: Keys) -> None:
        """The runbook and the inventory."""
        dead = sum(sort != OK for sort in self.sorts.values())
        book = _BOOK
        for word, value in (
            ("TABLE", _DO.replace("STEP", "table")), ("LOOP", _DO.replace("STEP", "loop")), ("DEAD", dead),
            ("LIMIT", self.limit), ("AT_ONCE", self.at_once), ("FOLDER", self.folder),
        ):  # fmt: skip
            book = book.replace(word, str(value))
        (self.folder / "book.yaml").write_text(book)
        lines = [
            f"  {name}: {{address: {host}, port: {port}, groups: [fleet], host_key: {keys.public('host')}}}"
            for name, (host, port) in self.places.items()
        ]
        login = f"defaults: {{login: {{user: u, key: {keys.folder}/client}}}}"
        head = "inventory: fleet\nenvironment: lab\nzone: UTC\nhosts:\n"
        (self.folder / "inventory.yaml").write_text(head + "\n".join([*lines, login]) + "\n")

    def run(self) -> tuple[int, Watched]:
        """Carry the runbook out; its exit code."""
        argv = [sys.executable, "-m", "tests.campaign.fleet", "--state-dir", str(self.folder / "state")]
        argv += ["--output", "json", "run", "book.yaml", "--inventory", "inventory.yaml", "--no-live"]
        argv += ["--fan-out", str(self.at_once)]
        env = os.environ | {"PYTHONPATH": str(ROOT), "HOME": str(self.folder), "FLEET_SABOTAGE": SABOTAGE}
        with (self.folder / "out").open("wb") as out, (self.folder / "err").open("wb") as err:
            child = subprocess.Popen(argv, cwd=self.folder, env=env, stdout=out, stderr=err, stdin=subprocess.DEVNULL)
        seen = Watched(child.pid)
        try:
            seen.fds = list(self._watch(child, seen))
            return child.wait(_LONGEST), seen
        finally:
            child.kill()
            child.wait()

    def _watch(self, child: "subprocess.Popen[bytes]", seen: Watched) -> Iterator[int]:
        """Descriptors at the beginning of the run, and when all hosts have been acted on."""
        ends = time.monotonic() + _LONGEST
        journals = self.folder / "state" / "runs"
        for there in (lambda: list(journals.glob("*/journal.jsonl")), (self.folder / "rests").exists):
            while not there() and child.poll() is None and time.monotonic() < ends:
                time.sleep(0.05)
            if child.poll() is None:
                yield seen.look()
        (self.folder / "go").touch()


def outcomes(state: RunState, names: list[str]) -> Iterator[tuple[str, str, Unit]]:
    """How each host ended in each step, as the journal says."""
    for path, step in state.steps.items():
        _, _, last = path.rpartition("/")
        for unit in step.units:
            if path.startswith("all/table/"):
                yield "table", unit.host or last, unit
            elif path.startswith("all/loop/"):
                yield "loop", unit.host or names[int(last)], unit


def judge(over: Fleet, code: int, seen: Watched) -> None:
    """Hold the journal against what the fleet is, and what it shows."""
    figures, said = over.figures, (over.folder / "err").read_text()[-2000:]
    (run,) = StateDir(over.folder / "state").list()
    state = fold_of(run)
    figures.check(code == Exit.EXCEPTIONS, EXIT, f"exit {code}: {said}")
    if code != Exit.EXCEPTIONS:
        figures.tried = len(over.sorts)  # it stopped on its way: there is nothing to hold the rest against
        return
    told: dict[tuple[str, str], Unit] = {(step, host): unit for step, host, unit in outcomes(state, list(over.sorts))}
    spans = seconds(run.journal)
    for name in ("preflight", "giving back"):
        figures.count(f"{name}: seconds", round(spans[name]))
    for step in ("table", "loop"):
        for name, sort in over.sorts.items():
            figures.tried += 1
            _judge_one(over, step, name, told.get((step, name)), _MEANT[sort])
        counted = Counter(unit.outcome.value if unit.outcome else "open" for (s, _), unit in told.items() if s == step)
        for outcome, number in sorted(counted.items()):
            figures.count(f"{step} {outcome}", number)
        _judge_time(over, step, spans)
    figures.count("highest memory, MB", seen.rss // 1024)
    figures.check(seen.rss <= _RSS, MEMORY, f"{seen.rss} KiB")
    alive = sum(sort in (OK, HANGS) for sort in over.sorts.values())
    before, after = (*seen.fds, 0, 0)[:2]
    figures.count("descriptors before", before)
    figures.count("descriptors after, beside one link a host", after - alive)
    figures.check(0 < after - alive <= before + _MORE_FDS, KEPT, f"{before} before, {after} after, {alive} links")
    _judge_view(over, run.id, told)


def _judge_one(over: Fleet, step: str, name: str, unit: Unit | None, meant: tuple[Outcome, str]) -> None:
    where = f"{step} {name} ({over.sorts[name]})"
    because = unit.finished.because if unit is not None and unit.finished is not None else "nothing"
    right = unit is not None and unit.outcome is meant[0] and meant[1] in because
    over.figures.check(right, WRONG, f"{where}: {unit.outcome if unit else None}, {because}")
    effects = over.folder / name / "effects"
    times = effects.read_text().split().count(step) if effects.exists() else 0
    wanted = int(over.sorts[name] in (OK, HANGS))
    over.figures.check(times == wanted, ELSE, f"{where}: {times} times, not {wanted}")


def _judge_time(over: Fleet, step: str, spans: Mapping[str, float]) -> None:
    waves = math.ceil(len(over.sorts) / over.at_once) * over.limit
    over.figures.count(f"{step}: seconds", round(spans[step]))
    over.figures.count(f"{step}: % of waves x timeout ({waves} s)", round(100 * spans[step] / waves))
    over.figures.check(spans[step] <= 3 * waves, LATE, f"{step}: {spans[step]:.0f} s, {waves} s of waves")


def seconds(journal: Path) -> dict[str, float]:
    """How long each part took: looking at all hosts before, both steps, giving the hosts back."""
    at: dict[str, float] = {}
    for record in read(journal):
        name = str(record.body.get("path", "")).rpartition("/")[2]
        at[f"{record.type} {name}"] = record.ts / 1e6
    ends = {name: at[f"block_finished {name}"] for name in ("table", "loop", "all")}
    return {
        "preflight": at["block_started table"] - at["run_opened "],
        "table": ends["table"] - at["block_started table"],
        "loop": ends["loop"] - at["block_started loop"],
        "giving back": at["run_closed "] - ends["all"],
    }


def _judge_view(over: Fleet, run: str, told: Mapping[tuple[str, str], Unit]) -> None:
    """What people and machines are shown is what the journal says, and short enough to be read."""
    drctl = [sys.executable, "-m", "drctl", "--state-dir", str(over.folder / "state")]

    def shown(*words: str) -> str:
        done = subprocess.run([*drctl, *words], cwd=ROOT, capture_output=True, text=True, check=False)
        return done.stdout

    meant = Counter((step, host, unit.outcome.value if unit.outcome else "") for (step, host), unit in told.items())
    for name, text in (("show", shown("--output", "json", "show", run)), ("run", (over.folder / "out").read_text())):
        rows = (row for row in json.loads(text)["steps"] if row["path"].count("/") > 1)
        seen = Counter((row["path"].split("/")[1], row["host"], row["outcome"]) for row in rows)
        differ = (seen - meant) + (meant - seen)
        over.figures.check(not differ, SHOWN, f"{name}: {list(differ)[:5]}")
    text = shown("show", run)
    over.figures.count("lines of the view", len(text.splitlines()))
    over.figures.check(len(text.splitlines()) <= _READABLE, SHOWN, f"{len(text.splitlines())} lines")
    for step in ("table", "loop"):
        counts = Counter(unit.outcome.value for (one, _), unit in told.items() if one == step and unit.outcome)
        line = next((line for line in text.splitlines() if f"{step}, PARTIAL" in line), "")
        right = all(f" {number} {outcome}" in line for outcome, number in counts.items())
        over.figures.check(right, SHOWN, f"{line}, not {dict(counts)}")


@contextmanager
def over_all(count: int, rng: random.Random, figures: Figures) -> Iterator[Fleet]:
    """The fleet, alive as long as the block."""
    with tempfile.TemporaryDirectory(prefix="drctl-w-") as name:
        folder, kinds = Path(name), sorts(count, rng)
        keys = Keys.make(folder)
        with fleet(folder, kinds) as places:
            made = Fleet(folder, kinds, figures, places, limit=10 if count <= CI_COUNT else 30)
            made.write(keys)
            yield made


def run(count: int, rng: random.Random) -> Figures:
    """One fleet of so many hosts."""
    figures = Figures()
    for name in _PROMISES:
        figures.count(name, 0)
    with over_all(max(20, count), rng, figures) as made:
        code, seen = made.run()
        judge(made, code, seen)
    return figures


def main() -> None:
    """Be drctl, broken if a test says so."""
    sabotage = os.environ.get("FLEET_SABOTAGE")
    if sabotage:
        from tests.fakes.processes import _sabotage  # noqa: PLC0415 - for these few processes only

        _sabotage(sabotage)
    from drctl.cli import main as drctl  # noqa: PLC0415 - the campaign itself needs none of it

    sys.argv = ["drctl", *sys.argv[1:]]
    drctl()


if __name__ == "__main__":
    main()
