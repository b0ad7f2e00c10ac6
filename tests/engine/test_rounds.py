"""Loops, tables, rolling blocks, includes, ladders: what runs, how often, how the whole ends, and after a crash."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import pytest

from drctl.core.values import Duration
from drctl.errors import Exit
from tests.engine.rig import Crash, Rig
from tests.engine.test_acts import book
from tests.fakes.hosts import said

if TYPE_CHECKING:
    from collections.abc import Callable

    from drctl.core.ports import Command
    from tests.fakes.hosts import FakeHost

R = TypeVar("R", bound=Rig)
WEB = ("w1", "w2", "w3", "w4")


class Noting(Rig):
    """A rig whose acts note a value they were given; `noted` is what really happened, in order."""

    def notes(self, act: str, look: str, name: str, *, bad: str = "") -> Noting:
        """Let an act on db1 note its variable, a look see whether it has; the act fails for the value `bad`."""
        noted: list[str] = self.__dict__.setdefault("noted", [])

        def behave(command: Command) -> int:
            value = given(command, name)
            if value == bad:
                return 1
            noted.append(value)
            return 0

        self.host("db1").on(act, behave).on(look, lambda command: 0 if given(command, name) in noted else 1)
        return self

    @property
    def noted(self) -> list[str]:
        found: list[str] = self.__dict__["noted"]
        return found


def given(command: Command, name: str) -> str:
    value = command.env[name]
    assert isinstance(value, str)
    return value


def works(rig: Rig, script: str, *places: str) -> None:
    """An act whose effect the look `is-SCRIPT` sees, on some hosts."""
    for place in places:
        host = rig.host(place).on(f"is-{script}", 1)

        def act(_: Command, host: FakeHost = host) -> int:
            host.on(f"is-{script}", 0)
            return 0

        host.on(f"do-{script}", act)


def effects(rig: Rig, *places: str) -> dict[str, list[str]]:
    return {place: list(rig.host(place).effects) for place in places or WEB if rig.host(place).effects}


def act(name: str, more: str = "", verify: str = "") -> str:
    seen = verify or f"is-{name}"
    return f"id: {name}, run: do-{name}, effect: once, verify: {{run: {seen}}}, undo: {{run: un-{name}}}{more}"


def killed_anywhere(make: Callable[[], R], good: Callable[[R], bool], least: int = 20) -> None:
    """Kill the writer at every record, before and after it is written; the resumed run ends the same."""
    for after in (False, True):
        seq = 0
        while True:
            seq += 1
            rig = make()
            rig.crash_at(seq, after=after)
            try:
                rig.run()
            except Crash:
                pass
            else:
                break
            if rig.lines[-1][1] != "run_closed":
                assert rig.resume() is Exit.DONE, (seq, after)
            assert good(rig), (seq, after)
        assert seq > least


# -- foreach ----------------------------------------------------------------------------------------------------------


def looped(more: str = "") -> Noting:
    rig = Noting(
        book(
            "{id: names, do: set, with: {all: ['a', 'b', 'c']}}",
            "{id: copy, on: db1, foreach: {n: [a, b, c]}, MORErun: 'do-copy \"$N\"', with: {env: {N: '${{ n }}'}}, "
            "effect: once, verify: {run: is-copied, with: {env: {N: '${{ n }}'}}}, undo: {none: a test}}".replace(
                "MORE", more
            ),
            '{id: last, do: check, expect: "len(steps.copy.each) == 3 and all(c in steps.copy.each, c.ok)"}',
        ).replace("      - {id: names, do: set, with: {all: ['a', 'b', 'c']}}\n", "")
    )
    return rig.notes("do-copy", "is-copied", "N")


def test_a_loop_runs_once_for_each_member_in_order() -> None:
    rig = looped()
    assert rig.run() is Exit.DONE
    assert rig.noted == ["a", "b", "c"]
    started = rig.said("block_started", form="loop")[0]
    assert [item["n"] for item in started["frozen"]["items"]] == ["a", "b", "c"]


def test_a_loop_killed_anywhere_goes_on_at_the_round_it_was_in() -> None:
    killed_anywhere(looped, lambda rig: rig.noted == ["a", "b", "c"])


def test_a_failed_round_is_asked_about_and_the_loop_goes_on() -> None:
    rig = looped()
    rig.notes("do-copy", "is-copied", "N", bad="b")
    assert rig.run() is Exit.STEP_FAILED
    assert rig.question()["path"] == "main/copy/1"
    rig.notes("do-copy", "is-copied", "N")
    rig.answer("retry", step="main/copy/1", reason="mended")
    assert rig.resume() is Exit.DONE
    assert rig.noted == ["a", "b", "c"]


def test_failures_that_are_allowed_make_it_partial() -> None:
    rig = looped("max_failures: 1, ")
    rig.notes("do-copy", "is-copied", "N", bad="b")
    assert rig.run() is Exit.STEP_FAILED  # the check at the end wants all
    assert rig.outcome("copy") == "partial"
    assert rig.noted == ["a", "c"]


def test_a_matrix_has_every_combination_the_last_name_fastest() -> None:
    rig = Noting(
        book(
            "{id: m, on: db1, foreach: {a: [1, 2], b: [x, y]}, run: do-m, with: {env: {P: '${{ a }}${{ b }}'}}, "
            "effect: idempotent}"
        )
    )
    rig.notes("do-m", "is-m", "P")
    assert rig.run() is Exit.DONE
    assert rig.noted == ["1x", "1y", "2x", "2y"]


def test_an_empty_list_skips_the_loop() -> None:
    rig = Rig(
        book(
            "{id: look, on: db1, run: list, effect: read}",
            "{id: m, on: db1, foreach: {a: 'lines(steps.look.stdout)'}, run: do-m, effect: idempotent}",
        )
    )
    rig.host("db1").on("list", said(""))
    assert rig.run() is Exit.DONE
    assert rig.outcome("m") == "skipped"


# -- first_ok ---------------------------------------------------------------------------------------------------------


def test_the_newest_that_passes_its_test_wins_and_the_others_are_named() -> None:
    rig = Noting(
        book(
            "{id: pick, foreach: {b: [new, mid, old]}, first_ok: true, steps: ["
            "{id: fetch, on: db1, run: do-fetch, with: {env: {B: '${{ b }}'}}, effect: idempotent}, "
            "{id: sound, on: db1, run: is-sound, with: {env: {B: '${{ b }}'}}, effect: read}]}",
            "{id: use, on: db1, run: do-use, with: {env: {B: '${{ steps.pick.b }}'}}, effect: idempotent}",
        )
    )
    host = rig.host("db1").on("do-fetch", 0).on("is-sound", lambda command: 0 if command.env["B"] == "mid" else 1)
    rig.notes("do-use", "is-used", "B")
    assert rig.run() is Exit.DONE
    assert rig.noted == ["mid"]
    assert host.effects.count("do-fetch") == 2
    assert "pick/0" in rig.said("block_finished", path="main/pick")[0]["because"]


# -- tables -----------------------------------------------------------------------------------------------------------


def table(on: str = "web", more: str = "") -> Rig:
    rig = Rig(book("{" + act("it", f", on: {on}{more}") + "}"), hosts=("db1", *WEB))
    works(rig, "it", *WEB)
    for place in WEB:
        rig.host(place).on("un-it", 0)
    return rig


def test_a_group_is_a_table_each_host_once() -> None:
    rig = table()
    assert rig.run() is Exit.DONE
    assert effects(rig) == {place: ["do-it"] for place in WEB}
    assert rig.said("block_started", form="table")[0]["frozen"]["batches"] == [list(WEB)]


def test_a_table_killed_anywhere_touches_only_hosts_that_are_not_done() -> None:
    killed_anywhere(table, lambda rig: effects(rig) == {place: ["do-it"] for place in WEB})


def test_one_question_for_a_table_and_retry_touches_only_the_bad_host() -> None:
    rig = table()
    rig.host("w3").on("do-it", 1)
    assert rig.run() is Exit.STEP_FAILED
    assert rig.question()["path"] == "main/it"
    assert "@w3" in rig.question()["text"]
    works(rig, "it", "w3")
    rig.answer("retry", step="it", reason="mended")
    assert rig.resume() is Exit.DONE
    assert {place: len(found) for place, found in effects(rig).items()} == {"w1": 1, "w2": 1, "w3": 2, "w4": 1}


def test_hosts_that_may_fail_make_it_partial_and_batches_stop_beyond_the_limit() -> None:
    rig = table("{group: web, batch: 1, max_failures: 1}")
    rig.host("w1").on("do-it", 1)
    assert rig.run() is Exit.EXCEPTIONS
    assert rig.outcome("it") == "partial"
    rig = table("{group: web, batch: 1, max_failures: 1}")
    for place in ("w1", "w2"):
        rig.host(place).on("do-it", 1)
    assert rig.run() is Exit.STEP_FAILED
    assert sorted(effects(rig)) == ["w1", "w2"]


def test_a_failed_canary_stops_everything() -> None:
    rig = table("{group: web, canaries: 1, max_failures: 3}")
    rig.host("w1").on("do-it", 1)
    assert rig.run() is Exit.STEP_FAILED
    assert list(effects(rig)) == ["w1"]


def test_all_or_none_takes_back_what_was_done() -> None:
    rig = table("{group: web, all_or_none: true}")
    rig.host("w4").on("do-it", 1)
    assert rig.run() is Exit.STEP_FAILED
    assert {place: found for place, found in effects(rig).items() if place != "w4"} == {
        place: ["do-it", "un-it"] for place in WEB[:3]
    }


def test_all_or_none_takes_back_by_undo_or_else_by_restore_not_by_both() -> None:
    for undo, back in (("{run: un-it}", "un-it"), ("{none: restore does}", "put-back")):
        rig = Rig(
            book(
                f"{{id: it, on: {{group: web, all_or_none: true}}, run: do-it, effect: idempotent, undo: {undo}, "
                "restore: {run: put-back}}"
            ),
            hosts=("db1", *WEB),
        )
        for place in WEB:
            rig.host(place).on("do-it", 1 if place == "w2" else 0).on("un-it", 0).on("put-back", 0)
        assert rig.run() is Exit.STEP_FAILED
        assert effects(rig, "w1") == {"w1": ["do-it", back]}


def test_what_was_undone_once_and_then_done_again_is_still_put_back_at_the_end() -> None:
    rig = Rig(
        book(
            "{id: b, retry: {every: 1s, times: 3}, steps: [{id: it, on: {group: web, all_or_none: true}, run: do-it, "
            "effect: idempotent, undo: {run: un-it}, restore: auto}]}"
        ),
        hosts=("db1", *WEB),
    )
    tries = iter((1, 0))
    for place in WEB:
        rig.host(place).on("do-it", 0).on("un-it", 0)
    rig.host("w2").on("do-it", lambda _: next(tries))
    assert rig.run() is Exit.DONE
    assert effects(rig)["w1"] == ["do-it", "un-it", "do-it", "un-it"]
    assert all(found[-1] == "un-it" for found in effects(rig).values())


def test_where_uses_what_a_table_saw_and_an_unknown_host_set_is_never_guessed() -> None:
    text = book(
        "{id: look, on: web, run: has-cron, effect: read, observe: true}",
        "{" + act("it", ", on: {group: web, where: steps.look.here.ok}") + "}",
    )
    rig = Rig(text, hosts=("db1", *WEB))
    works(rig, "it", *WEB)
    for place in WEB:
        rig.host(place).on("has-cron", 0 if place in {"w2", "w4"} else 1)
    assert rig.run() is Exit.DONE
    assert sorted(effects(rig)) == ["w2", "w4"]


def test_an_empty_selection_fails_unless_it_is_tolerated() -> None:
    for more, wanted in (("", Exit.STEP_FAILED), (", tolerate: [empty]", Exit.DONE)):
        rig = table("{group: web, where: \"host.name == 'nobody'\"}", more)
        assert rig.run() is wanted
        assert rig.outcome("it") == "empty"


def test_people_agree_once_to_a_table_with_its_hosts_named() -> None:
    rig = table("web", ", approve: {by: [commander], within: 10m}")
    assert rig.run() is Exit.PAUSED
    asked = rig.question()
    assert all(place in asked["text"] for place in WEB)
    rig.answer("approve", step="it", by="wang")
    assert rig.resume() is Exit.DONE
    assert len(rig.said("asked")) == 1
    assert effects(rig) == {place: ["do-it"] for place in WEB}


# -- rolling blocks ---------------------------------------------------------------------------------------------------


def rolling(on: str = "{group: web, batch: 2}") -> Rig:
    rig = Rig(
        book("{id: roll, on: " + on + ", steps: [{" + act("one") + "}, {" + act("two") + "}]}"), hosts=("db1", *WEB)
    )
    for name in ("one", "two"):
        works(rig, name, *WEB)
    return rig


def order(rig: Rig) -> list[tuple[str, str]]:
    return [(body["path"], body["host"]) for body in rig.said("step_started", role="act")]


def test_a_block_rolls_whole_batch_by_batch() -> None:
    rig = rolling()
    assert rig.run() is Exit.DONE
    paths = [path.rpartition("/")[0] for path, _ in order(rig)]
    wanted = [f"main/roll/{batch}/{name}" for batch in (0, 1) for name in ("one", "two") for _ in range(2)]
    assert paths == wanted
    assert effects(rig) == {place: ["do-one", "do-two"] for place in WEB}


def test_a_rolling_block_killed_anywhere_does_everything_once() -> None:
    killed_anywhere(rolling, lambda rig: effects(rig) == {place: ["do-one", "do-two"] for place in WEB})


def test_a_host_that_fails_leaves_the_block() -> None:
    rig = rolling("{group: web, batch: 2, max_failures: 1}")
    rig.host("w1").on("do-one", 1)
    assert rig.run() is Exit.EXCEPTIONS
    assert effects(rig) == {"w1": ["do-one"], **{place: ["do-one", "do-two"] for place in WEB[1:]}}


def test_a_second_failed_host_is_beyond_the_limit_of_the_whole_block() -> None:
    rig = rolling("{group: web, batch: 1, max_failures: 1}")
    rig.host("w1").on("do-one", 1)
    rig.host("w2").on("do-two", 1)
    assert rig.run() is Exit.STEP_FAILED
    assert "w3" not in effects(rig)


# -- blocks as a whole -----------------------------------------------------------------------------------------------


def test_a_block_is_done_again_looks_and_idempotent_acts_anew_once_acts_not() -> None:
    rig = Rig(
        book(
            "{id: again, retry: {every: 1s, times: 3}, steps: [{" + act("one", ", on: db1") + "}, "
            "{id: set, on: db1, run: do-set, effect: idempotent}, {id: seen, on: db1, run: is-good, effect: read}]}"
        )
    )
    works(rig, "one", "db1")
    left = [2]

    def good(_: object) -> int:
        left[0] -= 1
        return 0 if left[0] < 0 else 1

    host = rig.host("db1").on("do-set", 0).on("is-good", good)
    assert rig.run() is Exit.DONE
    assert host.effects == ["do-one", "do-set", "do-set", "do-set"]


def test_a_block_that_gives_up_is_asked_about_once() -> None:
    rig = Rig(
        book(
            "{id: again, retry: {every: 1s, within: 5s}, steps: [{id: set, on: db1, run: do-set, effect: idempotent}]}"
        )
    )
    rig.host("db1").on("do-set", 1)
    assert rig.run() is Exit.STEP_FAILED
    assert rig.outcome("again") == "timeout"
    assert rig.question()["path"] == "main/again"
    assert rig.host("db1").effects.count("do-set") == 5


def test_a_ladder_is_climbed_once_between_attempts() -> None:
    rig = Rig(
        book(
            "{id: wait, on: db1, run: is-quiet, effect: read, until: {every: 1s, within: 20s, "
            "escalate: [{after: 5s, steps: [{id: force, on: db1, run: do-force, effect: idempotent}]}]}}"
        )
    )
    host = rig.host("db1").on("is-quiet", 1)

    def force(_: object) -> int:
        host.on("is-quiet", 0)
        return 0

    host.on("do-force", force)
    assert rig.run() is Exit.DONE
    assert host.effects == ["do-force"]
    assert rig.said("step_started", path="main/wait/escalate/0/force")


def test_no_step_of_a_block_begins_after_its_time() -> None:
    rig = Rig(
        book(
            "{id: slow, timeout: 10s, steps: [{id: nap, do: wait, with: {for: 20s}}, "
            "{id: set, on: db1, run: do-set, effect: idempotent}]}"
        )
    )
    rig.host("db1").on("do-set", 0)
    assert rig.run() is Exit.STEP_FAILED
    assert rig.outcome("slow") == "timeout"
    assert rig.host("db1").effects == []


def test_the_undo_of_a_block_stands_for_those_inside() -> None:
    rig = Rig(
        book(
            "{id: whole, undo: {id: back, on: db1, run: un-whole}, steps: [{" + act("one", ", on: db1") + "}]}",
            "{id: bad, on: db1, run: do-bad, effect: idempotent, on_failure: rollback}",
        )
    )
    works(rig, "one", "db1")
    host = rig.host("db1").on("un-whole", 0).on("un-one", 0).on("do-bad", 1)
    assert rig.run() is Exit.ROLLED_BACK
    assert host.effects == ["do-one", "do-bad", "un-whole"]


# -- includes ---------------------------------------------------------------------------------------------------------

INNER = """
runbook: inner
inputs: {name: {type: text}, times: {type: int, default: 2}}
vars: {greeting: "hello ${{ inputs.name }}"}
outputs: {said: steps.say.stdout}
phases:
  - id: work
    when: inputs.times > 1
    steps:
      - {id: say, on: db1, run: say-it, with: {env: {G: "${{ vars.greeting }}"}}, effect: read}
      - id: keep
        on: db1
        run: do-keep
        with: {env: {S: "${{ steps.say.stdout }}"}}
        effect: once
        verify: {run: is-kept, with: {env: {S: "${{ steps.say.stdout }}"}}}
        undo: {none: a test}
"""


def including() -> Noting:
    rig = Noting(
        book(
            "{id: call, foreach: {who: [li, wang]}, include: inner.yaml, with: {name: '${{ who }}'}}",
            "{id: told, do: check, expect: \"steps.call.each[1].said == 'hello wang!'\"}",
        ),
        files={"inner.yaml": INNER},
    )
    rig.host("db1").on("say-it", lambda command: said(given(command, "G") + "!"))
    return rig.notes("do-keep", "is-kept", "S")


def test_an_included_runbook_sees_its_inputs_and_gives_its_outputs() -> None:
    rig = including()
    assert rig.run() is Exit.DONE
    assert rig.noted == ["hello li!", "hello wang!"]
    assert rig.said("step_started", path="main/call/1/work/keep")


def test_an_include_killed_anywhere_does_everything_once() -> None:
    killed_anywhere(including, lambda rig: rig.noted == ["hello li!", "hello wang!"])


@pytest.mark.parametrize("wait", [None, Duration(1_000_000)])
def test_a_rejected_phase_guard_keeps_the_phase_from_beginning(wait: Duration | None) -> None:
    text = book("{" + act("one", ", on: db1") + "}").replace(
        "  - id: main\n", "  - id: main\n    approve: {by: [commander]}\n"
    )
    rig = Rig(text)
    works(rig, "one", "db1")
    assert rig.run(wait=wait) is Exit.PAUSED
    rig.answer("reject", step="main", by="wang", reason="not now")
    assert rig.resume() is Exit.STEP_FAILED
    assert rig.host("db1").effects == []


# -- ways back of rounds ----------------------------------------------------------------------------------------------


def test_a_rollback_takes_a_table_back_on_every_host_that_started_and_says_what_remains() -> None:
    rig = Rig(
        book(
            "{" + act("it", ", on: web") + "}",
            "{id: bad, on: db1, run: do-bad, effect: idempotent, on_failure: rollback}",
        ),
        hosts=("db1", *WEB),
    )
    works(rig, "it", *WEB)
    rig.host("db1").on("do-bad", 1)
    for place in WEB:
        rig.host(place).on("un-it", 0)
    rig.host("w2").on("un-it", 1)
    assert rig.run() is Exit.ROLLBACK_FAILED
    assert rig.question()["path"] == "main/it/@w2/undo"
    rig.answer("skip", step="main/it/@w2/undo", reason="rebuilt later")
    rig.resume()
    assert all(rig.host(place).effects == ["do-it", "un-it"] for place in WEB)
    assert "main/it/@w2" in rig.said("run_closed")[0]["exceptions"][0]


def suspended() -> Rig:
    rig = Rig(
        book(
            "{id: cron, on: web, run: list-cron, effect: read, tolerate: [failed]}",
            "{id: pause, on: {group: web, where: steps.cron.here.ok}, run: no-cron, effect: once, "
            "verify: {run: is-quiet}, undo: {none: restore puts it back}, "
            "restore: {run: put-cron, with: {stdin: '${{ steps.cron.here.stdout }}'}}}",
            "{id: work, on: db1, run: do-work, effect: idempotent}",
        ),
        hosts=("db1", *WEB),
    )
    for place in WEB:
        host = rig.host(place).on("list-cron", 1 if place == "w3" else said(f"cron of {place}"))
        host.on("is-quiet", 1)

        def quiet(_: Command, host: FakeHost = host) -> int:
            host.on("is-quiet", 0)
            return 0

        host.on("no-cron", quiet).on("put-cron", 0)
    rig.host("db1").on("do-work", 0)
    return rig


def put_back(rig: Rig) -> dict[str, list[str]]:
    return {place: [text for text in rig.host(place).effects if "put" in text] for place in WEB}


def test_a_restore_puts_back_what_each_host_had() -> None:
    rig = suspended()
    seen: dict[str, object] = {}
    for place in WEB:

        def put(command: Command, place: str = place) -> int:
            seen[place] = command.stdin
            return 0

        rig.host(place).on("put-cron", put)
    assert rig.run() is Exit.DONE
    assert seen == {place: f"cron of {place}".encode() for place in WEB if place != "w3"}


def test_a_restore_of_a_table_is_carried_out_once_wherever_the_writer_is_killed() -> None:
    killed_anywhere(
        suspended,
        lambda rig: put_back(rig) == {place: [] if place == "w3" else ["put-cron"] for place in WEB},
    )


def test_a_fence_can_be_lifted_and_only_then_the_host_is_touched_again() -> None:
    for lift in (False, True):
        lifting = (
            "{id: up, do: fence.lift, on: db1, with: {methods: [{run: power-on, on: local}], "
            "proof: [{run: is-up, on: local}]}}"
        )
        rig = Rig(
            book(
                "{id: fence, do: fence.host, on: db1, with: {methods: [{run: power-off, on: local}], "
                "proof: [{run: is-off, on: local}]}}",
                *([lifting] if lift else []),
                "{id: touch, on: db1, run: do-touch, effect: idempotent}",
            )
        )
        rig.host("local").on("power-off", 0).on("is-off", 0).on("power-on", 0).on("is-up", 0)
        rig.host("db1").on("do-touch", 0)
        assert rig.run() is (Exit.DONE if lift else Exit.STEP_FAILED)
        assert rig.host("db1").effects == (["do-touch"] if lift else [])


def test_a_person_who_retries_a_tolerant_loop_repeats_nothing_that_was_done() -> None:
    rig = Noting(
        book(
            "{id: list, on: db1, run: list-them, effect: read}",
            "{id: copy, on: db1, foreach: {n: lines(steps.list.stdout)}, at_once: 1, max_failures: 1, "
            "run: do-copy, with: {env: {N: '${{ n }}'}}, effect: once, "
            "verify: {run: is-copied, with: {env: {N: '${{ n }}'}}}, undo: {none: a test}}",
        )
    ).notes("do-copy", "is-copied", "N")
    host = rig.host("db1").on("list-them", said("a\nb\nc\nd"))

    def only_a(command: Command) -> int:
        return rig.noted.append("a") or 0 if given(command, "N") == "a" else 1  # type: ignore[func-returns-value]

    host.on("do-copy", only_a)
    assert rig.run() is Exit.STEP_FAILED  # b and c failed, d never began
    rig.notes("do-copy", "is-copied", "N")
    rig.answer("retry", step="copy", reason="mended")
    assert rig.resume() is Exit.DONE
    assert sorted(rig.noted) == ["a", "b", "c", "d"]


def test_a_rolling_block_done_again_keeps_its_batches_and_what_was_done_once() -> None:
    rig = Rig(
        book(
            "{id: again, retry: {every: 1s, times: 3}, steps: ["
            "{id: look, on: web, run: is-wanted, effect: read, observe: true}, "
            "{id: roll, on: {group: web, where: steps.look.here.ok, batch: 1}, steps: [{" + act("one") + "}]}, "
            "{id: seen, on: db1, run: is-good, effect: read}]}"
        ),
        hosts=("db1", *WEB),
    )
    works(rig, "one", *WEB)
    for place in WEB:
        rig.host(place).on("is-wanted", 0)
    tries = [0]

    def good(_: Command) -> int:
        tries[0] += 1
        rig.host("w1").on("is-wanted", 1)  # after the first attempt the first host is no longer wanted
        return 0 if tries[0] > 1 else 1

    rig.host("db1").on("is-good", good)
    assert rig.run() is Exit.DONE
    assert effects(rig) == {place: ["do-one"] for place in WEB}
