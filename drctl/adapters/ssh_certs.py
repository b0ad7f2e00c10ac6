"""Host certificates of OpenSSH (its PROTOCOL.certkeys): read strictly, and judged as OpenSSH judges them, or harder.

A certificate says that an authority vouches for a host's key: for certain names, for a time. drctl has its authorities
from the inventory alone.
"""

from collections.abc import Collection
from datetime import UTC, datetime

import paramiko

from drctl.core.hostnames import matches
from drctl.core.nouns import dataclass

CERTIFIED = (
    "ssh-ed25519-cert-v01@openssh.com",
    "ecdsa-sha2-nistp256-cert-v01@openssh.com",
    "ecdsa-sha2-nistp384-cert-v01@openssh.com",
    "ecdsa-sha2-nistp521-cert-v01@openssh.com",
    "rsa-sha2-512-cert-v01@openssh.com",
    "rsa-sha2-256-cert-v01@openssh.com",
)
"""What a host is asked to prove itself with when an authority is known, the wanted ones first."""

_NUMBERS = {"ssh-ed25519": 1, "ssh-rsa": 2}  # fields of the key itself; ecdsa-sha2-*: curve and point
_HOST = 2
_SIGNATURES = frozenset(
    {"ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "rsa-sha2-512", "rsa-sha2-256"}
)  # not ssh-rsa: that is SHA-1, which OpenSSH takes from no authority (CASignatureAlgorithms)


@dataclass(frozen=True, slots=True, kw_only=True)
class HostCertificate:
    """What a certificate says. Times are seconds since 1970; `authority` is the key that signed it, as a blob."""

    kind: int
    key_id: str
    names: tuple[str, ...]
    after: int
    before: int
    critical: bytes
    authority: bytes
    signature: bytes
    signed: bytes


class _Blob:
    """Takes fields from the front; what is short is no certificate."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, size: int) -> bytes:
        part = self.data[self.at : self.at + size]
        if len(part) < size:
            raise ValueError("it was cut")
        self.at += size
        return part

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def string(self) -> bytes:
        return self.take(self.number(4))

    def text(self) -> str:
        return self.string().decode("utf-8", "replace")

    def end(self) -> None:
        if self.at != len(self.data):
            raise ValueError("something follows its end")


def read_certificate(data: bytes) -> HostCertificate:
    """Read a certificate.

    Raises:
        ValueError: it is none, with what is wrong with it.
    """
    blob = _Blob(data)
    kind = blob.text().partition("-cert-v01@")[0]
    fields = 2 if kind.startswith("ecdsa-sha2-") else _NUMBERS.get(kind)
    if fields is None:
        raise ValueError(f"it is of a type that drctl does not take: {kind[:40]}")
    for _ in range(1 + fields):  # the nonce, then the key
        blob.string()
    _serial, role, key_id = blob.number(8), blob.number(4), blob.text()
    names, listed = [], _Blob(blob.string())
    while listed.at < len(listed.data):
        names.append(listed.text())
    after, before = blob.number(8), blob.number(8)
    critical, _extensions, _reserved = blob.string(), blob.string(), blob.string()
    authority = blob.string()
    signed = data[: blob.at]
    signature = blob.string()
    blob.end()
    return HostCertificate(
        kind=role, key_id=key_id, names=tuple(names), after=after, before=before, critical=critical,
        authority=authority, signature=signature, signed=signed,
    )  # fmt: skip


def objection(  # noqa: PLR0911 - one line for each reason
    certificate: HostCertificate, authorities: Collection[bytes], names: Collection[str], now: float
) -> str:
    """Say why a certificate does not prove that the host is one of `names`; empty when it does.

    Harder than OpenSSH in one thing: a certificate that names no host is good for none.
    """
    if certificate.authority not in authorities:
        return "it is signed by another authority"
    if not _is_signed(certificate):
        return "its signature does not hold"
    if certificate.kind != _HOST:
        return "it is no certificate of a host"
    if certificate.critical:
        return "it has critical options, of which OpenSSH knows none for a host"
    if now < certificate.after:
        return f"it is not valid before {_time(certificate.after)}"
    if now >= certificate.before:
        return f"it was valid until {_time(certificate.before)}"
    if not any(matches(pattern, name) for pattern in certificate.names for name in names):
        listed = ", ".join(certificate.names[:8])[:200] or "no host at all"
        return f"it names {listed}, and not {' or '.join(sorted(names))}"
    return ""


def _is_signed(certificate: HostCertificate) -> bool:
    kind = _Blob(certificate.authority).text()
    try:
        parts = _Blob(certificate.signature)
        algorithm, _ = parts.text(), parts.string()
        parts.end()
        if algorithm not in _SIGNATURES or kind not in (algorithm, "ssh-rsa"):
            return False
        key = paramiko.PKey.from_type_string(kind, certificate.authority)
        return bool(key.verify_ssh_sig(certificate.signed, paramiko.Message(certificate.signature)))
    except (ValueError, paramiko.SSHException, paramiko.pkey.UnknownKeyType):
        return False


def _time(seconds: int) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError, OSError):
        return "a time beyond all calendars"
