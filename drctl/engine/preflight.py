"""Before the first act: can every host be reached that a phase is going to need?

A host that cannot be reached stops the run there, before the phase changes anything, unless every step of it there
foresees that end. In a branch that is not decided yet it is a warning only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from drctl.core import events as ev
from drctl.core.expressions import evaluate
from drctl.core.model import Block, Fence, Include, Phase, Step, inside
from drctl.core.outcomes import Outcome
from drctl.core.values import Unknown
from drctl.engine.context import Context, fixed_place
from drctl.engine.fanout import fan_out
from drctl.engine.scope import RunScope
from drctl.engine.selection import candidates, chosen
from drctl.engine.stops import Stop
from drctl.engine.world import LOCAL, Looking
from drctl.errors import Exit

if TYPE_CHECKING:
    from drctl.core.places import Selection
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
        steps = [step for phase in self._context.runbook.phases for step in phase.steps]
        hosts = sorted({host for step in steps for host in named(step, self._context)})
        problems = self._reach(hosts)
        self._recorder.write(
            ev.PreflightFinished(phase="*", ok=True, hosts=tuple(hosts), warnings=tuple(problems.values()))
        )

    def phase(self, phase: Phase) -> None:
        """Before a phase that acts: the hosts of its steps.

        Raises:
            Stop: a host that the phase needs cannot be reached.
        """
        known = self._recorder.state.preflights.get(phase.id)
        if (known is not None and known.ok) or not any(step.acts for step in phase.steps):
            return
        sure, perhaps = set[str](), set[str]()
        for step in phase.steps:
            needed(step, self._context, sure, perhaps)
        answers = self._reach(sorted(sure | perhaps))
        problems = {host: answer for host, answer in answers.items() if host in sure}
        warnings = tuple(answer for host, answer in answers.items() if host not in sure)
        self._recorder.write(
            ev.PreflightFinished(
                phase=phase.id, ok=not problems, hosts=tuple(sorted(sure | perhaps)),
                problems=tuple(problems.values()), warnings=warnings,
            )
        )  # fmt: skip
        if not problems:
            return
        because = "; ".join(problems.values())
        if self._recorder.state.intents:
            raise Stop("preflight", path=phase.id, because=because, exit=Exit.STEP_FAILED)
        raise Stop("nothing_changed", path=phase.id, because=because, exit=Exit.NOTHING_CHANGED)

    def _reach(self, hosts: list[str]) -> dict[str, str]:
        answers = fan_out(hosts, self._looking.reach, AT_ONCE)
        return {host: f"{host}: {answer}" for host, answer in zip(hosts, answers, strict=True) if answer}


def named(step: Step, context: Context) -> set[str]:
    """Every host a step names."""
    if isinstance(step.body, Block | Include):
        return {host for inner in inside(step) for host in named(inner, context)}
    if step.on is not None and step.on.selection is not None:
        return set(candidates(step.on.selection, RunScope(context=context)))
    place = fixed_place(step.on, context.inventory)
    return {place} if place is not None and place != LOCAL else set()


def needed(step: Step, context: Context, sure: set[str], perhaps: set[str]) -> None:
    """Add the hosts a step cannot do without: to `sure`, or to `perhaps` where its `when` is not decided yet."""
    names = RunScope(context=context).at(step)
    seen = evaluate(step.when.expression, names) if step.when is not None else True
    if seen is False:
        return
    into = perhaps if isinstance(seen, Unknown) else sure
    if isinstance(step.body, Include):
        for phase in step.body.runbook.phases:
            home = RunScope(context=context, frames=step.frames, home=step.origin or step.path)
            open_ = phase.when is not None and evaluate(phase.when.expression, home) is not True
            for inner in phase.steps:
                needed(inner, context, perhaps if open_ else into, perhaps)
        return
    if isinstance(step.body, Block):
        for inner in step.body.steps:
            needed(inner, context, into, perhaps)
        return
    if step.on is not None and step.on.selection is not None:
        _needed_of(step, step.on.selection, into, perhaps, names)
        return
    foreseen = step.judgement.observe or Outcome.UNREACHABLE in step.judgement.tolerate
    if not foreseen and not isinstance(step.body, Fence):
        into.update(named(step, context))


def _needed_of(step: Step, selection: Selection, sure: set[str], perhaps: set[str], names: RunScope) -> None:
    """Hosts of a selection: needed when every one of them must be ok, and when they are known."""
    hosts = chosen(selection, names)
    tolerant = selection.max_failures is not None or step.judgement.observe
    if isinstance(hosts, Unknown) or tolerant or Outcome.UNREACHABLE in step.judgement.tolerate:
        perhaps.update(candidates(selection, names) if isinstance(hosts, Unknown) else hosts)
    else:
        sure.update(hosts)
