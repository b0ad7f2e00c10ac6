"""Before the first act: can every host be reached that a phase is going to need?

A host that cannot be reached stops the run there, before the phase changes anything, unless every step of it there
foresees that end. In a branch that is not decided yet it is a warning only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from drctl.core import events as ev
from drctl.core.expressions import evaluate
from drctl.core.model import Block, Fence, Outcome, Phase, Step
from drctl.engine.context import Context, fixed_place
from drctl.engine.fanout import fan_out
from drctl.engine.scope import RunScope
from drctl.engine.stops import Stop
from drctl.engine.world import LOCAL, Looking
from drctl.errors import Exit

if TYPE_CHECKING:
    from drctl.engine.recorder import Recorder

AT_ONCE = 32


class Preflight:
    """Preflight of one run."""

    def __init__(self, context: Context, recorder: Recorder, looking: Looking) -> None:
        self._context = context
        self._recorder = recorder
        self._looking = looking

    def whole(self) -> None:
        """Before anything: every host the runbook names. Problems are warnings here; phases that need them stop."""
        if self._recorder.state.preflights.get("*") is not None:
            return
        hosts = {
            h
            for phase in self._context.runbook.phases
            for step in phase.steps
            for h in needed(step, self._context, all_=True)
        }
        problems = self._reach(sorted(hosts))
        self._recorder.write(
            ev.PreflightFinished(phase="*", ok=True, hosts=tuple(sorted(hosts)), warnings=tuple(problems.values()))
        )

    def phase(self, phase: Phase) -> None:
        """Before a phase that acts: the hosts of its steps.

        Raises:
            Stop: a host that the phase needs cannot be reached.
        """
        known = self._recorder.state.preflights.get(phase.id)
        if (known is not None and known.ok) or not any(step.acts for step in phase.steps):
            return
        hosts = sorted({host for step in phase.steps for host in needed(step, self._context)})
        problems = self._reach(hosts)
        self._recorder.write(
            ev.PreflightFinished(phase=phase.id, ok=not problems, hosts=tuple(hosts), problems=tuple(problems.values()))
        )
        if not problems:
            return
        because = "; ".join(problems.values())
        if self._recorder.state.intents:
            raise Stop("preflight", path=phase.id, because=because, exit=Exit.STEP_FAILED)
        raise Stop("nothing_changed", path=phase.id, because=because, exit=Exit.NOTHING_CHANGED)

    def _reach(self, hosts: list[str]) -> dict[str, str]:
        answers = fan_out(hosts, self._looking.reach, AT_ONCE)
        return {host: f"{host}: {answer}" for host, answer in zip(hosts, answers, strict=True) if answer}


def needed(step: Step, context: Context, *, all_: bool = False) -> set[str]:
    """Hosts a step cannot do without; with `all_`, every host it names. Steps under a false `when` are left out."""
    if not all_ and step.when is not None and evaluate(step.when.expression, RunScope(context=context)) is False:
        return set()
    if isinstance(step.body, Block):
        return {host for inner in step.body.steps for host in needed(inner, context, all_=all_)}
    if isinstance(step.body, Fence) and not all_:
        return set()
    place = fixed_place(step.on, context.inventory)
    foreseen = step.judgement.observe or Outcome.UNREACHABLE in step.judgement.tolerate
    if place in {None, LOCAL} or (foreseen and not all_):
        return set()
    return {place} if place is not None else set()
