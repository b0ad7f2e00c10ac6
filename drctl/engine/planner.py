"""Makes a plan by looking, and by nothing else: it is handed a `Looking`, which has no way to act.

Looks before the first act that would run are taken for real and count. Looks after it are taken too, but shown as *now*:
what is seen today is not what will be seen after the change, so conditions on them stay open and both ways are shown.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from drctl.core import events as ev
from drctl.core.expressions import evaluate
from drctl.core.fold import RunState
from drctl.core.inventory import Environment
from drctl.core.kind import ActKind, Change, FieldError
from drctl.core.model import (
    Action,
    AnyOf,
    Ask,
    Block,
    Check,
    Decide,
    Effect,
    Fence,
    FieldValue,
    Formula,
    Listed,
    Manual,
    Mapped,
    Outcome,
    Phase,
    RestoreNow,
    SetNames,
    Step,
    Wait,
    Way,
    WayKind,
)  # fmt: skip
from drctl.core.plan import Plan, PlannedStep, Status
from drctl.core.scripts import Script
from drctl.core.templates import Template
from drctl.core.values import Duration, Unknown, text_of, to_json
from drctl.engine.context import ACT_LIMIT, LOOK_LIMIT, Context
from drctl.engine.fields import build, resolve
from drctl.engine.looks import Looks, Pen
from drctl.engine.people import finding
from drctl.engine.recorder import Recorder
from drctl.engine.scope import RunScope

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drctl.engine.world import Looking

NO_ACT = frozenset({"notify"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a plan may look at: `live` reads at all; `declared` shell looks, read-only by the author's word alone."""

    live: bool = True
    declared: bool = True


class MemoryJournal:
    """A journal for a plan: nothing reaches the disk."""

    def __init__(self, context: Context) -> None:
        self._clock = context.clock
        self._seq = itertools.count()

    def append(self, type: str, body: Mapping[str, Any], *, actor: str, durable: bool) -> _Line:  # noqa: A002, ARG002
        """Number a record, and forget it."""
        return _Line(seq=next(self._seq), ts=self._clock.now().micros, mono=self._clock.monotonic().micros)

    def settle(self, seq: int) -> None:
        """Nothing to wait for."""

    def checkpoint(self) -> None:
        """Nothing to sign."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    seq: int
    ts: int
    mono: int
    boot: str = ""


class Planner:
    """Plans one runbook."""

    def __init__(self, context: Context, looking: Looking, options: Options) -> None:
        self._context = replace(context, planning=True)
        self._looking = looking
        self._options = options
        kept = Recorder(MemoryJournal(context), context.state, actor="plan")
        scratch = Recorder(MemoryJournal(context), RunState(), actor="plan")
        self._recorder = kept
        self._looks = Looks(self._context, kept, looking, Pen(), lambda _: False)
        self._later = Looks(self._context, scratch, looking, Pen(), lambda _: False)
        self._acted = False
        self._rows: list[PlannedStep] = []

    def plan(self, digest: str) -> Plan:
        """Walk the runbook and look."""
        runbook, inventory = self._context.runbook, self._context.inventory
        self._recorder.write(ev.RunOpened(uid="", id="plan", runbook=runbook.name))
        for phase in runbook.phases:
            self._phase(phase)
        return Plan(
            runbook=runbook.name, title=self._title(runbook.title), digest=digest, inventory=inventory.name,
            environment=inventory.environment.value, rto=runbook.objectives.rto, rpo=runbook.objectives.rpo,
            rows=tuple(self._rows), inputs={n: _shown(v) for n, v in self._context.inputs.items()},
        )  # fmt: skip

    def _title(self, text: Any) -> str:
        return text.pick(self._context.identity.language).show(self._scope("")) if text is not None else ""

    def _scope(self, place: str) -> RunScope:
        return RunScope(context=self._context, place=place)

    def _phase(self, phase: Phase) -> None:
        condition = self._condition(phase.when)
        row = PlannedStep(path=phase.id, title=self._title(phase.title), kind="phase", depth=0, **condition)
        self._rows.append(row)
        for step in phase.steps:
            self._step(step, 1, row)

    def _condition(self, when: Formula | None) -> dict[str, Any]:
        """Status and reason that a condition gives."""
        if when is None:
            return {"status": Status.WOULD_RUN}
        seen = evaluate(when.expression, self._scope(""))
        needs = (f"when {when.text}",)
        if isinstance(seen, Unknown):
            return {
                "status": Status.DEPENDS,
                "because": f"cannot tell yet whether {when.text}",
                "unknown": (str(seen),),
                "needs": needs,
            }
        if seen is True:
            return {"status": Status.WOULD_RUN, "because": f"{when.text} is true", "needs": needs}
        return {"status": Status.WOULD_SKIP, "because": f"{when.text} is false", "needs": needs}

    def _step(self, step: Step, depth: int, above: PlannedStep) -> None:
        if above.status is Status.WOULD_SKIP:
            self._skip(step, depth, above.because)
            return
        condition = self._condition(step.when)
        if condition["status"] is Status.WOULD_SKIP:
            self._skip(step, depth, condition["because"])
            return
        open_ = above.status is Status.DEPENDS or condition["status"] is Status.DEPENDS
        if isinstance(step.body, Block):
            row = PlannedStep(
                path=step.path, title=self._title(step.title) or step.id, kind="parallel" if step.body.parallel else "steps",
                depth=depth, **(condition | ({"status": Status.DEPENDS} if open_ else {})),
            )  # fmt: skip
            self._rows.append(row)
            for inner in step.body.steps:
                self._step(inner, depth + 1, row)
            return
        if isinstance(step.body, Fence):
            self._fence(step, step.body, depth, open_=open_)
            return
        row = self._leaf(step, depth)
        if open_:
            unknown = (*condition.get("unknown", ()), *row.unknown)
            status = (
                Status.DEPENDS
                if row.status in {Status.WOULD_RUN, Status.NO_CHANGE, Status.KNOWN, Status.WOULD_STOP}
                else row.status
            )
            row = replace(row, status=status, unknown=unknown, because=condition.get("because") or row.because)
        self._rows.append(replace(row, needs=(*condition.get("needs", ()), *row.needs)))
        if step.acts and row.kind not in NO_ACT and not step.touches_nothing:
            self._acted = True

    def _skip(self, step: Step, depth: int, because: str) -> None:
        kind = step.body.kind if isinstance(step.body, Action) else type(step.body).__name__.lower()
        self._rows.append(
            PlannedStep(
                path=step.path,
                title=self._title(step.title) or step.id,
                kind=kind,
                depth=depth,
                status=Status.WOULD_SKIP,
                because=because,
            )
        )
        if not isinstance(step.body, Block | Fence):
            self._looks.end_early(step, Outcome.SKIPPED, because)
            return
        self._recorder.write(ev.BlockStarted(path=step.path, form="steps"))
        self._recorder.write(ev.BlockFinished(path=step.path, outcome="skipped", because=because))
        for inner in step.body.steps if isinstance(step.body, Block) else ():
            self._skip(inner, depth + 1, because)

    def _fence(self, step: Step, body: Fence, depth: int, *, open_: bool) -> None:
        place = self._looks.place_of(step)
        self._rows.append(
            PlannedStep(
                path=step.path, title=self._title(step.title) or step.id, kind="fence.host", depth=depth, effect="once",
                status=Status.DEPENDS if open_ else Status.WOULD_RUN, place="" if isinstance(place, Unknown) else place,
                because="methods in order until every proof is ok; only the proof decides",
            )
        )  # fmt: skip
        for method in body.methods:
            self._rows.append(self._leaf(method, depth + 1))
        self._acted = True
        for proof in body.proof:
            for look in proof.looks if isinstance(proof, AnyOf) else (proof,):
                self._rows.append(self._leaf(look, depth + 1))

    # -- single steps -----------------------------------------------------------------------------------------------

    def _leaf(self, step: Step, depth: int) -> PlannedStep:
        base = PlannedStep(
            path=step.path, title=self._title(step.title) or step.id or step.path, kind="", depth=depth, status=Status.KNOWN,
            takes=step.takes, timeout=step.timeout, effect=step.effect.value,
        )  # fmt: skip
        match step.body:
            case Action() as action:
                return self._action(step, action, base)
            case Decide() as decide:
                return self._decide(step, decide, base)
            case Manual() as manual:
                who = " or ".join(manual.by) or "the operator"
                return replace(
                    base, kind="manual", status=Status.WOULD_WAIT, because=f"work of {who}", needs=(f"answer of {who}",)
                )
            case Wait():
                return replace(base, kind="wait", status=Status.WOULD_WAIT, because="waits for time")
            case SetNames() as names:
                return self._set(step, names, base)
            case Check():
                return self._check(step, base)
            case RestoreNow() as back:
                return replace(
                    base, kind="restore", status=Status.WOULD_RUN, because=f"puts back {', '.join(back.steps)}"
                )
        return base

    def _check(self, step: Step, base: PlannedStep) -> PlannedStep:
        base = replace(base, kind="check")
        for line in step.judgement.expect:
            seen = evaluate(line.expression, self._scope(""))
            if isinstance(seen, Unknown):
                status = Status.DEPENDS if seen.not_yet else Status.WOULD_STOP
                return replace(base, status=status, because=f"cannot tell whether {line.text}", unknown=(str(seen),))
            if seen is not True:
                return replace(base, status=Status.WOULD_STOP, because=f"not true: {line.text}")
        self._know(step, {})
        return replace(base, status=Status.KNOWN, because="; ".join(line.text for line in step.judgement.expect))

    def _set(self, step: Step, names: SetNames, base: PlannedStep) -> PlannedStep:
        values = {name: template.resolve(self._scope("")) for name, template in names.values.items()}
        unknown = tuple(f"{name}: {value}" for name, value in values.items() if isinstance(value, Unknown))
        if unknown:
            return replace(
                base, kind="set", status=Status.DEPENDS, because="needs values not known yet", unknown=unknown
            )
        self._know(step, values)
        return replace(base, kind="set", because=", ".join(f"{n} = {_shown(v)}" for n, v in values.items()))

    def _decide(self, step: Step, decide: Decide, base: PlannedStep) -> PlannedStep:
        found, why, unclear = finding(decide, self._scope(""))
        choices = ", ".join(dict.fromkeys(text_of(rule.then) for rule in decide.rules))
        if unclear:
            if (
                any(isinstance(v, Unknown) and not v.not_yet for v in self._rule_values(decide))
                and decide.ask is Ask.NEVER
            ):
                return replace(base, kind="decide", status=Status.WOULD_STOP, because=why)
            return replace(
                base, kind="decide", status=Status.DEPENDS, because=f"one of {choices}: {why}", unknown=(why,)
            )
        if decide.ask is Ask.ALWAYS:
            return replace(
                base,
                kind="decide",
                status=Status.WOULD_WAIT,
                because=f"finding {text_of(found)}, to be confirmed: {why}",
            )
        self._know(step, {"value": found})
        return replace(base, kind="decide", because=f"{text_of(found)}: {why}")

    def _rule_values(self, decide: Decide) -> list[Any]:
        return [evaluate(rule.condition.expression, self._scope("")) for rule in decide.rules]

    def _know(self, step: Step, values: Mapping[str, Any]) -> None:
        """Let later steps see a value that is known already; unless an act comes before, then it may still change."""
        if not self._acted:
            outputs = {name: to_json(value) for name, value in values.items()}
            self._recorder.write(ev.StepFinished(path=step.path, outcome="ok", outputs=outputs))

    def _action(self, step: Step, action: Action, base: PlannedStep) -> PlannedStep:
        place = self._looks.place_of(step)
        kind = self._context.kinds[action.kind]
        base = replace(base, kind=action.kind)
        if isinstance(place, Unknown):
            return replace(
                base,
                status=Status.DEPENDS,
                because="hosts not known yet",
                unknown=(str(place),),
                text=self._fields(action, ""),
            )
        base = replace(
            base, place=place, timeout=step.timeout or kind.TIMEOUT or (ACT_LIMIT if step.acts else LOOK_LIMIT)
        )
        try:
            built = build(kind, action, self._scope(place))
        except FieldError as error:
            return replace(base, status=Status.WOULD_STOP, because=str(error))
        if isinstance(built, Unknown):
            status = Status.DEPENDS if built.not_yet or step.acts else Status.WOULD_STOP
            return replace(
                self._act_notes(step, base, None) if step.acts else base,
                status=status, because=f"needs {built}", unknown=(str(built),), text=self._fields(action, place),
            )  # fmt: skip
        facts = self._looking.probe(place, LOOK_LIMIT).facts
        base = replace(base, text=built.describe(facts))
        if step.effect is Effect.READ:
            return self._look(step, base)
        assert isinstance(built, ActKind)  # noqa: S101 - the loader checked it
        return self._act(step, built, base)

    def _look(self, step: Step, base: PlannedStep) -> PlannedStep:
        declared = base.kind == "shell"
        base = replace(base, declared=declared)
        if not self._options.live:
            return replace(base, status=Status.NOT_LOOKED, because="live reads are switched off")
        if declared and not self._options.declared:
            return replace(
                base,
                status=Status.NOT_LOOKED,
                because="a shell look, read-only by the author's word alone; --declared-reads yes takes it",
            )
        once = replace(step, until=None)
        final = (self._later if self._acted else self._looks).carry_out(once)
        seen = final.because or final.outcome
        if Outcome(final.outcome) is Outcome.OK:
            status = Status.NOW if self._acted else Status.LOOKED
            return replace(base, status=status, because=f"now: {final.outcome}" if self._acted else _facts(final))
        if self._acted:
            return replace(base, status=Status.NOW, because=f"now: {final.outcome} ({seen})")
        if step.until is not None:
            return replace(
                base, status=Status.WOULD_WAIT, because=f"would wait until it is ok; now {final.outcome}: {seen}"
            )
        foreseen = step.judgement.observe or Outcome(final.outcome) in step.judgement.tolerate
        return replace(
            base, status=Status.LOOKED if foreseen else Status.WOULD_STOP, because=f"{final.outcome}: {seen}"
        )

    def _act(self, step: Step, kind: ActKind, base: PlannedStep) -> PlannedStep:
        base = self._act_notes(step, base, kind)
        if not self._options.live:
            return replace(base, status=Status.CANNOT_TELL, because="live reads are switched off")
        preview = kind.preview(self._looking.probe(base.place, LOOK_LIMIT))
        status = {
            Change.WOULD_CHANGE: Status.WOULD_RUN, Change.NO_CHANGE: Status.NO_CHANGE, Change.CANNOT_TELL: Status.CANNOT_TELL,
        }[preview.change]  # fmt: skip
        because = f"now: {preview.because}" if self._acted and preview.because else preview.because
        unknown = (preview.because,) if status is Status.CANNOT_TELL else ()
        return replace(base, status=status, because=because, unknown=unknown)

    def _act_notes(self, step: Step, base: PlannedStep, kind: ActKind | None) -> PlannedStep:
        needs = []
        if step.guards.approve is not None:
            needs.append(f"approval by {' or '.join(step.guards.approve.by)}")
        if step.guards.caution is not None:
            needs.append(
                f"caution: {step.guards.caution.pick(self._context.identity.language).show(self._scope(base.place))}"
            )
        needs += [f"looks again at {name} right before" for name in step.guards.recheck]
        return replace(base, needs=tuple(needs), back=_back(step, kind))

    def _fields(self, action: Action, place: str) -> str:
        scope = self._scope(place)
        return "\n".join(f"{name}: {_show(value, scope)}" for name, value in action.fields.items())


def _back(step: Step, kind: ActKind | None) -> str:
    def one(way: Way | None) -> str:
        if way is None or way.kind is WayKind.AUTO:
            if kind is None:
                return "by the kind itself"
            return (
                f"none: {kind.NO_INVERSE}" if kind.NO_INVERSE else "by the kind itself: puts back what stands there now"
            )
        return f"none: {way.why}" if way.kind is WayKind.NONE else f"{len(way.steps)} step(s)"

    back = [f"undo {one(step.ways.undo)}"]
    if step.ways.restore is not None:
        back.append(f"restore at the end {one(step.ways.restore)}")
    if step.ways.no_return:
        back.append("no way back from here")
    return "; ".join(back)


def _show(value: FieldValue, scope: RunScope) -> str:
    """A field with what is known of it; unknown values are shown as such."""
    match value:
        case Template():
            return value.show(scope)
        case Script():
            return value.text
        case Mapped():
            return ", ".join(f"{k}={_show(v, scope)}" for k, v in value.items.items())
        case Listed():
            return ", ".join(_show(v, scope) for v in value.items)
        case Formula():
            seen = resolve(value, scope)
            return f"<{value.text}: {seen}>" if isinstance(seen, Unknown) else text_of(seen)
        case _:
            return text_of(value)


def _shown(value: Any) -> str:
    if isinstance(value, Unknown):
        return f"unknown ({value})"
    return "***" if type(value).__name__ == "Secret" else text_of(value)


def _facts(final: ev.StepFinished) -> str:
    """The small outputs of a look, for the row."""
    shown = []
    for name, value in {**final.outputs, **final.captures}.items():
        if isinstance(value, bool | int) or (isinstance(value, str) and len(value) <= 40):
            shown.append(f"{name} {value}")
        elif isinstance(value, dict) and "$us" in value:
            shown.append(f"{name} {Duration(value['$us'])}")
    return ", ".join(shown) or final.outcome


def default_options(environment: Environment, *, live: bool, declared: bool | None) -> Options:
    """In production shell looks are left out unless asked for."""
    return Options(live=live, declared=environment is not Environment.PRODUCTION if declared is None else declared)
