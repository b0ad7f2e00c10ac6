"""Journals of every released format verify for ever. Never edit the files or the figures; only add."""

from pathlib import Path

import pytest

from drctl.adapters.journal_reader import read
from drctl.adapters.keys import RunKey
from drctl.adapters.recovery import reopen
from drctl.cli.runs import entries
from drctl.core.events import UnknownEvent, decode
from drctl.core.fold import RunState
from drctl.core.verification import Verdict, verify
from drctl.errors import RefusedError
from tests.fakes.journals import TickingClock, check_signature
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


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.jsonl")), ids=lambda path: path.stem)
def test_it_is_taken_up_or_refused_because_it_is_closed(path: Path, tmp_path: Path) -> None:
    """Nothing but the journal is needed: there is no index beside it that could disagree."""
    (tmp_path / "journal.jsonl").write_bytes(path.read_bytes())
    closed = any(record.type == "run_closed" for record in read(path))
    before = RunState.of(entries(path))
    if closed:
        with pytest.raises(RefusedError, match="closed"):
            reopen(tmp_path, RunKey.generate(), TickingClock())
        return
    key = RunKey.generate()
    again = reopen(tmp_path, key, TickingClock())
    assert again.taken_over
    with again.writer as writer:
        writer.append("run_taken_over", {"operator": "a", "node": "n", "reason": "a test"}, actor="a", durable=True)
    whole = path.read_bytes()
    assert (tmp_path / "journal.jsonl").read_bytes().startswith(whole[: whole.rfind(b"\n") + 1])
    with (tmp_path / "journal.jsonl").open("rb") as file:
        assert verify(file, public_key=None, check_signature=check_signature).verdict is Verdict.OPEN
    after = RunState.of(entries(tmp_path / "journal.jsonl"))
    assert {step: state.outcome for step, state in after.steps.items()} == {
        step: state.outcome for step, state in before.steps.items()
    }


def test_no_golden_journal_is_forgotten() -> None:
    assert {path.stem for path in FOLDER.glob("format-*.jsonl")} == set(GOLDEN)
