"""audit verify: by id, folder, file or pipe; with the right key, the wrong one or none; on what became of a journal."""

import base64
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from drctl.errors import Exit
from tests.cli.conftest import Drctl


def stranger() -> str:
    """A public key that signed nothing."""
    public = Ed25519PrivateKey.generate().public_key()
    return base64.b64encode(public.public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()


def test_a_journal_is_judged_by_id_folder_file_or_pipe(drctl: Drctl, done: str, tmp_path: Path) -> None:
    away = tmp_path / "away.jsonl"
    shutil.copy(drctl.journal(done), away)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    found = []
    with subprocess.Popen(["sh", "-c", 'cat "$0" > "$1"', str(away), str(pipe)]):
        for named in (
            done,
            done.lower(),
            str(drctl.journal(done).parent),
            str(drctl.journal(done)),
            str(away),
            str(pipe),
        ):
            said = drctl("--output", "json", "audit", "verify", named)
            assert said.code == Exit.AUDIT_NOT_ANCHORED, said
            found.append(said.json)
    assert all(one == found[0] for one in found)
    assert found[0]["closed"] is True
    text = drctl("audit", "verify", done).out
    assert "intact, not anchored" in text
    assert "SELF-DECLARED" in text


def test_a_key_that_was_handed_in_is_pinned(drctl: Drctl, done: str) -> None:
    own = drctl("--output", "json", "audit", "verify", done).json["keys"][0]["public"]
    right = drctl("audit", "verify", done, "--pub", own)
    assert right.code == Exit.AUDIT_NOT_ANCHORED
    assert "PINNED" in right.out
    wrong = drctl("audit", "verify", done, "--pub", stranger())
    assert wrong.code == Exit.AUDIT_NOT_INTACT
    assert "another key" in wrong.out


@pytest.mark.parametrize(
    "key", ["", "!!", "AAAA", "a" * 43, "é" * 44], ids=["empty", "no-base64", "short", "cut", "text"]
)
def test_what_is_no_key_is_refused_never_ignored(drctl: Drctl, done: str, key: str) -> None:
    said = drctl("audit", "verify", done, "--pub", key)
    assert said.code == Exit.USAGE
    assert said.out == ""


def test_any_changed_byte_is_found(drctl: Drctl, done: str, tmp_path: Path) -> None:
    whole = drctl.journal(done).read_bytes()
    changed = tmp_path / "changed.jsonl"
    places = range(0, len(whole), max(1, len(whole) // 150))
    missed = []
    for place in places:
        changed.write_bytes(whole[:place] + bytes([whole[place] ^ 0x01]) + whole[place + 1 :])
        if drctl("audit", "verify", str(changed)).code in {Exit.DONE, Exit.AUDIT_NOT_ANCHORED}:
            missed.append(place)
    assert missed == []


def test_what_was_cut_off_is_not_intact(drctl: Drctl, done: str, tmp_path: Path) -> None:
    lines = drctl.journal(done).read_bytes().splitlines(keepends=True)
    cut = tmp_path / "cut.jsonl"
    for kept in range(len(lines)):
        cut.write_bytes(b"".join(lines[:kept]))
        said = drctl("--output", "json", "audit", "verify", str(cut))
        assert said.code in {Exit.AUDIT_TRUNCATED, Exit.AUDIT_UNSIGNED_TAIL, Exit.AUDIT_NOT_INTACT, 23}, (kept, said)
        assert said.json["closed"] is (kept >= len(lines) - 1), "without its last records a run is not closed"
    cut.write_bytes(b"".join(lines)[:-5])
    assert drctl("audit", "verify", str(cut)).code == Exit.AUDIT_UNSIGNED_TAIL


def test_an_open_run_is_judged_as_open(drctl: Drctl, waiting: str) -> None:
    said = drctl("--output", "json", "audit", "verify", waiting)
    assert said.code in {Exit.AUDIT_NOT_ANCHORED, Exit.AUDIT_UNSIGNED_TAIL}
    assert said.json["closed"] is False


@pytest.mark.parametrize("named", ["", "nothing", "./nothing.jsonl", "/dev/null", "empty-folder", "/"])
def test_what_is_no_journal_is_no_verdict(drctl: Drctl, named: str) -> None:
    (drctl.folder / "empty-folder").mkdir()
    said = drctl("audit", "verify", named)
    assert said.code == Exit.USAGE, said
    assert said.out == ""


def test_a_journal_that_cannot_be_read_is_no_verdict(drctl: Drctl, done: str) -> None:
    drctl.journal(done).unlink()
    drctl.journal(done).mkdir()
    assert drctl("audit", "verify", done).code == Exit.JOURNAL
