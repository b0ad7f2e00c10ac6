"""The questions of the language and their answers, as runs: what is skipped, unknown, crashed, undone, put back."""

from __future__ import annotations

import pytest

from drctl.core.values import Duration
from drctl.errors import Exit
from tests.engine.rig import Crash, Rig
from tests.engine.rounds import WEB, Noting, act, effects, killed_anywhere, works
from tests.engine.test_acts import book

BAD = "{id: bad, on: db1, run: do-bad, effect: idempotent, on_failure: rollback}"
FENCE = (
    "{id: fence, do: fence.host, on: w1, with: {methods: [{run: power-off, on: local}], "
    "proof: [{run: is-off, on: local}]}}"
)


def crashed_at(rig: Rig, type_: str, path: str, *, probe: Rig) -> None:
    """Run one rig to see where a record comes; let the other die right after it."""
    probe.run()
    at = next(i for i, (_, t, body, _) in enumerate(probe.lines) if t == type_ and body.get("path") == path)
    rig.crash_at(at, after=True)
    with pytest.raises(Crash):
        rig.run()


def passing(rig: Rig, scripts: str, *places: str) -> Rig:
    """Let scripts end well on some hosts."""
    for place in places:
        for script in scripts.split():
            rig.host(place).on(script, 0)
    return rig


# -- 1, 2, 3: what was skipped, what nobody knows, what failed among others ------------------------------------------

SKIPPED = '{id: x, on: db1, when: "1 > 2", run: look-there, effect: read, capture: {n: int(stdout)}}'


def test_q01_a_skipped_step_has_fields_and_a_capture_without_value() -> None:
    rig = Rig(
        book(
            SKIPPED,
            "{id: told, do: check, expect: [\"steps.x.outcome == 'skipped'\", steps.x.ok == false, "
            "steps.x.failed == false, not known(steps.x.n), 'default(steps.x.n, 7) == 7']}",
        )
    )
    assert rig.run() is Exit.DONE
    assert rig.outcome("told") == "ok"
    assert rig.host("db1").looks == []


def test_q01_who_needs_the_value_fails_before_its_intent_and_is_told_why() -> None:
    rig = Rig(
        book(SKIPPED, "{id: use, on: db1, run: do-use, with: {env: {N: '${{ steps.x.n }}'}}, effect: idempotent}")
    )
    assert rig.run() is Exit.STEP_FAILED
    assert not rig.said("step_started", path="main/use", role="act")
    assert "x was skipped" in rig.because("use")


@pytest.mark.parametrize(
    "then",
    [
        "{id: then, on: db1, when: steps.look.n > 5, run: do-then, effect: idempotent}",
        "{id: then, when: steps.look.n > 5, steps: [{id: inner, on: db1, run: do-then, effect: idempotent}]}",
        "{id: then, when: steps.look.n > 5, on: db1, foreach: {k: [1]}, run: do-then, effect: idempotent}",
    ],
)
def test_q02_a_condition_without_value_is_neither_run_nor_skipped(then: str) -> None:
    rig = Rig(
        book("{id: look, on: db1, run: look-there, effect: read, observe: true, capture: {n: int(stdout)}}", then)
    )
    host = rig.host("db1").on("look-there", "many").on("do-then", 0)
    assert rig.run() is Exit.PAUSED
    assert rig.resume() is Exit.PAUSED
    assert (rig.question()["kind"], host.effects) == ("when", [])
    rig.answer("run", step="then", reason="I looked")
    assert rig.resume() is Exit.EXCEPTIONS
    assert host.effects == ["do-then"]


def beside(on_failure: str = "") -> Rig:
    rig = Rig(
        book(
            f"{{id: both, {on_failure}parallel: [{{id: a, on: w1, run: look-a, effect: read, "
            "capture: {n: int(stdout)}, expect: int(stdout) > 5}, {" + act("b", ", on: w2") + "}]}"
        ),
        hosts=("db1", *WEB),
    )
    works(rig, "b", "w2")
    passing(rig, "un-b", "w2").host("w1").on("look-a", "3")
    return rig


def test_q03_a_failed_branch_leaves_the_captures_and_one_question() -> None:
    rig = beside()
    assert rig.run() is Exit.STEP_FAILED
    assert rig.said("step_finished", path="main/both/a")[-1]["outcome"] == "failed"
    assert rig.state.step("main/both/a").final is not None
    assert rig.said("step_finished", path="main/both/a")[-1]["captures"]["n"]
    assert [body["path"] for body in rig.said("asked")] == ["main/both"]


def test_q03_the_rule_of_the_block_applies_once() -> None:
    rig = beside("at_once: 2, on_failure: rollback, ")
    code = rig.run()
    assert code in {Exit.ROLLED_BACK, Exit.NOTHING_CHANGED}
    assert rig.host("w2").effects in (["do-b", "un-b"], [])
    assert rig.said("asked") == []


# -- 5, 6, 10: lists, crashes, looks that ended -----------------------------------------------------------------------


def listed(more: str = "") -> Noting:
    """A loop of blocks over what a look saw; the list is another one as soon as somebody looks again."""
    rig = Noting(
        book(
            "{id: list, on: db1, run: list-them, effect: read}",
            f"{{id: each, foreach: {{n: lines(steps.list.stdout)}}, {more}steps: ["
            + ", ".join(
                f"{{id: {name}, on: db1, run: do-copy, with: {{env: {{N: '${{{{ n }}}}{name}'}}}}, effect: once, "
                f"verify: {{run: is-copied, with: {{env: {{N: '${{{{ n }}}}{name}'}}}}}}, undo: {{none: a test}}}}"
                for name in ("one", "two")
            )
            + "]}",
        )
    ).notes("do-copy", "is-copied", "N")
    answers = ["a\nb", "c"]
    rig.host("db1").on("list-them", lambda _: answers.pop(0))
    return rig


BOTH = ["aone", "atwo", "bone", "btwo"]


def test_q05_q10_a_loop_killed_anywhere_goes_on_with_its_list_at_its_step() -> None:
    def good(rig: Noting) -> bool:
        again = rig.host("db1").looks.count("list-them") > 1  # the look had not ended: it may be taken again
        return rig.noted == (["cone", "ctwo"] if again else BOTH)

    killed_anywhere(listed, good)


def test_q05_rounds_side_by_side_killed_anywhere_do_each_thing_once() -> None:
    def good(rig: Noting) -> bool:
        again = rig.host("db1").looks.count("list-them") > 1
        return sorted(rig.noted) == (["cone", "ctwo"] if again else BOTH)

    killed_anywhere(lambda: listed("at_once: 2, "), good)


@pytest.mark.parametrize("second", ["b\na", "b", "a\nb", "c\na\nb"])
def test_q06_a_block_done_again_knows_done_members_of_a_new_list_by_value(second: str) -> None:
    rig = Noting(
        book(
            "{id: again, retry: {every: 1s, times: 3}, steps: [{id: list, on: db1, run: list-them, effect: read}, "
            "{id: copy, on: db1, foreach: {n: lines(steps.list.stdout)}, run: do-copy, "
            "with: {env: {N: '${{ n }}'}}, effect: once, "
            "verify: {run: is-copied, with: {env: {N: '${{ n }}'}}}, undo: {none: a test}}]}",
        )
    ).notes("do-copy", "is-copied", "N", bad="b")
    answers = ["a\nb", second, second]

    def list_them(_: object) -> str:
        if len(answers) < 3:
            rig.notes("do-copy", "is-copied", "N")
        return answers.pop(0)

    rig.host("db1").on("list-them", list_them)
    assert rig.run() is Exit.DONE
    assert rig.noted.count("a") == 1
    assert sorted(rig.noted) == sorted({"a", *second.split("\n")})


def test_q10_an_ended_look_keeps_its_value() -> None:
    rig = Rig(
        book(
            "{id: look, on: db1, run: look-there, effect: read, capture: {n: int(stdout)}}",
            "{id: bad, on: db1, run: do-bad, effect: idempotent}",
            "{id: same, do: check, expect: [steps.look.n == 1, \"steps.look.stdout == '1'\"]}",
        )
    )
    host = rig.host("db1").on("look-there", "1").on("do-bad", 1)
    assert rig.run() is Exit.STEP_FAILED
    host.on("look-there", "2").on("do-bad", 0)
    rig.answer("retry", step="bad")
    assert rig.resume() is Exit.DONE
    assert host.looks.count("look-there") == 1


# -- 7, 8, 9: ways back ------------------------------------------------------------------------------------------------


def half_done() -> Rig:
    rig = Rig(book("{" + act("it", ", on_failure: rollback, on: {group: web, batch: 1}") + "}"), hosts=("db1", *WEB))
    works(rig, "it", *WEB)
    return passing(rig, "un-it", *WEB)


def test_q07_earlier_batches_go_back_and_hosts_never_begun_are_untouched() -> None:
    rig = half_done()
    rig.host("w3").on("do-it", 1)  # failed, and its look says that nothing is there
    assert rig.run() is Exit.ROLLED_BACK
    assert effects(rig) == {"w1": ["do-it", "un-it"], "w2": ["do-it", "un-it"], "w3": ["do-it"]}


def test_q07_a_host_that_failed_half_way_goes_back_too() -> None:
    rig = half_done()
    rig.host("w2").on("do-it", lambda _: rig.host("w2").on("is-it", 0) and 1)  # type: ignore[arg-type,return-value]
    assert rig.run() is Exit.ROLLED_BACK
    assert effects(rig) == {"w1": ["do-it", "un-it"], "w2": ["do-it", "un-it"]}


def paused_cron(*more: str) -> Rig:
    rig = Rig(
        book("{id: stop, on: web, run: do-stop, effect: idempotent, restore: {run: re-start}}", *more),
        hosts=("db1", *WEB),
    )
    passing(rig, "do-stop re-start", *WEB)
    return passing(rig, "power-off is-off", "local")


def restored(rig: Rig) -> list[str]:
    return [place for place in WEB if "re-start" in rig.host(place).effects]


def test_q08_a_fenced_host_is_not_put_back_and_is_owed() -> None:
    rig = paused_cron(FENCE)
    assert rig.run() is Exit.EXCEPTIONS
    assert restored(rig) == ["w2", "w3", "w4"]
    assert any("w1" in line and "fenced" in line for line in rig.said("run_closed")[0]["exceptions"])


def test_q08_an_unreachable_host_is_tried_and_holds_up_nobody() -> None:
    rig = paused_cron("{id: cut, on: local, run: do-cut, effect: idempotent}")

    def cut(_: object) -> int:
        rig.host("w3").down = True
        return 0

    rig.host("local").on("do-cut", cut)
    assert rig.run() is Exit.EXCEPTIONS
    assert restored(rig) == ["w1", "w2", "w4"]
    assert ("run" in {what for what, _ in rig.host("w3").asked[1:]}) or rig.host("w3").looks
    assert any("@w3: not restored (refused" in line for line in rig.said("run_closed")[0]["exceptions"])


def test_q09_nothing_is_put_back_while_a_run_is_dead_and_abort_does_it() -> None:
    rig = paused_cron("{id: last, on: db1, run: do-last, effect: idempotent}")
    probe = paused_cron("{id: last, on: db1, run: do-last, effect: idempotent}")
    for one in (rig, probe):
        passing(one, "do-last", "db1")
    crashed_at(rig, "block_finished", "main/stop", probe=probe)
    assert restored(rig) == []
    assert rig.abort() is Exit.ABORTED
    assert restored(rig) == list(WEB)


# -- 11, 12: time ------------------------------------------------------------------------------------------------------

SLOW = """
runbook: slow
phases:
  - id: work
    steps:
      - {id: first, on: db1, run: do-first, effect: idempotent, undo: {run: un-first}}
      - {id: nap, do: wait, with: {for: 20s}}
      - {id: second, on: db1, run: do-second, effect: idempotent}
"""


@pytest.mark.parametrize(("more", "ends"), [("", ["do-first"]), (", on_failure: rollback", ["do-first", "un-first"])])
def test_q11_an_include_out_of_time_starts_nothing_new_and_its_steps_can_go_back(more: str, ends: list[str]) -> None:
    rig = Rig(book(f"{{id: call, include: slow.yaml, timeout: 10s{more}}}"), files={"slow.yaml": SLOW})
    passing(rig, "do-first do-second un-first", "db1")
    assert rig.run() is (Exit.ROLLED_BACK if more else Exit.STEP_FAILED)
    assert rig.outcome("call") == "timeout"
    assert rig.host("db1").effects == ends


def late(seen: int | None, more: str = "") -> Rig:
    verify = "" if seen is None else ", verify: {run: is-it}"
    effect = "idempotent" if seen is None else "once"
    text = f"{{id: it, on: db1, run: do-it, effect: {effect}, timeout: 5s{verify}, undo: {{none: a test}}{more}}}"
    rig = Rig(book(text))
    rig.host("db1").on("do-it", 0).on("is-it", seen or 0).hang()
    return rig


@pytest.mark.parametrize(
    ("seen", "outcome", "code"),
    [
        (0, "ok", Exit.DONE), (1, "timeout", Exit.STEP_FAILED), (9, "in_doubt", Exit.IN_DOUBT),
        (None, "timeout", Exit.STEP_FAILED),
    ],
)  # fmt: skip
def test_q12_a_timed_out_act_is_what_a_look_says(seen: int | None, outcome: str, code: Exit) -> None:
    rig = late(seen)
    assert rig.run() is code
    assert rig.outcome("it") == outcome


def test_q12_a_doubt_is_never_tolerated() -> None:
    assert late(9, ", tolerate: [timeout]").run() is Exit.IN_DOUBT
    assert late(1, ", tolerate: [timeout]").run() is Exit.DONE


# -- 14 to 16: marks, approvals ---------------------------------------------------------------------------------------


def test_q14_the_first_start_and_the_last_end_count_and_all_are_recorded() -> None:
    rig = Rig(
        book(
            *(
                f"{{id: s{n}, on: db1, run: look-{n}, effect: read, marks: [detected, outage_start, outage_end]}}"
                for n in (1, 2)
            )
        )
    )
    passing(rig, "look-1 look-2", "db1")
    rig.run()
    values = {name: [b for b in rig.said("mark_set") if b["name"] == name] for name in ("detected", "outage_end")}
    assert {name: len(found) for name, found in values.items()} == {"detected": 2, "outage_end": 2}
    for name, newest in (("detected", 0), ("outage_start", 0), ("outage_end", 1)):
        assert rig.state.mark(name) is rig.state.marks[name][newest]


APPROVED = book(
    "{id: lag, on: db2, run: show-lag, effect: read, capture: {s: int(stdout)}, expect: int(stdout) <= 60}",
    "{id: act, on: db1, run: do-it, effect: once, approve: {by: [commander], within: 10m, show: [steps.lag.s]}, "
    "recheck: [lag], verify: {run: is-it}, undo: {none: a test}}",
)


def approving(**rest: object) -> Rig:
    rig = Rig(APPROVED, **rest)  # type: ignore[arg-type]
    works(rig, "it", "db1")
    rig.host("db2").on("show-lag", "5")
    assert rig.run() is Exit.PAUSED
    return rig


@pytest.mark.parametrize(("now", "code", "done"), [("59", Exit.DONE, ["do-it"]), ("61", Exit.STEP_FAILED, [])])
def test_q15_a_figure_that_grew_is_looked_at_again_right_before(now: str, code: Exit, done: list[str]) -> None:
    rig = approving()
    rig.answer("approve", step="act", by="wang")
    rig.host("db2").on("show-lag", now)
    assert rig.resume() is code
    assert rig.host("db1").effects == done


def test_q16_an_answer_too_late_is_refused_and_the_request_is_made_again() -> None:
    rig = approving()
    rig.clock.sleep(Duration(601_000_000))
    rig.answer("approve", step="act", by="wang")
    assert rig.resume() is Exit.PAUSED
    assert len(rig.said("answered", accepted=False)) == 1
    assert rig.host("db1").effects == []
    rig.answer("approve", step="act", by="wang")
    assert rig.resume() is Exit.DONE
