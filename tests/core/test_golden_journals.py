"""Journals of every released format verify for ever. Never edit the files or the figures; only add."""

from pathlib import Path

import pytest

from drctl.adapters.journal_reader import read
from drctl.core.events import UnknownEvent, decode
from drctl.core.verification import Verdict, verify
from tests.fakes.journals import check_signature
from tests.second_verifier import verify as verify_second

FOLDER = Path(__file__).resolve().parents[1] / "journals"

WHOLE = (Verdict.INTACT_NOT_ANCHORED, "whole")
TORN = (Verdict.TORN, "torn")
GOLDEN = {
    "format-1-closed": (WHOLE, 10, "44c16f733a2f0572363f166325b0e761a12a3ac5fedfa9bc3c48b6eb9c55f094"),
    "format-1-taken-over": (WHOLE, 13, "005c6bfe37fe617b860104b8e01ac48fc3cf6addf35c832190b3fff916050986"),
    "format-1-crashed": (TORN, 9, "1ea468bf1dad23043a7cf38e3be4b8ccaee515a4942c45f4ca8023dce956cf55"),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_it_still_verifies_to_the_same_head(name: str) -> None:
    (verdict, said), records, head = GOLDEN[name]
    with (FOLDER / f"{name}.jsonl").open("rb") as file:
        word = verify(file, public_key=None, check_signature=check_signature)
    assert (word.verdict, word.records, word.head) == (verdict, records, head)
    assert word.unknown_types == ()
    assert verify_second((FOLDER / f"{name}.jsonl").read_bytes()) == (said, records)


@pytest.mark.parametrize("name", GOLDEN)
def test_its_records_are_still_events(name: str) -> None:
    for record in read(FOLDER / f"{name}.jsonl"):
        if record.type != "checkpoint":
            assert not isinstance(decode(record.type, record.body), UnknownEvent)


def test_no_golden_journal_is_forgotten() -> None:
    assert {path.stem for path in FOLDER.glob("format-*.jsonl")} == set(GOLDEN)
