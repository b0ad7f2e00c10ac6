"""`drctl resume`: goes on with a paused or crashed run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from drctl.cli.carrying import carry
from drctl.cli.changing import Edited, change_of
from drctl.cli.runs import login, open_state
from drctl.cli.sessions import resumed
from drctl.cli.transports import over
from drctl.cli.wiring import Resuming

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
@click.option(
    "--runbook", "file", metavar="FILE", default="", help="Go on with an edited runbook; what is done must be the same."
)
@click.option("--accept-change", "steps", multiple=True, metavar="STEP", help="A step that differs in it; repeatable.")
@click.option("--reason", default="", help="Why the runbook was changed; it stands in the record.")
@over
@click.pass_obj
def resume(
    settings: Settings, run_id: str, wait: str | None, yes: bool, live: bool | None, restore_only: bool,
    file: str, steps: tuple[str, ...], reason: str,
) -> int:  # fmt: skip
    """Go on with a run from where its journal says it stands; nothing that was done is done again.

    With --runbook the run goes on with an edited runbook. Steps that are over must be as they were; the rest may differ
    in the steps that --accept-change names. Without it the differences are listed, old and new.

    Exit status: as `drctl run`; 12 another process is writing it, another run holds its hosts, or it goes on elsewhere;
    13 the edited runbook differs in what was not accepted, or cannot be; 4 it is closed, or never opened. With
    --restore-only: 6 all is put back, 7 something is not.
    """
    states = open_state(settings.state_dir)
    folder = states.find(run_id)
    edited = Edited(file=file, steps=steps, reason=reason)
    changing = (lambda: change_of(folder, edited)) if file else None

    def opening(watch: Callable[[Entry], None]) -> AbstractContextManager[Session]:
        how = Resuming(changing=changing, restore_only=restore_only, transport=settings.transport)
        return resumed(folder, states, watch, login(), how)

    verb = (lambda executor: executor.restore_only()) if restore_only else None
    return carry(settings, opening, wait=wait, yes=yes, live=live, verb=verb)
