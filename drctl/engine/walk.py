"""Walks a runbook: phases, blocks, branches, steps, in the order written, from wherever the journal says it stands.

The walk has no memory of its own: a step whose end is recorded is passed by, one that began is settled, one that never
began is carried out. So starting, resuming and going on after a crash are one path.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from drctl.core import events as ev
from drctl.core.expressions import evaluate
from drctl.core.kind import Seen
from drctl.core.model import (
    Block,
    Check,
    Decide,
    Effect,
    Fence,
    Formula,
    Manual,
    Outcome,
    Phase,
    RestoreNow,
    SetNames,
    Step,
    Wait,
    walk,
)  # fmt: skip
from drctl.core.values import Unknown
from drctl.engine.acts import Acts, ActUnit
from drctl.engine.failures import Failures, good
from drctl.engine.fanout import fan_out
from drctl.engine.scope import RunScope
from drctl.engine.stops import Control, Stop
from drctl.errors import Exit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from drctl.core.fold import RunState
    from drctl.engine.context import Context
    from drctl.engine.guards import Guards
    from drctl.engine.ledger import Ledger
    from drctl.engine.looks import Looks
    from drctl.engine.marks import Marks
    from drctl.engine.people import People
    from drctl.engine.preflight import Preflight
    from drctl.engine.questions import Questions
    from drctl.engine.recorder import Recorder


@dataclass(frozen=True, slots=True, kw_only=True)
class Crew:
    """The parts of the engine that a walk sends out, one for each kind of step."""

    looks: Looks
    acts: Acts
    people: People
    guards: Guards
    ledger: Ledger
    preflight: Preflight
    failures: Failures
    marks: Marks


class Walk:
    """One writer's walk through its runbook."""

    def __init__(self, crew: Crew, questions: Questions, recorder: Recorder, control: Control) -> None:
        self._crew = crew
        self._questions = questions
        self._recorder = recorder
        self._control = control
        self._branch = threading.local()

    @property
    def _context(self) -> Context:
        return self._crew.looks.context

    @property
    def _state(self) -> RunState:
        return self._recorder.state

    def run(self) -> None:
        """Walk all phases to the end.

        Raises:
            Stop: the run pauses, or is to be closed.
        """
        self._crew.preflight.whole()
        for phase in self._context.runbook.phases:
            self._phase(phase)

    # -- phases and steps -------------------------------------------------------------------------------------------

    def _phase(self, phase: Phase) -> None:
        state = self._state.blocks.get(phase.id)
        if state is not None and state.outcome is not None:
            return
        if state is None:
            language, scope = self._context.identity.language, RunScope(context=self._context)
            title = phase.title.pick(language).show(scope) if phase.title else ""
            wanted = phase.when is None or self._holds(phase.when, phase.id)
            self._recorder.write(ev.BlockStarted(path=phase.id, form="phase", title=title))
            if not wanted and phase.when is not None:
                because = f"{phase.when.text} is false"
                self._recorder.write(ev.BlockFinished(path=phase.id, outcome="skipped", because=because))
                for step in phase.steps:
                    self._skip_all(step, f"phase {phase.id} was skipped")
                return
        self._crew.preflight.phase(phase)
        outcome = self._serial(phase.steps)
        self._recorder.write(ev.BlockFinished(path=phase.id, outcome=outcome.value), durable=True)

    def _skip_all(self, step: Step, because: str) -> None:
        for inner in walk(step):
            if not isinstance(inner.body, Block | Fence):
                self._crew.looks.end_early(inner, Outcome.SKIPPED, because)

    def _serial(self, steps: Sequence[Step]) -> Outcome:
        for step in steps:
            outcome = self._step(step)
            if not good(step, outcome):
                return outcome
        return Outcome.OK

    def _step(self, step: Step) -> Outcome:
        while True:
            self._between(step)
            outcome = self._one(step)
            if good(step, outcome):
                return outcome
            if self._halt is not None:
                # Inside a branch nothing is asked: the others finish the step they are in, then the block asks once.
                self._halt.set()
                return outcome
            if isinstance(step.body, Block) and not step.body.parallel:
                return outcome
            answered = self._crew.failures.take(step, outcome)
            if answered is not None:
                self._crew.marks.set(step)
                return answered

    @property
    def _halt(self) -> threading.Event | None:
        """Set by the branch that failed first; None outside of branches."""
        halt: threading.Event | None = getattr(self._branch, "halt", None)
        return halt

    def _between(self, step: Step) -> None:
        """Between steps: take up words from outside, and stop if one says so."""
        if self._halt is not None and self._halt.is_set():
            raise _Halted
        self._questions.drain()
        if self._control.abort:
            because = self._control.because or "the operator said abort"
            raise Stop("abort", path=step.path, because=because, exit=Exit.ABORTED)
        if self._control.level > 0:
            because = self._control.because or "stopped by the operator"
            raise Stop("operator", path=step.path, because=because, exit=Exit.INTERRUPTED)

    def _one(self, step: Step) -> Outcome:
        """Carry one step or block out, or pass it by when its end is recorded."""
        body, state = step.body, self._state.step(step.path)
        if isinstance(body, Block | Fence):
            return self._block(step, body)
        final = state.final
        doubtful = final is not None and Outcome(final.outcome) is Outcome.IN_DOUBT
        if final is not None and (not doubtful or self._crew.failures.answered(step)):
            self._crew.marks.set(step)
            return Outcome(final.outcome)
        if final is None and not state.units and not self._wanted(step):
            because = f"{step.when.text} is false" if step.when is not None else "skipped"
            self._crew.looks.end_early(step, Outcome.SKIPPED, because)
            return Outcome.SKIPPED
        finished = self._carry_out(step)
        if not finished.final:
            because = "stopped while it was looking or trying again"
            raise Stop("operator", path=step.path, because=because, exit=Exit.INTERRUPTED)
        self._crew.marks.set(step)
        return Outcome(finished.outcome)

    def _carry_out(self, step: Step) -> ev.StepFinished:
        body = step.body
        if isinstance(body, Decide | Manual | Check | SetNames | Wait):
            return self._crew.people.carry_out(step)
        if isinstance(body, RestoreNow):
            return self._crew.ledger.restore_now(step, body)
        if step.effect is Effect.READ:
            return self._crew.looks.carry_out(step)
        return self._act(step)

    # -- acts -------------------------------------------------------------------------------------------------------

    def _act(self, step: Step, role: ev.Role = ev.Role.ACT) -> ev.StepFinished:
        looks = self._crew.looks
        place = looks.place_of(step)
        if isinstance(place, Unknown):
            return looks.end_early(step, Outcome.FAILED, f"no place: {place}", role=role)
        unit = ActUnit(step=step, place=place, role=role)
        state = self._state.step(step.path)
        doubtful = state.last is not None and (state.last.open or state.outcome is Outcome.IN_DOUBT)
        early = None if doubtful else self._unless(step, unit) or self._guarded(step, unit)
        return early or self._crew.acts.carry_out(unit)

    def _unless(self, step: Step, unit: ActUnit) -> ev.StepFinished | None:
        """The end of a step that is done already."""
        if not step.unless:
            return None
        verdict = self._crew.looks.verdict(step.unless)
        if verdict.seen is Seen.NOT_DONE:
            return None
        if verdict.seen is Seen.UNKNOWN:
            because = f"cannot tell whether it is done already: {verdict.because}"
            return self._crew.looks.end_early(step, Outcome.FAILED, because)
        found = ev.StepFinished(
            path=step.path, host=unit.place, attempt=0, outcome="ok", found=True, because=f"done already: {verdict.because}",
            role=unit.role, effect_there=True,
        )  # fmt: skip
        self._recorder.write(found, durable=True)
        return found

    def _guarded(self, step: Step, unit: ActUnit) -> ev.StepFinished | None:
        """The end of a step that people or a second look refuse."""
        guards = step.guards
        if guards.approve is None and guards.caution is None and not guards.recheck:
            return None
        looks = self._crew.looks
        described = self._crew.acts.describe(unit)
        if isinstance(described, Unknown):
            return looks.end_early(step, Outcome.FAILED, f"needs {described}")
        kind, text, digest = described
        refused = self._crew.guards.hold(step, unit.place, kind, text, digest)
        if refused:
            return looks.end_early(step, Outcome.FAILED, refused)
        after = self._crew.acts.describe(unit)
        if isinstance(after, Unknown) or after[2] != digest:
            because = "what would be sent changed after the approval, so the approval is void: retry asks again"
            return looks.end_early(step, Outcome.FAILED, because)
        return None

    def _wanted(self, step: Step) -> bool:
        return step.when is None or self._holds(step.when, step.path)

    def _holds(self, when: Formula, path: str) -> bool:
        """Evaluate a condition; a person decides one without a value. It never defaults to either."""
        seen = evaluate(when.expression, RunScope(context=self._context))
        if not isinstance(seen, Unknown):
            return seen is True
        text = f"Cannot tell whether {when.text}: {seen}. Run {path} or skip it?"
        stop = Stop("question", path=path, because=f"cannot tell whether {when.text}: {seen}", exit=Exit.PAUSED)
        answer = self._questions.ask(ev.Asked(id="", kind="when", path=path, text=text, choices=("run", "skip")), stop)
        self._recorder.write(
            ev.DeviationNoted(path=path, what=f"when: {answer.choice}", by=answer.by, because=answer.reason)
        )
        return answer.choice == "run"

    # -- blocks -----------------------------------------------------------------------------------------------------

    def _block(self, step: Step, body: Block | Fence) -> Outcome:
        state = self._state.blocks.get(step.path)
        if state is not None and state.outcome is not None and good(step, state.outcome):
            return state.outcome
        place = self._crew.looks.place_of(step) if isinstance(body, Fence) else ""
        host = "" if isinstance(place, Unknown) else place
        if state is None or state.outcome is not None:
            form = "fence" if isinstance(body, Fence) else "parallel" if body.parallel else "steps"
            wanted = state is not None or self._wanted(step)
            self._recorder.write(
                ev.BlockStarted(path=step.path, form=form, title=self._crew.looks.title(step), host=host)
            )
            if not wanted and step.when is not None:
                because = f"{step.when.text} is false"
                self._recorder.write(ev.BlockFinished(path=step.path, outcome="skipped", because=because, host=host))
                self._skip_all(step, because)
                return Outcome.SKIPPED
        outcome, because = self._inside(body)
        self._recorder.write(
            ev.BlockFinished(path=step.path, outcome=outcome.value, because=because, host=host), durable=True
        )
        self._crew.marks.set(step)
        return outcome

    def _inside(self, body: Block | Fence) -> tuple[Outcome, str]:
        if isinstance(body, Fence):
            return self._fence(body)
        return (self._parallel(body) if body.parallel else self._serial(body.steps)), ""

    def _parallel(self, body: Block) -> Outcome:
        halt = threading.Event()

        def branch(step: Step) -> Outcome:
            self._branch.halt = halt
            try:
                return self._step(step)
            except _Halted:
                return Outcome.NOT_RUN
            except Stop:
                halt.set()
                raise
            finally:
                self._branch.halt = None

        outcomes = fan_out(body.steps, branch, body.at_once or len(body.steps))
        bad = [outcome for step, outcome in zip(body.steps, outcomes, strict=True) if not good(step, outcome)]
        if not bad:
            return Outcome.OK
        return Outcome.IN_DOUBT if Outcome.IN_DOUBT in bad else Outcome.FAILED

    def _fence(self, body: Fence) -> tuple[Outcome, str]:
        """Methods in order until every proof is ok. No end of a method stops the block; only the proof decides."""
        because = "no method was tried"
        for method in body.methods:
            if self._state.step(method.path).final is None:
                self._between(method)
                self._act(method, ev.Role.METHOD)
            verdict = self._crew.looks.verdict(body.proof)
            if verdict.seen is Seen.DONE:
                return Outcome.OK, "proven"
            because = verdict.because
        return Outcome.FAILED, f"not proven: {because}"


class _Halted(Exception):  # noqa: N818 - a signal within this module
    """Another branch failed; this one starts no further step."""
