"""The state folder: found where it should be, closed to others, and never upset by what lies in it."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from drctl.adapters.journal import JournalWriter
from drctl.adapters.locks import FileLock, holder
from drctl.adapters.outputs import OutputStore
from drctl.adapters.statedir import StateDir, spoken, state_root
from drctl.errors import Exit, JournalError, LockedError, RefusedError, UsageError
from tests.fakes.disks import FaultyDisk, names
from tests.fakes.journals import TickingClock

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    return StateDir(tmp_path / "state")


@pytest.mark.parametrize(
    ("flag", "environment", "root"),
    [
        ("/flag", {"DRCTL_STATE": "/env", "XDG_STATE_HOME": "/xdg", "HOME": "/home/a"}, "/flag"),
        (None, {"DRCTL_STATE": "/env", "XDG_STATE_HOME": "/xdg", "HOME": "/home/a"}, "/env"),
        (None, {"XDG_STATE_HOME": "/xdg", "HOME": "/home/a"}, "/xdg/drctl"),
        (None, {"XDG_STATE_HOME": "relative", "HOME": "/home/a"}, "/home/a/.local/state/drctl"),
        (None, {"DRCTL_STATE": "", "HOME": "/home/a"}, "/home/a/.local/state/drctl"),
    ],
)
def test_where_the_state_folder_is(flag: str | None, environment: dict[str, str], root: str) -> None:
    assert state_root(flag, environment) == Path(root)


def test_without_a_home_it_says_what_to_type() -> None:
    with pytest.raises(UsageError, match="HOME is not set"):
        state_root(None, {})


def opened(state: StateDir) -> tuple[str, str]:
    run = state.new_run()
    with JournalWriter.create(run.path, run.uid, state.new_key(run.uid), TickingClock()) as writer:
        writer.append("run_opened", {"uid": run.uid}, actor="alice", durable=True)
    return run.id, run.uid


def test_a_run_is_found_by_id_prefix_and_uid_in_any_case(state: StateDir) -> None:
    assert state.list() == []
    id_, uid = opened(state)
    run = state.find(id_)
    assert (run.id, run.uid) == (id_, uid)
    assert state.find(id_.lower()) == state.find(uid[:12]) == state.find(f" {id_[:4]} ") == run
    assert state.list() == [run]
    for wrong in ("", "!", "../..", uid[:12] + "x"):
        with pytest.raises(UsageError, match="no run"):
            state.find(wrong)
    (state.root / "runs" / "not-a-run").mkdir()
    (state.root / "runs" / "ABCDE").mkdir()
    assert {found.id: found.uid for found in state.list()} == {id_: uid, "ABCDE": ""}


def test_an_ambiguous_prefix_names_the_candidates(state: StateDir) -> None:
    for name in ("ABCD1", "ABCD2"):
        (state.root / "runs" / name).mkdir(parents=True)
    with pytest.raises(UsageError, match="ABCD1, ABCD2"):
        state.find("abcd")
    assert state.find("ABCD2").id == "ABCD2"


def test_ids_are_sayable_and_unique(state: StateDir) -> None:
    runs = [state.new_run() for _ in range(200)]
    assert len({run.id for run in runs}) == len({run.uid for run in runs}) == 200
    for run in runs:
        assert len(run.id) == 5
        assert not set(run.id) & set("ILOU")
        assert spoken(run.id.lower().replace("1", "l").replace("0", "o")) == run.id
        assert len(bytes.fromhex(run.uid)) == 16


def test_everything_is_for_its_owner_only(state: StateDir) -> None:
    old = os.umask(0)
    try:
        run = state.new_run()
        with JournalWriter.create(run.path, run.uid, state.new_key(run.uid), TickingClock()) as writer:
            writer.append("run_opened", {"uid": run.uid}, actor="alice", durable=True)
        run.inbox.put("note", {"text": "x"})
        run.outputs.put(b"out")
        run.lock().release()
        state.named_lock("local").release()
    finally:
        os.umask(old)
    for folder, _, files in os.walk(state.root):
        assert stat.S_IMODE(Path(folder).stat().st_mode) == 0o700
        for name in files:
            assert stat.S_IMODE(Path(folder, name).stat().st_mode) == 0o600
    assert not list(run.path.rglob(run.uid))
    assert [path.name for path in (state.root / "keys").iterdir()] == [run.uid]


def test_the_key_is_kept_apart_and_forgotten(state: StateDir) -> None:
    _, uid = opened(state)
    key = state.load_key(uid)
    assert key
    state.forget_key(uid)
    state.forget_key(uid)
    assert state.load_key(uid) is None
    with pytest.raises(UsageError):
        state.key_path("../../etc/passwd")


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RefusedError, match="Not a directory"):
        StateDir(tmp_path / "file" / "state").new_run()
    with pytest.raises(RefusedError, match="Input/output"):
        StateDir(tmp_path / "state", FaultyDisk(operation="sync", at=1)).new_run()


def test_the_free_room_is_told(state: StateDir) -> None:
    assert state.free_bytes() > 0


# Locks


def test_a_second_writer_is_told_who_holds_the_lock_and_what_to_type(state: StateDir) -> None:
    run = state.new_run()
    assert run.holder() is None
    with run.lock(by="alice", purpose="run ABCDE: promote db2"):
        with pytest.raises(LockedError) as caught:
            run.lock(by="bob")
        assert caught.value.exit is Exit.LOCKED
        assert "run ABCDE: promote db2, by alice, process " in caught.value.what
        assert f"process {os.getpid()}" in caught.value.what
        assert f"drctl watch {run.id}" in caught.value.next
        held = run.holder()
        assert held
        assert held.by == "alice"
    assert run.holder() is None
    run.lock(by="bob").release()


def test_kill_9_gives_the_lock_back(state: StateDir) -> None:
    run = state.new_run()
    program = (
        "import sys; from pathlib import Path; from drctl.adapters.locks import FileLock\n"
        "lock = FileLock(Path(sys.argv[1]), by='child'); print('held', flush=True); sys.stdin.read()"
    )
    argv = [sys.executable, "-c", program, str(run.path / "lock")]
    with subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout
        assert child.stdout.readline() == b"held\n"
        with pytest.raises(LockedError, match=f"by child, process {child.pid}"):
            run.lock()
        child.kill()
        child.wait()
        assert run.holder() is None
        run.lock().release()


def test_exactly_one_of_many_wins(state: StateDir) -> None:
    run = state.new_run()
    program = (
        "import sys; from pathlib import Path; from drctl.adapters.locks import FileLock\n"
        "from drctl.errors import LockedError\n"
        "try:\n    lock = FileLock(Path(sys.argv[1])); print('won', flush=True)\n"
        "except LockedError:\n    print('lost', flush=True)\n"
        "sys.stdin.read()"
    )
    argv = [sys.executable, "-c", program, str(run.path / "lock")]
    children = [
        subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    try:
        said = [child.stdout.readline().strip() for child in children if child.stdout]
    finally:
        for child in children:
            child.communicate()
    assert sorted(said) == ["lost", "lost", "lost", "won"]


@pytest.mark.parametrize("note", [b"", b"{", b"\xff" * 5000, b"[]", b'{"pid":"x"}', b'{"pid":1,"node":2,"since":3}'])
def test_a_holder_that_left_no_readable_name_is_still_a_holder(tmp_path: Path, note: bytes) -> None:
    with FileLock(tmp_path / "lock") as lock:
        lock.path.write_bytes(note)
        with pytest.raises(LockedError, match="left no name"):
            FileLock(tmp_path / "lock")
        assert holder(tmp_path / "lock") is None


def test_asking_for_the_holder_does_not_rob_anybody(tmp_path: Path) -> None:
    for _ in range(50):
        assert holder(tmp_path / "lock") is None
        FileLock(tmp_path / "lock").release()


def test_names_of_locks_cannot_leave_their_folder(state: StateDir) -> None:
    for name in ("../../x", "发票", "a/b", ".", "..", "A b"):
        with state.named_lock(name) as lock:
            assert lock.path.parent == state.root / "locks"
            with pytest.raises(LockedError):
                state.named_lock(name)
    for name in ("", "x" * 300):
        with pytest.raises(UsageError):
            state.named_lock(name)


# Outputs


def test_an_output_grows_in_a_part_and_is_kept_under_its_digest(tmp_path: Path) -> None:
    store = OutputStore(tmp_path)
    with store.part("phase/step@db1#1") as part:
        part.write(b"line 1\n")
        assert store.live("phase/step@db1#1").read_bytes() == b"line 1\n"
        part.write(b"line 2\n")
        digest = part.seal()
    assert store.get(digest) == b"line 1\nline 2\n"
    assert names(tmp_path / "out") == [digest]
    assert store.put(b"line 1\nline 2\n") == digest
    assert store.put([b"line 1\n", b"line 2\n"]) == digest
    assert names(tmp_path / "out") == [digest]


def test_a_part_that_is_not_sealed_leaves_nothing(tmp_path: Path) -> None:
    store = OutputStore(tmp_path)
    with store.part("x") as part:
        part.write(b"half")
    assert names(tmp_path / "out") == []


def test_an_output_that_was_changed_or_is_missing_is_told(tmp_path: Path) -> None:
    store = OutputStore(tmp_path)
    digest = store.put(b"real")
    store.path(digest).write_bytes(b"forged")
    with pytest.raises(JournalError, match="digest differs"):
        store.get(digest)
    for wrong in ("../journal.jsonl", "0" * 64, "", digest.upper()):
        with pytest.raises(JournalError, match="not there"):
            store.get(wrong)


@pytest.mark.parametrize("operation", ["open", "write", "sync", "rename"])
def test_an_output_that_cannot_be_kept_gives_no_digest(tmp_path: Path, operation: str) -> None:
    store = OutputStore(tmp_path, FaultyDisk(operation=operation, at=1))
    with pytest.raises(JournalError):
        store.put(b"data")
    assert not [name for name in names(tmp_path / "out") if not name.endswith(".part")]
