"""Words from outside: in order, whole or not at all, and nothing that lies in an inbox upsets its reader."""

import os
from pathlib import Path

import pytest

from drctl.adapters.inbox import MAX_WORD, Inbox
from drctl.core.records import RecordRefusedError
from drctl.core.values import Secret
from drctl.errors import RefusedError, UsageError
from tests.fakes.disks import FaultyDisk, names


@pytest.fixture
def inbox(tmp_path: Path) -> Inbox:
    return Inbox(tmp_path / "inbox")


def test_words_come_in_order_and_stay_until_done(inbox: Inbox) -> None:
    assert inbox.take() == []
    for n in range(5):
        inbox.put("answer", {"id": f"q{n}", "text": "是"})
    words = inbox.take()
    assert [word for _, word in words] == [{"kind": "answer", "id": f"q{n}", "text": "是"} for n in range(5)]
    assert inbox.take() == words
    inbox.done(words[0][0])
    inbox.done(words[0][0])
    inbox.done("../lock")
    assert inbox.take() == words[1:]


def test_what_a_word_cannot_be_is_refused_to_its_sender(inbox: Inbox) -> None:
    for kind, payload in (("Bad Kind", {}), ("note", {"kind": "abort"}), ("note", {"text": "x" * MAX_WORD})):
        with pytest.raises(UsageError):
            inbox.put(kind, payload)
    with pytest.raises(RecordRefusedError):
        inbox.put("note", {"text": Secret("hunter2hunter2")})  # type: ignore[dict-item] # the point of the test
    assert inbox.take() == []


@pytest.mark.parametrize("operation", ["open", "write", "sync", "rename"])
def test_a_word_is_there_whole_or_not_at_all(tmp_path: Path, operation: str) -> None:
    inbox = Inbox(tmp_path / "inbox", FaultyDisk(operation=operation, at=1))
    with pytest.raises(RefusedError, match="could not be left"):
        inbox.put("pause", {})
    assert names(inbox.folder) == []


HOSTILE = {
    "half.json": b'{"kind":"answer","id":"q',
    "not-json.json": b"\x00\xff\xfe",
    "empty.json": b"",
    "list.json": b"[1]",
    "no-kind.json": b"{}",
    "kind.json": b'{"kind":7}',
    "twice.json": b'{"kind":"a","kind":"b"}',
    "float.json": b'{"kind":"a","x":1e999}',
    "deep.json": b'{"kind":"a","x":' + b"[" * 5000 + b"]" * 5000 + b"}",
    "huge.json": b'{"kind":"a","x":"' + b"x" * (2 * MAX_WORD) + b'"}',
    "surrogate.json": b'{"kind":"a","x":"\\ud800"}',
    "no-suffix": b'{"kind":"a"}',
    "line\nbreak.json": b'{"kind":"a"}',
    "-dash.json": b'{"kind":"a"}',
    "x" * 200 + ".json": b'{"kind":"a"}',
}


def test_hostile_files_are_put_aside_with_their_reason_and_the_good_ones_are_read(inbox: Inbox) -> None:
    inbox.put("pause", {})
    for name, content in HOSTILE.items():
        (inbox.folder / name).write_bytes(content)
    Path(os.fsdecode(os.fsencode(inbox.folder) + b"/\xff\xfe.json")).write_bytes(b"{}")
    (inbox.folder / "folder.json").mkdir()
    (inbox.folder / "folder.json" / "inner").write_bytes(b"x")
    os.mkfifo(inbox.folder / "pipe.json")
    (inbox.folder / "link.json").symlink_to("/etc/passwd")
    (inbox.folder / "dangling.json").symlink_to("/nowhere")
    (inbox.folder / ".tmp-half").write_bytes(b"{")
    assert [word["kind"] for _, word in inbox.take()] == ["pause"]
    reasons = inbox.refused()
    assert len(reasons) == len(HOSTILE) + 5
    assert all(reason.isascii() and reason.count("\n") == 1 for _, reason in reasons)
    assert any("half.json" in reason and "not JSON" in reason for _, reason in reasons)
    assert names(inbox.folder)[:1] == [".tmp-half"]
    assert [word["kind"] for _, word in inbox.take()] == ["pause"]
    assert len(inbox.refused()) == len(reasons)


def test_what_cannot_be_moved_aside_is_passed_over(inbox: Inbox) -> None:
    inbox.put("pause", {})
    (inbox.folder / "bad.json").write_bytes(b"{")
    (inbox.folder / "refused").write_bytes(b"a file in the way")
    for _ in range(2):
        assert [word["kind"] for _, word in inbox.take()] == ["pause"]
    assert inbox.refused() == []


def test_a_flood_is_taken_in_portions(inbox: Inbox) -> None:
    inbox.folder.mkdir()
    for n in range(300):
        (inbox.folder / f"{n:04}.json").write_bytes(b'{"kind":"note"}')
    seen = 0
    while words := inbox.take():
        assert len(words) <= 256
        seen += len(words)
        for name, _ in words:
            inbox.done(name)
    assert seen == 300
