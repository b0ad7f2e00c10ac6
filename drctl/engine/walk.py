"""Walks a runbook: phases and steps, in the order written, from wherever the journal says it stands.

The walk has no memory of its own: a step whose end is recorded is passed by, one that began is settled, one that never
began is carried out. So starting, resuming and going on after a crash are one path. What has no unit of its own, such
as a block or a loop, is carried out in `engine.containers`, which comes back here for each step inside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from drctl.core import events as ev
from drctl.core.expressions import evaluate
from drctl.core.model import Block, Check, Decide, Manual, Phase, RestoreNow, SetNames, Step, Wait
from drctl.core.nouns import dataclass
from drctl.core.outcomes import Effect, Outcome
from drctl.core.values import Unknown
from drctl.engine.blocks import HaltedError, LimitError, over
from drctl.engine.containers import Containers
from drctl.engine.failures import AGAIN, Failures, good
from drctl.engine.parts import ending, form_of, is_container, is_group, parts, within
from drctl.engine.scope import RunScope
from drctl.engine.stops import Control, Stop
from drctl.engine.units import ActUnit
from drctl.errors import Exit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from drctl.core.fold import BlockState, RunState
    from drctl.core.written import Formula
    from drctl.engine.blocks import Branches
    from drctl.engine.context import Context
    from drctl.engine.fences import Fences
    from drctl.engine.ledger import Ledger
    from drctl.engine.looks import Looks
    from drctl.engine.marks import Marks
    from drctl.engine.pace import Ladder
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
    questions: Questions
    branches: Branches
    ladder: Ladder


class Walk:
    """One writer's walk through its runbook."""

    def __init__(self, crew: Crew, recorder: Recorder, control: Control) -> None:
        self._crew = crew
        self._questions = crew.questions
        self._recorder = recorder
        self._control = control
        self._branches = crew.branches
        self._containers = Containers(self, crew, recorder, control)
        self.ladder = crew.ladder
        self.ladder.take = self._containers.attempts.climb

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
            self.phase(phase, phase.id, RunScope(context=self._context))

    # -- phases and steps -------------------------------------------------------------------------------------------

    def phase(self, phase: Phase, path: str, scope: RunScope) -> Outcome:
        """Carry one phase out; `scope` is that of the file it stands in."""
        state, again = self._state.blocks.get(path), self._phase_again(path)
        if state is not None and state.outcome is not None and not again:
            return state.outcome
        if state is None or again:
            title = phase.title.pick(self._context.identity.language).show(scope) if phase.title else ""
            by = self._state.blocks[path.rpartition("/")[0]].by if again else ""
            self._recorder.write(ev.BlockStarted(path=path, form="phase", title=title, by=by))
        if self.undecided(self._state.blocks[path], phase.steps):
            unwanted = self.unwanted(phase.when, path, scope)
            for step in phase.steps if unwanted else ():
                self.skip_all(step, f"phase {phase.id} was skipped")
            if unwanted:
                self._recorder.write(ev.BlockFinished(path=path, outcome="skipped", because=unwanted))
                return Outcome.SKIPPED
        if path == phase.id:
            self._crew.preflight.phase(phase)
        because = self._guarded(phase, path, scope)
        outcome = Outcome.FAILED if because else self.serial(phase.steps)
        self._recorder.write(ev.BlockFinished(path=path, outcome=outcome.value, because=because), durable=True)
        return outcome

    def _phase_again(self, path: str) -> bool:
        """Whether a phase that is over is walked again: its include was entered again since, and it was not good."""
        state, around = self._state.blocks.get(path), self._state.blocks.get(path.rpartition("/")[0])
        if state is None or around is None or state.outcome is None or around.started_seq < state.finished_seq:
            return False
        return around.by == AGAIN or state.outcome not in {Outcome.OK, Outcome.SKIPPED, Outcome.PARTIAL}

    def _guarded(self, phase: Phase, path: str, scope: RunScope) -> str:
        """Ask the people of a phase's guards before its first step; a refusal is a failure of the phase."""
        if phase.guards.approve is None and phase.guards.caution is None:
            return ""
        whole = Step(
            id=phase.id, path=path, where=phase.where, body=Block(steps=phase.steps), title=phase.title,
            guards=phase.guards, frames=scope.frames, home=scope.home,
        )  # fmt: skip
        while True:
            because = self._containers.agree(whole)
            if not because:
                return ""
            if self._branches.quiet:
                return because
            stop = Stop("failure", path=path, because=because, exit=Exit.STEP_FAILED)
            text = f"phase {phase.id} may not begin: {because}"
            asked = ev.Asked(id="", kind="failure", path=path, text=text, choices=("retry", "abort"))
            answer = self._questions.ask(asked, stop)
            if answer.choice == "abort":
                because = f"{answer.by} said abort: {answer.reason}"
                raise Stop("abort", path=path, because=because, exit=Exit.ABORTED)
            self._recorder.write(ev.BlockStarted(path=path, form="phase"), durable=True)

    def skip_all(self, step: Step, because: str) -> None:
        """Record everything inside as skipped, before the block itself: a crash in between skips the rest."""
        for inner in ending(self._context, step):
            if is_container(inner):
                self._skip_block(inner, because)
            elif self._state.step(inner.path).own_final is None:
                self._crew.looks.end_early(inner, Outcome.SKIPPED, because)
        self._skip_blocks(step, because)

    def _skip_blocks(self, step: Step, because: str) -> None:
        if is_group(step):
            for inner in parts(self._context, step):
                self._skip_blocks(inner, because)
            self._skip_block(step, because)

    def undecided(self, state: BlockState | None, steps: Sequence[Step]) -> bool:
        """Whether a container's condition is to be asked: nothing inside began, or not since all of it is done again.

        Asked again it is also after a crash that may have cut a skip short.
        """
        since = state.started_seq if state is not None and state.by == AGAIN else -1
        units = (
            unit
            for step in steps
            for inner in within(self._context, step)
            for unit in self._state.step(inner.path).units
        )
        return not any(unit.started_seq > since for unit in units)

    def _skip_block(self, step: Step, because: str) -> None:
        known = self._state.blocks.get(step.path)
        frozen = known.frozen if known is not None else {}  # what began in it before keeps its ways back
        title = self._crew.looks.title(step)
        self._recorder.write(ev.BlockStarted(path=step.path, form=form_of(step), title=title, frozen=frozen))
        self._recorder.write(ev.BlockFinished(path=step.path, outcome="skipped", because=because))

    def serial(self, steps: Sequence[Step]) -> Outcome:
        """Carry steps out one after the other; the first bad end is the end of all."""
        partial = False
        for step in steps:
            outcome = self.step(step)
            if not good(step, outcome):
                return outcome
            partial = partial or outcome is Outcome.PARTIAL
        return Outcome.PARTIAL if partial else Outcome.OK

    def step(self, step: Step) -> Outcome:
        """Carry one step out; a bad end is asked about here, unless what is around judges it."""
        while True:
            self.between(step)
            outcome = self._one(step)
            if good(step, outcome) or self._branches.quiet:
                return outcome
            self._in_time()  # else a person would be asked about a step that its block has given up
            answered = self._crew.failures.take(step, outcome)
            if answered is not None:
                self._crew.marks.set(step)
                return answered

    def between(self, step: Step) -> None:
        """Between steps: take up words from outside, and stop if one says so.

        Raises:
            Stop: a word from outside.
            HaltedError: too many failed beside this one.
            LimitError: the time of a block around is over.
        """
        if self._branches.halt is not None and self._branches.halt.is_set:
            raise HaltedError
        self._questions.drain()
        if self._control.stopping:
            raise self._control.stop(step.path)
        self._crew.sleeps.check()
        self._in_time()

    def _in_time(self) -> None:
        limit = over(self._branches, self._context.clock, self._state)
        if limit is not None:
            raise LimitError(limit)

    def _one(self, step: Step) -> Outcome:
        """Carry one step or block out, or pass it by when its end is recorded."""
        if is_container(step):
            return self._containers.carry_out(step)
        state = self._state.step(step.path)
        final = state.own_final
        doubtful = final is not None and Outcome(final.outcome) is Outcome.IN_DOUBT
        if final is not None and (not doubtful or self._crew.failures.answered(step)):
            self._crew.marks.set(step)
            return Outcome(final.outcome)
        is_fresh = final is None and (state.last is None or _again_by_drctl(state.last.finished))
        unwanted = self.unwanted(step.when, step.path, RunScope(context=self._context).at(step)) if is_fresh else ""
        if unwanted:
            self._crew.looks.end_early(step, Outcome.SKIPPED, unwanted)
            return Outcome.SKIPPED
        finished = self._carry_out(step)
        if not finished.final:
            self.between(step)  # it stopped for a word from outside, or because the time of a block is over
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

    def unwanted(self, when: Formula | None, path: str, scope: RunScope) -> str:
        """Why a condition keeps a step or block from running; empty when it runs.

        A person decides about a condition without a value. It never defaults to either.
        """
        seen = evaluate(when.expression, scope) if when is not None else True
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


def _again_by_drctl(finished: ev.StepFinished | None) -> bool:
    """Whether a step is to be done again because the block around it is: its condition is asked again too."""
    return finished is not None and not finished.final and finished.by == AGAIN
