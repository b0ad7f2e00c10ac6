"""What stands between a step and its act: a caution, approvals, and a second look right before the intent."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from drctl.core import events as ev
from drctl.core.expressions import evaluate
from drctl.core.model import Approve, Effect, Outcome, Step
from drctl.core.values import Duration, Unknown, text_of
from drctl.engine.scope import RunScope
from drctl.engine.stops import Stop
from drctl.errors import Exit

if TYPE_CHECKING:
    from drctl.core.kind import ActKind
    from drctl.engine.looks import Looks
    from drctl.engine.questions import Questions
    from drctl.engine.recorder import Recorder


class Guards:
    """The guards of one run's acts."""

    def __init__(self, looks: Looks, recorder: Recorder, questions: Questions) -> None:
        self._looks = looks
        self._recorder = recorder
        self._questions = questions

    def hold(self, step: Step, place: str, kind: ActKind, text: str, digest: str) -> str:
        """Ask the people and look again; empty when the act may go on, else why it may not.

        Raises:
            Stop: nobody answered; the run pauses.
        """
        refused = self._ask(step, place, kind, text, digest)
        return refused or self._recheck(step)

    def _ask(self, step: Step, place: str, kind: ActKind, text: str, digest: str) -> str:
        guards = step.guards
        if guards.approve is not None:
            return self._approval(step, guards.approve, place, text, digest)
        if guards.caution is None:
            return ""
        irreversible = step.effect is Effect.IRREVERSIBLE
        question = ev.Asked(
            id="", kind="caution", path=step.path, text=self._text(step, place, text), choices=("confirm", "reject"),
            target=place if irreversible else "", digest=digest,
        )  # fmt: skip
        answer = self._questions.ask(
            question, Stop("question", path=step.path, because="a caution waits for the operator", exit=Exit.PAUSED)
        )
        return "" if answer.choice == "confirm" else f"{answer.by} said no: {answer.reason or 'no reason given'}"

    def _approval(self, step: Step, approve: Approve, place: str, text: str, digest: str) -> str:
        scope = RunScope(context=self._looks.context, place=place)
        figures = []
        for formula in approve.show:
            value = evaluate(formula.expression, scope)
            figures.append((formula.text, f"UNKNOWN ({value})" if isinstance(value, Unknown) else text_of(value)))
        bound = hashlib.sha256(json.dumps([digest, figures], sort_keys=True).encode()).hexdigest()
        within = approve.within or Duration(0)
        now = self._looks.context.clock.now().micros
        question = ev.Asked(
            id="", kind="approval", path=step.path, text=self._text(step, place, text), choices=("approve", "reject"),
            by=approve.by, until_at=now + within.micros if within.micros else 0, show=tuple(figures),
            target=place if step.guards.caution is not None else "", digest=bound, quorum=approve.quorum,
        )  # fmt: skip
        because = f"approval by {' or '.join(approve.by)} is needed"
        answer = self._questions.ask(question, Stop("question", path=step.path, because=because, exit=Exit.PAUSED))
        return "" if answer.choice == "approve" else f"{answer.by} rejected it: {answer.reason or 'no reason given'}"

    def _text(self, step: Step, place: str, text: str) -> str:
        scope = RunScope(context=self._looks.context, place=place)
        language = self._looks.context.identity.language
        title = self._looks.title(step) or step.id
        lines = [f"{title} on {place}?" if place else f"{title}?"]
        if step.guards.caution is not None:
            lines.append(step.guards.caution.pick(language).show(scope))
        lines.append(f"It will send: {text}")
        return "\n".join(lines)

    def _recheck(self, step: Step) -> str:
        """Take the named looks again; a look that is not ok stops the step before its intent."""
        for name in step.guards.recheck:
            look = self._looks.context.step_by_id(name)
            if look is None:
                return f"recheck names {name}, which is not there"
            again = self._looks.carry_out(look)
            if Outcome(again.outcome) is not Outcome.OK:
                return f"looked again at {name} right before: {again.because}"
        return ""
