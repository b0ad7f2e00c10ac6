"""Branches side by side: one question for the whole, doubt asked by step, nothing entered again unasked, crashes."""

from __future__ import annotations

import threading

import pytest

from drctl.core.values import Duration
from drctl.errors import Exit
from tests.engine.rig import Crash, Rig
from tests.engine.rounds import killed_anywhere
from tests.engine.test_acts import book

HOSTS = ("a1", "b1", "c1", "db1", "db2")


def step(name: str, host: str) -> str:
    return (
        f"{{id: {name}, on: {host}, run: do-{name}, effect: once, "
        f"verify: {{run: is-{name}}}, undo: {{run: un-{name}}}}}"
    )


BRANCHES = book(
    "{id: both, ON_FAILUREparallel: ["
    f"{{id: a, steps: [{step('one', 'a1')}, {step('two', 'a1')}]}}, "
    f"{{id: b, steps: [{step('three', 'b1')}, {step('four', 'b1')}]}}, {step('five', 'c1')}"
    "]}",
    "{id: after, on: db1, run: do-after, effect: idempotent}",
)
STEPS = {"one": "a1", "two": "a1", "three": "b1", "four": "b1", "five": "c1"}


def branches(on_failure: str = "") -> Rig:
    rig = Rig(BRANCHES.replace("ON_FAILURE", on_failure), hosts=HOSTS)
    for name, place in STEPS.items():
        works(rig, name, place)
        rig.host(place).on(f"un-{name}", 0)
    rig.host("db1").on("do-after", 0)
    return rig


def works(rig: Rig, name: str, place: str) -> None:
    host = rig.host(place).on(f"is-{name}", 1)
    host.on(f"do-{name}", lambda _: host.on(f"is-{name}", 0) and 0)  # type: ignore[arg-type,return-value]


def effects(rig: Rig) -> list[str]:
    return sorted(script for name in HOSTS for script in rig.host(name).effects)


EVERYTHING = ["do-after", "do-five", "do-four", "do-one", "do-three", "do-two"]


def test_all_branches_are_carried_out() -> None:
    rig = branches()
    assert rig.run() is Exit.DONE
    assert effects(rig) == EVERYTHING


def test_a_failure_asks_once_for_the_whole_and_says_what_failed() -> None:
    rig = branches()
    rig.host("a1").on("do-one", 1)
    rig.host("c1").on("do-five", 1)
    assert rig.run() is Exit.STEP_FAILED
    assert [(q["kind"], q["path"]) for q in rig.said("asked")] == [("failure", "main/both")]
    assert "one: " in rig.question()["text"] or "five: " in rig.question()["text"]
    assert rig.outcome("two") == "none"


def test_a_paused_block_is_not_entered_again_before_somebody_says_so() -> None:
    rig = branches()
    rig.host("c1").on("do-five", 1)
    rig.run()
    before = effects(rig)
    for _ in range(3):
        assert rig.resume() is Exit.STEP_FAILED
        assert effects(rig) == before
    assert len(rig.said("asked")) == 1


def test_retry_touches_only_what_is_not_ok() -> None:
    rig = branches()
    rig.host("b1").on("do-three", 1)
    assert rig.run() is Exit.STEP_FAILED
    works(rig, "three", "b1")
    rig.answer("retry", step="both", reason="mended")
    assert rig.resume() is Exit.DONE
    assert effects(rig) == sorted([*EVERYTHING, "do-three"])


def test_skip_leaves_out_what_is_not_ok_and_is_an_exception() -> None:
    rig = branches()
    rig.host("b1").on("do-three", 1)
    rig.run()
    rig.answer("skip", step="both", reason="not needed today")
    assert rig.resume() is Exit.EXCEPTIONS
    assert (rig.outcome("three"), rig.outcome("four"), rig.outcome("both")) == ("skipped", "skipped", "skipped")
    assert "do-four" not in effects(rig)


def test_a_doubt_inside_is_asked_about_by_its_step_and_nothing_else_is_attested() -> None:
    rig = branches()
    rig.host("a1").on("is-one", 9)
    rig.host("a1").on("do-one", 0)
    rig.host("a1").lose_link("after")
    assert rig.run() is Exit.IN_DOUBT
    assert (rig.question()["kind"], rig.question()["path"]) == ("doubt", "main/both/a/one")
    assert rig.outcome("two") == "none"
    rig.answer("done", step="one", reason="I looked: it is there")
    assert rig.resume() is Exit.EXCEPTIONS
    assert rig.host("a1").effects == ["do-one", "do-two"], "the step after it is really carried out"
    assert effects(rig) == EVERYTHING


def test_a_doubt_and_a_failure_are_two_questions_the_doubt_first() -> None:
    rig = branches("on_failure: rollback, ")
    together = threading.Barrier(2, timeout=20)
    rig.host("a1").on("is-one", 9).on("do-one", lambda _: together.wait() * 0)
    rig.host("a1").lose_link("after")
    rig.host("c1").on("do-five", lambda _: together.wait() * 0 + 1)
    assert rig.run() is Exit.IN_DOUBT
    assert not rig.said("block_started", form="undo"), "no rollback around an unknown"
    rig.answer("not_done", step="one", reason="I looked")
    assert rig.resume() is Exit.ROLLED_BACK
    assert "un-one" in rig.host("a1").effects, "it may have left something"


def test_a_question_in_one_branch_lets_the_others_finish_their_step() -> None:
    text = book(
        "{id: both, parallel: ["
        "{id: asks, do: manual, with: {say: Look at the door}}, "
        f"{{id: b, steps: [{step('three', 'b1')}, {step('four', 'b1')}]}}]}}",
    )
    rig = Rig(text, hosts=HOSTS)
    works(rig, "three", "b1")
    works(rig, "four", "b1")
    assert rig.run() is Exit.PAUSED
    rig.answer("done", step="asks")
    assert rig.resume() is Exit.DONE
    assert rig.host("b1").effects == ["do-three", "do-four"]


def test_two_branches_that_ask_get_two_questions() -> None:
    text = book(
        "{id: both, parallel: [{id: x, do: manual, with: {say: X}}, {id: y, do: manual, with: {say: Y}}, "
        "{id: z, do: manual, with: {say: Z}}]}"
    )
    for _ in range(20):
        rig = Rig(text)

        def then(_: Duration, rig: Rig = rig) -> None:
            for question in rig.state.open_questions:
                rig.answer("done", question=question.asked.id)

        rig.clock.then = then
        assert rig.run(wait=Duration.parse("1h")) is Exit.DONE
        assert sorted(q["id"] for q in rig.said("asked")) == ["q1", "q2", "q3"]


def test_branches_that_ask_do_so_at_once_when_nobody_is_there_to_answer() -> None:
    for together, asked in (("", ["main/both/x", "main/both/y"]), ("at_once: 1, ", ["main/both/x"])):
        text = book(
            f"{{id: both, {together}parallel: [{{id: x, do: manual, with: {{say: X}}}}, "
            "{id: y, steps: [{id: z, do: check, expect: true}, {id: y2, do: manual, with: {say: W}}]}]}"
        )
        for _ in range(10):
            rig = Rig(text)
            assert rig.run() is Exit.PAUSED
            assert sorted(q["path"].removesuffix("/y2") for q in rig.said("asked")) == asked
        for question in rig.state.open_questions:
            rig.answer("done", question=question.asked.id)
        assert rig.resume() is (Exit.DONE if len(asked) == 2 else Exit.PAUSED)


def test_an_inner_block_heeds_the_halt_around_it() -> None:
    text = book(
        f"{{id: both, at_once: 1, parallel: [{step('five', 'c1')}, "
        f"{{id: a, steps: [{{id: inner, parallel: [{step('one', 'a1')}, {step('three', 'b1')}]}}]}}]}}"
    )
    rig = Rig(text, hosts=HOSTS)
    rig.host("c1").on("do-five", 1).on("is-five", 1)
    assert rig.run() is Exit.STEP_FAILED
    assert effects(rig) == ["do-five"]


def test_killed_at_any_record_every_effect_happens_once() -> None:
    killed_anywhere(branches, lambda rig: effects(rig) == EVERYTHING, least=30)


@pytest.mark.parametrize("die_in", range(1, 8))
def test_killed_while_a_person_retries_nothing_that_was_ok_is_repeated(die_in: int) -> None:
    rig = branches()
    rig.host("b1").on("do-three", 1)
    rig.run()
    works(rig, "three", "b1")
    rig.answer("retry", step="both", reason="mended")
    with pytest.raises(Crash):
        rig.resume(die_in=die_in)
    assert rig.resume() is Exit.DONE
    assert effects(rig) == sorted([*EVERYTHING, "do-three"])
    assert len(rig.said("answered")) == 1
