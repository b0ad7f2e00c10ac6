"""Finds and loads documents for the commands: the runbook, the inventory, the inputs."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from drctl.core.diagnostics import Diagnostic, Severity
from drctl.core.nouns import dataclass
from drctl.errors import DocumentError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from drctl.core.inventory import Inventory
    from drctl.core.model import Runbook

SOURCES: dict[str, bytes] = {}
MOST_BYTES: Final = 16 * 1024 * 1024
"""Bytes of one file that a runbook names: four for each character of all that it may include."""


def read_bytes(path: str) -> bytes:
    """Read a file for the loader, and keep it for the snippets of its diagnostics."""
    try:
        data = _place(path).read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise UsageError(
            f"It cannot be read: {getattr(error, 'strerror', error)}.",
            where=path or "''",
            meaning="Nothing was changed.",
            next="check the name",
        ) from error
    SOURCES[path] = data
    return data


def _place(path: str) -> Path:
    """Where a document lies; the SSH configuration in the home of whoever calls, whatever folder it is asked for in."""
    return Path("~/.ssh/config").expanduser() if path.endswith("~/.ssh/config") else Path(path)


def _regular(name: str) -> bytes:
    """The bytes of a regular file: a pipe that nobody writes to is waited for, and /dev/zero has no end.

    Raises:
        OSError: it is none, cannot be read, or is longer than all that may be included.
    """
    with open(name, "rb", opener=lambda path, flags: os.open(path, flags | os.O_NONBLOCK)) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError("it is no regular file")
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise OSError(f"it has more than {MOST_BYTES:,} bytes")
    return data


def reader_of(path: str) -> Callable[[str], bytes]:
    """How the loader reads a runbook: the file itself as `read_bytes` does; one that it includes raises OSError.

    The loader reports the latter at the place that names the file.
    """

    def read(name: str) -> bytes:
        if name == path:
            return read_bytes(name)
        SOURCES[name] = _regular(name)
        return SOURCES[name]

    return read


def find_inventory(flag: str | None) -> str | None:
    """Where the inventory is: `--inventory`, DRCTL_INVENTORY, or inventory.yaml here; None when there is none."""
    if flag:
        return flag
    named = os.environ.get("DRCTL_INVENTORY")
    if named:
        return named
    return "inventory.yaml" if Path("inventory.yaml").is_file() else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Documents:
    """The runbook and the inventory that a command is about, loaded, and where they stand."""

    runbook_path: str
    inventory_path: str
    runbook: Runbook
    inventory: Inventory


def asked(runbook_path: str, inventory: str | None) -> Documents:
    """The documents that a command line asks for; `inventory` is its flag.

    Raises:
        UsageError: there is no inventory, or a file cannot be read. DocumentError: something is wrong.
    """
    path = find_inventory(inventory)
    if path is None:
        raise UsageError(
            "There is no inventory: no --inventory, no DRCTL_INVENTORY, no inventory.yaml in this folder.",
            meaning="Nothing was changed.", next="add --inventory FILE; `drctl new inventory` writes one to begin with",
        )  # fmt: skip
    runbook, hosts = load_documents(runbook_path, path)
    assert hosts is not None  # noqa: S101 - it was given
    return Documents(runbook_path=runbook_path, inventory_path=path, runbook=runbook, inventory=hosts)


def load_documents(runbook_path: str, inventory_path: str | None) -> tuple[Runbook, Inventory | None]:
    """Load the runbook, and the inventory where there is one, with every problem at once; warnings are printed.

    Raises:
        DocumentError: something is wrong.
    """
    from drctl.kinds import registry
    from drctl.loading import load_inventory, load_runbook

    inventory = load_inventory(inventory_path, read_bytes) if inventory_path is not None else None
    hosts = inventory.value if inventory is not None else None
    runbook = load_runbook(runbook_path, reader_of(runbook_path), registry(), hosts)
    problems = (*(inventory.diagnostics if inventory is not None else ()), *runbook.diagnostics)
    wrong = [runbook_path] if runbook.value is None else []
    if inventory is not None and inventory_path is not None and hosts is None:
        wrong.append(inventory_path)
    if runbook.value is None or wrong:
        with_ = f" --inventory {inventory_path}" if inventory_path is not None else ""
        raise DocumentError(
            "The document is wrong.", problems, where=", ".join(wrong),
            next=f"mend it, then: drctl check {runbook_path}{with_}",
        )  # fmt: skip
    show_diagnostics(problems)
    return runbook.value, hosts


def show_diagnostics(problems: Sequence[Diagnostic]) -> None:
    """Print diagnostics with their line of the document, in order."""
    from drctl.loading import render

    for problem in problems:
        click.echo(render(problem, _source(problem)), err=True)


def diagnostic_rows(problems: Sequence[Diagnostic]) -> list[dict[str, object]]:
    """Diagnostics for machines; `snippet` is what people see of the line, with the caret on a line of its own."""
    from drctl.loading import snippet

    return [
        {
            "file": p.where.file, "line": p.where.line, "column": p.where.column, "code": p.code,
            "severity": p.severity.value, "summary": p.summary, "hint": p.hint,
            "snippet": "\n".join(snippet(p, _source(p))),
        }
        for p in problems
    ]  # fmt: skip


def _source(problem: Diagnostic) -> str:
    return SOURCES.get(problem.where.file, b"").decode("utf-8", "replace")


def has_errors(problems: Sequence[Diagnostic]) -> bool:
    """Whether any of them refuses the document."""
    return any(problem.severity is Severity.ERROR for problem in problems)
