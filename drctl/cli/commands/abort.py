"""`drctl abort`: closes an open run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from drctl.cli.carrying import carry
from drctl.cli.runs import fold_of, login, open_state
from drctl.cli.sessions import resumed
from drctl.cli.transports import over
from drctl.cli.wiring import Resuming
from drctl.cli.words import Word, by, leave, refuse_closed

if TYPE_CHECKING:
    from drctl.cli.app import Settings


@click.command()
@click.argument("run_id", metavar="RUN")
@click.option("--reason", required=True, help="Why; it stands in the record.")
@click.option("--as", "person", default="", metavar="PERSON", help="Who says so, as the inventory names them.")
@over
@click.pass_obj
def abort(settings: Settings, run_id: str, reason: str, person: str) -> int:
    """Close an open run: what was suspended is put back, nothing else is done, nothing is undone.

    A run that is being carried out stops after its running step; it is told by its inbox.

    Exit status: 5 closed; 9 closed in the middle of a rollback; 0 the process that carries the run out closes it; 4 it
    refused, since it is closing already; 12 another process has just taken it up; 2 it is closed already.
    """
    states = open_state(settings.state_dir)
    folder = states.find(run_id)
    refuse_closed(folder, fold_of(folder))
    who = person or login()
    if folder.holder() is not None:
        content = {**by(person), "reason": reason}
        then = "it stops after its running step and closes"
        return leave(settings, folder, Word(kind="abort", said="abort", content=content, then=then, ends=True))
    how = Resuming(transport=settings.transport)
    return carry(
        settings, lambda watch: resumed(folder, states, watch, login(), how), wait=None, yes=False, live=False,
        unattended=True, verb=lambda executor: executor.abort(f"{who}: {reason}"),
    )  # fmt: skip
