"""What is done again with the block around it, included runbooks and conditions too; what comes before a question."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drctl.core.outcomes import Outcome
from drctl.errors import Exit
from tests.engine.rig import Rig
from tests.engine.rounds import effects, killed_anywhere
from tests.engine.test_acts import book
from tests.fakes.hosts import said

if TYPE_CHECKING:
    from drctl.core.ports import Command
    from tests.fakes.hosts import Answer

LOOKS = """
runbook: looks
outputs: {seen: steps.n.stdout}
phases:
  - id: see
    steps: [{id: n, on: db1, run: count, effect: read, expect: "stdout == '0'"}]
"""
ACTS = """
runbook: acts
phases:
  - id: push
    when: inputs.really
    steps:
      - {id: a, on: db1, run: do-a, effect: idempotent}
      - {id: b, on: db1, run: do-b, effect: once, verify: {run: is-b}, undo: {none: a test}}
      - {id: n, on: db1, run: count, effect: read}
      - {id: c, do: check, expect: "steps.n.stdout == '0'"}
inputs: {really: {type: bool}}
"""


class Countdown:
    """A look that says how often it is still to be taken until all is well."""

    def __init__(self, left: int) -> None:
        self.left = left

    def __call__(self, _: Command) -> Answer:
        self.left = max(0, self.left - 1)
        return said(str(self.left))


def test_an_included_look_is_taken_again_until_it_is_well() -> None:
    call = "{id: hold, until: {every: 1s, within: 30s}, steps: [{id: call, include: looks.yaml}]}"
    rig = Rig(book(call), files={"looks.yaml": LOOKS})
    rig.host("db1").on("count", Countdown(4))
    assert rig.run() == Exit.DONE
    assert rig.state.step("main/hold/call/see/n").attempts == 4


def _pushes() -> Rig:
    call = "{id: hold, retry: {every: 1s, times: 5}, steps: [{id: call, include: acts.yaml, with: {really: true}}]}"
    rig = Rig(book(call), files={"acts.yaml": ACTS})
    done = {"b": 0}

    def once(_: Command) -> int:
        done["b"] += 1
        return 0

    rig.host("db1").on("count", Countdown(3)).on("do-a", 0).on("do-b", once)
    rig.host("db1").on("is-b", lambda _: 0 if done["b"] else 1)
    return rig


def test_an_included_runbook_is_done_again_and_what_may_happen_once_is_not() -> None:
    rig = _pushes()
    assert rig.run() == Exit.DONE
    assert effects(rig, "db1")["db1"] == ["do-a", "do-b", "do-a", "do-a"]


def test_an_included_runbook_that_is_done_again_is_killed_anywhere() -> None:
    killed_anywhere(_pushes, lambda rig: effects(rig, "db1")["db1"].count("do-b") == 1)


def test_retry_of_a_branch_enters_its_include_again() -> None:
    branches = "{id: p, parallel: [{id: call, include: looks.yaml}, {id: other, on: db2, run: look, effect: read}]}"
    rig = Rig(book(branches), files={"looks.yaml": LOOKS})
    rig.host("db1").on("count", Countdown(2))
    rig.host("db2").on("look", 0)
    assert rig.run() == Exit.STEP_FAILED
    rig.answer("retry", step="p")
    assert rig.resume() == Exit.DONE


def test_the_condition_of_a_block_is_asked_again_with_the_block_around_it() -> None:
    inner = "{id: push, when: steps.n.stdout != '0', steps: [{id: a, on: db1, run: do-a, effect: idempotent}]}"
    looks = "{id: n, on: db1, run: count, effect: read}"
    check = "{id: c, do: check, expect: steps.n.stdout == '0'}"
    rig = Rig(book(f"{{id: hold, retry: {{every: 1s, times: 5}}, steps: [{looks}, {inner}, {check}]}}"))
    rig.host("db1").on("count", Countdown(3)).on("do-a", 0)
    assert rig.run() == Exit.DONE
    assert effects(rig, "db1")["db1"] == ["do-a", "do-a"]
    assert rig.state.blocks["main/hold/push"].outcome is Outcome.SKIPPED


def _beside_a_question(second: str) -> Rig:
    asks = "{id: a, on: db1, caution: sure, run: do-a, effect: idempotent}"
    acts = (
        f"{{id: b, on: db2, run: do-b, effect: once, verify: {{run: seen}}, undo: {{run: back}}, timeout: 5s{second}}}"
    )
    rig = Rig(book(f"{{id: p, {second.removeprefix(', ') + ', ' if second else ''}parallel: [{asks}, {acts}]}}"))
    rig.host("db1").on("do-a", 0)
    rig.host("db2").on("do-b", 1).on("seen", 9).on("back", 0)
    return rig


def test_a_doubt_is_told_before_a_question_beside_it() -> None:
    rig = _beside_a_question("")
    rig.host("db2").hang()
    assert rig.run() == Exit.IN_DOUBT
    assert {(q.asked.kind, q.asked.path) for q in rig.state.questions.values() if q.open} == {
        ("caution", "main/p/a"),
        ("doubt", "main/p/b"),
    }
    rig.answer("not_done", step="b", reason="I looked")
    assert rig.resume() == Exit.STEP_FAILED, "it is done again, and fails: told before the question too"


def test_a_question_does_not_hold_up_a_rollback() -> None:
    rig = _beside_a_question(", on_failure: rollback")
    assert rig.run() == Exit.ROLLED_BACK
    assert effects(rig, "db1") == {}
