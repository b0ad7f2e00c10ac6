"""A step named on the command line: by id, address, `id@host` or `id[3]`; what is ambiguous is refused."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from drctl.cli.finding import find_question
from drctl.core import events as ev
from drctl.errors import UsageError
from tests.reporting.builder import RunBuilder, opened

FOLDER = cast("Any", SimpleNamespace(id="8F2KQ", holder=lambda: None, journal=Path("none")))
PATHS = (
    "main/copy/3", "main/roll/0/restart/@web1", "main/roll/0/restart/@web2", "main/it", "main/@odd/last",
    "main/fence/methods/0",
)  # fmt: skip
REPEATS = {"main/copy": "loop", "main/roll": "rolling", "main/roll/0/restart": "table"}


def named(name: str) -> str:
    run = RunBuilder()
    opened(run)
    for path, form in REPEATS.items():
        run.add(ev.BlockStarted(path=path, form=form))
    for number, path in enumerate(PATHS, 1):
        run.add(ev.Asked(id=f"q{number}", kind="failure", path=path, text="?", choices=("retry",)))
    return find_question(FOLDER, run.state(), name).asked.path


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("q4", "main/it"), ("it", "main/it"), ("main/it", "main/it"), ("copy/3", "main/copy/3"),
        ("copy[3]", "main/copy/3"), ("copy", "main/copy/3"), ("restart@web1", PATHS[1]), ("restart/@web2", PATHS[2]),
        ("roll[0]/restart@web2", PATHS[2]),
    ],
)  # fmt: skip
def test_a_step_is_found(name: str, path: str) -> None:
    assert named(name) == path


@pytest.mark.parametrize("name", ["restart", "copy[2]", "it@web1", "start@web1", "", "\x1b[", "methods"])
def test_what_is_not_one_step_is_refused_with_the_candidates(name: str) -> None:
    with pytest.raises(UsageError) as found:
        named(name)
    assert all(path in str(found.value) for path in PATHS)
