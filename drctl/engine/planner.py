"""Makes a plan by looking, and by nothing else: it is handed a `Looking`, which has no way to act.

Looks before the first act that would run are taken for real and count. Looks after it are taken too, but shown as
*now*: what is seen today is not what will be seen after the change, so conditions on them stay open and both ways are
shown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from drctl.core.bounds import MOST
from drctl.core.expressions import evaluate
from drctl.core.inventory import Environment
from drctl.core.kind import ActKind
from drctl.core.model import Action, AnyOf, Block, Fence, Include, Phase, Step
from drctl.core.nouns import dataclass, replace
from drctl.core.outcomes import Outcome
from drctl.core.plan import BLOCKS, Plan, PlannedStep, Status
from drctl.core.values import Unknown
from drctl.engine.annotate import Made, annotated
from drctl.engine.blocks import whole
from drctl.engine.parts import form_of, is_container, is_group, is_rolling, is_table
from drctl.engine.repeats import Repeats, at_once, hosts_of, soaks
from drctl.engine.rows import Rows, shown
from drctl.engine.selection import allowed, possible
from drctl.engine.sight import Options, Sight

if TYPE_CHECKING:
    from collections.abc import Sequence

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
        self._made: list[Made] = []
        self._repeats = Repeats(self._sight)
        self._many = 1
        """How many steps a row stands for: more where rounds are not shown one by one."""
        self._one_by_one = True

    def plan(self, digest: str) -> Plan:
        """Walk the runbook and look."""
        context = self._sight.context
        runbook, inventory = context.runbook, context.inventory
        self._sight.opened(runbook.name)
        for phase in runbook.phases:
            self._phase(phase, phase.id, self._sight.scope(), 0, Wanted())
        return Plan(
            runbook=runbook.name, title=self._title(runbook.title), digest=digest, inventory=inventory.name,
            environment=inventory.environment.value, rto=runbook.objectives.rto, rpo=runbook.objectives.rpo,
            rows=annotated(self._made, context), inputs={name: shown(value) for name, value in context.inputs.items()},
            limit=context.bounds.limit,
        )  # fmt: skip

    def _add(self, row: PlannedStep, of: Step | Phase, home: str = "") -> None:
        """Take a row, with what it is made from; `home` is the file of a phase."""
        at = of.origin or of.path if isinstance(of, Step) else f"{home}/{of.id}" if home else of.id
        row = replace(row, origin=at, stands_for=self._many)
        if not self._one_by_one and row.status is Status.DEPENDS and row.kind not in BLOCKS:
            looks = isinstance(of, Step) and isinstance(of.body, Action) and not of.acts
            status = Status.NOT_LOOKED if looks else Status.CANNOT_TELL
            row = replace(row, status=status, unknown=tuple(dict.fromkeys((*row.unknown, self._sight.blind))))
        self._made.append(Made(row=row, of=of, home=home))

    def _title(self, text: Text | None) -> str:
        language = self._sight.context.identity.language
        return text.pick(language).show(self._sight.scope()) if text is not None else ""

    def _phase(self, phase: Phase, path: str, scope: RunScope, depth: int, above: Wanted) -> None:
        own = self._wanted(phase.when, scope)
        is_open = above.status is Status.DEPENDS and own.status is Status.WOULD_RUN
        wanted = replace(above, needs=own.needs) if is_open else own
        title = phase.title.pick(scope.context.identity.language).show(scope) if phase.title is not None else ""
        self._add(
            PlannedStep(
                path=path, title=title, kind="phase", depth=depth, status=wanted.status, because=wanted.because,
                unknown=wanted.unknown, needs=(*wanted.needs, *self._rows.people(phase.guards, scope)),
                open=wanted.status is Status.DEPENDS,
            ), phase, scope.home,
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
        asked = step.acts and not step.unless and row.status is not Status.DEPENDS
        refused = self._fences_say(row) if asked else ""
        if refused:
            row = replace(row, status=Status.WOULD_STOP, because=refused)
        if is_open:
            status = Status.DEPENDS if row.status in _OPENS else row.status
            unknown = (*own.unknown, *row.unknown)
            row = replace(row, status=status, unknown=unknown, because=own.because or row.because)
        self._add(replace(row, needs=(*own.needs, *row.needs), open=is_open), step)
        if step.acts and row.kind not in NO_ACT and not step.touches_nothing and self._sight.outcome(step) is None:
            self._sight.acted = True

    def _fences_say(self, row: PlannedStep) -> str:
        """Why a run would refuse the act whatever else is so; empty when it would not."""
        by, kind = self._sight.fenced.get(row.place), self._sight.context.kinds.get(row.kind)
        if by is not None:
            return f"{row.place} is fenced by then ({by}): nothing may change it until the fence is lifted"
        needs = kind is not None and issubclass(kind, ActKind) and kind.REQUIRES_FENCE
        if needs and not (self._sight.fenced or self._sight.may_be_fenced):
            return f"{row.kind} needs a proven fence of the old primary in this run, and there is none before it"
        return ""

    # -- containers ---------------------------------------------------------------------------------------------------

    def _group(self, step: Step, depth: int, wanted: Wanted) -> None:
        """A block, loop, table or include: a row for the whole, then what is inside."""
        plan = self._repeats.of(step)
        because = "; ".join(text for text in (wanted.because, plan.because) if text)
        at = len(self._made)
        status = plan.status if plan.status is not None and wanted.status is Status.WOULD_RUN else wanted.status
        self._add(
            PlannedStep(
                path=step.path, title=self._rows.title(step), depth=depth, status=status, kind=form_of(step),
                because=because, unknown=(*wanted.unknown, *plan.unknown), takes=step.takes,
                needs=(*wanted.needs, *self._rows.needs(step, ""), *_repeated(step)), timeout=step.timeout,
                back=self._rows.back(step) if step.acts and not is_table(step) else "",
                open=wanted.status is Status.DEPENDS,
                at_once=at_once(step, plan.frozen, self._sight.context.bounds.fan_out),
                pauses=soaks(step, plan.frozen),
            ), step,
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
            row = self._made[number].row
            if row.status is Status.WOULD_STOP:
                seen = (
                    Status.WOULD_WAIT if _done_again(step) else Status.LOOKED if row.effect == "read" else Status.KNOWN
                )
                self._said(number, seen, row.because)
        if outcome in {Outcome.FAILED, Outcome.IN_DOUBT} and not _done_again(step):
            self._said(at, Status.WOULD_STOP, "too many of them would fail")

    def _said(self, number: int, status: Status, because: str) -> None:
        made = self._made[number]
        self._made[number] = replace(made, row=replace(made.row, status=status, because=because))

    def _inside(self, step: Step, rounds: tuple[Step, ...] | None, depth: int, wanted: Wanted) -> Outcome | None:
        """What is inside; how the whole ends when every end inside is known and counts."""
        if rounds is None and isinstance(step.body, Include):
            scope = self._sight.scope(step=step)
            inside = replace(scope, home=step.origin or step.path)
            for phase in step.body.runbook.phases:
                self._phase(phase, f"{step.path}/{phase.id}", inside, depth + 1, wanted)
            return None
        assert rounds is not None or isinstance(step.body, Block)  # noqa: S101 - there are no other groups
        members = rounds if rounds is not None else step.body.steps if isinstance(step.body, Block) else ()
        shown = len(members) if rounds is None else MOST_SHOWN if self._one_by_one else 0
        beside = [inner.acts for inner in members]
        for number, inner in enumerate(members[:shown]):
            others = sum(beside) > beside[number] and at_once(step, None, MOST) > 1  # what these do may come first
            with self._sight.perhaps(really=others):
                self._member(step, members[:number], inner, depth + 1, wanted)
        if len(members) > shown:
            self._more(step, members[shown:], depth + 1, wanted)
            return None
        ends = [self._sight.outcome(inner) for inner in members]
        known = [end for end in ends if end is not None]
        if len(known) < len(ends) and not (step.loop is not None and step.loop.first_ok and Outcome.OK in known):
            return None
        selection = step.on.selection if step.on is not None else None
        return whole(step, members, known, allowed(selection, len(members)) if selection is not None else 0)

    def _member(self, step: Step, before: Sequence[Step], inner: Step, depth: int, wanted: Wanted) -> None:
        """One step inside; with `first_ok` it is reached only when none before it is ok."""
        ends = [self._sight.outcome(one) for one in before] if step.loop is not None and step.loop.first_ok else []
        if Outcome.OK in ends:
            self._skip(inner, depth, f"{before[ends.index(Outcome.OK)].path} is ok", surely=False)
        elif None in ends:
            because = "only when none before it is ok"
            with self._sight.perhaps(really=True):
                self._step(inner, depth, Wanted(status=Status.DEPENDS, because=because, unknown=(because,)))
        else:
            self._step(inner, depth, wanted)

    def _more(self, step: Step, left: Sequence[Step], depth: int, wanted: Wanted) -> None:
        """Rounds that are not shown one by one: nothing is looked at, and no risk of theirs is left out."""
        because = f"{len(left)} more like these; not looked at"
        one, before = self._repeats.left_out(step, left, because), (self._many, self._one_by_one)
        with self._sight.unseen(because):
            # Of a batch, each step inside says for how many hosts it is.
            self._many, self._one_by_one = self._many * (1 if is_rolling(step) else len(left)), False
            if is_table(step):
                self._add(self._rows.many(one, depth, hosts_of(left), because), one)
                self._sight.acted = self._sight.acted or step.acts
            else:
                self._step(one, depth, replace(wanted, status=Status.DEPENDS, because=because))
        self._many, self._one_by_one = before

    def _ladder(self, step: Step, depth: int) -> None:
        """The rungs of a wait: taken only if it lasts."""
        for repeat in (step.until, step.retry):
            for rung in repeat.escalate if repeat is not None and step.loop is None else ():
                above = Wanted(status=Status.DEPENDS, because=f"only when it is not ok after {rung.after.human()}")
                with self._sight.perhaps(really=True):
                    for inner in rung.steps:
                        self._step(inner, depth + 1, replace(above, unknown=(above.because,)))

    def _skip(self, step: Step, depth: int, because: str, *, surely: bool = True) -> None:
        """Rows of what is left out; a run writes it down only when it comes to it (`surely`)."""
        kind = form_of(step) if is_group(step) else type(step.body).__name__.lower()
        self._add(
            PlannedStep(
                path=step.path, title=self._rows.title(step), depth=depth, status=Status.WOULD_SKIP, because=because,
                kind=step.body.kind if isinstance(step.body, Action) and not is_group(step) else kind,
                effect=step.effect.value,
            ), step,
        )  # fmt: skip
        if surely:
            self._sight.skipped(step, because, is_block=is_container(step))
        for inner in step.body.steps if isinstance(step.body, Block) and not is_rolling(step) else ():
            self._skip(inner, depth + 1, because, surely=surely)

    def _fence(self, step: Step, body: Fence, depth: int, own: Wanted, *, is_open: bool) -> None:
        place = self._sight.looks.place_of(step)
        name = "" if isinstance(place, Unknown) else place
        self._add(
            PlannedStep(
                path=step.path, title=self._rows.title(step), depth=depth, effect="once", place=name,
                perhaps=() if name else possible(step.on, self._sight.context.inventory),
                kind="fence.lift" if body.lift else "fence.host",
                status=Status.DEPENDS if is_open or isinstance(place, Unknown) else Status.WOULD_RUN,
                because=own.because or "methods in order until every proof is ok; only the proof decides",
                unknown=(*own.unknown, *((str(place),) if isinstance(place, Unknown) else ())),
                needs=(*own.needs, *self._rows.needs(step, name)), back=self._rows.back(step),
            ), step,
        )  # fmt: skip
        for method in body.methods:
            row = self._rows.row(method, depth + 1)
            row = replace(row, status=Status.DEPENDS) if is_open and row.status in _OPENS else row
            self._add(replace(row, open=is_open), method)
        self._sight.fence(step, name, lift=body.lift)
        for proof in body.proof:
            for look in proof.looks if isinstance(proof, AnyOf) else (proof,):
                self._add(replace(self._rows.row(look, depth + 1), open=is_open), look)


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
