"""What a run writes: values that survive, secrets that do not, marks, clocks, words once, and a full disk."""

from __future__ import annotations

import json

import pytest

from drctl.core.fold import RunState, attained
from drctl.core.values import Duration
from drctl.errors import Exit, JournalError
from tests.engine.rig import Crash, Rig
from tests.engine.test_acts import acting, book
from tests.engine.test_parallel import branches


def records(rig: Rig) -> str:
    """Everything on the disk: the records and the kept outputs."""
    return json.dumps([body for _, _, body, _ in rig.lines]) + repr(rig.store._data)


# -- values -----------------------------------------------------------------------------------------------------------


def test_captures_survive_a_crash_and_are_the_same_ever_after() -> None:
    rig = Rig(book(
        "{id: look, on: db1, run: look-there, effect: read, capture: {big: lower(stdout), n: len(stdout)}}",
        "{id: stop, do: manual, with: {say: Wait}}",
        "{id: same, do: check, expect: [len(steps.look.big) == 99999, steps.look.n == 99999, steps.look.stdout != '']}",
    ))  # fmt: skip
    rig.host("db1").on("look-there", "a" * 99_999)
    assert rig.run() is Exit.PAUSED
    rig.host("db1").on("look-there", "another")
    rig.answer("done", step="stop")
    assert rig.resume() is Exit.DONE
    packed = rig.said("step_finished", path="main/look")[0]
    assert set(packed["captures"]["big"]) == {"$ref"}


def test_a_kept_output_that_is_gone_is_no_value_and_says_so() -> None:
    rig = Rig(book(
        "{id: look, on: db1, run: look-there, effect: read}", "{id: stop, do: manual, with: {say: Wait}}",
        "{id: use, on: db1, run: 'use ${{ steps.look.stdout }}', effect: idempotent}",
    ))  # fmt: skip
    rig.host("db1").on("look-there", "a" * 50_000).on("use", 0)
    assert rig.run() is Exit.PAUSED
    rig.store._data.clear()
    rig.answer("done", step="stop")
    assert rig.resume() is Exit.STEP_FAILED
    assert "missing or damaged" in rig.because("use")
    assert rig.host("db1").effects == []


def test_a_value_no_host_can_forge() -> None:
    rig = Rig(book(
        "{id: look, on: db1, run: look-there, effect: read, capture: {j: json(stdout)}}",
        "{id: same, do: check, expect: \"keys(steps.look.j) == ['$ref']\"}",
    ))  # fmt: skip
    rig.host("db1").on("look-there", '{"$ref": "0000"}')
    assert rig.run() is Exit.DONE


def test_a_long_script_and_long_reasons_fit_into_a_record() -> None:
    script = "true # " + "x" * 100_000
    rig = Rig(book(f"{{id: act, on: db1, run: '{script}', effect: idempotent}}"))
    rig.host("db1").on("true", 0)
    assert rig.run() is Exit.DONE
    assert "SHA-256" in rig.said("step_started", path="main/act")[0]["text"]


# -- secrets ----------------------------------------------------------------------------------------------------------

SENSITIVE = (
    (
        "{id: get, on: db1, run: get-token, effect: read, sensitive: true, capture: {token: trim(stdout)}, "
        "expect: int(stdout) == 1, observe: true}"
    ),
    '{id: act, on: db2, run: use-token, effect: idempotent, with: {env: {TOKEN: "${{ steps.get.token }}"}}}',
)


def test_a_sensitive_step_leaves_nothing_and_its_values_can_be_used_in_this_process() -> None:
    rig = Rig(book(*SENSITIVE))
    rig.host("db1").on("get-token", "hunter2-hunter2\n")
    seen: list[str] = []
    rig.host("db2").on(
        "use-token",
        lambda command: seen.append(command.env["TOKEN"].reveal()) or "it is hunter2-hunter2",  # type: ignore[func-returns-value,union-attr]
    )
    assert rig.run() is Exit.DONE
    assert seen == ["hunter2-hunter2"]
    assert "hunter2" not in records(rig)


def test_after_a_crash_a_sensitive_value_is_gone_and_says_so() -> None:
    rig = Rig(book(SENSITIVE[0], "{id: stop, do: manual, with: {say: Wait}}", SENSITIVE[1]))
    rig.host("db1").on("get-token", "hunter2-hunter2\n")
    assert rig.run() is Exit.PAUSED
    rig.answer("done", step="stop")
    assert rig.resume() is Exit.STEP_FAILED
    assert "sensitive" in rig.because("act")


def test_a_sensitive_act_goes_out_as_one_and_keeps_no_output() -> None:
    rig = Rig(book("{id: act, on: db1, run: make-key, effect: idempotent, sensitive: true}"))
    seen: list[bool] = []
    rig.host("db1").on("make-key", lambda command: seen.append(command.sensitive) or "the key is hunter2-hunter2")  # type: ignore[func-returns-value]
    assert rig.run() is Exit.DONE
    assert seen == [True]
    assert "hunter2" not in records(rig)


def test_a_value_with_a_secret_in_it_is_lost_not_kept_with_stars() -> None:
    rig = Rig(book(
        "{id: look, on: db1, run: show-conf, effect: read}",
        "{id: use, on: db1, run: 'use ${{ steps.look.stdout }}', effect: idempotent}",
    ))  # fmt: skip
    rig.mask = lambda text: text.replace("hunter2", "***")  # type: ignore[method-assign]
    rig.host("db1").on("show-conf", "password=hunter2")
    assert rig.run() is Exit.STEP_FAILED
    assert "a secret stands in it" in rig.because("use")
    assert "hunter2" not in records(rig)


# -- marks and objectives ---------------------------------------------------------------------------------------------

MARKS = (
    "{id: one, do: check, expect: true, marks: [fault, promoted]}",
    "{id: soak, do: wait, with: {for: 10m}}",
    "{id: two, do: check, expect: true, marks: [fault, promoted, service_restored]}",
)


def test_of_starts_the_first_value_stays_and_of_ends_the_last() -> None:
    rig = Rig(book(*MARKS))
    rig.run()
    for name, step in (("fault", "one"), ("promoted", "two")):
        mark = rig.state.mark(name)
        assert mark is not None
        assert mark.path == f"main/{step}"
    assert len(rig.said("mark_set", name="promoted")) == 2


def test_a_mark_without_a_value_is_unset_and_does_not_stand_in_the_way() -> None:
    rig = Rig(book(
        "{id: look, on: db1, run: look-there, effect: read, marks: {fault: time(stdout)}}",
        "{id: soak, do: wait, with: {for: 1m}}", "{id: two, do: check, expect: true, marks: fault}",
    ))  # fmt: skip
    rig.host("db1").on("look-there", "who knows")
    assert rig.run() is Exit.DONE
    mark = rig.state.mark("fault")
    assert mark is not None
    assert mark.path == "main/two"


@pytest.mark.parametrize(
    ("objectives", "exit_", "word"),
    [
        ("{rto: 15m}", Exit.DONE, ""),
        ("{rto: 5m}", Exit.EXCEPTIONS, "objective missed: RTO 5m"),
        ("{rpo: 1m}", Exit.EXCEPTIONS, "objective not measured: RPO"),
    ],
)
def test_objectives_missed_or_not_measured_are_exit_11(objectives: str, exit_: Exit, word: str) -> None:
    rig = Rig(book(*MARKS).replace("runbook: acts", f"runbook: acts\nobjectives: {objectives}"))
    assert rig.run() is exit_
    assert rig.state.closed is not None
    assert all(text.startswith(word) for text in rig.state.closed.exceptions)
    rta = attained(rig.state).rta_from_fault
    assert rta is not None
    assert rta.human() == "10m" or rta.micros > 600_000_000


def test_a_mark_is_set_once_for_one_end_however_often_the_run_is_taken_up() -> None:
    whole = Rig(book(*MARKS))
    whole.run()
    for seq in range(1, len(whole.lines)):
        rig = Rig(book(*MARKS))
        rig.crash_at(seq, after=True)
        with pytest.raises(Crash):
            rig.run()
        if rig.lines[-1][1] != "run_closed":
            rig.resume()
        assert len(rig.said("mark_set", name="fault")) == 2, seq


# -- a disk that refuses ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("made", [acting, branches], ids=["one after the other", "side by side"])
def test_after_a_record_that_cannot_be_written_nothing_more_happens(made: object) -> None:
    seq = 0
    while True:
        seq += 1
        rig: Rig = made()  # type: ignore[operator]
        rig.journal.full_at = seq
        try:
            rig.run()
        except JournalError as error:
            assert error.exit is Exit.JOURNAL  # noqa: PT017
        else:
            break
        intents = {body["path"] for body in rig.said("step_started") if body.get("effect", "read") != "read"}
        done = sum(len(host.effects) for host in rig.world.hosts.values())
        assert done <= len(intents), f"an effect without its intent, full at {seq}"
        assert rig.resume() is Exit.DONE
        assert all(host.effects.count(script) == 1 for host in rig.world.hosts.values() for script in host.effects)
    assert seq > 5


# -- words ------------------------------------------------------------------------------------------------------------


def test_every_word_is_taken_exactly_once_over_any_crash() -> None:
    def made() -> Rig:
        rig = Rig(book("{id: ask, do: manual, with: {say: Look, ask: {n: {type: int}}}}"))
        rig.run()
        rig.inbox.put("note", by="li", text="I am on my way")
        rig.answer("done", step="ask", values={"n": "x"})
        rig.inbox.put("dance", by="li")
        rig.answer("done", step="ask", values={"n": "1"})
        return rig

    for die_in in range(8):
        for after in (False, True):
            rig = made()
            rig._again()
            rig.crash_at(len(rig.lines) + die_in, after=after)
            try:
                rig._carry()
            except Crash:
                rig.resume()
            words = [body["word"] for _, _, body, _ in rig.lines if body.get("word")]
            assert words == sorted(set(words)), die_in
            assert len(words) == 4, die_in
            assert not rig.inbox.words
            assert rig.state.closed is not None


# -- clocks -----------------------------------------------------------------------------------------------------------


def test_a_machine_that_slept_says_so_and_so_does_one_whose_clock_was_moved() -> None:
    rig = Rig(book("{id: one, on: db1, run: one, effect: read}", "{id: two, on: db1, run: two, effect: read}"))

    def sleep(_: object) -> int:
        rig.clock.slept += 90_000_000
        return 0

    def move(_: object) -> int:
        rig.clock.moved -= 3_600_000_000
        return 0

    rig.host("db1").on("one", sleep).on("two", 0)
    rig.run()
    assert [body["gap_us"] for body in rig.said("suspended")] == [90_000_000]
    assert not rig.said("clock_warned")
    rig = Rig(book("{id: one, on: db1, run: one, effect: read}", "{id: two, on: db1, run: two, effect: read}"))
    rig.host("db1").on("one", move).on("two", 0)
    rig.run()
    assert "moved back by 1h" in rig.said("clock_warned")[0]["because"]
    assert not rig.said("suspended")


# -- the fold ---------------------------------------------------------------------------------------------------------


def test_the_state_is_the_fold_of_the_records() -> None:
    rig = branches()
    rig.host("b1").on("do-three", 1)
    rig.run()
    assert RunState.of(rig.entries()) == rig.state


def test_a_record_of_a_later_version_is_shown_and_never_resumed_over() -> None:
    rig = acting()
    rig.host("db1").on("do-it", 1)
    rig.run()
    line, _, body, actor = rig.lines[-1]
    rig.lines.append((type(line)(line.seq + 1, line.ts, line.mono), "quorum_moved", body, actor))
    with pytest.raises(JournalError, match="quorum_moved"):
        rig.resume()
    assert rig.host("db1").count("do-it") == 1
    assert rig.state.unknown_types == ["quorum_moved"]


def test_waiting_longer_than_told_is_not_done() -> None:
    rig = Rig(book("{id: ask, do: manual, with: {say: Look}}"))
    began = rig.clock.micros
    assert rig.run(wait=Duration.parse("3s")) is Exit.PAUSED
    assert rig.clock.micros - began < 4_000_000
