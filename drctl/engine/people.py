"""The kinds that belong to the language: they work on values, time and people, and change nothing in the world."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from drctl.core import events as ev
from drctl.core.expressions import evaluate
from drctl.core.kind import Outputs
from drctl.core.model import Ask, Check, Decide, Manual, SetNames, Step, Wait
from drctl.core.nouns import replace
from drctl.core.outcomes import Outcome
from drctl.core.values import Duration, Secret, Time, Unknown, Value, from_json, text_of, to_json
from drctl.engine.answers import wanted_values
from drctl.engine.judge import Judged, criteria, judge
from drctl.engine.scope import RunScope
from drctl.engine.stops import Control, Stop
from drctl.errors import Exit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drctl.engine.looks import Looks
    from drctl.engine.questions import Questions
    from drctl.engine.recorder import Recorder


class People:
    """`decide`, `manual`, `set`, `wait`, `check` of one run."""

    def __init__(self, looks: Looks, recorder: Recorder, questions: Questions, control: Control) -> None:
        self._looks = looks
        self._recorder = recorder
        self._questions = questions
        self._control = control

    def carry_out(self, step: Step) -> ev.StepFinished:
        """Carry the step out and record it."""
        body = step.body
        if isinstance(body, Check):
            return self._looks.carry_out(step)
        kind = {Decide: "decide", Manual: "manual", SetNames: "set", Wait: "wait"}[type(body)]
        began = self._begin(step, kind)
        match body:
            case Decide():
                return self._end(step, *self._decide(step, body))
            case Manual():
                return self._end(step, *self._manual(step, body))
            case SetNames():
                return self._end(step, *self._set(step, body))
            case Wait():
                return self._end(step, *self._wait(step, body, began))
        raise AssertionError(kind)

    def _begin(self, step: Step, kind: str) -> Time:
        state = self._recorder.state.step(step.path)
        if state.last is not None and state.last.open and state.last.started_at is not None:
            return state.last.started_at
        entry = self._recorder.write(
            ev.StepStarted(path=step.path, attempt=state.attempts + 1, kind=kind, title=self._looks.title(step))
        )
        return entry.at

    def _end(
        self, step: Step, outcome: Outcome, because: str, values: Mapping[str, Value], unknown: Mapping[str, str]
    ) -> ev.StepFinished:
        context = self._looks.context
        judged = Judged(outcome=outcome, because=because, values=values)
        if outcome is Outcome.OK:
            own: dict[str, Value | Unknown] = {**values, **{n: Unknown(r, not_yet=False) for n, r in unknown.items()}}
            lines = criteria(None, step.judgement.expect)
            names = RunScope(context=context).at(step)
            judged = judge(lines, step.judgement.capture, Outputs(values=own, because=because), names)
        judged = replace(judged, unknown={**unknown, **judged.unknown})
        event = ev.StepFinished(
            path=step.path, attempt=self._recorder.state.step(step.path).attempts, outcome=judged.outcome.value,
            observed=step.judgement.observe, tolerated=judged.outcome in step.judgement.tolerate,
            **self._looks.said(step, judged),
        )  # fmt: skip
        self._recorder.write(event, durable=True)
        return event

    def _decide(self, step: Step, body: Decide) -> tuple[Outcome, str, Mapping[str, Value], Mapping[str, str]]:
        scope = RunScope(context=self._looks.context).at(step)
        found, why, unclear = finding(body, scope)
        if body.ask is Ask.NEVER and unclear:
            return Outcome.FAILED, why, {}, {"value": why}
        if not unclear and body.ask is not Ask.ALWAYS:
            return Outcome.OK, why, {"value": found}, {}
        values = [*(rule.then for rule in body.rules), *([body.otherwise] if body.has_otherwise else [])]
        choices = {_word(value): value for value in values}
        text = f"{self._looks.title(step) or step.id}: {why}"
        stop = Stop("question", path=step.path, because="a decision waits for a person", exit=Exit.PAUSED)
        question = ev.Asked(id="", kind="decide", path=step.path, text=text, choices=tuple(choices))
        answer = self._questions.ask(question, stop)
        if not unclear and answer.choice != _word(found):
            because = f"{why}, and {answer.by} chose {answer.choice}: {answer.reason}"
            note = ev.DeviationNoted(path=step.path, what="override", by=answer.by, because=because)
            self._recorder.deviation(note)
        return Outcome.OK, f"chosen by {answer.by}", {"value": choices[answer.choice]}, {}

    def _manual(self, step: Step, body: Manual) -> tuple[Outcome, str, Mapping[str, Value], Mapping[str, str]]:
        context = self._looks.context
        scope = RunScope(context=context).at(step)
        now = context.clock.now().micros
        fields = tuple(
            {
                "name": spec.name, "type": spec.type.value, "of": list(spec.of), "optional": spec.optional,
                "ask": spec.ask.pick(context.identity.language).show(scope) if spec.ask else spec.name,
                "default": to_json(spec.default) if spec.has_default else None, "has_default": spec.has_default,
            }
            for spec in wanted_values(body)
        )  # fmt: skip
        question = ev.Asked(
            id="", kind="manual", path=step.path, text=body.say.pick(context.identity.language).show(scope),
            choices=("done", "not_done"), by=body.by, fields=fields,
            until_at=now + body.within.micros if body.within else 0,
        )  # fmt: skip
        stop = Stop("question", path=step.path, because="work of a person is waited for", exit=Exit.PAUSED)
        answer = self._questions.ask(question, stop)
        if answer.choice == "not_done":
            return Outcome.FAILED, f"{answer.by} said it was not done: {answer.reason or 'no reason given'}", {}, {}
        state = self._recorder.state
        from_record = state.questions[answer.id].decided
        raw = from_record.values if from_record else answer.values
        return Outcome.OK, f"done by {answer.by}", {name: from_json(value) for name, value in raw.items()}, {}

    def _set(self, step: Step, body: SetNames) -> tuple[Outcome, str, Mapping[str, Value], Mapping[str, str]]:
        scope = RunScope(context=self._looks.context).at(step)
        resolved = {name: _open(template.resolve(scope)) for name, template in body.values.items()}
        unknown = {n: str(v) for n, v in resolved.items() if isinstance(v, Unknown)}
        known = {n: v for n, v in resolved.items() if not isinstance(v, Unknown)}
        if unknown:
            return Outcome.FAILED, f"no value for {', '.join(unknown)}: {next(iter(unknown.values()))}", known, unknown
        return Outcome.OK, "", known, {}

    def _wait(self, step: Step, body: Wait, began: Time) -> tuple[Outcome, str, Mapping[str, Value], Mapping[str, str]]:
        scope, clock = RunScope(context=self._looks.context).at(step), self._looks.context.clock
        written = body.length or body.until
        value = written.resolve(scope) if written is not None else Unknown("nothing to wait for", not_yet=False)
        end = end_of_wait(value, began)
        if end is None:
            return Outcome.FAILED, f"needs a duration or a time, and has {value}", {}, {}
        while (left := end.micros - clock.now().micros) > 0 and not self._questions.halted():
            clock.sleep(Duration(min(left, 1_000_000)), self._questions.halted)
        if self._control.stopping:
            raise self._control.stop(step.path)
        return Outcome.OK, "waited", {}, {}


def end_of_wait(value: Value | Unknown | Secret, began: Time) -> Time | None:
    """When a wait is over; None for what is neither a length nor a time."""
    written = value if isinstance(value, str) else ""
    with contextlib.suppress(ValueError):
        value = Duration.parse(written) if written else value
    with contextlib.suppress(ValueError):
        value = Time.parse(written) if isinstance(value, str) else value
    if isinstance(value, Duration):
        return Time(began.micros + value.micros)
    return value if isinstance(value, Time) else None


def _word(value: Value) -> str:
    """How a choice is written."""
    return "null" if value is None else text_of(value)


def finding(body: Decide, scope: RunScope) -> tuple[Value, str, bool]:
    """The first true rule; unclear when an unknown one stands before it, or none is true and nothing is left."""
    unknown = ""
    for rule in body.rules:
        seen = evaluate(rule.condition.expression, scope)
        if isinstance(seen, Unknown):
            unknown = unknown or f"cannot tell whether {rule.condition.text} ({seen})"
        elif seen is True:
            why = f"{rule.condition.text} is true"
            return rule.then, unknown or why, bool(unknown)
    if unknown or not body.has_otherwise:
        return None, unknown or "no rule is true", True
    return body.otherwise, "no rule is true", False


def _open(value: Value | Unknown | Secret) -> Value | Unknown:
    """A name may not be given to a secret: names are recorded."""
    return Unknown("a secret cannot be given a name", not_yet=False) if isinstance(value, Secret) else value
