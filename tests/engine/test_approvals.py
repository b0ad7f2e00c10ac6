"""Approvals and cautions: who may, how many, for what exactly, until when, and what happens after a no."""

from __future__ import annotations

from drctl.core.inventory import Environment
from drctl.core.values import Duration
from drctl.engine.answers import Given
from drctl.errors import Exit
from tests.engine.rig import Rig
from tests.engine.test_acts import book

APPROVED = book(
    "{id: lag, on: db2, run: show-lag, effect: read, capture: {s: int(stdout)}, expect: int(stdout) <= 60}",
    "{id: act, on: db1, run: do-it, effect: irreversible, MORE "
    "approve: {by: [commander, deputy], within: 10m, show: [steps.lag.s]}, "
    "recheck: [lag], verify: {run: is-done}, undo: {none: a test}}",
)


def approving(more: str = "", text: str = APPROVED, **rest: object) -> Rig:
    rig = Rig(text.replace("MORE", more), **rest)  # type: ignore[arg-type]
    host = rig.host("db1").on("is-done", 1)
    host.on("do-it", lambda _: host.on("is-done", 0) and 0)  # type: ignore[arg-type,return-value]
    rig.host("db2").on("show-lag", "5")
    return rig


def refusals(rig: Rig) -> list[str]:
    return [body["because"] for body in rig.said("answered", accepted=False)]


def test_nobody_there_is_never_a_yes() -> None:
    rig = approving()
    assert rig.run() is Exit.PAUSED
    assert rig.host("db1").effects == []
    asked = rig.question()
    assert (asked["kind"], asked["by"], asked["show"]) == ("approval", ["commander", "deputy"], [["steps.lag.s", "5"]])
    assert "do-it" in asked["text"]
    assert rig.resume() is Exit.PAUSED
    assert len(rig.said("asked")) == 1, "the same question is not asked twice"


def test_an_approval_lets_the_act_go_on_and_is_in_the_record() -> None:
    rig = approving()
    rig.run()
    rig.answer("approve", step="act", by="wang", login="ww")
    assert rig.resume() is Exit.DONE
    answered = rig.said("answered")[-1]
    assert (answered["by"], answered["role"], answered["proof"]) == ("wang", "commander", "claimed by ww, not proven")
    assert rig.host("db1").effects == ["do-it"]


def test_who_runs_it_cannot_approve_it_by_any_login() -> None:
    rig = approving(operator="wang")
    rig.run()
    rig.answer("approve", step="act", by="wang")
    assert rig.resume() is Exit.PAUSED
    assert "another pair of eyes" in refusals(rig)[0]


def test_only_the_named_roles_may_and_strangers_may_not() -> None:
    rig = approving()
    rig.run()
    rig.answer("approve", step="act", by="zhao")
    rig.answer("approve", step="act", by="mallory")
    assert rig.resume() is Exit.PAUSED
    assert refusals(rig) == [
        "zhao is not commander or deputy",
        "mallory is not among the people of the inventory",
    ]


def test_simulated_people_count_in_a_lab_only() -> None:
    for environment, exit_ in ((Environment.LAB, Exit.DONE), (Environment.PRODUCTION, Exit.PAUSED)):
        rig = approving(environment=environment)
        rig.run()
        rig.answer("approve", step="act", by="li")
        assert rig.resume() is exit_


def test_a_quorum_wants_different_people_not_different_logins() -> None:
    rig = approving(text=APPROVED.replace("within: 10m", "within: 10m, quorum: 2"))
    rig.run()
    rig.answer("approve", step="act", by="li")
    rig.answer("approve", step="act", by="li-from-home")
    assert rig.resume() is Exit.PAUSED
    assert refusals(rig) == ["li has answered already"]
    rig.answer("approve", step="act", by="wang")
    assert rig.resume() is Exit.DONE


def test_one_no_is_enough_and_it_can_be_asked_again() -> None:
    rig = approving(text=APPROVED.replace("within: 10m", "within: 10m, quorum: 2"))
    rig.run()
    rig.answer("approve", step="act", by="li")
    rig.answer("reject", step="act", by="wang", reason="not yet")
    assert rig.resume() is Exit.STEP_FAILED
    assert rig.because("act") == "wang rejected it: not yet"
    rig.answer("retry", step="act", reason="the vendor has confirmed")
    assert rig.resume() is Exit.PAUSED, "a fresh question"
    assert rig.question()["kind"] == "approval"
    rig.answer("approve", step="act", by="li")
    rig.answer("approve", step="act", by="wang")
    assert rig.resume() is Exit.DONE
    assert rig.host("db1").effects == ["do-it"]


def test_an_answer_after_its_time_is_refused_and_the_request_made_again() -> None:
    rig = approving()
    rig.run()
    rig.clock.micros += 11 * 60_000_000
    rig.answer("approve", question="q1", by="li")
    assert rig.resume() is Exit.PAUSED
    assert refusals(rig) == ["too late: the request had expired"]
    assert rig.question()["id"] == "q2"
    rig.answer("approve", question="q1", by="li")
    rig.answer("approve", question="q2", by="li")
    assert rig.resume() is Exit.DONE
    assert refusals(rig)[1:] == ["the question is already settled"]


def test_an_answer_given_in_time_counts_though_the_run_is_taken_up_later() -> None:
    rig = approving()
    rig.run()
    rig.answer("approve", step="act", by="li")
    rig.clock.micros += 60 * 60_000_000
    assert rig.resume() is Exit.DONE


def test_an_answer_from_before_the_question_is_for_something_nobody_had_seen() -> None:
    rig = approving()
    rig.answer("approve", step="act", by="li")
    words = dict(rig.inbox.words)
    rig.inbox.words.clear()
    rig.host("db2").on("show-lag", lambda _: rig.inbox.words.update(words) or "5")
    rig.clock.micros += 1_000_000
    assert rig.run() is Exit.PAUSED


def test_a_dangerous_yes_names_its_target() -> None:
    rig = approving(more="caution: This cannot be taken back.,")
    rig.run()
    assert rig.question()["target"] == "db1"
    rig.answer("approve", step="act", by="li")
    rig.answer("approve", step="act", by="li", target="db2")
    assert rig.resume() is Exit.PAUSED
    assert refusals(rig) == ["the target must be named: db1, not nothing", "the target must be named: db1, not db2"]
    rig.answer("approve", step="act", by="li", target="db1")
    assert rig.resume() is Exit.DONE


def test_the_second_look_stops_the_act_when_its_limit_is_passed() -> None:
    rig = approving()
    rig.run()
    rig.host("db2").on("show-lag", "412")
    rig.answer("approve", step="act", by="li")
    assert rig.resume() is Exit.STEP_FAILED
    assert "looked again at lag" in rig.because("act")
    assert rig.host("db1").effects == []
    assert rig.outcome("lag") == "failed", "the newest look counts for later steps"
    rig.host("db2").on("show-lag", "7")
    rig.answer("retry", step="act", reason="it caught up")
    assert rig.resume() is Exit.DONE, "the look's own turn is over: nothing is asked about it"
    assert rig.host("db1").effects == ["do-it"]
    assert len(rig.said("asked", kind="approval")) == 1, "within the limit the approval stands"


def test_a_second_look_that_changes_what_is_sent_makes_the_approval_void() -> None:
    rig = approving(text=APPROVED.replace("run: do-it", "run: 'do-it ${{ steps.lag.s }}'"))
    rig.run()
    rig.host("db2").on("show-lag", "6")
    rig.answer("approve", step="act", by="li")
    assert rig.resume() is Exit.PAUSED
    assert rig.host("db1").effects == []
    assert rig.question()["id"] == "q2"
    assert rig.question()["digest"] != rig.said("asked")[0]["digest"]
    rig.answer("approve", step="act", by="li")
    assert rig.resume() is Exit.DONE
    assert len(rig.host("db1").effects) == 1


def test_after_a_crash_an_act_that_did_not_begin_looks_again_before_it_does() -> None:
    rig = approving()
    rig.run()
    rig.answer("approve", step="act", by="li")
    rig.host("db1").lose_link("before")
    assert rig.resume() is Exit.IN_DOUBT
    rig.host("db2").on("show-lag", "412")
    assert rig.resume() is Exit.STEP_FAILED
    assert rig.host("db1").effects == []
    assert "looked again at lag" in rig.because("act")


class Typing:
    """A person at the terminal who answers the same to everything."""

    def __init__(self, choice: str, target: str = "") -> None:
        self.choice, self.target, self.asked = choice, target, 0

    def ask(self, question: object, settled: object, seconds: float | None) -> Given | None:  # noqa: ARG002 - the port
        self.asked += 1
        return Given(choice=self.choice, by="ops", login="ops", target=self.target) if self.asked < 3 else None


def test_a_caution_is_confirmed_by_the_operator_with_the_name_for_the_irreversible() -> None:
    text = book(
        "{id: act, on: db1, run: do-it, effect: EFFECT, caution: Sure., verify: {run: is-done}, undo: {none: a test}}"
    )
    for effect, target, exit_ in (
        ("once", "", Exit.DONE),
        ("irreversible", "", Exit.PAUSED),
        ("irreversible", "db1", Exit.DONE),
    ):
        rig = approving(text=text.replace("EFFECT", effect))
        rig.terminal = Typing("confirm", target)
        assert rig.run() is exit_, (effect, target)


def test_the_terminal_is_waited_for_until_the_request_expires_only() -> None:
    class Nobody:
        def ask(self, question: object, settled: object, seconds: float | None) -> None:  # noqa: ARG002 - the port
            left.append(seconds or 0.0)

    left: list[float] = []
    rig = approving()
    rig.terminal = Nobody()
    assert rig.run() is Exit.PAUSED
    assert 590 < left[0] <= 600


def test_without_a_terminal_a_run_waits_as_long_as_it_is_told() -> None:
    rig = approving()
    rig.clock.then = lambda _: rig.inbox.words or rig.answer("approve", step="act", by="li")  # type: ignore[assignment,func-returns-value]
    assert rig.run(wait=Duration.parse("5m")) is Exit.DONE


def test_an_expired_fence_of_questions_never_becomes_a_yes() -> None:
    rig = approving()
    began = rig.clock.micros
    assert rig.run(wait=Duration.parse("1h")) is Exit.PAUSED
    assert rig.clock.micros - began < 11 * 60_000_000, "it does not wait beyond the request"
    assert rig.host("db1").effects == []


def test_a_fence_is_asked_about_before_its_first_method() -> None:
    rig = Rig(book(
        "{id: fence, do: fence.host, on: db1, approve: {by: [commander]}, caution: It goes off., "
        "with: {methods: [{run: power-off}], proof: [{do: tcp.check, with: {host: db1, port: 5432}, expect: refused}]}}"
    ))  # fmt: skip
    rig.host("db1").on("power-off", 0)
    assert rig.run() is Exit.PAUSED
    assert rig.host("db1").effects == []
    assert "power-off" in rig.question()["text"]
    rig.answer("reject", step="fence", by="li", reason="no")
    assert rig.resume() is Exit.STEP_FAILED
    assert rig.host("db1").effects == []
