"""One writer: whose a host is, a run that goes on elsewhere, and the writer that it left behind."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from drctl.core.ports import Claim
from drctl.errors import Exit
from tests.engine.rig import Crash, Rig, after

if TYPE_CHECKING:
    from collections.abc import Callable

    from drctl.core.ports import ClaimReply, Command
    from tests.fakes.hosts import FakeHost

BOOK = """\
runbook: book
phases:
  - id: only
    steps:
      - {id: one, on: db1, run: do-one, effect: once, verify: {run: is-one}, undo: {none: a test}}
      - {id: two, on: db2, run: do-two, effect: once, verify: {run: is-two}, undo: {none: a test}}
      - {id: three, on: db1, run: do-three, effect: once, verify: {run: is-three}, undo: {none: a test}}
"""


def made(text: str = BOOK) -> Rig:
    rig = Rig(text)
    for host in rig.world.hosts.values():
        for name in ("one", "two", "three"):
            host.on(f"do-{name}", 0)
            host.on(f"is-{name}", there(host, f"do-{name}"))
    return rig


def there(host: FakeHost, script: str) -> Callable[[Command], int]:
    return lambda _: 0 if host.count(script) else 1


def stranger(run: str = "cd" * 16) -> Claim:
    return Claim(key="k", run=run, run_id="OTHER", operator="li", epoch=1, holder="SHA256:x")


def test_a_host_is_recorded_once_when_it_is_taken_and_given_back_at_the_end() -> None:
    rig = made()
    assert rig.run() is Exit.DONE
    assert [body["names"] for body in rig.said("lock_taken")] == [["db1"], ["db2"]]
    assert rig.host("db1").owner is None
    assert rig.said("lock_lost") == []


def test_hosts_are_given_back_side_by_side_for_one_that_is_silent_takes_its_whole_limit() -> None:
    rig, together = made(), threading.Barrier(2)
    for name in ("db1", "db2"):
        release = rig.host(name).release

        def given_back(claim: Claim, release: Callable[[Claim], ClaimReply] = release) -> ClaimReply:
            together.wait(30)
            return release(claim)

        rig.oddly(name, release=given_back)
    assert rig.run() is Exit.DONE
    assert [rig.host(name).owner for name in ("db1", "db2")] == [None, None]


def test_a_host_of_another_run_stops_before_the_act_and_the_next_resume_goes_on_by_itself() -> None:
    rig = made()
    rig.host("db2").owner = stranger()
    assert rig.run() is Exit.LOCKED
    (paused,) = rig.said("run_paused")
    assert (paused["reason"], paused["path"]) == ("locked", "only/two")
    for part in ("OTHER", "li", "since", "drctl abort OTHER", "drctl takeover 7K2QX --from " + "cd" * 16):
        assert part in paused["because"]
    assert rig.said("asked") == [], "there is nothing to decide: the act never began"
    assert rig.said("lock_lost") == [], "it was never this run's"
    assert rig.resume() is Exit.LOCKED
    rig.host("db2").owner = None
    assert rig.resume() is Exit.DONE
    assert [rig.host(name).effects for name in ("db1", "db2")] == [["do-one", "do-three"], ["do-two"]]


def test_a_host_that_was_this_runs_and_is_another_runs_now_is_lost() -> None:
    rig = made()
    rig.host("db2").on("do-two", after(lambda: rig.host("db1").take(stranger(), "ab" * 16)))
    assert rig.run() is Exit.LOCKED
    (lost,) = rig.said("lock_lost")
    assert (lost["name"], lost["holder"]) == ("db1", f"run:{'cd' * 16}:OTHER")
    assert rig.state.replaced is None, "the run itself goes on nowhere else"
    assert "drctl takeover 7K2QX" in rig.said("run_paused")[0]["because"]
    assert rig.abort() is Exit.ABORTED, "a host that was taken away holds up no end"
    assert rig.host("db1").owner == stranger()


@pytest.mark.parametrize("role", ["restore", "method"])
def test_a_way_back_or_a_method_on_a_held_host_ends_badly_and_holds_up_nothing(role: str) -> None:
    if role == "restore":
        rig = made(BOOK.replace("undo: {none: a test}}", "undo: {none: a test}, restore: {run: re-it}}"))
        for name in ("db1", "db2"):
            rig.host(name).on("re-it", 0)
        rig.host("db1").on("do-three", after(lambda: rig.host("db1").take(stranger(), "ab" * 16)))
        assert rig.run() is Exit.EXCEPTIONS
        assert rig.host("db2").count("re-it") == 1
        assert {d["path"] for d in rig.said("deviation_noted", what="not restored")} == {"only/one", "only/three"}
        return
    fence = """\
runbook: book
phases:
  - id: only
    steps:
      - id: fence
        do: fence.host
        on: db1
        with:
          methods: [{run: do-one, effect: idempotent}, {run: do-two, effect: idempotent, on: db2}]
          proof: [{run: is-off, on: db2}]
"""
    rig = made(fence)
    rig.host("db1").owner = stranger()
    rig.host("db2").on("is-off", lambda _: 0 if rig.host("db2").count("do-two") else 1)
    assert rig.run() is Exit.DONE
    assert (rig.host("db1").effects, rig.host("db2").effects) == ([], ["do-two"])


# -- elsewhere ---


def test_the_writer_left_behind_is_refused_records_it_and_stops() -> None:
    """As SIGSTOP and SIGCONT do: it stood between two steps all the time that another one went on."""
    here = "      - {id: here, on: local, run: stand, effect: read}\n"
    rig = made(BOOK.replace("      - {id: three", f"{here}      - {{id: three"))
    ended: list[Exit] = []

    def go_on_elsewhere(_: Command) -> int:
        if not ended:
            ended.append(Exit.DEFECT)
            other = rig.elsewhere()
            ended.append(other.run())
            assert [body["epoch"] for body in other.said("run_taken_over")] == [2]
        return 0

    rig.host("local").on("stand", go_on_elsewhere)
    assert rig.run() is Exit.LOCKED
    assert ended[1:] == [Exit.DONE]
    (lost,) = rig.said("lock_lost")
    assert (lost["name"], lost["epoch"], lost["holder"], lost["by"]) == ("db1", 2, "SHA256:key2", "somebody")
    assert rig.state.replaced is not None
    (paused,) = rig.said("run_paused")
    assert paused["reason"] == "replaced"
    assert "taken over" in paused["because"]
    assert rig.host("db1").count("do-three") == 1
    assert rig.resume() is Exit.LOCKED, "nor does it come back by itself"
    assert rig.abort() is Exit.LOCKED, "nor end the run that goes on elsewhere"
    assert rig.said("run_closed") == []


def test_the_epoch_is_announced_on_every_host_before_anything_is_done() -> None:
    rig = made()
    rig.crash_at(next_after(rig, "only/three"))
    with pytest.raises(Crash):
        rig.run()
    other = rig.elsewhere()
    for host in rig.world.hosts.values():
        host.asked.clear()
    assert other.run() is Exit.DONE
    for name in ("db1", "db2"):
        assert rig.host(name).asked[0][0] == "take"


def test_a_host_that_cannot_be_told_the_epoch_is_noted() -> None:
    rig = made()
    rig.crash_at(next_after(rig, "only/two"))
    with pytest.raises(Crash):
        rig.run()
    other = rig.elsewhere()
    rig.host("db1").down = True
    assert other.run() is not Exit.DONE
    assert other.said("degraded")[0]["what"] == "epoch 2 on db1"


def test_at_every_record_the_run_may_go_on_elsewhere_and_every_act_happens_once() -> None:
    """The copy is made at any record; the writer left behind then goes on as far as the hosts let it."""
    whole = made()
    assert whole.run() is Exit.DONE
    for seq in range(1, len(whole.lines)):
        for late in (False, True):
            rig = made()
            rig.crash_at(seq, after=late)
            with pytest.raises(Crash):
                rig.run()
            other = rig.elsewhere()
            settle(other, other.run)
            assert other.ends[-1] is Exit.DONE, seq
            back = rig.resume()
            effects = [rig.host(name).effects for name in ("db1", "db2")]
            assert effects == [["do-one", "do-three"], ["do-two"]], seq
            assert back in {Exit.LOCKED, Exit.DONE}, seq
            if back is Exit.DONE:  # its copy held every act already: nothing was left to be refused
                assert seq >= len(whole.lines) - 2, seq


def test_a_copy_that_is_older_than_what_was_done_does_nothing_twice() -> None:
    """The folder was copied early: what was done after that is read back from the hosts' claims."""
    whole = made()
    assert whole.run() is Exit.DONE
    for upto in range(1, len(whole.lines)):
        rig = made()
        rig.crash_at(len(whole.lines) - 1)  # everything is done; the last word is missing
        with pytest.raises(Crash):
            rig.run()
        other = rig.elsewhere(upto)
        settle(other, other.run)
        assert [rig.host(name).effects for name in ("db1", "db2")] == [["do-one", "do-three"], ["do-two"]], upto
        assert other.ends[-1] is Exit.DONE, upto


def settle(rig: Rig, go: Callable[[], Exit]) -> None:
    """Answer doubts truthfully until the run is over."""
    code = go()
    while code is Exit.IN_DOUBT:
        for question in rig.state.open_questions:
            rig.answer("look", step=question.asked.path)
        code = rig.resume()


def next_after(rig: Rig, path: str) -> int:
    """The record that the intent of a step will be."""
    trial = made(rig.text)
    trial.run()
    return next(
        n for n, (_, type_, body, _) in enumerate(trial.lines) if type_ == "step_started" and body["path"] == path
    )
