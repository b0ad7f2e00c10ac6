"""Keys of SSH: the pinned host keys of an inventory, and private keys, each read once.

Only keys written in the inventory are believed. There is no first use that is trusted, and no `known_hosts` file that
grows: a rebuilt or standby host has another key, and a disaster is the wrong time to learn it.
"""

import base64
import binascii
import hashlib
import threading
from pathlib import Path

import paramiko

from drctl.core.inventory import Host
from drctl.errors import DocumentError

_RSA = {"ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256")}  # RFC 8332: one kind of key, two signatures


class HostKeyError(paramiko.SSHException):
    """The host proved itself with a key that is not pinned."""


class KeyFileError(Exception):
    """A private key cannot be used; the text says why, never what is in it."""


def fingerprint(blob: bytes) -> str:
    """Write a public key the way `ssh-keygen -l` does."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


class Pins(paramiko.MissingHostKeyPolicy):
    """Accepts the host's pinned keys and nothing else; stores nothing.

    paramiko asks a policy only about keys it does not know, and it is told none, so every key comes here. Its own store
    holds one key of a type, which would make the changing of a key impossible.
    """

    def __init__(self, host: Host) -> None:
        self.types: list[str] = []
        self._blobs: set[bytes] = set()
        self._host = host
        for line in host.host_keys:
            try:
                kind, text = line.split()[:2]
                blob = base64.b64decode(text, validate=True)
            except (ValueError, binascii.Error):
                raise DocumentError(
                    f"Host {host.name}: {line[:40]!r} is not a public key of OpenSSH", where=str(host.where)
                ) from None
            self.types += _RSA.get(kind, (kind,))
            self._blobs.add(blob)

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:  # noqa: ARG002 - paramiko's signature
        """Judge the key of the host."""
        if key.asbytes() not in self._blobs:
            pinned = ", ".join(sorted(fingerprint(blob) for blob in self._blobs)) or "none"
            raise HostKeyError(
                f"host key: {hostname} proved itself with {key.get_name()} {fingerprint(key.asbytes())}, "
                f"the inventory pins {pinned}. Either {self._host.name} was rebuilt, or this is another machine: "
                f"compare with `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` on its console, then change host_key"
            )


class PrivateKeys:
    """Reads each private key once: an RSA key costs 0.1 s of CPU, and a hundred hosts share one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._keys: dict[str, paramiko.PKey] = {}

    def get(self, path: str) -> paramiko.PKey:
        """Give the key of a file.

        Raises:
            KeyFileError: it is not there, locked by a passphrase, or of a kind that is not known.
        """
        with self._lock:
            if path not in self._keys:
                try:
                    self._keys[path] = paramiko.PKey.from_path(str(Path(path).expanduser()))
                except OSError as error:
                    raise KeyFileError(f"login: key {path} cannot be read: {error.strerror}") from None
                except TypeError:
                    raise KeyFileError(f"login: key {path} has a passphrase; use an agent (login.agent)") from None
                except (paramiko.SSHException, ValueError):
                    raise KeyFileError(f"login: {path} is not a private key that can be used") from None
            return self._keys[path]
