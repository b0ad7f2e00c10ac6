"""`drctl exec`: a command by hand, under the supervision of an open run and in its record."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import click

from drctl.cli.carrying import signals_of
from drctl.cli.runs import fold_of, login, open_state
from drctl.cli.sessions import resumed
from drctl.cli.transports import over
from drctl.cli.wiring import Resuming
from drctl.core.encoding import to_json
from drctl.core.values import Duration, Unknown
from drctl.engine.outputs import unpack
from drctl.errors import Exit, LockedError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from drctl.adapters.statedir import RunFolder
    from drctl.cli.app import Settings
    from drctl.core import events as ev
    from drctl.engine.outputs import Store

_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}\$?")


@click.command(name="exec", context_settings={"ignore_unknown_options": True})
@click.argument("run_id", metavar="RUN")
@click.option("--on", "selector", required=True, metavar="HOSTS", help="Hosts, roles or groups, with commas; or local.")
@click.option("--reason", required=True, help="Why it is done outside the runbook; it stands in the record.")
@click.option("--user", default="", metavar="USER", help="The user it works as there; else the login user.")
@click.option("--timeout", default="10m", show_default=True, help="Limit on each host; then it is ended.")
@click.option("--as", "person", default="", metavar="PERSON", help="Who says so, as the inventory names them.")
@click.argument("argv", metavar="-- COMMAND...", nargs=-1, required=True, type=click.UNPROCESSED)
@over
@click.pass_obj
def exec_(
    settings: Settings, run_id: str, selector: str, reason: str, user: str, timeout: str, person: str,
    argv: tuple[str, ...],
) -> int:  # fmt: skip
    """Do something by hand on hosts of an open run, under its claims, limits and masks, and in its record.

    It is kept as a deviation with its reason; the run ends with exceptions then, and a rollback does not take it
    back. A program and its arguments are given, not a line of shell; for a line: -- sh -c 'LINE'.

    Exit status: 0 done on every host; 7 it failed on one; 10 begun on one, its end unknown; 2 the run is closed, or
    a name is not known; 4 a host is fenced; 12 a process carries the run out now.
    """
    from drctl.engine.byhand import ByHand, Order, chosen

    states = open_state(settings.state_dir)
    folder = states.find(run_id)
    before = fold_of(folder)
    limit = _checked(folder.id, reason, timeout, user)
    if before.closed is not None:
        raise UsageError(
            f"Run {folder.id} is closed; its record takes no more acts.", meaning="Nothing was done.",
            next="do it by another run, or in your own terminal",
        )  # fmt: skip
    if folder.holder() is not None:
        raise LockedError(
            f"Run {folder.id} is being carried out by a process now, and only one may act for it.",
            where=str(folder.path), meaning="Nothing was done.",
            next=f"stop it there by Ctrl-C, say this again, then: drctl resume {folder.id}",
        )  # fmt: skip
    with resumed(folder, states, lambda _: None, login(), Resuming(transport=settings.transport)) as session:
        context = session.parts.context
        hand = ByHand(context, session.recorder, session.parts.world, session.control, session.pen())
        try:
            hosts = chosen(selector, context.inventory)
            order = Order(argv=argv, hosts=hosts, by=person or login(), reason=reason, timeout=limit, user=user)
            with signals_of(session, lambda text: click.echo(text, err=True)):
                ends = hand.carry_out(order)
        finally:
            if before.paused is not None:  # what it waited for, it still waits for
                session.recorder.write(before.paused, durable=True)
    _show(settings, folder, ends)
    outcomes = {end.outcome for end in ends}
    if "in_doubt" in outcomes or not all(end.final for end in ends):
        return int(Exit.IN_DOUBT)
    return int(Exit.DONE if outcomes == {"ok"} else Exit.STEP_FAILED)


def _checked(run_id: str, reason: str, timeout: str, user: str) -> Duration:
    """The limit; refuses what was not meant.

    Raises:
        UsageError: an empty reason, a limit that is none, a user's name that is none.
    """
    again = f"drctl exec {run_id} --on HOSTS --reason TEXT -- COMMAND"
    if not reason.strip():
        raise UsageError("The reason is empty.", where="--reason", meaning="Nothing was done.", next=again)
    if user and not _USER.fullmatch(user):
        raise UsageError(
            f"{user!r} is not the name of a user.", where="--user", meaning="Nothing was done.", next=again
        )
    try:
        limit = Duration.parse(timeout)
    except ValueError as error:
        raise UsageError(str(error), where="--timeout", meaning="Nothing was done.", next="--timeout 10m") from error
    if limit.micros <= 0:
        raise UsageError(f"{timeout} is no time.", where="--timeout", meaning="Nothing was done.", next="--timeout 10m")
    return limit


def _show(settings: Settings, folder: RunFolder, ends: Sequence[ev.StepFinished]) -> None:
    shown = [_values(end, folder.outputs) for end in ends]
    if settings.output == "json":
        rows = [
            {"host": end.host, "path": end.path, "outcome": end.outcome, "because": end.because, **values}
            | ({"unknown": unknown} if unknown else {})
            for end, (values, unknown) in zip(ends, shown, strict=True)
        ]
        click.echo(json.dumps({"run": folder.id, "hosts": rows}, ensure_ascii=False))
        return
    from drctl.reporting.texts import clean

    for end, (values, unknown) in zip(ends, shown, strict=True):
        code = f", exit {values['exit']}" if "exit" in values else ""
        why = f": {end.because}" if end.because else ""
        click.echo(clean(f"{end.host}: {end.outcome}{code}{why}"), err=True)
        for name in ("stdout", "stderr"):
            text = values.get(name)
            if isinstance(text, str) and text:
                click.echo(clean(text, lines=True), err=name == "stderr")
            if name in unknown and end.outcome != "in_doubt":
                kept = f"what is kept of it is named by: drctl report {folder.id}"
                click.echo(clean(f"{end.host}: {name} is not shown: {unknown[name]}; {kept}"), err=True)
    if any(end.outcome == "in_doubt" for end in ends):
        again = "say the same command again: it asks the host what became of it, and does nothing twice"
        click.echo(f"  next: {again}; then: drctl resume {folder.id}", err=True)
        return
    click.echo(f"  next: drctl resume {folder.id}   (drctl show {folder.id} says what it waits for)", err=True)


def _values(end: ev.StepFinished, store: Store) -> tuple[dict[str, Any], dict[str, str]]:
    """What a command gave, long texts fetched from where they are kept; and why something is not there."""
    values, unknown = {}, dict(end.unknown)
    for name, packed in end.outputs.items():
        value = unpack(packed, store)
        if isinstance(value, Unknown):
            unknown[name] = str(value)
        else:
            values[name] = to_json(value)
    return values, unknown


exec = exec_  # noqa: A001 - commands are found by their name
