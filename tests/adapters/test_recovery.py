"""Taking a journal up again: torn bytes are kept, damage is refused, and a new key says so first."""

import hashlib
from pathlib import Path

import pytest

from drctl.adapters.journal import NAME, JournalWriter
from drctl.adapters.keys import RunKey
from drctl.adapters.recovery import reopen
from drctl.core.verification import KeyStatus, Verdict
from drctl.errors import DefectError, JournalError, RefusedError
from tests.adapters.test_journal import KEY, NEVER, judge, note, start, types
from tests.fakes.disks import FaultyDisk
from tests.fakes.journals import UID, TickingClock


def left(folder: Path, tail: bytes = b"") -> bytes:
    """A journal as a crash left it: two records, signed, then `tail`."""
    with start(folder) as writer:
        note(writer)
    with (folder / NAME).open("ab") as file:
        file.write(tail)
    return (folder / NAME).read_bytes()


@pytest.mark.parametrize("tail", [b"{", b'{"actor":"x"}', bytes(4096), b'{"half' + bytes(600) + b'rest"}\n'])
def test_torn_bytes_are_put_aside_and_their_digest_is_told(tmp_path: Path, tail: bytes) -> None:
    before = left(tmp_path, tail)
    again = reopen(tmp_path, KEY, TickingClock(), checkpoint_after=NEVER)
    assert again.torn
    assert again.torn.torn_bytes == len(tail)
    assert again.torn.sha256 == hashlib.sha256(tail).hexdigest()
    assert again.torn.file == "journal.torn.1"
    assert (tmp_path / "journal.torn.1").read_bytes() == tail
    assert (tmp_path / NAME).read_bytes() == before.removesuffix(tail)
    assert not again.taken_over
    again.writer.append("recovered", {"torn_bytes": len(tail)}, actor="drctl", durable=True)
    again.writer.close()
    assert judge(tmp_path).verdict is Verdict.OPEN
    left_again = (tmp_path / NAME).read_bytes()
    (tmp_path / NAME).write_bytes(left_again + b"{other")
    third = reopen(tmp_path, KEY, TickingClock())
    assert third.torn
    assert third.torn.file == "journal.torn.2"
    third.writer.close()


def test_a_clean_journal_has_nothing_torn_and_goes_on_in_a_new_inode(tmp_path: Path) -> None:
    left(tmp_path)
    inode = (tmp_path / NAME).stat().st_ino
    again = reopen(tmp_path, KEY, TickingClock(), checkpoint_after=NEVER)
    assert again.torn is None
    assert again.writer.durable == 2
    assert (tmp_path / NAME).stat().st_ino != inode
    assert note(again.writer) == 3
    again.writer.close()
    assert judge(tmp_path, KEY.public).verdict is Verdict.OPEN


def test_damage_in_the_middle_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    data = bytearray(left(tmp_path))
    data[300] ^= 1
    (tmp_path / NAME).write_bytes(data)
    with pytest.raises(JournalError, match="is damaged") as caught:
        reopen(tmp_path, KEY, TickingClock())
    assert "audit verify" in caught.value.next
    assert (tmp_path / NAME).read_bytes() == data
    assert not list(tmp_path.glob("journal.torn.*"))


def test_a_closed_journal_is_never_written_again(tmp_path: Path) -> None:
    with start(tmp_path) as writer:
        writer.append("run_closed", {"state": "done", "exit": 0}, actor="a", durable=True)
    with pytest.raises(RefusedError, match="closed"):
        reopen(tmp_path, KEY, TickingClock())


@pytest.mark.parametrize("torn", [0, 100])
def test_a_closed_run_that_crashed_before_its_last_checkpoint_is_signed_and_nothing_else(
    tmp_path: Path, torn: int
) -> None:
    with start(tmp_path) as writer:
        writer.append("run_closed", {"state": "done", "exit": 0}, actor="a", durable=True)
    lines = (tmp_path / NAME).read_bytes().splitlines(keepends=True)
    (tmp_path / NAME).write_bytes(b"".join(lines[:2]) + lines[2][:torn])
    assert judge(tmp_path).exit == 24
    again = reopen(tmp_path, KEY, TickingClock())
    assert again.before.closed
    with pytest.raises(DefectError, match="closed"):
        note(again.writer)
    if again.torn:
        again.writer.append("recovered", {"torn_bytes": torn}, actor="drctl", durable=True)
    again.writer.close()
    assert judge(tmp_path).verdict is Verdict.INTACT_NOT_ANCHORED


@pytest.mark.parametrize("size", [0, 1, 200])
def test_a_run_whose_first_record_was_torn_never_opened(tmp_path: Path, size: int) -> None:
    data = left(tmp_path)
    (tmp_path / NAME).write_bytes(data[:size])
    with pytest.raises(RefusedError, match="never opened"):
        reopen(tmp_path, KEY, TickingClock())


def test_what_a_newer_drctl_wrote_is_not_resumed_over(tmp_path: Path) -> None:
    with start(tmp_path) as writer:
        writer.append("tunnel_dug", {}, actor="a", durable=True)
    with pytest.raises(RefusedError, match="tunnel_dug"):
        reopen(tmp_path, KEY, TickingClock())


def test_under_a_new_key_run_taken_over_comes_first(tmp_path: Path) -> None:
    left(tmp_path, b"{torn")
    new = RunKey.generate()
    again = reopen(tmp_path, new, TickingClock(), checkpoint_after=NEVER)
    assert again.taken_over
    writer = again.writer
    assert writer.checkpoint() is None
    with pytest.raises(DefectError, match="run_taken_over first"):
        writer.append("recovered", {"torn_bytes": 5}, actor="bob", durable=True)
    record = writer.append("run_taken_over", {"reason": "machine lost"}, actor="bob", durable=True)
    assert record.epoch == 2
    assert record.body["epoch"] == 2
    writer.append("recovered", {"torn_bytes": 5}, actor="bob", durable=True)
    writer.append("run_closed", {"state": "done", "exit": 0}, actor="bob", durable=True)
    writer.close()
    word = judge(tmp_path, KEY.public)
    assert word.verdict is Verdict.INTACT_NOT_ANCHORED
    assert word.key_status is KeyStatus.SELF_DECLARED
    assert [(use.seq, use.pinned) for use in word.keys] == [(0, True), (3, False)]


def test_without_a_key_the_tail_stays_unsigned(tmp_path: Path) -> None:
    left(tmp_path)
    with reopen(tmp_path, None, TickingClock()).writer as writer:
        note(writer)
        assert writer.checkpoint() is None
    word = judge(tmp_path)
    assert (word.verdict, word.signed, word.records) == (Verdict.UNSIGNED_TAIL, 3, 4)


@pytest.mark.parametrize("operation", ["open", "write", "sync", "rename", "reserve"])
def test_interrupted_at_any_point_it_can_be_called_again(tmp_path: Path, operation: str) -> None:
    before = left(tmp_path, b"{torn")
    at = 0
    while True:
        at += 1
        disk = FaultyDisk(operation=operation, at=at)
        try:
            reopen(tmp_path, KEY, TickingClock(), disk=disk, checkpoint_after=NEVER).writer.close()
        except JournalError:
            data = (tmp_path / NAME).read_bytes()
            assert data in (before, before.removesuffix(b"{torn"))
            (tmp_path / NAME).write_bytes(before)
        else:
            break
    assert at > 1
    assert [path.name for path in tmp_path.glob("journal.torn.*")] == ["journal.torn.1"]
    assert judge(tmp_path).verdict is Verdict.OPEN
    assert types(tmp_path) == ["run_opened", "note_added", "checkpoint"]


def test_the_epoch_survives(tmp_path: Path) -> None:
    writer = start(tmp_path)
    writer.append("run_taken_over", {"reason": "another operator"}, actor="bob", durable=True)
    assert writer.epoch == 2
    writer.close()
    again = reopen(tmp_path, KEY, TickingClock())
    assert again.writer.epoch == 2
    again.writer.close()
    assert isinstance(again.writer, JournalWriter)
    assert judge(tmp_path).uid == UID
