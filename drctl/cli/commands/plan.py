"""`drctl plan`: looks, and shows what a run would do; `run --dry-run` is the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from drctl.cli.documents import find_inventory, gather_inputs, load_documents
from drctl.cli.freezing import freeze
from drctl.cli.runs import open_state
from drctl.cli.wiring import need_inventory, plan_parts
from drctl.errors import Exit

if TYPE_CHECKING:
    from drctl.cli.app import Settings


@click.command()
@click.argument("runbook", metavar="RUNBOOK")
@click.option("--inventory", metavar="FILE", help="Inventory (else DRCTL_INVENTORY, else inventory.yaml here).")
@click.option("-i", "--input", "inputs", multiple=True, metavar="NAME=VALUE", help="A value for an input.")
@click.option("--no-live-reads", is_flag=True, help="Do not look at any target.")
@click.option(
    "--declared-reads",
    type=click.Choice(["yes", "no"]),
    help="Take shell looks, read-only by the author's word alone (production: no).",
)
@click.pass_obj
def plan(
    settings: Settings, runbook: str, inventory: str | None, inputs: tuple[str, ...], no_live_reads: bool,
    declared_reads: str | None,
) -> int:  # fmt: skip
    """Show what a run would do, found by looking only. Nothing is changed anywhere.

    Exit status: 0 planned, 3 a document is wrong, 4 as things are the run would stop before it had changed anything.
    """
    return make_plan(settings, runbook, inventory, inputs, live=not no_live_reads, declared=declared_reads)


def make_plan(
    settings: Settings,
    runbook: str,
    inventory: str | None,
    inputs: tuple[str, ...],
    *,
    live: bool,
    declared: str | None,
) -> int:
    """Plan and print."""
    from drctl.core.plan import Status
    from drctl.engine.planner import Planner, default_options
    from drctl.reporting.plan import plan_json, plan_text

    path = need_inventory(find_inventory(inventory))
    book, hosts = load_documents(runbook, path)
    values = gather_inputs(book, hosts, inputs, ask=False)
    frozen = freeze(book, hosts, values, runbook_path=runbook, inventory_path=path, language=settings.language)
    parts = plan_parts(frozen, book, open_state(settings.state_dir).root, settings.language)
    try:
        wanted = None if declared is None else declared == "yes"
        options = default_options(hosts.environment, live=live, declared=wanted)
        made = Planner(parts.context, parts.world, options).plan(frozen.digest)
    finally:
        parts.world.close()
    click.echo(plan_json(made) if settings.output == "json" else parts.masker.text(plan_text(made, runbook, path)))
    first_act = next(
        (i for i, row in enumerate(made.rows) if row.effect != "read" and row.status is not Status.WOULD_SKIP), None
    )
    stops = [i for i, row in enumerate(made.rows) if row.status is Status.WOULD_STOP]
    if stops and (first_act is None or stops[0] < first_act):
        return int(Exit.NOTHING_CHANGED)
    return int(Exit.DONE)
