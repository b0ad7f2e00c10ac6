"""What the campaign `ways-back` judges by, without a lab: its edited runbooks, its digest and its table of names."""

from __future__ import annotations

import pytest

from drctl.kinds import registry
from drctl.loading import load_runbook
from tests.campaign._broken_steps import broken, read, walk, written
from tests.campaign.lab_kills import SCENARIOS
from tests.campaign.ways_back import BEFORE, NAMED, UNSEEN, Case, all_cases, namers, names_something
from tests.e2e.commands import RUNBOOK
from tests.e2e.digest import differences

BOOK = read(RUNBOOK.read_text(encoding="utf-8"))
ROW = {"path": "emergency/alone", "host": "inv-b", "because": "it would wait", "sure": True}
SETTING = {"setting inv-b synchronous_standby_names": "FIRST 1 (inv_a) -> "}


def loads(case: Case) -> bool:
    text = written(broken(BOOK, case.broken, BEFORE)).encode()
    return load_runbook("edited.yaml", lambda _: text, registry()).value is not None


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_edited_runbook_loads_and_differs(scenario: str) -> None:
    own = [case for case in all_cases(BOOK) if case.scenario == scenario]
    assert [str(case.broken) for case in own if not loads(case)] == []
    texts = [written(broken(BOOK, case.broken, BEFORE)) for case in own if case.broken.way != "refused"]
    assert len(set(texts)) == len(texts)


def test_each_step_of_the_runbook_is_failed_in_some_scenario() -> None:
    failed = {case.broken.path for case in all_cases(BOOK)}
    inner = {path for path, step, _ in walk(BOOK) if not {"steps", "parallel"} & step.keys()}
    assert inner <= failed


def test_whoever_may_be_named_is_a_step_of_the_runbook() -> None:
    there = {path for path, _, _ in walk(BOOK)}
    assert {step for steps in NAMED.values() for step in steps} | set(UNSEEN) <= there


def test_a_report_that_is_silent_and_one_that_says_too_much_are_found() -> None:
    (piece,) = SETTING
    assert namers(piece, [ROW])
    assert names_something(ROW, SETTING)
    assert not namers(piece, []), "nobody says it"
    assert not namers(piece, [{**ROW, "path": "emergency/switch"}]), "somebody says something else"
    assert not namers("file inv-b etc/passwd", [ROW]), "a piece that no step of the runbook changes"
    assert not names_something(ROW, {}), "it says what is not so"
    assert not names_something({**ROW, "because": ""}, SETTING), "it does not say why"
    assert names_something({**ROW, "sure": False}, {}), "it says that nobody knows"


def test_a_digest_finds_what_came_what_went_and_what_is_another() -> None:
    before = {"a": "1", "b": "1", "same": "1", "invoices lost": "3", "invoices altered": "9"}
    after = {"a": "2", "c": "1", "same": "1", "invoices lost": "4", "invoices altered": "5"}
    assert differences(before, after) == {
        "a": "1 -> 2", "b": "1 -> none", "c": "none -> 1", "invoices lost": "3 -> 4",
    }  # fmt: skip
    assert differences(before, {**before, "invoices altered": "10"}) == {"invoices altered": "9 -> 10"}
