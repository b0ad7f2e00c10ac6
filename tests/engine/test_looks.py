"""Looking again, trying again, waiting; what `observe` and `tolerate` cover; verdicts of several looks."""

from __future__ import annotations

import hashlib
import itertools

import pytest

from drctl.core.values import Secret
from drctl.errors import Exit
from tests.engine.rig import Crash, Rig
from tests.engine.test_acts import book
from tests.fakes.clocks import START
from tests.fakes.hosts import said


def answers(rig: Rig, script: str, *exits: int, host: str = "db1") -> list[int]:
    """A script that answers one exit code after the other, the last one for ever; gives the times it was asked at."""
    left, times = list(exits), list[int]()

    def answer(_: object) -> int:
        times.append(rig.clock.micros)
        return left.pop(0) if len(left) > 1 else left[0]

    rig.host(host).on(script, answer)
    return times


def looking(until: str, more: str = "") -> Rig:
    return Rig(book(f"{{id: up, on: db1, run: is-up, effect: read, until: {until}{more}}}"))


def pauses(times: list[int]) -> list[int]:
    return [round((b - a) / 1_000_000) for a, b in itertools.pairwise(times)]


def test_it_looks_until_it_is_ok() -> None:
    rig = looking("{every: 3s, within: 1m}")
    times = answers(rig, "is-up", 1, 1, 0)
    assert rig.run() is Exit.DONE
    assert pauses(times) == [3, 3]


def test_in_a_row_counts_consecutive_oks_and_the_mark_is_where_the_row_began() -> None:
    rig = looking("{every: 1s, within: 1m, in_a_row: 3}", ", marks: service_restored")
    times = answers(rig, "is-up", 0, 0, 1, 0, 0, 0)
    assert rig.run() is Exit.DONE
    assert len(times) == 6
    mark = rig.state.mark("service_restored")
    assert mark is not None
    assert isinstance(mark.value, dict)
    assert times[2] < mark.value["$time"] <= times[3]


def test_the_mark_of_a_good_row_survives_a_crash_between_the_look_and_the_mark() -> None:
    whole = looking("{every: 1s, within: 1m, in_a_row: 3}", ", marks: service_restored")
    answers(whole, "is-up", 0)
    whole.run()
    at = next(i for i, (_, t, _, _) in enumerate(whole.lines) if t == "mark_set")
    rig = looking("{every: 1s, within: 1m, in_a_row: 3}", ", marks: service_restored")
    times = answers(rig, "is-up", 0)
    rig.crash_at(at)
    with pytest.raises(Crash):
        rig.run()
    rig.clock.micros += 3_600_000_000
    rig.resume()
    mark = rig.state.mark("service_restored")
    assert mark is not None
    assert isinstance(mark.value, dict)
    assert mark.value["$time"] <= times[0]


def test_backoff_stretches_the_pauses_by_decimals_too() -> None:
    rig = looking("{every: 10s, times: 4, backoff: 1.5}")
    times = answers(rig, "is-up", 1)
    rig.run()
    assert pauses(times) == [10, 15, 23]  # 22.5


def test_times_used_up_is_failed_and_within_over_is_a_timeout() -> None:
    for until, outcome, looks in (
        ("{every: 1s, times: 3, within: 1h}", "failed", 3),
        ("{every: 20s, within: 1m}", "timeout", 3),
        ("{every: 1s, times: 4, in_a_row: 3}", "failed", 2),
    ):
        rig = looking(until)
        times = answers(rig, "is-up", 1 if "row" not in until else 0, *((1, 0) if "row" in until else ()))
        rig.run()
        assert rig.outcome("up") == outcome, until
        assert len(times) == looks, until
        assert "until gave up" in rig.because("up")


def test_each_attempt_gets_what_is_left_at_most() -> None:
    rig = looking("{every: 1s, within: 10s}", ", timeout: 8s")
    limits: list[int] = []
    rig.host("db1").on("is-up", lambda command: limits.append(command.timeout.micros // 1_000_000) or 1)  # type: ignore[func-returns-value]
    rig.run()
    assert limits[0] == 8
    assert limits[-1] <= 2


def test_an_act_is_tried_again_after_known_failures_within_its_limits() -> None:
    rig = Rig(book("{id: act, on: db1, run: do-it, effect: idempotent, retry: {every: 5s, times: 3}}"))
    times = answers(rig, "do-it", 1, 1, 0)
    assert rig.run() is Exit.DONE
    assert pauses(times) == [5, 5]
    rig = Rig(book("{id: act, on: db1, run: do-it, effect: idempotent, retry: {every: 5s, times: 3}}"))
    times = answers(rig, "do-it", 1)
    assert rig.run() is Exit.STEP_FAILED
    assert len(times) == 3


def test_an_act_in_doubt_is_not_tried_again_by_itself() -> None:
    rig = Rig(book("{id: act, on: db1, run: do-it, effect: idempotent, retry: {every: 5s, times: 3}}"))
    times = answers(rig, "do-it", 0)
    rig.host("db1").lose_link("after")
    assert rig.run() is Exit.IN_DOUBT
    assert len(times) == 1


def test_observe_and_tolerate_cover_foreseen_ends_and_never_doubt() -> None:
    for outcome, arrange in (
        ("failed", lambda rig: rig.host("db1").on("look", 1)),
        ("timeout", lambda rig: rig.host("db1").hang()),
        ("unreachable", lambda rig: setattr(rig.host("db1"), "down", True)),
    ):
        rig = Rig(book("{id: x, on: db1, run: look, effect: read, observe: true}"))
        arrange(rig)
        assert rig.run() is Exit.DONE, outcome
        assert rig.outcome("x") == outcome
    rig = Rig(book("{id: x, on: db1, run: act, effect: idempotent, tolerate: [failed, timeout, unreachable]}"))
    rig.host("db1").on("act", 0)
    rig.host("db1").lose_link("after")
    assert rig.run() is Exit.IN_DOUBT


def test_a_tolerated_failure_of_an_act_is_no_exception() -> None:
    rig = Rig(book("{id: x, on: db1, run: act, effect: idempotent, tolerate: [failed]}"))
    rig.host("db1").on("act", 1)
    assert rig.run() is Exit.DONE
    assert rig.outcome("x") == "failed"


# -- verdicts ---------------------------------------------------------------------------------------------------------

ACT = "{id: act, on: db1, run: do-it, effect: once, undo: {none: a test}, verify: VERIFY}"


@pytest.mark.parametrize(
    ("verify", "first", "second", "outcome"),
    [
        ("[{run: one}, {run: two}]", 0, 0, "ok"),
        ("[{run: one}, {run: two}]", 0, 1, "failed"),
        ("[{run: one}, {run: two}]", 9, 1, "failed"),
        ("[{run: one}, {run: two}]", 9, 0, "in_doubt"),
        ("{run: one, expect: exit == 3}", 3, 0, "ok"),
        ("{run: one, expect: exit == 3}", 9, 0, "failed"),
        ("{run: one, expect: \"'x' in json.a\"}", 0, 0, "in_doubt"),
        ("{run: 'one ${{ steps.before.n }}'}", 0, 0, "in_doubt"),
        ("{run: one, until: {every: 1s, times: 2}}", 1, 0, "in_doubt"),
    ],
)
def test_a_list_of_looks_says_done_not_done_or_cannot_tell(verify: str, first: int, second: int, outcome: str) -> None:
    rig = Rig(book(
        "{id: before, on: db1, run: nothing, effect: read, capture: {n: int(stdout)}}", ACT.replace("VERIFY", verify)
    ))  # fmt: skip
    rig.host("db1").on("do-it", 0).on("one", first).on("two", second).on("nothing", "no number")
    rig.run()
    assert rig.outcome("act") == outcome


def test_a_look_that_nobody_answers_proves_nothing() -> None:
    rig = Rig(book(ACT.replace("VERIFY", "{run: one, on: db2}")))
    rig.host("db1").on("do-it", lambda _: setattr(rig.host("db2"), "down", True) or 0)  # type: ignore[func-returns-value]
    assert rig.run() is Exit.IN_DOUBT


@pytest.mark.parametrize(("seen", "exit_", "acts"), [(0, Exit.DONE, 0), (1, Exit.DONE, 1), (9, Exit.STEP_FAILED, 0)])
def test_unless_spares_what_is_done_and_stops_what_it_cannot_tell(seen: int, exit_: Exit, acts: int) -> None:
    rig = Rig(book("{id: act, on: db1, run: do-it, effect: idempotent, unless: {run: is-there}}"))
    rig.host("db1").on("do-it", 0).on("is-there", seen)
    assert rig.run() is exit_
    assert len(rig.host("db1").effects) == acts
    if seen == 0:
        assert rig.said("step_finished", path="main/act")[-1]["found"] is True


# -- waiting ----------------------------------------------------------------------------------------------------------


def test_a_wait_ends_when_it_was_to_end_though_the_run_died_in_between() -> None:
    rig = Rig(book("{id: soak, do: wait, with: {for: 10m}}"))
    assert rig.run() is Exit.DONE
    assert 600_000_000 <= rig.clock.micros - START < 610_000_000
    rig = Rig(book("{id: soak, do: wait, with: {for: 10m}}"))
    rig.clock.then = lambda _: rig.control.raise_to(1, "stopped")
    assert rig.run() is Exit.INTERRUPTED
    rig.clock.then = lambda _: None
    rig.clock.micros += 3_600_000_000
    began = rig.clock.micros
    assert rig.resume() is Exit.DONE
    assert rig.clock.micros - began < 1_000_000


def test_a_wait_for_neither_length_nor_time_fails() -> None:
    rig = Rig(book(
        "{id: x, on: db1, run: look, effect: read}",
        '{id: soak, do: wait, with: {for: "${{ duration(steps.x.stdout) }}"}}',
    ))  # fmt: skip
    rig.host("db1").on("look", "soon")
    assert rig.run() is Exit.STEP_FAILED


@pytest.mark.parametrize("effect", ["read", "idempotent"])
def test_of_a_long_output_the_record_says_how_much_there_was_and_the_digest_of_all(effect: str) -> None:
    more = "" if effect == "read" else ", undo: {none: a test}"
    rig = Rig(book(f"{{id: much, on: db1, run: prints, effect: {effect}{more}}}"))
    printed = b"0123456789abcdef" * 100_000
    rig.host("db1").on("prints", said(printed))
    assert rig.run() is Exit.DONE
    ran = next(body for _, kind, body, _ in rig.lines if kind == "command_ran")
    assert (ran["cut"], ran["sizes"]) == (True, {"stdout": 1_600_000})
    assert ran["digests"] == {"stdout": hashlib.sha256(printed).hexdigest()}


def test_no_digest_is_told_of_an_output_in_which_a_secret_was_starred_out() -> None:
    rig = Rig(book("{id: much, on: db1, run: prints, effect: read}"))
    rig.secrets.append(Secret("harbour-light", name="one"))
    rig.host("db1").on("prints", said(b"harbour-light" + bytes(1_600_000)))
    assert rig.run() is Exit.DONE
    ran = next(body for _, kind, body, _ in rig.lines if kind == "command_ran")
    assert (ran["sizes"], ran.get("digests", {})) == ({"stdout": 1_600_013}, {})
