"""`drctl runs`: lists runs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from drctl.cli.runs import fold_of, open_state
from drctl.errors import DrctlError
from drctl.reporting.status import state_word

if TYPE_CHECKING:
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
    rows = []
    for folder in open_state(settings.state_dir).list():
        try:
            state = fold_of(folder)
        except DrctlError as error:
            rows.append({"id": folder.id, "state": "unreadable", "runbook": "", "opened": "", "because": error.what})
            continue
        said = state_word(state, writing=folder.holder() is not None)
        because = (state.closed.because if state.closed else state.paused.because if state.paused else "") or ""
        rows.append(
            {
                "id": folder.id, "state": said, "runbook": state.opened.runbook if state.opened else "",
                "opened": str(state.opened_at or ""), "because": because,
            }
        )  # fmt: skip
    if settings.output == "json":
        click.echo(json.dumps({"runs": rows}, ensure_ascii=False))
        return 0
    for row in rows:
        click.echo(
            f"{row['id']}  {row['state']:<16} {row['opened']:<28} {row['runbook']:<24} {row['because'][:80]}".rstrip()
        )
    if not rows:
        click.echo("No runs yet.  next: drctl run RUNBOOK --inventory FILE", err=True)
    return 0
