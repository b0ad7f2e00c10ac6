"""What people do by hand while a run is open: under the same claims, limits, masks and fences, in the same record.

It is no step of the runbook. Its address is `exec/NUMBER/@HOST`, which no step can have; its record is a deviation with
a reason; nothing takes it back.
"""

from __future__ import annotations

import shlex
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

from drctl.core import events as ev
from drctl.core.diagnostics import Where
from drctl.core.kind import ActKind, Kind
from drctl.core.model import Action, Step
from drctl.core.nouns import dataclass, replace
from drctl.core.outcomes import Effect
from drctl.core.templates import Template
from drctl.engine.acts import Acts
from drctl.engine.fanout import fan_out
from drctl.engine.looks import Looks, Pen
from drctl.engine.short import listed
from drctl.engine.units import ActUnit
from drctl.engine.world import LOCAL
from drctl.errors import RefusedError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from drctl.core.inventory import Inventory
    from drctl.core.values import Duration
    from drctl.engine.context import Context
    from drctl.engine.recorder import Recorder
    from drctl.engine.stops import Control
    from drctl.engine.world import World

ROOT: Final = "exec"
ON: Final = "--on"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One command by hand: a program and its arguments, where, as whom, for how long, who says so, and why."""

    argv: tuple[str, ...]
    hosts: tuple[str, ...]
    by: str
    reason: str
    timeout: Duration
    user: str = ""

    @property
    def shown(self) -> str:
        """The command as a person would type it."""
        return shlex.join(self.argv) + (f" (as {self.user})" if self.user else "")


def chosen(selector: str, inventory: Inventory, option: str = ON) -> tuple[str, ...]:
    """The hosts of a selector: names of hosts, roles or groups, or `local`, with commas between them.

    `option` is where it was typed.

    Raises:
        UsageError: a name that is none of them.
    """
    found: dict[str, None] = {}
    for name in (part.strip() for part in selector.split(",")):
        held = inventory.host_of_role(name)
        group = [host.name for host in inventory.hosts.values() if name in host.groups]
        hosts = [name] if name == LOCAL or name in inventory.hosts else [held.name] if held is not None else group
        if not hosts:
            raise UsageError(
                f"{name!r} is no host, role or group of this run's inventory.", where=option,
                meaning="Nothing was done.", next=f"{option} one of: {_instead(name, inventory, option)}",
            )  # fmt: skip
        found.update(dict.fromkeys(hosts))
    return tuple(found)


def _instead(name: str, inventory: Inventory, option: str) -> str:
    """What may be said instead of a name that is none, and what was perhaps meant; a limit cannot name `local`."""
    hosts = inventory.hosts.values()
    kinds = {
        "hosts": sorted({*inventory.hosts, *([LOCAL] if option == ON else [])}),
        "groups": sorted({group for host in hosts for group in host.groups}),
        "roles": sorted({host.role for host in hosts if host.role}),
    }
    near = get_close_matches(name, [one for names in kinds.values() for one in names])
    meant = f"   (did you mean {' or '.join(near)}?)" if near else ""
    return "; ".join(f"{kind} {listed(names)}" for kind, names in kinds.items() if names) + meant


class ByHand:
    """Carries commands by hand out, as one writer of one run."""

    def __init__(
        self,
        context: Context,
        recorder: Recorder,
        world: World,
        control: Control,
        pen: Pen = Pen(),  # noqa: B008 - frozen, and without state
    ) -> None:
        self._context = context
        self._recorder = recorder
        looks = Looks(context, recorder, world, pen, lambda _: control.ending)
        self._acts = Acts(looks, recorder, world, control)

    def carry_out(self, order: Order) -> Sequence[ev.StepFinished]:
        """Carry it out on every host, several at a time; one end for each, in the order of the hosts.

        A command of an earlier order that has no end yet is asked for on the host, and not done a second time.

        Raises:
            RefusedError: a host is fenced. Nothing was done on any.
        """
        fenced = [host for host in order.hosts if host in self._recorder.state.fenced]
        if fenced:
            raise RefusedError(
                f"{', '.join(fenced)}: fenced by this run; nothing may change it until the fence is lifted.",
                meaning="Nothing was done on any host.",
                next="leave it out of --on; to look at it, use your own terminal: a look needs no record",
            )
        number = self._number()
        steps = [self._step(order, host, number) for host in order.hosts]
        what = f"by hand on {', '.join(order.hosts)}: {order.shown}"
        self._recorder.deviation(
            ev.DeviationNoted(path=f"{ROOT}/{number}", what=what, by=order.by, because=order.reason)
        )
        units = [self._unit(order, host, step) for host, step in zip(order.hosts, steps, strict=True)]
        with self._acts.ending_on_word():
            return fan_out(units, self._acts.carry_out, self._context.bounds.fan_out)

    def _number(self) -> int:
        used = [path.split("/")[1] for path in self._recorder.state.steps if path.startswith(f"{ROOT}/")]
        return 1 + max((int(number) for number in used if number.isdecimal()), default=0)

    def _unit(self, order: Order, host: str, step: Step) -> ActUnit:
        shell: Callable[..., Kind] = self._context.kinds["shell"]
        kind = shell(argv=order.argv, allow_dash=True)
        assert isinstance(kind, ActKind)  # noqa: S101 - the kind `shell` acts
        unit = ActUnit(step=step, place=host, kind=kind)
        resolved = self._acts.resolve(unit)
        for path, state in list(self._recorder.state.steps.items()):
            newest = state.intent.started if state.intent is not None else None
            is_open = path.startswith(f"{ROOT}/") and state.unsettled and newest is not None and newest.host == host
            if is_open and newest is not None and newest.digest == getattr(resolved, "digest", ""):
                return replace(unit, step=replace(step, path=path))
        return unit

    def _step(self, order: Order, host: str, number: int) -> Step:
        return Step(
            id="by-hand", path=f"{ROOT}/{number}/@{host}", where=Where(file="drctl exec", line=1),
            body=Action(kind="shell", fields={}), effect=Effect.ONCE, timeout=order.timeout,
            as_user=Template.parse(order.user) if order.user else None,
        )  # fmt: skip
