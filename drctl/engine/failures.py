"""What follows a bad end: the step's own rule, or a person's word. Every word instead of an outcome is a deviation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from drctl.core import events as ev
from drctl.core.model import Fence, Manual, Step
from drctl.core.outcomes import OnFailure, Outcome
from drctl.core.ports import HELD
from drctl.core.roster import Roster
from drctl.core.values import Unknown
from drctl.engine.parts import containers, ending, form_of, is_container, is_group, is_rolling
from drctl.engine.scope import RunScope
from drctl.engine.stops import Stop
from drctl.engine.units import HARD
from drctl.errors import Exit

if TYPE_CHECKING:
    from drctl.core.fold import BlockState
    from drctl.core.values import Time
    from drctl.engine.context import Context
    from drctl.engine.looks import Looks
    from drctl.engine.questions import Questions
    from drctl.engine.recorder import Recorder

CHOICES: Final = ("retry", "skip", "done", "abort")
ATTESTED: Final = "attested done"
AGAIN: Final = "drctl"
"""Who says that a step is to be done again when no person does: the block around it."""
DOUBT_CHOICES: Final = ("done", "not_done", "look", "abort")


def good(step: Step, outcome: Outcome) -> bool:
    """Whether the walk goes on after this end."""
    if outcome in {Outcome.OK, Outcome.SKIPPED, Outcome.PARTIAL}:
        return True
    foreseen = outcome in step.judgement.tolerate or step.judgement.observe
    return outcome not in {Outcome.IN_DOUBT, Outcome.NOT_RUN} and foreseen


class Failures:
    """Failed and doubtful steps of one run."""

    def __init__(self, looks: Looks, recorder: Recorder, questions: Questions) -> None:
        self._looks = looks
        self._recorder = recorder
        self._questions = questions

    def take(self, step: Step, outcome: Outcome) -> Outcome | None:
        """Do what the step says about failure, or ask; None when it is to be tried again.

        Raises:
            Stop: the run pauses for a person, or is to be closed.
        """
        if outcome is Outcome.IN_DOUBT:
            if not is_group(step):
                return self._doubt(step)
            for inner in self._doubtful(step):
                self._doubt(inner)
            if form_of(step) != "parallel" or not self._failed(step):
                self.reopen(step)
                return None
        because = self._because(step)
        if step.on_failure is OnFailure.ABORT:
            raise Stop("failed", path=step.path, because=because, exit=Exit.STEP_FAILED)
        if step.on_failure is OnFailure.ROLLBACK:
            raise Stop("rollback", path=step.path, because=because, exit=Exit.ROLLED_BACK)
        return self._obey(step, self._questions.ask(self._failure(step, because), _pause(step.path, because)))

    def answered(self, step: Step) -> bool:
        """Whether a person has already said what became of a doubtful step; then nobody needs to look again."""
        return self._questions.answered("doubt", step.path) is not None

    def reopen(self, step: Step) -> None:
        """Let a block that ended be entered again; its steps that are over stay over."""
        for inner in reversed(list(containers(self._context, step))):
            state = self._recorder.state.blocks.get(inner.path)
            if state is not None and state.outcome is not None and not good(inner, state.outcome):
                self._enter(state, anew=inner.loop is not None)  # a person who says "again" wants the list of now

    def start_over(self, step: Step, because: str) -> None:
        """Before a block is done again: looks and idempotent acts anew, what must not happen twice stays done.

        Its own ladder stays as it is: each rung is taken once, however many attempts there are.
        """
        ladder = f"{step.path}/escalate/"
        for inner in ending(self._context, step):
            if inner.path.startswith(ladder):
                continue
            end = self._final(inner)
            if end is None or end is Outcome.IN_DOUBT or self._stays(inner, end):
                continue
            for one in inner.body.methods if isinstance(inner.body, Fence) else (inner,):
                if self._final(one) is not None:
                    self._mark_again(one, AGAIN, because)
        for inner in reversed(list(containers(self._context, step))[1:]):
            state = self._recorder.state.blocks.get(inner.path)
            if state is not None and state.outcome is not None and not inner.path.startswith(ladder):
                # The batches of a rolling block stay: a host in another batch would be another address.
                self._enter(state, anew=not is_rolling(inner), by=AGAIN)

    def _stays(self, step: Step, end: Outcome) -> bool:
        """Whether it is not done again with the block: what must not happen twice and is there, and people's words."""
        final = self._recorder.state.step(step.path).own_final
        if final is not None and final.by:
            return True
        done = good(step, end) and end is not Outcome.SKIPPED
        return done and (step.effect in HARD or isinstance(step.body, Manual))

    def mark_taken_back(self, step: Step) -> None:
        """After an act was taken back because not all were ok: it is to be done again, if anything is."""
        if self._final(step) is Outcome.OK:
            self._mark_again(step, AGAIN, "taken back: all or none")

    def ended(self, step: Step) -> bool:
        """Whether its own end is recorded."""
        return self._final(step) is not None

    def ended_at(self, step: Step) -> Time | None:
        """When it ended."""
        block = self._recorder.state.blocks.get(step.path)
        return block.finished_at if block is not None else self._recorder.state.step(step.path).own_final_at

    def because(self, step: Step) -> str:
        """Why it ended as it did, in one line."""
        return self._because(step)

    def _enter(self, state: BlockState, *, anew: bool = False, by: str = "") -> None:
        kept = state.frozen
        if anew and kept:  # until it begins, what was done so far must still be found by a way back
            kept = {**kept, **Roster(anew=True).values}
        again = ev.BlockStarted(
            path=state.path, form=state.form, title=state.title, host=state.host, frozen=kept, by=by
        )
        self._recorder.write(again, durable=True)

    def _mark_again(self, step: Step, by: str, because: str) -> None:
        marker = ev.StepFinished(path=step.path, attempt=0, outcome="not_run", final=False, by=by, because=because)
        self._recorder.write(marker, durable=True)

    @property
    def _context(self) -> Context:
        return self._looks.context

    # -- asking -----------------------------------------------------------------------------------------------------

    def _failure(self, step: Step, because: str) -> ev.Asked:
        context = self._context
        state, block = self._recorder.state, self._recorder.state.blocks.get(step.path)
        outcome = state.step(step.path).outcome or (block.outcome if block is not None else None) or Outcome.FAILED
        lines = [f"{step.id} {outcome.value}: {because}"]
        if step.hint is not None:
            lines.append(f"Hint: {step.hint.pick(context.identity.language).show(RunScope(context=context).at(step))}")
        if is_group(step):
            lines.append("skip and done are for every step of it that is not ok, the ones not begun among them.")
        return ev.Asked(id="", kind="failure", path=step.path, text="\n".join(lines), choices=CHOICES)

    def _doubt(self, step: Step) -> Outcome | None:
        because = self._because(step)
        text = (
            f"{step.id} is in doubt: {because}\nLook at the host yourself. Is the effect there?\n"
            "done = it is there; not_done = it is not, and nothing of it runs any more; look = let drctl look again."
        )
        question = ev.Asked(id="", kind="doubt", path=step.path, text=text, choices=DOUBT_CHOICES)
        stop = Stop("doubt", path=step.path, because=because, exit=Exit.IN_DOUBT)
        return self._obey(step, self._questions.ask(question, stop))

    def _doubtful(self, block: Step) -> list[Step]:
        """Steps of a block that are in doubt and that no person has spoken about."""
        return [step for step in ending(self._context, block) if self._final(step) is Outcome.IN_DOUBT]

    def _failed(self, block: Step) -> bool:
        """Whether a step of a block ended badly, doubts apart: then somebody decides about the whole."""
        ends = [(step, self._final(step)) for step in ending(self._context, block)]
        return any(end is not None and end.bad and not good(step, end) for step, end in ends)

    def _final(self, step: Step) -> Outcome | None:
        if is_container(step):
            block = self._recorder.state.blocks.get(step.path)
            return block.outcome if block is not None else None
        final = self._recorder.state.step(step.path).own_final
        return Outcome(final.outcome) if final is not None else None

    def _because(self, step: Step) -> str:
        state = self._recorder.state
        final, block = state.step(step.path).own_final, state.blocks.get(step.path)
        if final is not None:
            return final.because
        if block is not None and block.because:
            return block.because
        ends = [(inner, self._final(inner)) for inner in ending(self._context, step)]
        bad = [(inner, end) for inner, end in ends if end is not None and not good(inner, end)]
        return "; ".join(f"{inner.id}: {self._because(inner) or end.value}" for inner, end in bad)

    # -- obeying ----------------------------------------------------------------------------------------------------

    def _obey(self, step: Step, answer: ev.Answered) -> Outcome | None:
        match answer.choice:
            case "abort":
                because = f"{answer.by} said abort: {answer.reason}"
                raise Stop("abort", path=step.path, because=because, exit=Exit.ABORTED)
            case "skip":
                self._by_hand(step, Outcome.SKIPPED, answer)
                return Outcome.SKIPPED
            case "done":
                self._by_hand(step, Outcome.OK, answer)
                return Outcome.OK
            case "retry" | "not_done":
                self._again(step, answer)
        return None

    def _again(self, step: Step, answer: ev.Answered) -> None:
        """Record that what failed is to be tried again; what was ok stays, what is in doubt is settled first."""
        because = f"to be tried again: {answer.reason}" if answer.reason else "to be tried again"
        for inner in ending(self._context, step):
            end = self._final(inner)
            if end is None or good(inner, end):
                continue
            # Said again, every method of a fence is carried out again: one that was ok did not help.
            for one in inner.body.methods if isinstance(inner.body, Fence) else (inner,):
                own = self._final(one)
                if own is not None and (own is not Outcome.IN_DOUBT or answer.choice == "not_done"):
                    self._mark_again(one, answer.by, because)
        self.reopen(step)

    def _by_hand(self, step: Step, outcome: Outcome, answer: ev.Answered) -> None:
        """A person's word instead of an outcome."""
        what = "skipped" if outcome is Outcome.SKIPPED else ATTESTED
        note = ev.DeviationNoted(path=step.path, what=what, by=answer.by, because=answer.reason)
        self._recorder.deviation(note)
        because = f"{what} by {answer.by}: {answer.reason}"
        groups = [inner for inner in containers(self._context, step) if is_group(inner)]
        for inner in [*ending(self._context, step), *reversed(groups)]:
            if is_container(inner):
                self._block_by_hand(inner, outcome, because)
            elif (end := self._final(inner)) is None or not good(inner, end):
                event = ev.StepFinished(
                    path=inner.path, attempt=0, outcome=outcome.value, by=answer.by, found=outcome is Outcome.OK,
                    because=because,
                )  # fmt: skip
                self._recorder.write(event, durable=True)

    def _block_by_hand(self, step: Step, outcome: Outcome, because: str) -> None:
        known = self._recorder.state.blocks.get(step.path)
        if known is not None and known.outcome is not None and good(step, known.outcome):
            return
        place = self._looks.place_of(step) if isinstance(step.body, Fence) else ""
        host = "" if isinstance(place, Unknown) else place
        if known is None:
            self._recorder.write(ev.BlockStarted(path=step.path, form=form_of(step), host=host))
        self._recorder.write(
            ev.BlockFinished(path=step.path, outcome=outcome.value, because=because, host=host), durable=True
        )


def _pause(path: str, because: str) -> Stop:
    """The pause of a failed step; one that met another run's host is told apart."""
    if because.startswith(HELD) or f": {HELD}" in because:
        return Stop("locked", path=path, because=because, exit=Exit.LOCKED)
    return Stop("failure", path=path, because=because, exit=Exit.STEP_FAILED)
