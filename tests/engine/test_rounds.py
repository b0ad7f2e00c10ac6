"""Loops, tables and rolling blocks: what runs, how often, how the whole ends, and after a crash."""

from __future__ import annotations

from drctl.errors import Exit
from tests.engine.rig import Rig
from tests.engine.rounds import (
    WEB,
    Noting,
    act,
    effects,
    killed_anywhere,
    looped,
    order,
    rolling,
    table,
    works,
)
from tests.engine.test_acts import book
from tests.fakes.hosts import said

# -- foreach ----------------------------------------------------------------------------------------------------------


def test_a_loop_runs_once_for_each_member_in_order() -> None:
    rig = looped()
    assert rig.run() is Exit.DONE
    assert rig.noted == ["a", "b", "c"]
    started = rig.said("block_started", form="loop")[0]
    assert [item["n"] for item in started["frozen"]["items"]] == ["a", "b", "c"]


def test_a_loop_killed_anywhere_goes_on_at_the_round_it_was_in() -> None:
    killed_anywhere(looped, lambda rig: rig.noted == ["a", "b", "c"])


def test_a_failed_round_is_asked_about_and_the_loop_goes_on() -> None:
    rig = looped()
    rig.notes("do-copy", "is-copied", "N", bad="b")
    assert rig.run() is Exit.STEP_FAILED
    assert rig.question()["path"] == "main/copy/1"
    rig.notes("do-copy", "is-copied", "N")
    rig.answer("retry", step="main/copy/1", reason="mended")
    assert rig.resume() is Exit.DONE
    assert rig.noted == ["a", "b", "c"]


def test_failures_that_are_allowed_make_it_partial() -> None:
    rig = looped("max_failures: 1, ")
    rig.notes("do-copy", "is-copied", "N", bad="b")
    assert rig.run() is Exit.STEP_FAILED  # the check at the end wants all
    assert rig.outcome("copy") == "partial"
    assert rig.noted == ["a", "c"]


def test_a_matrix_has_every_combination_the_last_name_fastest() -> None:
    rig = Noting(
        book(
            "{id: m, on: db1, foreach: {a: [1, 2], b: [x, y]}, run: do-m, with: {env: {P: '${{ a }}${{ b }}'}}, "
            "effect: idempotent}"
        )
    )
    rig.notes("do-m", "is-m", "P")
    assert rig.run() is Exit.DONE
    assert rig.noted == ["1x", "1y", "2x", "2y"]


def test_an_empty_list_skips_the_loop() -> None:
    rig = Rig(
        book(
            "{id: look, on: db1, run: list, effect: read}",
            "{id: m, on: db1, foreach: {a: 'lines(steps.look.stdout)'}, run: do-m, effect: idempotent}",
        )
    )
    rig.host("db1").on("list", said(""))
    assert rig.run() is Exit.DONE
    assert rig.outcome("m") == "skipped"


# -- first_ok ---------------------------------------------------------------------------------------------------------


def test_the_newest_that_passes_its_test_wins_and_the_others_are_named() -> None:
    rig = Noting(
        book(
            "{id: pick, foreach: {b: [new, mid, old]}, first_ok: true, steps: ["
            "{id: fetch, on: db1, run: do-fetch, with: {env: {B: '${{ b }}'}}, effect: idempotent}, "
            "{id: sound, on: db1, run: is-sound, with: {env: {B: '${{ b }}'}}, effect: read}]}",
            "{id: use, on: db1, run: do-use, with: {env: {B: '${{ steps.pick.b }}'}}, effect: idempotent}",
        )
    )
    host = rig.host("db1").on("do-fetch", 0).on("is-sound", lambda command: 0 if command.env["B"] == "mid" else 1)
    rig.notes("do-use", "is-used", "B")
    assert rig.run() is Exit.DONE
    assert rig.noted == ["mid"]
    assert host.effects.count("do-fetch") == 2
    assert "pick/0" in rig.said("block_finished", path="main/pick")[0]["because"]


# -- tables -----------------------------------------------------------------------------------------------------------


def test_a_group_is_a_table_each_host_once() -> None:
    rig = table()
    assert rig.run() is Exit.DONE
    assert effects(rig) == {place: ["do-it"] for place in WEB}
    assert rig.said("block_started", form="table")[0]["frozen"]["batches"] == [list(WEB)]


def test_a_table_killed_anywhere_touches_only_hosts_that_are_not_done() -> None:
    killed_anywhere(table, lambda rig: effects(rig) == {place: ["do-it"] for place in WEB})


def test_one_question_for_a_table_and_retry_touches_only_the_bad_host() -> None:
    rig = table()
    rig.host("w3").on("do-it", 1)
    assert rig.run() is Exit.STEP_FAILED
    assert rig.question()["path"] == "main/it"
    assert "@w3" in rig.question()["text"]
    works(rig, "it", "w3")
    rig.answer("retry", step="it", reason="mended")
    assert rig.resume() is Exit.DONE
    assert {place: len(found) for place, found in effects(rig).items()} == {"w1": 1, "w2": 1, "w3": 2, "w4": 1}


def test_hosts_that_may_fail_make_it_partial_and_batches_stop_beyond_the_limit() -> None:
    rig = table("{group: web, batch: 1, max_failures: 1}")
    rig.host("w1").on("do-it", 1)
    assert rig.run() is Exit.EXCEPTIONS
    assert rig.outcome("it") == "partial"
    rig = table("{group: web, batch: 1, max_failures: 1}")
    for place in ("w1", "w2"):
        rig.host(place).on("do-it", 1)
    assert rig.run() is Exit.STEP_FAILED
    assert sorted(effects(rig)) == ["w1", "w2"]


def test_a_failed_canary_stops_everything() -> None:
    rig = table("{group: web, canaries: 1, max_failures: 3}")
    rig.host("w1").on("do-it", 1)
    assert rig.run() is Exit.STEP_FAILED
    assert list(effects(rig)) == ["w1"]


def test_all_or_none_takes_back_what_was_done() -> None:
    rig = table("{group: web, all_or_none: true}")
    rig.host("w4").on("do-it", 1)
    assert rig.run() is Exit.STEP_FAILED
    assert {place: found for place, found in effects(rig).items() if place != "w4"} == {
        place: ["do-it", "un-it"] for place in WEB[:3]
    }


def test_all_or_none_takes_back_by_undo_or_else_by_restore_not_by_both() -> None:
    for undo, back in (("{run: un-it}", "un-it"), ("{none: restore does}", "put-back")):
        rig = Rig(
            book(
                f"{{id: it, on: {{group: web, all_or_none: true}}, run: do-it, effect: idempotent, undo: {undo}, "
                "restore: {run: put-back}}"
            ),
            hosts=("db1", *WEB),
        )
        for place in WEB:
            rig.host(place).on("do-it", 1 if place == "w2" else 0).on("un-it", 0).on("put-back", 0)
        assert rig.run() is Exit.STEP_FAILED
        assert effects(rig, "w1") == {"w1": ["do-it", back]}


def test_what_was_undone_once_and_then_done_again_is_still_put_back_at_the_end() -> None:
    rig = Rig(
        book(
            "{id: b, retry: {every: 1s, times: 3}, steps: [{id: it, on: {group: web, all_or_none: true}, run: do-it, "
            "effect: idempotent, undo: {run: un-it}, restore: auto}]}"
        ),
        hosts=("db1", *WEB),
    )
    tries = iter((1, 0))
    for place in WEB:
        rig.host(place).on("do-it", 0).on("un-it", 0)
    rig.host("w2").on("do-it", lambda _: next(tries))
    assert rig.run() is Exit.DONE
    assert effects(rig)["w1"] == ["do-it", "un-it", "do-it", "un-it"]
    assert all(found[-1] == "un-it" for found in effects(rig).values())


def test_where_uses_what_a_table_saw_and_an_unknown_host_set_is_never_guessed() -> None:
    text = book(
        "{id: look, on: web, run: has-cron, effect: read, observe: true}",
        "{" + act("it", ", on: {group: web, where: steps.look.here.ok}") + "}",
    )
    rig = Rig(text, hosts=("db1", *WEB))
    works(rig, "it", *WEB)
    for place in WEB:
        rig.host(place).on("has-cron", 0 if place in {"w2", "w4"} else 1)
    assert rig.run() is Exit.DONE
    assert sorted(effects(rig)) == ["w2", "w4"]


def test_an_empty_selection_fails_unless_it_is_tolerated() -> None:
    for more, wanted in (("", Exit.STEP_FAILED), (", tolerate: [empty]", Exit.DONE)):
        rig = table("{group: web, where: \"host.name == 'nobody'\"}", more)
        assert rig.run() is wanted
        assert rig.outcome("it") == "empty"


def test_people_agree_once_to_a_table_with_its_hosts_named() -> None:
    rig = table("web", ", approve: {by: [commander], within: 10m}")
    assert rig.run() is Exit.PAUSED
    asked = rig.question()
    assert all(place in asked["text"] for place in WEB)
    rig.answer("approve", step="it", by="wang")
    assert rig.resume() is Exit.DONE
    assert len(rig.said("asked")) == 1
    assert effects(rig) == {place: ["do-it"] for place in WEB}


# -- rolling blocks ---------------------------------------------------------------------------------------------------


def test_a_block_rolls_whole_batch_by_batch() -> None:
    rig = rolling()
    assert rig.run() is Exit.DONE
    paths = [path.rpartition("/")[0] for path, _ in order(rig)]
    wanted = [f"main/roll/{batch}/{name}" for batch in (0, 1) for name in ("one", "two") for _ in range(2)]
    assert paths == wanted
    assert effects(rig) == {place: ["do-one", "do-two"] for place in WEB}


def test_a_rolling_block_killed_anywhere_does_everything_once() -> None:
    killed_anywhere(rolling, lambda rig: effects(rig) == {place: ["do-one", "do-two"] for place in WEB})


def test_a_host_that_fails_leaves_the_block() -> None:
    rig = rolling("{group: web, batch: 2, max_failures: 1}")
    rig.host("w1").on("do-one", 1)
    assert rig.run() is Exit.EXCEPTIONS
    assert effects(rig) == {"w1": ["do-one"], **{place: ["do-one", "do-two"] for place in WEB[1:]}}


def test_a_second_failed_host_is_beyond_the_limit_of_the_whole_block() -> None:
    rig = rolling("{group: web, batch: 1, max_failures: 1}")
    rig.host("w1").on("do-one", 1)
    rig.host("w2").on("do-two", 1)
    assert rig.run() is Exit.STEP_FAILED
    assert "w3" not in effects(rig)
