"""Words that stop a run: once, twice, pause, abort; what holds over a crash; what may not be interrupted."""

from __future__ import annotations

import threading

import pytest

from drctl.core.ports import Claim, ClaimReply, ClaimState, Command, Reach, Reply
from drctl.core.values import Duration
from drctl.errors import Exit
from tests.engine.rig import Crash, Rig
from tests.engine.test_acts import acting, book

TWO = book(
    "{id: first, on: db1, run: first-one, effect: idempotent}",
    "{id: second, on: db2, run: second-one, effect: idempotent, restore: {run: put-back}}",
    "{id: third, on: db1, run: third-one, effect: idempotent}",
)


def two() -> Rig:
    rig = Rig(TWO)
    for host, script in (("db1", "first-one"), ("db2", "second-one"), ("db1", "third-one"), ("db2", "put-back")):
        rig.host(host).on(script, 0)
    return rig


def during(rig: Rig, host: str, script: str, then: object) -> None:
    """While a script runs, do something."""
    rig.host(host).on(script, lambda _: then() or 0)  # type: ignore[operator]


def test_the_first_word_stops_after_the_running_step_and_resume_goes_on() -> None:
    rig = two()
    during(rig, "db1", "first-one", lambda: rig.control.raise_to(1, "stopped by the operator"))
    assert rig.run() is Exit.INTERRUPTED
    assert rig.state.paused is not None
    assert (rig.state.paused.reason, rig.outcome("first"), rig.outcome("second")) == ("operator", "ok", "none")
    rig.host("db1").on("first-one", 0)
    assert rig.resume() is Exit.DONE
    assert rig.host("db1").effects == ["first-one", "third-one"]


def test_pause_by_inbox_is_the_same_with_exit_6() -> None:
    rig = two()
    during(rig, "db1", "first-one", lambda: rig.inbox.put("pause", by="li", reason="wait for the vendor"))
    assert rig.run() is Exit.PAUSED
    assert rig.outcome("second") == "none"
    assert rig.resume() is Exit.DONE


class Hanging:
    """A host on which a command runs until somebody ends it; nothing here takes time."""

    def __init__(self, rig: Rig, name: str) -> None:
        self.began, self.ended, self.killed = threading.Event(), threading.Event(), 0
        rig.oddly(name, run=self.run, kill=self.kill)

    def run(self, _claim: Claim, _command: Command) -> ClaimReply:
        self.began.set()
        assert self.ended.wait(20), "nobody ended it"
        reply = Reply(reach=Reach.TIMEOUT, because="ended by drctl")
        return ClaimReply(state=ClaimState.KILLED, reply=reply, because="ended by drctl", gone=True)

    def kill(self, _claim: Claim, _command: Command) -> ClaimReply:
        self.killed += 1
        self.ended.set()
        return ClaimReply(state=ClaimState.KILLED, because="ended by drctl", gone=True)


def twice(rig: Rig, host: Hanging) -> threading.Thread:
    def press() -> None:
        assert host.began.wait(20)
        rig.control.raise_to(1, "stopped by the operator")
        rig.control.raise_to(2, "ended by the operator")

    pressing = threading.Thread(target=press)
    pressing.start()
    return pressing


def test_the_second_word_ends_the_act_on_its_host_and_it_is_done_again_on_resume() -> None:
    rig = acting("idempotent")
    plain = rig.host("db1")
    host = Hanging(rig, "db1")
    pressing = twice(rig, host)
    assert rig.run() is Exit.INTERRUPTED
    pressing.join()
    assert host.killed == 1
    ends = rig.said("step_finished", path="main/act")
    assert (ends[-1]["outcome"], ends[-1]["final"]) == ("timeout", False)
    rig.world.hosts["db1"] = plain
    assert rig.resume() is Exit.DONE
    assert plain.effects == ["do-it"]


def test_an_act_ended_by_the_operator_does_not_roll_back_by_itself() -> None:
    text = book("{id: act, on: db1, run: do-it, effect: idempotent, on_failure: rollback, undo: {run: undo-it}}")
    rig = acting("idempotent", text)
    host = Hanging(rig, "db1")
    pressing = twice(rig, host)
    assert rig.run() is Exit.INTERRUPTED
    pressing.join()
    assert not rig.said("block_started", form="undo")


def test_the_second_word_leaves_an_irreversible_act_alone() -> None:
    rig = acting("irreversible")
    host = Hanging(rig, "db1")
    waited: list[int] = []

    def watched() -> None:
        assert host.began.wait(20)
        rig.control.raise_to(2, "ended by the operator")
        waited.append(1)
        threading.Event().wait(0.5)  # the engine's watcher has looked several times by now
        host.ended.set()

    pressing = threading.Thread(target=watched)
    pressing.start()
    rig.run()
    pressing.join()
    assert waited
    assert host.killed == 0


def test_a_stop_while_looking_again_is_no_failure() -> None:
    text = book("{id: up, on: db1, run: is-up, effect: read, until: {every: 1s, within: 1h}, on_failure: rollback}")
    rig = Rig(text)
    rig.host("db1").on("is-up", 1)
    rig.clock.then = lambda _: rig.control.raise_to(1, "stopped")
    assert rig.run() is Exit.INTERRUPTED
    assert rig.outcome("up") == "none"
    rig.host("db1").on("is-up", 0)
    rig.clock.then = lambda _: None
    assert rig.resume() is Exit.DONE


def test_a_stop_while_an_act_is_tried_again_is_no_failure() -> None:
    text = book("{id: act, on: db1, run: do-it, effect: idempotent, retry: {every: 1s, times: 9}, on_failure: abort}")
    rig = Rig(text)
    rig.host("db1").on("do-it", 1)
    rig.clock.then = lambda _: rig.control.raise_to(1, "stopped")
    assert rig.run() is Exit.INTERRUPTED
    rig.host("db1").on("do-it", 0)
    rig.clock.then = lambda _: None
    assert rig.resume() is Exit.DONE


def test_the_first_word_does_not_cut_short_the_look_that_decides_about_an_act() -> None:
    text = book(
        "{id: act, on: db1, run: do-it, effect: once, undo: {none: a test}, "
        "verify: {run: is-done, until: {every: 1s, times: 5}}}"
    )
    rig = Rig(text)
    host, looks = rig.host("db1").on("do-it", 0), [0]

    def third(_: object) -> int:
        looks[0] += 1
        rig.control.raise_to(1, "stopped")
        return 0 if looks[0] == 3 else 1

    host.on("is-done", third)
    rig.run()
    assert rig.outcome("act") == "ok"


def test_a_first_word_waits_for_the_end_of_an_uninterruptible_block() -> None:
    text = book(
        "{id: block, uninterruptible: true, steps: ["
        "{id: first, on: db1, run: first-one, effect: idempotent}, "
        "{id: second, on: db1, run: second-one, effect: idempotent}]}",
        "{id: third, on: db1, run: third-one, effect: idempotent}",
    )
    rig = Rig(text)
    rig.host("db1").on("second-one", 0)
    during(rig, "db1", "first-one", lambda: rig.control.raise_to(1, "stopped"))
    assert rig.run() is Exit.INTERRUPTED
    assert [rig.outcome(s) for s in ("first", "second", "third")] == ["ok", "ok", "none"]


# -- abort ------------------------------------------------------------------------------------------------------------


def test_abort_in_the_middle_restores_and_closes() -> None:
    rig = two()
    during(rig, "db2", "second-one", lambda: rig.inbox.put("abort", by="li", reason="enough"))
    assert rig.run() is Exit.ABORTED
    assert rig.state.closed is not None
    assert rig.host("db2").effects == ["second-one", "put-back"]
    assert rig.outcome("third") == "none"


def test_abort_holds_over_a_crash_at_every_later_record() -> None:
    whole = two()
    during(whole, "db2", "second-one", lambda: whole.inbox.put("abort", by="li", reason="enough"))
    whole.run()
    said = next(i for i, (_, t, _, _) in enumerate(whole.lines) if t == "control_received")
    for seq in range(said, len(whole.lines)):
        for after in (False, True):
            rig = two()
            during(rig, "db2", "second-one", lambda rig=rig: rig.inbox.put("abort", by="li", reason="enough"))
            rig.crash_at(seq, after=after)
            with pytest.raises(Crash):
                rig.run()
            if rig.lines[-1][1] != "run_closed":
                assert rig.resume() is Exit.ABORTED, seq
            assert rig.host("db2").effects == ["second-one", "put-back"], seq
            assert len(rig.said("control_received")) == 1


def test_abort_of_a_paused_run_is_recorded_before_anything_and_holds() -> None:
    rig = two()
    during(rig, "db2", "second-one", lambda: rig.control.raise_to(1, "stopped"))
    rig.run()
    paused = len(rig.lines)
    assert rig.abort("it came back by itself") is Exit.ABORTED
    records = len(rig.lines)
    for seq in range(paused + 1, records):
        rig = two()
        during(rig, "db2", "second-one", lambda rig=rig: rig.control.raise_to(1, "stopped"))
        rig.run()
        rig._again()
        rig.crash_at(seq)
        with pytest.raises(Crash):
            rig._carry(verb=lambda executor: executor.abort("it came back by itself"))
        assert rig.resume() is Exit.ABORTED
        assert rig.host("db2").effects == ["second-one", "put-back"]
        assert rig.outcome("third") == "none"


def test_abort_while_a_question_waits_closes_the_run() -> None:
    rig = Rig(
        book("{id: ask, do: manual, with: {say: Look}}", "{id: then, on: db1, run: then-one, effect: idempotent}")
    )
    rig.clock.then = lambda _: rig.inbox.put("abort", by="li", reason="enough")
    assert rig.run(wait=Duration.parse("1h")) is Exit.ABORTED
    assert rig.host("db1").effects == []


def test_abort_while_waiting_for_time_closes_the_run() -> None:
    rig = Rig(book("{id: soak, do: wait, with: {for: 10h}}"))
    rig.clock.then = lambda _: rig.inbox.words or rig.inbox.put("abort", by="li", reason="enough")  # type: ignore[assignment,func-returns-value]
    began = rig.clock.micros
    assert rig.run() is Exit.ABORTED
    assert rig.clock.micros - began < 60_000_000
