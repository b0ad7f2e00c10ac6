"""`drctl check`: reads documents only; no network, nothing changed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from drctl.cli.documents import find_inventory, has_errors, read_bytes, show_diagnostics
from drctl.core.diagnostics import Diagnostic, Severity
from drctl.errors import Exit

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
        problems += load_runbook(runbook, read_bytes, registry(), hosts).diagnostics
    wrong = has_errors(problems)
    if settings.output == "json":
        rows = [
            {
                "file": p.where.file, "line": p.where.line, "column": p.where.column, "code": p.code,
                "severity": p.severity.value, "summary": p.summary, "hint": p.hint,
            }
            for p in problems
        ]  # fmt: skip
        click.echo(json.dumps({"ok": not wrong, "diagnostics": rows, "inventory": path}, ensure_ascii=False))
    else:
        show_diagnostics(problems)
        errors = sum(p.severity is Severity.ERROR for p in problems)
        click.echo(f"{', '.join(runbooks)}: {f'{errors} error(s)' if wrong else 'nothing wrong'}")
        if path is None:
            click.echo("No inventory was given or found: hosts, roles, groups, buckets and channels were not checked.")
    return int(Exit.DOCUMENT if wrong else Exit.DONE)
