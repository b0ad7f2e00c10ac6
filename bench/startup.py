"""Start-up: whole processes of light commands against a bare Python and one that imports click and yaml.

Unit: milliseconds, wall and CPU (user and system of the process, from the kernel). The package is copied, once with
bytecode and once without, as a first start after an installation without compiling finds it; nothing writes any. The
standard library and the installed packages are as they are found (see the conditions). `python -m drctl` stands for
`drctl`; `runs` lists an empty state folder, `check` reads the runbook that comes with drctl.
"""

import compileall
import os
import shutil
import sys
import tempfile
from pathlib import Path

from bench.measure import ROOT, Report, Sample, Subject, interleaved, whole_process, with_bytecode

NAME = "start-up"
ROUNDS = 15
COMMANDS = {
    "drctl --help": ("--help",),
    "drctl check": ("check", str(ROOT / "runbooks" / "invoice-outage.yaml")),
    "drctl runs": ("runs",),
    "drctl kinds": ("kinds",),
}
PEERS = {"python -c pass": "pass", "python -c 'import click, yaml'": "import click, yaml"}


def run(*, small: bool, rounds: int) -> Report:
    """Measure; small takes one command only."""
    report = Report()
    commands = dict(list(COMMANDS.items())[: 1 if small else None])
    with tempfile.TemporaryDirectory() as folder:
        for kept in (True, False):
            tree = compiled_copy(Path(folder, "with" if kept else "without"), kept=kept)
            group = f"drctl {'with' if kept else 'without'} bytecode"
            subjects = [_subject(tree, name, ("-m", "drctl", *words)) for name, words in commands.items()]
            subjects += [_subject(tree, name, ("-c", code), peer=True) for name, code in PEERS.items()]
            report.rows += interleaved(group, subjects, rounds)
            report.notes.append(f"{group}: {with_bytecode((tree / 'drctl').rglob('*.py'))} files have it")
    return report


def compiled_copy(tree: Path, *, kept: bool = True) -> Path:
    """Copy the package, with its bytecode as the bootstrap compiles it, or with none."""
    shutil.copytree(ROOT / "drctl", tree / "drctl", ignore=shutil.ignore_patterns("__pycache__"))
    if kept:
        compileall.compile_dir(tree / "drctl", quiet=2)
    env = _environment(tree)
    check = f"import drctl, sys; sys.exit(0 if drctl.__file__.startswith({str(tree)!r}) else drctl.__file__)"
    whole_process([sys.executable, "-c", check], env=env, cwd=tree)
    return tree


def _environment(tree: Path) -> dict[str, str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("DRCTL_", "PYTHON"))}
    return env | {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1", "DRCTL_STATE": str(tree / "state")}


def _subject(tree: Path, name: str, words: tuple[str, ...], *, peer: bool = False) -> Subject:
    env = _environment(tree)

    def sample() -> Sample:
        return whole_process([sys.executable, *words], env=env, cwd=tree)

    return Subject(name=name, run=sample, peer=peer)
