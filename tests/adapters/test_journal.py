"""The writer: acknowledged means on disk, an error ends it for good, order in the file is the order of calls."""

import errno
import os
import random
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from drctl.adapters.disk import Disk
from drctl.adapters.journal import NAME, SLACK, JournalWriter
from drctl.adapters.journal_reader import follow, read
from drctl.adapters.keys import RunKey
from drctl.adapters.recovery import reopen
from drctl.core.records import JSON, RecordRefusedError
from drctl.core.values import Secret
from drctl.core.verification import KeyStatus, Verdict, Verification, verify
from drctl.errors import DefectError, Exit, JournalError, RefusedError
from tests.fakes.disks import FaultyDisk
from tests.fakes.journals import UID, TickingClock, check_signature

ROOT = Path(__file__).resolve().parents[2]
KEY = RunKey.generate()
NEVER = 3600.0  # seconds: no checkpoint by the clock


def judge(folder: Path, key: bytes | None = None) -> Verification:
    with (folder / NAME).open("rb") as file:
        return verify(file, public_key=key, check_signature=check_signature)


def start(folder: Path, disk: Disk | None = None, checkpoint_after: float = NEVER) -> JournalWriter:
    writer = JournalWriter.create(folder, UID, KEY, TickingClock(), disk=disk, checkpoint_after=checkpoint_after)
    writer.append("run_opened", {"uid": UID}, actor="alice", durable=True)
    return writer


def note(writer: JournalWriter, text: str = "x", *, durable: bool = True) -> int:
    return writer.append("note_added", {"by": "alice", "text": text}, actor="alice", durable=durable).seq


def types(folder: Path) -> list[str]:
    return [record.type for record in read(folder / NAME)]


def test_a_whole_run_is_intact_with_modes_for_its_owner_only(tmp_path: Path) -> None:
    with start(tmp_path) as writer:
        note(writer)
        assert (tmp_path / SLACK).stat().st_size == 1024 * 1024
        writer.append("run_closed", {"state": "done", "exit": 0}, actor="alice", durable=True)
    word = judge(tmp_path, KEY.public)
    assert word.verdict is Verdict.INTACT_NOT_ANCHORED
    assert word.key_status is KeyStatus.PINNED
    assert types(tmp_path) == ["run_opened", "note_added", "run_closed", "checkpoint"]
    assert stat.S_IMODE((tmp_path / NAME).stat().st_mode) == 0o600
    assert not (tmp_path / SLACK).exists()


def test_an_undurable_record_is_in_the_file_at_once(tmp_path: Path) -> None:
    disk = FaultyDisk()
    with start(tmp_path, disk) as writer:
        syncs = disk.calls["sync_data"]
        note(writer, durable=False)
        assert disk.calls["sync_data"] == syncs
        assert writer.durable == 0
        assert types(tmp_path) == ["run_opened", "note_added"]


def test_threads_share_a_sync_and_the_order_is_one(tmp_path: Path) -> None:
    class SlowDisk(FaultyDisk):
        def sync_data(self, fd: int) -> None:
            gate.wait(2)  # as long as a sync of a slow disk: others queue up meanwhile
            super().sync_data(fd)

    gate = threading.Event()
    disk = SlowDisk()
    gate.set()
    with start(tmp_path, disk) as writer:
        gate.clear()
        seqs: list[int] = []
        threads = [threading.Thread(target=lambda: seqs.append(note(writer))) for _ in range(40)]
        before = disk.calls["sync_data"]
        for thread in threads:
            thread.start()
        gate.set()
        for thread in threads:
            thread.join()
        shared = disk.calls["sync_data"] - before
        assert sorted(seqs) == list(range(1, 41))
        assert shared < 40
        assert writer.durable == 40
    assert judge(tmp_path).verdict is Verdict.OPEN


def test_dur_is_the_last_seq_known_to_be_on_disk_when_written(tmp_path: Path) -> None:
    with start(tmp_path) as writer:
        note(writer, durable=False)
        note(writer, durable=False)
        note(writer)
        note(writer)
    assert [record.dur for record in read(tmp_path / NAME) if record.type != "checkpoint"] == [-1, 0, 0, 0, 3]


def test_a_checkpoint_comes_by_itself_and_none_when_nothing_is_new(tmp_path: Path) -> None:
    with start(tmp_path, checkpoint_after=0.05) as writer:
        seen = follow(tmp_path / NAME, lambda: False, clock=TickingClock())
        assert [next(seen).type for _ in range(2)] == ["run_opened", "checkpoint"]
        assert writer.checkpoint() is None
        assert writer.checkpoint() is None
        note(writer, durable=False)
        assert [next(seen).type for _ in range(2)] == ["note_added", "checkpoint"]
    assert types(tmp_path) == ["run_opened", "checkpoint", "note_added", "checkpoint"]


def test_a_checkpoint_is_written_only_after_all_before_it_is_on_disk(tmp_path: Path) -> None:
    events: list[str] = []

    class TellingDisk(FaultyDisk):
        def write(self, fd: int, data: bytes | memoryview) -> int:
            events.append("checkpoint" if b'"type":"checkpoint"' in bytes(data) else "record")
            return super().write(fd, data)

        def sync_data(self, fd: int) -> None:
            events.append("sync")
            super().sync_data(fd)

    with start(tmp_path, TellingDisk()) as writer:
        note(writer, durable=False)
        events.clear()
        writer.checkpoint()
    assert events == ["sync", "checkpoint", "sync"]


def test_what_must_not_be_recorded_is_refused_and_the_journal_goes_on(tmp_path: Path) -> None:
    with start(tmp_path) as writer:
        body: dict[str, JSON] = {"password": Secret("hunter2hunter2")}  # type: ignore[dict-item] # the point
        with pytest.raises(RecordRefusedError, match=r"body\.password: A secret"):
            writer.append("note_added", body, actor="alice", durable=True)
        note(writer)
    assert judge(tmp_path).verdict is Verdict.OPEN
    assert b"hunter2" not in (tmp_path / NAME).read_bytes()


def test_the_order_that_the_format_demands_is_held(tmp_path: Path) -> None:
    writer = JournalWriter.create(tmp_path, UID, KEY, TickingClock(), checkpoint_after=NEVER)
    with writer:
        with pytest.raises(DefectError, match="first record"):
            note(writer)
        writer.append("run_opened", {"uid": UID}, actor="a", durable=True)
        for type_ in ("run_opened", "checkpoint"):
            with pytest.raises(DefectError):
                writer.append(type_, {}, actor="a", durable=True)
        writer.append("run_closed", {"state": "done", "exit": 0}, actor="a", durable=True)
        with pytest.raises(DefectError, match="closed"):
            note(writer)
    with pytest.raises(DefectError, match="closed"):
        note(writer)
    with pytest.raises(JournalError, match="File exists"):
        JournalWriter.create(tmp_path, UID, KEY, TickingClock())


@pytest.mark.parametrize("operation", ["write", "sync_data"])
@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_one_error_ends_the_writer_for_good(tmp_path: Path, operation: str, error: int) -> None:
    disk = FaultyDisk()
    writer = start(tmp_path, disk)
    note(writer)
    disk.operation, disk.at, disk.error = operation, disk.calls[operation] + 1, error
    with pytest.raises(JournalError) as caught:
        note(writer)
    assert caught.value.exit is Exit.JOURNAL
    assert "number 1" in caught.value.meaning
    before = (tmp_path / NAME).read_bytes()
    for _ in range(3):  # the disk is well again, but the page cache can no longer be believed
        with pytest.raises(JournalError):
            note(writer)
        with pytest.raises(JournalError):
            writer.checkpoint()
    assert (tmp_path / NAME).read_bytes() == before
    writer.close()
    with reopen(tmp_path, KEY, TickingClock(), checkpoint_after=NEVER).writer as again:
        note(again)
    assert judge(tmp_path).verdict is Verdict.OPEN


def test_an_error_reaches_every_thread_that_waits(tmp_path: Path) -> None:
    disk = FaultyDisk()
    writer = start(tmp_path, disk)
    disk.operation, disk.at = "sync_data", disk.calls["sync_data"] + 3
    ends: list[str] = []

    def go() -> None:
        try:
            while True:
                note(writer)
        except JournalError:
            ends.append("told")

    threads = [threading.Thread(target=go) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ends == ["told"] * 20
    writer.close()


def test_an_interrupt_in_the_middle_of_a_line_ends_the_writer(tmp_path: Path) -> None:
    class InterruptedDisk(FaultyDisk):
        def write(self, fd: int, data: bytes | memoryview) -> int:
            super().write(fd, bytes(data)[:20])
            if armed:
                raise KeyboardInterrupt
            return 20

    armed = False
    writer = start(tmp_path, InterruptedDisk())
    armed = True
    with pytest.raises(KeyboardInterrupt):
        note(writer)
    armed = False
    with pytest.raises(JournalError):
        note(writer)
    writer.close()
    assert judge(tmp_path).verdict is Verdict.TORN


def test_a_full_disk_leaves_room_for_the_last_words(tmp_path: Path) -> None:
    disk = FaultyDisk()
    writer = start(tmp_path, disk)
    assert writer.last_words("run_paused", {"reason": "failure"}, actor="a") is None
    disk.operation, disk.at, disk.error, disk.tear = "write", disk.calls["write"] + 1, errno.ENOSPC, 30
    with pytest.raises(JournalError, match="No space left"):
        note(writer)
    assert not (tmp_path / SLACK).exists()
    stop = writer.last_words("run_paused", {"reason": "failure", "because": "disk full"}, actor="drctl")
    assert stop
    assert stop.seq == 2
    assert writer.last_words("run_paused", {"reason": "failure"}, actor="drctl") is None
    with pytest.raises(JournalError):
        note(writer)
    writer.close()
    assert types(tmp_path) == ["run_opened", "note_added", "run_paused", "checkpoint"]
    assert judge(tmp_path).verdict is Verdict.OPEN


def test_after_a_failed_sync_there_are_no_last_words(tmp_path: Path) -> None:
    disk = FaultyDisk()
    writer = start(tmp_path, disk)
    disk.operation, disk.at, disk.error = "sync_data", disk.calls["sync_data"] + 1, errno.ENOSPC
    with pytest.raises(JournalError):
        note(writer)
    assert writer.last_words("run_paused", {"reason": "failure"}, actor="drctl") is None
    writer.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small tmpfs needs root")
def test_a_really_full_disk(tmp_path: Path) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("this root may not mount a tmpfs")
    try:
        writer = start(folder)
        acknowledged: list[int] = []
        with pytest.raises(JournalError, match="No space left"):
            acknowledged.extend(note(writer, "x" * 4000) for _ in range(10_000))
        stop = writer.last_words("run_paused", {"reason": "failure"}, actor="drctl")
        assert stop
        writer.close()
        word = judge(folder)
        assert word.verdict is Verdict.OPEN
        assert word.records > max(acknowledged)
        with pytest.raises(JournalError):  # no room for a second copy: told so, and the journal is as it was
            reopen(folder, KEY, TickingClock())
        assert judge(folder) == word
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_writes_of_seven_bytes_make_the_same_journal(tmp_path: Path) -> None:
    with start(tmp_path, FaultyDisk(chunk=7)) as writer:
        note(writer, "复" * 100)
    assert judge(tmp_path).verdict is Verdict.OPEN


@pytest.mark.needs("strace")
@pytest.mark.parametrize("call", ["write", "fdatasync"])
def test_interrupted_system_calls_are_simply_made_again(tmp_path: Path, call: str) -> None:
    program = (
        "import sys; from pathlib import Path; from tests.adapters.test_journal import start, note\n"
        "with start(Path(sys.argv[1])) as writer:\n    [note(writer) for _ in range(20)]\n"
    )
    trace = ["strace", "-f", "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:error=EINTR:when=2+3"]
    ran = subprocess.run(
        [*trace, sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if "ptrace" in ran.stderr:
        pytest.skip("this machine does not allow tracing")
    assert ran.returncode == 0, ran.stderr
    assert judge(tmp_path).records == 22


def killed(folder: Path, rng: random.Random) -> list[int]:
    """Run a writer, kill it (-9) after a random number of acknowledgements; the seqs it acknowledged."""
    argv = [sys.executable, "-m", "tests.adapters.journal_writer", str(folder), rng.choice(["0", "7"]), "3"]
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout
        seqs = []
        wanted = rng.choice([1, 2, rng.randint(1, 300)])
        for line in process.stdout:
            seqs.append(int(line))
            if len(seqs) == wanted:
                process.kill()
                break
        seqs += [int(line) for line in process.stdout if line.endswith(b"\n")]
        assert process.wait() == -9
    return seqs


def test_nothing_acknowledged_is_lost_by_kill_9_however_often(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - shown when the test fails
    rng = random.Random(seed)
    acknowledged: set[int] = set()
    for _ in range(6):
        seqs = killed(tmp_path, rng)
        assert not acknowledged & set(seqs)
        acknowledged |= set(seqs)
        word = judge(tmp_path)
        assert word.verdict in (Verdict.OPEN, Verdict.UNSIGNED_TAIL, Verdict.TORN)
        assert max(acknowledged) < word.records
    with reopen(tmp_path, RunKey.load(tmp_path / "key"), TickingClock()).writer as writer:
        note(writer)
    assert judge(tmp_path).verdict is Verdict.OPEN


def test_following_goes_on_over_a_resume_in_another_inode(tmp_path: Path) -> None:
    done = False
    seen = follow(tmp_path / NAME, lambda: done, clock=TickingClock())
    writer = start(tmp_path)
    assert next(seen).type == "run_opened"
    note(writer, "one")
    assert next(seen).body["text"] == "one"
    writer.close()
    assert next(seen).type == "checkpoint"
    with (tmp_path / NAME).open("ab") as file:
        file.write(b'{"torn')
    inode = (tmp_path / NAME).stat().st_ino
    again = reopen(tmp_path, KEY, TickingClock(), checkpoint_after=NEVER)
    assert again.torn
    note(again.writer, "two")
    assert (tmp_path / NAME).stat().st_ino != inode
    assert next(seen).body["text"] == "two"
    note(again.writer, "three")
    done = True
    assert [record.body.get("text") for record in seen] == ["three"]
    again.writer.close()


def test_following_waits_for_a_journal_that_is_not_there_yet(tmp_path: Path) -> None:
    asked = iter([False, False, True])
    assert list(follow(tmp_path / NAME, lambda: next(asked, True), clock=TickingClock())) == []


def test_a_journal_that_shrinks_is_an_error_to_its_follower(tmp_path: Path) -> None:
    with start(tmp_path) as writer:
        note(writer)
    seen = follow(tmp_path / NAME, lambda: False, clock=TickingClock())
    for _ in range(3):
        next(seen)
    os.truncate(tmp_path / NAME, 100)
    with pytest.raises(JournalError, match="shorter"):
        next(seen)


def test_reading_stops_before_an_unfinished_line_and_names_a_bad_one(tmp_path: Path) -> None:
    with start(tmp_path) as writer:
        note(writer)
    data = (tmp_path / NAME).read_bytes()
    (tmp_path / NAME).write_bytes(data + b'{"half')
    assert len(list(read(tmp_path / NAME))) == 3
    (tmp_path / NAME).write_bytes(data + b"nonsense\n")
    with pytest.raises(JournalError, match=r"journal\.jsonl:4: .*not a record"):
        list(read(tmp_path / NAME))
    with pytest.raises(JournalError, match="No such file"):
        list(read(tmp_path / "missing"))


def test_a_journal_without_its_run_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="cannot be made"):
        JournalWriter.create(tmp_path / "missing", UID, KEY, TickingClock())
    (tmp_path / NAME).touch()
    with pytest.raises(RefusedError, match="never opened"):
        reopen(tmp_path, KEY, TickingClock())
