"""drctl as a person runs it: real processes of the command line, on a state folder of their own."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from drctl.adapters.statedir import StateDir
from drctl.cli.approvers import Approvers
from drctl.cli.runs import fold_of
from drctl.core import events as ev
from drctl.core.fold import RunState

RUNBOOK = Path(__file__).resolve().parents[2] / "runbooks" / "invoice-outage.yaml"
PATIENCE = 240.0
_TICK = 0.0005


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    def __str__(self) -> str:
        return f"exit {self.code}\n{self.out}\n{self.err}"


class Commands:
    """The command line on one state folder. Outputs of what is started lie beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.states = StateDir(folder / "state")
        self._number = 0

    def words(self, *words: object) -> list[str]:
        """The command with its state folder."""
        return [sys.executable, "-m", "drctl", "--state-dir", str(self.states.root), *map(str, words)]

    def run(self, *words: object, env: Mapping[str, str] | None = None) -> Done:
        """Run a command to its end, without a terminal."""
        done = subprocess.run(
            self.words(*words), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE, check=False,
            env={**os.environ, **(env or {})},
        )  # fmt: skip
        return Done(code=done.returncode, out=done.stdout, err=done.stderr)

    def start(self, *words: object) -> "Started":
        """Start a command in a session of its own, without a terminal."""
        self._number += 1
        out, err = (self.folder / f"{self._number}.{name}" for name in ("out", "err"))
        with out.open("wb") as output, err.open("wb") as errors:
            process = subprocess.Popen(
                self.words(*words), stdin=subprocess.DEVNULL, stdout=output, stderr=errors, start_new_session=True
            )
        return Started(process=process, out=out, err=err)

    def outage(self, inventory: Path, *more: object) -> "Started":
        """Start the reference runbook."""
        return self.start("run", RUNBOOK, "--inventory", inventory, *RUN_OPTIONS, *more)

    def resume(self, run: str) -> "Started":
        """Take a run up again."""
        return self.start("resume", run, "--no-live", "--wait", "5m")

    def fold(self, run: str) -> RunState:
        """The state of a run as its journal says."""
        return fold_of(self.states.find(run))

    def journal(self, run: str) -> Path:
        return self.states.find(run).journal


RUN_OPTIONS = ("--no-live", "--wait", "5m", "-i", "reporter=a test", "-i", "scope=all users", "-i", "severity=sev1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A command that runs."""

    process: subprocess.Popen[bytes]
    out: Path
    err: Path

    def wait(self) -> Done:
        """Wait for its end."""
        try:
            code = self.process.wait(PATIENCE)
        finally:
            self.end()
        return Done(code=code, out=self.out.read_text(errors="replace"), err=self.err.read_text(errors="replace"))

    def end(self) -> None:
        """Make sure that it is gone."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()


@dataclass(slots=True)
class Follower:
    """A journal as it grows, seen within a millisecond: whole lines only, over the new inode of a resumed run too."""

    path: Path
    offset: int = 0
    records: int = 0

    def new(self) -> Iterator[dict[str, Any]]:
        """The records that have come."""
        try:
            if self.path.stat().st_size <= self.offset:
                return
            with self.path.open("rb") as file:
                file.seek(self.offset)
                data = file.read()
        except FileNotFoundError:
            return
        for line in data.splitlines(keepends=True):
            if not line.endswith(b"\n"):
                return
            self.offset += len(line)
            self.records += 1
            yield json.loads(line)

    def until(self, started: Started, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any] | None:
        """Wait for a record; None when the process ended before."""
        pause = threading.Event()
        while True:
            over = started.process.poll() is not None
            for record in self.new():
                if wanted(record):
                    return record
            if over:
                return None
            pause.wait(_TICK)


def follow_new_run(commands: Commands, started: Started, besides: frozenset[str] = frozenset()) -> Follower:
    """The journal of the run that a process opens."""
    pause = threading.Event()
    while True:
        over = started.process.poll() is not None
        # By name only: opening every journal here would take longer than what is waited for.
        runs = commands.states.root / "runs"
        names = {entry.name for entry in os.scandir(runs)} - besides if runs.is_dir() else set()
        if names:
            return Follower(runs / names.pop() / "journal.jsonl")
        if over:
            raise AssertionError(f"no run was opened: {started.wait()}")
        pause.wait(_TICK)


def act_begins(path: str) -> Callable[[dict[str, Any]], bool]:
    """The intent of a step."""
    return lambda record: record["type"] == "step_started" and record["body"]["path"] == path


def step_ends(path: str) -> Callable[[dict[str, Any]], bool]:
    """The recorded end of a step."""
    return lambda record: (
        record["type"] == "step_finished" and record["body"]["path"] == path and record["body"].get("final", True)
    )


@dataclass(slots=True)
class People:
    """The two who approve; what they do not answer is kept, and the process that waits for it is told to stop."""

    commands: Commands
    writer: Started | None = None
    unanswered: list[ev.Asked] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._approvers = Approvers(self.commands.states, unanswered=lambda _run, asked: self._nobody(asked))
        self._approvers.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._approvers.__exit__(None, None, None)

    _approvers: Approvers = field(init=False)

    def _nobody(self, asked: ev.Asked) -> None:
        self.unanswered.append(asked)
        if self.writer is not None and self.writer.process.poll() is None:
            self.writer.send(signal.SIGINT)


def run_id(done: Done) -> str:
    """The run's id in the summary."""
    found = re.search(r"\brun ([0-9A-Z]{5})\b", done.out)
    assert found, str(done)
    return found.group(1)
