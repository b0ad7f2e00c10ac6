"""The one mechanism for people: a question is asked, answers are judged, every one of them stays in the record.

Terminal and inbox answer the same questions. Only the writer appends: a word from outside is a file in the inbox until
the writer takes it up here. Nobody answering is never a yes: the run pauses.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final, Protocol

from drctl.core import events as ev
from drctl.core.nouns import replace
from drctl.core.values import Duration
from drctl.engine.answers import MOST_NAME, MOST_NOTE, NEEDS_REASON, YES, Given, Judge, given_of, whole
from drctl.engine.verbs import Verbs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from drctl.core.fold import QuestionState
    from drctl.engine.context import Context
    from drctl.engine.recorder import Recorder
    from drctl.engine.stops import Control, Stop

__all__ = ["NEEDS_REASON", "Given", "Inbox", "Operator", "Questions"]

POLL: Final = Duration(200_000)
GLANCE: Final = 500_000
"""Microseconds between two looks into the inbox while something else is waited for."""
LONGEST: Final = Duration(7 * 86_400_000_000)


class Operator(Protocol):
    """The person at the terminal of this run."""

    def ask(self, question: ev.Asked, settled: Callable[[], bool], seconds: float | None) -> Given | None:
        """Show a question and wait for an answer; None when it was settled elsewhere, or nobody gives one in time."""
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
        self,
        context: Context,
        recorder: Recorder,
        inbox: Inbox,
        control: Control,
        *,
        operator: Operator | None = None,
        wait: Duration | None = None,
    ) -> None:
        self._context = context
        self._recorder = recorder
        self._inbox = inbox
        self._control = control
        self._operator = operator
        self._wait = wait
        self.verbs = Verbs(recorder.state, control)
        self._judge = Judge(context, self.verbs, recorder.mask)
        self._lock = threading.RLock()
        self._terminal = threading.Lock()
        self._glanced = 0

    def ask(self, question: ev.Asked, stop: Stop) -> ev.Answered:
        """Get the deciding answer to a question, now or from the record.

        The same question (kind, path, digest) is never asked twice while it stands, so a resumed run finds its answer.
        A yes to an act stands for what would be sent, whatever became of it; any other answer is used up by the step's
        next end.

        Raises:
            Stop: `stop` when nobody answers, or the word that ends the run.
        """
        with self._lock:
            standing = self._standing(question)
            if standing is None:
                number = len(self._recorder.state.questions) + 1
                written = self._recorder.write(replace(question, id=f"q{number}"), durable=True).event
                assert isinstance(written, ev.Asked)  # noqa: S101 - for the type checker
                standing = self._recorder.state.questions[written.id]
        self.drain()
        while standing.decided is None:
            if self._control.word:
                raise self._control.stop(question.path)
            if not self._await(standing):
                raise self._control.stop(question.path) if self._control.word else stop
        return standing.decided

    def answered(self, kind: str, path: str, digest: str = "") -> ev.Answered | None:
        """The answer that still stands to a question, if there is one."""
        self.drain()
        for state in reversed(list(self._recorder.state.questions.values())):
            if _is_about(state, kind, path, digest) and self._stands(state):
                return state.decided
        return None

    def _standing(self, question: ev.Asked) -> QuestionState | None:
        now = self._context.clock.now().micros
        for state in reversed(list(self._recorder.state.questions.values())):
            if not _is_about(state, question.kind, question.path, question.digest):
                continue
            if state.decided is not None:
                return state if self._stands(state) else None
            if state.closed:
                return None
            if not asked_is_over(state, now):
                return state
            self.drain()
            return state if state.decided is not None else None
        return None

    def _stands(self, state: QuestionState) -> bool:
        """Whether a decision still counts; `look` is over when drctl has looked."""
        decided = state.decided
        if decided is None or decided.choice == "look":
            return False
        if state.asked.kind in {"approval", "caution"} and decided.choice in YES:
            return state.decided_seq > self._recorder.state.rolled_back_seq
        return self._recorder.state.ended_seq(state.asked.path) < state.decided_seq

    # -- waiting ----------------------------------------------------------------------------------------------------

    def _await(self, standing: QuestionState) -> bool:
        """Wait for a decision; False when nobody is there or time is over."""
        clock, asked = self._context.clock, standing.asked
        limit = self._limit(asked)
        if limit is None:
            return False
        end = clock.boottime().micros + limit.micros

        def settled() -> bool:
            self.drain()
            return standing.decided is not None or bool(self._control.word) or self._control.level > 0

        while clock.boottime().micros < end and not settled():
            if self._operator is None:
                clock.sleep(POLL, lambda: self._control.level > 0)
                continue
            with self._terminal:  # one question at a time on the screen
                left = (end - clock.boottime().micros) / 1_000_000
                given = None if settled() else self._operator.ask(asked, settled, left)
            if given is None:
                break
            self.take(given)
        return settled() and standing.decided is not None

    def _limit(self, asked: ev.Asked) -> Duration | None:
        """How long to wait: on a terminal until the question expires, without one as long as `--wait` says."""
        now = self._context.clock.now().micros
        left = Duration(max(0, asked.until_at - now)) if asked.until_at else LONGEST
        if self._operator is not None:
            return left
        return min(left, self._wait) if self._wait is not None else None

    # -- words from outside -----------------------------------------------------------------------------------------

    def halted(self) -> bool:
        """Whether no further step begins; looks into the inbox now and then, for whoever waits for something else."""
        now = self._context.clock.monotonic().micros
        if now - self._glanced >= GLANCE:
            self._glanced = now
            self.drain()
        return self._control.stopping

    def drain(self) -> None:
        """Take up everything in the inbox. A word that cannot be understood is recorded as such, never dropped."""
        with self._lock:
            for name, word in self._inbox.take():
                if name not in self._recorder.state.words:  # else it was recorded right before a crash
                    self._word(name, word)
                self._inbox.done(name)

    def _word(self, name: str, word: Mapping[str, Any]) -> None:
        """Record one word, on disk: its file is gone afterwards."""
        verb = str(word.get("kind", ""))
        if verb == "answer":
            self.take(given_of(word), word=name)
        elif verb == "note":
            text, by = str(word.get("text", ""))[:MOST_NOTE], str(word.get("by", ""))[:MOST_NAME]
            note = ev.NoteAdded(by=by, text=text, given_at=whole(word.get("given_at")), word=name)
            self._recorder.write(note, durable=True)
        else:
            self.control(self.verbs.judge(verb, word, name))

    def control(self, event: ev.ControlReceived) -> None:
        """Record a word about the run, and obey it if it counts."""
        with self._lock:
            self._recorder.write(event, durable=True)
            if event.accepted:
                self.verbs.obey(event)

    def take(self, given: Given, *, word: str = "") -> None:
        """Judge one answer and record it, accepted or not."""
        given = given.cut
        with self._lock:
            state = self._addressed(given)
            if state is None:
                because = f"no open question {given.question or given.step}"
                event = ev.Answered(
                    id=given.question or "-", choice=given.choice, by=given.by or given.login, accepted=False,
                    because=because, reason=given.reason, given_at=given.given_at, source=given.source, word=word,
                )  # fmt: skip
            else:
                found = self._judge.judge(state, given, self._context.clock.now().micros)
                event = ev.Answered(
                    id=state.asked.id, choice=given.choice, by=found.who, accepted=not found.refusal,
                    because=found.refusal, reason=given.reason, role=found.role, values=found.values,
                    proof=f"claimed by {given.login or given.by}, not proven", simulated=found.simulated,
                    given_at=given.given_at, source=given.source, word=word,
                )  # fmt: skip
            self._recorder.write(event, durable=True)

    def _addressed(self, given: Given) -> QuestionState | None:
        questions = self._recorder.state.questions
        if given.question:
            return questions.get(given.question)
        for state in reversed(list(questions.values())):
            path = state.asked.path
            if given.step and (path == given.step or path.rsplit("/", 1)[-1] == given.step) and state.open:
                return state
        waiting = self._recorder.state.open_questions
        return waiting[0] if not given.step and len(waiting) == 1 else None


def _is_about(state: QuestionState, kind: str, path: str, digest: str) -> bool:
    return (state.asked.kind, state.asked.path, state.asked.digest) == (kind, path, digest)


def asked_is_over(state: QuestionState, now: int) -> bool:
    """Whether the request has expired."""
    return bool(state.asked.until_at) and now > state.asked.until_at
