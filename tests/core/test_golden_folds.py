"""Runs of the first version mean the same for ever. Never edit the journals or the figures; only add.

Both were made by the real engine and the real journal writer, with a fixed key and clock: one run that ended done, one
that waits with a promotion in doubt.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from drctl.adapters.journal_reader import read
from drctl.core.events import UnknownEvent, decode
from drctl.core.fold import Entry, RunState, attained
from drctl.core.records import CHECKPOINT, Record
from drctl.core.values import Duration, Time
from drctl.core.verification import Verdict, verify
from tests.fakes.journals import check_signature

FOLDER = Path(__file__).resolve().parents[1] / "journals"


def entries(name: str) -> list[Entry]:
    return [_entry(record) for record in read(FOLDER / f"{name}.jsonl") if record.type != CHECKPOINT]


def _entry(record: Record) -> Entry:
    event = decode(record.type, record.body)
    return Entry(
        seq=record.seq, at=Time(record.ts), mono=record.mono, boot=record.boot, actor=record.actor, event=event
    )


def outcomes(state: RunState) -> dict[str, str]:
    ends = {path: step.outcome.value for path, step in state.steps.items() if step.outcome is not None}
    return ends | {path: block.outcome.value for path, block in state.blocks.items() if block.outcome is not None}


@pytest.mark.parametrize(
    ("name", "verdict", "records", "head"),
    [
        (
            "events-1-done",
            Verdict.INTACT_NOT_ANCHORED,
            75,
            "f5ab787eaca73139108214b8dba5c6deb411c8381af1fe714e816ee011338a1f",
        ),
        ("events-1-in-doubt", Verdict.OPEN, 57, "3fbc51a6166f85935b27cdd53007d6c446ed4ddf7d09e8322e43271a86dc73ce"),
    ],
)
def test_it_still_verifies_to_the_same_head(name: str, verdict: Verdict, records: int, head: str) -> None:
    with (FOLDER / f"{name}.jsonl").open("rb") as file:
        word = verify(file, public_key=None, check_signature=check_signature)
    assert (word.verdict, word.records, word.head, word.unknown_types) == (verdict, records, head, ())
    assert not any(isinstance(entry.event, UnknownEvent) for entry in entries(name))


BOTH = {
    "act/cron": "ok",
    "act/fence": "ok",
    "act/fence/methods/0": "failed",
    "act/fence/methods/1": "ok",
    "act/fence/proof/0": "ok",
    "diagnose": "ok",
    "diagnose/fault": "ok",
    "diagnose/now": "ok",
    "diagnose/probes": "ok",
    "diagnose/probes/lag": "ok",
    "diagnose/probes/role": "failed",
    "diagnose/quiet": "skipped",
}


def test_the_run_that_ended_done_still_did() -> None:
    state = RunState.of(entries("events-1-done"))
    assert outcomes(state) == BOTH | {
        "act": "ok",
        "act/cron/restore": "ok",
        "act/cron/restore/0": "ok",
        "act/promote": "ok",
        "act/promote/verify/0": "ok",
        "act/review": "ok",
        "act/up": "ok",
    }
    assert state.closed is not None
    assert (state.closed.state, state.closed.exit, state.closed.exceptions) == ("done", 0, ())
    assert state.fenced == {"db1": "act/fence"}
    assert state.in_doubt == state.open_questions == ()  # type: ignore[comparison-overlap]
    assert [(q.asked.kind, q.decided.by if q.decided else "") for q in state.questions.values()] == [
        ("approval", "li"), ("manual", "wang"),
    ]  # fmt: skip
    assert [answer.because for answer in state.questions["q1"].answers] == ["zhao is not commander", ""]
    assert state.questions["q2"].answers[-1].values == {"cause": "断电"}
    figures = attained(state)
    assert (figures.rto_met, figures.rpo_met) == (True, True)
    assert figures.rpa == Duration(0)
    restore = state.step("act/cron").intent
    assert restore is not None
    assert restore.started is not None
    assert restore.started.restore == {"steps": ["act/cron/restore/0"], "values": {"steps.lag.s": 7}}
    assert [note.text for _, note in state.notes] == ["I am on the bridge"]


def test_the_run_in_doubt_still_waits_for_the_same_word() -> None:
    state = RunState.of(entries("events-1-in-doubt"))
    assert outcomes(state) == BOTH | {"act/promote": "in_doubt", "act/promote/verify/0": "failed"}
    assert state.paused is not None
    assert (state.paused.reason, state.paused.path, state.paused.exit) == ("doubt", "act/promote", 10)
    assert [step.path for step in state.in_doubt] == ["act/promote"]
    assert [(q.asked.kind, q.asked.path, q.asked.choices) for q in state.open_questions] == [
        ("doubt", "act/promote", ("done", "not_done", "look", "abort"))
    ]
    step = state.step("act/promote")
    assert (step.unsettled, step.generation, len(step.effects)) == (True, 1, 1)
    assert step.intent is not None
    assert step.intent.started is not None
    assert step.intent.started.no_return
    assert step.intent.started.undo == {"none": "it has a history of its own"}
