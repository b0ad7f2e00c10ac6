"""`drctl lab`: the embedded lab, and the demo that joins it with the product."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from drctl.errors import UsageError

if TYPE_CHECKING:
    from drctl.cli.app import Settings

MOST_HOURS = 168
"""A forgotten lab must not outlive the week."""


@click.group()
def lab() -> None:
    """Start, break and stop a small real invoice system on this machine."""


@lab.command()
@click.option("--folder", metavar="FOLDER", help="Where it lives (a short path).")
@click.option("--async-replication", is_flag=True, help="Commits do not wait for the standby: a crash can lose some.")
@click.option("--ttl", default=4.0, show_default=True, metavar="HOURS", help="It ends by itself after this time.")
@click.pass_obj
def up(settings: Settings, folder: str | None, async_replication: bool, ttl: float) -> int:
    """Start the lab and leave it running; says where its inventory is."""
    if not 0 < ttl <= MOST_HOURS:
        raise UsageError(
            f"A lab lives more than 0 and at most {MOST_HOURS} hours.", where="--ttl", meaning="Nothing was started.",
            next="drctl lab up --ttl 4",
        )  # fmt: skip
    from drctl.lab import api

    info = api.up(
        folder=Path(folder) if folder else None, async_replication=async_replication, ttl=ttl * 3600,
        progress=lambda text: click.echo(text, err=True),
    )  # fmt: skip
    if settings.output == "json":
        click.echo(json.dumps({"folder": str(info.folder), "inventory": str(info.inventory)}))
    else:
        click.echo(f"export DRCTL_INVENTORY={info.inventory}")
    click.echo(
        "  next: drctl lab break primary-host, then drctl run runbooks/invoice-outage.yaml -i reporter=NAME", err=True
    )
    return 0


@lab.command()
@click.pass_obj
def status(settings: Settings) -> int:
    """Show the running lab: hosts, databases, traffic, the fault."""
    from drctl.cli.labs import running

    found = running()
    from drctl.lab import api

    seen = api.status(found)
    click.echo(json.dumps(seen, indent=None if settings.output == "json" else 2, ensure_ascii=False))
    return 0


@lab.command(name="break")
@click.argument("scenario")
@click.pass_obj
def break_(settings: Settings, scenario: str) -> int:
    """Break the running lab by a scenario; `drctl lab break list` names them."""
    from drctl.lab import api

    if scenario == "list":
        if settings.output == "json":
            click.echo(json.dumps(api.SCENARIOS, ensure_ascii=False))
        else:
            for name, text in api.SCENARIOS.items():
                click.echo(f"{name:<24} {text}")
        return 0
    _known(scenario)
    from drctl.cli.labs import running

    done = api.break_(running(), scenario)
    click.echo(
        json.dumps(done, ensure_ascii=False)
        if settings.output == "json"
        else f"{scenario}: broken at {done['fault_at']}"
    )
    return 0


def _known(scenario: str) -> None:
    from drctl.lab import api

    if scenario not in api.SCENARIOS:
        raise UsageError(
            f"There is no scenario {scenario!r}; there are: {', '.join(api.SCENARIOS)}.",
            meaning="Nothing was changed.", next="drctl lab break list",
        )  # fmt: skip


@lab.command()
@click.pass_obj
def down(settings: Settings) -> int:
    """Stop the lab and remove everything of it."""
    from drctl.lab import api

    found = api.find()
    if found is not None:
        api.down(found)
    if settings.output == "json":
        click.echo(json.dumps({"stopped": str(found) if found is not None else None}))
    click.echo("The lab is gone." if found is not None else "No lab is running.", err=True)
    return 0


@lab.command()
@click.option("--scenario", default="primary-host", show_default=True, help="Which fault to recover from.")
@click.option("--async-replication", is_flag=True, help="Commits do not wait for the standby: a crash can lose some.")
@click.option("--keep", is_flag=True, help="Leave the lab running afterwards.")
@click.option("--live/--no-live", default=None, help="Live view on a terminal, or plain lines.")
@click.pass_obj
def demo(settings: Settings, scenario: str, async_replication: bool, keep: bool, live: bool | None) -> int:
    """Start a lab, break it, recover it by the runbook, and show the evidence.

    Exit status: 0 recovered and nothing that was acknowledged is lost; else the run's own code, or 7.
    """
    _known(scenario)
    from drctl.cli.demo import Demo

    return Demo(settings, scenario, async_replication=async_replication, keep=keep, live=live).play()
