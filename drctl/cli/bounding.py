"""`--limit` and `--fan-out`: what a person bounds a run or a plan by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from drctl.core.bounds import FAN_OUT, MOST, Bounds
from drctl.core.nouns import dataclass
from drctl.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from drctl.core.inventory import Inventory
    from drctl.core.model import Runbook

_SHOWN = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounding:
    """What a command line says: a selector, and a number of hosts; None where it says nothing."""

    limit: str | None = None
    fan_out: int | None = None

    @property
    def given(self) -> bool:
        """Whether it says anything."""
        return self.limit is not None or self.fan_out is not None

    def bounds(self, runbook: Runbook, inventory: Inventory) -> Bounds:
        """Read it against the documents.

        Raises:
            UsageError: a name is not in the inventory, or the runbook acts on a single host that is left out: it would
                stop there, half done.
        """
        from drctl.engine.byhand import chosen
        from drctl.engine.world import LOCAL

        if self.limit is None:
            return Bounds(fan_out=self.fan_out or FAN_OUT)
        named = {*chosen(self.limit, inventory, "--limit")} - {LOCAL}
        limit = tuple(host for host in inventory.hosts if host in named)
        if not limit:
            raise UsageError(
                "It names no host of the inventory.", where="--limit", meaning="Nothing was done.",
                next="--limit HOST,GROUP,ROLE; what runs on `local` runs in any case",
            )  # fmt: skip
        found = Bounds(limit=limit, fan_out=self.fan_out or FAN_OUT)
        refuse_left_out(found, runbook, inventory)
        return found


def refuse_left_out(bounds: Bounds, runbook: Runbook, inventory: Inventory, edited: str = "") -> None:
    """Refuse a limit that leaves a host out which a step, or a way back of one, acts on alone.

    `edited` is the file that an open run is to go on with: its limit was frozen, so that the file must fit it.

    Raises:
        UsageError: it does.
    """
    from drctl.core.model import around
    from drctl.core.outline import outline_of
    from drctl.engine.context import fixed_place
    from drctl.engine.world import LOCAL

    acts = [each for step in outline_of(runbook).steps.values() for each in (step, *around(step)) if each.acts]
    places = [(step, fixed_place(step.on, inventory)) for step in acts]
    out = {step.path: place for step, place in places if place and place != LOCAL and bounds.leave_out(place)}
    if out:
        shown = [f"{path} on {place}" for path, place in list(out.items())[:_SHOWN]]
        more = f", and {len(out) - _SHOWN} more" if len(out) > _SHOWN else ""
        wanted = ",".join(host for host in inventory.hosts if host in {*bounds.limit, *out.values()})
        if edited:
            raise UsageError(
                f"Steps act on a host that the run's --limit leaves out: {', '.join(shown)}{more}.", where=edited,
                meaning=f"The run was started with --limit {','.join(bounds.limit)}. Nothing was changed.",
                next=f"take them out of {edited}, or do them in a run of their own: --limit {wanted}",
            )  # fmt: skip
        raise UsageError(
            f"Steps act on a host that it leaves out: {', '.join(shown)}{more}.", where="--limit",
            meaning="The run would stop there, half done. It narrows selections of hosts only. Nothing was done.",
            next=f"--limit {wanted}",
        )  # fmt: skip


def bounding(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the two options to a command."""
    many = click.option(
        "--fan-out", type=click.IntRange(1, MOST), metavar="N", help=f"Hosts at a time ({FAN_OUT}), up to {MOST}."
    )
    limit = click.option(
        "--limit", metavar="HOSTS", help="Act on these hosts only: names, groups or roles, with commas between."
    )
    return limit(many(command))
