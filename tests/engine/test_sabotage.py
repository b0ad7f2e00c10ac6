"""The campaign that kills the engine must notice an engine that is broken on purpose."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from drctl.core.ports import ClaimReply, ClaimState
from drctl.core.states import StepState
from drctl.engine import closing
from drctl.engine.acts import Acts
from drctl.engine.executor import Executor
from drctl.engine.ledger import Ledger
from drctl.engine.recorder import Recorder
from drctl.engine.shells import BoundShell
from drctl.errors import Exit
from tests.campaign import engine_kills
from tests.invariants import I1, I2, I10

if TYPE_CHECKING:
    from collections.abc import Callable

    from drctl.core import events as ev
    from drctl.core.fold import Entry
    from drctl.engine.stops import Stop

Patch = pytest.MonkeyPatch
_ROUNDS, _CASES = 12, 15


def do_not_wait_for_the_disk(patch: Patch) -> None:
    honest = Recorder.write

    def quick(self: Recorder, event: ev.Event, *, durable: bool = False) -> Entry:
        return honest(self, event, durable=durable and event.TYPE != "step_started")

    patch.setattr(Recorder, "write", quick)


def forget_what_began(patch: Patch) -> None:
    patch.setattr(StepState, "unsettled", property(lambda _: False))


def do_not_look_before_the_second_attempt(patch: Patch) -> None:
    patch.setattr(Acts, "_look_first", lambda *_: None)


def take_every_claim_for_not_started(patch: Patch) -> None:
    answer = ClaimReply(state=ClaimState.NOT_STARTED, because="surely not")
    patch.setattr(BoundShell, "_attached", lambda *_: answer)


def forget_the_restores(patch: Patch) -> None:
    patch.setattr(Ledger, "restore_all", lambda _: None)


def call_everything_done(patch: Patch) -> None:
    patch.setattr(closing, "done", lambda _: closing.Close(state="done", exit=Exit.DONE))


def exit_with_another_code(patch: Patch) -> None:
    honest = Executor._pause

    def wrong(self: Executor, stop: Stop) -> Exit:
        honest(self, stop)
        return Exit.DONE

    patch.setattr(Executor, "_pause", wrong)


@pytest.mark.parametrize(
    ("sabotage", "promise"),
    [
        (do_not_wait_for_the_disk, I1),
        (forget_what_began, I2),
        (do_not_look_before_the_second_attempt, I2),
        (take_every_claim_for_not_started, I2),
        (forget_the_restores, engine_kills.RESTORES),
        (call_everything_done, engine_kills.MISSING),
        (exit_with_another_code, I10),
    ],
    ids=lambda given: getattr(given, "__name__", ""),
)
def test_sabotage_is_caught(sabotage: Callable[[Patch], None], promise: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        sabotage(patch)
        for seed in range(_ROUNDS):
            figures = engine_kills.run(_CASES, random.Random(seed))
            if figures.numbers[promise]:
                return
    pytest.fail(f"{_ROUNDS * _CASES} cases, and nobody noticed")
