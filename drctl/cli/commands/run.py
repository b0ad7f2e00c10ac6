"""`drctl run`: opens a run and carries it out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from drctl.cli.bounding import Bounding, bounding
from drctl.cli.carrying import carry
from drctl.cli.commands.plan import Keeping, make_plan
from drctl.cli.documents import asked
from drctl.cli.freezing import CommandLine
from drctl.cli.inputs import Given
from drctl.cli.runs import login, open_state
from drctl.cli.saved import hold, refuse_drift, show_drift
from drctl.cli.sessions import opened
from drctl.cli.transports import over
from drctl.errors import Exit, UsageError

if TYPE_CHECKING:
    from drctl.cli.app import Settings


@click.command()
@click.argument("runbook", metavar="RUNBOOK")
@click.option("--inventory", metavar="FILE", help="Inventory (else DRCTL_INVENTORY, else inventory.yaml here).")
@click.option("-i", "--input", "inputs", multiple=True, metavar="NAME=VALUE", help="A value for an input.")
@click.option("--inputs", "inputs_file", metavar="FILE", help="Inputs from a YAML map; -i wins over it.")
@bounding
@click.option(
    "--plan",
    "plan_file",
    metavar="FILE",
    help="Hold the run to a plan kept by `drctl plan --out`; its inputs are used.",
)
@click.option("--dry-run", is_flag=True, help="Only look and show, as `drctl plan` does; with --plan, what moved.")
@click.option(
    "--wait", metavar="DURATION", help="Without a terminal, wait this long for each answer instead of pausing at once."
)
@click.option("--yes", is_flag=True, help="Say yes to ordinary prompts; never to one that asks for a name.")
@click.option("--live/--no-live", default=None, help="Live view on a terminal, or plain lines.")
@over
@click.pass_obj
def run(
    settings: Settings, runbook: str, inventory: str | None, inputs: tuple[str, ...],
    inputs_file: str | None, plan_file: str | None, dry_run: bool, wait: str | None, yes: bool, live: bool | None,
    limit: str | None, fan_out: int | None,
) -> int:  # fmt: skip
    """Run a runbook. Everything it does is recorded; it can be resumed after any interruption.

    Exit status: 0 done and objectives met, 6 paused for a person, 7 a step failed, 10 in doubt, 11 done with
    exceptions, 13 not as the plan has it; the whole table stands in the README.
    """
    line = CommandLine(
        runbook=runbook, inventory=inventory, given=Given(flags=inputs, file=inputs_file),
        bounding=Bounding(limit=limit, fan_out=fan_out),
    )  # fmt: skip
    if plan_file is not None:
        if line.bounding.given:
            raise UsageError(
                "A kept plan has its own --limit and --fan-out, and the run is held to them.", where="--plan",
                meaning="Nothing was done.", next="leave them out, or make a new plan with them",
            )  # fmt: skip
        held = hold(settings, plan_file, asked(runbook, inventory), line.given)
        if dry_run:
            show_drift(settings, held)
            return int(Exit.PLAN_CHANGED if held.moved else Exit.DONE)
        refuse_drift(held, plan_file)
        kept_in = open_state(settings.state_dir)
        return carry(
            settings,
            lambda watch: opened(held.frozen, kept_in, watch, login(), held.saved, settings.transport),
            wait=wait,
            yes=yes,
            live=live,
        )
    if dry_run:
        return make_plan(settings, line, live=True, declared=None, keeping=Keeping())
    _, frozen = line.freeze(settings.language, ask=True)
    states = open_state(settings.state_dir)
    return carry(
        settings, lambda watch: opened(frozen, states, watch, login(), transport=settings.transport), wait=wait,
        yes=yes, live=live,
    )  # fmt: skip
