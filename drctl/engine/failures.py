"""What follows a bad end: the step's own rule, or a person's word. Every word instead of an outcome is a deviation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drctl.core import events as ev
from drctl.core.model import Block, Fence, OnFailure, Outcome, Step, walk
from drctl.core.values import Unknown
from drctl.engine.scope import RunScope
from drctl.engine.stops import Stop
from drctl.errors import Exit

if TYPE_CHECKING:
    from drctl.engine.looks import Looks
    from drctl.engine.questions import Questions
    from drctl.engine.recorder import Recorder

CHOICES = ("retry", "skip", "done", "abort")


def good(step: Step, outcome: Outcome) -> bool:
    """Whether the walk goes on after this end."""
    if outcome in {Outcome.OK, Outcome.SKIPPED, Outcome.PARTIAL}:
        return True
    foreseen = outcome in step.judgement.tolerate or step.judgement.observe
    return outcome is not Outcome.IN_DOUBT and foreseen


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
        because = self._because(step)
        if outcome is Outcome.IN_DOUBT:
            return self._doubt(step, because)
        if step.on_failure is OnFailure.ABORT:
            raise Stop("failed", path=step.path, because=because, exit=Exit.STEP_FAILED)
        if step.on_failure is OnFailure.ROLLBACK:
            raise Stop("rollback", path=step.path, because=because, exit=Exit.ROLLED_BACK)
        context = self._looks.context
        hint = step.hint.pick(context.identity.language).show(RunScope(context=context)) if step.hint else ""
        text = f"{step.id} {outcome.value}: {because}" + (f"\nHint: {hint}" if hint else "")
        question = ev.Asked(id="", kind="failure", path=step.path, text=text, choices=CHOICES, digest=self._round(step))
        stop = Stop("failure", path=step.path, because=because, exit=Exit.STEP_FAILED)
        return self._obey(step, self._questions.ask(question, stop))

    def _doubt(self, step: Step, because: str) -> Outcome | None:
        text = (
            f"{step.id} is in doubt: {because}\nLook at the host yourself. Is the effect there?\n"
            "done = it is there; not_done = it is not, and nothing of it runs any more; look = let drctl look again."
        )
        choices = ("done", "not_done", "look", "abort")
        question = ev.Asked(id="", kind="doubt", path=step.path, text=text, choices=choices, digest=self._doubtful(step))
        return self._obey(
            step, self._questions.ask(question, Stop("doubt", path=step.path, because=because, exit=Exit.IN_DOUBT))
        )

    def answered(self, step: Step) -> bool:
        """Whether a person has already said what became of a doubtful step; then nobody needs to look again."""
        self._questions.drain()
        wanted = ("doubt", step.path, self._doubtful(step))
        return any(
            (q.asked.kind, q.asked.path, q.asked.digest) == wanted and q.decided is not None and q.decided.choice != "look"
            for q in self._recorder.state.questions.values()
        )

    def _doubtful(self, step: Step) -> str:
        """Names this doubt: looking again at the same claim does not make it another one."""
        return f"generation {self._recorder.state.step(step.path).generation}"

    def _obey(self, step: Step, answer: ev.Answered) -> Outcome | None:
        match answer.choice:
            case "abort":
                raise Stop(
                    "abort", path=step.path, because=f"{answer.by} said abort: {answer.reason}", exit=Exit.ABORTED
                )
            case "skip":
                self._by_hand(step, Outcome.SKIPPED, answer)
                return Outcome.SKIPPED
            case "done":
                self._by_hand(step, Outcome.OK, answer)
                return Outcome.OK
            case "retry" | "not_done":
                self._again(step, answer)
        return None

    def _round(self, step: Step) -> str:
        """Names this failure among earlier ones of the same step, so that an old answer is not taken for a new one."""
        return str(sum(len(self._recorder.state.step(inner.path).units) for inner in walk(step)))

    def _because(self, step: Step) -> str:
        state = self._recorder.state
        final, block = state.step(step.path).final, state.blocks.get(step.path)
        if final is not None:
            return final.because
        if block is not None and block.because:
            return block.because
        finals = [state.step(inner.path).final for inner in walk(step)]
        bad = [f for f in finals if f is not None and (Outcome(f.outcome).bad or f.outcome == "in_doubt")]
        return "; ".join(f"{f.path.rsplit('/', 1)[-1]}: {f.because}" for f in bad)

    def _again(self, step: Step, answer: ev.Answered) -> None:
        """Record that what failed is to be tried again; what was ok stays."""
        for inner in walk(step):
            final = self._recorder.state.step(inner.path).final
            if final is not None and not good(inner, Outcome(final.outcome)):
                because = f"to be tried again: {answer.reason}" if answer.reason else "to be tried again"
                self._recorder.write(
                    ev.StepFinished(
                        path=inner.path, attempt=0, outcome="not_run", final=False, by=answer.by, because=because
                    ),
                    durable=True,
                )

    def _by_hand(self, step: Step, outcome: Outcome, answer: ev.Answered) -> None:
        """A person's word instead of an outcome."""
        what = "skipped" if outcome is Outcome.SKIPPED else "attested done"
        for inner in walk(step):
            if isinstance(inner.body, Block | Fence):
                place = self._looks.place_of(inner) if isinstance(inner.body, Fence) else ""
                host = "" if isinstance(place, Unknown) else place
                self._recorder.write(
                    ev.BlockFinished(
                        path=inner.path, outcome=outcome.value, because=f"{what} by {answer.by}", host=host
                    )
                )
                continue
            final = self._recorder.state.step(inner.path).final
            if final is None or not good(inner, Outcome(final.outcome)):
                self._recorder.write(
                    ev.StepFinished(
                        path=inner.path, attempt=0, outcome=outcome.value, by=answer.by, found=outcome is Outcome.OK,
                        because=f"{what} by {answer.by}: {answer.reason}",
                    ),
                    durable=True,
                )  # fmt: skip
        self._recorder.write(
            ev.DeviationNoted(path=step.path, what=what, by=answer.by, because=answer.reason), durable=True
        )
