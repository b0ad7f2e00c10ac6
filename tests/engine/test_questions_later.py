"""The later questions of the language and their answers, as runs: hosts that left, roles, includes, people, doubts."""

from __future__ import annotations

import pytest

from drctl.core.inventory import Environment
from drctl.errors import Exit
from tests.engine.rig import Rig
from tests.engine.rounds import INNER, WEB, Noting, act, effects, given, including, killed_anywhere, works
from tests.engine.test_acts import book
from tests.engine.test_questions import BAD, approving, passing
from tests.fakes.hosts import said

# -- 17 to 19, 21 to 25 -----------------------------------------------------------------------------------------------


def test_q17_a_host_that_left_a_block_is_touched_after_it_unless_where_says_no() -> None:
    for on, wanted in (("web", True), ("{group: web, where: steps.one.here.ok}", False)):
        rig = Rig(
            book(
                "{id: roll, on: {group: web, batch: 1, max_failures: 1}, steps: [{" + act("one") + "}, {" + act("two")
                + "}]}",
                f"{{id: next, on: {on}, run: do-next, effect: idempotent}}",
            ),
            hosts=("db1", *WEB),
        )  # fmt: skip
        for name in ("one", "two"):
            works(rig, name, *WEB)
        passing(rig, "do-next", *WEB).host("w2").on("do-one", 1)
        rig.run()
        assert rig.host("w2").effects == ["do-one"] + ["do-next"] * wanted
        assert rig.host("w3").effects == ["do-one", "do-two", "do-next"]


def test_q18_a_record_that_is_not_there_is_none() -> None:
    rig = Rig(
        book(
            "{id: few, on: {group: web, where: \"host.name == 'w1'\"}, run: look-few, effect: read}",
            "{" + act("it", ", on: {group: web, where: 'default(steps.few.here.ok, false)'}") + "}",
            "{id: told, do: check, expect: \"not known(steps.few.hosts['w2'].stdout)\"}",
        ),
        hosts=("db1", *WEB),
    )
    works(rig, "it", *WEB)
    passing(rig, "look-few", *WEB)
    assert rig.run() is Exit.DONE
    assert effects(rig) == {"w1": ["do-it"]}


def test_q19_a_role_stays_with_the_host_it_was_bound_to() -> None:
    rig = Rig(
        book(
            "{id: before, on: db-primary, run: do-before, effect: idempotent}",
            "{id: promote, on: db-standby, run: do-promote, effect: idempotent}",
            "{id: after, on: db-primary, run: do-after, effect: idempotent}",
        )
    )
    passing(rig, "do-before do-promote do-after", "db1", "db2")
    assert rig.run() is Exit.DONE
    assert rig.host("db1").effects == ["do-before", "do-after"]


@pytest.mark.parametrize(("seen", "code"), [(0, Exit.ROLLED_BACK), (1, Exit.ROLLBACK_FAILED)])
def test_q21_a_rollback_stops_at_the_point_of_no_return(seen: int, code: Exit) -> None:
    rig = Rig(
        book(
            "{id: a, on: db1, run: do-a, effect: idempotent, undo: {run: un-a}}",
            "{id: no_way, on: db1, run: do-no-way, effect: idempotent, point_of_no_return: true}",
            "{id: c, on: db1, run: do-c, effect: idempotent, undo: {run: un-c}}",
            BAD,
        )
    )
    passing(rig, "do-a do-no-way do-c un-a", "db1").host("db1").on("do-bad", 1).on("un-c", seen)
    assert rig.run() is code
    assert "un-a" not in rig.host("db1").effects
    if code is Exit.ROLLED_BACK:
        assert rig.state.closed is not None
        assert "failback" in rig.state.closed.because


def test_q22_a_file_included_twice_is_two_instances() -> None:
    rig = Noting(
        book(
            "{id: li, include: inner.yaml, with: {name: li}}",
            "{id: wang, include: inner.yaml, with: {name: wang, times: 1}}",
            "{id: zhao, include: inner.yaml, with: {name: zhao}}",
            "{id: told, do: check, expect: [\"steps.li.said == 'li'\", not known(steps.wang.said)]}",
        ),
        files={"inner.yaml": INNER},
    )
    rig.host("db1").on("say-it", lambda command: said(given(command, "G").removeprefix("hello ")))
    rig.notes("do-keep", "is-kept", "S")
    assert rig.run() is Exit.DONE
    assert rig.noted == ["li", "zhao"]
    assert {path for path in ("main/li/work/keep", "main/zhao/work/keep") if rig.said("step_started", path=path)}


def test_q22_in_a_loop_killed_anywhere() -> None:
    killed_anywhere(including, lambda rig: rig.noted == ["hello li!", "hello wang!"])


def test_q24_simulated_people_are_worth_nothing_outside_a_lab() -> None:
    rig = approving(environment=Environment.PRODUCTION)
    rig.answer("approve", step="act", by="li")
    assert rig.resume() is Exit.PAUSED
    assert rig.said("answered", accepted=False)
    assert rig.host("db1").effects == []


def test_q25_no_rollback_around_a_doubt() -> None:
    rig = Rig(
        book(
            "{id: a, on: db2, run: do-a, effect: idempotent, undo: {run: un-a}}",
            "{" + act("it", ", on: db1, on_failure: rollback") + "}",
        )
    )
    passing(rig, "do-a un-a", "db2").host("db1").on("do-it", 0).on("is-it", 9).on("un-it", 0)
    assert rig.run() is Exit.IN_DOUBT
    assert rig.host("db2").effects == ["do-a"]
    rig.answer("not_done", step="it", reason="I looked")
    rig.host("db1").on("do-it", 1).on("is-it", 1)
    assert rig.resume() is Exit.ROLLED_BACK
    assert rig.host("db2").effects == ["do-a", "un-a"]
