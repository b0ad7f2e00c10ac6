"""`drctl abort`: closes an open run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from drctl.cli.carrying import carry
from drctl.cli.runs import fold_of, kept, login, now, open_state
from drctl.cli.sessions import resumed
from drctl.errors import UsageError

if TYPE_CHECKING:
    from drctl.cli.app import Settings
    from drctl.core.records import JSON


@click.command()
@click.argument("run_id", metavar="RUN")
@click.option("--reason", required=True, help="Why; it stands in the record.")
@click.option("--as", "person", default="", metavar="PERSON", help="Who says so, as the inventory names them.")
@click.pass_obj
def abort(settings: Settings, run_id: str, reason: str, person: str) -> int:
    """Close an open run: what was suspended is put back, nothing else is done, nothing is undone.

    A run that is being carried out stops after its running step; it is told by its inbox.

    Exit status: 5 closed; 0 kept, and the process that carries the run out closes it; 12 another process has just
    taken it up; 2 it is closed already.
    """
    states = open_state(settings.state_dir)
    folder = states.find(run_id)
    if fold_of(folder).closed is not None:
        raise UsageError(
            f"Run {folder.id} is closed already.", meaning="Nothing was changed.", next=f"drctl show {folder.id}"
        )
    who = person or login()
    if folder.holder() is not None:
        word: dict[str, JSON] = {"by": who, "login": login(), "reason": reason, "given_at": now()}
        folder.inbox.put("abort", word)
        kept(settings, folder, "abort", "it stops after its running step and closes")
        return 0
    return carry(
        settings, lambda watch: resumed(folder, states, watch, login()), wait=None, yes=False, live=False,
        abort=f"{who}: {reason}",
    )  # fmt: skip
