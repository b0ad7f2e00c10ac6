"""`drctl note`: adds a person's note to the record."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from drctl.cli.wiring import login, open_state

if TYPE_CHECKING:
    from drctl.cli.app import Settings


@click.command()
@click.argument("run_id", metavar="RUN")
@click.argument("text")
@click.option("--as", "person", default="", metavar="PERSON", help="Who says so.")
@click.pass_obj
def note(settings: Settings, run_id: str, text: str, person: str) -> int:
    """Add a note to a run's record. It carries your time and the record's."""
    folder = open_state(settings.state_dir).find(run_id)
    folder.inbox.put("note", {"by": person or login(), "text": text, "given_at": time.time_ns() // 1000})
    when = "now" if folder.holder() is not None else f"by `drctl resume {folder.id}`"
    click.echo(f"Kept; it is taken into the record {when}.", err=True)
    return 0
