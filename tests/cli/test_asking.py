"""Answering on the terminal: no default where it hurts, every answer with what belongs to it."""

from collections.abc import Mapping
from typing import Any

import pytest

from drctl.cli.asking import Asking
from drctl.core import events as ev
from drctl.engine.questions import Given
from tests.fakes.terminals import Person, person
from tests.reporting.builder import RunBuilder, opened
from tests.reporting.events import waiting_run

APPROVAL = ev.Asked(
    id="q1",
    kind="approval",
    path="failover/promote",
    text="Promote db2?",
    choices=("approve", "reject"),
    by=("commander",),
    target="db2",
)
FAILURE = ev.Asked(id="q1", kind="failure", path="p/app", text="app failed", choices=("retry", "skip", "done", "abort"))
UNDOABLE = ev.Asked(
    id="q1", kind="failure", path="p/app", text="app failed", choices=("retry", "skip", "done", "rollback", "abort")
)
DOUBT = ev.Asked(
    id="q1", kind="doubt", path="p/app", text="app in doubt", choices=("done", "not_done", "look", "abort")
)
MANUAL = ev.Asked(
    id="q1",
    kind="manual",
    path="p/count",
    text="Count by hand.",
    choices=("done", "not_done"),
    fields=(
        {"name": "lost", "type": "int", "ask": "How many are lost?", "of": []},
        {"name": "kind", "type": "choice", "ask": "Which kind?", "of": ["a", "b"]},
        {"name": "since", "type": "time", "ask": "Since when?", "of": [], "optional": True},
        {
            "name": "limit",
            "type": "duration",
            "ask": "Limit?",
            "of": [],
            "has_default": True,
            "default": {"$us": 5_000_000},
        },
    ),
)
DECIDE = ev.Asked(id="q1", kind="decide", path="p/fault", text="Which?", choices=("hardware", "software fault"))
WHEN = ev.Asked(id="q1", kind="when", path="p/x", text="Run or skip?", choices=("run", "skip"))
CAUTION = ev.Asked(id="q1", kind="caution", path="p/x", text="Sure?", choices=("confirm", "reject"))
DANGER = ev.Asked(id="q1", kind="caution", path="p/x", text="Sure?", choices=("confirm", "reject"), target="db2")


def asks(
    someone: Person, question: ev.Asked, *, yes: bool = False, run: RunBuilder | None = None, seconds: float = 100
) -> None:
    """Ask, and wait until the prompt stands there."""
    if run is None:
        run = RunBuilder()
        opened(run)
    asking = Asking(someone.terminal, lambda text: someone.terminal.write(text + "\n"), run.state(), yes=yes)
    someone.is_asked(lambda: asking.ask(question, lambda: False, seconds))


def answered(question: ev.Asked, *dialogue: tuple[str, str]) -> Given | None:
    """Hold a conversation: (text to wait for, line to type)."""
    with person() as someone:
        asks(someone, question)
        for wanted, typed in dialogue:
            someone.sees(wanted)
            someone.types(typed)
        given: Given | None = someone.gave()
        return given


PROMPT = "(the run pauses): "


@pytest.mark.parametrize(
    ("question", "dialogue", "expected"),
    [
        (APPROVAL, [(PROMPT, "db2"), ("name: ", "mei")], {"choice": "approve", "target": "db2", "by": "mei"}),
        (
            APPROVAL,
            [(PROMPT, "r"), ("name: ", "mei"), ("why?", "too risky")],
            {"choice": "reject", "reason": "too risky", "target": ""},
        ),
        (APPROVAL, [(PROMPT, "db2"), ("name: ", ""), ("name: ", "mei")], {"by": "mei"}),
        (FAILURE, [(PROMPT, "retry")], {"choice": "retry", "reason": ""}),
        (FAILURE, [(PROMPT, "r")], {"choice": "retry"}),
        (
            FAILURE,
            [(PROMPT, "s"), ("skip: why? ", ""), ("skip: why? ", "not needed")],
            {"choice": "skip", "reason": "not needed"},
        ),
        (
            FAILURE,
            [(PROMPT, "done"), ("done: why? ", "by hand"), ("what shows it?", "")],
            {"choice": "done", "reason": "by hand", "values": {}},
        ),
        (
            FAILURE,
            [(PROMPT, "done"), ("done: why? ", "by hand"), ("what shows it?", "ticket 12")],
            {"choice": "done", "values": {"evidence": "ticket 12"}},
        ),
        (FAILURE, [(PROMPT, "retry run=do it = new")], {"choice": "retry", "values": {"run": "do it = new"}}),
        (FAILURE, [(PROMPT, "r env.PORT=2")], {"choice": "retry", "values": {"env.PORT": "2"}}),
        (UNDOABLE, [(PROMPT, "rollback"), ("rollback: why? ", "worse")], {"choice": "rollback", "values": {}}),
        (UNDOABLE, [(PROMPT, "rollback web"), ("rollback: why? ", "worse")], {"values": {"to": "web"}}),
        (FAILURE, [(PROMPT, "abort"), ("why?", "")], {"choice": "abort"}),
        (DOUBT, [(PROMPT, "not_done"), ("not_done: why? ", "looked")], {"choice": "not_done", "reason": "looked"}),
        (DOUBT, [(PROMPT, "l")], {"choice": "look"}),
        (DECIDE, [(PROMPT, "2")], {"choice": "software fault"}),
        (DECIDE, [(PROMPT, "hardware")], {"choice": "hardware"}),
        (WHEN, [(PROMPT, "run"), ("run: why? ", "I looked")], {"choice": "run", "reason": "I looked"}),
        (CAUTION, [(PROMPT, "y")], {"choice": "confirm"}),
        (CAUTION, [(PROMPT, "no"), ("why?", "")], {"choice": "reject"}),
        (DANGER, [(PROMPT, "db2")], {"choice": "confirm", "target": "db2"}),
    ],
)
def test_an_answer(question: ev.Asked, dialogue: list[tuple[str, str]], expected: Mapping[str, Any]) -> None:
    given = answered(question, *dialogue)
    assert given is not None
    assert {name: getattr(given, name) for name in expected} == expected
    assert (given.question, given.source) == ("q1", "terminal")
    assert given.given_at > 1_700_000_000_000_000
    assert given.login


@pytest.mark.parametrize("typed", ["", "ro", "roll", "back", "a", "b", "d", "skip web", "retry web", "done x=y"])
def test_a_failure_has_no_default_and_no_short_form_of_what_hurts(typed: str) -> None:
    again = "type " if not typed else "is no answer to this"
    assert answered(UNDOABLE, (PROMPT, typed), (again, "q")) is None


@pytest.mark.parametrize("typed", ["approve", "confirm", "y", "yes", "db", "DB2", "a", "ok", "db2 db2"])
def test_a_dangerous_choice_is_answered_by_its_name_alone(typed: str) -> None:
    question = APPROVAL if typed != "confirm" else DANGER
    given = answered(question, (PROMPT, typed), ("is no answer to this", "q"))
    assert given is None


@pytest.mark.parametrize(
    "question", [APPROVAL, FAILURE, DOUBT, MANUAL, DECIDE, WHEN, CAUTION, DANGER], ids=lambda q: q.kind
)
def test_enter_alone_shows_it_again_and_answers_nothing(question: ev.Asked) -> None:
    head = f"run 8F2KQ   {question.id}   {question.path}"
    with person() as someone:
        asks(someone, question)
        someone.sees(head)
        someone.sees(PROMPT)
        someone.types("")
        someone.sees(head)
        someone.sees(PROMPT)
        someone.types("q")
        assert someone.gave() is None


@pytest.mark.parametrize("letter", ["d", "a", "n"])
def test_serious_words_have_no_short_form(letter: str) -> None:
    assert answered(DOUBT, (PROMPT, letter), ("is no answer to this", "q")) is None


def test_typed_values_are_asked_for_one_by_one_until_they_fit() -> None:
    given = answered(
        MANUAL,
        (PROMPT, "done"),
        ("How many are lost? [lost: int]: ", "many"),
        ("whole number", ""),
        ("lost: int", "7"),
        ("[kind: choice, a | b]: ", "c"),
        ("'c'", "b"),
        ("Enter if not known]: ", ""),
        ("Enter for 5s]: ", ""),
    )
    assert given is not None
    assert dict(given.values) == {"lost": "7", "kind": "b", "since": ""}


def test_leaving_in_the_middle_answers_nothing() -> None:
    assert answered(FAILURE, (PROMPT, "skip"), ("skip: why? ", "q")) is None


def test_yes_covers_ordinary_prompts_only() -> None:
    with person() as someone:
        asks(someone, CAUTION, yes=True)
        someone.sees("confirmed by --yes")
        assert someone.gave().choice == "confirm"
    for question in (DANGER, APPROVAL, FAILURE, DOUBT, WHEN, MANUAL, DECIDE):
        with person() as someone:
            asks(someone, question, yes=True)
            someone.sees(PROMPT)
            someone.types("q")
            assert someone.gave() is None


def test_a_question_shows_why_the_last_answer_did_not_count() -> None:
    run = waiting_run()
    run.add(ev.Answered(id="q1", choice="approve", by="ops", accepted=False, because="ops is not commander"))
    with person() as someone:
        asks(someone, run.state().questions["q1"].asked, run=run)
        someone.sees("did not count: ops is not commander")
        someone.sees(PROMPT)
        someone.types("q")
        assert someone.gave() is None


def test_time_runs_out() -> None:
    with person() as someone:
        asks(someone, FAILURE, seconds=0.4)
        someone.sees("left open; the run pauses")
        assert someone.gave() is None


def test_hostile_texts_are_shown_escaped() -> None:
    bad = ev.Asked(id="q1", kind="decide", path="p/\x1b[2J", text="a\x1b]0;owned\x07", choices=("\x1bc", "b"))
    with person() as someone:
        asks(someone, bad)
        someone.sees("\\x1b]0;owned\\x07")
        someone.sees("1 \\x1bc")
        someone.types("q")
        assert someone.gave() is None
