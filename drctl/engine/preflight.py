"""Before the first act: can every host be reached, and every secret be found, that a phase is going to need?

What is missing stops the run there, before the phase changes anything, unless every step that needs it foresees that
end. In a branch that is not decided yet it is a warning only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from drctl.core import events as ev
from drctl.core.expressions import evaluate
from drctl.core.inventory import SecretRef
from drctl.core.kind import FieldError
from drctl.core.model import Action, Block, Fence, Include, Phase, Step, around, walk
from drctl.core.nouns import dataclass
from drctl.core.outcomes import Outcome
from drctl.core.ports import Command
from drctl.core.rounds import round_of
from drctl.core.values import Unknown
from drctl.engine.context import LOOK_LIMIT, Context, fixed_place
from drctl.engine.fanout import fan_out
from drctl.engine.fields import resolve
from drctl.engine.parts import is_rolling, is_table
from drctl.engine.repeats import frozen_now
from drctl.engine.scope import RunScope
from drctl.engine.selection import candidates
from drctl.engine.shells import user_of
from drctl.engine.stops import Stop
from drctl.errors import Exit

if TYPE_CHECKING:
    from drctl.engine.recorder import Recorder
    from drctl.engine.world import Looking

CLAIMABLE = """
d=${XDG_STATE_HOME:-${HOME:-}/.local/state}/drctl
while [ ! -e "$d" ] && [ -n "$d" ]; do d=${d%/*}; done
[ -w "${d:-/}" ]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Becoming:
    """Another user whose shell is needed on a host."""

    host: str
    user: str

    def __str__(self) -> str:
        """Write it as people do."""
        return f"{self.user}@{self.host}"


Need = str | SecretRef | Becoming
"""A host by its name, a secret by its reference, or another user there."""


class Preflight:
    """Preflight of one run."""

    def __init__(self, context: Context, recorder: Recorder, looking: Looking) -> None:
        self._context = context
        self._recorder = recorder
        self._looking = looking

    def whole(self) -> None:
        """Before anything: every host the runbook names. Problems are warnings here; phases that need them stop.

        A runbook that only looks finds out by itself, and its looks would wait for every silent host once more.
        """
        phases = self._context.runbook.phases
        if self._recorder.state.preflights.get("*") is not None or not any(s.acts for p in phases for s in p.steps):
            return
        steps = [step for phase in self._context.runbook.phases for step in phase.steps]
        needs = {need for step in steps for need in named(step, self._context)}
        event = ev.PreflightFinished(
            phase="*", ok=True, hosts=_hosts(needs), warnings=tuple(self._missing(needs).values()),
            remarks=self._remarks(needs),
        )  # fmt: skip
        self._recorder.write(event)

    def phase(self, phase: Phase) -> None:
        """Before a phase that acts: the hosts of its steps.

        Raises:
            Stop: a host that the phase needs cannot be reached.
        """
        known = self._recorder.state.preflights.get(phase.id)
        if (known is not None and known.ok) or not any(step.acts for step in phase.steps):
            return
        sure, perhaps = set[Need](), set[Need]()
        for step in phase.steps:
            needed(step, self._context, sure, perhaps)
        missing = self._missing(sure | perhaps)
        problems = {need: answer for need, answer in missing.items() if need in sure}
        warnings = tuple(answer for need, answer in missing.items() if need not in sure)
        self._recorder.write(
            ev.PreflightFinished(
                phase=phase.id, ok=not problems, hosts=_hosts(sure | perhaps),
                problems=tuple(problems.values()), warnings=warnings,
            )
        )  # fmt: skip
        if not problems:
            return
        because = "; ".join(problems.values())
        if self._recorder.state.intents:
            raise Stop("preflight", path=phase.id, because=because, exit=Exit.STEP_FAILED)
        raise Stop("nothing_changed", path=phase.id, because=because, exit=Exit.NOTHING_CHANGED)

    def _missing(self, needs: set[Need]) -> dict[Need, str]:
        """What of it is not there, and why."""
        each = sorted(needs, key=str)
        answers = fan_out(each, self._ask, self._context.bounds.fan_out)
        found = dict(zip(each, answers, strict=True))
        told = {need for need, answer in found.items() if answer}
        told -= {
            need for need in told if isinstance(need, Becoming) and need.host in told
        }  # the host's own word is enough
        return {need: f"{need}: {found[need]}" for need in each if need in told}

    def _ask(self, need: Need) -> str:
        if isinstance(need, Becoming):
            return self._becomes(need)
        return self._looking.reach(need) if isinstance(need, str) else self._looking.finds(need)

    def _becomes(self, need: Becoming) -> str:
        """Why another user's shell cannot be had, or nothing could be claimed with it."""
        probe = self._looking.probe(need.host, LOOK_LIMIT)
        reply = probe.shell.read(Command(script=CLAIMABLE, as_user=need.user, timeout=LOOK_LIMIT))
        if reply.exit is None:
            return reply.because
        return "" if reply.exit == 0 else f"{need.user} has no folder there that claims could be kept in"

    def _remarks(self, needs: set[Need]) -> tuple[str, ...]:
        return tuple(f"{host}: {remark}" for host in _hosts(needs) for remark in self._looking.remarks(host))


def _hosts(needs: set[Need]) -> tuple[str, ...]:
    return tuple(sorted(need for need in needs if isinstance(need, str)))


def named(step: Step, context: Context) -> set[Need]:
    """Every host a step may touch, looks around it and ways back among them, as far as the documents tell.

    And the secrets of the databases, buckets and channels it names.
    """
    found: set[Need] = set()
    for one in (each for inner in walk(step) for each in (inner, *around(inner))):
        found.update(_secrets(one, context))
        if one.on is not None and one.on.selection is not None:
            found.update(candidates(one.on.selection, RunScope(context=context)))
        else:
            found.update(_place(one, context))
    return found


def needed(step: Step, context: Context, sure: set[Need], perhaps: set[Need]) -> None:
    """Add what a step cannot do without: to `sure`, or to `perhaps` where that is not decided yet, or foreseen."""
    names = RunScope(context=context).at(step)
    seen = evaluate(step.when.expression, names) if step.when is not None else True
    if seen is False:
        return
    into = perhaps if isinstance(seen, Unknown) or _may_fail(step) else sure
    if step.loop is not None or is_table(step) or is_rolling(step):
        frozen = frozen_now(step, names)
        if isinstance(frozen, Unknown):
            perhaps.update(named(step, context))
            return
        for frame in frozen.frames(step, step.path):
            needed(round_of(step, frame), context, into, perhaps)
    elif isinstance(step.body, Include):
        _needed_inside(step, step.body, context, (into, perhaps))
    elif isinstance(step.body, Block):
        for inner in step.body.steps:
            needed(inner, context, into, perhaps)
    elif not isinstance(step.body, Fence):  # its host may be dead, and any method or proof may do
        into.update(_place(step, context))
        into.update(_secrets(step, context))
        into.update(_becoming(step, context))


def _needed_inside(step: Step, body: Include, context: Context, needs: tuple[set[Need], set[Need]]) -> None:
    scope = RunScope(context=context, frames=step.frames, home=step.origin or step.path)
    for phase in body.runbook.phases:
        is_open = phase.when is not None and evaluate(phase.when.expression, scope) is not True
        for inner in phase.steps:
            needed(inner, context, needs[1] if is_open else needs[0], needs[1])


def _may_fail(step: Step) -> bool:
    """Whether it goes on without a host of it that cannot be reached."""
    loop, selection = step.loop, step.on.selection if step.on is not None else None
    if loop is not None and (loop.first_ok or loop.max_failures):
        return True
    if selection is not None and selection.max_failures is not None:
        return True
    return step.judgement.observe or Outcome.UNREACHABLE in step.judgement.tolerate


def _place(step: Step, context: Context) -> set[str]:
    place = fixed_place(step.on, context.inventory)
    if place is None and step.on is not None and step.on.computed is not None:
        place = str(step.on.computed.resolve(RunScope(context=context).at(step)))
    return {place} if place is not None and place in context.inventory.hosts else set()


def _becoming(step: Step, context: Context) -> set[Becoming]:
    """The other user it works as on its host; none where a text that is computed is no name: the step says so."""
    try:
        user = user_of(step, RunScope(context=context).at(step))
    except FieldError:
        return set()
    return {Becoming(host=host, user=user) for host in _place(step, context) if isinstance(user, str)}


def _secrets(step: Step, context: Context) -> set[SecretRef]:
    """The secrets of what it names of the inventory; of a database that is not named, when there is only one."""
    body = step.body
    if not isinstance(body, Action):
        return set()
    names, found = RunScope(context=context).at(step), set[SecretRef]()
    for spec in context.kinds[body.kind].fields():
        if not spec.entry:
            continue
        entries = context.inventory.entries(spec.entry)
        value = resolve(body.fields[spec.name], names) if spec.name in body.fields else spec.default
        for one in value if isinstance(value, tuple) else (value,):
            entry = next(iter(entries.values())) if one == "" and len(entries) == 1 else entries.get(str(one))
            if entry is not None and entry.credential is not None:
                found.add(entry.credential)
    return found
