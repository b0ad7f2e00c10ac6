"""`drctl show`: where a run stands and what it waits for."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from drctl.cli.wiring import fold_of, open_state
from drctl.core import events as ev

if TYPE_CHECKING:
    from drctl.cli.app import Settings


@click.command()
@click.argument("run_id", metavar="RUN")
@click.option("--question", is_flag=True, help="Only what waits for an answer, as text to pass on.")
@click.pass_obj
def show(settings: Settings, run_id: str, question: bool) -> int:
    """Show where a run stands, what it waits for, and what to type next."""
    from drctl.reporting.status import question_text, status_json, status_text

    folder = open_state(settings.state_dir).find(run_id)
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
    click.echo(
        status_json(folder.id, state, writing=writing)
        if settings.output == "json"
        else status_text(folder.id, state, writing=writing)
    )
    return 0
