"""`drctl rollback`: takes back what an open run did, all of it or down to a step."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from drctl.cli.carrying import carry
from drctl.cli.runs import fold_of, login, open_state
from drctl.cli.sessions import resumed
from drctl.cli.transports import over
from drctl.cli.wiring import Resuming
from drctl.cli.words import Word, by, leave, refuse_closed
from drctl.errors import RefusedError, UsageError

if TYPE_CHECKING:
    from drctl.adapters.statedir import RunFolder
    from drctl.cli.app import Settings
    from drctl.core.fold import RunState


@click.command()
@click.argument("run_id", metavar="RUN")
@click.option("--to", "to", default="", metavar="STEP", help="Go back to before this step, and stay open there.")
@click.option("--reason", default="", help="Why; it stands in the record.")
@click.option("--as", "person", default="", metavar="PERSON", help="Who says so, as the inventory names them.")
@click.option("--show", "only_show", is_flag=True, help="Only say what would be taken back, what not, and why.")
@over
@click.pass_obj
def rollback(settings: Settings, run_id: str, to: str, reason: str, person: str, only_show: bool) -> int:
    """Take back what an open run did, newest first, down to the point of no return, and close it.

    With --to STEP, what STEP and the steps after it did is taken back, and the run stays open and paused right before
    STEP: `drctl resume` does it again. A run that is being carried out is told by its inbox.

    Exit status: 8 rolled back and closed; 6 it stands before STEP; 9 half undone, or an undo failed and a person is
    needed; 10 a step is in doubt: resolve it first; 4 refused, nothing was changed; 0 shown, or kept; 2 it is closed.
    """
    states = open_state(settings.state_dir)
    folder = states.find(run_id)
    state = fold_of(folder)
    refuse_closed(folder, state)
    if only_show:
        return _show(settings, folder, state, to)
    if not reason.strip():
        raise UsageError(
            "A rollback needs a reason.", meaning="Nothing was changed.",
            next=f"drctl rollback {folder.id}{f' --to {to}' if to else ''} --reason TEXT",
        )  # fmt: skip
    if folder.holder() is not None:
        content = {**by(person), "reason": reason, "to": to}
        then = "it stops after its running step and goes back"
        return leave(settings, folder, Word(kind="rollback", said="rollback", content=content, then=then, ends=True))
    who = person or login()
    how = Resuming(transport=settings.transport)
    return carry(
        settings, lambda watch: resumed(folder, states, watch, login(), how), wait=None, yes=False, live=None,
        verb=lambda executor: executor.roll_back(to, reason, who),
    )  # fmt: skip


def _show(settings: Settings, folder: RunFolder, state: RunState, to: str) -> int:
    """Say what a rollback would do, from the record alone.

    Raises:
        RefusedError: there can be none.
    """
    from drctl.cli.wiring import documents_of_run
    from drctl.engine.dues import Dues
    from drctl.engine.rollback import Later, address
    from drctl.engine.verbs import WordError

    context = documents_of_run(folder, state)
    dues = Dues(context)
    try:
        path = address(context, dues, to)
    except WordError as error:
        raise RefusedError(
            f"There can be no rollback: {error}.", where=f"run {folder.id}", meaning="Nothing was changed.",
            next=f"drctl show {folder.id}",
        ) from error  # fmt: skip
    outlook = dues.outlook(Later(context, path) if path else lambda _: True)
    if settings.output == "json":
        document = {"run": folder.id, "to": path, "back": outlook.back, "kept": outlook.kept, "cut": outlook.cut}
        click.echo(json.dumps(document, ensure_ascii=False))
        return 0
    then = f"The run then stands before {path}." if path else "The run is then closed."
    click.echo(f"A rollback {outlook}.\n{then}")
    return 0
