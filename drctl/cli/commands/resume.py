"""`drctl resume`: goes on with a paused or crashed run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from drctl.cli.carrying import carry
from drctl.cli.runs import login, open_state
from drctl.cli.sessions import resumed

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from drctl.cli.app import Settings
    from drctl.cli.wiring import Session
    from drctl.core.fold import Entry


@click.command()
@click.argument("run_id", metavar="RUN")
@click.option(
    "--wait", metavar="DURATION", help="Without a terminal, wait this long for each answer instead of pausing at once."
)
@click.option("--yes", is_flag=True, help="Say yes to ordinary prompts; never to one that asks for a name.")
@click.option("--live/--no-live", default=None, help="Live view on a terminal, or plain lines.")
@click.option("--restore-only", is_flag=True, help="Put back what is suspended, and leave the run paused.")
@click.pass_obj
def resume(settings: Settings, run_id: str, wait: str | None, yes: bool, live: bool | None, restore_only: bool) -> int:
    """Go on with a run from where its journal says it stands; nothing that was done is done again.

    Exit status: as `drctl run`; 12 another process is writing it, another run holds its hosts, or it goes on elsewhere;
    4 it is closed, or never opened. With --restore-only: 6 all is put back, 7 something is not.
    """
    states = open_state(settings.state_dir)
    folder = states.find(run_id)

    def opening(watch: Callable[[Entry], None]) -> AbstractContextManager[Session]:
        return resumed(folder, states, watch, login(), restore_only=restore_only)

    verb = (lambda executor: executor.restore_only()) if restore_only else None
    return carry(settings, opening, wait=wait, yes=yes, live=live, verb=verb)
