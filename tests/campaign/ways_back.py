"""Each step of the runbook fails in turn and takes the run back: all is as before, or the report names what is not.

Each case is a lab, in use and broken by one of two scenarios, and `drctl run` of an edited copy of the runbook in which
exactly one step fails, in one way (see `_broken_steps`), with `on_failure: rollback`. A digest of the lab's state is
taken from outside before the run and after it. Every difference must be named by a line of the report, in JSON and in
Markdown and HTML alike, and every line must name a difference that is there. A lab of which a case changed nothing is
used again. A case takes up to a minute; those of the suite are drawn from all, the box of 60 seconds holds a few.
"""

import contextlib
import json
import random
import signal
import tempfile
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from drctl.core import events as ev
from drctl.core.fold import RunState
from drctl.core.outcomes import Outcome
from drctl.errors import DrctlError
from tests.campaign._broken_steps import Broken, Node, broken, read, right_exit, walk, ways, written
from tests.campaign.lab_kills import SCENARIOS, broken_lab
from tests.campaign.registry import Figures, box_closed
from tests.e2e import digest, evidence
from tests.e2e.commands import RUN_OPTIONS, RUNBOOK, Commands, Done, Started, run_id
from tests.lab.running import RunningLab, processes_of

NAME = "ways-back"
ROWS = ("R4",)
COUNT = 140
CI_COUNT = 10
SECONDS = 60.0

_PROMISES = (
    "did not close", "differences that no line names", "lines that name no difference", "wrong exit codes",
    "hosts not given back", "processes left", "journals not intact", "cases that broke off",
)  # fmt: skip

BEFORE: Final[Mapping[str, Node]] = {
    "run": {"run": "exit 1"},
    "http.request": {"with": {"url": "${{ vars.users }}/no-such-page"}},
    "postgres.exec": {"with": {"sql": "SELECT 1 / 0"}},
    "postgres.promote": {
        "do": None, "run": "exit 1", "effect": "irreversible",
        "verify": {"run": "test \"$(psql -XAtqc 'select pg_is_in_recovery()')\" = f"},
        "undo": {"none": "a promoted server has a history of its own"},
    },
    # Not by another name: a unit that is not there counts as stopped.
    "service": {"do": None, "with": None, "run": "exit 1", "effect": "idempotent"},
    "traffic.switch": {"with": {"test": ["false"]}},
    "backup.fetch": {"with": {"sha256": "0" * 64}},
    "archive.unpack": {"with": {"from": "tmp/no-such.tar.gz"}},
    "notify": {"with": {"to": ["${{ lower('NOBODY') }}"], "required": True}},
}  # fmt: skip
"""How an act of each kind ends badly without effect."""

_HARDWARE, _HUMAN = SCENARIOS
_BRANCHES = {
    "steps.fault.value in ['hardware', 'network', 'database']": _HARDWARE,
    "steps.fault.value == 'human-error'": _HUMAN,
}

NAMED: Final[Mapping[str, Sequence[str]]] = {
    "messages": ("activate/tell", "verify/tell_users"),
    "power inv-a": ("emergency/fence",),
    "alive inv-a": ("emergency/fence",),
    "role inv-b": ("emergency/promote",),
    "file inv-b pg/data/standby.signal": ("emergency/promote", "follow-up/rebuild"),
    "setting inv-b synchronous_standby_names": ("emergency/alone",),
    "file inv-b pg/data/postgresql.auto.conf": ("emergency/alone", "follow-up/rebuild"),
    "route gw": ("emergency/switch",),
    "file gw nginx/routes/invoices.conf": ("emergency/switch",),
    "service": ("emergency/switch", "recovery/stop", "recovery/release", "recovery/swap"),
    "unit inv-a invoices": ("recovery/stop", "recovery/release"),
    "file inv-a tmp/base.tar.gz": ("recovery/fetch",),
    "file inv-a pg/restore": ("recovery/unpack", "recovery/beside"),
    "beside inv-a": ("recovery/beside",),
    "file inv-a pg/": ("recovery/swap", "follow-up/confirmed"),
    "role inv-a": ("recovery/swap",),
    "follows inv-b": ("recovery/swap", "follow-up/rebuild", "emergency/promote"),
    "slots inv-a": ("recovery/swap", "follow-up/rebuild"),
    "setting inv-a synchronous_standby_names": ("recovery/swap", "follow-up/confirmed"),
    "release inv-a": ("recovery/release",),
    "file inv-a etc/invoices.json": ("recovery/release",),
    "role inv-b ": ("follow-up/rebuild",),
    "synthetic": ("verify/functions",),
    "invoices": ("recovery/swap", "verify/reenter", "emergency/switch"),
}
"""Which steps may leave a piece of the digest otherwise than it was; the longest beginning counts."""
UNSEEN: Final = ("recovery/archive",)
"""Steps that leave what the lab itself leaves all the time, so that the digest leaves it out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One step that fails in one way, in one scenario."""

    scenario: str
    broken: Broken


def all_cases(book: Node) -> list[Case]:
    """Every step that a scenario reaches, in every way it can fail."""
    found = []
    for scenario in SCENARIOS:
        for path, step, around in walk(book):
            branches = [_BRANCHES.get(one.get("when", ""), scenario) for one in (*around, step)]
            if any(branch != scenario for branch in branches):
                continue
            found += [Case(scenario=scenario, broken=Broken(path=path, way=way)) for way in ways(step)]
            if step.get("do") == "fence.host":
                method = f"{path}/methods/{len(step['with']['methods']) - 1}"
                found.append(Case(scenario=scenario, broken=Broken(path=method, way="before")))
    return found


@dataclass(slots=True, kw_only=True)
class Ended:
    """A run that was played."""

    done: Done
    run: str
    state: RunState
    before: Mapping[str, str]
    after: Mapping[str, str]


class Played:
    """One case, played and judged."""

    def __init__(self, case: Case, lab: RunningLab, folder: Path, book: Node, figures: Figures) -> None:
        self._case = case
        self._lab = lab
        self._commands = Commands(folder)
        self._file = folder / "edited.yaml"
        self._file.write_text(written(broken(book, case.broken, BEFORE)), encoding="utf-8")
        self._figures = figures

    def check(self, held: bool, name: str, what: str) -> None:  # noqa: FBT001 - as Figures.check
        self._figures.check(held, name, f"{self._case.scenario}, {self._case.broken}: {what}")

    def play(self) -> Ended | None:
        """Run it, people answering; None when it did not close."""
        before = digest.taken(self._lab)
        with self._commands.start("run", self._file, "--inventory", self._lab.info.inventory, *RUN_OPTIONS) as started:
            strange = self._answer(started)
            done = started.wait()
        run = run_id(done) if not strange else ""
        state = self._commands.fold(run) if run else None
        if state is None or state.closed is None:
            self.check(False, "did not close", f"{strange}\n{done}")  # noqa: FBT003 - as Figures.check
            return None
        return Ended(done=done, run=run, state=state, before=before, after=digest.taken(self._lab))

    def _answer(self, started: Started) -> str:
        """Answer as the two people of the lab would, until the run ends; the question that nobody foresaw."""
        seen: set[str] = set()
        pause = threading.Event()
        while started.process.poll() is None:
            for run, asked in self._waiting():
                if asked.id in seen:
                    continue
                seen.add(asked.id)
                if asked.kind not in {"approval", "manual"}:
                    started.send(signal.SIGINT)
                    return f"{asked.kind} {asked.path}: {asked.text}"
                self._say(run, asked)
            pause.wait(0.1)
        return ""

    def _waiting(self) -> list[tuple[str, ev.Asked]]:
        with contextlib.suppress(DrctlError, OSError):  # its first records are just being written
            runs = [run.id for run in self._commands.states.list()]
            return [(run, question.asked) for run in runs for question in self._commands.fold(run).open_questions]
        return []

    def _say(self, run: str, asked: ev.Asked) -> None:
        no = self._case.broken == Broken(path=asked.path, way="refused")
        if asked.kind == "approval":
            words = ["reject" if no else "approve", run, asked.path, "--as", "li", "--reason", "a test says so"]
            words += ["--target", asked.target] if asked.target and not no else []
        else:
            choice = "not_done" if no else "done"
            words = ["answer", run, asked.id, choice, "--as", "wang", "--reason", "a test says so"]
            words += [word for field in asked.fields for word in ("--value", f"{field['name']}=none")]
        said = self._commands.run(*words)
        self.check(said.code == 0, "did not close", f"an answer was refused: {said}")

    # -- judging ----------------------------------------------------------------------------------------------------

    def judge(self, ended: Ended) -> None:
        """Everything that must hold in the end."""
        path = self._case.broken.path
        failed, block = ended.state.step(path), ended.state.blocks.get(path)
        if (failed.outcome or (block.outcome if block else None)) in {None, Outcome.SKIPPED}:
            self._figures.count("steps that the run did not reach")  # there was nothing to re-enter
            return
        rows = self._report(ended)["left_over"]
        changed = digest.differences(ended.before, ended.after)
        self._figures.count("differences", len(changed))
        self._figures.count("runs that left nothing", int(not changed))
        for piece, values in changed.items():
            self.check(bool(namers(piece, rows)), "differences that no line names", f"{piece}: {values}\n{rows}")
        for row in rows:
            self.check(names_something(row, changed), "lines that name no difference", f"{row}\n{changed}")
        wanted = right_exit(ended.state)
        self.check(ended.done.code == wanted, "wrong exit codes", f"{ended.done.code}, not {wanted}\n{ended.done}")
        owners = evidence.owners(self._lab)
        self.check(not owners, "hosts not given back", str(owners))
        left = evidence.commands_left(self._lab)
        self.check(not left or "beside inv-a" in changed, "processes left", str(left))
        word = self._commands.run("audit", "verify", ended.run)
        self.check(word.code == 23 and "first bad" not in word.out, "journals not intact", str(word))

    def _report(self, ended: Ended) -> dict[str, Any]:
        """The report as JSON; that the two forms for people hold the same lines is judged here."""
        forms = {}
        for form in ("json", "markdown", "html"):
            path = self._commands.folder / f"report.{form}"
            said = self._commands.run("report", ended.run, "--format", form, "-o", path)
            self.check(said.code == 0, "did not close", str(said))
            forms[form] = path.read_text(encoding="utf-8")
        report: dict[str, Any] = json.loads(forms["json"])
        for form in ("markdown", "html"):
            for row in report["left_over"]:
                told = row["path"].replace("_", "\\_") if form == "markdown" else row["path"]
                self.check(f"{told}" in forms[form], "differences that no line names", f"{row} is not in the {form}")
        return report


def namers(piece: str, rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The lines of a report that may name a piece: of the steps that change it, and of its host."""
    known = max((key for key in NAMED if piece.startswith(key)), key=len, default="")
    steps = NAMED.get(known, ())
    return [row for row in rows if any(f"{row['path']}/".startswith(f"{step}/") for step in steps)]


def names_something(row: Mapping[str, Any], changed: Mapping[str, str]) -> bool:
    """Whether a line of a report has its reason and names a difference that is there, or says that it may not be."""
    doubtful = row["path"].startswith(UNSEEN) or not row["sure"] or "a look says" in row["because"]
    return bool(row["because"]) and (doubtful or any(namers(piece, [row]) for piece in changed))


class Stage:
    """The lab of one scenario: a fresh one, or that of the case before when that left nothing but messages told."""

    def __init__(self, scenario: str, book: Node, figures: Figures) -> None:
        self._scenario = scenario
        self._book = book
        self._figures = figures
        self._open = contextlib.ExitStack()
        self._lab: RunningLab | None = None

    def play(self, case: Case) -> None:
        """Play one case and judge it."""
        if self._lab is None:
            self._figures.count("labs", 1)
            self._lab = self._open.enter_context(broken_lab(self._scenario))
        with tempfile.TemporaryDirectory(prefix="drctl-w-") as name:
            played = Played(case, self._lab, Path(name), self._book, self._figures)
            ended = played.play()
            if ended is not None:
                played.judge(ended)
            left = processes_of(Path(name))
            played.check(not left, "processes left", str(left))
        if ended is None or set(digest.differences(ended.before, ended.after)) - {"messages"}:
            folder = self._lab.folder
            self.close()
            played.check(not processes_of(folder), "processes left", str(processes_of(folder)))

    def close(self) -> None:
        """End the lab."""
        self._lab = None
        self._open.close()


def run(count: int, rng: random.Random) -> Figures:
    """Play the scenarios side by side, cases in random order; all of them when `count` reaches that far."""
    figures = Figures()
    for name in _PROMISES:
        figures.count(name, 0)
    book = read(RUNBOOK.read_text(encoding="utf-8"))
    there = all_cases(book)
    figures.count("cases there are", len(there))
    drawn = rng.sample(there, min(count, len(there)))

    def lane(scenario: str) -> None:
        with contextlib.closing(Stage(scenario, book, figures)) as stage:
            for case in drawn:
                if case.scenario != scenario:
                    continue
                if box_closed():
                    return
                figures.tried += 1
                try:
                    stage.play(case)
                except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001 - one case that breaks off ends no campaign
                    stage.close()
                    figures.check(False, "cases that broke off", f"{case}: {error!r}")  # noqa: FBT003 - as Figures.check

    with ThreadPoolExecutor(len(SCENARIOS)) as pool:
        for ended in [pool.submit(copy_context().run, lane, scenario) for scenario in SCENARIOS]:
            ended.result()
    return figures
