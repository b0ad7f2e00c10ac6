"""drctl as a person types it, in this process, on runbooks that touch nothing but a temporary folder."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from drctl.cli.app import run

INVENTORY = """\
inventory: here
environment: lab
zone: UTC
people:
  li: {name: Li Na, logins: [lina]}
  wang: {name: Wang Wei, logins: [wangwei]}
roles:
  commander: [li]
  deputy: [wang]
"""

SECONDS = 60.0
"""Longest wait for a process; a hang is a failure, not a slow pass."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a command gave."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:  # noqa: ANN401 - whatever the document holds
        """The one JSON document on stdout; anything more, or less, fails."""
        return json.loads(self.out)


class Drctl:
    """One state folder, one folder of documents."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.state = folder / "state"
        self._capsys = capsys

    def __call__(self, *args: str, state: Path | None = None) -> Said:
        """Type a command; the state folder is filled in."""
        said = self.unclean(*args, state=state)
        assert "Traceback" not in said.err + said.out
        return said

    def unclean(self, *args: str, state: Path | None = None) -> Said:
        """The same, and it may say where in drctl something broke."""
        self._capsys.readouterr()
        code = run(["--state-dir", str(state or self.state), *args])
        said = self._capsys.readouterr()
        return Said(code, said.out, said.err)

    def argv(self, *args: str) -> list[str]:
        """The same as a process of its own."""
        return [sys.executable, "-m", "drctl", "--state-dir", str(self.state), *args]

    @contextlib.contextmanager
    def process(self, *args: str) -> Iterator[subprocess.Popen[str]]:
        """A process of its own; whatever is left of it is killed at the end."""
        with subprocess.Popen(
            self.argv(*args), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            start_new_session=True,
        ) as process:  # fmt: skip
            try:
                yield process
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)

    def write(self, name: str, text: str) -> str:
        """Write a document, and give its name."""
        (self.folder / name).write_text(text, encoding="utf-8")
        return name

    def ran(self, text: str, *args: str) -> tuple[Said, str]:
        """Run a runbook; gives what was said, and the run's id."""
        before = set(self.ids())
        said = self("run", self.write("book.yaml", text), "--no-live", *args)
        new = set(self.ids()) - before
        assert len(new) == 1, (said, new)
        return said, new.pop()

    def ids(self) -> list[str]:
        """Every run of the state folder."""
        return [row["id"] for row in self("--output", "json", "runs", "list").json["runs"]]

    def journal(self, id_: str) -> Path:
        """A run's journal."""
        return self.state / "runs" / id_ / "journal.jsonl"


@pytest.fixture
def drctl(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Drctl]:
    """drctl in an empty folder with an inventory."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    made = Drctl(folder, capsys)
    made.write("inventory.yaml", INVENTORY)
    yield made
    (folder / "go").touch()  # a slow step that a failed test left behind ends by itself


@pytest.fixture
def done(drctl: Drctl) -> str:
    """A run that is closed and well, by its id."""
    said, id_ = drctl.ran(book(step("hello", "echo hello", effect="read")))
    assert said.code == 0, said
    return id_


@pytest.fixture
def waiting(drctl: Drctl) -> str:
    """A run that waits for an approval of the commander, by its id."""
    said, id_ = drctl.ran(APPROVAL.replace("FOLDER", str(drctl.folder)))
    assert said.code == 6, said
    return id_


@pytest.fixture
def failed(drctl: Drctl) -> str:
    """A run with a failed step, by its id: it wants a file named `mended`."""
    said, id_ = drctl.ran(FAILING.replace("FOLDER", str(drctl.folder)))
    assert said.code == 7, said
    return id_


def step(id_: str, script: str, *, effect: str = "idempotent", more: str = "") -> str:
    """One step of a script, as a line of YAML."""
    undo = "" if effect == "read" else ", undo: {none: a test}"
    return f"      - {{id: {id_}, run: {json.dumps(script)}, effect: {effect}{undo}{more}}}\n"


def book(*steps: str, head: str = "") -> str:
    """A runbook of one phase."""
    return f"runbook: book\n{head}phases:\n  - id: only\n    steps:\n{''.join(steps)}"


APPROVAL = book(
    step("before", "echo before >> FOLDER/ledger"),
    step("change", "echo changed >> FOLDER/ledger", more=", approve: {by: [commander], within: 10m}"),
)

FAILING = book(step("mended", "test -e FOLDER/mended && echo went >> FOLDER/ledger", effect="idempotent"))


def until(what: Callable[[], bool]) -> None:
    """Wait for something another process does; a hang fails."""
    end = time.monotonic() + SECONDS
    while not what():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)
