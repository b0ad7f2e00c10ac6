"""Hostile values in every place a value can take, carried out for real: none is executed, each arrives or is refused.

Three sorts of places. Fields of every step kind (from the registry), on the real shell of this machine. What stands
around a command: who it becomes, its folder, the words of its claim. And a runbook in a `drctl run` of its own, whose
one input stands in scripts, arguments, environment, input, `as`, `on`, loops, ways back and files. That a value was
executed shows in a file that it tries to make; that the values are hostile is counted first.
"""

import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench.measure import ROOT
from drctl.adapters.local import LocalShell
from drctl.core.holdings import LinkError
from drctl.core.kind import FieldError
from drctl.core.ports import Claim, ClaimReply, Command, Reply
from drctl.core.values import Duration
from drctl.errors import DefectError, Exit
from drctl.kinds.file_put import FilePut
from tests.campaign.registry import Figures, cases
from tests.kinds.test_hostile_values import CASES, HOSTILE, Kept, World, canaries, carried_out, made, pasted
from tests.kinds.worlds import Machine

NAME = "injection"
ROWS = ("R11",)
CI_COUNT = 400

DONE = "executed"
CHANGED = "arrived as something else"
SILENT = "refused without a reason"
HARMLESS = "places where no value arrived"

_SUDO = """\
[ "$1 $2" = "-n -u" ] && [ "$4 $5" = "-H --" ] || exit 99
printf '%s' "$3" >>"$HOME/became"
shift 5
exec "$@"
"""
_LIMIT = Duration(20_000_000)
_TAKE = 'printf %s "$X" >"$HOME/got"'


@dataclass(frozen=True, slots=True)
class Case:
    """A place and a value."""

    sort: str
    place: str
    value: str

    def __str__(self) -> str:
        return f"{self.sort} {self.place} {self.value[:60]!r}"


@dataclass(slots=True)
class Here:
    """This machine, in a folder of its own."""

    folder: Path
    machine: Machine
    shell: LocalShell

    @property
    def home(self) -> Path:
        return self.machine.home

    def claim(self, **words: str) -> Claim:
        given = {"key": "k" * 64, "run": "uid-a", "run_id": "7K3QF", "operator": "li", "holder": "SHA256:a"} | words
        return Claim(epoch=1, **given)


# --- around a command -------------------------------------------------------------------------------------------------


def _became(here: Here, value: str, answer: Reply | ClaimReply) -> str | None:
    """The user that sudo was asked for."""
    became = here.home / "became"
    if not became.exists():
        return None if answer.because else ""
    asked = became.read_text()
    return value if asked.replace(value, "") == "" else asked


def look_as(here: Here, value: str) -> str | None:
    return _became(here, value, here.shell.read(Command(script=":", as_user=value, timeout=_LIMIT)))


def act_as(here: Here, value: str) -> str | None:
    answer = here.shell.run(here.claim(), Command(script=":", as_user=value, timeout=_LIMIT))
    here.shell.release(here.claim())
    return _became(here, value, answer)


def staged_as(here: Here, value: str) -> str | None:
    here.shell.stage(here.claim(), [b"x"], value)
    return _became(here, value, Reply(reach=here.shell.read(Command(script=":", timeout=_LIMIT)).reach))


def _claimed(here: Here, word: str, value: str) -> str | None:
    claim = here.claim(**{word: value})
    first = here.shell.run(claim, Command(script=":", timeout=_LIMIT))
    other = here.shell.run(here.claim(key="o" * 64, run="uid-b"), Command(script=":", timeout=_LIMIT))
    here.shell.take(here.claim(key="t" * 64, run="uid-c"), "uid-a")
    here.shell.standing(claim)
    here.shell.release(claim)
    return value if first.reply is not None and (other.because or word == "run") else None


def operator(here: Here, value: str) -> str | None:
    return _claimed(here, "operator", value)


def key(here: Here, value: str) -> str | None:
    return _claimed(here, "key", value)


def uid(here: Here, value: str) -> str | None:
    return _claimed(here, "run", value)


def holder(here: Here, value: str) -> str | None:
    return _claimed(here, "holder", value)


def given_up(here: Here, value: str) -> str | None:
    return value if here.shell.take(here.claim(), value).because is not None else None


def variable(here: Here, value: str) -> str | None:
    here.shell.read(Command(script=_TAKE, env={"X": value}, timeout=_LIMIT))
    return _got(here)


def name_of_variable(here: Here, value: str) -> str | None:
    here.shell.read(Command(script=":", env={value: "x"}, timeout=_LIMIT))
    return value


def given_input(here: Here, value: str) -> str | None:
    here.shell.read(Command(script='cat >"$HOME/got"', stdin=value.encode(), timeout=_LIMIT))
    return _got(here)


def place(here: Here, value: str) -> str | None:
    reply = here.shell.read(Command(script="pwd", cwd=value, timeout=_LIMIT))
    return None if reply.exit else value


def put_and_put_back(here: Here, value: str, **fields: str) -> str | None:
    kind = FilePut(**({"path": "file", "text": "text"} | fields))
    (here.home / "file").write_text("before")
    before = kind.preview(here.machine.probe())
    outputs = kind.execute(here.machine.act())
    back = kind.inverse(before.prior)
    if back is not None:
        back.execute(here.machine.act())
    return value if outputs.values["exit"] == 0 or outputs.because else None


PLACES: Mapping[str, Callable[[Here, str], str | None]] = {
    "as, looking": look_as,
    "as, acting": act_as,
    "as, staging": staged_as,
    "operator": operator,
    "key": key,
    "uid": uid,
    "holder": holder,
    "run given up": given_up,
    "env": variable,
    "name in env": name_of_variable,
    "stdin": given_input,
    "cwd": place,
    "put: path": lambda here, value: put_and_put_back(here, value, path=value),
    "put: text": lambda here, value: put_and_put_back(here, value, text=value),
    "put: mode": lambda here, value: put_and_put_back(here, value, mode=value),
    "put: owner": lambda here, value: put_and_put_back(here, value, owner=value),
}


def _got(here: Here) -> str | None:
    got = here.home / "got"
    return got.read_bytes().decode() if got.exists() else None


# --- a run ------------------------------------------------------------------------------------------------------------

_STEPS = {
    "script": "run: 'printf %s ${{ inputs.x }} >got-script', effect: read",
    "quoted": "run: 'printf %s \"${{ inputs.x }}\" >got-quoted', effect: read",
    "argv": 'do: shell, with: {argv: [sh, -c, \'printf %s "$1" >got-argv\', sh, "${{ inputs.x }}"]}, effect: read',
    "env": 'run: \'printf %s "$X" >got-env\', with: {env: {X: "${{ inputs.x }}"}}, effect: read',
    "stdin": "run: 'cat >got-stdin', with: {stdin: \"${{ inputs.x }}\"}, effect: read",
    "cwd": 'run: pwd, with: {cwd: "${{ inputs.x }}"}, effect: read',
    "as": 'run: "true", on: local, as: "${{ inputs.x }}", effect: read',
    "act-as": 'run: "true", on: local, as: "${{ inputs.x }}", effect: idempotent, undo: {none: a test}',
    "put-path": 'do: file.put, with: {path: "${{ inputs.x }}", text: a}',
    "put-text": 'do: file.put, with: {path: got-put, text: "${{ inputs.x }}"}',
    "put-mode": 'do: file.put, with: {path: file, text: a, mode: "${{ inputs.x }}"}',
    "put-owner": 'do: file.put, with: {path: file, text: b, owner: "${{ inputs.x }}"}',
    "read": 'do: file.read, with: {path: "${{ inputs.x }}"}',
    "kept": 'run: \'printf %s "$X"\', with: {env: {X: "${{ inputs.x }}"}}, effect: read, capture: {c: stdout}',
    "again": "run: 'printf %s ${{ steps.kept.c }} >got-again', effect: read",
    "ways": "run: 'printf %s ${{ inputs.x }} >got-ways', effect: idempotent, "
    "verify: {run: 'printf %s ${{ inputs.x }} >got-verify'}, "
    "undo: {run: 'printf %s ${{ inputs.x }} >got-undo'}, restore: {run: 'printf %s ${{ inputs.x }} >got-restore'}",
}
_SURE = {"got-env", "got-stdin", "got-each"}
"""Where any text may stand."""
_EACH = """
      - id: each
        foreach: {m: "[inputs.x]"}
        run: 'printf %s "$X" >got-each'
        with: {env: {X: "${{ m }}"}}
        effect: read
"""
_HEAD = "runbook: hostile\ninputs: {x: {type: text}}\nphases:\n  - id: all\n    steps:\n"


def whole_run(here: Here, value: str) -> str | None:
    """One run with the value in every place; gives what arrived where it differs."""
    steps = "\n".join(
        f"      - {{id: {name}, {text}, tolerate: [failed, unreachable]}}" for name, text in _STEPS.items()
    )
    (here.folder / "book.yaml").write_text(_HEAD + steps + _EACH)
    (here.folder / "inventory.yaml").write_text("inventory: here\nenvironment: lab\nzone: UTC\n")
    argv = [sys.executable, "-m", "drctl", "--state-dir", str(here.folder / "drctl"), "run", "../book.yaml"]
    done = subprocess.run(
        [*argv, "--inventory", "../inventory.yaml", "--no-live", "-i", f"x={value}"],
        cwd=here.home, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    got = {path.name: path.read_bytes() for path in here.home.glob("got-*")}
    if not got and done.returncode == Exit.USAGE and b"error: " in done.stderr:
        return None  # no such input: too long, or empty
    wrong = {name: data[:60] for name, data in got.items() if data != value.strip().encode()}  # as inputs are read
    if wrong or b"Traceback" in done.stderr or not set(got) >= _SURE:
        return f"exit {done.returncode}, {sorted(got)}, {wrong}, {done.stderr[-500:]!r}"
    return value


# --- the campaign -----------------------------------------------------------------------------------------------------


def _space() -> list[Case]:
    kinds = [Case("kind", f"{name} {field}", value) for name, field in CASES for value in HOSTILE]
    around = [Case("around", name, value) for name in PLACES for value in HOSTILE]
    return [*kinds, *around, *(Case("run", "all", value) for value in HOSTILE if "\0" not in value)]


COUNT = len(CASES) * len(HOSTILE) + len(PLACES) * len(HOSTILE) + len(HOSTILE)


def one(case: Case, folder: Path, patch: pytest.MonkeyPatch, figures: Figures) -> None:
    """Carry a value out in its place; look whether it was executed, and what became of it."""
    here = Here(folder, Machine(folder, patch), LocalShell(folder / "state"))
    patch.chdir(here.home)
    here.machine.program("sudo", _SUDO)
    for name in ("psql", "systemctl", "nginx"):
        here.machine.program(name, "cat >/dev/null 2>&1; exit 0")
    try:
        arrived = _carried(case, here)
    except (FieldError, DefectError, LinkError, ValueError) as error:
        figures.count("refused")
        figures.check(bool(str(error)), SILENT, str(case))
    else:
        figures.count("took it")
        figures.check(arrived in (case.value, None), CHANGED, f"{case}: {str(arrived)[:200]!r}")
        figures.count(HARMLESS, int(arrived is None))
    found = [str(path.relative_to(folder)) for path in canaries(folder)]
    figures.check(not found, DONE, f"{case}: {found}")


def _carried(case: Case, here: Here) -> str | None:
    if case.sort == "kind":
        name, _, field = case.place.partition(" ")
        carried_out(made(name, field, case.value), World(shell=Kept(here.shell)))
        return case.value
    return whole_run(here, case.value) if case.sort == "run" else PLACES[case.place](here, case.value)


def run(count: int, rng: random.Random) -> Figures:
    """So many of all places with all values."""
    figures = Figures()
    for name in (DONE, CHANGED, SILENT, HARMLESS):
        figures.count(name, 0)
    with tempfile.TemporaryDirectory(prefix="drctl-i-") as name:
        figures.count("hostile values", len(HOSTILE))
        figures.count("values that a shell executes", pasted(Path(name)))
        for case in cases(_space(), count, rng, figures):
            with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory(dir=name) as own:
                one(case, Path(own), patch, figures)
    return figures
