"""Language: long runbooks read, checked and planned, against what readers of YAML alone take for the same text.

Units: CPU and wall milliseconds, of whole processes and of single loads in one warm process. The package is copied and
its bytecode compiled, as the bootstrap leaves it; the notes say so. `plan` is `plan --no-live-reads`: the document is
loaded, checked and frozen, every step gets its row, and no target is asked. The peers of a process do less than drctl:
they make plain maps and lists of the text, or start and do nothing.

Goals: 10,000 lines planned in 1 s of CPU; 300 lines checked or planned within 150 ms of wall time; `--help` within
120 ms of CPU of a bare interpreter. A goal is compared with the least of all rounds, since other work on the machine
only ever adds.
"""

import gc
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import yaml

from bench.long_runbook import INVENTORY, long_runbook
from bench.measure import Report, Sample, Subject, interleaved, whole_process, with_bytecode
from bench.startup import compiled_copy
from drctl.core.inventory import Inventory
from drctl.kinds import registry
from drctl.loading import load_inventory, load_runbook
from drctl.loading.codes import Problems
from drctl.loading.nodes import Mapping, Node, Sequence
from drctl.loading.schema import runbook_schema
from drctl.loading.yaml_nodes import MAX_BYTES, MAX_NODES, compose

NAME = "language"
ROUNDS = 7
LONG, SHORT = 10_000, 300
_PLAN = ("plan", "--no-live-reads")
_YAML = "import yaml; yaml.load(open({file!r}, 'rb').read(), Loader=yaml.{loader})"
_BARE = "python -c pass"


def run(*, small: bool, rounds: int) -> Report:
    """Measure; small takes one short runbook."""
    report = Report()
    inventory = _inventory()
    with tempfile.TemporaryDirectory() as folder:
        tree = compiled_copy(Path(folder, "tree"))
        report.notes.append(f"drctl: {with_bytecode((tree / 'drctl').rglob('*.py'))} source files have bytecode")
        Path(folder, "inventory.yaml").write_text(INVENTORY, encoding="utf-8")
        for lines in (SHORT,) if small else (SHORT, LONG):
            text = long_runbook(lines)
            report.notes.append(_measures(text))
            file = Path(folder, f"runbook-{lines}.yaml")
            file.write_text(text, encoding="utf-8")
            report.rows += interleaved(f"{lines:,} lines, whole process", _processes(tree, file), rounds)
            loads = _loads(text.encode(), inventory, pure=lines == SHORT or rounds > 1)
            report.rows += interleaved(f"{lines:,} lines, one load in a warm process", loads, rounds)
    _missing(report)
    _goals(report)
    return report


def _inventory() -> Inventory:
    loaded = load_inventory("inventory.yaml", lambda _: INVENTORY.encode())
    if loaded.value is None or loaded.diagnostics:
        raise RuntimeError(f"the inventory of the bench is not clean: {loaded.diagnostics[:3]}")
    return loaded.value


def _measures(text: str) -> str:
    """How large a text is beside what the loader takes at most."""
    root, lines, size = compose(text.encode(), "x.yaml", Problems()), text.count("\n"), len(text.encode())
    nodes = _nodes(root) if root is not None else 0
    share = f"{size / MAX_BYTES:.0%} of the bytes and {nodes / MAX_NODES:.0%} of the nodes a document may have"
    return f"{lines:,} lines: {size:,} bytes, {nodes:,} nodes; {share}"


def _nodes(node: Node) -> int:
    match node:
        case Mapping(entries=entries):
            return 1 + sum(1 + _nodes(entry.value) for entry in entries)
        case Sequence(items=items):
            return 1 + sum(map(_nodes, items))
        case _:
            return 1


def _processes(tree: Path, file: Path) -> list[Subject]:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("DRCTL_", "PYTHON"))}
    env |= {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1", "DRCTL_STATE": str(tree / "state")}
    env |= {"DRCTL_INVENTORY": str(file.parent / "inventory.yaml")}

    def subject(name: str, *words: str, peer: bool = False) -> Subject:
        def sample() -> Sample:
            return whole_process([sys.executable, *words], env=env, cwd=tree)

        return Subject(name=name, run=sample, peer=peer)

    peers = [subject(_BARE, "-c", "pass", peer=True)]
    for loader in ("CSafeLoader", "SafeLoader"):
        code = _YAML.format(file=str(file), loader=loader)
        peers.append(subject(f"python with yaml.{loader}", "-c", code, peer=True))
    if shutil.which("ansible-playbook"):  # a playbook of its own: a runbook is none
        book = file.with_suffix(".playbook.yaml")
        book.write_text(_playbook(file.read_text(encoding="utf-8").count("\n")), encoding="utf-8")
        check = "import os, sys; os.execvp('ansible-playbook', ['ansible-playbook', '--syntax-check', sys.argv[1]])"
        peers.append(subject("ansible-playbook --syntax-check", "-c", check, str(book), peer=True))
    return [
        subject("drctl check", "-m", "drctl", "check", str(file)),
        subject("drctl plan --no-live-reads", "-m", "drctl", *_PLAN, str(file)),
        subject("drctl --help", "-m", "drctl", "--help"),
        *peers,
    ]


def _playbook(lines: int) -> str:
    task = (
        "    - name: Task {n}\n      ansible.builtin.command: echo {n}\n"
        "      register: r{n}\n      when: inventory_hostname != 'x'\n"
    )
    return "- hosts: localhost\n  gather_facts: false\n  tasks:\n" + "".join(
        task.format(n=n) for n in range(lines // 4)
    )


def _loads(data: bytes, inventory: Inventory, *, pure: bool) -> list[Subject]:
    kinds = registry()

    def ours() -> None:
        found = load_runbook("x.yaml", lambda _: data, kinds, inventory).diagnostics
        if found:  # a refused runbook is quick for the wrong reason
            raise RuntimeError(f"the generated runbook is not clean: {found[:3]}")

    subjects = [
        Subject(name="drctl load and check", run=lambda: _timed(ours)),
        Subject(name="yaml.CSafeLoader", run=lambda: _timed(lambda: _plain(data, yaml.CSafeLoader)), peer=True),
    ]
    if pure:
        slow = Subject(name="yaml.SafeLoader", run=lambda: _timed(lambda: _plain(data, yaml.SafeLoader)), peer=True)
        subjects.append(slow)
    try:
        from jsonschema import Draft202012Validator  # noqa: PLC0415 - a peer that may be missing
    except ModuleNotFoundError:
        return subjects
    validator, plain = Draft202012Validator(runbook_schema(kinds)), _plain(data, _Core)

    def by_schema() -> None:
        if not validator.is_valid(plain):
            raise RuntimeError("the generated runbook is not valid by the schema")

    return [*subjects, Subject(name="jsonschema", run=lambda: _timed(by_schema), peer=True)]


class _Core(yaml.CSafeLoader):
    """Reads `on` as the text it is: PyYAML follows YAML 1.1, in which it is true."""


_Core.yaml_implicit_resolvers = {
    first: rules for first, rules in yaml.CSafeLoader.yaml_implicit_resolvers.items() if first not in "oOyYnN"
}


def _plain(data: bytes, loader: type[yaml.CSafeLoader | yaml.SafeLoader]) -> object:
    return yaml.load(data, Loader=loader)  # noqa: S506 - both loaders are safe ones


def _timed(work: Callable[[], object]) -> Sample:
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return {"CPU ms": (time.process_time() - cpu) * 1e3, "wall ms": (time.perf_counter() - wall) * 1e3}


def _missing(report: Report) -> None:
    if not shutil.which("ansible-playbook"):
        report.missing.append("ansible-playbook --syntax-check: it is not installed")
    if not any(row.name == "jsonschema" for row in report.rows):
        report.missing.append("jsonschema: it is not installed")


def _goals(report: Report) -> None:
    """Say of each goal what was measured; how fast a busy machine is, breaks nothing."""
    least = {(row.group, row.name, row.unit): min(row.values) for row in report.rows}
    short, long = (f"{lines:,} lines, whole process" for lines in (SHORT, LONG))
    bare = least[short, _BARE, "CPU ms"]
    wanted = [
        (short, "drctl check", "wall ms", 150.0, 0.0),
        (short, "drctl plan --no-live-reads", "wall ms", 150.0, 0.0),
        (short, "drctl --help", "CPU ms", 120.0, bare),
        (long, "drctl plan --no-live-reads", "CPU ms", 1000.0, 0.0),
    ]
    for group, name, unit, most, less in wanted:
        if (group, name, unit) in least:
            found = least[group, name, unit] - less
            met = "met" if found <= most else "not met"
            over = " beyond a bare interpreter" if less else ""
            report.notes.append(f"goal {met}: {name}, {group}: {found:.0f} of {most:.0f} {unit}{over}")
