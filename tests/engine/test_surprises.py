"""Values nobody knows, selections, ladders, limits and nested repeats: each as the language says, in plans and runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from drctl.errors import Exit
from tests.engine.rig import Rig
from tests.engine.rounds import WEB, Noting, act, effects, given, killed_anywhere, works
from tests.engine.test_acts import book
from tests.engine.test_planner import planned
from tests.engine.test_questions import BAD, FENCE, passing

if TYPE_CHECKING:
    from drctl.core.ports import Command

# -- no value: every place in a plan and in a run --------------------------------------------------------------------

LATER = "{id: change, on: db1, run: do-change, effect: idempotent}"
LOOK = "{id: look, on: db1, run: look-there, effect: read, observe: true, capture: {n: int(stdout)}}"
NAMED = "env: {N: '${{ steps.look.n }}'}"
PLACES = {
    "when": ("{id: x, on: db1, when: steps.look.n > 5, run: do-x, effect: idempotent}", "DEPENDS", Exit.PAUSED),
    "expect": ("{id: x, do: check, expect: steps.look.n > 5}", "DEPENDS", Exit.STEP_FAILED),
    "template": (f"{{id: x, on: db1, run: do-x, with: {{{NAMED}}}, effect: idempotent}}", None, Exit.STEP_FAILED),
    "where": (
        "{id: x, on: {group: web, where: steps.look.n > 5}, run: do-x, effect: idempotent}", "DEPENDS",
        Exit.STEP_FAILED,
    ),
    "hosts": (
        ("{id: x, on: {hosts: lines(steps.look.stderr), group: web, where: steps.look.n > 1}, run: do-x, "
        "effect: idempotent}"), "DEPENDS", Exit.STEP_FAILED,
    ),
    "foreach": (
        "{id: x, on: db1, foreach: {k: '[steps.look.n]'}, run: do-x, effect: idempotent}", None, Exit.STEP_FAILED,
    ),
    "decide": ("{id: x, do: decide, with: {rules: [{if: steps.look.n > 5, then: a}]}}", None, Exit.PAUSED),
    "verify": (
        ("{id: x, on: db1, run: do-x, effect: once, verify: {run: is-x, expect: steps.look.n > 5}, "
        "undo: {none: a test}}"), None, Exit.IN_DOUBT,
    ),
}  # fmt: skip


def placed(name: str) -> Rig:
    rig = Rig(book(LATER, LOOK, PLACES[name][0]), hosts=("db1", *WEB))
    passing(rig, "do-change do-x is-x", "db1", *WEB).host("db1").on("look-there", "many")
    return rig


@pytest.mark.parametrize("name", PLACES)
def test_a_value_that_nobody_knows_stops_a_run_before_it_acts(name: str) -> None:
    rig = placed(name)
    assert rig.run() is PLACES[name][2]
    acted = [place for place in ("db1", *WEB) if "do-x" in rig.host(place).effects]
    assert acted == (["db1"] if name == "verify" else [])


@pytest.mark.parametrize("name", PLACES)
def test_a_plan_says_that_it_depends(name: str) -> None:
    rig = placed(name)
    found = [one for one in planned(rig).rows if "/x" in one.path]
    assert found
    assert not any(one.status.value == "WOULD_SKIP" for one in found), [(o.path, o.status) for o in found]
    wanted = PLACES[name][1]
    if wanted is not None:
        assert wanted in {one.status.name for one in found}, [(o.path, o.status) for o in found]


def test_an_unless_that_cannot_tell_fails_before_the_act_and_one_without_value_is_not_done() -> None:
    text = "{id: x, on: db1, unless: {run: is-x}, run: do-x, effect: idempotent}"
    for seen, wanted, code in ((0, [], Exit.DONE), (1, ["do-x"], Exit.DONE), (9, [], Exit.STEP_FAILED)):
        rig = passing(Rig(book(text)), "do-x", "db1")
        rig.host("db1").on("is-x", seen)
        assert rig.run() is code or (not wanted and code is Exit.STEP_FAILED)
        assert rig.host("db1").effects == wanted


def test_a_capture_without_value_is_no_failure() -> None:
    rig = Rig(book(LOOK, '{id: told, do: check, expect: "not known(steps.look.n)"}'))
    rig.host("db1").on("look-there", "many")
    assert rig.run() is Exit.DONE


# -- where ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("bad", "code"), [(1, Exit.EXCEPTIONS), (2, Exit.STEP_FAILED)])
def test_failures_allowed_as_a_share(bad: int, code: Exit) -> None:
    rig = Rig(book("{" + act("it", ', on: {group: web, batch: 1, max_failures: "25%"}') + "}"), hosts=("db1", *WEB))
    works(rig, "it", *WEB)
    for place in WEB[:bad]:
        rig.host(place).on("do-it", 1)
    assert rig.run() is code
    assert sorted(effects(rig)) == list(WEB if bad == 1 else WEB[:2])


@pytest.mark.parametrize(("seen", "code"), [(0, Exit.DONE), (1, Exit.STEP_FAILED), (9, Exit.IN_DOUBT)])
def test_all_or_none_looks_first_where_it_is_in_doubt(seen: int, code: Exit) -> None:
    rig = Rig(book("{" + act("it", ", on: {group: web, all_or_none: true}") + "}"), hosts=("db1", *WEB))
    works(rig, "it", *WEB)
    passing(rig, "un-it", *WEB).host("w4").on("is-it", seen).lose_link("after")
    rig.host("w4").on("do-it", 0)
    rig.run()
    if code is Exit.IN_DOUBT:
        assert rig.ends[-1] is code
    if code is Exit.DONE:
        assert all("un-it" not in rig.host(place).effects for place in WEB)


def test_a_batch_is_soaked_and_canaries_of_a_group_go_first() -> None:
    rig = Rig(book("{" + act("it", ", on: {group: web, canaries: 1, batch: 2, soak: 30s}") + "}"), hosts=("db1", *WEB))
    works(rig, "it", *WEB)
    assert rig.run() is Exit.DONE
    assert rig.said("block_started", form="table")[0]["frozen"]["batches"] == [["w1"], ["w2", "w3"], ["w4"]]


# -- doing it again ----------------------------------------------------------------------------------------------------


def climbing() -> Rig:
    rig = Rig(
        book(
            "{id: again, retry: {every: 1s, within: 60s, escalate: [{after: 3s, steps: ["
            "{id: force, on: db1, run: do-force, effect: idempotent}]}]}, steps: ["
            "{id: work, on: db1, run: do-work, effect: idempotent}, {id: seen, on: db1, run: is-good, effect: read}]}",
        )
    )
    left = [8]

    def good(_: object) -> int:
        left[0] -= 1
        return 0 if left[0] < 0 else 1

    rig.host("db1").on("do-", 0).on("is-good", good)
    return rig


def test_a_rung_of_a_block_is_taken_once() -> None:
    rig = climbing()
    assert rig.run() is Exit.DONE
    assert rig.host("db1").count("do-force") == 1


def test_a_rung_that_was_taken_is_not_taken_again_after_a_crash() -> None:
    killed_anywhere(climbing, lambda rig: rig.host("db1").count("do-force") == 1)


def test_a_block_of_looks_needs_its_row() -> None:
    rig = Rig(
        book(
            "{id: calm, until: {every: 1s, times: 9, in_a_row: 3, backoff: 2}, steps: ["
            "{id: one, on: db1, run: is-one, effect: read}, {id: two, on: db1, run: is-two, effect: read}]}"
        )
    )
    answers = [0, 0, 1, 0, 0, 0]
    pauses: list[int] = []
    rig.clock.then = lambda length: pauses.append(length.micros // 1_000_000)
    rig.host("db1").on("is-one", 0).on("is-two", lambda _: answers.pop(0))
    assert rig.run() is Exit.DONE
    assert answers == []
    assert pauses == [1, 2, 4, 8, 16]


# -- ways back --------------------------------------------------------------------------------------------------------


def test_a_loop_goes_back_in_reverse() -> None:
    rig = Noting(
        book(
            "{id: copy, on: db1, foreach: {n: [a, b, c]}, run: do-copy, with: {env: {N: '${{ n }}'}}, "
            "effect: idempotent, undo: {run: un-copy, with: {env: {N: '${{ n }}'}}}}",
            BAD,
        )
    )
    back: list[str] = []

    def undo(command: Command) -> int:
        back.append(given(command, "N"))
        return 0

    rig.host("db1").on("do-copy", 0).on("un-copy", undo).on("do-bad", 1)
    assert rig.run() is Exit.ROLLED_BACK
    assert back == ["c", "b", "a"]


def test_an_unreachable_host_is_not_undone_and_holds_up_nobody() -> None:
    rig = Rig(book("{" + act("it", ", on: web") + "}", BAD), hosts=("db1", *WEB))
    works(rig, "it", *WEB)
    passing(rig, "un-it", *WEB)

    def cut(_: object) -> int:
        rig.host("w2").down = True
        return 1

    rig.host("db1").on("do-bad", cut)
    assert rig.run() is Exit.ROLLBACK_FAILED
    assert rig.said("asked") == []
    assert [place for place in WEB if "un-it" in rig.host(place).effects] == ["w1", "w3", "w4"]


def test_a_fenced_host_is_neither_undone_nor_put_back() -> None:
    rig = Rig(book("{" + act("it", ", on: web, restore: {run: re-it}") + "}", FENCE, BAD), hosts=("db1", *WEB))
    works(rig, "it", *WEB)
    passing(rig, "un-it re-it", *WEB)
    passing(rig, "power-off is-off", "local").host("db1").on("do-bad", 1)
    rig.run()
    assert rig.host("w1").effects == ["do-it"]
    assert rig.host("w2").effects == ["do-it", "un-it", "re-it"]


def moving() -> Rig:
    """A block done again on other hosts: the first choice must still find its way back."""
    rig = Rig(
        book(
            "{id: again, retry: {every: 1s, times: 3}, steps: ["
            "{id: look, on: web, run: wants-it, effect: read, observe: true}, "
            "{id: it, on: {group: web, where: steps.look.here.ok}, run: do-it, effect: idempotent, "
            "undo: {run: un-it}, restore: {run: re-it}}, {id: fine, on: db1, run: is-fine, effect: read}]}",
            BAD,
        ),
        hosts=("db1", *WEB),
    )
    passing(rig, "do-it un-it re-it", *WEB)
    tries = [0]

    def fine(_: object) -> int:
        tries[0] += 1
        for place in WEB:
            rig.host(place).on("wants-it", 0 if place in {"w2", "w3"} else 1)
        return 0 if tries[0] == 2 else 1

    for place in WEB:
        rig.host(place).on("wants-it", 0 if place in {"w1", "w2"} else 1)
    rig.host("db1").on("is-fine", fine).on("do-bad", 1)
    return rig


def test_hosts_of_an_earlier_attempt_go_back_too() -> None:
    rig = moving()
    assert rig.run() is Exit.ROLLED_BACK
    assert [p for p in WEB if "do-it" in rig.host(p).effects] == ["w1", "w2", "w3"]
    assert [p for p in WEB if "un-it" in rig.host(p).effects] == ["w1", "w2", "w3"]
    assert [p for p in WEB if "re-it" in rig.host(p).effects] == ["w1", "w2", "w3"]


# -- nested, side by side, killed -------------------------------------------------------------------------------------

TABLE = """
runbook: tables
inputs: {n: {type: text}}
phases:
  - id: work
    steps:
      - {id: it, on: web, run: do-it, with: {env: {N: "${{ inputs.n }}"}}, effect: once,
         verify: {run: is-it, with: {env: {N: "${{ inputs.n }}"}}}, undo: {none: a test}}
"""


def nested(text: str) -> Noting:
    rig = Noting(text, hosts=("db1", *WEB), files={"table.yaml": TABLE})
    noted: list[str] = rig.__dict__.setdefault("noted", [])
    for place in WEB:

        def do(command: Command, place: str = place) -> int:
            noted.append(f"{place}{given(command, 'N')}")
            return 0

        def see(command: Command, place: str = place) -> int:
            return 0 if f"{place}{given(command, 'N')}" in noted else 1

        rig.host(place).on("do-it", do).on("is-it", see)
    return rig


NESTED = {
    "table in include in loop": book("{id: call, foreach: {n: [a, b]}, include: table.yaml, with: {n: '${{ n }}'}}"),
    "table in loop side by side": book(
        "{id: call, foreach: {n: [a, b]}, at_once: 2, steps: [{id: it, on: web, run: do-it, "
        "with: {env: {N: '${{ n }}'}}, effect: once, verify: {run: is-it, with: {env: {N: '${{ n }}'}}}, "
        "undo: {none: a test}}]}"
    ),
    "loop over a table": book(
        "{id: it, on: web, foreach: {n: [a, b]}, run: do-it, with: {env: {N: '${{ n }}'}}, effect: once, "
        "verify: {run: is-it, with: {env: {N: '${{ n }}'}}}, undo: {none: a test}}"
    ),
}


@pytest.mark.parametrize("name", NESTED)
def test_repeats_inside_repeats_killed_anywhere_do_each_thing_once(name: str) -> None:
    wanted = sorted(f"{place}{n}" for place in WEB for n in "ab")
    killed_anywhere(lambda: nested(NESTED[name]), lambda rig: sorted(rig.noted) == wanted)
