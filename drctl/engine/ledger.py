"""The ways back: `undo` on rollback, `restore` always at the end. One ledger, registered with the intents.

Entries are carried out by the same executor as ordinary units, newest first. What cannot be put back is said, with
what remains; it never holds up the rest, except that an undo that fails stops the rollback: what comes next may depend
on it, so a person decides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from drctl.core import events as ev
from drctl.core.expressions import evaluate
from drctl.core.kind import ActKind, Seen
from drctl.core.model import Action, Check, RestoreNow, Step, Wait, Way, WayKind, Ways
from drctl.core.nouns import dataclass, replace
from drctl.core.outcomes import Effect, Outcome
from drctl.core.rounds import HOST, seen_in
from drctl.core.values import Unknown
from drctl.engine.changes import as_changed
from drctl.engine.dues import RESTORE_OVER, UNDO_OVER, Dues
from drctl.engine.failures import CHOICES, good
from drctl.engine.faults import telling
from drctl.engine.fields import build
from drctl.engine.outputs import unpack
from drctl.engine.parts import within
from drctl.engine.scope import RunScope
from drctl.engine.stops import Control, Stop
from drctl.engine.units import ActUnit
from drctl.engine.ways import pinned, way_of
from drctl.errors import Exit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from drctl.core.values import Value
    from drctl.engine.acts import Acts
    from drctl.engine.context import Context
    from drctl.engine.dues import Due
    from drctl.engine.looks import Looks
    from drctl.engine.people import People
    from drctl.engine.questions import Questions
    from drctl.engine.recorder import Recorder
    from drctl.engine.turns import Turns


@dataclass(frozen=True, slots=True, kw_only=True)
class Hands:
    """Who carries ways back out: looks, acts, waits and words."""

    looks: Looks
    acts: Acts
    turns: Turns
    people: People
    questions: Questions
    control: Control


class Ledger:
    """The ways back of one run."""

    def __init__(self, hands: Hands, recorder: Recorder) -> None:
        self._hands = hands
        self._looks = hands.looks
        self._recorder = recorder
        self.dues = Dues(hands.looks.context)

    @property
    def context(self) -> Context:
        """The run they are of."""
        return self._looks.context

    # -- taking back ------------------------------------------------------------------------------------------------

    def restore_all(self) -> None:
        """Carry out every open restore; a failure of one does not stop the others.

        Raises:
            Stop: the operator wants a pause; the rest is done when the run is taken up again.
        """
        for due in self.dues.due(restore=True):
            self._take_back(due)

    def take_back(self, steps: Sequence[Step]) -> Mapping[str, str]:
        """Take back what began of these steps, by `undo` or else by `restore`; what stayed as it is, and why."""
        paths, kept = {step.path for step in steps}, dict[str, str]()
        for restore in (False, True):
            for due in self.dues.due(restore=restore):
                by_undo = bool(due.started.undo) and "none" not in (due.started.undo or {})
                if self._is_of(due, paths) and by_undo is not restore:
                    outcome, because = self._take_back(due)
                    if outcome not in {Outcome.OK, Outcome.SKIPPED}:
                        kept[due.step.path] = because or outcome.value
        return kept

    def _is_of(self, due: Due, paths: set[str]) -> bool:
        """Whether it belongs to one of these steps, or to the block of one of them on a host."""
        return due.step.path in paths or due.step.path.rpartition(f"/{HOST}")[0] in paths

    def restore_now(self, step: Step, body: RestoreNow) -> ev.StepFinished:
        """The `restore` kind: the restores of the named steps at this place."""
        context = self._looks.context
        named = [context.outline.find(name, step.home) for name in body.steps]
        seen = [seen_in(one, step.frames) for one in named if one is not None]
        paths = {inner.path for one in seen for inner in within(context, one)}
        bad = []
        for due in self.dues.due(restore=True):
            if self._is_of(due, paths):
                outcome, because = self._take_back(due)
                if outcome not in RESTORE_OVER:
                    bad.append(f"{due.step.id}: {because or outcome.value}")
        outcome = Outcome.FAILED if bad else Outcome.OK
        return self._looks.end_early(step, outcome, "; ".join(bad) or "restored")

    def roll_back(self, wanted: Callable[[Step], bool] = lambda _: True) -> None:
        """Undo everything that is due, newest first; with `wanted`, of those steps only.

        Raises:
            Stop: an undo failed and nobody has decided yet, or the operator wants a pause or an end.
        """
        while owed := [one for one in self.dues.due(restore=False) if wanted(one.step)]:
            self._hands.questions.drain()
            if self._hands.control.word == "abort":
                raise self._hands.control.stop(owed[0].path)
            due, block = owed[0], self._recorder.state.blocks.get(owed[0].path)
            if block is not None and block.outcome is not None and block.finished_seq > due.since:
                outcome, because = block.outcome, block.because  # it failed before, and nobody has said "again"
            else:
                outcome, because = self._take_back(due)
            if outcome not in UNDO_OVER:
                self._failed(due, because or outcome.value)

    def _failed(self, due: Due, because: str) -> None:
        """A person decides how a rollback goes on; what comes next may depend on the undo that failed."""
        text = (
            f"undo of {due.step.id} on {due.host}: {because}\nWhat is undone next may depend on it.\n"
            "retry = undo it again; skip = leave it, go on; done = it was undone by hand; abort = end the rollback."
        )
        question = ev.Asked(id="", kind="failure", path=due.path, text=text, choices=CHOICES)
        why = f"undo of {due.step.id}: {because}"
        stop = Stop("failure", path=due.path, because=why, exit=Exit.ROLLBACK_FAILED)
        answer = self._hands.questions.ask(question, stop)
        if answer.choice == "abort":
            raise Stop("abort", path=due.path, because=f"{answer.by} ended the rollback: {why}", exit=Exit.ABORTED)
        if answer.choice == "retry":
            self._recorder.write(ev.BlockStarted(path=due.path, form="undo", host=due.host), durable=True)
            return
        done = answer.choice == "done"
        said = f"{'attested undone' if done else 'left as it is'} by {answer.by}: {answer.reason}"
        self._recorder.deviation(
            ev.DeviationNoted(path=due.path, what="attested done" if done else "skipped", by=answer.by, because=said)
        )
        outcome = Outcome.OK if done else Outcome.NOT_RUN
        self._finish(due, outcome, said)

    def _take_back(self, due: Due) -> tuple[Outcome, str]:
        """Carry one way back out, and record what became of it."""
        if self._hands.control.level > 0:
            raise self._hands.control.pause(due.path)
        block = self._recorder.state.blocks.get(due.path)
        if block is None or block.outcome is not None:
            form = "restore" if due.restore else "undo"
            self._recorder.write(ev.BlockStarted(path=due.path, form=form, host=due.host))
        outcome, because = self._carried(due)
        self._finish(due, outcome, because)
        return outcome, because

    def _stop(self, due: Due) -> Stop:
        """What cut a way back short: an end that was said while undoing, or a pause."""
        control = self._hands.control
        return control.pause(due.path) if due.restore else control.stop(due.path)

    def _finish(self, due: Due, outcome: Outcome, because: str) -> None:
        event = ev.BlockFinished(path=due.path, outcome=outcome.value, because=because, host=due.host)
        self._recorder.write(event, durable=True)

    def _carried(self, due: Due) -> tuple[Outcome, str]:
        if "none" in due.recorded:
            return self._without_way(due, str(due.recorded["none"]))
        if due.host in self._recorder.state.fenced:
            return Outcome.NOT_RUN, f"{due.host} is fenced"
        values = pinned(due.recorded, self._looks.context.store)
        if not due.restore and not self._begun(due):
            absent = self._seen_absent(due, values)
            if absent and not self._half_done(due, values):
                return Outcome.OK, f"nothing to undo: {absent}"
        way = way_of(due.step, restore=due.restore)
        if way is not None and way.kind is WayKind.STEPS:
            return self._by_steps(due, way, values)
        return self._by_inverse(due, values)

    def _without_way(self, due: Due, why: str) -> tuple[Outcome, str]:
        """What has no way back stays as it is, for its author's reason; unless nothing of it is there."""
        if due.restore:
            return Outcome.OK, f"nothing to put back: {why}"
        now = self.seen_now(due)
        if now is None:
            return Outcome.OK, "nothing to undo: it did not end well, and a look finds nothing of it"
        if due.started.role is ev.Role.METHOD:
            fence = self._recorder.state.blocks.get(due.step.path.rpartition("/methods/")[0])
            why = f"a fence is not undone: people say when {fence.host if fence else 'its host'} may write again"
        return Outcome.SKIPPED, f"{why}{now}"

    def seen_now(self, due: Due) -> str | None:
        """What is to be said of what stays besides its reason: what a look says that does not find it as it was made.

        None when it did not end well and is not there. What ended well is always said: a later step may have moved it,
        and a look that does not find it where it was does not say that it is gone.
        """
        if due.host in self._recorder.state.fenced:
            return ""
        absent = self._seen_absent(due, pinned(due.recorded, self._looks.context.store))
        if not absent:
            return ""
        return f"; a look says: {absent}" if self._ended_well(due) else None

    def _ended_well(self, due: Due) -> bool:
        """Whether an attempt of the step left its effect, by its own end."""
        ends = [unit.finished for unit in self._recorder.state.step(due.step.path).effects]
        return any(end is not None and (end.effect_there or end.outcome == Outcome.OK.value) for end in ends)

    def _seen_absent(self, due: Due, values: Mapping[str, Value | Unknown]) -> str:
        """What a look says that finds nothing of the effect; empty when it finds it, or cannot tell."""
        if not isinstance(due.step.body, Action):
            return ""
        earlier = self._earlier(due, values)
        verdict = self._hands.acts.verify(ActUnit(step=due.step, place=due.host, pinned=values, kind=earlier))
        return verdict.because if verdict is not None and verdict.seen is Seen.NOT_DONE else ""

    def _begun(self, due: Due) -> bool:
        """Whether this way back was begun before a crash: the effect may be half gone, a look would mislead."""
        steps = self._recorder.state.steps
        return any(
            unit.started_seq > due.since
            for path in list(steps)
            if path.startswith(f"{due.path}/")
            for unit in steps[path].units
        )

    def _by_steps(self, due: Due, way: Way, values: Mapping[str, Value | Unknown]) -> tuple[Outcome, str]:
        for inner in way.steps:
            own = self._recorder.state.step(inner.path).own
            over = own is not None and own.finished is not None and own.finished.final and own.finished_seq > due.since
            ended = own.finished if own is not None and over and own.outcome in {Outcome.OK, Outcome.SKIPPED} else None
            done = ended or self._inner(due, inner, values)
            if not done.final:
                raise self._stop(due)
            outcome = Outcome(done.outcome)
            if not good(inner, outcome):
                return outcome, done.because
        return Outcome.OK, ""

    def _inner(self, due: Due, inner: Step, values: Mapping[str, Value | Unknown]) -> ev.StepFinished:
        """One step of a way back."""
        scope = RunScope(context=self._looks.context, place=due.host, pinned=values).at(inner)
        seen = evaluate(inner.when.expression, scope) if inner.when is not None else True
        if isinstance(seen, Unknown):
            because = f"cannot tell whether {inner.when.text if inner.when else ''}: {seen}"
            return self._looks.end_early(inner, Outcome.FAILED, because, role=due.role)
        if seen is False:
            because = f"{inner.when.text if inner.when else ''} is false"
            return self._looks.end_early(inner, Outcome.SKIPPED, because, role=due.role)
        if isinstance(inner.body, Wait):
            return self._hands.people.carry_out(inner)
        if isinstance(inner.body, Check) or inner.effect is Effect.READ:
            return self._looks.carry_out(inner, due.role, scope)
        place = due.host if inner.on == due.step.on else self._looks.place_of(inner, scope)
        if isinstance(place, Unknown):
            return self._looks.end_early(inner, Outcome.FAILED, f"no place: {place}", role=due.role)
        return self._hands.turns.act(ActUnit(step=inner, place=place, role=due.role, pinned=values))

    def _half_done(self, due: Due, values: Mapping[str, Value | Unknown]) -> bool:
        """Whether an act that did not end well left what is neither as it should be nor as it was.

        Only the kind's own inverse can tell: it knows what was there before.
        """
        if self._ended_well(due):
            return False  # it was there as it should be, so whatever is there now is somebody else's
        way = way_of(due.step, restore=due.restore)
        inverse = None if way is not None and way.kind is WayKind.STEPS else self._inverse(due, values)
        if inverse is None or isinstance(inverse, str):
            return False
        verdict = self._hands.acts.verify(ActUnit(step=due.step, place=due.host, kind=inverse, pinned=values))
        return verdict is not None and verdict.seen is Seen.NOT_DONE

    def _inverse(self, due: Due, values: Mapping[str, Value | Unknown]) -> ActKind | str:
        """The kind's own inverse, with what its preview had found; or why there is none."""
        context, step = self._looks.context, due.step
        prior = {name: unpack(value, context.store) for name, value in due.started.prior.items()}
        lost = [f"{name}: {value}" for name, value in prior.items() if isinstance(value, Unknown)]
        if lost or not isinstance(step.body, Action):
            return f"what stood there before was not kept ({'; '.join(lost)})"
        inverse = None
        with telling() as told:
            kind = self._kind(due, values)
            known = {name: value for name, value in prior.items() if not isinstance(value, Unknown)}
            inverse = kind.inverse(known) if kind is not None else None
        return inverse or told.because or "what stood there before is not known"

    def _by_inverse(self, due: Due, values: Mapping[str, Value | Unknown]) -> tuple[Outcome, str]:
        """Carry the kind's own inverse out."""
        step, inverse = due.step, self._inverse(due, values)
        if isinstance(inverse, str):
            return Outcome.NOT_RUN, inverse
        judgement = replace(step.judgement, capture={}, expect=(), tolerate=frozenset())
        back = replace(
            step, path=f"{due.path}/0", unless=(), verify=(), judgement=judgement, retry=None, effect=Effect.IDEMPOTENT,
            ways=Ways(),
        )  # fmt: skip
        done = self._hands.turns.act(ActUnit(step=back, place=due.host, role=due.role, kind=inverse, pinned=values))
        if not done.final:
            raise self._stop(due)
        return Outcome(done.outcome), done.because

    def _earlier(self, due: Due, values: Mapping[str, Value | Unknown]) -> ActKind | None:
        """The act as it was done, if its fields were changed since; None when a look of today tells as well."""
        if due.step.verify or due.stage == len(self._recorder.state.changes.get(due.step.path, ())):
            return None
        with telling():
            return self._kind(due, values)
        return None

    def _kind(self, due: Due, values: Mapping[str, Value | Unknown]) -> ActKind | None:
        """The act as it was done, with the fields it had then.

        Raises:
            FieldError: a value does not fit; the callers tell it.
        """
        context, step = self._looks.context, due.step
        if not isinstance(step.body, Action):
            return None
        body = as_changed(step.body, self._recorder.state.changes.get(step.path, ()), due.stage)
        scope = RunScope(context=context, place=due.host, pinned=values).at(step)
        kind = build(context.kinds[body.kind], body, scope)
        return kind if isinstance(kind, ActKind) else None
