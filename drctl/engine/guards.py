"""What stands between a step and its act: a caution, approvals, and a second look right before the intent.

An answer is for what would be sent, where and as whom: its digest. When that changes, the answer is void and a new
question is asked. Figures are shown to the approvers as they are when the question is asked; `recheck` and the `expect`
of its looks say how far they may move afterwards.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Final

from drctl.core import events as ev
from drctl.core.approvals import agreement
from drctl.core.expressions import evaluate
from drctl.core.model import Approve, Fence, Step
from drctl.core.nouns import dataclass
from drctl.core.outcomes import Effect, Outcome
from drctl.core.rounds import seen_in
from drctl.core.values import Unknown, text_of
from drctl.engine.recorder import fitting
from drctl.engine.scope import RunScope
from drctl.engine.stops import Stop
from drctl.errors import Exit

if TYPE_CHECKING:
    from drctl.engine.looks import Looks
    from drctl.engine.questions import Questions
    from drctl.engine.recorder import Recorder

MOST_FIGURE: Final = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a step is about to send: where, the text people see, and the digest their answer is bound to."""

    place: str
    text: str
    digest: str


class Guards:
    """The guards of one run's acts."""

    def __init__(self, looks: Looks, recorder: Recorder, questions: Questions) -> None:
        self._looks = looks
        self._recorder = recorder
        self._questions = questions

    def ask(self, step: Step, wanted: Wanted) -> str:
        """Ask the people; empty when the act may go on, else why it may not.

        Raises:
            Stop: nobody answered; the run pauses.
        """
        guards = step.guards
        if guards.approve is not None:
            return self._approval(step, guards.approve, wanted)
        if guards.caution is None:
            return ""
        question = ev.Asked(
            id="", kind="caution", path=step.path, text=self._text(step, wanted), choices=("confirm", "reject"),
            target=wanted.place if _irreversible(step) else "", digest=_bound(wanted),
        )  # fmt: skip
        because = "a caution waits for the operator"
        answer = self._questions.ask(question, Stop("question", path=step.path, because=because, exit=Exit.PAUSED))
        return "" if answer.choice == "confirm" else f"{answer.by} said no: {answer.reason or 'no reason given'}"

    def recheck(self, step: Step) -> str:
        """Take the named looks again; a look that is not ok stops the step before its intent."""
        for name in step.guards.recheck:
            found = self._looks.context.outline.find(name, step.home)
            look = None if found is None else seen_in(found, step.frames)
            if look is None:
                return f"recheck names {name}, which is not there"
            again = self._looks.carry_out(look, ev.Role.VERIFY)
            if Outcome(again.outcome) is not Outcome.OK or not again.final:
                return f"looked again at {name} right before: {again.because or again.outcome}"
        return ""

    def _approval(self, step: Step, approve: Approve, wanted: Wanted) -> str:
        now = self._looks.context.clock.now().micros
        within = approve.within.micros if approve.within is not None else 0
        question = ev.Asked(
            id="", kind="approval", path=step.path, text=self._text(step, wanted), choices=("approve", "reject"),
            by=approve.by, until_at=now + within if within else 0, show=self._figures(step, approve, wanted.place),
            target=wanted.place if step.guards.caution is not None else "", digest=_bound(wanted),
            quorum=approve.quorum,
        )  # fmt: skip
        because = f"approval by {agreement(approve.by, approve.quorum)} is needed"
        answer = self._questions.ask(question, Stop("question", path=step.path, because=because, exit=Exit.PAUSED))
        return "" if answer.choice == "approve" else f"{answer.by} rejected it: {answer.reason or 'no reason given'}"

    def _figures(self, step: Step, approve: Approve, place: str) -> tuple[tuple[str, str], ...]:
        scope = RunScope(context=self._looks.context, place=place).at(step)
        figures = []
        for formula in approve.show:
            value = evaluate(formula.expression, scope)
            text = f"UNKNOWN ({value})" if isinstance(value, Unknown) else "null" if value is None else text_of(value)
            figures.append((formula.text, fitting(text, MOST_FIGURE)))
        return tuple(figures)

    def _text(self, step: Step, wanted: Wanted) -> str:
        scope = RunScope(context=self._looks.context, place=wanted.place).at(step)
        language = self._looks.context.identity.language
        title = self._looks.title(step) or step.id
        lines = [f"{title} on {wanted.place}?" if wanted.place else f"{title}?"]
        if step.guards.caution is not None:
            lines.append(step.guards.caution.pick(language).show(scope))
        lines.append(f"It will send: {wanted.text}")
        return "\n".join(lines)


def _irreversible(step: Step) -> bool:
    methods = step.body.methods if isinstance(step.body, Fence) else ()
    return Effect.IRREVERSIBLE in {step.effect, *(method.effect for method in methods)}


def _bound(wanted: Wanted) -> str:
    return hashlib.sha256(json.dumps(["drctl/asked/v1", wanted.digest, wanted.place]).encode()).hexdigest()
