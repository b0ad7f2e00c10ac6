"""References of a runbook: every name an expression uses is known at its place, and types fit.

A step sees the steps that ended before it, in the order written; branches of one parallel block do not see each other.
The walk follows that order, so a name is looked up in exactly what the run will know there.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from drctl.core.expressions import Type
from drctl.core.model import (
    Action,
    AnyOf,
    Block,
    Check,
    Decide,
    Fence,
    Include,
    Manual,
    RestoreNow,
    SetNames,
    Step,
    Wait,
    rungs,
    walk,
)
from drctl.core.nouns import dataclass, replace
from drctl.core.outcomes import Effect
from drctl.core.places import PlaceKind
from drctl.core.values import Duration, type_name
from drctl.loading.judge import Judge
from drctl.loading.lint import Lint
from drctl.loading.literals import fields_of
from drctl.loading.names import INPUT_TYPES, Names, Seen, World, as_type
from drctl.loading.repeating import judge_place, loop_names
from drctl.loading.results import COMMON, WORDS, StepType, layers_of
from drctl.loading.variables import expressions_of, order_of_variables

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drctl.core.model import FieldValue, Guards, Runbook
    from drctl.core.places import On
    from drctl.core.written import Formula
    from drctl.loading.results import Shown
    from drctl.loading.steps import StepReader

_TEXTS_WITH_JSON = ("stdout", "body", "text")


def check_references(runbook: Runbook, reader: StepReader, *, included: bool = False) -> Shown:
    """Check every expression of the runbook and report what is wrong with it."""
    goals = {"rto": runbook.objectives.rto, "rpo": runbook.objectives.rpo}
    world = World(
        inventory=reader.inventory,
        inputs={spec.name: INPUT_TYPES[spec.type] for spec in runbook.inputs},
        objectives={} if included else {name: "duration" for name, goal in goals.items() if isinstance(goal, Duration)},
        included=included,
    )
    walker = _Walker(reader=reader, world=world, lint=Lint(reader.reading))
    return walker.document(runbook)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Here:
    """Where the walk stands: blocks around, branches of parallel blocks, conditions, loop names, hosts carried."""

    inside: tuple[str, ...] = ()
    branches: tuple[tuple[str, int], ...] = ()
    guards: Mapping[str, str] = field(default_factory=dict)
    bound: Shown = field(default_factory=dict)
    carried: On | None = None
    looped: bool = False

    def under(self, key: str, condition: Formula | None) -> _Here:
        """The same under one more condition."""
        return (
            self if condition is None else replace(self, guards={**self.guards, key: condition.expression.canonical()})
        )


@dataclass(slots=True, kw_only=True)
class _Walker:
    reader: StepReader
    world: World
    lint: Lint

    def judge(self, step: Step) -> Judge:
        return Judge(self.reader.reading.inside(f"step '{step.id}'"), step.where)

    # ---------------------------------------------------------------------------------------------------- document

    def document(self, runbook: Runbook) -> Shown:
        self.index(runbook)
        judge = Judge(self.reader.reading, runbook.where)
        fixed = Names(world=self.world, frozen=True)
        self.world.vars = dict.fromkeys(runbook.vars, "any")
        for name in order_of_variables(runbook.vars, self.reader.reading, runbook.where):
            value = runbook.vars[name]
            judge.members(value, fixed)
            self.constant(name, value, runbook)
            self.world.vars[name] = judge.type_of(value, fixed)
        for text in (runbook.title, runbook.description):
            judge.plain(text)
        for spec in runbook.inputs:
            judge.text(spec.ask, fixed)
        seen = Seen()
        for phase in runbook.phases:
            judge.plain(phase.title)
            here = _Here().under(f"phase {phase.id}", phase.when)
            names = Names(world=self.world, seen=seen)
            judge.condition(phase.when, names)
            self.lint.condition(phase.when, names, _Here().guards)
            self.asked(phase.guards, names, judge)
            for step in phase.steps:
                self.step(step, seen, here)
        names = Names(world=self.world, seen=seen)
        for name, formula in runbook.outputs.items():
            if name in COMMON or name in WORDS:
                hint = f"choose another name, such as {name}_seen"
                self.reader.reading.problems.error(
                    "E306", formula.where, f"the output '{name}' is a field that every step has too", hint
                )
        shown = {name: judge.formula(formula, names) for name, formula in runbook.outputs.items()}
        if not self.world.included:
            self.lint.inputs(runbook, self.world.asked)
        return shown

    def constant(self, name: str, value: FieldValue, runbook: Runbook) -> None:
        """Refuse a constant that is another one each time it is computed: after a resume it would have changed."""
        for one in expressions_of(value):
            if one.expression.uses_now():
                place = self.reader.reading.texts.place(one.text, one.inner, runbook.where)
                hint = (
                    "run.started_at is the same for all of the run; `capture` and `set` keep a time that was looked up"
                )
                summary = f"the variable {name} would be another time after each resume"
                self.reader.reading.problems.error("E302", place, summary, hint)

    def index(self, runbook: Runbook) -> None:
        """Note every step and mark before the walk: what comes later is told from what does not exist."""
        for phase in runbook.phases:
            for step in phase.steps:
                self.index_step(step, ())
        readable = {*self.world.all_steps, *self.world.hidden}
        self.world.broken = frozenset(self.reader.ids) - readable
        for step in runbook.steps():
            for mark in step.marks:
                kind: Type = "time" if mark.value is None else "any"
                self.world.marks[mark.name] = kind if self.world.marks.get(mark.name, kind) == kind else "any"

    def index_step(self, step: Step, branches: tuple[tuple[str, int], ...]) -> None:
        self.world.all_steps[step.id] = StepType(step=step, fields={}, branches=branches)
        for inner, name in _inside(step):
            if "/" not in inner.id:
                self.world.hidden[inner.id] = f"'{name}' of step {step.id}"
        for rung in rungs(step):
            self.index_ladder(rung, step.id)
        if isinstance(step.body, Block):
            for number, inner in enumerate(step.body.steps):
                self.index_step(inner, (*branches, (step.id, number)) if step.body.parallel else branches)

    def index_ladder(self, rung: Step, around: str) -> None:
        self.world.hidden[rung.id] = f"the ladder of step {around}"
        for inner in (*rungs(rung), *(rung.body.steps if isinstance(rung.body, Block) else ())):
            self.index_ladder(inner, around)

    # ------------------------------------------------------------------------------------------------------- steps

    def step(self, step: Step, seen: Seen, here: _Here) -> None:
        """Check one step, then let others see it."""
        if self.reader.reading.problems.full:
            return
        judge = self.judge(step)
        before = Names(
            world=self.world, seen=seen, inside=(*here.inside, step.id), branches=here.branches, bound=here.bound
        )
        judge.plain(step.title)
        judge.condition(step.when, before)
        self.lint.condition(step.when, before, here.guards)
        turn = loop_names(step, before, judge)
        names = replace(before, bound={**here.bound, **turn}) if turn else before
        if step.on is not None and step.on is not here.carried:
            judge_place(step, names, replace(names, on=step.on), judge)
            self.lint.failed_hosts(step)
        here = replace(here.under(f"step {step.id}", step.when), bound=names.bound)
        whole = StepType(
            step=step,
            fields={},
            guards=here.guards,
            branches=here.branches,
            layers=layers_of(step),
            turn=turn,
            looped=here.looped or step.loop is not None,
        )
        once = step.loop is not None or (step.on is not None and step.on.many)
        self.guards(step, before if once else replace(names, on=step.on), judge)
        if isinstance(step.body, Block):
            self.block(step.body, whole, names, here)
        else:
            self.leaf(whole, names, judge, here)

    def leaf(self, whole: StepType, names: Names, judge: Judge, here: _Here) -> None:
        """A step that is no block."""
        step, seen = whole.step, names.seen
        placed = replace(names, on=step.on)
        judge.template(step.as_user, placed)
        self.body(step, placed, judge)
        fields = self.fields(step, placed)
        own = replace(whole, fields=fields, layers=_of_turn(whole))
        self.own(step, placed, own, judge)
        if step.sensitive:  # to everyone else, and to its own ways back, what it said is a secret
            fields = dict.fromkeys(fields, "secret")
            own = replace(own, fields=fields)
        with_own = Seen(seen, {step.id: own})
        self.inner(step, replace(placed, seen=with_own, inside=here.inside))
        self.ladder(step, with_own, here)
        self.lint.step(step, placed, here.guards)
        winner = whole.turn if step.loop is not None and step.loop.first_ok else {}
        seen.steps[step.id] = replace(whole, fields={**fields, **winner})

    def block(self, body: Block, whole: StepType, names: Names, here: _Here) -> None:
        """A block. What stands inside of one that repeats is read from outside by its turns, or not at all."""
        step, seen = whole.step, names.seen
        carries = step.on is not None and step.on.kind is PlaceKind.SELECTION
        layer = Seen(seen) if step.loop is not None or carries else seen
        inside = replace(
            here,
            inside=(*here.inside, step.id),
            carried=step.on if carries else here.carried,
            looped=whole.looped,
        )
        if body.parallel:
            self.branches(body, step.id, layer, inside)
        else:
            for inner in body.steps:
                self.step(inner, layer, inside)
        own = Seen(layer, {step.id: replace(whole, layers=_of_turn(whole))})
        self.inner(step, replace(names, seen=own, inside=here.inside, on=step.on))
        self.ladder(step, own, here)
        self.leave(whole, seen, layer)

    def branches(self, body: Block, block: str, seen: Seen, inside: _Here) -> None:
        layers = []
        for number, inner in enumerate(body.steps):
            layer = Seen(seen)
            self.step(inner, layer, replace(inside, branches=(*inside.branches, (block, number))))
            layers.append(layer)
        for layer in layers:
            seen.steps.update(layer.steps)

    def leave(self, whole: StepType, seen: Seen, layer: Seen) -> None:
        """Let those after a block see it, and what stands inside it."""
        step = whole.step
        first_ok = step.loop is not None and step.loop.first_ok
        inner = dict(layer.steps) if step.loop is not None else {}
        seen.steps[step.id] = replace(whole, fields=whole.turn if first_ok else {}, inner=inner)
        if layer is seen:
            return
        for name, one in layer.steps.items():
            if step.loop is not None:
                hint = f"write steps.{step.id}.each[0].steps.{name}.FIELD"
                self.world.withheld[name] = f"step {name} stands inside the loop {step.id}", hint
            elif step.on is None or not step.on.many or (one.step.on is step.on and not one.step.loop):
                seen.steps[name] = one
            else:
                hint = f"read it inside the block, or leave `on` of {name} out"
                self.world.withheld[name] = f"step {name} runs once for each batch of {step.id}", hint

    def ladder(self, step: Step, seen: Seen, here: _Here) -> None:
        """The rungs of a wait: each sees the last attempt, and what stands in the same rung."""
        for repeat in (step.until, step.retry):
            for rung in repeat.escalate if repeat is not None else ():
                layer = Seen(seen)
                for inner in rung.steps:
                    self.step(inner, layer, here)

    def body(self, step: Step, names: Names, judge: Judge) -> None:  # noqa: C901 - one case for each body
        """The texts of what the step does."""
        match step.body:
            case Action(kind=kind, fields=values):
                specs = fields_of(self.reader.kinds[kind])
                for name, value in values.items():
                    judge.value(value, names, specs[name])
            case Decide(rules=rules):
                for rule in rules:
                    judge.condition(rule.condition, names)
            case Manual(say=say, ask=ask):
                for text in (say, *(spec.ask for spec in ask)):
                    judge.text(text, names)
            case SetNames(values=templates):
                for template in templates.values():
                    judge.template(template, names, "any")
            case Wait(length=length, until=until):
                judge.template(length, names, "duration")
                judge.template(until, names, "time")
            case Include(runbook=runbook, inputs=inputs):
                for spec in runbook.inputs:
                    want = INPUT_TYPES[spec.type]
                    judge.members(inputs.get(spec.name), names, want, secret=want == "secret")
            case _:
                pass

    @staticmethod
    def asked(guards: Guards, names: Names, judge: Judge) -> None:
        """What is put to people; of a table or loop once, for all of it."""
        judge.text(guards.caution, names)
        for figure in guards.approve.show if guards.approve is not None else ():
            judge.formula(figure, names)

    def guards(self, step: Step, names: Names, judge: Judge) -> None:
        self.asked(step.guards, names, judge)
        self.named_steps(step, step.guards.recheck, names, "recheck")
        if isinstance(step.body, RestoreNow):
            self.named_steps(step, step.body.steps, names, "restore")

    def named_steps(self, step: Step, wanted: tuple[str, ...], names: Names, key: str) -> None:
        """Steps named in `recheck` or `restore`: seen before, and of the right sort."""
        problems = self.reader.reading.problems
        for name in wanted:
            place = self.reader.named.get((step.path, key, name), step.where)
            found = names.seen.get(name)
            if found is None:
                if name not in self.world.broken:
                    problem = names.absent(name)
                    code = "E309" if names.codes[problem.summary] == "E302" else names.codes[problem.summary]
                    problems.error(code, place, f"{key}: {problem.summary}", problem.hint or "")
                continue
            if key == "recheck" and (found.looped or not _plain_look(found.step)):
                hint = "name a look that stands before this step, and not inside a loop"
                problems.error("E309", place, f"recheck: step {name} is not a plain look", hint)
            if key == "restore" and not _restorable(found.step):
                hint = "name a step that has a `restore`"
                problems.error("E309", place, f"restore: step {name} restores nothing", hint)

    def fields(self, step: Step, names: Names) -> dict[str, Type]:
        """What others may read of the step: outputs of its kind, captures, answers, names of `set`."""
        match step.body:
            case Action(kind=kind):
                outputs = {name: as_type(written) for name, written in self.reader.kinds[kind].OUTPUTS.items()}
                if any(name in outputs for name in _TEXTS_WITH_JSON):
                    outputs.setdefault("json", "any")
            case Decide(rules=rules, otherwise=otherwise, has_otherwise=has):
                kinds = {type_name(value) for value in (*(rule.then for rule in rules), *([otherwise] if has else []))}
                outputs = {"value": as_type(kinds.pop()) if len(kinds) == 1 else "any"}
            case Manual(ask=ask):
                outputs = {spec.name: INPUT_TYPES[spec.type] for spec in ask}
            case SetNames(values=templates):
                outputs = {name: template.infer(names) for name, template in templates.items()}
            case Include():
                outputs = dict(self.reader.outputs.get(step.path, {}))
            case _:
                outputs = {}
        for name in names.bound.keys() & (outputs.keys() | step.judgement.capture.keys()):
            self.clash(step, name, "the name of a loop")
        for name in outputs.keys() & COMMON.keys():
            self.clash(step, name, "a field that every step has")
        return self.captures(step, names, outputs)

    def captures(self, step: Step, names: Names, outputs: dict[str, Type]) -> dict[str, Type]:
        judge, captured = self.judge(step), dict[str, Type]()
        others = dict.fromkeys(step.judgement.capture, "captures of one step may not use one another")
        scope = replace(names, own=outputs, not_own={name: why for name, why in others.items() if name not in outputs})
        for name, formula in step.judgement.capture.items():
            if name in outputs or name in COMMON or name in {*WORDS, "reply"}:
                self.clash(step, name, "an output" if name in outputs else "a field that every step has")
            captured[name] = judge.formula(formula, scope)
        return {**outputs, **captured}

    def clash(self, step: Step, name: str, what: str) -> None:
        place = step.judgement.capture[name].where if name in step.judgement.capture else step.where
        hint = f"choose another name, such as {name}_seen"
        self.reader.reading.problems.error("E306", place, f"'{name}' of step '{step.id}' is {what} too", hint)

    def own(self, step: Step, names: Names, own_type: StepType, judge: Judge) -> None:
        """What sees the step's own result: expect, marks and hint."""
        seen = Seen(names.seen, {step.id: own_type})
        fields = own_type.fields
        scope = replace(names, own={**fields, "reply": "text"}, seen=seen)
        if isinstance(step.body, Check):
            scope = replace(names, own={})
        for formula in step.judgement.expect:
            judge.condition(formula, scope)
            self.lint.formula(formula)
        for mark in step.marks:
            if mark.value is not None:
                if step.on is not None and step.on.many:
                    hint = "set it in a step after this one, such as a check"
                    summary = f"the mark '{mark.name}' with a value cannot stand on a table"
                    self.reader.reading.problems.error("E310", mark.value.where, summary, hint)
                kind = judge.formula(mark.value, replace(names, own=fields, seen=seen))
                if kind not in {"time", "size", "int", "decimal", "duration", "any"}:
                    hint = "a mark is a time, size, number or duration"
                    self.reader.reading.problems.error("E304", mark.value.where, f"mark '{mark.name}' is {kind}", hint)
        judge.text(step.hint, scope)

    def inner(self, step: Step, names: Names) -> None:
        """The steps inside a step; they see its own result, as far as it is known when they run."""
        for inner, _ in _inside(step):
            judge = self.judge(inner)
            judge.plain(inner.title)
            judge.condition(inner.when, names)
            if inner.on is not None:
                judge.template(inner.on.computed, names, "host")
            placed = replace(names, on=inner.on)
            judge.template(inner.as_user, placed)
            self.body(inner, placed, judge)
            fields = self.fields(inner, placed)
            scope = replace(placed, own={} if isinstance(inner.body, Check) else {**fields, "reply": "text"})
            for formula in inner.judgement.expect:
                judge.condition(formula, scope)
            judge.text(inner.hint, scope)
            self.inner(inner, names)


def _inside(step: Step) -> list[tuple[Step, str]]:
    """The steps inside a step that is no block, each with the key it stands under."""
    found = [(inner, "unless") for inner in step.unless] + [(inner, "verify") for inner in step.verify]
    for name, way in (("undo", step.ways.undo), ("restore", step.ways.restore)):
        found += [(inner, name) for inner in (way.steps if way is not None else ())]
    if isinstance(step.body, Fence):
        found += [(inner, "methods") for inner in step.body.methods]
        for proof in step.body.proof:
            found += [(inner, "proof") for inner in (proof.looks if isinstance(proof, AnyOf) else (proof,))]
    return found


def _of_turn(whole: StepType) -> tuple[str, ...]:
    """The layers of a step for what stands inside it: one turn of its loop."""
    return tuple(layer for layer in whole.layers if layer != "each")


def _plain_look(step: Step) -> bool:
    once = step.loop is None and (step.on is None or not step.on.many)
    return once and isinstance(step.body, Action | Check) and step.effect is Effect.READ


def _restorable(step: Step) -> bool:
    return any(inner.ways.restore is not None for inner in walk(step))
