"""`drctl pause`: stops a run that is being carried out, after its running step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from drctl.cli.runs import fold_of, open_state
from drctl.cli.words import Word, by, leave, refuse_closed, stands
from drctl.errors import RefusedError

if TYPE_CHECKING:
    from drctl.cli.app import Settings


@click.command()
@click.argument("run_id", metavar="RUN")
@click.option("--reason", default="", help="Why; it stands in the record.")
@click.option("--as", "person", default="", metavar="PERSON", help="Who says so, as the inventory names them.")
@click.pass_obj
def pause(settings: Settings, run_id: str, reason: str, person: str) -> int:
    """Let a run stop after its running step; it stays open, and `drctl resume` goes on with it.

    Exit status: 0 it is paused, or will be after the running step; 4 nobody carries it out, or it was told already;
    2 it is closed.
    """
    folder = open_state(settings.state_dir).find(run_id)
    state = fold_of(folder)
    refuse_closed(folder, state)
    if folder.holder() is None:
        raise RefusedError(
            f"Nobody carries run {folder.id} out, so there is nothing to pause.", where=f"run {folder.id}",
            meaning=f"Nothing was said to the run; {stands(folder, state)}.",
            next=f"drctl resume {folder.id}   (or drctl abort {folder.id} --reason TEXT)",
        )  # fmt: skip
    word = Word(
        kind="pause", said="pause", content={**by(person), "reason": reason}, then="it stops after its running step",
        ends=True,
    )  # fmt: skip
    return leave(settings, folder, word)
