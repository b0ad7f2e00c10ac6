"""Walks a runbook: phases, blocks, branches, steps, in the order written, from wherever the journal says it stands.

The walk has no memory of its own: a step whose end is recorded is passed by, one that began is settled, one that never
began is carried out. So starting, resuming and going on after a crash are one path.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from drctl.core import events as ev
from drctl.core.expressions import evaluate
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
)
from drctl.core.values import Unknown
from drctl.engine.blocks import Branches, Fences, HaltedError, side_by_side
from drctl.engine.failures import Failures, ending_steps, good
from drctl.engine.scope import RunScope
from drctl.engine.stops import Control, Stop
from drctl.engine.units import ActUnit
from drctl.errors import Exit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from drctl.core.fold import RunState
    from drctl.engine.context import Context
    from drctl.engine.ledger import Ledger
    from drctl.engine.looks import Looks
    from drctl.engine.marks import Marks
    from drctl.engine.people import People
    from drctl.engine.preflight import Preflight
    from drctl.engine.questions import Questions
    from drctl.engine.recorder import Recorder
    from drctl.engine.sleeps import Sleeps
    from drctl.engine.turns import Turns


@dataclass(frozen=True, slots=True, kw_only=True)
class Crew:
    """The parts of the engine that a walk sends out, one for each kind of step."""

    looks: Looks
    turns: Turns
    fences: Fences
    people: People
    ledger: Ledger
    preflight: Preflight
    failures: Failures
    marks: Marks
    sleeps: Sleeps


class Walk:
    """One writer's walk through its runbook."""

    def __init__(self, crew: Crew, questions: Questions, recorder: Recorder, control: Control) -> None:
        self._crew = crew
        self._questions = questions
        self._recorder = recorder
        self._control = control
        self._branches = Branches()

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
        if state is None or not any(self._began(step) for step in phase.steps):
            unwanted = self._unwanted(phase.when, phase.id)
            for step in phase.steps if unwanted else ():
                self._skip_all(step, f"phase {phase.id} was skipped")
            if state is None:
                language, scope = self._context.identity.language, RunScope(context=self._context)
                title = phase.title.pick(language).show(scope) if phase.title else ""
                self._recorder.write(ev.BlockStarted(path=phase.id, form="phase", title=title))
            if unwanted:
                self._recorder.write(ev.BlockFinished(path=phase.id, outcome="skipped", because=unwanted))
                return
        self._crew.preflight.phase(phase)
        outcome = self._serial(phase.steps)
        self._recorder.write(ev.BlockFinished(path=phase.id, outcome=outcome.value), durable=True)

    def _skip_all(self, step: Step, because: str) -> None:
        """Record everything inside as skipped, before the block itself: a crash in between skips the rest."""
        for inner in ending_steps(step):
            if isinstance(inner.body, Fence):
                self._skip_block(inner, because)
            elif self._state.step(inner.path).own_final is None:
                self._crew.looks.end_early(inner, Outcome.SKIPPED, because)
        self._skip_blocks(step, because)

    def _skip_blocks(self, step: Step, because: str) -> None:
        if isinstance(step.body, Block):
            for inner in step.body.steps:
                self._skip_blocks(inner, because)
            self._skip_block(step, because)

    def _began(self, step: Step) -> bool:
        """Whether anything inside began; if not, its condition is asked again: a crash may have cut a skip short."""
        return any(self._state.step(inner.path).began for inner in walk(step))

    def _skip_block(self, step: Step, because: str) -> None:
        self._recorder.write(ev.BlockStarted(path=step.path, form=_form(step), title=self._crew.looks.title(step)))
        self._recorder.write(ev.BlockFinished(path=step.path, outcome="skipped", because=because))

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
            if self._branches.halt is not None:
                # Inside a branch nothing is asked: the others finish the step they are in, then the block asks once.
                self._branches.halt.set()
                return outcome
            if isinstance(step.body, Block) and not step.body.parallel:
                return outcome
            answered = self._crew.failures.take(step, outcome)
            if answered is not None:
                self._crew.marks.set(step)
                return answered

    def _between(self, step: Step) -> None:
        """Between steps: take up words from outside, and stop if one says so."""
        if self._branches.halt is not None and self._branches.halt.is_set:
            raise HaltedError
        self._questions.drain()
        if self._control.stopping:
            raise self._control.stop(step.path)
        self._crew.sleeps.check()

    def _one(self, step: Step) -> Outcome:
        """Carry one step or block out, or pass it by when its end is recorded."""
        body, state = step.body, self._state.step(step.path)
        if isinstance(body, Block | Fence):
            return self._block(step, body)
        final = state.own_final
        doubtful = final is not None and Outcome(final.outcome) is Outcome.IN_DOUBT
        if final is not None and (not doubtful or self._crew.failures.answered(step)):
            self._crew.marks.set(step)
            return Outcome(final.outcome)
        unwanted = self._unwanted(step.when, step.path) if final is None and not state.units else ""
        if unwanted:
            self._crew.looks.end_early(step, Outcome.SKIPPED, unwanted)
            return Outcome.SKIPPED
        finished = self._carry_out(step)
        if not finished.final:
            raise self._control.stop(step.path)
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

    def _act(self, step: Step) -> ev.StepFinished:
        state = self._state.step(step.path)
        if state.unsettled and state.intent is not None:
            # What began there is settled there, wherever the step would go today.
            return self._crew.turns.act(ActUnit(step=step, place=state.intent.host))
        place = self._crew.looks.place_of(step)
        if isinstance(place, Unknown):
            return self._crew.looks.end_early(step, Outcome.FAILED, f"no place: {place}", role=ev.Role.ACT)
        return self._crew.turns.act(ActUnit(step=step, place=place))

    def _unwanted(self, when: Formula | None, path: str) -> str:
        """Why a condition keeps a step or block from running; empty when it runs.

        A person decides about a condition without a value. It never defaults to either.
        """
        seen = evaluate(when.expression, RunScope(context=self._context)) if when is not None else True
        if when is None or not isinstance(seen, Unknown):
            return "" if when is None or seen is True else f"{when.text} is false"
        why = f"cannot tell whether {when.text}: {seen}"
        question = ev.Asked(
            id="", kind="when", path=path, text=f"C{why[1:]}. Run {path} or skip it?", choices=("run", "skip")
        )
        answer = self._questions.ask(question, Stop("question", path=path, because=why, exit=Exit.PAUSED))
        note = ev.DeviationNoted(path=path, what=f"when: {answer.choice}", by=answer.by, because=answer.reason)
        self._recorder.deviation(note)
        return "" if answer.choice == "run" else f"skipped by {answer.by}: {answer.reason}"

    # -- blocks -----------------------------------------------------------------------------------------------------

    def _block(self, step: Step, body: Block | Fence) -> Outcome:
        state = self._state.blocks.get(step.path)
        if state is not None and state.outcome is not None:
            self._crew.marks.set(step)
            return state.outcome  # what ended badly is entered again only when a person says so
        place = self._crew.looks.place_of(step) if isinstance(body, Fence) else ""
        host = "" if isinstance(place, Unknown) else place
        refused = f"no place: {place}" if isinstance(place, Unknown) else ""
        if state is None or not self._began(step):
            unwanted = self._unwanted(step.when, step.path)
            if unwanted:
                self._skip_all(step, unwanted)
                return Outcome.SKIPPED
        if state is None:
            started = ev.BlockStarted(path=step.path, form=_form(step), title=self._crew.looks.title(step), host=host)
            self._recorder.write(started)
        if isinstance(body, Fence) and not refused:
            refused = self._crew.fences.ask(step, body, host)
        outcome, because = (Outcome.FAILED, refused) if refused else self._inside(step, body)
        self._recorder.write(
            ev.BlockFinished(path=step.path, outcome=outcome.value, because=because, host=host), durable=True
        )
        self._crew.marks.set(step)
        return outcome

    def _inside(self, step: Step, body: Block | Fence) -> tuple[Outcome, str]:
        with self._control.shielded(really=step.uninterruptible):
            if isinstance(body, Fence):
                return self._crew.fences.carry_out(body, self._between)
            if body.parallel:
                return side_by_side(body, self._branches, self._step), ""
            return self._serial(body.steps), ""


def _form(step: Step) -> str:
    if isinstance(step.body, Fence):
        return "fence"
    return "parallel" if isinstance(step.body, Block) and step.body.parallel else "steps"
