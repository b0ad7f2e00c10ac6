"""Before the first act of a phase: hosts that it cannot do without; exit 4 while nothing was changed, 7 afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drctl.core.ports import Command, Reach, Reply
from drctl.engine.preflight import CLAIMABLE
from drctl.errors import Exit
from tests.engine.rig import Rig
from tests.engine.test_acts import book
from tests.fakes.hosts import FakeHost

if TYPE_CHECKING:
    from collections.abc import Callable

ACT = "{id: act, on: db2, run: do-it, effect: idempotent}"


def reaching(*steps: str, down: str = "db1") -> Rig:
    rig = Rig(book(*steps, ACT))
    rig.host("db2").on("do-it", 0)
    rig.host("db1").on("look", 0).on("act", 0)
    rig.host(down).down = True
    return rig


def test_a_host_that_is_needed_stops_the_run_before_anything_is_changed() -> None:
    rig = reaching("{id: x, on: db1, run: look, effect: read}")
    assert rig.run() is Exit.NOTHING_CHANGED
    assert rig.host("db2").effects == []
    assert "db1: refused" in rig.said("run_closed")[0]["because"]


def test_steps_that_foresee_it_excuse_a_host() -> None:
    for step in (
        "{id: x, on: db1, run: look, effect: read, observe: true}",
        "{id: x, on: db1, run: act, effect: idempotent, tolerate: [unreachable]}",
        "{id: x, on: db1, run: look, effect: read, when: 1 > 2}",
        "{id: b, when: 1 > 2, steps: [{id: x, on: db1, run: look, effect: read}]}",
    ):
        assert reaching(step).run() is Exit.DONE, step


def test_a_fence_excuses_its_host_which_may_be_dead() -> None:
    rig = reaching(
        "{id: fence, do: fence.host, on: db1, with: {methods: [{run: off, on: local}], "
        "proof: [{do: tcp.check, with: {host: db1, port: 5432}, expect: open}]}}"
    )
    rig.host("local").on("off", 0)
    assert rig.run() is Exit.DONE


def test_in_a_branch_that_is_not_decided_yet_it_is_a_warning() -> None:
    rig = reaching(
        "{id: know, on: db2, run: know, effect: read, capture: {n: int(stdout)}}",
        "{id: x, on: db1, when: steps.know.n > 5, run: look, effect: read}",
    )
    rig.host("db2").on("know", "1")
    assert rig.run() is Exit.DONE
    assert any("db1" in text for text in rig.said("preflight_finished", phase="main")[0]["warnings"])


TWO = """
runbook: two
phases:
  - {id: one, steps: [{id: first, on: db2, run: do-it, effect: idempotent}]}
  - {id: two, steps: [{id: second, on: db1, run: act, effect: idempotent}]}
"""


def test_once_something_was_changed_a_later_phase_pauses_and_looks_again_on_resume() -> None:
    rig = Rig(TWO)
    rig.host("db2").on("do-it", 0)
    rig.host("db1").on("act", 0)
    rig.host("db1").down = True
    assert rig.run() is Exit.STEP_FAILED
    assert rig.state.paused is not None
    assert rig.state.paused.reason == "preflight"
    rig.host("db1").down = False
    assert rig.resume() is Exit.DONE
    assert rig.host("db2").effects == ["do-it"]


def test_a_phase_that_only_looks_has_no_preflight_of_its_own() -> None:
    rig = Rig(
        book("{id: x, on: db1, run: look, effect: read, observe: true}", "{id: y, on: db1, run: look, effect: read}")
    )
    rig.host("db1").down = True
    assert rig.run() is Exit.STEP_FAILED
    assert rig.outcome("y") == "unreachable"


# -- secrets ----------------------------------------------------------------------------------------------------------

QUERY = "{id: x, on: db1, do: postgres.query, with: {sql: SELECT 1}MORE}"


def without_password(more: str = "") -> Rig:
    rig = Rig(book(QUERY.replace("MORE", more), ACT))
    rig.world.lost_secrets.add("env:DB_PASSWORD")
    rig.host("db2").on("do-it", 0)
    return rig


def test_a_secret_that_is_needed_stops_the_run_before_anything_is_changed() -> None:
    rig = without_password()
    assert rig.run() is Exit.NOTHING_CHANGED
    assert rig.host("db2").effects == []
    assert "env:DB_PASSWORD: it is not set" in rig.said("run_closed")[0]["because"]


def test_a_secret_of_a_branch_that_is_left_out_or_foreseen_is_a_warning_at_most() -> None:
    for more in (", when: 1 > 2", ", observe: true"):
        rig = without_password(more)
        assert rig.run() is Exit.DONE, more
        assert any("env:DB_PASSWORD" in text for text in rig.said("preflight_finished", phase="*")[0]["warnings"])


def test_no_secret_is_asked_for_that_nothing_uses() -> None:
    rig = Rig(book(ACT))
    rig.world.lost_secrets.add("env:DB_PASSWORD")
    rig.host("db2").on("do-it", 0)
    assert rig.run() is Exit.DONE
    assert all(not body.get("warnings") for body in rig.said("preflight_finished"))


def _giving(answer: Reply) -> Callable[[Command], Reply]:
    return lambda _: answer


def test_a_user_that_cannot_be_become_stops_the_run_before_anything_is_changed() -> None:
    """sudo that asks for a password is found before the first act, not in the middle of a failover."""
    step = "{id: x, on: db1, as: postgres, run: act, effect: idempotent}"
    for answer, told in (
        (
            Reply(reach=Reach.UNREACHABLE, because="sudo: on db1 sudo asks ops for a password"),
            "asks ops for a password",
        ),
        (Reply(reach=Reach.COMPLETE, exit=1), "no folder there that claims could be kept in"),
    ):
        rig = Rig(book(ACT, step))
        rig.world.hosts["db1"] = FakeHost("db1").on(CLAIMABLE, _giving(answer)).on("act", 0)
        assert rig.run() is Exit.NOTHING_CHANGED
        because = rig.said("run_closed")[0]["because"]
        assert f"postgres@db1: {answer.because}" in because
        assert told in because
        assert rig.host("db2").effects == []


def test_a_computed_user_that_is_no_name_fails_its_step_and_not_drctl() -> None:
    step = '{id: x, on: db2, as: "${{ inputs.who }}", run: act, effect: read, tolerate: [failed]}'
    rig = Rig(book(step, ACT).replace("phases:", "inputs: {who: {type: text}}\nphases:", 1), inputs={"who": "x; y"})
    rig.host("db2").on("do-it", 0)
    assert rig.run() is Exit.DONE
    assert any("as: is not the name of a user" in body.get("because", "") for body in rig.said("step_finished"))


def test_of_a_host_that_is_down_one_word_is_enough() -> None:
    rig = reaching("{id: x, on: db1, as: postgres, run: act, effect: idempotent}")
    assert rig.run() is Exit.NOTHING_CHANGED
    assert "postgres@db1" not in rig.said("run_closed")[0]["because"]


def test_what_is_worth_knowing_of_a_host_stands_in_the_record_and_stops_nothing() -> None:
    rig = Rig(book(ACT))
    rig.host("db2").on("do-it", 0)
    rig.world.remarked["db2"] = ["its clock is 9 s behind ours"]
    assert rig.run() is Exit.DONE
    told = rig.said("preflight_finished", phase="*")[0]
    assert told["remarks"] == ["db2: its clock is 9 s behind ours"]
    assert "warnings" not in told  # which name what was not reached
