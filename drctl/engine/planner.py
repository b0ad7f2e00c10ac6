"""Makes a plan by looking, and by nothing else: it is handed a `Looking`, which has no way to act.

Looks before the first act that would run are taken for real and count. Looks after it are taken too, but shown as
*now*: what is seen today is not what will be seen after the change, so conditions on them stay open and both ways are
shown.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from drctl.core.expressions import evaluate
from drctl.core.inventory import Environment
from drctl.core.model import Action, AnyOf, Block, Fence, Formula, Phase, Step
from drctl.core.plan import Plan, PlannedStep, Status
from drctl.core.values import Unknown
from drctl.engine.rows import Rows, shown
from drctl.engine.sight import Options, Sight

if TYPE_CHECKING:
    from drctl.core.model import Text
    from drctl.engine.context import Context
    from drctl.engine.world import Looking

__all__ = ["Options", "Planner", "default_options"]

NO_ACT: Final = frozenset({"notify"})
_OPENS: Final = frozenset({Status.WOULD_RUN, Status.NO_CHANGE, Status.KNOWN, Status.WOULD_STOP})


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a condition says about a step or phase."""

    status: Status = Status.WOULD_RUN
    because: str = ""
    unknown: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()


class Planner:
    """Plans one runbook."""

    def __init__(self, context: Context, looking: Looking, options: Options) -> None:
        self._sight = Sight(context, looking, options)
        self._rows = Rows(self._sight)
        self._made: list[PlannedStep] = []

    def plan(self, digest: str) -> Plan:
        """Walk the runbook and look."""
        context = self._sight.context
        runbook, inventory = context.runbook, context.inventory
        self._sight.opened(runbook.name)
        for phase in runbook.phases:
            self._phase(phase)
        return Plan(
            runbook=runbook.name, title=self._title(runbook.title), digest=digest, inventory=inventory.name,
            environment=inventory.environment.value, rto=runbook.objectives.rto, rpo=runbook.objectives.rpo,
            rows=tuple(self._made), inputs={name: shown(value) for name, value in context.inputs.items()},
        )  # fmt: skip

    def _title(self, text: Text | None) -> str:
        language = self._sight.context.identity.language
        return text.pick(language).show(self._sight.scope()) if text is not None else ""

    def _phase(self, phase: Phase) -> None:
        wanted = self._wanted(phase.when)
        self._made.append(
            PlannedStep(
                path=phase.id, title=self._title(phase.title), kind="phase", depth=0, status=wanted.status,
                because=wanted.because, unknown=wanted.unknown, needs=wanted.needs,
            )
        )  # fmt: skip
        with self._sight.perhaps(really=wanted.status is Status.DEPENDS):
            for step in phase.steps:
                self._step(step, 1, wanted)

    def _wanted(self, when: Formula | None) -> Wanted:
        """Status and reason that a condition gives."""
        if when is None:
            return Wanted()
        seen = evaluate(when.expression, self._sight.scope())
        needs: tuple[str, ...] = (f"when {when.text}",)
        if isinstance(seen, Unknown):
            needs = needs if seen.not_yet else (*needs, "a person decides whether it runs")
            because = f"cannot tell {'yet ' if seen.not_yet else ''}whether {when.text}"
            return Wanted(status=Status.DEPENDS, because=because, unknown=(str(seen),), needs=needs)
        if seen is True:
            return Wanted(because=f"{when.text} is true", needs=needs)
        return Wanted(status=Status.WOULD_SKIP, because=f"{when.text} is false", needs=needs)

    def _step(self, step: Step, depth: int, above: Wanted) -> None:
        own = self._wanted(step.when)
        wanted = above if above.status is Status.WOULD_SKIP else own
        if wanted.status is Status.WOULD_SKIP:
            self._skip(step, depth, wanted.because)
            return
        is_open = Status.DEPENDS in {above.status, own.status}
        with self._sight.perhaps(really=own.status is Status.DEPENDS):
            if isinstance(step.body, Block):
                self._block(step, step.body, depth, replace(own, status=Status.DEPENDS) if is_open else own)
            elif isinstance(step.body, Fence):
                self._fence(step, step.body, depth, own, is_open=is_open)
            else:
                self._leaf(step, depth, own, is_open=is_open)

    def _leaf(self, step: Step, depth: int, own: Wanted, *, is_open: bool) -> None:
        row = self._rows.row(step, depth)
        if is_open:
            status = Status.DEPENDS if row.status in _OPENS else row.status
            unknown = (*own.unknown, *row.unknown)
            row = replace(row, status=status, unknown=unknown, because=own.because or row.because)
        self._made.append(replace(row, needs=(*own.needs, *row.needs)))
        if step.acts and row.kind not in NO_ACT and not step.touches_nothing:
            self._sight.acted = True

    def _block(self, step: Step, body: Block, depth: int, wanted: Wanted) -> None:
        self._made.append(
            PlannedStep(
                path=step.path, title=self._rows.title(step), depth=depth, status=wanted.status,
                kind="parallel" if body.parallel else "steps", because=wanted.because, unknown=wanted.unknown,
                needs=wanted.needs,
            )
        )  # fmt: skip
        for inner in body.steps:
            self._step(inner, depth + 1, wanted)

    def _skip(self, step: Step, depth: int, because: str) -> None:
        kind = step.body.kind if isinstance(step.body, Action) else type(step.body).__name__.lower()
        self._made.append(
            PlannedStep(
                path=step.path, title=self._rows.title(step), kind=kind, depth=depth, status=Status.WOULD_SKIP,
                because=because, effect=step.effect.value,
            )
        )  # fmt: skip
        self._sight.skipped(step, because, is_block=isinstance(step.body, Block | Fence))
        for inner in step.body.steps if isinstance(step.body, Block) else ():
            self._skip(inner, depth + 1, because)

    def _fence(self, step: Step, body: Fence, depth: int, own: Wanted, *, is_open: bool) -> None:
        place = self._sight.looks.place_of(step)
        name = "" if isinstance(place, Unknown) else place
        self._made.append(
            PlannedStep(
                path=step.path, title=self._rows.title(step), kind="fence.host", depth=depth, effect="once",
                status=Status.DEPENDS if is_open or isinstance(place, Unknown) else Status.WOULD_RUN, place=name,
                because=own.because or "methods in order until every proof is ok; only the proof decides",
                unknown=(*own.unknown, *((str(place),) if isinstance(place, Unknown) else ())),
                needs=(*own.needs, *self._rows.needs(step, name)),
            )
        )  # fmt: skip
        for method in body.methods:
            row = self._rows.row(method, depth + 1)
            self._made.append(replace(row, status=Status.DEPENDS) if is_open and row.status in _OPENS else row)
        self._sight.acted = True
        for proof in body.proof:
            for look in proof.looks if isinstance(proof, AnyOf) else (proof,):
                self._made.append(self._rows.row(look, depth + 1))


def default_options(environment: Environment, *, live: bool, declared: bool | None) -> Options:
    """In production shell looks are left out unless asked for."""
    return Options(live=live, declared=environment is not Environment.PRODUCTION if declared is None else declared)
