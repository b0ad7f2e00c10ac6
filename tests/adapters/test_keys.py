"""The run's key: signs, is kept for its owner only, and is known by the fingerprint that ssh shows."""

import base64
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from drctl.adapters.keys import RunKey, fingerprint, verify_signature
from drctl.errors import JournalError
from tests.fakes.disks import FaultyDisk, names


def test_a_key_signs_and_others_do_not_match() -> None:
    key, other = RunKey.generate(), RunKey.generate()
    signature = key.sign(b"head")
    assert len(key.public) == 32
    assert len(signature) == 64
    assert verify_signature(key.public, signature, b"head")
    assert not verify_signature(key.public, signature, b"Head")
    assert not verify_signature(other.public, signature, b"head")
    assert not verify_signature(key.public, signature[:-1], b"head")
    assert not verify_signature(b"", signature, b"head")


def test_the_first_vector_of_rfc_8032_verifies() -> None:
    public = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
    signature = bytes.fromhex(
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
    )
    assert verify_signature(public, signature, b"")
    order = 2**252 + 27742317777372353535851937790883648493
    malleable = signature[:32] + (int.from_bytes(signature[32:], "little") + order).to_bytes(32, "little")
    assert not verify_signature(public, malleable, b"")


def test_a_saved_key_is_the_same_key_and_nobody_elses(tmp_path: Path) -> None:
    key = RunKey.generate()
    old = os.umask(0)
    try:
        key.save(tmp_path / "key")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    assert names(tmp_path) == ["key"]
    assert RunKey.load(tmp_path / "key").public == key.public


def test_a_key_that_cannot_be_used_says_so(tmp_path: Path) -> None:
    path = tmp_path / "key"
    with pytest.raises(JournalError, match="No such file"):
        RunKey.load(path)
    RunKey.generate().save(path)
    path.chmod(0o640)
    with pytest.raises(JournalError, match="open to others"):
        RunKey.load(path)
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(JournalError, match="cannot be read"):
        RunKey.load(tmp_path / "link")
    path.chmod(0o600)
    path.write_bytes(b"-----BEGIN nonsense")
    with pytest.raises(JournalError, match="no private key"):
        RunKey.load(path)


@pytest.mark.parametrize("operation", ["open", "write", "sync", "rename"])
def test_a_key_is_there_whole_or_not_at_all(tmp_path: Path, operation: str) -> None:
    with pytest.raises(JournalError, match="cannot be written"):
        RunKey.generate().save(tmp_path / "key", FaultyDisk(operation=operation, at=1))
    assert names(tmp_path) == []


@pytest.mark.needs("openssh-client")
def test_the_fingerprint_is_that_of_ssh_keygen(tmp_path: Path) -> None:
    public = RunKey.generate().public
    blob = b"\x00\x00\x00\x0bssh-ed25519\x00\x00\x00\x20" + public
    (tmp_path / "key.pub").write_text(f"ssh-ed25519 {base64.b64encode(blob).decode()} run\n")
    argv = ["ssh-keygen", "-l", "-f", str(tmp_path / "key.pub")]
    shown = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    assert fingerprint(public) in shown


def test_cryptography_is_loaded_only_when_something_is_signed() -> None:
    program = "import sys, drctl.adapters.statedir, drctl.adapters.recovery; sys.exit('cryptography' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
