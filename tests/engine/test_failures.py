"""What follows a failure: the rule of the step, and what a person has said in a block that is done again."""

from __future__ import annotations

import pytest

from drctl.errors import Exit
from tests.engine.rig import Rig
from tests.engine.test_acts import book

STOP = "{id: stop, on: db1, run: do-stop, effect: idempotent, undo: {run: un-stop}, restore: {run: re-start}}"


@pytest.mark.parametrize(
    ("rule", "effects", "asked", "closed"),
    [
        ("", ["do-stop", "do-bad"], 1, False),
        (", on_failure: pause", ["do-stop", "do-bad"], 1, False),
        (", on_failure: abort", ["do-stop", "do-bad", "re-start"], 0, True),
        (", on_failure: rollback", ["do-stop", "do-bad", "un-stop", "re-start"], 0, True),
    ],
)
def test_a_failed_step_does_what_its_rule_says(rule: str, effects: list[str], asked: int, closed: bool) -> None:  # noqa: FBT001 - a table
    rig = Rig(book(STOP, f"{{id: bad, on: db1, run: do-bad, effect: idempotent{rule}}}"))
    host = rig.host("db1").on("do-stop", 0).on("un-stop", 0).on("re-start", 0).on("do-bad", 1)
    assert rig.run() is (Exit.ROLLED_BACK if "un-stop" in effects else Exit.STEP_FAILED)
    assert host.effects == effects
    assert len(rig.said("asked", kind="failure")) == asked
    assert bool(rig.said("run_closed")) is closed


def test_what_a_person_has_done_in_a_block_is_not_asked_for_again() -> None:
    rig = Rig(
        book(
            "{id: again, retry: {every: 1s, times: 3}, steps: [{id: plug, do: manual, with: {say: Pull the plug}}, "
            "{id: act, on: db1, run: do-it, effect: idempotent}]}"
        )
    )
    tries = [1, 1, 0]
    rig.host("db1").on("do-it", lambda _: tries.pop(0))
    assert rig.run() is Exit.PAUSED
    rig.answer("done", step="plug")
    assert rig.resume() is Exit.DONE
    assert tries == []
    assert len(rig.said("asked", kind="manual")) == 1
