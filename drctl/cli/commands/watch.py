"""`drctl watch`: follows a run from another terminal; it only reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from drctl.adapters.clock import SystemClock
from drctl.adapters.journal_reader import follow
from drctl.cli.runs import entry_of, fold_of, in_order, open_state
from drctl.core.fold import RunState
from drctl.core.records import CHECKPOINT

if TYPE_CHECKING:
    from drctl.cli.app import Settings


@click.command()
@click.argument("run_id", metavar="RUN")
@click.pass_obj
def watch(settings: Settings, run_id: str) -> int:
    """Follow a run until it is over or nobody carries it out any more. Ctrl-C leaves the run alone.

    With --output json the story goes to stderr, and where the run then stands to stdout.

    Exit status: the run's own once it is closed or paused; 0 when its process ended without a last word.
    """
    from drctl.reporting.lines import line
    from drctl.reporting.status import status_json

    folder = open_state(settings.state_dir).find(run_id)
    state = RunState()

    def over() -> bool:
        return state.closed is not None or folder.holder() is None

    for record in in_order(follow(folder.journal, over, clock=SystemClock()), folder.journal):
        if record.type == CHECKPOINT:
            continue
        entry = entry_of(record)
        state.apply(entry)
        text = line(entry, state)
        if text:
            click.echo(text, err=settings.output == "json")
    if state.opened is None:
        fold_of(folder)  # says that it never opened
    if settings.output == "json":
        click.echo(status_json(folder.id, state, writing=folder.holder() is not None))
    if state.closed is None:
        click.echo(f"Nobody carries run {folder.id} out now.  next: drctl show {folder.id}", err=True)
        return int(state.paused.exit) if state.paused else 0
    return int(state.closed.exit)
