"""Undo on rollback, restore always at the end: newest first, each once over any crash, and what could not be said."""

from __future__ import annotations

import contextlib

import pytest

from drctl.core.fold import RunState
from drctl.core.outcomes import Outcome
from drctl.engine.executor import Desk, Executor
from drctl.engine.looks import Pen
from drctl.engine.recorder import Recorder
from drctl.engine.stops import Stop
from drctl.errors import Exit
from tests.engine.rig import Crash, Rig
from tests.engine.test_acts import book


def step(name: str, host: str, more: str = "") -> str:
    return (
        f"{{id: {name}, on: {host}, run: do-{name}, effect: idempotent, undo: {{run: un-{name}}}, "
        f"restore: {{run: re-{name}}}{more}}}"
    )


FAIL = "{id: fails, on: db2, run: do-fails, effect: idempotent, undo: {none: it does nothing}, on_failure: rollback}"


def going_back(*steps: str, fails: str = FAIL) -> Rig:
    rig = Rig(book(*steps, fails))
    for host in ("db1", "db2"):
        rig.host(host).on("do-", 0).on("un-", 0).on("re-", 0)
    rig.host("db2").on("do-fails", 1)
    return rig


def order(rig: Rig) -> list[str]:
    """Every way back that ran, in order."""
    started = rig.said("step_started")
    return [body["text"] for body in started if body.get("role") in {"undo", "restore"}]


def test_rollback_undoes_newest_first_then_restores_newest_first() -> None:
    rig = going_back(step("a", "db1"), step("b", "db2"), step("c", "db1"))
    assert rig.run() is Exit.ROLLED_BACK
    assert order(rig) == ["un-c", "un-b", "un-a", "re-c", "re-b", "re-a"]
    assert rig.state.closed is not None
    assert rig.state.closed.state == "rolled_back"


def test_a_run_that_ends_well_restores_and_undoes_nothing() -> None:
    rig = going_back(step("a", "db1"), step("b", "db2"), fails="{id: fine, do: check, expect: true}")
    assert rig.run() is Exit.DONE
    assert order(rig) == ["re-b", "re-a"]


def test_rollback_goes_back_to_just_after_the_point_of_no_return() -> None:
    rig = going_back(step("a", "db1"), step("b", "db2", ", point_of_no_return: true"), step("c", "db1"))
    assert rig.run() is Exit.ROLLED_BACK
    assert order(rig) == ["un-c", "re-c", "re-b", "re-a"]
    assert rig.state.closed is not None
    assert "failback" in rig.state.closed.because


def test_with_nothing_after_the_point_of_no_return_nothing_was_rolled_back() -> None:
    fails = FAIL.replace("effect: idempotent, undo: {none: it does nothing}", "effect: read")
    rig = going_back(step("b", "db2", ", point_of_no_return: true"), fails=fails)
    assert rig.run() is Exit.STEP_FAILED
    assert order(rig) == ["re-b"]


def test_a_rollback_before_anything_was_changed_is_exit_4() -> None:
    rig = going_back(fails=FAIL.replace("effect: idempotent, undo: {none: it does nothing}", "effect: read"))
    assert rig.run() is Exit.NOTHING_CHANGED


def test_an_undo_looks_first_and_leaves_alone_what_is_not_there() -> None:
    text = "{id: a, on: db1, run: do-a, effect: once, verify: {run: is-a}, undo: {run: un-a}}"
    for seen, wanted in ((0, ["un-a"]), (1, []), (9, ["un-a"])):
        rig = going_back(text)
        rig.host("db1").on(
            "is-a",
            lambda _, rig=rig, seen=seen: seen if rig.said("step_finished", path="main/a") else 0,  # type: ignore[misc]
        )
        assert rig.run() is Exit.ROLLED_BACK
        assert order(rig) == wanted, seen


def test_an_act_that_failed_half_way_is_undone_too_and_one_that_never_began_is_not() -> None:
    rig = going_back(step("a", "db1"), step("b", "db2", ", on_failure: rollback"))
    rig.host("db2").on("do-b", 1)
    assert rig.run() is Exit.ROLLED_BACK
    assert order(rig) == ["un-b", "un-a", "re-b", "re-a"]
    rig = going_back(step("a", "db1"), step("b", "db2", ", on_failure: rollback"))
    rig.host("db1").on("do-a", lambda _: setattr(rig.host("db2"), "down", True) or 0)  # type: ignore[func-returns-value]
    assert rig.run() is Exit.ROLLED_BACK
    assert order(rig) == ["un-a", "re-a"]


def test_a_retry_that_could_not_begin_does_not_hide_what_the_first_attempt_left() -> None:
    rig = going_back(step("a", "db1"), step("b", "db2"))
    rig.host("db2").on("do-b", 1)
    assert rig.run() is Exit.STEP_FAILED
    rig.host("db2").down = True
    rig.answer("retry", step="b", reason="again")
    assert rig.resume() is Exit.STEP_FAILED
    rig.host("db2").down = False
    rig.host("db2").on("do-b", 0)
    rig.answer("skip", step="b", reason="leave it")
    assert rig.resume() is Exit.ROLLED_BACK
    assert order(rig) == ["un-b", "un-a", "re-b", "re-a"]


def test_an_unreachable_host_holds_up_nobody_and_the_rollback_is_half_done() -> None:
    rig = going_back(step("a", "db1"), step("b", "db2"), fails=FAIL.replace("on: db2", "on: local"))
    rig.host("local").on("do-fails", lambda _: setattr(rig.host("db2"), "down", True) or 1)  # type: ignore[func-returns-value]
    assert rig.run() is Exit.ROLLBACK_FAILED
    assert rig.host("db1").effects == ["do-a", "un-a", "re-a"]
    assert ("main/b", "not undone") in {(d.path, d.what) for _, d in rig.state.deviations}
    assert ("main/b", "not restored") in {(d.path, d.what) for _, d in rig.state.deviations}


def test_an_undo_that_fails_pauses_the_rollback_and_a_person_decides() -> None:
    for choice, exit_, wanted in (
        ("retry", Exit.ROLLED_BACK, ["un-b", "un-b", "un-a"]),
        ("skip", Exit.ROLLBACK_FAILED, ["un-b", "un-a"]),
        ("done", Exit.ROLLED_BACK, ["un-b", "un-a"]),
        ("abort", Exit.ROLLBACK_FAILED, ["un-b"]),
    ):
        rig = going_back(step("a", "db1"), step("b", "db2"))
        rig.host("db2").on("un-b", 1)
        assert rig.run() is Exit.ROLLBACK_FAILED
        assert rig.state.paused is not None, "the run stays open"
        assert rig.resume() is Exit.ROLLBACK_FAILED
        assert order(rig) == ["un-b"], "it is not tried again before somebody says so"
        rig.host("db2").on("un-b", 0)
        rig.answer(choice, step="main/b/undo", reason="because")
        assert rig.resume() is exit_, choice
        assert [text for text in order(rig) if text.startswith("un")] == wanted, choice
        assert [text for text in order(rig) if text.startswith("re")] == ["re-b", "re-a"], choice


def test_a_restore_that_fails_does_not_stop_the_others_and_is_an_exception() -> None:
    rig = going_back(step("a", "db1"), step("b", "db2"), fails="{id: fine, do: check, expect: true}")
    rig.host("db2").on("re-b", 1)
    assert rig.run() is Exit.EXCEPTIONS
    assert order(rig) == ["re-b", "re-a"]
    assert rig.state.closed is not None
    assert any("not restored" in text for text in rig.state.closed.exceptions)


@pytest.mark.parametrize("after", [False, True])
def test_killed_at_any_record_every_way_back_runs_once_and_the_end_is_the_same(after: bool) -> None:  # noqa: FBT001
    def made() -> Rig:
        return going_back(step("a", "db1"), step("b", "db2"))

    whole = made()
    whole.run()
    for seq in range(1, len(whole.lines)):
        rig = made()
        rig.crash_at(seq, after=after)
        with pytest.raises(Crash):
            rig.run()
        if rig.lines[-1][1] != "run_closed":
            assert rig.resume() is Exit.ROLLED_BACK, seq
        for host in ("db1", "db2"):
            assert rig.host(host).effects == whole.host(host).effects, seq


def test_a_pause_in_the_middle_of_the_ways_back_loses_none() -> None:
    rig = going_back(step("a", "db1"), step("b", "db2"), step("c", "db1"))
    rig.host("db1").on("un-c", lambda _: rig.control.raise_to(1, "stopped") or 0)  # type: ignore[func-returns-value]
    assert rig.run() is Exit.INTERRUPTED
    assert order(rig) == ["un-c"]
    assert rig.resume() is Exit.ROLLED_BACK
    assert order(rig) == ["un-c", "un-b", "un-a", "re-c", "re-b", "re-a"]


# -- as it was --------------------------------------------------------------------------------------------------------

CRON = (
    "{id: cron, on: db1, run: show-cron, effect: read}",
    (
        "{id: quiet, on: db1, run: clear-cron, effect: idempotent, recheck: [cron], undo: {none: restore does it}, "
        'restore: {run: set-cron, with: {stdin: "${{ steps.cron.stdout }}"}}}'
    ),
)


def cron_rig(*more: str) -> tuple[Rig, list[bytes]]:
    rig = Rig(book(*CRON, *more))
    table, put_back = ["0 3 * * * job"], list[bytes]()
    host = rig.host("db1")

    def clear(_: object) -> int:
        table[0] = ""
        return 0 if len(host.effects) > 1 else 1  # the first attempt does it, and says it failed

    host.on("show-cron", lambda _: table[0]).on("clear-cron", clear)
    host.on("set-cron", lambda command: put_back.append(bytes(command.stdin)) or 0)  # type: ignore[arg-type,func-returns-value]
    return rig, put_back


def test_what_is_put_back_is_what_the_first_intent_saw_though_a_retry_looked_again() -> None:
    rig, put_back = cron_rig()
    assert rig.run() is Exit.STEP_FAILED
    rig.answer("retry", step="quiet", reason="again")
    assert rig.resume() is Exit.DONE
    assert rig.state.step("main/cron").final is not None
    assert put_back == [b"0 3 * * * job"]


def test_a_value_with_a_secret_in_it_is_never_put_back_with_stars() -> None:
    rig, put_back = cron_rig()
    rig.mask = lambda text: text.replace("job", "***")  # type: ignore[method-assign]
    rig.host("db1").on("clear-cron", 0)
    assert rig.run() is Exit.EXCEPTIONS
    assert put_back == []
    assert any("a secret stands in it" in d.because for _, d in rig.state.deviations)


def test_an_inverse_puts_back_what_stood_there_before_the_first_attempt() -> None:
    text = book("{id: stop, on: db1, do: service, with: {name: cron, state: stopped}, on_failure: rollback}", FAIL)
    rig = Rig(text)
    active = [True]
    host = rig.host("db1")
    rig.host("db2").on("do-fails", 1)
    seen: list[str] = []

    def told(command: object) -> str:
        script = getattr(command, "script", "")
        seen.append(script)
        return f"active {'active' if active[0] else 'inactive'}\nenabled enabled\n"

    host.on("systemctl", told)
    rig.run()
    intent = rig.said("step_started", path="main/stop")[0]
    assert intent["undo"] == {"auto": {}}
    assert "prior" in intent


# -- restore at a place -----------------------------------------------------------------------------------------------


def test_restore_at_its_place_is_not_done_again_at_the_end() -> None:
    rig = going_back(
        step("a", "db1"), "{id: now, do: restore, with: {steps: [a]}}", step("b", "db2"),
        fails="{id: fine, do: check, expect: true}",
    )  # fmt: skip
    assert rig.run() is Exit.DONE
    assert order(rig) == ["re-a", "re-b"]


def test_a_restore_at_its_place_that_fails_is_tried_again_when_said_so_and_at_the_end() -> None:
    rig = going_back(
        step("a", "db1"), "{id: now, do: restore, with: {steps: [a]}}", fails="{id: fine, do: check, expect: true}"
    )
    rig.host("db1").on("re-a", 1)
    assert rig.run() is Exit.STEP_FAILED
    rig.answer("retry", step="now", reason="again")
    assert rig.resume() is Exit.STEP_FAILED
    rig.answer("skip", step="now", reason="later")
    rig.host("db1").on("re-a", 0)
    assert rig.resume() is Exit.EXCEPTIONS
    assert order(rig) == ["re-a"] * 3
    assert not any(d.what == "not restored" for _, d in rig.state.deviations)


def test_a_way_back_under_a_false_condition_is_left_out() -> None:
    text = (
        "{id: a, on: db1, run: do-a, effect: idempotent, undo: {none: a test}, "
        "restore: [{run: re-one, when: steps.a.failed}, {run: re-two, when: steps.a.ok}]}"
    )
    rig = going_back(text, fails="{id: fine, do: check, expect: true}")
    assert rig.run() is Exit.DONE
    assert order(rig) == ["re-two"]


def test_not_done_settles_an_act_that_a_crash_left_open() -> None:
    """A rollback asks about every doubt until there is none: an answer that left one open would be asked for ever."""
    rig = Rig(book("{id: x, on: db1, run: do-x, effect: once, verify: {run: is-x}, undo: {run: un-x}}"))
    rig.host("db1").on("do-x", 0).on("is-x", 9)
    rig.crash_at(next(n for n in range(3, 20) if _died_open(n)))
    with pytest.raises(Crash):
        rig.run()
    step = next(rig.runbook.steps())

    def taken() -> Outcome | None:
        rig._again()
        recorder = Recorder(rig.journal, rig.state, actor="ops")
        desk = Desk(inbox=rig.inbox)
        executor = Executor(rig.context(), recorder, rig.world, desk, rig.control, Pen(mask=rig.mask))
        return executor._rollback._failures.take(step, Outcome.IN_DOUBT)

    with pytest.raises(Stop):
        taken()
    rig.answer("not_done", step="x", reason="I looked")
    assert taken() is None
    assert rig.state.in_doubt == ()


def _died_open(record: int) -> bool:
    """Whether a run that dies before this record leaves its act begun and not ended."""
    rig = Rig(book("{id: x, on: db1, run: do-x, effect: once, verify: {run: is-x}, undo: {run: un-x}}"))
    rig.host("db1").on("do-x", 0).on("is-x", 9)
    rig.crash_at(record)
    with contextlib.suppress(Crash):
        rig.run()
    return rig.journal.dead and bool(RunState.of(rig.entries()).in_doubt)
