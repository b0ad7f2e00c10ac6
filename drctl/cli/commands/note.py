"""`drctl note`: adds a person's note to the record."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from drctl.cli.runs import fold_of, kept, login, now, open_state
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
    folder.inbox.put("note", {"by": person or login(), "text": text, "given_at": now()})
    when = "now" if folder.holder() is not None else f"by `drctl resume {folder.id}`"
    kept(settings, folder, "the note", f"it is taken into the record {when}")
    return 0
