"""`drctl plan`: looks, and shows what a run would do; `run --dry-run` is the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from drctl.cli.bounding import Bounding, bounding
from drctl.cli.freezing import CommandLine
from drctl.cli.inputs import Given
from drctl.cli.saved import keep, look
from drctl.cli.transports import over
from drctl.core.nouns import dataclass
from drctl.errors import Exit, RefusedError

if TYPE_CHECKING:
    from drctl.cli.app import Settings
    from drctl.core.plan import Plan


@click.command()
@click.argument("runbook", metavar="RUNBOOK")
@click.option("--inventory", metavar="FILE", help="Inventory (else DRCTL_INVENTORY, else inventory.yaml here).")
@click.option("-i", "--input", "inputs", multiple=True, metavar="NAME=VALUE", help="A value for an input.")
@click.option("--inputs", "inputs_file", metavar="FILE", help="Inputs from a YAML map; -i wins over it.")
@bounding
@click.option("--out", metavar="FILE", help="Keep the plan in a file, for `drctl run --plan FILE`.")
@click.option("--valid", default="60m", metavar="DURATION", show_default=True, help="How long the kept plan stands.")
@click.option("--max-unknown", type=click.IntRange(min=0), metavar="N", help="Refuse when more steps are unknown.")
@click.option("--no-live-reads", is_flag=True, help="Do not look at any target.")
@click.option(
    "--declared-reads",
    type=click.Choice(["yes", "no"]),
    help="Take shell looks, read-only by the author's word alone (production: no).",
)
@over
@click.pass_obj
def plan(
    settings: Settings, runbook: str, inventory: str | None, inputs: tuple[str, ...],
    inputs_file: str | None, out: str | None, valid: str, max_unknown: int | None, no_live_reads: bool,
    declared_reads: str | None, limit: str | None, fan_out: int | None,
) -> int:  # fmt: skip
    """Show what a run would do, found by looking only. Nothing is changed anywhere.

    Exit status: 0 planned, 3 a document is wrong, 4 as things are the run would stop before it had changed anything,
    or more steps are unknown than --max-unknown allows; the plan is then not kept.
    """
    keeping = Keeping(out=out, valid=valid, max_unknown=max_unknown)
    line = CommandLine(
        runbook=runbook, inventory=inventory, given=Given(flags=inputs, file=inputs_file),
        bounding=Bounding(limit=limit, fan_out=fan_out),
    )  # fmt: skip
    return make_plan(settings, line, live=not no_live_reads, declared=declared_reads, keeping=keeping)


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeping:
    """What becomes of a plan: where it is kept and how long it stands, and how much may be unknown."""

    out: str | None = None
    valid: str = "60m"
    max_unknown: int | None = None


def make_plan(settings: Settings, line: CommandLine, *, live: bool, declared: str | None, keeping: Keeping) -> int:
    """Plan, print, and keep."""
    from drctl.reporting.plan import plan_json, plan_text, run_command

    documents, frozen = line.freeze(settings.language, ask=False)
    made = look(settings, frozen, documents, live=live, declared=None if declared is None else declared == "yes")
    saved, kept = None, ""
    if keeping.out is not None and not _too_much(made.plan, keeping):
        saved, kept = keep(made, keeping.out, keeping.valid), keeping.out
    flags = _flags(settings, Bounding() if kept else line.bounding)
    as_json = settings.output == "json"
    if as_json:
        shown = plan_json(made.plan)
    else:
        shown = plan_text(made.plan, line.runbook, documents.inventory_path, flags, kept)
    click.echo(made.mask(shown))
    if _too_much(made.plan, keeping):
        raise _refusal(made.plan, keeping)
    if saved is not None:
        click.echo(f"Kept for {keeping.valid} in {kept}: sha256:{saved.digest}", err=True)
        if as_json:  # for people it stands at the end of the plan
            then = run_command(made.plan, line.runbook, documents.inventory_path, flags, kept)
            click.echo(f"  next: {then}", err=True)
    return int(Exit.NOTHING_CHANGED if _stops_first(made.plan) else Exit.DONE)


def _flags(settings: Settings, bounding: Bounding) -> tuple[str, ...]:
    """How the plan was asked for, besides runbook, inputs and limit: a run of it is asked for in the same way."""
    many = ("--fan-out", str(bounding.fan_out)) if bounding.fan_out is not None else ()
    return (*many, *(("--transport", settings.transport) if settings.transport else ()))


def _too_much(plan: Plan, keeping: Keeping) -> bool:
    return keeping.max_unknown is not None and plan.coverage["unknown"] > keeping.max_unknown


def _refusal(plan: Plan, keeping: Keeping) -> RefusedError:
    rows = [f"{row.path}: {row.status.value}{f' ({row.because})' if row.because else ''}" for row in plan.unknowns]
    return RefusedError(
        f"{plan.coverage['unknown']} steps are unknown, and --max-unknown allows {keeping.max_unknown}.",
        meaning="\n  ".join([*rows, "Nothing was changed, and the plan was not kept."]),
        next="make them known (reach the hosts, --declared-reads yes), or allow more",
    )


def _stops_first(plan: Plan) -> bool:
    """Whether the run would stop before it had changed anything."""
    from drctl.core.plan import Status

    first_act = next(
        (i for i, row in enumerate(plan.rows) if row.effect != "read" and row.status is not Status.WOULD_SKIP), None
    )
    stops = [i for i, row in enumerate(plan.rows) if row.status is Status.WOULD_STOP]
    return bool(stops) and (first_act is None or stops[0] < first_act)
