"""What is around several steps or hosts: time, ways back, people, and what a plan says of it; each was once wrong."""

from __future__ import annotations

import pytest

from drctl.core.plan import PlannedStep, Status
from drctl.engine.planner import Planner
from drctl.engine.sight import Options
from drctl.errors import Exit
from drctl.kinds import registry
from drctl.loading import load_runbook
from tests.engine.rig import Crash, Rig, inventory
from tests.engine.rounds import WEB, act, effects, killed_anywhere, rolling, works
from tests.engine.test_acts import book
from tests.fakes.hosts import said

HOSTS = ("db1", *WEB)


def planned(rig: Rig) -> dict[str, PlannedStep]:
    plan = Planner(rig.context(planning=True), rig.world, Options()).plan("digest")
    return {row.path: row for row in plan.rows}


# -- never one host of many -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "step",
    [
        "{id: x, on: db1, run: do-x, effect: once, verify: {on: {group: web}, run: seen}, undo: {none: a test}}",
        "{id: x, on: db1, unless: {on: web, run: seen}, run: do-x, effect: idempotent}",
        "{id: x, on: db1, run: do-x, effect: idempotent, undo: [{on: {group: web}, run: back}]}",
        "{id: x, do: fence.host, on: db1, with: {methods: [{on: web, run: off}], proof: [{run: is-off, on: local}]}}",
        "{id: x, do: fence.host, on: db1, with: {methods: [{run: off}], proof: [{run: is-off, on: web}]}}",
    ],
)
def test_a_group_inside_a_step_is_refused_and_never_narrowed(step: str) -> None:
    loaded = load_runbook("x.yaml", lambda _: book(step).encode(), registry(), inventory(*HOSTS))
    assert "E209" in {one.code for one in loaded.diagnostics}
    assert loaded.value is None


def test_a_recheck_of_a_table_is_refused() -> None:
    text = book(
        "{id: look, on: web, run: seen, effect: read}",
        "{id: x, on: db1, run: do-x, effect: idempotent, caution: sure, recheck: [look]}",
    )
    loaded = load_runbook("x.yaml", lambda _: text.encode(), registry(), inventory(*HOSTS))
    assert "E309" in {one.code for one in loaded.diagnostics}


# -- ways back of what rolls over hosts -------------------------------------------------------------------------------

ROLLED = book(
    "{id: roll, on: {group: web, batch: 2}, undo: [{run: back}], steps: [{id: a, run: do-a, effect: idempotent}]}",
    "{id: bad, on: db1, run: do-bad, effect: idempotent, on_failure: rollback}",
)


def rolled() -> Rig:
    rig = Rig(ROLLED, hosts=HOSTS)
    for place in WEB:
        rig.host(place).on("do-a", 0).on("back", 0)
    rig.host("db1").on("do-bad", 1)
    return rig


def test_the_undo_of_a_rolling_block_runs_on_every_host_it_acted_on() -> None:
    rig = rolled()
    assert rig.run() is Exit.ROLLED_BACK
    assert effects(rig) == {place: ["do-a", "back"] for place in WEB}


def test_it_says_on_which_host_it_could_not_be_taken_back() -> None:
    rig = rolled()
    rig.host("w3").on("back", 1)
    assert rig.run() is Exit.ROLLBACK_FAILED
    assert rig.question()["path"] == "main/roll/@w3/undo"


def test_all_or_none_of_a_block_takes_every_step_of_it_back() -> None:
    rig = rolling("{group: web, all_or_none: true}")
    for place in WEB:
        rig.host(place).on("un-one", 0).on("un-two", 0)
    rig.host("w2").on("do-two", 1)
    assert rig.run() is Exit.STEP_FAILED
    assert rig.host("w1").effects == ["do-one", "do-two", "un-two", "un-one"]
    assert "all or none" in rig.said("block_finished", path="main/roll")[0]["because"]


def test_all_or_none_says_where_taking_back_did_not_work() -> None:
    rig = Rig(book("{" + act("it", ", on: {group: web, all_or_none: true}") + "}"), hosts=HOSTS)
    works(rig, "it", *WEB)
    for place in WEB:
        rig.host(place).on("un-it", 1 if place == "w1" else 0)
    rig.host("w4").on("do-it", 1)
    assert rig.run() is Exit.STEP_FAILED
    assert "NOT taken back: main/it/@w1" in rig.question()["text"]
    assert rig.state.step("main/it/@w1").own_final is not None


# -- lists and hosts that are empty -----------------------------------------------------------------------------------


def test_the_first_that_is_ok_of_an_empty_list_is_a_failure() -> None:
    rig = Rig(
        book(
            "{id: l, on: db1, run: list, effect: read}",
            "{id: pick, foreach: {b: lines(steps.l.stdout)}, first_ok: true, steps: "
            "[{id: fine, on: db1, run: is-fine, effect: read}]}",
            "{id: restore-it, on: db1, run: do-restore, effect: idempotent}",
        )
    )
    rig.host("db1").on("list", said("")).on("do-restore", 0)
    assert planned(rig)["main/pick"].status is Status.WOULD_STOP
    assert rig.run() is Exit.STEP_FAILED
    assert rig.host("db1").effects == []


@pytest.mark.parametrize(
    "step", ["{" + act("it", ", on: SELECTED") + "}", "{id: it, on: SELECTED, steps: [{" + act("inner") + "}]}"]
)
def test_a_person_who_says_again_after_an_empty_selection_gets_the_hosts_of_now(step: str) -> None:
    text = book(
        "{id: look, on: web, run: is-wanted, effect: read, observe: true}",
        step.replace("SELECTED", "{group: web, where: steps.look.here.ok}"),
    )
    rig = Rig(text, hosts=HOSTS)
    works(rig, "it", *WEB)
    works(rig, "inner", *WEB)
    for place in WEB:
        rig.host(place).on("is-wanted", 1)
    assert rig.run() is Exit.STEP_FAILED
    assert rig.outcome("it") == "empty"
    rig.answer("retry", step="it", reason="again")
    assert rig.resume() is Exit.STEP_FAILED  # the look has not changed, so the selection is empty again: asked again
    assert rig.outcome("it") == "empty"
    assert effects(rig) == {}


def test_canaries_are_never_hosts_that_are_left_out() -> None:
    rig = Rig(
        book("{" + act("it", """, on: {hosts: "['db1', 'w2']", except: "['w1']", canaries: web}""") + "}"), hosts=HOSTS
    )
    works(rig, "it", *HOSTS)
    assert rig.run() is Exit.DONE
    assert rig.host("w1").effects == []


# -- time -------------------------------------------------------------------------------------------------------------


def test_the_time_of_a_block_ends_a_wait_inside_it() -> None:
    rig = Rig(
        book("{id: b, timeout: 5s, steps: [{id: l, on: db1, run: bad, effect: read, until: {every: 1s, within: 10m}}]}")
    )
    rig.host("db1").on("bad", 1)
    assert rig.run() is Exit.STEP_FAILED
    assert rig.outcome("b") == "timeout"


def test_the_time_of_a_block_ends_the_retries_of_an_act_inside_it() -> None:
    rig = Rig(
        book(
            "{id: b, timeout: 5s, steps: [{id: a, on: db1, run: bad, effect: idempotent, "
            "retry: {every: 1s, times: 200}}]}"
        )
    )
    rig.host("db1").on("bad", 1)
    assert rig.run() is Exit.STEP_FAILED
    assert rig.outcome("b") == "timeout"
    assert len(rig.host("db1").effects) < 10


def test_the_time_and_the_tries_of_a_block_are_one_over_a_crash() -> None:
    two = (
        "{id: b, timeout: 60s, steps: [{id: w, do: wait, with: {for: 40s}}, {id: v, do: wait, with: {for: 40s}}, LAST]}"
    )
    last = "{id: a, on: db1, run: do-a, effect: idempotent}"
    for at in range(4, 9):
        rig = Rig(book(two.replace("LAST", last)))
        rig.host("db1").on("do-a", 0)
        rig.crash_at(at, after=True)
        with pytest.raises(Crash):
            rig.run()
        assert rig.resume() is Exit.STEP_FAILED, at
        assert rig.host("db1").effects == []
    rig = Rig(book("{id: b, retry: {every: 1s, times: 3}, steps: [{id: a, on: db1, run: bad, effect: idempotent}]}"))
    rig.host("db1").on("bad", 1)
    rig.crash_at(9, after=True)
    with pytest.raises(Crash):
        rig.run()
    rig.resume()
    assert rig.host("db1").effects.count("bad") == 3


def test_time_in_which_a_person_is_waited_for_does_not_count() -> None:
    rig = Rig(
        book(
            "{id: b, timeout: 60s, steps: [{id: m, do: manual, with: {say: look}}, "
            "{id: a, on: db1, run: do-a, effect: idempotent}]}"
        )
    )
    rig.host("db1").on("do-a", 0)
    assert rig.run() is Exit.PAUSED
    rig.clock.micros += 3600 * 1_000_000
    rig.answer("done", step="m")
    assert rig.resume() is Exit.DONE


# -- done again -------------------------------------------------------------------------------------------------------


def test_an_act_that_was_skipped_is_done_when_its_block_is_done_again() -> None:
    rig = Rig(
        book(
            "{id: b, retry: {every: 1s, times: 3}, steps: ["
            "{id: l, on: db1, run: count, effect: read, capture: {n: int(stdout)}}, "
            "{" + act("fix", ", on: db1, when: steps.l.n == 2") + "}, "
            "{id: c, on: db1, run: is-good, effect: read}]}"
        )
    )
    works(rig, "fix", "db1")
    tries = [0]

    def count(_: object) -> object:
        tries[0] += 1
        return said(str(tries[0]))

    host = rig.host("db1").on("count", count)  # type: ignore[arg-type]
    host.on("is-good", lambda _: 0 if "do-fix" in host.effects else 1)
    assert rig.run() is Exit.DONE
    assert host.effects == ["do-fix"]


def test_a_block_that_gave_up_says_what_was_seen_last() -> None:
    rig = Rig(book("{id: b, retry: {every: 1s, times: 2}, steps: [{id: a, on: db1, run: bad, effect: idempotent}]}"))
    rig.host("db1").on("bad", 7)
    rig.run()
    assert "exit is 7" in rig.said("block_finished", path="main/b")[0]["because"]


def test_failures_of_a_batch_count_once_whatever_is_crashed_between() -> None:
    def make() -> Rig:
        rig = rolling("{group: web, batch: 4, max_failures: 2}")
        for place in ("w1", "w2"):
            rig.host(place).on("do-one", 1)
        return rig

    whole = make()
    assert whole.run() is Exit.EXCEPTIONS
    for after in (False, True):
        for seq in range(1, len(whole.lines)):
            rig = make()
            rig.crash_at(seq, after=after)
            with pytest.raises(Crash):
                rig.run()
            if rig.lines and rig.lines[-1][1] != "run_closed":
                assert rig.resume() is Exit.EXCEPTIONS, (seq, after)


# -- people -----------------------------------------------------------------------------------------------------------


def test_people_see_each_act_once_and_every_host_it_goes_to() -> None:
    rig = Rig(
        book(
            "{id: b, approve: {by: [commander]}, steps: [{" + act("one", ", on: web") + "}, "
            "{id: each, foreach: {h: [w1, w2]}, on: db1, run: do-each, with: {env: {H: '${{ h }}'}}, "
            "effect: idempotent}]}"
        ),
        hosts=HOSTS,
    )
    assert rig.run() is Exit.PAUSED
    text = rig.question()["text"]
    assert "6 act(s)" in text
    assert [text.count(f"on {place}:") for place in WEB] == [1, 1, 1, 1]
    assert text.count("H=w1") == text.count("H=w2") == 1
    assert "no place" not in text


# -- what is inside of something that is over -------------------------------------------------------------------------


def test_a_step_inside_of_what_was_skipped_was_not_ok_and_did_not_fail() -> None:
    rig = Rig(
        book(
            "{id: roll, when: 'run.drill', on: {group: web, batch: 1}, steps: "
            "[{id: a, run: do-a, effect: idempotent}]}",
            "{id: c, do: check, expect: \"not steps.a.ok and not steps.a.failed and steps.a.outcome == 'skipped'\"}",
        ),
        hosts=HOSTS,
    )
    assert rig.run() is Exit.DONE


def test_a_step_that_a_failed_round_did_not_reach_was_not_run() -> None:
    rig = Rig(
        book(
            "{id: e, foreach: {n: [a, b]}, max_failures: 1, steps: ["
            "{id: x, on: db1, run: do-x, with: {env: {N: '${{ n }}'}}, effect: idempotent}, "
            "{id: y, on: db1, run: do-y, effect: idempotent}]}",
            "{id: c, do: check, expect: \"steps.e.each[0].steps.y.outcome == 'not_run' and "
            'steps.e.each[1].steps.y.ok"}',
        )
    )
    rig.host("db1").on("do-x", lambda command: 1 if command.env["N"] == "a" else 0).on("do-y", 0)
    assert rig.run() is Exit.EXCEPTIONS


# -- plans ------------------------------------------------------------------------------------------------------------


def test_a_plan_judges_what_may_fail_as_a_run_does() -> None:
    rig = Rig(
        book(
            "{id: pick, foreach: {h: [w2, w1]}, first_ok: true, steps: "
            "[{id: fine, on: '${{ h }}', run: is-fine, effect: read}]}",
            "{id: some, on: {group: web, max_failures: 1}, run: is-fine, effect: read}",
            "{id: go, on: db1, when: steps.pick.ok and steps.some.outcome == 'partial', run: do-go, "
            "effect: idempotent}",
        ),
        hosts=HOSTS,
    )
    for place in WEB:
        rig.host(place).on("is-fine", 1 if place == "w2" else 0)
    rows = planned(rig)
    assert Status.WOULD_STOP not in {row.status for row in rows.values()}
    assert rows["main/go"].status is not Status.WOULD_SKIP
    rig.host("db1").on("do-go", 0)
    assert rig.run() is Exit.EXCEPTIONS
    assert rig.host("db1").effects == ["do-go"]


def test_a_plan_says_that_too_many_would_fail() -> None:
    rig = Rig(book("{id: some, on: {group: web, max_failures: 1}, run: is-fine, effect: read}"), hosts=HOSTS)
    for place in WEB:
        rig.host(place).on("is-fine", 1)
    assert planned(rig)["main/some"].status is Status.WOULD_STOP


def test_a_plan_knows_how_a_block_of_looks_ends_and_leaves_open_what_is_waited_for() -> None:
    rig = Rig(
        book(
            "{id: blk, steps: [{id: l, on: db1, run: seen, effect: read}]}",
            "{id: u, on: db1, run: later, effect: read, until: {every: 1s, within: 10s}}",
            "{id: x, on: db1, when: steps.blk.ok, run: do-x, effect: idempotent}",
            "{id: y, on: db1, when: steps.u.ok, run: do-y, effect: idempotent}",
        )
    )
    rig.host("db1").on("seen", 0).on("later", 1)
    rows = planned(rig)
    assert rows["main/x"].status is not Status.DEPENDS
    assert rows["main/u"].status is Status.WOULD_WAIT
    assert rows["main/y"].status is Status.DEPENDS


# -- preflight --------------------------------------------------------------------------------------------------------


def test_preflight_asks_every_host_that_is_named_anywhere() -> None:
    rig = Rig(
        book(
            "{id: a, on: db1, run: do-a, effect: idempotent, verify: {run: seen, on: w1}}",
            "{id: f, foreach: {h: [w2, w3]}, on: '${{ h }}', run: do-f, effect: idempotent}",
            "{id: g, do: fence.host, on: db1, with: {methods: [{run: off, on: w4}], proof: [{run: is-off, on: w4}]}}",
        ),
        hosts=HOSTS,
    )
    rig.host("w3").down = True
    assert rig.run() is Exit.NOTHING_CHANGED
    assert {"db1", "w1", "w4"} <= set(rig.said("preflight_finished", phase="*")[0]["hosts"])
    assert all(rig.host(place).effects == [] for place in HOSTS)


def test_a_rolling_block_with_its_own_undo_killed_anywhere_ends_the_same() -> None:
    def make() -> Rig:
        rig = rolled()
        rig.host("db1").on("do-bad", 0)
        return rig

    killed_anywhere(make, lambda rig: effects(rig) == {place: ["do-a"] for place in WEB})
