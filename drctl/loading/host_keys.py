"""SSH host keys as an inventory gives them: OpenSSH lines, alone or in a known_hosts file.

Only the form is checked; whether a host shows the key is the SSH adapter's business.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import Final

_KEY_TYPES: Final = frozenset(
    {
        *("ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"),
        *("sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com"),
    }
)
_HASH_PARTS: Final = 4


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


def keys_in_known_hosts(text: str, address: str, port: int) -> tuple[str, ...]:
    """Give the keys a known_hosts file has for an address; revoked keys and authorities are left out."""
    wanted = address if port == 22 else f"[{address}]:{port}"  # noqa: PLR2004 - the port that is not written
    found = []
    for line in text.splitlines():
        names, _, rest = line.strip().partition(" ")
        if any(_names(one, wanted) for one in names.split(",")):  # a comment or @revoked is no name
            try:
                found.append(read_key(rest))
            except ValueError:
                continue  # a key type that drctl does not take, beside others that it does
    return tuple(found)


def _names(pattern: str, wanted: str) -> bool:
    if not pattern.startswith("|1|"):
        return pattern.lower() == wanted.lower()
    parts = pattern.split("|")
    if len(parts) != _HASH_PARTS:
        return False
    try:
        salt, digest = base64.b64decode(parts[2]), base64.b64decode(parts[3])
    except (binascii.Error, ValueError):
        return False
    return hmac.compare_digest(hmac.new(salt, wanted.encode(), hashlib.sha1).digest(), digest)
