"""`drctl runs`: lists runs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from drctl.cli.owed import open_restores
from drctl.cli.runs import fold_of, open_state
from drctl.errors import DrctlError
from drctl.reporting.status import state_word

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drctl.cli.app import Settings


@click.group(invoke_without_command=True)
@click.pass_context
def runs(ctx: click.Context) -> int:
    """List runs (the same as `runs list`)."""
    return int(ctx.invoke(list_)) if ctx.invoked_subcommand is None else 0


@runs.command("list")
@click.pass_obj
def list_(settings: Settings) -> int:
    """List every run of this state folder, oldest first."""
    rows: list[dict[str, Any]] = []
    states = open_state(settings.state_dir)
    for folder in states.list():
        try:
            state = fold_of(folder)
        except DrctlError as error:
            rows.append(
                {
                    "id": folder.id,
                    "state": "unreadable",
                    "runbook": "",
                    "opened": "",
                    "open_restores": None,
                    "because": error.what,
                }
            )
            continue
        said = state_word(state, writing=folder.holder() is not None)
        owed = open_restores(folder, state)
        because = (state.closed.because if state.closed else state.paused.because if state.paused else "") or ""
        rows.append(
            {
                "id": folder.id, "state": said, "runbook": state.opened.runbook if state.opened else "",
                "opened": str(state.opened_at or ""), "open_restores": len(owed) if owed is not None else None,
                "because": because,
            }
        )  # fmt: skip
    if settings.output == "json":
        click.echo(json.dumps({"runs": rows}, ensure_ascii=False))
        return 0
    for row in rows:
        click.echo(_line(row))
    if not rows:
        click.echo("No runs yet.  next: drctl run RUNBOOK --inventory FILE", err=True)
    return 0


def _line(row: Mapping[str, Any]) -> str:
    """One run; the column before the reason counts what is still to be put back."""
    owed = row["open_restores"]
    back = "?" if owed is None else f"{owed} to restore" if owed else ""
    line = f"{row['id']}  {row['state']:<16} {row['opened']:<28} {row['runbook']:<24} {back:<13} {row['because'][:80]}"
    return line.rstrip()
