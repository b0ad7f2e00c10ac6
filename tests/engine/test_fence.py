"""Fences: methods in order until the proof is there; only the proof decides; what is fenced stays untouched."""

from __future__ import annotations

import pytest

from drctl.core.ports import PortState
from drctl.errors import Exit
from tests.engine.rig import Crash, Rig

FENCE = """
runbook: fence
phases:
  - id: main
    steps:
      - id: mark
        on: db1
        run: touch-it
        effect: idempotent
        restore: {run: put-back}
      - id: fence
        do: fence.host
        on: db1
        with:
          methods:
            - {run: stop-it}
            - {run: power-off, on: local}
          proof:
            - {do: tcp.check, with: {host: db1, port: 5432}, expect: refused}
        marks: fenced
      - {id: promote, do: postgres.promote, on: db2, approve: {by: [commander]}, point_of_no_return: true}
      - {id: late, on: db1, run: late-one, effect: idempotent}
"""


def fencing(text: str = FENCE) -> Rig:
    rig = Rig(text.replace("approve: {by: [commander]}, ", ""))
    rig.host("db1").on("touch-it", 0).on("put-back", 0).on("late-one", 0).on("stop-it", 0)
    rig.host("local").on("power-off", lambda _: closes(rig))
    return rig


def closes(rig: Rig) -> int:
    rig.world.dialer.ports["db1", 5432] = PortState.REFUSED
    return 0


def without_promote(rest: str = "") -> str:
    text = FENCE[: FENCE.index("      - {id: promote")]
    return text + rest


LATE = "      - {id: late, on: db1, run: late-one, effect: idempotent}\n"
LOOK = "      - {id: peek, on: db1, run: look-there, effect: read, observe: true}\n"


def test_methods_are_tried_in_order_until_the_proof_is_there() -> None:
    rig = fencing(without_promote())
    rig.host("db1").on("stop-it", lambda _: closes(rig))
    assert rig.run() is Exit.EXCEPTIONS  # the restore on the fenced host is owed
    assert rig.host("local").effects == []
    assert rig.state.fenced == {"db1": "main/fence"}


def test_a_method_in_doubt_does_not_stop_it_and_is_no_doubt_once_the_proof_is_there() -> None:
    rig = fencing(without_promote())
    rig.host("db1").on("touch-it", lambda _: rig.host("db1").lose_link("after") or 0)  # type: ignore[func-returns-value]
    assert rig.run() is Exit.EXCEPTIONS
    assert rig.said("step_finished", path="main/fence/methods/0")[-1]["outcome"] == "in_doubt"
    assert rig.state.in_doubt == ()
    assert rig.host("local").effects == ["power-off"]


def test_unreachable_is_no_proof() -> None:
    rig = fencing(without_promote())
    rig.host("db1").on("touch-it", lambda _: setattr(rig.host("db1"), "down", True) or 0)  # type: ignore[func-returns-value]
    rig.host("local").on("power-off", 0)
    assert rig.run() is Exit.STEP_FAILED
    assert rig.state.fenced == {}
    assert "not proven" in rig.state.blocks["main/fence"].because


def test_a_retry_carries_every_method_out_again() -> None:
    rig = fencing(without_promote())
    rig.host("local").on("power-off", 0)
    assert rig.run() is Exit.STEP_FAILED
    assert rig.resume() is Exit.STEP_FAILED, "nothing happens before somebody says so"
    rig.host("local").on("power-off", lambda _: closes(rig))
    rig.answer("retry", step="fence", reason="the switch works now")
    assert rig.resume() is Exit.EXCEPTIONS
    assert rig.host("db1").count("stop-it") == 2
    assert rig.host("local").count("power-off") == 2


def test_nothing_but_looks_touches_a_fenced_host_afterwards() -> None:
    rig = fencing(without_promote(LOOK + LATE))
    rig.host("db1").on("look-there", 0)
    assert rig.run() is Exit.STEP_FAILED
    assert "fenced" in rig.because("late")
    assert rig.host("db1").effects == ["touch-it", "stop-it"]
    assert "look-there" in rig.host("db1").looks
    rig.answer("skip", step="late", reason="it is off")
    assert rig.resume() is Exit.EXCEPTIONS
    assert rig.host("db1").effects == ["touch-it", "stop-it"], "neither late-one nor the restore"
    assert any(d.what == "not restored" and "fenced" in d.because for _, d in rig.state.deviations)


def test_promote_without_a_fence_is_refused() -> None:
    text = FENCE.replace(FENCE[FENCE.index("      - id: fence") : FENCE.index("      - {id: promote")], "")
    rig = fencing(text)
    assert rig.run() is Exit.STEP_FAILED
    assert "needs a proven fence" in rig.because("promote")
    assert rig.host("db2").effects == []


def test_the_proof_is_looked_at_once_more_right_before_the_promotion() -> None:
    rig = Rig(FENCE)
    rig.host("db1").on("touch-it", 0).on("stop-it", lambda _: closes(rig))
    assert rig.run() is Exit.PAUSED
    rig.world.dialer.ports["db1", 5432] = PortState.OPEN  # the old primary came back while people thought
    rig.answer("approve", step="promote", by="li")
    assert rig.resume() is Exit.STEP_FAILED
    assert "does not hold any more" in rig.because("promote")
    assert rig.host("db2").effects == []


def test_a_fence_that_a_person_skipped_is_no_fence() -> None:
    rig = fencing()
    rig.host("local").on("power-off", 0)
    assert rig.run() is Exit.STEP_FAILED
    rig.answer("skip", step="fence", reason="it will be fine")
    assert rig.resume() is Exit.STEP_FAILED
    assert "needs a proven fence" in rig.because("promote")


def test_attested_by_a_person_it_is_one_and_an_exception_but_no_method_is_said_to_have_run() -> None:
    rig = fencing(without_promote())
    rig.host("local").on("power-off", 0)
    rig.run()
    rig.answer("done", step="fence", reason="I pulled both plugs")
    assert rig.resume() is Exit.EXCEPTIONS
    assert rig.state.fenced == {"db1": "main/fence"}
    assert any("attested done" in d.what for _, d in rig.state.deviations)
    assert not rig.said("step_finished", path="main/fence/methods/1", outcome="ok", by="ops")


@pytest.mark.parametrize("after", [False, True])
def test_killed_at_any_record_no_method_is_repeated_and_the_proof_is_looked_at_first(after: bool) -> None:  # noqa: FBT001
    def made() -> Rig:
        rig = fencing(without_promote())
        rig.host("db1").on("stop-it", 0)
        return rig

    whole = made()
    whole.run()
    for seq in range(1, len(whole.lines)):
        rig = made()
        rig.crash_at(seq, after=after)
        with pytest.raises(Crash):
            rig.run()
        if rig.lines[-1][1] != "run_closed":
            assert rig.resume() is Exit.EXCEPTIONS, seq
        assert rig.host("db1").effects == ["touch-it", "stop-it"], seq
        assert rig.host("local").effects == ["power-off"], seq


def test_taken_up_again_a_proof_that_holds_spares_the_next_method() -> None:
    rig = fencing(without_promote())
    at = 0
    whole = fencing(without_promote())
    whole.run()
    at = next(
        i
        for i, (_, t, b, _) in enumerate(whole.lines)
        if (t, b.get("path")) == ("step_finished", "main/fence/methods/0")
    )
    rig.crash_at(at, after=True)
    with pytest.raises(Crash):
        rig.run()
    closes(rig)
    assert rig.resume() is Exit.EXCEPTIONS
    assert rig.host("local").effects == []
