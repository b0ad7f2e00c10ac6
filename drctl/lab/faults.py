"""Carries out the steps of a scenario on the running lab, and remembers when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drctl.errors import LabError
from drctl.lab.scenarios import BY_NAME, Step
from drctl.lab.startup import now_text

if TYPE_CHECKING:
    from drctl.lab.supervisor import Lab


class Faults:
    """The faults brought about so far.

    Attributes:
        all: every fault, oldest first, as told to whoever asked for it.
    """

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self.all: list[dict[str, Any]] = []

    @property
    def latest(self) -> dict[str, Any] | None:
        """The newest fault, None while there is none."""
        return self.all[-1] if self.all else None

    async def bring_about(self, name: str) -> dict[str, Any]:
        """Break the lab.

        Returns:
            scenario, fault (its class), description, `fault_at` (the moment before the first step) and `done_at`.

        Raises:
            LabError: no such scenario, or a step could not be carried out.
        """
        scenario = BY_NAME.get(name)
        if scenario is None:
            raise LabError(
                f"the lab has no scenario {name!r}", meaning="Nothing was broken.", next=f"one of: {', '.join(BY_NAME)}"
            )
        if not self._lab.is_ready:
            raise LabError("the lab is not ready yet", meaning="Nothing was broken.")
        fault = {"scenario": name, "fault": scenario.fault, "description": scenario.description, "fault_at": now_text()}
        for step in scenario.steps:
            await self._do(step)
        fault["done_at"] = now_text()
        self.all.append(fault)
        return fault

    async def _do(self, step: Step) -> None:
        if step.do == "edge":
            await self._lab.edges[step.on].set_mode(step.value)
            return
        machine = self._lab.machines[step.on]
        if step.do == "crash":
            await machine.crash()
        elif step.do == "systemctl":
            await machine.run(["systemctl", *step.value.split()])
        elif step.do == "deploy":
            await machine.run(["deploy", *step.value.split()])
        else:
            raise LabError(f"a scenario cannot {step.do!r}")
