"""`drctl note`: adds a person's note to the record."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from drctl.cli.runs import fold_of, open_state
from drctl.cli.words import Word, by, leave
from drctl.errors import UsageError

if TYPE_CHECKING:
    from drctl.cli.app import Settings


@click.command()
@click.argument("run_id", metavar="RUN")
@click.argument("text")
@click.option("--as", "person", default="", metavar="PERSON", help="Who says so.")
@click.pass_obj
def note(settings: Settings, run_id: str, text: str, person: str) -> int:
    """Add a note to a run's record. It carries your time and the record's.

    Exit status: 0 kept; 2 the run is closed, and its record is never written again.
    """
    folder = open_state(settings.state_dir).find(run_id)
    if fold_of(folder).closed is not None:
        raise UsageError(
            f"Run {folder.id} is closed; its record takes no more notes.", meaning="Nothing was kept.",
            next=f"drctl report {folder.id}",
        )  # fmt: skip
    if not text.strip():
        raise UsageError("The note is empty.", meaning="Nothing was kept.", next=f"drctl note {folder.id} TEXT")
    return leave(settings, folder, Word(kind="note", said="the note", content={**by(person), "text": text}))
