"""What a plan says about a step is what the run then does, for every step kind, in a lab.

Each case is a small runbook. Its plan is made, then `drctl run` carries it out as a process of its own; what the step
touches is looked at before and after, without drctl. *Would run* must have changed something, *no change* nothing; a
look must have seen what its plan saw, outputs that are another at every look left out; what would wait must have
waited, and what would stop must have stopped. *Cannot tell* is counted: it promises nothing.
"""

import itertools
import random
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from drctl.cli.documents import Documents
from drctl.cli.freezing import freeze
from drctl.cli.wiring import plan_parts
from drctl.core import events as ev
from drctl.core.outcomes import Outcome
from drctl.core.plan import PlannedStep, Status
from drctl.engine.planner import Options, Planner
from drctl.kinds import registry
from drctl.loading import load_inventory, load_runbook
from tests.adapters.dns_conformance import ZONE
from tests.campaign._prediction_cases import ALL, IT, LAST, Case
from tests.campaign.registry import Figures, cases
from tests.e2e import evidence
from tests.e2e.commands import Commands, run_id
from tests.fakes.dnsserver import name_server
from tests.lab.running import RunningLab, running_lab, wait_until

NAME = "predictions"
ROWS = ("R19",)
COUNT = 100  # more than there are: all
CI_COUNT = 10
SECONDS = 180.0
"""The box of the suite: a lab, and ten cases of some seconds each."""

_PATH = f"only/{IT}"
_PROMISES = (
    "kinds without a case", "planned and not so", "changed though no change was planned", "not changed though planned",
    "seen otherwise", "cases that broke off",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """The row of a plan, and what the plan saw there."""

    row: PlannedStep
    final: ev.StepFinished | None


class Stage:
    """A lab, and runbooks played in it."""

    def __init__(self, lab: RunningLab, dns_port: int, folder: Path, figures: Figures) -> None:
        self._lab = lab
        self._figures = figures
        self._folder = folder
        self._numbers = itertools.count()
        self._commands = Commands(folder)
        urls = lab.info.data["urls"]
        self._names = {
            "power": urls["power"], "traffic": urls["traffic"], "port": lab.host("inv-a")["port"], "dns": dns_port,
            "upstream": lab.host("inv-b")["facts"]["upstream"],
        }  # fmt: skip

    def play(self, case: Case) -> None:
        """Plan and run a case, twice where that says more; put back what it changed."""
        if case.before:
            self._lab.ok(case.host, case.before)
        try:
            for turn in range(2 if case.again else 1):
                self._once(case, turn)
        finally:
            if case.after:
                self._lab.ok(case.host, case.after)
            if case.host == "traffic":
                self._lab.traffic("/resume")
            self._settle()

    def _once(self, case: Case, turn: int) -> None:
        file = self._folder / "case.yaml"
        indented = "".join(f"      {line}\n" for line in self._filled(case.steps).splitlines())
        file.write_text(f"runbook: case-{next(self._numbers)}\nphases:\n  - id: only\n    steps:\n{indented}")
        planned = self._plan(file)
        before = self._touched(case)
        done = self._commands.run("run", file, "--inventory", self._lab.info.inventory, "--no-live", "--yes")
        after = self._touched(case)
        state = self._commands.fold(run_id(done))
        if state.closed is None:
            self._commands.run("abort", run_id(done), "--reason", "the case is over")
        step = state.steps.get(_PATH)
        self._figures.count(f"planned: {planned.row.status.value}")
        where = f"{case.kind}, turn {turn}: {case.steps!r} was planned as {planned.row.status.value!r}"
        final = step.own_final if step is not None else None
        self._judge(case, planned, final, changed=before != after, where=f"{where} ({planned.row.because})\n{done}")

    def _judge(self, case: Case, planned: Planned, final: ev.StepFinished | None, *, changed: bool, where: str) -> None:
        check, status = self._figures.check, planned.row.status
        ok = final is not None and Outcome(final.outcome) is Outcome.OK
        if status is Status.WOULD_RUN:
            check(ok and changed, "not changed though planned", where)
        elif status is not Status.CANNOT_TELL:
            check(not changed, "changed though no change was planned", where)
        if status in {Status.NO_CHANGE, Status.KNOWN, Status.LOOKED}:
            check(ok, "planned and not so", where)
        elif status is Status.WOULD_STOP:
            check(final is not None and Outcome(final.outcome).bad, "planned and not so", where)
        elif status is Status.WOULD_WAIT:
            check(ok or final is None, "planned and not so", where)
        else:
            check(status in {Status.WOULD_RUN, Status.CANNOT_TELL}, "planned and not so", where)
        if planned.final is not None and status in {Status.LOOKED, Status.KNOWN, Status.WOULD_STOP}:
            seen, then = _stable(case, planned.final), _stable(case, final)
            check(seen == then, "seen otherwise", f"{where}\nplan: {seen}\nrun: {then}")

    def _plan(self, file: Path) -> Planned:
        hosts = str(self._lab.info.inventory)
        inventory = load_inventory(hosts, lambda path: Path(path).read_bytes())
        runbook = load_runbook(str(file), lambda path: Path(path).read_bytes(), registry(), inventory.value)
        assert inventory.value is not None, inventory.diagnostics
        assert runbook.value is not None, f"{file.read_text()}\n{runbook.diagnostics}"
        documents = Documents(
            runbook_path=str(file), inventory_path=hosts, runbook=runbook.value, inventory=inventory.value
        )
        frozen = freeze(documents, {}, "")
        parts = plan_parts(frozen, runbook.value, self._folder / "state", "")
        try:
            plan = Planner(parts.context, parts.world, Options()).plan("")
        finally:
            parts.world.close()
        (row,) = (row for row in plan.rows if row.path == _PATH)
        step = parts.context.state.steps.get(_PATH)
        return Planned(row=row, final=step.final if step is not None else None)

    def _filled(self, text: str) -> str:
        for name, value in self._names.items():
            text = text.replace(f"<{name}>", str(value))
        return text

    def _touched(self, case: Case) -> str:
        if not case.host:
            return str(len(evidence.messages(self._lab)))
        if case.host == "traffic":
            return str(self._lab.traffic("/status", "GET").get("state"))
        return self._lab.ok(case.host, case.touches)

    def _settle(self) -> None:
        """Wait until what the case restarted is up again, so that the next one sees a lab at rest."""
        wait_until("the standby follows", lambda: self._lab.run("inv-b", "psql -Atc 'SELECT 1'").code == 0)


def _stable(case: Case, final: ev.StepFinished | None) -> Mapping[str, Any] | None:
    """How a step ended, and its outputs, without those that change by themselves."""
    if final is None:
        return None
    outputs = {name: value for name, value in final.outputs.items() if name not in case.volatile}
    return {"outcome": final.outcome, **outputs}


@contextmanager
def _stage(figures: Figures) -> Iterator[Stage]:
    with (
        tempfile.TemporaryDirectory(prefix="drctl-t-") as folder,
        running_lab() as lab,
        name_server(ZONE) as names,
    ):
        yield Stage(lab, names.port, Path(folder), figures)


def run(count: int, rng: random.Random) -> Figures:
    """Play cases in random order in one lab; with all of them, the one that cannot be put back comes last."""
    figures = Figures()
    for name in _PROMISES:
        figures.count(name, 0)
    missing = sorted(set(registry()) - {case.kind for case in (*ALL, LAST)})
    figures.check(not missing, "kinds without a case", ", ".join(missing))
    with _stage(figures) as stage:
        for case in cases(ALL, count, rng, figures):
            _played(stage, case, figures)
        if count > len(ALL):
            figures.tried += 1
            _played(stage, LAST, figures)
    wrong = sum(figures.numbers[name] for name in _PROMISES[1:])
    figures.numbers["mismatches in a thousand plans"] = 1000 * wrong // max(1, figures.tried)
    return figures


def _played(stage: Stage, case: Case, figures: Figures) -> None:
    try:
        stage.play(case)
    except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001 - one case that breaks off ends no campaign
        figures.check(False, "cases that broke off", f"{case}: {error!r}")  # noqa: FBT003 - as Figures.check
