"""Makes a plan by looking, and by nothing else: it is handed a `Looking`, which has no way to act.

Looks before the first act that would run are taken for real and count. Looks after it are taken too, but shown as
*now*: what is seen today is not what will be seen after the change, so conditions on them stay open and both ways are
shown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from drctl.core.expressions import evaluate
from drctl.core.inventory import Environment
from drctl.core.model import Action, AnyOf, Block, Fence, Include, Phase, Step
from drctl.core.nouns import dataclass, replace
from drctl.core.outcomes import Outcome
from drctl.core.plan import Plan, PlannedStep, Status
from drctl.core.values import Unknown
from drctl.engine.annotate import annotated
from drctl.engine.blocks import whole
from drctl.engine.parts import form_of, is_container, is_group, is_rolling, is_table
from drctl.engine.repeats import Repeats
from drctl.engine.rows import Rows, shown
from drctl.engine.selection import allowed
from drctl.engine.sight import Options, Sight

if TYPE_CHECKING:
    from drctl.core.written import Formula, Text
    from drctl.engine.context import Context
    from drctl.engine.scope import RunScope
    from drctl.engine.world import Looking

__all__ = ["Options", "Planner", "default_options"]

MOST_SHOWN: Final = 100
"""Rounds of one loop or hosts of one table that a plan looks at and shows."""
NO_ACT: Final = frozenset({"notify"})
_OPENS: Final = frozenset({Status.WOULD_RUN, Status.NO_CHANGE, Status.KNOWN, Status.WOULD_STOP, Status.CANNOT_TELL})
"""What a row says only when it runs at all: under a condition that is not known yet it depends on that first."""


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
        self._repeats = Repeats(self._sight)

    def plan(self, digest: str) -> Plan:
        """Walk the runbook and look."""
        context = self._sight.context
        runbook, inventory = context.runbook, context.inventory
        self._sight.opened(runbook.name)
        for phase in runbook.phases:
            self._phase(phase, phase.id, self._sight.scope(), 0)
        return Plan(
            runbook=runbook.name, title=self._title(runbook.title), digest=digest, inventory=inventory.name,
            environment=inventory.environment.value, rto=runbook.objectives.rto, rpo=runbook.objectives.rpo,
            rows=annotated(self._made, context), inputs={name: shown(value) for name, value in context.inputs.items()},
        )  # fmt: skip

    def _title(self, text: Text | None) -> str:
        language = self._sight.context.identity.language
        return text.pick(language).show(self._sight.scope()) if text is not None else ""

    def _phase(self, phase: Phase, path: str, scope: RunScope, depth: int) -> None:
        wanted = self._wanted(phase.when, scope)
        title = phase.title.pick(scope.context.identity.language).show(scope) if phase.title is not None else ""
        self._made.append(
            PlannedStep(
                path=path, title=title, kind="phase", depth=depth, status=wanted.status, because=wanted.because,
                unknown=wanted.unknown, needs=(*wanted.needs, *self._rows.people(phase.guards, scope)),
            )
        )  # fmt: skip
        with self._sight.perhaps(really=wanted.status is Status.DEPENDS):
            for step in phase.steps:
                self._step(step, depth + 1, wanted)

    def _wanted(self, when: Formula | None, scope: RunScope) -> Wanted:
        """Status and reason that a condition gives."""
        if when is None:
            return Wanted()
        seen = evaluate(when.expression, scope)
        needs: tuple[str, ...] = (f"when {when.text}",)
        if isinstance(seen, Unknown):
            needs = needs if seen.not_yet else (*needs, "a person decides whether it runs")
            because = f"cannot tell {'yet ' if seen.not_yet else ''}whether {when.text}"
            return Wanted(status=Status.DEPENDS, because=because, unknown=(str(seen),), needs=needs)
        if seen is True:
            return Wanted(because=f"{when.text} is true", needs=needs)
        return Wanted(status=Status.WOULD_SKIP, because=f"{when.text} is false", needs=needs)

    def _step(self, step: Step, depth: int, above: Wanted) -> None:
        own = self._wanted(step.when, self._sight.scope(step=step))
        wanted = above if above.status is Status.WOULD_SKIP else own
        if wanted.status is Status.WOULD_SKIP:
            self._skip(step, depth, wanted.because)
            return
        is_open = Status.DEPENDS in {above.status, own.status}
        with self._sight.perhaps(really=own.status is Status.DEPENDS):
            if is_group(step):
                self._group(step, depth, replace(own, status=Status.DEPENDS) if is_open else own)
            elif isinstance(step.body, Fence):
                self._fence(step, step.body, depth, own, is_open=is_open)
            else:
                self._leaf(step, depth, own, is_open=is_open)
        self._ladder(step, depth)

    def _leaf(self, step: Step, depth: int, own: Wanted, *, is_open: bool) -> None:
        row = self._rows.row(step, depth)
        if is_open:
            status = Status.DEPENDS if row.status in _OPENS else row.status
            unknown = (*own.unknown, *row.unknown)
            row = replace(row, status=status, unknown=unknown, because=own.because or row.because)
        self._made.append(replace(row, needs=(*own.needs, *row.needs)))
        if step.acts and row.kind not in NO_ACT and not step.touches_nothing:
            self._sight.acted = True

    # -- containers ---------------------------------------------------------------------------------------------------

    def _group(self, step: Step, depth: int, wanted: Wanted) -> None:
        """A block, loop, table or include: a row for the whole, then what is inside."""
        plan = self._repeats.of(step)
        because = "; ".join(text for text in (wanted.because, plan.because) if text)
        at = len(self._made)
        status = plan.status if plan.status is not None and wanted.status is Status.WOULD_RUN else wanted.status
        self._made.append(
            PlannedStep(
                path=step.path, title=self._rows.title(step), depth=depth, status=status, kind=form_of(step),
                because=because, unknown=(*wanted.unknown, *plan.unknown), takes=step.takes,
                needs=(*wanted.needs, *self._rows.needs(step, ""), *_repeated(step)), timeout=step.timeout,
            )
        )  # fmt: skip
        if plan.frozen is not None:
            self._sight.froze(step, plan.frozen)
        inner = wanted if plan.known else replace(wanted, status=Status.DEPENDS)
        with self._sight.perhaps(really=not plan.known or _done_again(step)):
            outcome = self._inside(step, plan.rounds, depth, inner)
        if _judges(step):
            self._foreseen(step, at, outcome)
        if plan.known and outcome is not None:
            self._sight.ended(step, plan.outcome or outcome)

    def _foreseen(self, step: Step, at: int, outcome: Outcome | None) -> None:
        """Inside of what judges its members, a bad end stops nothing by itself; the whole does, if it would fail."""
        for number in range(at + 1, len(self._made)):
            row = self._made[number]
            if row.status is Status.WOULD_STOP:
                seen = (
                    Status.WOULD_WAIT if _done_again(step) else Status.LOOKED if row.effect == "read" else Status.KNOWN
                )
                self._made[number] = replace(row, status=seen)
        if outcome in {Outcome.FAILED, Outcome.IN_DOUBT} and not _done_again(step):
            self._made[at] = replace(self._made[at], status=Status.WOULD_STOP, because="too many of them would fail")

    def _inside(self, step: Step, rounds: tuple[Step, ...] | None, depth: int, wanted: Wanted) -> Outcome | None:
        """What is inside; how the whole ends when every end inside is known and counts."""
        if rounds is None and isinstance(step.body, Include):
            scope = self._sight.scope(step=step)
            inside = replace(scope, home=step.origin or step.path)
            for phase in step.body.runbook.phases:
                self._phase(phase, f"{step.path}/{phase.id}", inside, depth + 1)
            return None
        assert rounds is not None or isinstance(step.body, Block)  # noqa: S101 - there are no other groups
        members = rounds if rounds is not None else step.body.steps if isinstance(step.body, Block) else ()
        for inner in members[:MOST_SHOWN]:
            self._step(inner, depth + 1, wanted)
        if len(members) > MOST_SHOWN:
            self._more(step, depth + 1, len(members) - MOST_SHOWN)
            return None
        ends = [self._sight.outcome(inner) for inner in members]
        known = [end for end in ends if end is not None]
        if len(known) < len(ends) and not (step.loop is not None and step.loop.first_ok and Outcome.OK in known):
            return None
        selection = step.on.selection if step.on is not None else None
        return whole(step, members, known, allowed(selection, len(members)) if selection is not None else 0)

    def _more(self, step: Step, depth: int, number: int) -> None:
        because = f"{number} more like these; not looked at"
        self._made.append(
            PlannedStep(
                path=f"{step.path}/...", title=self._rows.title(step), kind=form_of(step), depth=depth,
                status=Status.CANNOT_TELL, because=because, unknown=(because,),
            )
        )  # fmt: skip
        self._sight.acted = self._sight.acted or step.acts

    def _ladder(self, step: Step, depth: int) -> None:
        """The rungs of a wait: taken only if it lasts."""
        for repeat in (step.until, step.retry):
            for rung in repeat.escalate if repeat is not None and step.loop is None else ():
                above = Wanted(status=Status.DEPENDS, because=f"only when it is not ok after {rung.after.human()}")
                with self._sight.perhaps(really=True):
                    for inner in rung.steps:
                        self._step(inner, depth + 1, replace(above, unknown=(above.because,)))

    def _skip(self, step: Step, depth: int, because: str) -> None:
        kind = form_of(step) if is_group(step) else type(step.body).__name__.lower()
        self._made.append(
            PlannedStep(
                path=step.path, title=self._rows.title(step), depth=depth, status=Status.WOULD_SKIP, because=because,
                kind=step.body.kind if isinstance(step.body, Action) and not is_group(step) else kind,
                effect=step.effect.value,
            )
        )  # fmt: skip
        self._sight.skipped(step, because, is_block=is_container(step))
        for inner in step.body.steps if isinstance(step.body, Block) and not is_rolling(step) else ():
            self._skip(inner, depth + 1, because)

    def _fence(self, step: Step, body: Fence, depth: int, own: Wanted, *, is_open: bool) -> None:
        place = self._sight.looks.place_of(step)
        name = "" if isinstance(place, Unknown) else place
        self._made.append(
            PlannedStep(
                path=step.path, title=self._rows.title(step), depth=depth, effect="once", place=name,
                kind="fence.lift" if body.lift else "fence.host",
                status=Status.DEPENDS if is_open or isinstance(place, Unknown) else Status.WOULD_RUN,
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


def _done_again(step: Step) -> bool:
    """Whether a block is done again until it is ok: what is not ok yet decides nothing."""
    return (step.retry or step.until) is not None and isinstance(step.body, Block | Include)


def _judges(step: Step) -> bool:
    """Whether a failure inside is for the whole to judge."""
    selection = step.on.selection if step.on is not None else None
    tolerant = selection is not None and selection.max_failures is not None
    loops = step.loop is not None and (step.loop.first_ok or step.loop.max_failures > 0)
    return loops or _done_again(step) or (tolerant and (is_table(step) or is_rolling(step)))


def _repeated(step: Step) -> tuple[str, ...]:
    """What is said about doing a block again, and about its time."""
    found = []
    repeat = step.retry or step.until
    if repeat is not None and isinstance(step.body, Block | Include):
        limit = f"within {repeat.within.human()}" if repeat.within is not None else f"{repeat.times} times"
        found.append(f"done again until it is ok, {limit}")
    if step.timeout is not None and isinstance(step.body, Block | Include):
        found.append(f"no step begins after {step.timeout.human()}")
    return tuple(found)


def default_options(environment: Environment, *, live: bool, declared: bool | None) -> Options:
    """In production shell looks are left out unless asked for."""
    return Options(live=live, declared=environment is not Environment.PRODUCTION if declared is None else declared)
