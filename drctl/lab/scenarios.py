"""The faults the lab can have, as data: a name, what it means, and the steps that bring it about.

A step is one word and what it concerns; `faults` carries them out. New scenarios are added here.
"""

from __future__ import annotations

from dataclasses import dataclass

from drctl.lab import world


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing done to the lab.

    Attributes:
        do: `crash` HOST, `edge` NAME (value: a relay mode), `systemctl` HOST (value: its words), or `deploy` HOST
            (value: unit and release).
        on: the host or the edge.
        value: see `do`.
    """

    do: str
    on: str
    value: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A fault.

    Attributes:
        description: one line for a person.
        fault: its class in the requirements (S1).
        steps: carried out in order.
    """

    name: str
    description: str
    fault: str
    steps: tuple[Step, ...]


def _cut(*edges: str, mode: str) -> tuple[Step, ...]:
    return tuple(Step(do="edge", on=edge, value=mode) for edge in edges)


_ALL = (
    Scenario(
        name="primary-host",
        description=f"{world.PRIMARY} dies hard: every process killed, ports refuse, the power switch still on",
        fault="hardware",
        steps=(Step(do="crash", on=world.PRIMARY),),
    ),
    Scenario(
        name="bad-delete",
        description=f"release {world.BAD_RELEASE} goes live on {world.PRIMARY}; its clean-up deletes and alters some",
        fault="human error",
        steps=(Step(do="deploy", on=world.PRIMARY, value=f"invoices {world.BAD_RELEASE}"),),
    ),
    Scenario(
        name="service-stopped",
        description=f"the invoice service on {world.PRIMARY} has ended and does not come back by itself",
        fault="software",
        steps=(Step(do="systemctl", on=world.PRIMARY, value="kill -s KILL invoices"),),
    ),
    Scenario(
        name="primary-frozen-network",
        description=f"the network to {world.PRIMARY} freezes: connections hang, nothing is refused, the host lives",
        fault="network",
        steps=_cut(*(f"{wire}:{world.PRIMARY}" for wire in ("ssh", "app", "pg", "repl")), mode="stall"),
    ),
    Scenario(
        name="replication-cut",
        description="the line between the sites is down: the standby falls behind, confirmed commits hang",
        fault="database sync",
        steps=_cut(f"repl:{world.PRIMARY}", mode="refuse"),
    ),
)

BY_NAME: dict[str, Scenario] = {scenario.name: scenario for scenario in _ALL}
