"""`drctl check`: reads documents only; no network, nothing changed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from drctl.cli.documents import diagnostic_rows, find_inventory, has_errors, read_bytes, reader_of, show_diagnostics
from drctl.core.diagnostics import Diagnostic, Severity
from drctl.errors import Exit
from drctl.reporting.texts import clean, count

if TYPE_CHECKING:
    from drctl.cli.app import Settings


@click.command()
@click.argument("runbooks", nargs=-1, required=True, metavar="RUNBOOK...")
@click.option("--inventory", metavar="FILE", help="Inventory (else DRCTL_INVENTORY, else inventory.yaml here).")
@click.pass_obj
def check(settings: Settings, runbooks: tuple[str, ...], inventory: str | None) -> int:
    """Read runbooks and the inventory and say everything that is wrong, with file:line:column.

    Exit status: 0 nothing wrong, 3 something is, 2 a file cannot be read.
    """
    from drctl.kinds import registry
    from drctl.loading import load_inventory, load_runbook

    path = find_inventory(inventory)
    problems: list[Diagnostic] = []
    hosts = None
    if path is not None:
        loaded = load_inventory(path, read_bytes)
        problems += loaded.diagnostics
        hosts = loaded.value
    for runbook in runbooks:
        problems += load_runbook(runbook, reader_of(runbook), registry(), hosts).diagnostics
    wrong = has_errors(problems)
    if settings.output == "json":
        found = {"ok": not wrong, "diagnostics": diagnostic_rows(problems), "inventory": path}
        click.echo(json.dumps(found, ensure_ascii=False))
    else:
        show_diagnostics(problems)
        for file in dict.fromkeys([*([path] if path else []), *runbooks, *(p.where.file for p in problems)]):
            errors = sum(p.severity is Severity.ERROR and p.where.file == file for p in problems)
            click.echo(f"{clean(file)}: {count(errors, 'error') if errors else 'nothing wrong'}")
        if problems:
            first = next((p for p in problems if p.severity is Severity.ERROR), problems[0])
            click.echo(f"drctl explain {first.code} says more.", err=True)
        if path is None:
            click.echo("No inventory was given or found: hosts, roles, groups, buckets and channels were not checked.")
    return int(Exit.DOCUMENT if wrong else Exit.DONE)
