"""One row of a plan for each step that is no block: what it would do, what was seen, what cannot be told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from drctl.core.approvals import agreement
from drctl.core.expressions import evaluate
from drctl.core.kind import ActKind, Change, Seen
from drctl.core.model import (
    Action,
    Ask,
    Check,
    Decide,
    FieldValue,
    Listed,
    Manual,
    Mapped,
    RestoreNow,
    SetNames,
    Step,
    Wait,
    Way,
    WayKind,
)
from drctl.core.nouns import replace
from drctl.core.outcomes import Effect, Outcome
from drctl.core.plan import PlannedStep, Status
from drctl.core.scripts import Script
from drctl.core.templates import Template
from drctl.core.values import Duration, Secret, Unknown, Value, text_of
from drctl.core.written import Formula
from drctl.engine.context import ACT_LIMIT, LOOK_LIMIT
from drctl.engine.faults import telling
from drctl.engine.fields import build, resolve
from drctl.engine.parts import is_table
from drctl.engine.people import finding
from drctl.engine.selection import possible
from drctl.engine.shells import user_of
from drctl.engine.units import limit_of
from drctl.engine.ways import NO_INVERSE, owner_of, stands_for_all

if TYPE_CHECKING:
    from collections.abc import Iterator

    from drctl.core import events as ev
    from drctl.core.model import Guards
    from drctl.engine.scope import RunScope
    from drctl.engine.sight import Sight

SHORT: Final = 40
"""Characters of a value that stands in a row."""

_DECLARED: Final = "shell look, read-only by the author's word alone; --declared-reads yes takes it"

_CHANGES: Final = {
    Change.WOULD_CHANGE: Status.WOULD_RUN,
    Change.NO_CHANGE: Status.NO_CHANGE,
    Change.CANNOT_TELL: Status.CANNOT_TELL,
}


class Rows:
    """Makes rows from what a plan sees."""

    def __init__(self, sight: Sight) -> None:
        self._sight = sight

    def title(self, step: Step) -> str:
        """The step's title, or its id."""
        text = step.title
        language = self._sight.context.identity.language
        return (text.pick(language).show(self._sight.scope(step=step)) if text is not None else "") or step.id

    def row(self, step: Step, depth: int) -> PlannedStep:
        """The row of one step."""
        base = PlannedStep(
            path=step.path, title=self.title(step), kind="", depth=depth, status=Status.KNOWN, takes=step.takes,
            timeout=step.timeout, effect=step.effect.value,
        )  # fmt: skip
        match step.body:
            case Action() as action:
                return self._action(step, action, base)
            case Decide() as decide:
                return self._decide(step, decide, replace(base, kind="decide"))
            case SetNames() as names:
                return self._set(step, names, replace(base, kind="set"))
            case Check():
                return self._check(step, replace(base, kind="check"))
            case _:
                return self._waiting(step, base)

    def many(self, step: Step, depth: int, hosts: tuple[str, ...], because: str) -> PlannedStep:
        """One row for a step on many hosts that are not looked at one by one."""
        assert isinstance(step.body, Action)  # noqa: S101 - there are no other tables
        kind = self._sight.context.kinds[step.body.kind]
        row = PlannedStep(
            path=step.path, title=self.title(step), kind=step.body.kind, depth=depth, effect=step.effect.value,
            status=Status.CANNOT_TELL if step.acts else Status.NOT_LOOKED, because=because, unknown=(because,),
            hosts=hosts, takes=step.takes, timeout=step.timeout, text=self._fields(step, step.body, ""),
            declared=not step.acts and step.body.kind == "shell",
        )  # fmt: skip
        return self._notes(step, row, kind if issubclass(kind, ActKind) else None)

    # -- steps that work on values ----------------------------------------------------------------------------------

    def _waiting(self, step: Step, base: PlannedStep) -> PlannedStep:
        match step.body:
            case Manual() as manual:
                who = agreement(manual.by)
                needs = (f"answer of {who}",)
                return replace(base, kind="manual", status=Status.WOULD_WAIT, because=f"work of {who}", needs=needs)
            case Wait() as wait:
                written = wait.length or wait.until
                length = written.show(self._sight.scope(step=step)) if written is not None else ""
                return replace(base, kind="wait", status=Status.WOULD_WAIT, because=f"waits for {length}")
            case RestoreNow() as back:
                because = f"puts back {', '.join(back.steps)}"
                return replace(base, kind="restore", status=Status.WOULD_RUN, because=because)
        return base

    def _check(self, step: Step, base: PlannedStep) -> PlannedStep:
        foreseen = step.judgement.observe or Outcome.FAILED in step.judgement.tolerate
        stops = Status.KNOWN if foreseen else Status.WOULD_STOP
        for line in step.judgement.expect:
            seen = evaluate(line.expression, self._sight.scope(step=step))
            if isinstance(seen, Unknown) and seen.not_yet:
                because = f"cannot tell yet whether {line.text}"
                return replace(base, status=Status.DEPENDS, because=because, unknown=(str(seen),))
            if seen is not True:
                self._sight.know(step, {}, "failed")
                because = f"cannot tell whether {line.text}" if isinstance(seen, Unknown) else f"not true: {line.text}"
                return replace(
                    base, status=stops, because=because, unknown=(str(seen),) if isinstance(seen, Unknown) else ()
                )
        self._sight.know(step, {})
        return replace(base, because="; ".join(line.text for line in step.judgement.expect))

    def _set(self, step: Step, names: SetNames, base: PlannedStep) -> PlannedStep:
        resolved = {name: template.resolve(self._sight.scope(step=step)) for name, template in names.values.items()}
        unknown = {name: value for name, value in resolved.items() if isinstance(value, Unknown)}
        known = {name: v for name, v in resolved.items() if not isinstance(v, Unknown | Secret)}
        if unknown:
            stays = any(value.not_yet for value in unknown.values())
            status = Status.DEPENDS if stays else Status.WOULD_STOP
            reasons = tuple(f"{name}: {value}" for name, value in unknown.items())
            return replace(
                base, status=status, because="needs values not known yet" if stays else "needs values", unknown=reasons
            )
        self._sight.know(step, known)
        return replace(base, because=", ".join(f"{name} = {shown(value)}" for name, value in resolved.items()))

    def _decide(self, step: Step, decide: Decide, base: PlannedStep) -> PlannedStep:
        scope = self._sight.scope(step=step)
        found, why, unclear = finding(decide, scope)
        values = [*(rule.then for rule in decide.rules), *([decide.otherwise] if decide.has_otherwise else [])]
        choices = ", ".join(dict.fromkeys(shown(value) for value in values))
        if unclear:
            seen = [evaluate(rule.condition.expression, scope) for rule in decide.rules]
            waits = not any(isinstance(one, Unknown) and one.not_yet for one in seen)
            because = f"one of {choices}: {why}"
            if not waits:
                return replace(base, status=Status.DEPENDS, because=because, unknown=(why,))
            if decide.ask is Ask.NEVER:
                return replace(base, status=Status.WOULD_STOP, because=why, unknown=(why,))
            needs = ("a decision of a person",)
            return replace(base, status=Status.WOULD_WAIT, because=because, unknown=(why,), needs=needs)
        if decide.ask is Ask.ALWAYS:
            because = f"finding {shown(found)}, to be confirmed: {why}"
            return replace(base, status=Status.WOULD_WAIT, because=because)
        self._sight.know(step, {"value": found})
        return replace(base, because=f"{shown(found)}: {why}")

    # -- steps with a kind --------------------------------------------------------------------------------------------

    def _action(self, step: Step, action: Action, base: PlannedStep) -> PlannedStep:
        place = self._sight.looks.place_of(step)
        kind = self._sight.context.kinds[action.kind]
        base = self._notes(step, replace(base, kind=action.kind), kind if issubclass(kind, ActKind) else None)
        if isinstance(place, Unknown):
            status = Status.DEPENDS if place.not_yet else Status.WOULD_STOP
            base = replace(base, text=self._fields(step, action, ""), unknown=(str(place),))
            hosts = possible(step.on, self._sight.context.inventory) if step.acts else ()
            return replace(base, status=status, because="hosts not known yet", perhaps=hosts)
        timeout = step.timeout or kind.TIMEOUT or (ACT_LIMIT if step.acts else LOOK_LIMIT)
        base = replace(base, place=place, timeout=timeout)
        with telling() as told:
            return self._built(step, action, base)
        return replace(base, status=Status.WOULD_STOP, because=told.because, text=self._fields(step, action, place))

    def _built(self, step: Step, action: Action, base: PlannedStep) -> PlannedStep:
        scope = self._sight.scope(base.place, step)
        user = user_of(step, scope)
        built = build(self._sight.context.kinds[action.kind], action, scope)
        for missing in (user, built):
            if isinstance(missing, Unknown):
                status = Status.DEPENDS if missing.not_yet else Status.WOULD_STOP
                text = self._fields(step, action, base.place)
                return replace(base, status=status, because=f"needs {missing}", unknown=(str(missing),), text=text)
        assert not isinstance(built, Unknown)  # noqa: S101 - asked above
        who = "" if user is None else f"as {user}: "
        base = replace(base, text=who + built.describe(self._sight.facts))
        if step.effect is Effect.READ:
            return self._look(step, base)
        assert isinstance(built, ActKind)  # noqa: S101 - the loader checked it
        base = replace(base, timeout=limit_of(step, built))
        return self._act(step, built, base, user if isinstance(user, str) else None)

    def _look(self, step: Step, base: PlannedStep) -> PlannedStep:  # noqa: PLR0911 - one for each word of a plan
        base = replace(base, declared=base.kind == "shell")
        if self._sight.blind:
            return replace(base, status=Status.NOT_LOOKED, because=self._sight.blind)
        if base.declared and not self._sight.options.declared:
            return replace(base, status=Status.NOT_LOOKED, because=f"a {_DECLARED}")
        counts = self._sight.counts
        awaited = self._sight.still_to_come(step)
        final = self._sight.look(step)
        is_ok, seen = Outcome(final.outcome) is Outcome.OK, final.because or final.outcome
        if not counts:
            return replace(base, status=Status.NOW, because="now: ok" if is_ok else f"now: {final.outcome} ({seen})")
        if awaited is not None:
            because = f"now: {final.outcome} ({seen})"
            return replace(base, status=Status.DEPENDS, because=because, unknown=(str(awaited),))
        if is_ok:
            return replace(base, status=Status.LOOKED, because=_facts(final))
        if step.until is not None:
            because = f"would wait until it is ok; now {final.outcome}: {seen}"
            return replace(base, status=Status.WOULD_WAIT, because=because)
        foreseen = step.judgement.observe or Outcome(final.outcome) in step.judgement.tolerate
        status = Status.LOOKED if foreseen else Status.WOULD_STOP
        return replace(base, status=status, because=f"{final.outcome}: {seen}")

    def _act(self, step: Step, kind: ActKind, base: PlannedStep, user: str | None) -> PlannedStep:
        base = self._notes(step, base, kind)
        if self._sight.blind:
            return replace(base, status=Status.CANNOT_TELL, because=self._sight.blind)
        ended = self._done_already(step, base) if step.unless else None
        if ended is not None:
            return ended
        preview = kind.preview(self._sight.probe(base.place, user))
        status = _CHANGES[preview.change]
        if status is Status.NO_CHANGE and not self._sight.counts:
            status = Status.CANNOT_TELL  # an act before it may undo what is there now
        because = f"now: {preview.because}" if not self._sight.counts and preview.because else preview.because
        unknown = (preview.because,) if status is Status.CANNOT_TELL else ()
        return replace(base, status=status, because=because, unknown=unknown)

    def _done_already(self, step: Step, base: PlannedStep) -> PlannedStep | None:
        """What the looks of its `unless` make of it now; None when they find that it is still to be done."""
        if not self._sight.options.declared and any(map(_is_shell, step.unless)):
            because = f"whether it is done already is for a {_DECLARED}"
            return replace(base, status=Status.CANNOT_TELL, because=because, unknown=(because,))
        found = self._sight.guard(step, base.place)
        if isinstance(found, Unknown):
            because = "cannot tell yet whether it is done already"
            return replace(base, status=Status.DEPENDS, because=because, unknown=(str(found),))
        if found.seen is Seen.NOT_DONE:
            return None
        said = "done already" if found.seen is Seen.DONE else "cannot tell whether it is done already"
        because = f"{said}: {found.because}"
        if not self._sight.counts:
            return replace(base, status=Status.CANNOT_TELL, because=f"now: {because}", unknown=(because,))
        if found.seen is Seen.UNKNOWN:
            return replace(base, status=Status.WOULD_STOP, because=because, unknown=(because,))
        self._sight.know(step, {}, found=True)
        return replace(base, status=Status.NO_CHANGE, because=because)

    # -- what stands around it ----------------------------------------------------------------------------------------

    def needs(self, step: Step, place: str) -> tuple[str, ...]:
        """People and second looks that stand before a step."""
        found = ["runs unless a look finds it done"] if step.unless else []
        found += self.people(step.guards, self._sight.scope(place, step))
        return tuple(found + [f"looks again at {name} right before" for name in step.guards.recheck])

    def people(self, guards: Guards, scope: RunScope) -> Iterator[str]:
        """People who stand before a step or phase."""
        if guards.approve is not None:
            yield f"approval by {agreement(guards.approve.by, guards.approve.quorum)}"
        if guards.caution is not None:
            yield f"caution: {guards.caution.pick(self._sight.context.identity.language).show(scope)}"

    def back(self, step: Step, kind: ActKind | type[ActKind] | None = None) -> str:
        """How it is taken back, as a run would: a block's own way back takes the place of those inside it."""
        found = []
        for word, restore in (("undo", False), ("restore at the end", True)):
            owner = owner_of(self._sight.context, step, restore=restore)
            if owner is not None:
                whose = owner.ways.restore if restore else owner.ways.undo
                found.append(f"{word} {_way(whose, None)}, by {owner.id} around it")
            elif stands_for_all(step, restore=restore) or (restore and step.ways.restore is not None):
                found.append(f"{word} {_way(step.ways.restore if restore else step.ways.undo, kind)}")
            elif not restore and isinstance(step.body, Action) and not is_table(step):
                found.append(f"{word} {_way(step.ways.undo, kind)}")
        return "; ".join([*found, *(["no way back from here"] if step.ways.no_return else [])])

    def _notes(self, step: Step, base: PlannedStep, kind: ActKind | type[ActKind] | None) -> PlannedStep:
        if not step.acts:
            return base
        return replace(base, needs=self.needs(step, base.place), back=self.back(step, kind))

    def _fields(self, step: Step, action: Action, place: str) -> str:
        scope = self._sight.scope(place, step)
        shown_fields = {name: _show(value, scope) for name, value in action.fields.items()}
        return self._sight.context.kinds[action.kind].sketch(shown_fields)


def _is_shell(look: Step) -> bool:
    return isinstance(look.body, Action) and look.body.kind == "shell"


def shown(value: Value | Unknown | Secret) -> str:
    """A value for a person."""
    if isinstance(value, Unknown):
        return f"unknown ({value})"
    return "***" if isinstance(value, Secret) else "null" if value is None else text_of(value)


def _way(way: Way | None, kind: ActKind | type[ActKind] | None) -> str:
    if way is not None and way.kind is not WayKind.AUTO:
        return f"none: {way.why}" if way.kind is WayKind.NONE else f"{len(way.steps)} step(s)"
    if kind is None:
        return f"none: {NO_INVERSE}" if way is not None else "by the kind itself"
    return f"none: {kind.NO_INVERSE}" if kind.NO_INVERSE else "by the kind itself: puts back what stands there now"


def _show(value: FieldValue, scope: RunScope) -> str:
    """A field with what is known of it; unknown values are shown as such."""
    match value:
        case Template() | Script():
            return value.show(scope)
        case Mapped():
            return ", ".join(f"{k}={_show(v, scope)}" for k, v in value.items.items())
        case Listed():
            return ", ".join(_show(v, scope) for v in value.items)
        case Formula():
            seen = resolve(value, scope)
            return (
                f"<{value.text}: {'not yet' if seen.not_yet else seen}>" if isinstance(seen, Unknown) else shown(seen)
            )
        case _:
            return shown(value)


def _facts(final: ev.StepFinished) -> str:
    """The small outputs of a look, for the row."""
    facts = []
    for name, value in {**final.outputs, **final.captures}.items():
        if isinstance(value, bool | int) or (isinstance(value, str) and len(value) <= SHORT):
            facts.append(f"{name} {value}")
        elif isinstance(value, dict) and "$us" in value:
            facts.append(f"{name} {Duration(value['$us'])}")
    return ", ".join(facts) or final.outcome
