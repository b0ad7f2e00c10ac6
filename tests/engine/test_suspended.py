"""A machine that sleeps while it carries a run out: deadlines of people hold; what ran is found again, done once."""

from __future__ import annotations

from drctl.core.values import Duration
from drctl.errors import Exit
from tests.engine.rig import Rig
from tests.engine.test_acts import acting, book

HOUR = 3_600_000_000


def test_an_answer_that_comes_after_the_machine_slept_past_the_deadline_does_not_count() -> None:
    approved = "{id: act, on: db1, run: do-it, effect: idempotent, approve: {by: [commander], within: 10m}}"
    rig = Rig(book(approved))
    rig.host("db1").on("do-it", 0)
    slept: list[int] = []

    def sleeps(_: Duration) -> None:
        if not slept:
            slept.append(1)
            rig.clock.slept += HOUR
            now = rig.clock.micros + rig.clock.slept
            rig.inbox.put("answer", step="act", choice="approve", by="wang", given_at=now)

    rig.clock.then = sleeps
    assert rig.run(wait=Duration.parse("10m")) is Exit.PAUSED
    assert rig.host("db1").effects == []
    late = rig.said("answered", accepted=False)
    assert not late or "too late" in late[0]["because"]
    rig.clock.then = lambda _: None
    assert rig.resume() is Exit.PAUSED, "it is asked for again"
    assert "too late" in rig.said("answered", accepted=False)[0]["because"]
    assert rig.host("db1").effects == []


def test_an_act_that_ran_while_the_machine_slept_is_attached_to_and_not_done_again() -> None:
    rig = acting("once", book("{id: act, on: db1, run: do-it, effect: once, verify: {run: is-it}, undo: {none: x}}",
                              "{id: then, on: db1, run: then-it, effect: read}"))  # fmt: skip
    host = rig.host("db1")

    def run(_: object) -> int:
        rig.clock.slept += HOUR
        return 0

    host.on("do-it", run).on("is-it", 0).on("then-it", 0)
    host.lose_link("after")
    assert rig.run() in {Exit.DONE, Exit.EXCEPTIONS}
    assert host.effects == ["do-it"]
    assert rig.outcome("act") == "ok"
    assert [body["gap_us"] for body in rig.said("suspended")] == [HOUR]


def test_a_rollback_goes_on_after_the_machine_slept_in_the_middle_of_an_undo() -> None:
    rig = Rig(book("{id: a, on: db1, run: do-a, effect: idempotent, undo: {run: un-a}}",
                   "{id: up, on: db1, run: is-up, effect: read}"))  # fmt: skip
    host = rig.host("db1")

    def undo(_: object) -> int:
        rig.clock.slept += HOUR
        return 0

    host.on("do-a", 0).on("un-a", undo).on("is-up", 1)
    assert rig.run() is Exit.STEP_FAILED
    host.lose_link("after")
    code = rig.roll_back()
    if code is not Exit.ROLLED_BACK:  # its answer was lost: it is asked for by its claim when said again
        now = rig.clock.micros + rig.clock.slept
        rig.inbox.put("answer", step="main/a/undo", choice="retry", by="ops", given_at=now)
        code = rig.resume()
    assert code is Exit.ROLLED_BACK
    assert host.effects.count("un-a") == 1
