"""Putting back what was suspended: by `resume --restore-only`, at the end, and over a crash at every record."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from drctl.errors import Exit
from tests.engine.rig import Crash, Rig

if TYPE_CHECKING:
    from drctl.core.ports import Command

BOOK = """\
runbook: book
phases:
  - id: only
    steps:
      - {id: seen, on: web1, run: crontab -l, effect: read}
      - id: cron
        on: web1
        run: crontab -r
        effect: once
        verify: {run: is-empty}
        undo: {none: restore puts it back}
        restore: {run: crontab -, with: {stdin: "${{ steps.seen.stdout }}\\n"}}
      - {id: alarm, on: web2, run: mute, effect: idempotent, undo: {none: see restore}, restore: {run: unmute}}
      - {id: work, on: web1, run: work, effect: once, verify: {run: is-worked}, undo: {none: a test}}
      - {id: ask, do: manual, with: {say: Look., by: [commander]}}
"""
TABLE = "0 3 * * * nightly"


class Crontab:
    """A crontab that the runbook empties and puts back."""

    def __init__(self) -> None:
        self.rig = Rig(BOOK, hosts=("web1", "web2"))
        self.text = TABLE
        self.muted = False
        web1, web2 = self.rig.host("web1"), self.rig.host("web2")
        web1.on("crontab -l", lambda _: f"{self.text}\n").on("crontab -r", lambda _: self.put(""))
        web1.on(lambda command: command.script.strip() == "crontab -", self.fed)
        web1.on("is-empty", lambda _: int(bool(self.text)))
        web1.on("is-worked", lambda _: 0 if web1.count("work") else 1).on(lambda c: c.script.strip() == "work", 0)
        web2.on(lambda command: command.script.strip() == "mute", lambda _: self.mute(to=True))
        web2.on("unmute", lambda _: self.mute(to=False))

    def put(self, text: str) -> int:
        self.text = text
        return 0

    def fed(self, command: Command) -> int:
        assert isinstance(command.stdin, bytes)
        return self.put(command.stdin.decode().rstrip("\n"))

    def mute(self, *, to: bool) -> int:
        self.muted = to
        return 0

    @property
    def as_it_was(self) -> bool:
        return self.text == TABLE and not self.muted


def test_a_paused_run_is_put_back_stays_open_and_goes_on() -> None:
    world = Crontab()
    assert world.rig.run() is Exit.PAUSED
    assert not world.as_it_was
    assert world.rig.restore_only() is Exit.PAUSED
    assert world.as_it_was
    paused = world.rig.said("run_paused")[-1]
    assert (paused["reason"], paused["path"]) == ("restored", "only/ask")
    assert "2 of 2 put back by ops" in paused["because"]
    assert world.rig.said("run_closed") == []
    assert [q.asked.kind for q in world.rig.state.open_questions] == ["manual"], "it still waits for the same person"
    world.rig.answer("done", step="ask", by="li")
    assert world.rig.resume() is Exit.EXCEPTIONS, "it went on without what it had suspended"
    assert len(world.rig.said("deviation_noted", what="restored before the run was over")) == 2
    assert world.rig.host("web1").effects.count("crontab -") == 1, "nothing is put back twice"
    assert world.as_it_was


def test_when_nothing_is_suspended_it_says_so() -> None:
    world = Crontab()
    assert world.rig.run() is Exit.PAUSED
    assert [world.rig.restore_only() for _ in range(2)] == [Exit.PAUSED] * 2
    assert world.rig.said("run_paused")[-1]["because"] == "there was nothing to put back"
    assert len(world.rig.said("deviation_noted")) == 2


def test_what_could_not_be_put_back_stays_open_and_is_tried_again_at_the_end() -> None:
    world = Crontab()
    assert world.rig.run() is Exit.PAUSED
    world.rig.host("web1").down = True
    assert world.rig.restore_only() is Exit.STEP_FAILED
    assert not world.muted, "the other one is put back all the same"
    assert "still to be put back: only/cron" in world.rig.said("run_paused")[-1]["because"]
    assert world.rig.said("deviation_noted", what="not restored") == [], "not the last word about it"
    world.rig.host("web1").down = False
    assert world.rig.abort() is Exit.ABORTED
    assert world.as_it_was


@pytest.mark.parametrize("then", ["resume", "abort", "restore_only"])
def test_a_crash_at_every_record_puts_back_what_was_captured(then: str) -> None:
    """The value that was seen before the crash is what is put back, whoever goes on, and however."""
    whole = Crontab()
    whole.rig.run()
    for seq in range(1, len(whole.rig.lines)):
        for late in (False, True):
            world = Crontab()
            world.rig.crash_at(seq, after=late)
            with pytest.raises(Crash):
                world.rig.run()
            assert world.text in {"", TABLE}
            ends(world, then)
            assert world.as_it_was, (seq, late)


@pytest.mark.parametrize("then", ["resume", "restore_only"])
def test_a_restore_that_was_cut_short_is_carried_out_again(then: str) -> None:
    whole = Crontab()
    whole.rig.run()
    before = len(whole.rig.lines)
    whole.rig.restore_only()
    for seq in range(1, len(whole.rig.lines) - before):
        world = Crontab()
        world.rig.run()
        with pytest.raises(Crash):
            world.rig.restore_only(die_in=seq)
        ends(world, then)
        assert world.as_it_was, seq


def ends(world: Crontab, then: str) -> None:
    """Go on with a dead run; people answer."""
    rig = world.rig
    if then == "abort":
        rig.abort()
        return
    if then == "restore_only":
        assert rig.restore_only() is Exit.PAUSED
        return
    for _ in range(4):
        code = rig.resume()
        if code not in {Exit.PAUSED, Exit.IN_DOUBT}:
            break
        for question in rig.state.open_questions:
            choice = "done" if question.asked.kind == "manual" else "look"
            rig.answer(choice, step=question.asked.path, by="li" if choice == "done" else "ops")
    assert code in {Exit.DONE, Exit.EXCEPTIONS}
