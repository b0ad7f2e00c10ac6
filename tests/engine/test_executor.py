"""The one rule: intent before effect, verify after, in doubt when unknown; retry, resume and recovery are one path."""

import random

import pytest

from drctl.errors import Exit
from tests.engine.rig import Crash, Rig
from tests.fakes.hosts import FakeHost

BASIC = """
runbook: basic
phases:
  - id: main
    steps:
      - {id: look, on: db1, run: read-role, effect: read, capture: {role: stdout}}
      - id: promote
        on: db2
        run: promote-now
        effect: once
        verify: {run: is-primary}
        undo: {none: it has a history of its own}
        marks: promoted
      - {id: same, do: check, expect: "steps.look.role == 'standby'"}
      - id: tidy
        on: db1
        run: tidy-up
        effect: idempotent
"""


def basic() -> Rig:
    rig = Rig(BASIC)
    rig.host("db1").on("read-role", "standby").on("tidy-up", 0)
    rig.host("db2").on("is-primary", 1)

    def promote(_: object) -> int:
        rig.host("db2").on("is-primary", 0)
        return 0

    rig.host("db2").on("promote-now", promote)
    return rig


def test_a_run_ends_done_and_every_step_is_ok() -> None:
    rig = basic()
    assert rig.run() is Exit.DONE
    assert [rig.outcome(s) for s in ("look", "promote", "same", "tidy")] == ["ok"] * 4
    assert rig.host("db2").effects == ["promote-now"]
    assert rig.state.mark("promoted") is not None
    assert rig.state.closed is not None
    assert rig.state.closed.state == "done"


def test_an_intent_is_recorded_before_its_effect_and_an_outcome_after() -> None:
    rig = basic()
    seen: list[int] = []
    rig.host("db2").on("promote-now", lambda _: seen.append(len(rig.lines)) or 0)  # type: ignore[func-returns-value]
    rig.host("db2").on("is-primary", 0)
    rig.run()
    types = [(type_, body.get("path")) for _, type_, body, _ in rig.lines]
    assert types.index(("step_started", "main/promote")) < seen[0] <= types.index(("step_finished", "main/promote"))


def _records() -> int:
    rig = basic()
    rig.run()
    return len(rig.lines)


@pytest.mark.parametrize("after", [False, True])
def test_killed_at_any_record_a_resumed_run_ends_the_same_and_nothing_happens_twice(after: bool) -> None:  # noqa: FBT001
    for seq in range(1, _records()):
        rig = basic()
        rig.crash_at(seq, after=after)
        with pytest.raises(Crash):
            rig.run()
        if rig.lines[-1][1] != "run_closed":
            assert rig.resume() is Exit.DONE, f"crashed at record {seq}"
        assert rig.host("db2").effects == ["promote-now"], f"crashed at record {seq}"
        assert rig.host("db1").effects == ["tidy-up"], f"crashed at record {seq}"
        started = [
            body for _, type_, body, _ in rig.lines if type_ == "step_started" and body["path"] == "main/promote"
        ]
        keys = {body["key"] for body in started}
        assert len(keys) <= 2, "at most one voided claim and one that counted"


def test_killed_again_and_again_it_still_happens_once() -> None:
    for seed in range(30):
        rng = random.Random(seed)
        rig = basic()
        rig.crash_at(rng.randrange(1, 12))
        with pytest.raises(Crash):
            rig.run()
        while True:  # every resumed run is killed a few records later
            try:
                rig.resume(die_in=rng.randrange(1, 8))
            except Crash:
                continue
            break
        assert rig.host("db2").effects == ["promote-now"]
        assert rig.host("db1").effects == ["tidy-up"]
        assert rig.outcome("same") == "ok"


def test_a_lost_link_after_the_effect_is_found_by_its_claim() -> None:
    rig = basic()
    rig.host("db2").lose_link("after")
    assert rig.run() is Exit.DONE
    assert rig.host("db2").effects == ["promote-now"]
    assert rig.state.step("main/promote").final.found  # type: ignore[union-attr]


def test_a_lost_link_and_a_look_that_cannot_tell_is_in_doubt_and_a_person_resolves_it() -> None:
    rig = basic()
    rig.host("db2").on("is-primary", 7).on("promote-now", 0)
    rig.host("db2").lose_link("after")
    assert rig.run() is Exit.IN_DOUBT
    assert rig.outcome("promote") == "in_doubt"
    assert rig.state.paused is not None
    assert rig.state.paused.reason == "doubt"
    rig.answer("done", step="promote", reason="I looked: it is the primary")
    rig.host("db2").down = True  # nobody can look now; the person's word counts
    assert rig.resume() is Exit.EXCEPTIONS
    assert rig.host("db2").effects == ["promote-now"]
    assert any("attested done" in d.what for _, d in rig.state.deviations)


def test_not_started_is_proven_by_taking_the_claim_and_the_next_attempt_has_a_new_generation() -> None:
    rig = basic()
    rig.host("db2").lose_link("before")
    assert rig.run() is Exit.IN_DOUBT
    assert rig.host("db2").effects == []
    assert rig.resume() is Exit.DONE
    assert rig.host("db2").effects == ["promote-now"]
    started = [b for _, t, b, _ in rig.lines if t == "step_started" and b["path"] == "main/promote"]
    assert [b.get("generation", 1) for b in started] == [1, 1, 2]


def test_a_restarted_host_without_the_effect_is_tried_again_and_with_it_is_found_done() -> None:
    for there in (False, True):
        rig = basic()
        rig.host("db2").lose_link("during")
        rig.host("db2").on("is-primary", 9)
        assert rig.run() is Exit.IN_DOUBT
        rig.host("db2").restart()
        rig.host("db2").on("is-primary", 0 if there else 1)
        if not there:
            rig.host("db2").on("promote-now", lambda _, rig=rig: rig.host("db2").on("is-primary", 0) and 0)  # type: ignore[misc]
        assert rig.resume() is Exit.DONE
        assert rig.host("db2").effects == ([] if there else ["promote-now"])


def test_an_unreachable_host_stops_the_run_before_anything_is_changed() -> None:
    rig = basic()
    rig.host("db2").down = True
    assert rig.run() is Exit.NOTHING_CHANGED
    assert rig.state.closed is not None
    assert rig.state.intents == 0
    assert rig.host("db1").effects == []


def test_a_failed_step_pauses_and_retry_skip_or_done_go_on() -> None:
    for choice, exit_, effects in (("retry", Exit.DONE, 2), ("skip", Exit.EXCEPTIONS, 1), ("done", Exit.EXCEPTIONS, 1)):
        rig = basic()
        rig.host("db2").on("promote-now", 1)
        assert rig.run() is Exit.STEP_FAILED
        assert rig.state.paused is not None
        assert rig.state.paused.reason == "failure"

        def promote(_: object, rig: Rig = rig) -> int:
            rig.host("db2").on("is-primary", 0)
            return 0

        rig.host("db2").on("promote-now", promote)
        rig.answer(choice, step="promote", reason="because")
        assert rig.resume() is exit_, choice
        assert len(rig.host("db2").effects) == effects
    assert rig.host("db1").effects == ["tidy-up"]


def test_a_word_without_a_reason_does_not_count() -> None:
    rig = basic()
    rig.host("db2").on("promote-now", 1)
    rig.run()
    rig.answer("skip", step="promote")
    assert rig.resume() is Exit.STEP_FAILED
    answers = [b for _, t, b, _ in rig.lines if t == "answered"]
    assert [(a["accepted"], a["because"]) for a in answers] == [(False, "skip needs a reason")]


def test_abort_closes_and_nothing_more_is_done() -> None:
    rig = basic()
    rig.host("db2").on("promote-now", 1)
    rig.run()
    rig.inbox.put("abort", by="ops", reason="enough")
    assert rig.resume() is Exit.ABORTED
    assert rig.state.closed is not None
    assert rig.state.closed.state == "aborted"
    assert rig.host("db1").effects == []


def test_an_act_that_ends_well_but_whose_effect_is_not_there_is_failed() -> None:
    rig = basic()
    rig.host("db2").on("promote-now", 0)
    rig.host("db2").on("is-primary", 1)
    assert rig.run() is Exit.STEP_FAILED
    assert "the effect is not there" in rig.because("promote")


def test_the_hosts_are_given_back_when_the_run_closes() -> None:
    rig = basic()
    rig.run()
    assert rig.host("db1").owner is None
    assert rig.host("db2").owner is None


def test_a_paused_run_keeps_its_hosts() -> None:
    rig = basic()
    rig.host("db2").on("promote-now", 1)
    rig.run()
    assert rig.host("db2").owner is not None


def test_a_claim_that_is_missing_in_another_store_of_local_proves_nothing() -> None:
    rig = Rig(BASIC.replace("on: db2", "on: local"))
    rig.host("db1").on("read-role", "standby").on("tidy-up", 0)
    rig.host("local").on("is-primary", 1).on("promote-now", 0)
    rig.crash_at(next(n for n in range(40) if _started_by(n)), after=True)
    with pytest.raises(Crash):
        rig.run()
    rig.world.hosts["local"] = FakeHost("local").on("is-primary", 1).on("promote-now", 0)
    rig.world.store = "store-2"  # another machine, or another state folder
    assert rig.resume() is Exit.IN_DOUBT
    assert rig.host("local").effects == []


def _started_by(seq: int) -> bool:
    """Whether record `seq` of an undisturbed run is the intent of the promotion."""
    rig = Rig(BASIC.replace("on: db2", "on: local"))
    rig.host("db1").on("read-role", "standby").on("tidy-up", 0)
    rig.host("local").on("is-primary", 0).on("promote-now", 0)
    rig.run()
    return len(rig.lines) > seq and rig.lines[seq][1] == "step_started" and rig.lines[seq][2]["path"] == "main/promote"


def test_a_run_of_looks_that_comes_to_its_end_exits_with_0() -> None:
    """See docs/adr/0010: 4 is for runs that were stopped before anything was changed."""
    rig = Rig(
        "runbook: looks\nphases:\n  - id: main\n    steps:\n"
        "      - {id: look, on: db1, run: read-role, effect: read}\n"
        "      - {id: same, do: check, expect: steps.look.stdout == 'standby'}\n"
    )
    rig.host("db1").on("read-role", "standby")
    assert rig.run() is Exit.DONE
    assert (rig.state.intents, rig.said("run_closed")[0]["state"]) == (0, "done")
