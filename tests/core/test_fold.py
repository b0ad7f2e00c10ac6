"""The fold: what records mean together, whatever order of crashes they came in."""

from __future__ import annotations

from hypothesis import given

from drctl.core import events as ev
from drctl.core.fold import Entry, RunState, attained
from drctl.core.outcomes import Outcome
from drctl.core.values import Duration, Time
from tests.core.test_events import events

START = 1_790_000_000_000_000


def fold(*told: ev.Event) -> RunState:
    return RunState.of(
        Entry(seq=n, at=Time(START + n * 1_000_000), mono=n * 1_000_000, boot="b", actor="ops", event=event)
        for n, event in enumerate(told)
    )


def began(path: str = "p/x", **more: object) -> ev.StepStarted:
    return ev.StepStarted(path=path, effect="once", role=ev.Role.ACT, **more)  # type: ignore[arg-type]


def ended(path: str = "p/x", outcome: str = "ok", **more: object) -> ev.StepFinished:
    return ev.StepFinished(path=path, outcome=outcome, **more)  # type: ignore[arg-type]


@given(events())
def test_no_record_is_too_much_for_it(event: ev.Event) -> None:
    state = fold(ev.RunOpened(uid="u", id="i", runbook="r"), event)
    assert state.records == 2
    repr((state.in_doubt, state.open_questions, state.phase, state.abort, attained(state)))


def test_an_outcome_of_a_later_version_is_shown_and_not_understood() -> None:
    state = fold(began(), ended(outcome="half"))
    assert state.unknown_types == ["step_finished with outcome 'half'"]
    assert state.step("p/x").unsettled


def test_what_began_and_did_not_end_is_unsettled_and_in_doubt() -> None:
    state = fold(began())
    assert state.step("p/x").unsettled
    assert [step.path for step in state.in_doubt] == ["p/x"]
    assert fold(began(), ended()).in_doubt == ()
    assert fold(began(), ended(outcome="in_doubt")).step("p/x").unsettled


def test_a_look_that_did_not_end_is_no_doubt() -> None:
    assert fold(ev.StepStarted(path="p/x")).in_doubt == ()


def test_a_recheck_gives_the_value_and_not_the_end() -> None:
    state = fold(
        ev.StepStarted(path="p/x"), ended(outputs={"n": 1}), ev.StepStarted(path="p/x", attempt=2, role=ev.Role.VERIFY),
        ended(outcome="failed", attempt=2, role=ev.Role.VERIFY, outputs={"n": 2}),
    )  # fmt: skip
    step = state.step("p/x")
    assert step.final is not None
    assert step.own_final is not None
    assert (step.final.outputs["n"], step.own_final.outcome, step.outcome) == (2, "ok", Outcome.FAILED)


def test_a_person_reopens_a_step_and_its_newest_end_counts() -> None:
    state = fold(
        began(), ended(outcome="failed"), ended(attempt=0, outcome="not_run", final=False, by="ops"),
        began(attempt=2, generation=2), ended(attempt=2),
    )  # fmt: skip
    step = state.step("p/x")
    assert (step.outcome, step.generation, step.attempts) == (Outcome.OK, 2, 2)


def test_an_effect_counts_until_its_generation_is_proven_not_to_have_begun() -> None:
    lost = (began(), ended(outcome="in_doubt"))
    assert len(fold(*lost).step("p/x").effects) == 1
    again = began(attempt=2)
    assert fold(*lost, again, ended(attempt=2, outcome="not_run", final=False)).step("p/x").effects == []
    both = fold(*lost, began(attempt=2, generation=2), ended(attempt=2, outcome="unreachable"))
    assert [unit.attempt for unit in both.step("p/x").effects] == [1]


def test_methods_of_a_proven_fence_are_in_no_doubt() -> None:
    method = ev.StepStarted(path="p/f/methods/0", effect="idempotent", role=ev.Role.METHOD)
    fence = ev.BlockStarted(path="p/f", form="fence", host="db1")
    assert len(fold(fence, method).in_doubt) == 1
    state = fold(fence, method, ev.BlockFinished(path="p/f", outcome="ok", host="db1"))
    assert (state.in_doubt, state.fenced) == ((), {"db1": "p/f"})


def asked(id_: str = "q1", **more: object) -> ev.Asked:
    return ev.Asked(id=id_, kind="approval", path="p/x", text="?", choices=("approve", "reject"), **more)  # type: ignore[arg-type]


def said(choice: str, by: str = "li", *, accepted: bool = True) -> ev.Answered:
    return ev.Answered(id="q1", choice=choice, by=by, accepted=accepted)


def test_a_question_is_decided_by_a_no_at_once_and_by_enough_different_people() -> None:
    two = asked(quorum=2)
    assert fold(two, said("approve")).questions["q1"].decided is None
    assert fold(two, said("approve"), said("approve")).questions["q1"].decided is None
    assert fold(two, said("approve"), said("approve", "wang", accepted=False)).questions["q1"].decided is None
    assert fold(two, said("approve"), said("approve", "wang")).questions["q1"].decided is not None
    decided = fold(two, said("approve"), said("reject", "wang")).questions["q1"].decided
    assert decided is not None
    assert decided.choice == "reject"


def test_a_question_waits_until_it_is_answered_asked_anew_or_moot() -> None:
    assert [q.asked.id for q in fold(asked()).open_questions] == ["q1"]
    for settled in (said("approve"), ended(), ev.RunClosed(state="aborted", exit=5)):
        assert fold(asked(), settled).open_questions == ()
    assert [q.asked.id for q in fold(asked(), asked("q2")).open_questions] == ["q2"]
    assert fold(asked(), ended(outcome="in_doubt")).open_questions != ()
    assert fold(asked(), ended("p/other")).open_questions != ()


def mark(name: str, value: object) -> ev.MarkSet:
    return ev.MarkSet(name=name, value=value)


def test_of_starts_the_first_mark_counts_and_of_ends_the_last_and_none_without_a_value() -> None:
    unknown = {"$unknown": "no"}
    values = (unknown, 1, 2, unknown)
    state = fold(*(mark(name, value) for value in values for name in ("fault", "promoted", "free")))
    assert [getattr(state.mark(name), "value", None) for name in ("fault", "promoted", "free", "never")] == [
        1,
        2,
        2,
        None,
    ]


def test_what_was_attained_comes_from_marks_and_the_start() -> None:
    opened = ev.RunOpened(uid="u", id="i", runbook="r", rto_us=60_000_000, rpo_us=5_000_000)

    def at(seconds: int) -> dict[str, int]:
        return {"$time": START + seconds * 1_000_000}

    found = attained(
        fold(opened, mark("service_restored", at(45)), mark("fault", at(-30)), mark("recovery_point", at(-40)))
    )
    assert (found.rta, found.rta_from_fault, found.rpa) == tuple(Duration(s * 1_000_000) for s in (45, 75, 10))
    assert (found.rto_met, found.rpo_met) == (True, False)
    assert attained(fold(opened)).rto_met is None
    assert attained(fold(opened, mark("data_loss", {"$us": 1}))).rpo_met is True
    assert attained(fold(opened, mark("data_loss", 3))).rpo_met is None


def test_abort_is_remembered() -> None:
    assert fold(ev.ControlReceived(verb="abort", by="li", accepted=False)).abort is None
    assert fold(ev.ControlReceived(verb="abort", by="li")).abort is not None


def test_a_paused_run_is_open_until_it_is_resumed_or_closed() -> None:
    paused = ev.RunPaused(reason="failure", exit=7)
    assert fold(paused).paused is not None
    assert fold(paused, ev.RunResumed()).paused is None
    state = fold(paused, ev.RunClosed(state="done", exit=0))
    assert (state.paused, state.closed is not None) == (None, True)


# -- the run's own time -----------------------------------------------------------------------------------------------


def told(*readings: tuple[int, int, str, ev.Event]) -> RunState:
    """A fold of events at (UTC seconds, monotonic seconds, boot)."""
    return RunState.of(
        Entry(seq=n, at=Time(START + utc * 1_000_000), mono=mono * 1_000_000, boot=boot, actor="", event=event)
        for n, (utc, mono, boot, event) in enumerate(readings)
    )


OPENED = ev.RunOpened(uid="u", id="i", runbook="r", rto_us=60_000_000)


def restored(utc: int) -> ev.MarkSet:
    return ev.MarkSet(name="service_restored", value={"$time": START + utc * 1_000_000}, path="p/up")


def test_a_clock_that_is_moved_changes_no_length() -> None:
    for jump in (3600, -3600, 86400, -86400):
        state = told(
            (0, 100, "b", OPENED),
            (5, 105, "b", ev.StepStarted(path="p/up")),
            (20 + jump, 120, "b", ev.StepFinished(path="p/up", outcome="ok")),
            (20 + jump, 120, "b", restored(20 + jump)),
        )
        assert state.step("p/up").elapsed is not None
        assert (attained(state).rta, attained(state).by_wall) == (Duration(20_000_000), False), jump
        first, last = state.step("p/up").elapsed or (0, 0)
        assert last - first == 15_000_000, jump


def test_time_asleep_counts_and_so_does_a_restart_by_the_wall_clock_alone() -> None:
    asleep = told(
        (0, 100, "b", OPENED), (3610, 110, "b", ev.Suspended(gap_us=3_600_000_000)), (3610, 110, "b", restored(3610))
    )
    assert (attained(asleep).rta, attained(asleep).by_wall) == (Duration(3_610_000_000), False)
    anew = told((0, 100, "b", OPENED), (600, 3, "c", ev.RunResumed()), (610, 13, "c", restored(610)))
    assert (attained(anew).rta, attained(anew).by_wall) == (Duration(610_000_000), True)
    back = told((0, 100, "b", OPENED), (-600, 3, "c", ev.RunResumed()), (-590, 13, "c", restored(-590)))
    assert (attained(back).rta, attained(back).by_wall) == (Duration(10_000_000), True), "never less than nothing"


def test_slept_while_nobody_was_there_is_a_standstill() -> None:
    state = told(
        (0, 100, "b", OPENED), (10, 110, "b", ev.RunPaused(reason="question")),
        (1000, 200, "b", ev.RunResumed()), (1000, 200, "b", ev.Suspended(gap_us=900_000_000)),
    )  # fmt: skip
    assert [last - first for first, last in state.away_us] == [990_000_000]
