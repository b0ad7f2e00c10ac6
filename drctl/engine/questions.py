"""The one mechanism for people: a question is asked, answers are judged, every one of them stays in the record.

Terminal and inbox answer the same questions. Only the writer appends: a word from outside is a file in the inbox until
the writer takes it up here. Nobody answering is never a yes: the run pauses.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from drctl.core import events as ev
from drctl.core.inputs import read_input
from drctl.core.inventory import Environment, Person
from drctl.core.model import InputSpec, Manual
from drctl.core.values import Duration, to_json

if TYPE_CHECKING:
    from drctl.core.fold import QuestionState
    from drctl.engine.context import Context
    from drctl.engine.recorder import Recorder
    from drctl.engine.stops import Control, Stop

POLL = Duration(200_000)
MOST_NOTE = 4000
MOST_NAME = 100
NEEDS_REASON = frozenset({"skip", "done", "not_done", "run", "override"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """An answer as it came in, before it is judged.

    Attributes:
        question: id of the question; empty when `step` names it.
        by: who says so; a claim, not a proof.
        given_at: when it was given, microseconds UTC.
    """

    choice: str
    question: str = ""
    step: str = ""
    by: str = ""
    login: str = ""
    reason: str = ""
    target: str = ""
    values: Mapping[str, str] = field(default_factory=dict)
    given_at: int = 0
    source: str = "inbox"


class Operator(Protocol):
    """The person at the terminal of this run."""

    def ask(self, question: ev.Asked, settled: Callable[[], bool], seconds: float | None) -> Given | None:
        """Show a question and wait for an answer; None when it was settled elsewhere, time ran out, or nobody answers."""
        ...


class Inbox(Protocol):
    """Words from outside, in the order they came."""

    def take(self) -> Sequence[tuple[str, Mapping[str, Any]]]:
        """Everything waiting, as (name, content); it stays until `done`."""
        ...

    def done(self, name: str) -> None:
        """Forget one."""
        ...


class Questions:
    """Asks and judges, for one writer."""

    def __init__(
        self, context: Context, recorder: Recorder, inbox: Inbox, control: Control, *,
        operator: Operator | None = None, wait: Duration | None = None,
    ) -> None:  # fmt: skip
        self._context = context
        self._recorder = recorder
        self._inbox = inbox
        self._control = control
        self._operator = operator
        self._wait = wait
        self._lock = threading.RLock()

    def ask(self, question: ev.Asked, stop: Stop) -> ev.Answered:
        """Get the deciding answer to a question, now or from the record; raise `stop` when nobody gives one.

        The same question (kind, path, digest) is never asked twice while it stands, so a resumed run finds its answer.
        """
        standing = self._standing(question)
        if standing is None:
            number = len(self._recorder.state.questions) + 1
            written = self._recorder.write(_numbered(question, f"q{number}"), durable=True).event
            assert isinstance(written, ev.Asked)  # noqa: S101 - for the type checker
            standing = self._recorder.state.questions[written.id]
        self.drain()
        while standing.decided is None:
            if not self._await(standing):
                raise stop
        return standing.decided

    def _standing(self, question: ev.Asked) -> QuestionState | None:
        now = self._context.clock.now().micros
        for state in reversed(list(self._recorder.state.questions.values())):
            asked = state.asked
            same = (asked.kind, asked.path, asked.digest) == (question.kind, question.path, question.digest)
            if not same or state.closed:
                continue
            if state.decided is not None and state.decided.choice == "look":
                return None  # drctl has looked again since
            if state.decided is not None or not asked.until_at or now <= asked.until_at:
                return state
            self.drain()
            return state if state.decided is not None else None
        return None

    def _await(self, standing: QuestionState) -> bool:
        """Wait for a decision; False when nobody is there or time is over."""
        clock, asked = self._context.clock, standing.asked
        limit = self._limit(asked)
        if limit is None:
            return False
        end = clock.boottime().micros + limit.micros

        def settled() -> bool:
            self.drain()
            return standing.decided is not None or self._control.abort or self._control.level > 0

        while clock.boottime().micros < end and not settled():
            left = (end - clock.boottime().micros) / 1_000_000
            if self._operator is None:
                clock.sleep(POLL, lambda: self._control.level > 0)
                continue
            given = self._operator.ask(asked, settled, left)
            if given is None:
                break
            self.take(given)
        return settled() and standing.decided is not None

    def _limit(self, asked: ev.Asked) -> Duration | None:
        """How long to wait: on a terminal until the question expires, without one as long as `--wait` says."""
        now = self._context.clock.now().micros
        left = Duration(max(0, asked.until_at - now)) if asked.until_at else None
        if self._operator is None and self._wait is None:
            return None
        if self._wait is not None and self._operator is None:
            return min(left, self._wait) if left is not None else self._wait
        return left if left is not None else Duration(7 * 86_400_000_000)

    # -- words from outside -----------------------------------------------------------------------------------------

    def drain(self) -> None:
        """Take up everything in the inbox. A word that cannot be understood is recorded as such, never dropped."""
        with self._lock:
            for name, word in self._inbox.take():
                if name not in self._recorder.state.words:  # else it was recorded right before a crash
                    self._word(name, word)
                self._inbox.done(name)

    def _word(self, name: str, word: Mapping[str, Any]) -> None:
        verb, by = str(word.get("kind", "")), str(word.get("by", ""))[:MOST_NAME]
        if verb == "answer":
            self.take(_given(word), word=name)
        elif verb == "note":
            text = str(word.get("text", ""))[:MOST_NOTE]
            self._recorder.write(
                ev.NoteAdded(by=by, text=text, given_at=_whole(word.get("given_at")), word=name), durable=True
            )
        elif verb == "abort":
            reason = str(word.get("reason", ""))[:MOST_NOTE]
            self._recorder.write(ev.ControlReceived(verb=verb, by=by, reason=reason, word=name), durable=True)
            self._control.abort = True
            self._control.because = f"{by}: {reason}" if reason else by
        else:
            because = "no such word in this version"
            self._recorder.write(ev.ControlReceived(verb=verb[:40], by=by, accepted=False, because=because, word=name))

    def take(self, given: Given, *, word: str = "") -> None:
        """Judge one answer and record it, accepted or not."""
        state = self._addressed(given)
        if state is None:
            self._recorder.write(
                ev.Answered(
                    id=given.question or "-", choice=given.choice[:40], by=given.by, accepted=False,
                    because=f"no open question {given.question or given.step}", reason=given.reason, given_at=given.given_at,
                    source=given.source, word=word,
                )
            )  # fmt: skip
            return
        refusal, role, values = self._judged(state, given)
        person = self._person(given.by or given.login)
        self._recorder.write(
            ev.Answered(
                id=state.asked.id, choice=given.choice, by=given.by or given.login, accepted=not refusal, because=refusal,
                reason=given.reason, role=role, values=values, proof=f"claimed by {given.login or given.by}, not proven",
                simulated=bool(person and person.simulated), given_at=given.given_at, source=given.source, word=word,
            ),
            durable=True,
        )  # fmt: skip

    def _addressed(self, given: Given) -> QuestionState | None:
        questions = self._recorder.state.questions
        if given.question:
            return questions.get(given.question)
        for state in reversed(list(questions.values())):
            path = state.asked.path
            if given.step and (path == given.step or path.rsplit("/", 1)[-1] == given.step) and not state.closed:
                return state
        waiting = self._recorder.state.open_questions
        return waiting[0] if not given.step and len(waiting) == 1 else None

    def _judged(self, state: QuestionState, given: Given) -> tuple[str, str, dict[str, Any]]:
        """Say why the answer does not count (empty when it does), as which role it was given, and its values."""
        asked = state.asked
        if not state.open:
            return "the question is already settled", "", {}
        if given.choice not in asked.choices:
            return f"{given.choice!r} is not one of: {', '.join(asked.choices)}", "", {}
        if asked.until_at and given.given_at > asked.until_at:
            return "too late: the request had expired", "", {}
        role, refusal = self._role(asked, given)
        if refusal:
            return refusal, role, {}
        who = given.by or given.login
        if any(answer.by == who for answer in state.accepted):
            return f"{who} has answered already", role, {}
        saying_yes = given.choice in {"approve", "confirm"}
        if asked.target and saying_yes and given.target != asked.target:
            return f"the target must be named: {asked.target}, not {given.target or 'nothing'}", role, {}
        if given.choice in NEEDS_REASON and asked.kind in {"failure", "doubt", "when"} and not given.reason.strip():
            return f"{given.choice} needs a reason", role, {}
        try:
            return "", role, self._values(asked, given)
        except ValueError as error:
            return str(error), role, {}

    def _values(self, asked: ev.Asked, given: Given) -> dict[str, Any]:
        if asked.kind != "manual" or given.choice != "done":
            return {}
        values: dict[str, Any] = {}
        for spec in self._specs(asked.path):
            text = given.values.get(spec.name)
            if text is None and spec.has_default:
                values[spec.name] = to_json(spec.default)
            elif text is None and not spec.optional:
                raise ValueError(f"{spec.name} is missing")
            else:
                values[spec.name] = to_json(read_input(spec, text or "", self._context.inventory.hosts))
        unknown = set(given.values) - {spec.name for spec in self._specs(asked.path)}
        if unknown:
            raise ValueError(f"nothing named {', '.join(sorted(unknown))} is asked for")
        return values

    def _specs(self, path: str) -> tuple[InputSpec, ...]:
        step = next((s for s in self._context.steps.values() if s.path == path), None)
        return step.body.ask if step is not None and isinstance(step.body, Manual) else ()

    def _person(self, name: str) -> Person | None:
        people = self._context.inventory.people
        return people.get(name) or next((p for p in people.values() if name in p.logins), None)

    def _role(self, asked: ev.Asked, given: Given) -> tuple[str, str]:
        """The role the answer is given in, and why it does not count."""
        if not asked.by:
            return "operator", ""
        person = self._person(given.by or given.login)
        if person is None:
            return "", f"{given.by or given.login or 'nobody'} is not among the people of the inventory"
        if person.simulated and self._context.inventory.environment is not Environment.LAB:
            return "", f"{person.name} is simulated, and this inventory is no lab"
        roles = [role for role in asked.by if person.name in self._context.inventory.roles.get(role, ())]
        if not roles:
            return "", f"{person.name} is not {' or '.join(asked.by)}"
        if asked.kind == "approval" and person.name == self._context.identity.operator_person:
            return roles[0], f"{person.name} runs this and cannot approve it: another pair of eyes is needed"
        return roles[0], ""


def _numbered(question: ev.Asked, id_: str) -> ev.Asked:
    return replace(question, id=id_)


def _given(word: Mapping[str, Any]) -> Given:
    values = word.get("values")
    return Given(
        choice=str(word.get("choice", "")), question=str(word.get("question", "")), step=str(word.get("step", "")),
        by=str(word.get("by", "")), login=str(word.get("login", "")), reason=str(word.get("reason", ""))[:MOST_NOTE],
        target=str(word.get("target", "")), given_at=_whole(word.get("given_at")),
        values={str(k): str(v) for k, v in values.items()} if isinstance(values, Mapping) else {},
    )  # fmt: skip


def _whole(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
