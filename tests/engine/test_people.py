"""Decisions, work of people, conditions without a value: a person decides, and it never defaults."""

from __future__ import annotations

from drctl.core.values import Duration
from drctl.errors import Exit
from tests.engine.rig import Rig
from tests.engine.test_acts import book

LOOK = "{id: look, on: db1, run: look-there, effect: read, observe: true, capture: {n: int(stdout)}}"
DECIDE = (
    "{id: fault, do: decide, with: {rules: [{if: steps.look.n > 5, then: 10}, {if: steps.look.n > 2, then: 20}], MORE}}"
)


def deciding(more: str, stdout: str, *then: str) -> Rig:
    rig = Rig(book(LOOK, DECIDE.replace("MORE", more), *then))
    rig.host("db1").on("look-there", stdout)
    return rig


def value(rig: Rig) -> object:
    final = rig.state.step("main/fault").final
    return final.outputs.get("value") if final is not None else None


def test_the_first_true_rule_wins_and_otherwise_is_last() -> None:
    for stdout, wanted in (("9", 10), ("3", 20), ("1", 30)):
        rig = deciding("otherwise: 30", stdout)
        assert rig.run() is Exit.DONE
        assert value(rig) == wanted


def test_what_rules_cannot_tell_a_person_decides_among_the_values_with_their_types() -> None:
    rig = deciding("otherwise: 30", "many", "{id: same, do: check, expect: steps.fault.value == 20}")
    assert rig.run() is Exit.PAUSED
    assert rig.question()["choices"] == ["10", "20", "30"]
    rig.answer("40", step="fault")
    rig.answer("20", step="fault")
    assert rig.resume() is Exit.DONE
    assert value(rig) == 20


def test_never_ask_fails_and_always_ask_notes_an_override() -> None:
    assert deciding("ask: never", "many").run() is Exit.STEP_FAILED
    rig = deciding("otherwise: 30, ask: always", "9")
    rig.run()
    rig.answer("20", step="fault", reason="I know better")
    assert rig.resume() is Exit.EXCEPTIONS
    assert any(d.what == "override" for _, d in rig.state.deviations)


def test_a_condition_without_a_value_waits_for_a_person_and_says_afterwards_who_decided() -> None:
    steps = (LOOK, "{id: then, on: db1, when: steps.look.n > 5, run: then-one, effect: idempotent}")
    for choice, effects, outcome in (("run", ["then-one"], "ok"), ("skip", [], "skipped")):
        rig = Rig(book(*steps))
        rig.host("db1").on("look-there", "many").on("then-one", 0)
        assert rig.run() is Exit.PAUSED
        assert rig.question()["kind"] == "when"
        rig.answer(choice, step="then")
        assert rig.resume() is Exit.PAUSED, "a reason is needed"
        rig.answer(choice, step="then", reason="I looked")
        assert rig.resume() is Exit.EXCEPTIONS
        assert rig.host("db1").effects == effects
        assert rig.outcome("then") == outcome
        if choice == "skip":
            assert rig.because("then") == "skipped by ops: I looked"


def test_every_line_of_expect_judges_the_answers_of_a_person() -> None:
    text = book(
        "{id: ask, do: manual, with: {say: Count them, ask: {n: {type: int}}}, expect: [n > 10, n < 20]}",
    )
    for n, exit_ in (("5", Exit.STEP_FAILED), ("25", Exit.STEP_FAILED), ("15", Exit.DONE)):
        rig = Rig(text)
        rig.run()
        rig.answer("done", step="ask", values={"n": n})
        assert rig.resume() is exit_, n


def test_a_manual_step_said_not_done_can_be_asked_again() -> None:
    rig = Rig(book("{id: ask, do: manual, with: {say: Pull the plug}}"))
    rig.run()
    rig.answer("not_done", step="ask", reason="no key")
    assert rig.resume() is Exit.STEP_FAILED
    rig.answer("retry", step="ask", reason="key found")
    assert rig.resume() is Exit.PAUSED
    rig.answer("done", question=rig.question()["id"])
    assert rig.resume() is Exit.DONE


def test_typed_answers_are_checked_and_wrong_ones_stay_in_the_record() -> None:
    rig = Rig(
        book(
            "{id: ask, do: manual, with: {say: Say, ask: {n: {type: int, min: 3}, note: {type: text, optional: true}}}}"
        )
    )
    rig.run()
    for values in ({}, {"n": "x"}, {"n": "1"}, {"n": "4", "m": "1"}):
        rig.answer("done", step="ask", values=values)
    assert rig.resume() is Exit.PAUSED
    reasons = [body["because"] for body in rig.said("answered", accepted=False)]
    assert len(reasons) == 4
    assert reasons[0] == "n is missing"
    rig.answer("done", step="ask", values={"n": "4"})
    assert rig.resume() is Exit.DONE


def test_required_evidence_is_asked_for_and_not_done_without() -> None:
    rig = Rig(book("{id: ask, do: manual, with: {say: Pull the plug, evidence: required}}"))
    rig.run()
    assert [field["name"] for field in rig.question()["fields"]] == ["evidence"]
    rig.answer("done", step="ask")
    assert rig.resume() is Exit.PAUSED
    rig.answer("done", step="ask", values={"evidence": "photo 3 in the vault"})
    assert rig.resume() is Exit.DONE
    assert rig.said("answered", accepted=True)[-1]["values"] == {"evidence": "photo 3 in the vault"}


def test_hostile_answers_cannot_end_the_run() -> None:
    rig = Rig(book("{id: ask, do: manual, with: {say: Say, ask: {n: {type: text}}}}"))
    rig.run()
    long = "é" * 70_000
    rig.answer(long, step=long, by=long, reason=long, target=long, values={long: long})
    rig.answer("done", step="ask", values={"n": long})
    rig.inbox.put("note", by=long, text=long)
    rig.inbox.put(long, by=long)
    rig.inbox.put("answer", choice=["x"], values=[1], given_at="soon", question={"a": 1})
    assert rig.resume() is Exit.PAUSED
    assert not rig.said("answered", accepted=True)


def test_a_question_that_moot_became_waits_for_nobody() -> None:
    rig = Rig(book("{id: act, on: db1, run: do-it, effect: once, verify: {run: is-done}, undo: {none: a test}}"))
    rig.host("db1").on("do-it", 0).on("is-done", 9)
    rig.host("db1").lose_link("after")
    assert rig.run() is Exit.IN_DOUBT
    rig.host("db1").on("is-done", 0)
    assert rig.resume() is Exit.DONE
    assert rig.state.open_questions == ()
    rig.answer("not_done", question="q1", reason="late")
    assert rig.said("answered") == []


def test_look_again_looks_again_and_asks_again() -> None:
    rig = Rig(book("{id: act, on: db1, run: do-it, effect: once, verify: {run: is-done}, undo: {none: a test}}"))
    rig.host("db1").on("do-it", 0).on("is-done", 9)
    rig.host("db1").lose_link("during")
    assert rig.run() is Exit.IN_DOUBT
    rig.answer("look", step="act")
    assert rig.resume(wait=Duration.parse("1s")) is Exit.IN_DOUBT
    rig.host("db1").on("is-done", 0)
    rig.answer("look", step="act")
    assert rig.resume() is Exit.DONE


def test_set_names_values_and_fails_without() -> None:
    for stdout, exit_ in (("4", Exit.DONE), ("x", Exit.STEP_FAILED)):
        rig = Rig(
            book(
                LOOK,
                '{id: names, do: set, with: {twice: "${{ steps.look.n * 2 }}"}}',
                "{id: same, do: check, expect: steps.names.twice == 8}",
            )
        )
        rig.host("db1").on("look-there", stdout)
        assert rig.run() is exit_
