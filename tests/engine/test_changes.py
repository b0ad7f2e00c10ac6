"""A retry with changed fields: read as values, recorded as a deviation, agreed to anew, taken back as it was done."""

from __future__ import annotations

import pytest

from drctl.core.ports import Command, Reach, Reply
from drctl.core.values import Duration
from drctl.errors import Exit
from tests.engine.rig import Crash, Rig
from tests.engine.test_acts import book

ACT = '{id: act, on: db1, run: do-it old, with: {env: {PORT: "1", HOST: x}}, effect: idempotent%s}'


def failing(more: str = ", undo: {none: a test}") -> Rig:
    rig = Rig(book(ACT % more, "{id: then, do: check, expect: steps.act.ok}"))
    rig.host("db1").on("do-it old", 1).on("do-it new", 0).on("undo", 0)
    return rig


def sent(rig: Rig) -> list[str]:
    return [body["text"] for body in rig.said("step_started", path="main/act")]


def retry(rig: Rig, **values: str) -> None:
    rig.answer("retry", step="act", reason="typo", values={k.replace("__", "."): v for k, v in values.items()})


def test_the_changed_field_is_sent_recorded_and_an_exception_at_the_end() -> None:
    rig = failing()
    assert rig.run() is Exit.STEP_FAILED
    before = rig.said("step_started", path="main/act")[0]["digest"]
    retry(rig, run="do-it new")
    assert rig.resume() is Exit.EXCEPTIONS
    assert sent(rig)[-1].endswith("do-it new")
    assert rig.said("step_started", path="main/act")[-1]["digest"] != before
    noted = rig.said("deviation_noted")[0]
    assert (noted["path"], noted["what"], noted["by"]) == ("main/act", "changed run", "ops")
    assert "typo" in noted["because"]
    assert rig.state.closed is not None
    assert any("changed run" in text for text in rig.state.closed.exceptions)


def test_it_holds_for_every_later_attempt_and_over_a_crash_at_any_record() -> None:
    def made() -> Rig:
        rig = failing()
        rig.run()
        retry(rig, run="do-it new")
        return rig

    whole = made()
    began = len(whole.lines)
    assert whole.resume() is Exit.EXCEPTIONS
    for seq in range(began, len(whole.lines)):
        for after in (False, True):
            rig = made()
            rig._again()
            rig.crash_at(seq, after=after)
            with pytest.raises(Crash):
                rig._carry()
            if rig.lines[-1][1] != "run_closed":
                assert rig.resume() is Exit.EXCEPTIONS, seq
            assert rig.host("db1").effects == whole.host("db1").effects, seq
            assert len(rig.said("deviation_noted")) == 1


def test_one_member_of_a_map_is_changed_and_the_others_stay() -> None:
    rig = failing()
    rig.run()
    seen: list[dict[str, str]] = []
    rig.host("db1").on("do-it old", lambda command: seen.append({k: str(v) for k, v in command.env.items()}) or 0)  # type: ignore[func-returns-value]
    retry(rig, env__PORT="2")
    assert rig.resume() is Exit.EXCEPTIONS
    assert seen == [{"PORT": "2", "HOST": "x"}]
    assert "env.PORT: 1 -> 2" in rig.said("deviation_noted")[0]["because"]


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("argc", "1", "has no field 'argc'"),
        ("argv", "do-it new", "is argv, and"),
        ("argv", "[1]", "run and argv"),
        ("cwd", "${{ inputs.x }}", "takes a value"),
        ("cwd", "x" * 1001, "at most 1000"),
        ("cwd.x", "1", "has no member"),
        ("allow_dash", "perhaps", "yes or no is wanted"),
        ("argv", '["x"]', "exactly one of run and argv"),
        ("other:cwd", "/", "nothing named other"),
        ("cwd", "the secret word", "would hold a secret"),
    ],
)
def test_what_cannot_be_a_value_of_the_field_is_refused_and_nothing_is_sent(name: str, value: str, why: str) -> None:
    rig = failing()
    rig.mask = lambda text: text.replace("secret word", "***")  # type: ignore[method-assign]
    rig.run()
    rig.answer("retry", step="act", values={name: value})
    assert rig.resume() is Exit.STEP_FAILED
    refused = rig.said("answered", accepted=False)
    assert why in refused[0]["because"]
    assert len(sent(rig)) == 1


def test_a_yes_to_the_old_command_does_not_count_for_the_new_one() -> None:
    rig = failing(", undo: {none: a test}, approve: {by: [commander]}")
    assert rig.run() is Exit.PAUSED
    rig.answer("approve", step="act", by="wang")
    assert rig.resume() is Exit.STEP_FAILED
    retry(rig, run="do-it new")
    assert rig.resume() is Exit.PAUSED
    assert "do-it new" in rig.question()["text"]
    assert len(sent(rig)) == 1
    rig.answer("approve", step="act", by="wang")
    assert rig.resume() is Exit.EXCEPTIONS


@pytest.mark.parametrize("alone", [True, False])
def test_a_yes_to_a_whole_block_does_not_count_for_a_changed_step_in_it(alone: bool) -> None:  # noqa: FBT001
    inner = ACT % ", undo: {none: a test}"
    rig = Rig(book(f"{{id: block, approve: {{by: [commander]}}, steps: [{inner}]}}"))
    rig.host("db1").on("do-it old", 1).on("do-it new", 0)
    assert rig.run() is Exit.PAUSED
    rig.answer("approve", step="block", by="wang")
    if alone:
        assert rig.resume() is Exit.STEP_FAILED
        retry(rig, run="do-it new")
        assert rig.resume() is Exit.PAUSED
    else:  # the same writer goes on

        def once(_: Duration) -> None:
            if rig.said("asked", kind="failure") and not rig.said("answered", choice="retry") and not rig.inbox.words:
                retry(rig, run="do-it new")

        rig.clock.then = once
        assert rig.resume(wait=Duration.parse("1m")) is Exit.PAUSED
    assert (rig.question()["kind"], rig.question()["path"]) == ("approval", "main/block/act")
    assert len(sent(rig)) == 1 or "new" not in "".join(sent(rig))
    rig.answer("approve", step="block/act", question=rig.question()["id"], by="wang")
    assert rig.resume() is Exit.EXCEPTIONS


def test_a_change_for_a_table_is_for_each_host_that_is_done_again() -> None:
    rig = Rig(
        book("{id: act, on: {group: web}, run: do-it old, effect: idempotent, undo: {none: x}}"),
        hosts=("w1", "w2", "w3"),
    )
    for host in rig.hosts:
        rig.host(host).on("do-it old", 0 if host == "w1" else 1).on("do-it new", 0)
    assert rig.run() is Exit.STEP_FAILED
    retry(rig, run="do-it new")
    assert rig.resume() is Exit.EXCEPTIONS
    assert {host: rig.host(host).effects[-1] for host in rig.hosts} == {
        "w1": "do-it old", "w2": "do-it new", "w3": "do-it new",
    }  # fmt: skip


def test_in_a_block_the_step_is_named() -> None:
    rig = Rig(
        book(
            "{id: both, parallel: [{id: x, on: db1, run: do-x, effect: idempotent}, "
            "{id: y, on: db2, run: do-y, effect: idempotent}]}"
        )
    )
    rig.host("db1").on("do-x", 1).on("do-z", 0)
    rig.host("db2").on("do-y", 1)
    assert rig.run() is Exit.STEP_FAILED
    rig.answer("retry", step="both", values={"run": "do-z"})
    assert rig.resume() is Exit.STEP_FAILED
    assert "of which step?" in rig.said("answered", accepted=False)[0]["because"]
    rig.host("db2").on("do-y", 0)
    rig.answer("retry", step="both", values={"x:run": "do-z"})
    assert rig.resume() is Exit.EXCEPTIONS
    assert rig.host("db1").effects == ["do-x", "do-z"]


def test_what_was_done_before_a_change_is_taken_back_as_it_was_done() -> None:
    """The inverse of a changed act must not put what the old unit was into the new one."""
    text = "{id: act, on: db1, do: service, with: {name: old, state: stopped}}"
    rig = Rig(book(text, "{id: fails, on: db2, run: do-fails, effect: read}"))
    active = {"old": True, "new": False}
    told: list[tuple[str, str]] = []

    def systemd(command: Command) -> Reply:
        name, verb = str(command.env["UNIT"]), str(command.env.get("VERB", ""))
        if verb:
            told.append((verb, name))
            active[name] = verb == "start"
        word = "active" if active[name] else "inactive"
        answer = f"active {word}\nenabled enabled\n".encode()
        late = verb == "stop" and name == "old"  # it has done it, and says it failed
        return Reply(reach=Reach.COMPLETE, exit=1 if late else 0, stdout=answer)

    rig.host("db1").on("systemctl", systemd)
    rig.host("db2").on("do-fails", 1)
    rig.run()
    retry(rig, name="new")
    assert rig.resume() is Exit.STEP_FAILED
    assert rig.outcome("act") == "ok"
    assert rig.roll_back() is Exit.ROLLED_BACK
    assert active == {"old": True, "new": False}
    assert told[-1] == ("start", "old")
