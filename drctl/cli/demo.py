"""The demo: a real lab is broken and brought back by the runbook, with people who answer through the inbox.

Everything here is done the way a person would do it from outside: the lab's own interface, drctl's own commands. The
approvers are the lab's two simulated identities; the summary says so in its first line.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from drctl.cli.approvers import Approvers
from drctl.cli.carrying import carry
from drctl.cli.commands.audit import judge_file
from drctl.cli.documents import asked
from drctl.cli.freezing import freeze
from drctl.cli.runs import login, open_state
from drctl.cli.sessions import opened
from drctl.core.inputs import read_input
from drctl.errors import Exit, LabError
from drctl.lab import api

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from drctl.adapters.statedir import RunFolder, StateDir
    from drctl.cli.app import Settings
    from drctl.cli.wiring import Session
    from drctl.core import events as ev
    from drctl.core.fold import Entry
    from drctl.core.frozen import Frozen

RUNBOOK = Path(__file__).resolve().parents[2] / "runbooks" / "invoice-outage.yaml"
WARM_UP = 60
"""Invoices acknowledged before the fault, so that there is something to lose."""
AFTER_FAULT = 20
"""Invoices acknowledged after a bad release: they must survive the restore."""
PATIENCE = 60.0


class Demo:
    """One demo."""

    def __init__(
        self, settings: Settings, scenario: str, *, async_replication: bool, keep: bool, live: bool | None
    ) -> None:
        self._settings = settings
        self._scenario = scenario
        self._async = async_replication
        self._keep = keep
        self._live = live
        self._began = time.monotonic()
        self._session: Session | None = None
        self._json = io.StringIO() if settings.output == "json" else None

    def play(self) -> int:
        """Play it to the end; the lab goes with it, whatever happens."""
        self._say(f"drctl demo: a small invoice system is started, broken ({self._scenario}) and brought back.")
        if self._scenario not in api.SCENARIOS:
            names = ", ".join(api.SCENARIOS)
            raise LabError(f"There is no scenario {self._scenario!r}; there are: {names}.", next="drctl lab break list")
        read_end, write_end = os.pipe()
        try:
            info = api.up(
                folder=None, async_replication=self._async, hold=None if self._keep else read_end, progress=self._say
            )
            try:
                return self._recover(info.folder, info.inventory, info.data)
            finally:
                if not self._keep:
                    api.down(info.folder)
        finally:
            os.close(read_end)
            os.close(write_end)

    def _say(self, text: str) -> None:
        click.echo(f"[{time.monotonic() - self._began:5.1f}s] {text}", err=True)

    def _recover(self, folder: Path, inventory: Path, data: dict[str, Any]) -> int:
        traffic = data["urls"]["traffic"]
        self._wait(traffic, WARM_UP, "invoices are issued and acknowledged")
        broken = api.break_(folder, self._scenario)
        self._say(f"{self._scenario}: {api.SCENARIOS[self._scenario]}; broken at {broken['fault_at']}")
        if self._scenario == "bad-delete":
            self._wait(traffic, self._acknowledged(traffic) + AFTER_FAULT, "users go on issuing invoices")
        states = open_state(self._settings.state_dir)
        before = frozenset(run.id for run in states.list())
        with Approvers(states, besides=before, unanswered=self._nobody):
            code = self._run(states, inventory)
        run = next((run for run in reversed(states.list()) if run.id not in before), None)
        return self._evidence(run, traffic, code)

    def _run(self, states: StateDir, inventory: Path) -> int:
        documents = asked(str(RUNBOOK), str(inventory))
        texts = {"reporter": "the demo", "scope": "all users of the invoice service", "severity": "sev1"}
        values = {
            spec.name: read_input(spec, texts[spec.name], documents.inventory.hosts)
            for spec in documents.runbook.inputs
            if spec.name in texts
        }
        frozen = freeze(documents, values, self._settings.language)
        # the run's own document becomes a part of the demo's
        with contextlib.redirect_stdout(self._json) if self._json is not None else contextlib.nullcontext():
            return carry(
                self._settings, lambda watch: self._opened(frozen, states, watch), wait="5m", yes=False,
                live=self._live, unattended=True,
            )  # fmt: skip

    @contextlib.contextmanager
    def _opened(self, frozen: Frozen, states: StateDir, watch: Callable[[Entry], None]) -> Iterator[Session]:
        with opened(frozen, states, watch, login()) as session:
            self._session = session
            yield session

    def _nobody(self, _run: RunFolder, asked: ev.Asked) -> None:
        """A failure or a doubt is not for the two: the run pauses now, instead of waiting for an answer in vain."""
        if self._session is not None:
            self._session.control.raise_to(1, f"nobody in a demo answers: {asked.kind} of {asked.path}")

    # -- evidence ---------------------------------------------------------------------------------------------------

    def _evidence(self, run: RunFolder | None, traffic: str, code: int) -> int:
        """Say what the users counted, and what the record is worth; gives the demo's exit code."""
        self._tell("")
        self._tell("What the users counted, independently of drctl:")
        counted = self._counted(traffic)
        if counted is None:
            code = code or int(Exit.STEP_FAILED)
        else:
            outage = f"{float(counted['outage_seconds']):.1f} s"
            self._tell(
                f"  {counted['acknowledged']} invoices acknowledged, {counted['lost']} lost, "
                f"{counted['altered']} altered; {counted['refusals']} requests refused; outage {outage}"
            )
            if code == Exit.DONE and (counted["lost"] or counted["altered"]):
                click.echo("NOT RECOVERED: the run says done, and the users miss invoices or find others.", err=True)
                code = int(Exit.STEP_FAILED)
        found = judge_file(run.journal) if run is not None else None
        if run is not None and found is not None:
            self._tell(f"Audit of the record: {found.verdict.value} ({found.records} records)")
            self._tell(f"Report: {run.path / 'report.html'}")
        if self._json is not None:
            audit = found.as_json() if found is not None else None
            told = {"run": json.loads(self._json.getvalue() or "null"), "users": counted, "audit": audit, "exit": code}
            click.echo(json.dumps(told, ensure_ascii=False))
        return code

    def _counted(self, traffic: str) -> dict[str, Any] | None:
        """The users' own count; None when they cannot see their invoices."""
        try:
            counted, status = self._call(traffic, "/audit", post=True), self._call(traffic, "/status")
        except OSError as error:
            self._tell(f"  nothing: they cannot see their invoices ({error})")
            return None
        kept = {name: int(counted[name]) for name in ("acknowledged", "lost", "altered")}
        return {**kept, "refusals": status["refusals"], "outage_seconds": status["outage_seconds"]}

    def _tell(self, text: str) -> None:
        click.echo(text, err=self._json is not None)

    def _acknowledged(self, traffic: str) -> int:
        return int(self._call(traffic, "/status")["acknowledged"])

    def _wait(self, traffic: str, wanted: int, what: str) -> None:
        end = time.monotonic() + PATIENCE
        while self._acknowledged(traffic) < wanted:
            if time.monotonic() > end:
                raise LabError(f"In {PATIENCE:.0f} s not {wanted} invoices were acknowledged.", next="drctl lab status")
            time.sleep(0.2)
        self._say(f"{what}: {self._acknowledged(traffic)} acknowledged")

    def _call(self, base: str, path: str, *, post: bool = False) -> dict[str, Any]:
        request = urllib.request.Request(f"{base}{path}", method="POST" if post else "GET")  # noqa: S310 - the lab's own address
        with urllib.request.urlopen(request, timeout=PATIENCE) as reply:  # noqa: S310
            answer: dict[str, Any] = json.loads(reply.read())
        return answer
