"""`drctl takeover`: makes a run the owner of its hosts, in place of a lost or dead writer or run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from drctl.cli.console import Console
from drctl.cli.runs import login, open_state
from drctl.cli.sessions import resumed
from drctl.cli.takeovers import Wanted, foreseen
from drctl.cli.transports import over
from drctl.cli.wiring import Resuming
from drctl.core import events as ev
from drctl.core.ports import ClaimReply, ClaimState
from drctl.errors import Exit, UsageError

if TYPE_CHECKING:
    from drctl.cli.app import Settings
    from drctl.cli.wiring import Session


@click.command()
@click.argument("run_id", metavar="RUN")
@click.option("--reason", required=True, help="Why; it stands in the record.")
@click.option(
    "--from", "given_up", metavar="RUN|UID", default="",
    help="Take the hosts that this other run holds; it is given up and refused there from now on.",
)  # fmt: skip
@click.option("--fork", is_flag=True, help="Go on from this copy of the run although it went on elsewhere.")
@over
@click.pass_obj
def takeover(settings: Settings, run_id: str, reason: str, given_up: str, fork: bool) -> int:
    """Make a run the owner of its hosts again: after its writer died, its folder was copied, or another run is lost.

    The run gets a new key and a higher epoch, and its hosts refuse whoever held it before, for good. It is not gone on
    with: that is `drctl resume RUN`.

    Exit status: 0 taken over, as far as hosts could be reached; 12 a host is held by another run, the run went on
    elsewhere, or a process is carrying it out; 2 no host is held by the run named with --from; 4 it is closed.
    """
    if not reason.strip():
        raise UsageError("The reason is empty.", meaning="Nothing was changed.", next="--reason TEXT")
    states = open_state(settings.state_dir)
    folder = states.find(run_id)
    wanted = Wanted(reason=reason, given_up=given_up, fork=fork, transport=settings.transport)
    console = Console(live=False, color=settings.color, output=settings.output, yes=False)

    how = Resuming(taking=lambda: foreseen(folder, states, login(), wanted), transport=settings.transport)
    with resumed(folder, states, console.watch, login(), how) as session:
        taking = session.taking
        assert taking is not None  # noqa: S101 - it was just made
        told = session.owners().take_over(taking.hosts, taking.given_up, reason)
        _pause(session, reason)
    _tell(settings, folder.id, session, told)
    return int(Exit.LOCKED if any(answer.held_by is not None for answer in told.values()) else Exit.DONE)


def _pause(session: Session, reason: str) -> None:
    """Leave the run as it stood: what it waited for, it waits for still."""
    before = session.state.last_pause
    who = session.parts.context.identity.operator
    because = f"taken over by {who}: {reason}; nobody carries it out yet"
    if before is None or before.reason in {"locked", "replaced"}:
        before = ev.RunPaused(reason="taken_over", because=because)
    session.recorder.write(before, durable=True)


def _tell(settings: Settings, id_: str, session: Session, told: dict[str, ClaimReply]) -> None:
    epoch = session.parts.context.identity.epoch
    rows = {host: {"taken": answer.state is ClaimState.RAN, "because": answer.because} for host, answer in told.items()}
    if settings.output == "json":
        click.echo(json.dumps({"run": id_, "epoch": epoch, "hosts": rows, "next": f"drctl resume {id_}"}))
        return
    click.echo(f"Run {id_} is taken over under epoch {epoch}.", err=True)
    for host, answer in told.items():
        if answer.state is ClaimState.RAN:
            click.echo(
                f"  {host}: its own now" + (f"; {answer.because}: look before acting" * bool(answer.because)), err=True
            )
        elif answer.held_by is not None:
            click.echo(f"  {host}: NOT taken: {answer.because}", err=True)
        else:
            why = "whoever held the run before may still act there until this run reaches it"
            click.echo(f"  {host}: not told ({answer.because}); {why}", err=True)
    click.echo(f"  next: drctl resume {id_}", err=True)
