"""Blocks as a whole, included files, ways back of rounds: what runs, how the whole ends, and after a crash."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from drctl.core.values import Duration
from drctl.errors import Exit
from tests.engine.rig import Rig
from tests.engine.rounds import (
    WEB,
    Noting,
    act,
    effects,
    given,
    including,
    killed_anywhere,
    put_back,
    suspended,
    works,
)
from tests.engine.test_acts import book
from tests.fakes.hosts import said

if TYPE_CHECKING:
    from drctl.core.ports import Command


# -- blocks as a whole -----------------------------------------------------------------------------------------------


def test_a_block_is_done_again_looks_and_idempotent_acts_anew_once_acts_not() -> None:
    rig = Rig(
        book(
            "{id: again, retry: {every: 1s, times: 3}, steps: [{" + act("one", ", on: db1") + "}, "
            "{id: set, on: db1, run: do-set, effect: idempotent}, {id: seen, on: db1, run: is-good, effect: read}]}"
        )
    )
    works(rig, "one", "db1")
    left = [2]

    def good(_: object) -> int:
        left[0] -= 1
        return 0 if left[0] < 0 else 1

    host = rig.host("db1").on("do-set", 0).on("is-good", good)
    assert rig.run() is Exit.DONE
    assert host.effects == ["do-one", "do-set", "do-set", "do-set"]


def test_a_block_that_gives_up_is_asked_about_once() -> None:
    rig = Rig(
        book(
            "{id: again, retry: {every: 1s, within: 5s}, steps: [{id: set, on: db1, run: do-set, effect: idempotent}]}"
        )
    )
    rig.host("db1").on("do-set", 1)
    assert rig.run() is Exit.STEP_FAILED
    assert rig.outcome("again") == "timeout"
    assert rig.question()["path"] == "main/again"
    assert rig.host("db1").effects.count("do-set") == 5


def test_a_ladder_is_climbed_once_between_attempts() -> None:
    rig = Rig(
        book(
            "{id: wait, on: db1, run: is-quiet, effect: read, until: {every: 1s, within: 20s, "
            "escalate: [{after: 5s, steps: [{id: force, on: db1, run: do-force, effect: idempotent}]}]}}"
        )
    )
    host = rig.host("db1").on("is-quiet", 1)

    def force(_: object) -> int:
        host.on("is-quiet", 0)
        return 0

    host.on("do-force", force)
    assert rig.run() is Exit.DONE
    assert host.effects == ["do-force"]
    assert rig.said("step_started", path="main/wait/escalate/0/force")


def test_no_step_of_a_block_begins_after_its_time() -> None:
    rig = Rig(
        book(
            "{id: slow, timeout: 10s, steps: [{id: nap, do: wait, with: {for: 20s}}, "
            "{id: set, on: db1, run: do-set, effect: idempotent}]}"
        )
    )
    rig.host("db1").on("do-set", 0)
    assert rig.run() is Exit.STEP_FAILED
    assert rig.outcome("slow") == "timeout"
    assert rig.host("db1").effects == []


def test_the_undo_of_a_block_stands_for_those_inside() -> None:
    rig = Rig(
        book(
            "{id: whole, undo: {id: back, on: db1, run: un-whole}, steps: [{" + act("one", ", on: db1") + "}]}",
            "{id: bad, on: db1, run: do-bad, effect: idempotent, on_failure: rollback}",
        )
    )
    works(rig, "one", "db1")
    host = rig.host("db1").on("un-whole", 0).on("un-one", 0).on("do-bad", 1)
    assert rig.run() is Exit.ROLLED_BACK
    assert host.effects == ["do-one", "do-bad", "un-whole"]


# -- includes ---------------------------------------------------------------------------------------------------------


def test_an_included_runbook_sees_its_inputs_and_gives_its_outputs() -> None:
    rig = including()
    assert rig.run() is Exit.DONE
    assert rig.noted == ["hello li!", "hello wang!"]
    assert rig.said("step_started", path="main/call/1/work/keep")


def test_an_include_killed_anywhere_does_everything_once() -> None:
    killed_anywhere(including, lambda rig: rig.noted == ["hello li!", "hello wang!"])


@pytest.mark.parametrize("wait", [None, Duration(1_000_000)])
def test_a_rejected_phase_guard_keeps_the_phase_from_beginning(wait: Duration | None) -> None:
    text = book("{" + act("one", ", on: db1") + "}").replace(
        "  - id: main\n", "  - id: main\n    approve: {by: [commander]}\n"
    )
    rig = Rig(text)
    works(rig, "one", "db1")
    assert rig.run(wait=wait) is Exit.PAUSED
    rig.answer("reject", step="main", by="wang", reason="not now")
    assert rig.resume() is Exit.STEP_FAILED
    assert rig.host("db1").effects == []


# -- ways back of rounds ----------------------------------------------------------------------------------------------


def test_a_rollback_takes_a_table_back_on_every_host_that_started_and_says_what_remains() -> None:
    rig = Rig(
        book(
            "{" + act("it", ", on: web") + "}",
            "{id: bad, on: db1, run: do-bad, effect: idempotent, on_failure: rollback}",
        ),
        hosts=("db1", *WEB),
    )
    works(rig, "it", *WEB)
    rig.host("db1").on("do-bad", 1)
    for place in WEB:
        rig.host(place).on("un-it", 0)
    rig.host("w2").on("un-it", 1)
    assert rig.run() is Exit.ROLLBACK_FAILED
    assert rig.question()["path"] == "main/it/@w2/undo"
    rig.answer("skip", step="main/it/@w2/undo", reason="rebuilt later")
    rig.resume()
    assert all(rig.host(place).effects == ["do-it", "un-it"] for place in WEB)
    assert "main/it/@w2" in rig.said("run_closed")[0]["exceptions"][0]


def test_a_restore_puts_back_what_each_host_had() -> None:
    rig = suspended()
    seen: dict[str, object] = {}
    for place in WEB:

        def put(command: Command, place: str = place) -> int:
            seen[place] = command.stdin
            return 0

        rig.host(place).on("put-cron", put)
    assert rig.run() is Exit.DONE
    assert seen == {place: f"cron of {place}".encode() for place in WEB if place != "w3"}


def test_a_restore_of_a_table_is_carried_out_once_wherever_the_writer_is_killed() -> None:
    killed_anywhere(
        suspended,
        lambda rig: put_back(rig) == {place: [] if place == "w3" else ["put-cron"] for place in WEB},
    )


def test_a_fence_can_be_lifted_and_only_then_the_host_is_touched_again() -> None:
    for lift in (False, True):
        lifting = (
            "{id: up, do: fence.lift, on: db1, with: {methods: [{run: power-on, on: local}], "
            "proof: [{run: is-up, on: local}]}}"
        )
        rig = Rig(
            book(
                "{id: fence, do: fence.host, on: db1, with: {methods: [{run: power-off, on: local}], "
                "proof: [{run: is-off, on: local}]}}",
                *([lifting] if lift else []),
                "{id: touch, on: db1, run: do-touch, effect: idempotent}",
            )
        )
        rig.host("local").on("power-off", 0).on("is-off", 0).on("power-on", 0).on("is-up", 0)
        rig.host("db1").on("do-touch", 0)
        assert rig.run() is (Exit.DONE if lift else Exit.STEP_FAILED)
        assert rig.host("db1").effects == (["do-touch"] if lift else [])


def test_a_person_who_retries_a_tolerant_loop_repeats_nothing_that_was_done() -> None:
    rig = Noting(
        book(
            "{id: list, on: db1, run: list-them, effect: read}",
            "{id: copy, on: db1, foreach: {n: lines(steps.list.stdout)}, at_once: 1, max_failures: 1, "
            "run: do-copy, with: {env: {N: '${{ n }}'}}, effect: once, "
            "verify: {run: is-copied, with: {env: {N: '${{ n }}'}}}, undo: {none: a test}}",
        )
    ).notes("do-copy", "is-copied", "N")
    host = rig.host("db1").on("list-them", said("a\nb\nc\nd"))

    def only_a(command: Command) -> int:
        return rig.noted.append("a") or 0 if given(command, "N") == "a" else 1  # type: ignore[func-returns-value]

    host.on("do-copy", only_a)
    assert rig.run() is Exit.STEP_FAILED  # b and c failed, d never began
    rig.notes("do-copy", "is-copied", "N")
    rig.answer("retry", step="copy", reason="mended")
    assert rig.resume() is Exit.DONE
    assert sorted(rig.noted) == ["a", "b", "c", "d"]


def test_a_rolling_block_done_again_keeps_its_batches_and_what_was_done_once() -> None:
    rig = Rig(
        book(
            "{id: again, retry: {every: 1s, times: 3}, steps: ["
            "{id: look, on: web, run: is-wanted, effect: read, observe: true}, "
            "{id: roll, on: {group: web, where: steps.look.here.ok, batch: 1}, steps: [{" + act("one") + "}]}, "
            "{id: seen, on: db1, run: is-good, effect: read}]}"
        ),
        hosts=("db1", *WEB),
    )
    works(rig, "one", *WEB)
    for place in WEB:
        rig.host(place).on("is-wanted", 0)
    tries = [0]

    def good(_: Command) -> int:
        tries[0] += 1
        rig.host("w1").on("is-wanted", 1)  # after the first attempt the first host is no longer wanted
        return 0 if tries[0] > 1 else 1

    rig.host("db1").on("is-good", good)
    assert rig.run() is Exit.DONE
    assert effects(rig) == {place: ["do-one"] for place in WEB}
