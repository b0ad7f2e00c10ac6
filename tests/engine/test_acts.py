"""The one rule at its edges: what still runs, what may have been sent, second attempts, users, limits."""

from __future__ import annotations

import pytest

from drctl.core.outcomes import Effect
from drctl.core.ports import Claim, ClaimReply, ClaimState, Command, HttpReply, Reach
from drctl.core.values import Duration
from drctl.engine.shells import Bond, BoundShell, Watch
from drctl.engine.stops import Control
from drctl.errors import Exit
from tests.engine.rig import Crash, Rig
from tests.fakes.clocks import FakeClock
from tests.fakes.hosts import FakeHost

BOOK = """
runbook: acts
phases:
  - id: main
    steps:
"""


def book(*steps: str) -> str:
    return BOOK + "".join(f"      - {step}\n" for step in steps)


ONCE = book(
    "{id: act, on: db1, run: do-it, effect: EFFECT, timeout: 30s, verify: {run: is-done}, undo: {none: a test}}"
)


def acting(effect: str = "once", text: str = ONCE) -> Rig:
    """One act whose effect a look can see."""
    rig = Rig(text.replace("EFFECT", effect))
    host = rig.host("db1").on("is-done", 1)

    def act(_: object) -> int:
        host.on("is-done", 0)
        return 0

    host.on("do-it", act)
    return rig


def crashed_after(rig: Rig, type_: str, path: str = "main/act") -> None:
    """Run once to see where it comes, then run another one that dies right after that record."""
    probe = acting()
    probe.run()
    at = next(i for i, (_, t, b, _) in enumerate(probe.lines) if t == type_ and b.get("path") == path)
    rig.crash_at(at, after=True)
    with pytest.raises(Crash):
        rig.run()


def still_running(rig: Rig) -> FakeHost:
    """After a crash the command is found running on the host."""
    host = rig.host("db1")
    crashed_after(rig, "step_started")
    host.lose_link("during")
    key = rig.said("step_started", path="main/act")[0]["key"]
    claim = Claim(key=key, run="ab" * 16, run_id="7K2QX", operator="ops", epoch=1, holder="SHA256:key")
    host.run(claim, Command(script="do-it", timeout=Duration.parse("30s")))
    host.asked.clear()
    return host


def test_what_still_runs_after_a_crash_is_waited_for_up_to_its_limit() -> None:
    rig = acting()
    host = still_running(rig)
    waited: list[int] = []

    def then(length: Duration) -> None:
        waited.append(length.micros)
        if len(waited) == 5:
            host.finish()

    rig.clock.then = then
    assert rig.resume() is Exit.DONE
    assert host.effects == ["do-it"]
    assert len(waited) >= 5
    assert not [what for what, _ in host.asked if what == "kill"]


def test_what_runs_beyond_its_limit_is_ended_and_known_not_to_have_happened() -> None:
    rig = acting()
    host = still_running(rig)
    assert rig.resume() is Exit.STEP_FAILED
    assert rig.outcome("act") == "timeout"
    assert [what for what, _ in host.asked].count("kill") == 1
    assert host.effects == []


def test_the_limit_counts_from_the_intent_not_from_the_resume() -> None:
    rig = acting()
    host = still_running(rig)
    rig.clock.micros += 3_600_000_000
    began = rig.clock.micros
    assert rig.resume() is Exit.STEP_FAILED
    assert rig.clock.micros - began < 2_000_000
    assert [what for what, _ in host.asked].count("kill") == 1


def test_an_irreversible_command_is_never_ended_the_run_pauses_and_shows_it() -> None:
    rig = acting("irreversible")
    host = still_running(rig)
    assert rig.resume() is Exit.IN_DOUBT
    assert "still running" in rig.because("act")
    assert not [what for what, _ in host.asked if what == "kill"]
    host.finish()
    assert rig.resume() is Exit.DONE
    assert host.effects == ["do-it"]


@pytest.mark.parametrize("effect", ["once", "irreversible"])
def test_only_an_irreversible_command_goes_out_as_not_to_be_ended(effect: str) -> None:
    rig = acting(effect)
    seen: list[bool] = []
    rig.host("db1").on("do-it", lambda command: seen.append(command.killable) or 0)  # type: ignore[func-returns-value]
    rig.run()
    assert seen == [effect == "once"]


def test_a_refusal_to_answer_about_a_claim_proves_nothing() -> None:
    rig = acting()
    crashed_after(rig, "step_started")
    host = rig.host("db1")
    answer = ClaimReply(state=ClaimState.REFUSED, because="defect: claimed for another command")
    rig.oddly("db1", attach=lambda _claim, _command: answer)
    assert rig.resume() is Exit.IN_DOUBT
    assert host.effects == []


# -- second attempts --------------------------------------------------------------------------------------------------


def test_a_retry_looks_first_and_does_not_do_it_again() -> None:
    rig = acting()
    host = rig.host("db1")

    def slow(_: object) -> int:
        host.on("is-done", 0)
        return 1  # it says it failed, and yet the effect comes

    host.on("is-done", 1).on("do-it", slow)
    host.on("is-done", 1)
    assert rig.run() is Exit.STEP_FAILED
    assert rig.said("step_finished", path="main/act")[-1]["effect_there"] is True
    rig.answer("retry", step="act", reason="again")
    assert rig.resume() is Exit.DONE
    assert host.effects == ["do-it"]
    assert rig.said("step_finished", path="main/act")[-1]["found"] is True


def test_a_second_attempt_that_cannot_look_is_in_doubt_and_a_person_may_say_it_is_not_done() -> None:
    rig = acting()
    host = rig.host("db1").on("do-it", 1)
    assert rig.run() is Exit.STEP_FAILED
    host.on("is-done", 9)
    rig.answer("retry", step="act", reason="again")
    assert rig.resume() is Exit.IN_DOUBT
    assert host.effects == ["do-it"]
    rig.answer("not_done", step="act", reason="I looked")
    host.on("do-it", lambda _: host.on("is-done", 0) and 0)  # type: ignore[arg-type,return-value]
    assert rig.resume() is Exit.DONE
    assert host.effects == ["do-it", "do-it"]


def test_a_once_act_with_retry_runs_again_only_while_it_is_seen_not_done() -> None:
    text = ONCE.replace("undo:", "retry: {every: 2s, times: 5}, undo:")
    rig = acting(text=text)
    host, tries = rig.host("db1"), [0]

    def third(_: object) -> int:
        tries[0] += 1
        if tries[0] == 3:
            host.on("is-done", 0)
        return 1

    host.on("do-it", third)
    assert rig.run() is Exit.STEP_FAILED  # it failed by its own word, effect there: a person decides
    assert host.count("do-it") == 3
    assert rig.said("step_finished", path="main/act")[-1]["effect_there"] is True


def test_a_host_that_restarts_under_an_idempotent_act_does_not_repeat_it_for_ever() -> None:
    rig = Rig(book("{id: act, on: db1, run: reboot-now, effect: idempotent, undo: {none: a test}}"))
    runs = [0]

    def gone(_claim: Claim, _command: Command) -> ClaimReply:
        runs[0] += 1
        return ClaimReply(state=ClaimState.IN_DOUBT, because="the host was restarted", gone=True)

    rig.oddly("db1", run=gone)
    assert rig.run() is Exit.STEP_FAILED
    assert runs == [1]


# -- requests without a claim -----------------------------------------------------------------------------------------

URL = "http://power.example/off"
REQUEST = book(
    "{id: act, do: http.request, with: {url: 'http://power.example/off', method: POST}, effect: EFFECT, "
    "VERIFYundo: {none: a test}}"
)
VERIFY = "verify: {do: http.check, with: {url: 'http://power.example/state'}, expect: \"json.state == 'off'\"}, "


def requesting(effect: str, *, verified: bool) -> Rig:
    rig = Rig(REQUEST.replace("EFFECT", effect).replace("VERIFY", VERIFY if verified else ""))
    rig.world.http_.answer(URL, 200, "{}")
    rig.world.http_.answer("http://power.example/state", 200, '{"state": "on"}')
    return rig


def test_a_request_whose_answer_is_lost_is_decided_by_a_look() -> None:
    for state, exit_, sent in (("off", Exit.DONE, 1), ("on", Exit.STEP_FAILED, 1), ("?", Exit.IN_DOUBT, 1)):
        rig = requesting("once", verified=True)
        rig.world.http_.lose(arrived=state == "off")
        body = "no json" if state == "?" else f'{{"state": "{state}"}}'
        rig.world.http_.answer("http://power.example/state", 200, body)
        assert rig.run() is exit_, state
        assert len(rig.world.http_.sent) == sent


def test_a_request_that_surely_was_not_sent_is_unreachable_not_in_doubt() -> None:
    rig = requesting("once", verified=True)
    rig.world.http_.answers.pop(URL)
    assert rig.run() is Exit.STEP_FAILED
    assert rig.outcome("act") == "unreachable"


@pytest.mark.parametrize(("effect", "verified", "exit_", "sent"), [
    ("once", True, Exit.DONE, 2), ("idempotent", False, Exit.DONE, 2),
])  # fmt: skip
def test_after_a_crash_a_request_is_sent_again_only_when_that_is_safe(
    effect: str,
    verified: bool,  # noqa: FBT001 - a column of the table
    exit_: Exit,
    sent: int,
) -> None:
    rig = requesting(effect, verified=verified)
    http = rig.world.http_
    http.answer("http://power.example/state", 200, '{"state": "on"}')
    _crash_in_request(rig, sent=False)
    http.answers["http://power.example/state"] = lambda: _state(rig)  # type: ignore[assignment,return-value]
    assert rig.resume() is exit_
    assert len(http.sent) == sent - 1  # the first one never left
    assert len({request.headers["idempotency-key"] for request in http.sent}) == 1


def test_after_a_crash_a_once_message_without_a_look_is_in_doubt() -> None:
    rig = Rig(book("{id: act, do: notify, with: {to: [oncall], text: hello}}"))
    _crash_in_request(rig, sent=True)
    assert rig.resume() is Exit.IN_DOUBT
    assert len(rig.world.notifier.messages) == 1
    rig.answer("not_done", step="act", reason="nobody got it")
    assert rig.resume() is Exit.DONE
    assert len({message.key for message in rig.world.notifier.messages}) == 1, "a receiver can drop the second copy"


def _crash_in_request(rig: Rig, *, sent: bool) -> None:
    """Die right after the intent; with `sent` when the request has left, too."""
    probe = Rig(rig.text)
    probe.world.http_.answers = dict(rig.world.http_.answers)
    probe.run()
    at = next(i for i, (_, t, b, _) in enumerate(probe.lines) if (t, b.get("path")) == ("step_started", "main/act"))
    rig.crash_at(at + sent, after=not sent)
    with pytest.raises(Crash):
        rig.run()


def _state(rig: Rig) -> object:

    state = "off" if rig.world.http_.effects else "on"
    return HttpReply(reach=Reach.COMPLETE, status=200, body=f'{{"state": "{state}"}}'.encode())


# -- users, limits, values --------------------------------------------------------------------------------------------


def test_a_step_acts_and_looks_as_its_user() -> None:
    rig = Rig(book(
        "{id: who, on: db1, as: postgres, run: look-there, effect: read}",
        '{id: act, on: db1, as: "${{ steps.who.stdout }}", run: do-it, effect: once, verify: {run: is-done}, '
        "undo: {none: a test}}",
    ))  # fmt: skip
    seen: list[tuple[str, str | None]] = []

    def told(command: Command) -> str:
        seen.append((command.script, command.as_user))
        return "postgres"

    for script in ("look-there", "do-it", "is-done"):
        rig.host("db1").on(script, told)
    assert rig.run() is Exit.DONE
    assert seen == [("look-there", "postgres"), ("do-it", "postgres"), ("is-done", "postgres")]


def test_a_user_that_is_no_name_stops_the_step_before_anything_is_sent() -> None:
    rig = Rig(book(
        "{id: who, on: db1, run: look-there, effect: read}",
        '{id: act, on: db1, as: "${{ steps.who.stdout }}", run: do-it, effect: idempotent}',
    ))  # fmt: skip
    rig.host("db1").on("look-there", "root; rm -rf /").on("do-it", 0)
    assert rig.run() is Exit.STEP_FAILED
    assert rig.host("db1").effects == []


def test_a_value_that_is_missing_fails_the_step_before_its_intent() -> None:
    rig = Rig(book(
        "{id: look, on: db1, run: look-there, effect: read, capture: {n: int(stdout)}}",
        "{id: act, on: db1, run: 'do-it ${{ steps.look.n }}', effect: idempotent}",
    ))  # fmt: skip
    rig.host("db1").on("look-there", "none")
    assert rig.run() is Exit.STEP_FAILED
    assert rig.because("act").startswith("needs ")
    assert rig.state.intents == 0


def test_a_host_of_another_run_is_exit_12() -> None:
    rig = acting()
    rig.host("db1").owner = Claim(key="k", run="cd" * 16, run_id="OTHER", operator="li", epoch=1, holder="x")
    assert rig.run() is Exit.LOCKED
    assert rig.state.paused is not None
    assert "OTHER" in rig.state.paused.because
    rig.host("db1").owner = None
    rig.answer("retry", step="act", reason="they are done")
    assert rig.resume() is Exit.DONE


def test_what_began_on_a_host_is_settled_there_whatever_its_name_says_now() -> None:
    rig = Rig(book(
        "{id: where, on: local, run: which-one, effect: read, capture: {target: trim(stdout)}}",
        '{id: act, on: "${{ steps.where.target }}", run: do-it, effect: once, verify: {run: is-done}, '
        "undo: {none: a test}}",
        "{id: late, on: db2, run: late-one, effect: idempotent, recheck: [where]}",
    ))  # fmt: skip
    rig.host("local").on("which-one", "db1")
    for name in ("db1", "db2"):
        rig.host(name).on("do-it", 0).on("is-done", 9 if name == "db1" else 1).on("late-one", 0)
    rig.host("db1").lose_link("after")
    assert rig.run() is Exit.IN_DOUBT
    rig.host("local").on("which-one", "db2")
    rig.host("db1").on("is-done", 0)
    assert rig.resume() is Exit.DONE
    assert rig.host("db1").effects == ["do-it"]
    assert rig.host("db2").count("do-it") == 0


def test_bytes_are_staged_for_the_user_whose_command_reads_them() -> None:
    """A command as another user looks in that user's folder."""
    host, clock = FakeHost("db1"), FakeClock()
    watch = Watch(goes=lambda _: None, told=lambda _: None, clock=clock, control=Control())
    claim = Claim(key="k", run="r", run_id="7K3QF", operator="li", epoch=1, holder="h")
    for user in (None, "postgres"):
        bond = Bond(path="main/get", effect=Effect.IDEMPOTENT, user=user)
        assert ("-of-postgres" in BoundShell(host, claim, bond, watch).stage([b"x"])) == (user is not None)


@pytest.mark.parametrize(("code", "words"), [(137, "SIGKILL"), (139, "SIGSEGV"), (3, ""), (255, "")])
def test_a_death_by_signal_is_said_in_words(code: int, words: str) -> None:
    rig = Rig(book("{id: act, on: db1, run: do-it, effect: idempotent}"))
    rig.host("db1").on("do-it", code)
    rig.run()
    because = rig.said("step_finished", path="main/act")[0]["because"]
    assert f"exit is {code}" in because
    assert ("as after the signal" in because) == bool(words)
    assert words in because
