"""`drctl show`: where a run stands and what it waits for."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from drctl.cli.commands.audit import judge_file
from drctl.cli.owed import open_restores
from drctl.cli.runs import fold_of, open_state
from drctl.core import events as ev
from drctl.errors import Exit

if TYPE_CHECKING:
    from drctl.adapters.statedir import RunFolder
    from drctl.cli.app import Settings


@click.command()
@click.argument("run_id", metavar="RUN")
@click.option("--question", is_flag=True, help="Only what waits for an answer, as text to pass on.")
@click.pass_obj
def show(settings: Settings, run_id: str, question: bool) -> int:
    """Show where a run stands, what it waits for, and what to type next.

    Exit status: 0; 20 or 21 when the record is not whole, and what is shown cannot be trusted.
    """
    from drctl.reporting.status import question_text, status_json, status_text

    states = open_state(settings.state_dir)
    folder = states.find(run_id)
    state = fold_of(folder)
    if question:
        waiting = [q.asked for q in state.open_questions]
        if settings.output == "json":
            click.echo(json.dumps({"run": folder.id, "questions": [ev.encode(q) for q in waiting]}, ensure_ascii=False))
        else:
            click.echo(
                "\n\n".join(question_text(folder.id, q) for q in waiting) or f"Run {folder.id} waits for nobody."
            )
        return 0
    writing = folder.holder() is not None
    said = status_json if settings.output == "json" else status_text
    click.echo(said(folder.id, state, writing=writing, owed=open_restores(folder, state)))
    return _whole(folder)


def _whole(folder: RunFolder) -> int:
    """Say so when the record behind the screen was changed; a run that is just being written is judged as well."""
    found = judge_file(folder.journal)
    if found.verdict.exit not in {Exit.AUDIT_NOT_INTACT, Exit.AUDIT_TRUNCATED, Exit.AUDIT_RULE_VIOLATED}:
        return 0
    click.echo(f"NOT TRUSTWORTHY: the record of run {folder.id} is {found.verdict.value}.", err=True)
    click.echo(f"  next: drctl audit verify {folder.id}", err=True)
    return int(found.verdict.exit)
