"""SSH host keys as an inventory gives them: OpenSSH lines, alone or in a known_hosts file.

Only the form is checked; whether a host shows the key is the SSH adapter's business.
"""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
from typing import TYPE_CHECKING, Final

from drctl.core.hostnames import matches
from drctl.core.nouns import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable

_KEY_TYPES: Final = frozenset(
    {
        *("ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"),
        *("sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com"),
    }
)
_SSH: Final = 22
_MARKERS: Final = ("@revoked", "@cert-authority")
_BLOCK: Final = 64  # bytes SHA-1 works on
_OUTER: Final = bytes(byte ^ 0x5C for byte in range(256))
_INNER: Final = bytes(byte ^ 0x36 for byte in range(256))

try:  # what OpenSSH hides names with; it proves nothing
    hashlib.sha1(b"")  # noqa: S324 - as above
    _sha1 = hashlib.sha1
except ValueError:  # a host in FIPS mode; a third slower, so not everywhere
    _sha1 = functools.partial(hashlib.sha1, usedforsecurity=False)


def read_key(line: str) -> str:
    """Give `TYPE BASE64` of a public key line.

    Raises:
        ValueError: with what is wrong with it.
    """
    words = line.split()
    if len(words) < 2 or words[0] not in _KEY_TYPES:  # noqa: PLR2004 - type and key
        raise ValueError("a host key is written TYPE BASE64, such as ssh-ed25519 AAAA...")
    try:
        blob = base64.b64decode(words[1], validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("the key is not base64") from None
    length = int.from_bytes(blob[:4], "big")
    if blob[4 : 4 + length] != words[0].encode():
        raise ValueError(f"the key is not of type {words[0]}, or was cut")
    return f"{words[0]} {words[1]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What a known_hosts file says of one address: keys, authorities (`@cert-authority`), keys that are `@revoked`."""

    keys: tuple[str, ...] = ()
    authorities: tuple[str, ...] = ()
    revoked: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Line:
    marker: str
    names: str
    key: str


class KnownHosts:
    """A known_hosts file, read once. An address costs one look-up, and one HMAC for each hashed line not yet matched.

    `unreadable` says which lines with a marker could not be read: a key that ought to be refused could not be.
    """

    def __init__(self, text: str) -> None:
        self.unreadable: list[str] = []
        self._plain: dict[str, list[_Line]] = {}
        self._patterns: list[_Line] = []
        self._hashed = _Hashed()
        self._hashed_marked = _Hashed()
        for number, written in enumerate(text.splitlines(), 1):
            if written.strip() and not written.lstrip().startswith("#"):
                self._take(written.split(None, 1), number)

    def of(self, address: str, port: int) -> Known:
        """What is known of an address.

        As OpenSSH has it, the keys of a port other than 22 stand under `[ADDRESS]:PORT` alone. Authorities and revoked
        keys of the address hold for all its ports.
        """
        bare = address.lower()
        wanted = bare if port == _SSH else f"[{bare}]:{port}"
        lines = self._lines(wanted)
        if wanted != bare:
            lines += self._lines(bare, only_marked=True)
        marked = [line for line in lines if line.marker]
        revoked = {line.key for line in marked if line.marker == "@revoked"}
        return Known(
            keys=_keys(line.key for line in lines if not line.marker and line.key not in revoked),
            authorities=_keys(
                line.key for line in marked if line.marker == "@cert-authority" and line.key not in revoked
            ),
            revoked=_keys(revoked),
        )

    def _take(self, words: list[str], number: int) -> None:
        marker = words.pop(0) if words[0].startswith("@") else ""
        names, rest = [*" ".join(words).split(None, 1), "", ""][:2]
        why = "" if marker in ("", *_MARKERS) else f"{marker} is not known"
        try:
            line = _Line(marker, names, read_key(rest))
            hashed = _hash(names) if names.startswith("|") else None
        except ValueError as error:
            # a key type that drctl does not take may stand beside others that it does; an authority not read is none
            why = why or ("" if marker in ("", "@cert-authority") else str(error))
            line = None
        if why:
            self.unreadable.append(f"line {number}: {why}")
        elif line is None:
            return
        elif hashed is not None:
            (self._hashed_marked if line.marker else self._hashed).add(*hashed, line)
        elif set(names) & set("*?!"):
            self._patterns.append(line)
        else:
            for name in names.lower().split(","):
                self._plain.setdefault(name, []).append(line)

    def _lines(self, name: str, *, only_marked: bool = False) -> list[_Line]:
        data = name.encode("utf-8", "surrogateescape")
        found = list(self._plain.get(name, ()))
        found += self._hashed_marked.of(data)
        if not only_marked:
            found += self._hashed.of(data)
        for line in self._patterns:
            fits = [one for one in line.names.split(",") if matches(one.removeprefix("!"), name)]
            if fits and not any(one.startswith("!") for one in fits):
                found.append(line)
        return [line for line in found if line.marker or not only_marked]


class _Hashed:
    """Lines whose name is an HMAC-SHA1 (RFC 2104) of the address, each with a salt of its own.

    The two blocks that the salt makes are made once, which halves the cost of a look, and a line that was matched is
    tried no more, because it has one name.
    """

    def __init__(self) -> None:
        self._lines: list[tuple[bytes, bytes, bytes, _Line]] = []
        self._matched: dict[bytes, list[_Line]] = {}

    def add(self, salt: bytes, digest: bytes, line: _Line) -> None:
        """Take a line."""
        block = (salt if len(salt) <= _BLOCK else _sha1(salt).digest()).ljust(_BLOCK, b"\0")
        self._lines.append((block.translate(_OUTER), block.translate(_INNER), digest, line))

    def of(self, name: bytes) -> list[_Line]:
        """Give the lines of a name."""
        if name not in self._matched:
            sha1, found = _sha1, []
            for entry in self._lines:
                outer, inner, digest, _ = entry
                if sha1(outer + sha1(inner + name).digest()).digest() == digest:
                    found.append(entry)
            self._matched[name] = [line for _, _, _, line in found]
            if found:
                self._lines = [entry for entry in self._lines if entry not in found]
        return self._matched[name]


def _hash(names: str) -> tuple[bytes, bytes]:
    """Salt and digest of a hashed name."""
    version, salt, digest = names[1:].split("|")
    if version != "1":
        raise ValueError(f"the hash |{version}| is not known")
    return base64.b64decode(salt, validate=True), base64.b64decode(digest, validate=True)


def _keys(keys: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(keys))
