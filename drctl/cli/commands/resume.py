"""`drctl resume`: goes on with a paused or crashed run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from drctl.cli.carrying import carry
from drctl.cli.runs import login, open_state
from drctl.cli.sessions import resumed

if TYPE_CHECKING:
    from drctl.cli.app import Settings


@click.command()
@click.argument("run_id", metavar="RUN")
@click.option(
    "--wait", metavar="DURATION", help="Without a terminal, wait this long for each answer instead of pausing at once."
)
@click.option("--yes", is_flag=True, help="Say yes to ordinary prompts; never to one that asks for a name.")
@click.option("--live/--no-live", default=None, help="Live view on a terminal, or plain lines.")
@click.pass_obj
def resume(settings: Settings, run_id: str, wait: str | None, yes: bool, live: bool | None) -> int:
    """Go on with a run from where its journal says it stands; nothing that was done is done again.

    Exit status: as `drctl run`; 12 another process is writing it; 4 it is closed, or never opened.
    """
    states = open_state(settings.state_dir)
    folder = states.find(run_id)
    return carry(settings, lambda watch: resumed(folder, states, watch, login()), wait=wait, yes=yes, live=live)
