"""Fixtures of the end-to-end tests: one healthy lab for all that change nothing, demos played once, state folders."""

import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.commands import Commands, Done
from tests.lab.running import lab

__all__ = ["commands", "demos", "lab"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Demo:
    """One demo, played to its end."""

    done: Done
    commands: Commands
    lab: Path

    @property
    def run(self) -> str:
        """The run's id."""
        (only,) = self.commands.states.list()
        return only.id


@pytest.fixture
def commands(tmp_path: Path) -> Commands:
    """The command line on a state folder of its own."""
    return Commands(tmp_path)


@pytest.fixture(scope="session")
def demos(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Demo]]:
    """Both demos, played side by side."""
    own = {name: Commands(tmp_path_factory.mktemp(name)) for name in ("primary-host", "bad-delete")}
    played = {}
    with ExitStack() as stack:
        started = {
            name: stack.enter_context(commands.start("lab", "demo", "--no-live", "--scenario", name))
            for name, commands in own.items()
        }
        for name, process in started.items():
            done = process.wait()
            folder = re.search(r"the lab starts in (\S+)", done.err)
            assert folder, str(done)
            played[name] = Demo(done=done, commands=own[name], lab=Path(folder.group(1)))
        yield played
