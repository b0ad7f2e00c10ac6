"""Every word of control in every state of a run, by chance, against a model: no dead end, no silence, no lie.

A run on fakes with acts that can be taken back, one that must not happen twice, a person's work and a point to fail at.
Between two writers, and at any record of a running one, somebody says something; hosts fail and come back; writers die.
The model knows what is really there on the hosts and which words count. The fold must agree with it after every step,
and from wherever the run stands it must be possible to bring it to an end.

The seed is fixed, printed, and taken from DRCTL_SEED where another is wanted.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from drctl.core.fold import RunState
from drctl.core.outcomes import Outcome
from drctl.engine.left import Left
from drctl.engine.verbs import Verbs
from drctl.errors import Exit
from drctl.reporting.status import next_commands
from tests.engine.rig import Crash, MemoryJournal, Rig
from tests.engine.test_acts import book

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from drctl.core import events as ev
    from drctl.core.ports import Command

SEED = int(os.environ.get("DRCTL_SEED", "7"))
TEXT = book(
    "{id: a, on: db1, run: do-a, effect: idempotent, undo: {run: un-a}, restore: {run: re-a}}",
    "{id: b, on: db2, run: do-b, effect: once, verify: {run: is-b}, undo: {run: un-b}}",
    "{id: work, do: manual, with: {say: Look}}",
    "{id: c, on: db1, run: do-c, effect: idempotent, undo: {run: un-c}, restore: {run: re-c}}",
    "{id: d, on: db2, run: do-d, effect: idempotent, undo: {run: un-d}}",
    "{id: up, on: db1, run: is-up, effect: read}",
)
CUT = TEXT.replace("id: c,", "id: c, point_of_no_return: true,")
ACTS = ("a", "b", "c", "d")
HOST = {"a": "db1", "b": "db2", "c": "db1", "d": "db2"}
SCRIPTS = (*(f"{way}-{act}" for way in ("do", "un") for act in ACTS), "is-up")
STEPS = ("a", "b", "work", "c", "d", "up", "nowhere", "")
TO = (*STEPS, "", "", "", "a")
GOOD = {Outcome.OK, Outcome.SKIPPED}


class Told(Rig):
    """A rig in which somebody says something while the writer writes its n-th record from now."""

    when: int = -1
    then: Callable[[], object] = staticmethod(lambda: None)

    def _again(self) -> None:
        super()._again()
        journal, append = self.journal, MemoryJournal._append
        due = len(self.lines) + self.when if self.when >= 0 else -1

        def told(type_: str, body: dict[str, Any], actor: str) -> object:
            if len(self.lines) == due and type_ not in {"run_closed", "degraded"}:
                self.then()
            return append(journal, type_, body, actor)

        journal._append = told  # type: ignore[method-assign, assignment]
        self.when = -1


class Control(RuleBasedStateMachine):
    """One run."""

    rig: Told

    @initialize(cut=st.booleans(), bad=st.sets(st.sampled_from(SCRIPTS), max_size=3))
    def open(self, cut: bool, bad: set[str]) -> None:  # noqa: FBT001
        self.rig = Told(CUT if cut else TEXT)
        self.cut = cut
        self.there = dict.fromkeys(ACTS, False)
        self.bad = set(bad)
        self.twice: list[str] = []
        self.said: list[tuple[str, str]] = []
        """Words left in the inbox, in order, with their names there."""
        for name in ("db1", "db2"):
            self.rig.host(name).on("re-", 0).on("un-", self._un).on("do-", self._do).on("is-", self._is)
        self.rig.run()

    # -- the world --------------------------------------------------------------------------------------------------

    def _do(self, command: Command) -> int:
        act = command.script[-1]
        if act == "b" and self.there[act]:
            self.twice.append(act)
        self.there[act] = command.script not in self.bad
        return 1 if command.script in self.bad else 0

    def _un(self, command: Command) -> int:
        if command.script in self.bad:
            return 1
        self.there[command.script[-1]] = False
        return 0

    def _is(self, command: Command) -> int:
        if command.script == "is-up":
            return 1 if "is-up" in self.bad else 0
        return 0 if self.there[command.script[-1]] else 1

    @rule(script=st.sampled_from(SCRIPTS))
    def breaks_or_is_mended(self, script: str) -> None:
        self.bad ^= {script}

    @rule(when=st.sampled_from(["before", "after"]), host=st.sampled_from(["db1", "db2"]))
    def loses_a_link(self, when: Any, host: str) -> None:  # noqa: ANN401
        self.rig.host(host).lose_link(when)

    @rule(host=st.sampled_from(["db1", "db2"]))
    def goes_down_or_comes_back(self, host: str) -> None:
        self.rig.host(host).down = not self.rig.host(host).down

    # -- words ------------------------------------------------------------------------------------------------------

    @property
    def state(self) -> RunState:
        return self.rig.state

    @property
    def is_open(self) -> bool:
        return self.state.closed is None

    def _put(self, verb: str, to: str = "") -> None:
        self.rig.inbox.put(verb, by="li", reason="because", to=to)
        self.said.append((verb, max(self.rig.inbox.words)))

    @precondition(lambda self: self.is_open)
    @rule(verb=st.sampled_from([*["pause", "rollback", "dance"] * 3, "abort"]), to=st.sampled_from(TO))
    def leaves_a_word(self, verb: str, to: str) -> None:
        self._put(verb, to if verb == "rollback" else "")

    @precondition(lambda self: self.is_open and bool(self.state.open_questions))
    @rule(data=st.data())
    def leaves_an_answer(self, data: st.DataObject) -> None:
        asked = self.state.open_questions[0].asked
        choice = data.draw(st.sampled_from([*asked.choices, "nonsense"]))
        self._answer(choice)

    def _answer(self, choice: str) -> None:
        self.rig.answer(choice, question=self.state.open_questions[0].asked.id, reason="because")
        self.said.append(("answer", max(self.rig.inbox.words)))

    @precondition(lambda self: self.is_open)
    @rule()
    def resumes(self) -> None:
        self._session(self.rig.resume)

    @precondition(lambda self: self.is_open)
    @rule(
        verb=st.sampled_from([*["pause", "rollback"] * 3, "abort"]), to=st.sampled_from(TO),
        at=st.integers(min_value=0, max_value=25),
    )  # fmt: skip
    def hears_a_word_while_it_runs(self, verb: str, to: str, at: int) -> None:
        self.rig.when, self.rig.then = at, lambda: self._put(verb, to if verb == "rollback" else "")
        self._session(self.rig.resume)

    @precondition(lambda self: self.is_open)
    @rule(records=st.integers(min_value=1, max_value=20), after=st.booleans())
    def dies(self, records: int, after: bool) -> None:  # noqa: FBT001
        def die() -> Exit:
            self.rig._again()
            self.rig.crash_at(len(self.rig.lines) + records, after=after)
            return self.rig._carry()

        try:
            self._session(die)
        except Crash:
            self.rig._again()

    @precondition(lambda self: self.is_open)
    @rule(to=st.sampled_from(TO))
    def rolls_back_by_command(self, to: str) -> None:
        alone = not self.rig.inbox.words
        may = self._may_roll_back(to)
        code = self._session(lambda: self.rig.roll_back(to))
        word = self.rig.said("control_received", verb="rollback")[-1]
        accepted = word.get("accepted", True)
        assert not (accepted and code is Exit.NOTHING_CHANGED), "accepted, and nothing done"
        assert accepted is may or not alone, (to, word)
        assert accepted or word.get("because"), "refused in silence"
        assert code is Exit.NOTHING_CHANGED or accepted or not alone

    @precondition(lambda self: self.is_open)
    @rule(sure=st.integers(min_value=0, max_value=7))
    def aborts_by_command(self, sure: int) -> None:
        if sure:
            return
        self._session(self.rig.abort)
        assert self.state.closed is not None or self.state.paused is not None

    def _may_roll_back(self, to: str) -> bool:
        """What the model says: from what was begun and is not settled, not from how the engine decides."""
        state = RunState.of(self.rig.entries())
        if state.abort is not None or state.rolling_back is not None:
            return False
        begun = [act for act in ACTS if state.step(f"main/{act}").effects]
        passed = self.cut and "c" in begun
        if to:
            order = [name for name in STEPS if name not in {"nowhere", ""}]
            if to not in order or not state.step(f"main/{to}").units:
                return False
            return not passed or order.index(to) > order.index("c")
        due = [act for act in begun if not (passed and act != "d")]
        return any(self._owes(state, act) for act in due)

    @staticmethod
    def _owes(state: RunState, act: str) -> bool:
        newest = state.step(f"main/{act}").effects[-1].started_seq
        undo = state.blocks.get(f"main/{act}/undo")
        over = undo is not None and undo.outcome in {*GOOD, Outcome.NOT_RUN, Outcome.UNREACHABLE}
        return not (over and undo is not None and undo.finished_seq > newest)

    def _session(self, carry: Callable[[], Exit]) -> Exit:
        """A writer comes, and goes: every word that it found was answered, and the record says how the run stands."""
        words, before = dict(self.rig.inbox.words), len(self.rig.lines)
        code = carry()
        heard = {body["word"]: body for _, _, body, _ in self.rig.lines[before:] if body.get("word")}
        for name, word in words.items():
            assert name in heard, f"{word} was left without an answer"
        for body in heard.values():
            accepted = body.get("accepted", True)
            assert accepted or body.get("because"), f"refused in silence: {body}"
            if accepted and "verb" in body:
                self._obeyed(body["verb"])
        if self.state.closed is None:
            assert self.state.paused is not None, "it stopped without a word"
        return code

    def _obeyed(self, verb: str) -> None:
        """A word that counts has led to something, or will when the run is taken up again."""
        state = self.state
        ended = state.closed is not None and state.closed.state in {"aborted", "rollback_failed", "rolled_back"}
        if verb == "abort":
            assert ended or state.closed is None
            assert state.abort is not None
        if verb == "rollback":
            stands = state.paused is not None and state.paused.reason == "rolled_back"
            assert ended or stands or state.rolling_back is not None, "a rollback was said, and forgotten"

    # -- what always holds ------------------------------------------------------------------------------------------

    @invariant()
    def nothing_that_must_not_happen_twice_did(self) -> None:
        assert self.twice == []

    @invariant()
    def an_open_run_says_what_leads_on(self) -> None:
        if not self.is_open or self.state.paused is None:
            return
        assert next_commands("7K2QX", self.state, writing=False)
        assert self.state.paused.because
        for question in self.state.open_questions:
            assert question.asked.choices
            assert all(f"{word} = " in question.asked.text for word in question.asked.choices if word != "abort") or (
                question.asked.kind not in {"failure", "doubt"}
            )

    @invariant()
    def the_fold_agrees_with_the_world(self) -> None:
        """What is known to be done is there; what is known to be taken back is not."""
        state = RunState.of(self.rig.entries())
        for act in ACTS:
            step, undo = state.step(f"main/{act}"), state.blocks.get(f"main/{act}/undo")
            newest = step.effects[-1].started_seq if step.effects else -1
            begun = undo is not None and undo.started_seq > newest
            assert not (begun and step.effects and step.unsettled), f"went back around what became of {act}"
            own = step.own
            if own is None or own.open or own.finished is None or own.finished.by:
                continue
            back = undo is not None and undo.outcome is Outcome.OK and undo.finished_seq > newest
            by_person = any(d.path == f"main/{act}/undo" for _, d in state.deviations)
            if back and not by_person:
                assert not self.there[act], f"{act} was taken back, and is there"
            if own.finished.final and own.outcome is Outcome.OK and not begun:
                assert self.there[act], f"{act} is ok, and is not there"

    @invariant()
    def an_end_is_honest(self) -> None:
        closed = self.state.closed
        if closed is None:
            return
        people = bool(self.state.deviations) or any(c.accepted and c.verb == "rollback" for _, c in self.state.controls)
        if closed.state == "done":
            assert not people
            assert all(self.there[act] for act in ACTS)
        if closed.state == "exceptions":
            assert closed.exit == Exit.EXCEPTIONS
            assert closed.exceptions
        if closed.state == "rolled_back":
            attested = {d.path for _, d in self.state.deviations if d.by}
            kept = {"a", "b", "c"} if self.cut and self.state.step("main/c").effects else set[str]()
            for act in set(ACTS) - kept:
                words = {f"main/{act}", f"main/{act}/undo"}
                assert not self.there[act] or attested & words, f"{act} is there after all"
        if closed.state == "rollback_failed":
            assert "NOT_UNDONE(" in closed.because or "ended before the undo of" in closed.because

    def teardown(self) -> None:
        """From wherever it stands, words lead to its end."""
        if not hasattr(self, "rig"):
            return
        self.bad.clear()
        for name in ("db1", "db2"):
            self.rig.host(name).down = False
            self.rig.host(name)._faults.clear()
        for _ in range(30):
            if not self.is_open:
                return
            if self.state.open_questions:
                asked = self.state.open_questions[0].asked
                act = asked.path.split("/")[1]
                there = self.there.get(act, True)
                wanted = {"failure": "retry", "manual": "done", "doubt": "done" if there else "not_done"}[asked.kind]
                self._answer(wanted)
            self._session(self.rig.resume)
        pytest.fail(f"a dead end: {self.state.paused}")


def play(examples: int = 100, phases: tuple[Phase, ...] = tuple(Phase)) -> None:
    """Play it."""
    print(f"seed {SEED}")  # noqa: T201 - told with a failure
    seeded = seed(SEED)(type("Played", (Control,), {}))
    how = settings(
        max_examples=examples, stateful_step_count=20, deadline=None, database=None, print_blob=True, phases=phases,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    run_state_machine_as_test(seeded, settings=how)


def test_every_word_in_every_state() -> None:
    play()


def silent(verbs: Verbs, verb: str, word: Mapping[str, object], name: str) -> ev.ControlReceived:
    """Refuse without a reason."""
    return replace(JUDGE(verbs, verb, word, name), because="")


def forgetful(verbs: Verbs, event: ev.ControlReceived) -> None:
    """Write a rollback down, and go on as if nothing had been said."""
    if event.verb != "rollback":
        OBEY(verbs, event)


JUDGE, OBEY = Verbs.judge, Verbs.obey
SABOTAGE: list[tuple[type, str, object]] = [
    (Verbs, "judge", silent),
    (Verbs, "obey", forgetful),
    (Left, "half_undone", lambda _: ""),
]


@pytest.mark.parametrize(("where", "name", "instead"), SABOTAGE, ids=[name for _, name, _ in SABOTAGE])
def test_the_model_finds_sabotage(where: type, name: str, instead: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(where, name, instead)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        play(phases=(Phase.generate,))
