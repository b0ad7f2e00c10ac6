"""Rollback by a person's word: what it takes back, to where, what it cannot, and that it goes on after any crash."""

from __future__ import annotations

import pytest

from drctl.core.values import Duration
from drctl.engine.dues import Dues
from drctl.errors import Exit
from drctl.reporting.report_left import left_over
from tests.engine.rig import Crash, Rig
from tests.engine.test_acts import book
from tests.engine.test_ways_back import order, step

FAILS = "{id: fails, on: db2, run: do-fails, effect: read}"


def failed(*steps: str, fails: str = FAILS) -> Rig:
    """A run whose last step has failed, and waits for a person."""
    rig = Rig(book(*steps, fails))
    for host in ("db1", "db2"):
        rig.host(host).on("do-", 0).on("un-", 0).on("re-", 0).on("see", 0)
    rig.host("db2").on("do-fails", 1)
    assert rig.run() is Exit.STEP_FAILED
    return rig


def three() -> Rig:
    return failed(step("a", "db1"), step("b", "db2"), step("c", "db1"))


def test_a_failure_says_what_a_rollback_would_take_back_and_offers_it() -> None:
    rig = failed(
        step("a", "db1"), "{id: n, on: db2, run: do-n, effect: once, verify: {run: do-v}, undo: {none: it is a note}}"
    )
    asked = rig.question()
    assert tuple(asked["choices"]) == ("retry", "skip", "done", "rollback", "abort")
    assert "takes back, newest first: a on db1" in asked["text"]
    assert "leaves as it is: n on db2 (it is a note)" in asked["text"]


def test_a_failure_with_nothing_to_take_back_does_not_offer_it() -> None:
    rig = failed()
    assert "rollback" not in rig.question()["choices"]
    assert "no rollback" in rig.question()["text"]


def test_the_answer_rollback_takes_everything_back_and_closes() -> None:
    rig = three()
    rig.answer("rollback", step="fails", reason="it gets worse")
    assert rig.resume() is Exit.ROLLED_BACK
    assert order(rig) == ["un-c", "un-b", "un-a", "re-c", "re-b", "re-a"]
    assert rig.said("control_received", verb="rollback")[0]["by"] == "ops"


def test_the_answer_needs_a_reason_and_a_step_that_is_there() -> None:
    rig = three()
    rig.answer("rollback", step="fails")
    assert rig.resume() is Exit.STEP_FAILED
    rig.answer("rollback", step="fails", reason="x", values={"to": "nowhere"})
    assert rig.resume() is Exit.STEP_FAILED
    refused = [answer["because"] for answer in rig.said("answered", accepted=False)]
    assert refused == ["rollback needs a reason", "there is no step 'nowhere' in this run"]
    assert order(rig) == []


def test_the_command_takes_everything_back_and_closes() -> None:
    rig = three()
    assert rig.roll_back() is Exit.ROLLED_BACK
    assert order(rig) == ["un-c", "un-b", "un-a", "re-c", "re-b", "re-a"]


def test_to_a_step_takes_it_and_what_came_after_back_and_stands_before_it() -> None:
    rig = three()
    assert rig.roll_back("b") is Exit.PAUSED
    assert order(rig) == ["un-c", "un-b"]
    assert rig.state.closed is None
    assert rig.state.paused is not None
    assert (rig.state.paused.reason, rig.state.paused.path) == ("rolled_back", "main/b")
    assert rig.state.open_questions == (), "what was asked of an end that is taken back is over"
    rig.host("db2").on("do-fails", 0)
    assert rig.resume() is Exit.EXCEPTIONS, "going back is an exception"
    assert rig.host("db1").effects == ["do-a", "do-c", "un-c", "do-c", "re-c", "re-a"]
    assert rig.host("db2").effects == ["do-b", "un-b", "do-b", "re-b"]


def test_to_a_step_twice_and_then_all_of_it() -> None:
    rig = three()
    assert rig.roll_back("b") is Exit.PAUSED
    assert rig.resume() is Exit.STEP_FAILED
    assert rig.roll_back("main/b") is Exit.PAUSED
    assert rig.resume() is Exit.STEP_FAILED
    assert rig.roll_back() is Exit.ROLLED_BACK
    assert [text for text in order(rig) if text.startswith("un")] == ["un-c", "un-b"] * 2 + ["un-c", "un-b", "un-a"]


def test_after_going_back_a_look_is_taken_again_and_its_condition_asked_again() -> None:
    text = book(
        "{id: look, on: db1, run: see, effect: read}",
        "{id: a, on: db1, run: do-a, effect: idempotent, undo: {run: un-a}, when: \"steps.look.stdout == 'yes'\"}",
        "{id: part, when: \"steps.look.stdout == 'yes'\", steps: ["
        "{id: b, on: db1, run: do-b, effect: idempotent, undo: {run: un-b}}]}",
        FAILS,
    )
    rig = Rig(text)
    rig.host("db1").on("do-", 0).on("un-", 0).on("see", "yes")
    rig.host("db2").on("do-fails", 1)
    assert rig.run() is Exit.STEP_FAILED
    rig.host("db1").on("see", "no")
    assert rig.roll_back("look") is Exit.PAUSED
    rig.host("db2").on("do-fails", 0)
    assert rig.resume() is Exit.EXCEPTIONS
    assert rig.host("db1").effects == ["do-a", "do-b", "un-b", "un-a"]
    assert (rig.outcome("a"), rig.outcome("b")) == ("skipped", "skipped")


def test_what_must_not_happen_twice_and_was_not_taken_back_stays_done() -> None:
    once = "{id: n, on: db1, run: do-n, effect: once, verify: {run: see}, undo: {none: it is a note}}"
    rig = failed(step("a", "db1"), once)
    assert rig.roll_back("a") is Exit.PAUSED
    assert rig.state.paused is not None
    assert "main/n" in rig.state.paused.because
    rig.host("db2").on("do-fails", 0)
    assert rig.resume() is Exit.EXCEPTIONS
    assert rig.host("db1").effects == ["do-a", "do-n", "un-a", "do-a", "re-a"]


def test_an_approval_given_before_going_back_does_not_count_after_it() -> None:
    approved = (
        "{id: b, on: db2, run: do-b, effect: once, verify: {run: see}, undo: {run: un-b}, approve: {by: [commander]}}"
    )
    rig = Rig(book(step("a", "db1"), approved, FAILS))
    for host in ("db1", "db2"):
        rig.host(host).on("do-", 0).on("un-", 0).on("re-", 0).on("see", 0)
    rig.host("db2").on("do-fails", 1)
    assert rig.run() is Exit.PAUSED
    rig.answer("approve", step="b", by="wang")
    assert rig.resume() is Exit.STEP_FAILED
    assert rig.roll_back("a") is Exit.PAUSED
    assert rig.resume() is Exit.PAUSED
    assert rig.question()["path"] == "main/b"
    assert len(rig.said("asked", kind="approval")) == 2


@pytest.mark.parametrize(
    ("to", "why"),
    [
        ("a", "is not after main/p"),
        ("p", "is not after main/p"),
        ("nothing", "there is no step"),
        ("later", "has not begun"),
        ("x", "one of several that go together: go back to main/both"),
        ("inner", "has an undo of its own"),
    ],
)
def test_a_rollback_that_cannot_be_is_refused_and_the_run_is_as_it_was(to: str, why: str) -> None:
    steps = (
        step("a", "db1"),
        step("p", "db2", ", point_of_no_return: true"),
        (
            "{id: both, parallel: [{id: x, on: db1, run: do-x, effect: idempotent}, "
            "{id: y, on: db2, run: do-y, effect: idempotent}]}"
        ),
        "{id: whole, undo: {run: un-w, on: db1}, steps: [{id: inner, on: db1, run: do-i, effect: idempotent}]}",
    )
    rig = Rig(book(*steps, FAILS, "{id: later, on: db1, run: do-l, effect: idempotent}"))
    for host in ("db1", "db2"):
        rig.host(host).on("do-", 0).on("un-", 0).on("re-", 0).on("see", 0)
    rig.host("db2").on("do-fails", 1)
    assert rig.run() is Exit.STEP_FAILED
    before = rig.state.paused
    assert rig.roll_back(to) is Exit.NOTHING_CHANGED
    refused = rig.said("control_received", verb="rollback")[-1]
    assert not refused["accepted"]
    assert why in refused["because"]
    assert order(rig) == []
    assert rig.state.closed is None
    assert before is not None
    assert rig.state.paused is not None
    assert rig.state.paused.reason in {before.reason, "operator"}


def test_the_word_reaches_a_running_run_after_its_running_step() -> None:
    rig = Rig(book(step("a", "db1"), step("b", "db2"), step("c", "db1")))
    for host in ("db1", "db2"):
        rig.host(host).on("do-", 0).on("un-", 0).on("re-", 0).on("see", 0)
    rig.host("db2").on("do-b", lambda _: rig.inbox.put("rollback", by="li", reason="stop") or 0)  # type: ignore[func-returns-value]
    assert rig.run() is Exit.ROLLED_BACK
    assert order(rig) == ["un-b", "un-a", "re-b", "re-a"]
    assert rig.outcome("c") == "none"


def test_the_word_reaches_a_run_that_waits_at_a_question() -> None:
    rig = Rig(book(step("a", "db1"), "{id: ask, do: manual, with: {say: Look}}"))
    rig.host("db1").on("do-", 0).on("un-", 0).on("re-", 0).on("see", 0)
    rig.clock.then = lambda _: rig.inbox.words or rig.inbox.put("rollback", by="li", reason="stop", to="a")  # type: ignore[assignment,func-returns-value]
    assert rig.run(wait=Duration.parse("1h")) is Exit.PAUSED
    assert rig.state.paused is not None
    assert rig.state.paused.reason == "rolled_back"
    assert rig.outcome("ask") == "none"


def test_a_second_word_of_the_same_is_refused_not_swallowed() -> None:
    rig = three()
    rig.inbox.put("rollback", by="li", reason="one")
    rig.inbox.put("rollback", by="wang", reason="two")
    rig.inbox.put("abort", by="wang", reason="three")
    rig.inbox.put("abort", by="wang", reason="four")
    rig.resume()
    said = [
        (body["verb"], body.get("accepted", True), body.get("because", "")) for body in rig.said("control_received")
    ]
    assert said == [
        ("rollback", True, ""),
        ("rollback", False, "it is being rolled back already, said by li"),
        ("abort", True, ""),
        ("abort", False, "abort was said already, by wang: the run is being closed"),
    ]


def test_abort_in_the_middle_of_a_rollback_ends_it_and_names_what_remains() -> None:
    rig = three()
    rig.host("db1").on("un-c", lambda _: rig.inbox.put("abort", by="li", reason="leave it") or 0)  # type: ignore[func-returns-value]
    assert rig.roll_back() is Exit.ROLLBACK_FAILED
    assert order(rig) == ["un-c", "re-c", "re-b", "re-a"]
    assert rig.state.closed is not None
    assert "ended before the undo of b on db2; the rollback was ended before the undo of a on db1" in (
        rig.state.closed.because
    )
    left = {row.path: row.because for row in left_over(rig.state)}
    assert left == dict.fromkeys(("main/b", "main/a"), "the rollback was ended before its turn")


def test_abort_before_a_rollback_took_anything_back_is_a_plain_abort() -> None:
    rig = three()
    rig.inbox.put("rollback", by="li", reason="one")
    rig.inbox.put("abort", by="wang", reason="leave it")
    assert rig.resume() is Exit.ABORTED
    assert order(rig) == ["re-c", "re-b", "re-a"]
    assert left_over(rig.state) == ()


def test_what_cannot_be_taken_back_is_named_with_host_and_what_remains() -> None:
    rig = three()
    rig.host("db2").down = True
    assert rig.roll_back() is Exit.ROLLBACK_FAILED
    assert rig.state.closed is not None
    assert "NOT_UNDONE(db2, do-b)" in rig.state.closed.because
    assert any("NOT_UNDONE(db2, do-b)" in text for text in rig.state.closed.exceptions)
    assert rig.host("db1").effects == ["do-a", "do-c", "un-c", "un-a", "re-c", "re-a"]


def test_an_act_whose_end_is_not_known_is_looked_at_and_never_begun_by_a_rollback() -> None:
    for there in (True, False):
        rig = Rig(
            book(step("a", "db1"), "{id: b, on: db2, run: do-b, effect: once, verify: {run: is-b}, undo: {run: un-b}}")
        )
        for host in ("db1", "db2"):
            rig.host(host).on("do-", 0).on("un-", 0).on("re-", 0).on("see", 0).on("is-", 0 if there else 1)
        for seq in range(200):
            rig.crash_at(seq, after=True)
            begun = len(rig.said("step_started", path="main/b"))
            if begun:
                break
            rig = Rig(rig.text)
            for host in ("db1", "db2"):
                rig.host(host).on("do-", 0).on("un-", 0).on("re-", 0).on("see", 0).on("is-", 0 if there else 1)
            rig.crash_at(seq, after=True)
            with pytest.raises(Crash):
                rig.run()
        assert rig.host("db2").effects == [], "it died right after the intent"
        rig.journal.dead = False
        assert rig.roll_back() is Exit.ROLLED_BACK
        assert "do-b" not in rig.host("db2").effects
        assert rig.host("db1").effects[-2:] == ["un-a", "re-a"]


def test_look_in_the_middle_of_a_rollback_looks_again_before_it_asks_again() -> None:
    doubtful = "{id: b, on: db2, run: do-b, effect: once, verify: {run: is-b}, undo: {run: un-b}}"
    rig = Rig(book(step("a", "db1"), doubtful))
    for host in ("db1", "db2"):
        rig.host(host).on("do-", 0).on("un-", 0).on("re-", 0).on("is-", 9)
    assert rig.run() is Exit.IN_DOUBT
    assert rig.roll_back() is Exit.IN_DOUBT
    asked, looks = len(rig.said("asked")), len(rig.host("db2").looks)
    rig.answer("look", step="b")
    rig.host("db2").on("is-", 0)
    assert rig.resume() is Exit.ROLLED_BACK
    assert len(rig.said("asked")) == asked
    assert len(rig.host("db2").looks) > looks
    assert rig.host("db2").effects == ["do-b", "un-b"]


@pytest.mark.parametrize("to", ["", "b"])
@pytest.mark.parametrize("after", [False, True])
def test_killed_at_any_record_a_rollback_goes_on_and_takes_each_back_once(to: str, after: bool) -> None:  # noqa: FBT001
    whole = three()
    began = len(whole.lines)
    end = whole.roll_back(to)
    for seq in range(began, len(whole.lines)):
        rig = three()
        rig._again()
        rig.crash_at(seq, after=after)
        with pytest.raises(Crash):
            rig._carry(verb=lambda executor: executor.roll_back(to, "because", "ops"))
        if not rig.said("control_received", verb="rollback"):
            continue  # it died before the word was on disk
        if rig.lines[-1][1] not in {"run_closed", "run_paused"}:
            assert rig.resume() is end, seq
        for host in ("db1", "db2"):
            assert rig.host(host).effects == whole.host(host).effects, seq
        if to:
            rig.host("db2").on("do-fails", 0)
            assert rig.resume() is Exit.EXCEPTIONS, seq
            assert rig.host("db1").effects == ["do-a", "do-c", "un-c", "do-c", "re-c", "re-a"], seq


PHASES = """
runbook: phases
phases:
  - id: one
    steps:
      - {id: first, on: db1, run: do-first, effect: idempotent, undo: {run: un-first}}
  - id: two
    when: steps.first.ok
    steps:
      - {id: part, include: part.yaml}
      - {id: each, foreach: {n: [1, 2]}, steps: [{id: one, on: db1, run: "do-each ${{ n }}", effect: idempotent,
         undo: {run: "un-each ${{ n }}"}}]}
      - {id: web, on: {group: web}, run: do-web, effect: idempotent, undo: {run: un-web}}
  - id: three
    steps:
      - {id: fails, on: db2, run: do-fails, effect: read}
"""
PART = """
runbook: part
phases:
  - id: early
    steps:
      - {id: p, on: db1, run: do-p, effect: idempotent, undo: {run: un-p}}
  - id: late
    steps:
      - {id: q, on: db1, run: do-q, effect: idempotent, undo: {run: un-q}}
"""


@pytest.mark.parametrize("to", ["one/first", "two/part", "early/p", "late/q", "each", "web"])
def test_going_back_over_phases_includes_loops_and_tables_does_it_all_again(to: str) -> None:
    rig = Rig(PHASES, hosts=("db1", "db2", "w1", "w2"), files={"part.yaml": PART})
    for host in rig.hosts:
        rig.host(host).on("do-", 0).on("un-", 0)
    rig.host("db2").on("do-fails", 1)
    assert rig.run() is Exit.STEP_FAILED
    done = list(rig.host("db1").effects)
    assert rig.roll_back(to) is Exit.PAUSED
    assert rig.state.open_questions == ()
    back = rig.host("db1").effects[len(done) :]
    assert [text.replace("un-", "do-") for text in reversed(back)] == done[len(done) - len(back) :]
    rig.host("db2").on("do-fails", 0)
    assert rig.resume() is Exit.EXCEPTIONS
    assert rig.host("db1").effects == [*done, *back, *done[len(done) - len(back) :]]
    for host in ("w1", "w2"):
        assert rig.host(host).effects == ["do-web", "un-web", "do-web"]
    rounds = {"one/first": 5, "two/part": 4, "early/p": 4, "late/q": 3, "each": 2, "web": 0}
    assert len(back) == rounds[to]


def test_what_would_be_taken_back_names_the_computed_place_that_the_rollback_goes_to() -> None:
    """Who only looks has the record and the documents; what they say must be what the rollback does."""
    where = "{id: where, on: db1, run: see-where, effect: read}"
    block = (
        "{id: b, on: '${{ steps.where.stdout }}', undo: [{run: un-b}], steps: [{id: a, run: do-a, effect: idempotent}]}"
    )
    rig = Rig(book(where, block, FAILS))
    rig.host("db1").on("see-where", "db2")
    rig.host("db2").on("do-a", 0).on("un-b", 0).on("do-fails", 1)
    assert rig.run() is Exit.STEP_FAILED
    assert Dues(rig.context()).outlook().back == ("b on db2",)
    assert rig.roll_back() is Exit.ROLLED_BACK
    assert rig.host("db2").effects == ["do-a", "un-b"]
