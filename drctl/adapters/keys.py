"""The run's own Ed25519 key, and checking what such keys signed.

A key is made when a run opens, signs its checkpoints, lies in the state folder (never in the run folder) and is deleted
when the run closes: a later thief finds nothing to sign an old journal with. `cryptography` is imported here only, and
only when something is signed or checked (40 ms).
"""

from __future__ import annotations

import base64
import hashlib
import os
from typing import TYPE_CHECKING

from drctl.adapters.disk import Disk, write_whole
from drctl.errors import JournalError

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_BLOB = b"\x00\x00\x00\x0bssh-ed25519\x00\x00\x00\x20"  # RFC 8709: how SSH frames an Ed25519 key


class RunKey:
    """A private key that signs; the port `Signer`."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self._public = key.public_key().public_bytes_raw()

    @classmethod
    def generate(cls) -> RunKey:
        """Make a new key from the system's randomness."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415 - lazy: 40 ms

        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def load(cls, path: Path) -> RunKey:
        """Read a key that `save` wrote.

        Raises:
            JournalError: the file is missing, readable by others, or holds no Ed25519 key.
        """
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415 - lazy: 40 ms
        from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415 - lazy: 40 ms

        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            with os.fdopen(fd, "rb") as file:
                mode = os.fstat(fd).st_mode
                data = file.read(4096)
        except OSError as error:
            raise _unusable(path, f"The run's key cannot be read: {error.strerror}.") from error
        if mode & 0o077:
            raise _unusable(path, f"The run's key is open to others (mode {mode & 0o777:04o}): it proves nothing now.")
        try:
            key = load_pem_private_key(data, password=None)
        except (ValueError, TypeError) as error:
            raise _unusable(path, "The file holds no private key.") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise _unusable(path, "The file holds a key of another kind than Ed25519.")
        return cls(key)

    def save(self, path: Path, disk: Disk | None = None) -> None:
        """Write the key (PKCS #8, PEM, mode 0600) so that it is there whole or not at all.

        Raises:
            JournalError: the disk refused.
        """
        from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - lazy: 40 ms

        pem = self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        try:
            write_whole(disk or Disk(), path, pem)
        except OSError as error:
            raise _unusable(path, f"The run's key cannot be written: {error.strerror}.") from error

    @property
    def public(self) -> bytes:
        """The raw public key, 32 bytes (RFC 8032)."""
        return self._public

    def sign(self, message: bytes) -> bytes:
        """The 64 bytes of the signature."""
        return self._key.sign(message)


def _unusable(path: Path, what: str) -> JournalError:
    return JournalError(
        what,
        where=str(path),
        meaning="Without its key the run cannot sign checkpoints; nothing was done.",
        next="move that file away, then drctl resume RUN   (goes on under a new key, and says so in the journal)",
    )


def verify_signature(public: bytes, signature: bytes, message: bytes) -> bool:
    """Whether the key made this signature over these bytes. Malformed keys and signatures are simply not valid."""
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - lazy: 40 ms
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415 - lazy: 40 ms

    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def fingerprint(public: bytes) -> str:
    """The key's fingerprint, as `ssh-keygen -l` prints it for the same key."""
    digest = hashlib.sha256(_BLOB + public).digest()
    return f"SHA256:{base64.b64encode(digest).decode().rstrip('=')}"
