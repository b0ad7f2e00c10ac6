"""No risk is left out of a plan: rounds that are not shown one by one, hosts not known yet, ways back of blocks."""

from __future__ import annotations

import json

import pytest

from drctl.core.plan import Plan, PlannedStep, Status
from drctl.engine.planner import MOST_SHOWN, Options, Planner
from drctl.reporting.plan import plan_json, plan_text
from drctl.reporting.plan_risks import risks_of
from tests.engine.rig import Rig
from tests.engine.test_acts import book

MANY = MOST_SHOWN + 30
WEBS = tuple(f"w{number}" for number in range(MANY))
ASK = "{id: ask, do: manual, with: {say: Say, ask: {n: {type: int}}}}"
ONCE = "effect: EFFECT, verify: {run: is-there}, undo: {none: nobody can}"


def planned(rig: Rig, *, live: bool = True, declared: bool = True) -> Plan:
    return Planner(rig.context(), rig.world, Options(live=live, declared=declared)).plan("digest")


def row(plan: Plan, path: str) -> PlannedStep:
    return next(row for row in plan.rows if row.path == f"main/{path}")


def risk(plan: Plan, name: str) -> str:
    return " | ".join(risks_of(plan)[name])


# -- rounds that are not shown one by one ------------------------------------------------------------------------------


@pytest.mark.parametrize("effect", ["once", "irreversible"])
def test_hosts_that_are_not_shown_one_by_one_are_named_with_their_risks(effect: str) -> None:
    act = f"{{id: wipe, on: {{group: web}}, run: wipe-it, {ONCE.replace('EFFECT', effect)}}}"
    plan = planned(Rig(book(act), hosts=WEBS))
    rest = row(plan, "wipe/...")
    assert (rest.stands_for, rest.hosts, rest.effect, rest.place) == (30, WEBS[MOST_SHOWN:], effect, "")
    assert (rest.status, rest.no_undo) == (Status.CANNOT_TELL, "nobody can")
    assert risks_of(plan)["hosts"] == list(WEBS)
    assert (f"wipe/... (30 of them, {', '.join(rest.hosts)})" in risk(plan, "irreversible")) is (effect != "once")
    assert plan.coverage["steps"] == plan.coverage["unknown"] == MANY


def test_what_is_inside_of_rounds_that_are_not_shown_stands_there_with_its_risks() -> None:
    numbers = ", ".join(map(str, range(MANY)))
    inner = (
        "{id: look, on: db1, run: 'see ${{ n }}', effect: read}, "
        f"{{id: drop, on: db1, run: 'drop ${{{{ n }}}}', {ONCE.replace('EFFECT', 'irreversible')}, "
        "point_of_no_return: true, approve: {by: [commander], quorum: 2}}, "
        "{id: some, on: db1, when: n > 120, run: 'x ${{ n }}', effect: idempotent}"
    )
    rig = Rig(book(f"{{id: all, foreach: {{n: [{numbers}]}}, steps: [{inner}]}}"))
    plan = planned(rig)
    drop = row(plan, "all/.../drop")
    assert (drop.stands_for, drop.effect, drop.no_return, drop.approvals) == (
        30, "irreversible", True, ("2 of commander",),
    )  # fmt: skip
    assert row(plan, "all/.../look").status is Status.NOT_LOOKED
    assert row(plan, "all/.../some").status is Status.CANNOT_TELL  # not "would skip": some of them run
    assert len(rig.host("db1").looks) == MOST_SHOWN
    assert "main/all/.../drop (30 of them)" in risk(plan, "irreversible")
    assert "main/all/.../drop" in risk(plan, "no_return")
    assert plan.coverage["steps"] == 3 * MANY


def test_batches_that_are_not_shown_say_on_which_hosts() -> None:
    inner = "{id: off, on: {group: web, batch: 1}, run: switch-off, effect: idempotent}"
    text = f"{{id: roll, on: {{group: web, batch: 1}}, steps: [{inner.replace(', on: {group: web, batch: 1}', '')}]}}"
    plan = planned(Rig(book(text), hosts=WEBS))
    assert row(plan, "roll/.../off/...").hosts == WEBS[MOST_SHOWN:]
    assert risks_of(plan)["hosts"] == list(WEBS)
    assert plan.coverage["steps"] == MANY


# -- hosts not known yet -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("on", "hosts"),
    [
        ("{group: web, where: steps.ask.n > 1}", "w1, w2"),
        ("{group: web, take: 1, where: steps.ask.n > 1}", "w1, w2"),
        ("'db${{ steps.ask.n }}'", "db1, db2, w1, w2"),
        ("{hosts: \"filter(h in group('web'), steps.ask.n > 1)\"}", "db1, db2, w1, w2"),
    ],
    ids=["where", "take", "computed", "hosts"],
)  # fmt: skip
def test_hosts_that_nobody_knows_yet_are_a_risk_by_name(on: str, hosts: str) -> None:
    act = f"{{id: wipe, on: {on}, run: wipe-it, {ONCE.replace('EFFECT', 'irreversible')}}}"
    plan = planned(Rig(book(ASK, act), hosts=("db1", "db2", "w1", "w2")))
    assert risk(plan, "hosts_not_known").endswith(f"on any of {hosts}")
    assert "main/wipe" in risk(plan, "irreversible")
    assert f"any of {hosts}" in json.loads(plan_json(plan))["risks"]["hosts_not_known"][0]
    assert "hosts not known yet" in plan_text(plan, "book.yaml", "inventory.yaml")


# -- ways back of blocks -----------------------------------------------------------------------------------------------

INNER = "{id: act, on: db1, run: do-it, effect: idempotent, undo: {run: take-back}}"
BARE = "{id: act, on: db1, run: do-it, effect: idempotent}"


@pytest.mark.parametrize(
    ("steps", "risks", "undone"),
    [
        (f"{{id: b, undo: {{none: never}}, steps: [{INNER}]}}",
         {"b": "never", "b/act": "never, says b around it"}, []),
        (f"{{id: b, undo: {{run: whole-back, on: db1}}, steps: [{BARE}]}}", {}, ["whole-back"]),
        (f"{{id: b, undo: {{none: never}}, steps: [{{id: c, undo: {{run: part-back, on: db1}}, steps: [{INNER}]}}]}}",
         {"b": "never", "b/c": "never, says b around it", "b/c/act": "never, says b around it"}, []),
        (f"{{id: b, undo: {{run: whole-back, on: db1}}, steps: [{{id: c, undo: {{none: never}}, steps: [{INNER}]}}]}}",
         {}, ["whole-back"]),
        (f"{{id: b, foreach: {{n: [1]}}, undo: {{none: never}}, steps: [{INNER}]}}",
         {"b/0": "never", "b/0/act": "never, says b around it"}, []),
        (INNER.replace("act", "b"), {}, ["take-back"]),
    ],
    ids=["none", "steps", "none-around-steps", "steps-around-none", "loop", "own"],
)  # fmt: skip
def test_the_outermost_block_with_an_undo_owns_it_in_a_plan_as_in_a_run(
    steps: str, risks: dict[str, str], undone: list[str]
) -> None:
    fail = "{id: fail, do: check, expect: false, on_failure: rollback}"
    plan = planned(Rig(book(steps, fail)))
    found = {row.path.removeprefix("main/"): row.no_undo for row in plan.rows if row.no_undo}
    assert found == risks
    assert len(risks_of(plan)["no_undo"]) == len(risks)
    rig = Rig(book(steps, fail))
    rig.host("db1").on("", 0)
    rig.run()
    assert [script for script in rig.host("db1").effects if "back" in script] == undone
    assert all("none" in row(plan, path).back for path in risks)


# -- unless ------------------------------------------------------------------------------------------------------------

UNLESS = "{id: act, on: db1, run: do-it, effect: idempotent, unless: {run: is-there}}"
AFTER = "{id: then, on: db2, run: look-there, effect: read}"


@pytest.mark.parametrize(
    ("answer", "status", "ran"),
    [(0, Status.NO_CHANGE, []), (1, Status.CANNOT_TELL, ["do-it"]), (3, Status.WOULD_STOP, [])],
    ids=["done", "not-done", "cannot-tell"],
)
def test_a_plan_looks_whether_it_is_done_already_as_a_run_does(answer: int, status: Status, ran: list[str]) -> None:
    rig = Rig(book(UNLESS, AFTER))
    rig.host("db1").on("is-there", answer)
    rig.host("db2").on("", 0)
    plan = planned(rig)
    act = row(plan, "act")
    assert act.status is status
    assert rig.host("db1").looks == ["is-there"]
    assert row(plan, "then").status is (Status.LOOKED if answer == 0 else Status.NOW)
    assert ("done already" in act.because) is (answer != 1)
    again = Rig(book(UNLESS, AFTER))
    again.host("db1").on("is-there", answer)
    again.run()
    assert again.host("db1").effects == ran


def test_whether_it_is_done_already_is_not_looked_at_against_the_operators_word() -> None:
    for options in ({"live": False}, {"declared": False}):
        rig = Rig(book(UNLESS))
        act = row(planned(rig, **options), "act")
        assert act.status is Status.CANNOT_TELL
        assert rig.host("db1").looks == []


def test_what_an_earlier_act_may_change_is_not_called_done_already() -> None:
    rig = Rig(book("{id: first, on: db1, run: first-act, effect: idempotent}", UNLESS))
    rig.host("db1").on("is-there", 0)
    act = row(planned(rig), "act")
    assert (act.status, act.because) == (Status.CANNOT_TELL, "now: done already: seen to be there")


def test_a_guard_that_waits_is_looked_at_once() -> None:
    wait = UNLESS.replace("{run: is-there}", "{run: is-there, until: {every: 1s, within: 1h}}")
    rig = Rig(book(wait))
    rig.host("db1").on("is-there", 1)
    planned(rig)
    assert rig.host("db1").looks == ["is-there"]


def test_a_guard_that_needs_a_value_still_to_come_decides_nothing() -> None:
    later = UNLESS.replace("{run: is-there}", "{run: 'is-there ${{ steps.ask.n }}'}")
    act = row(planned(Rig(book(ASK, later))), "act")
    assert (act.status, act.depends) == (Status.DEPENDS, ("main/ask",))


# -- people ------------------------------------------------------------------------------------------------------------


def test_a_phase_says_how_many_must_agree() -> None:
    text = book(BARE).replace("- id: main", "- id: main\n    approve: {by: [commander, deputy], quorum: 2}")
    plan = planned(Rig(text))
    assert "approval by 2 of commander or deputy" in plan.rows[0].needs
    assert risks_of(plan)["approvals"] == ["main by 2 of commander or deputy"]
