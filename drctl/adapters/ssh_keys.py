"""Keys of SSH: the pinned host keys and authorities of an inventory, and private keys, each read once.

Only keys written in the inventory are believed, and certificates of the authorities it names. There is no first use
that is trusted, and no `known_hosts` file that grows: a rebuilt or standby host has another key, and a disaster is the
wrong time to learn it.
"""

import base64
import binascii
import hashlib
import threading
import time
from pathlib import Path

import paramiko

from drctl.adapters.link_words import NEW_RUN
from drctl.adapters.ssh_certs import CERTIFIED, objection, read_certificate
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
    """Accepts the host's pinned keys and certificates of its authorities, and nothing else; stores nothing.

    paramiko asks a policy only about keys it does not know, and it is told none, so every key comes here. Its own store
    holds one key of a type, which would make the changing of a key impossible.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        keys = [_parsed(line, host) for line in host.host_keys]
        self.types: list[str] = [*CERTIFIED] if host.host_cas else []
        self.types += [name for kind, _ in keys for name in _RSA.get(kind, (kind,))]
        self._blobs = {blob for _, blob in keys}
        self._authorities = {_parsed(line, host)[1] for line in host.host_cas}
        self._revoked = {_parsed(line, host)[1] for line in host.revoked_keys}

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:  # noqa: ARG002 - paramiko's signature
        """Judge the key of the host."""
        blob = key.asbytes()
        shown = f"{key.get_name()} {fingerprint(blob)}"
        if blob in self._revoked:
            raise HostKeyError(revoked(self._host, shown))
        why = None if blob in self._blobs else self._objection(key)
        if why is not None:
            raise HostKeyError(stranger(self._host, shown, why))

    def _objection(self, key: paramiko.PKey) -> str | None:
        """Why the host's certificate does not count; None when it does."""
        if not self._authorities:
            return ""
        if key.public_blob is None:
            return " and no certificate"
        try:
            certificate = read_certificate(key.public_blob.key_blob)
        except ValueError as error:
            return f" and a certificate that cannot be read ({error})"
        names = {self._host.address, self._host.name}
        why = objection(certificate, self._authorities - self._revoked, names, time.time())
        if certificate.authority in self._revoked:
            why = "that authority is revoked"
        signer = fingerprint(certificate.authority)
        return f" and a certificate ({certificate.key_id[:60]!r}, signed by {signer}): {why}" if why else None


def _at(host: Host) -> str:
    return host.address if host.port == 22 else f"[{host.address}]:{host.port}"  # noqa: PLR2004 - as known_hosts has it


def stranger(host: Host, shown: str, why: str) -> str:
    """Say that the host showed another key than the pinned ones; `why` its certificate does not help."""
    keys, authorities = ({_parsed(line, host)[1] for line in lines} for lines in (host.host_keys, host.host_cas))
    pinned = [fingerprint(one) for one in sorted(keys)]
    pinned += [f"the authority {fingerprint(one)}" for one in sorted(authorities)]
    return (
        f"host key: {_at(host)} proved itself with {shown}{why}, the inventory pins {', '.join(pinned) or 'none'}. "
        f"Either {host.name} was rebuilt, or this is another machine. Next: compare with "
        f"`ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` on its console, then change the key{NEW_RUN}"
    )


def fingerprints(host: Host) -> list[str]:
    """Of the keys that are pinned."""
    return [fingerprint(_parsed(line, host)[1]) for line in host.host_keys]


def revoked(host: Host, shown: str) -> str:
    """Say that the host showed a key which must not be believed any more."""
    return (
        f"host key: {_at(host)} proved itself with {shown}, which known_hosts says is revoked: whoever has that"
        f" key may be anybody. Next: give {host.name} a new host key, or find out which machine this is"
    )


def _parsed(line: str, host: Host) -> tuple[str, bytes]:
    """Type and blob of a public key line."""
    try:
        kind, text = line.split()[:2]
        return kind, base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        summary = f"Host {host.name}: {line[:40]!r} is not a public key of OpenSSH"
        raise DocumentError(summary, where=str(host.where)) from None


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
