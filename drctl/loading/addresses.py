"""Where a host is reached: what can be no name and no address is refused before anything is connected."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Final

from drctl.core.nouns import dataclass
from drctl.loading.shapes import BAD, WRITTEN, Bad, written

if TYPE_CHECKING:
    from drctl.loading.nodes import Node
    from drctl.loading.shapes import Reading, Schema

_SHOWN: Final = 60
_MEANING: Final = "the name or the address of a host"
_PLAIN: Final = "a host name, an alias of ~/.ssh/config, an IPv4 or an IPv6 address"
_SCHEMA: Final = r"^(?!-)(?:[^\s@:]+|(?=[^:]*:[^:]*:)[0-9A-Fa-f:.]+(?:%[^\s@:]+)?)$"
_PARTS: Final = re.compile(
    r"(?:[A-Za-z][A-Za-z0-9+.-]*://)?(?:(?P<user>[^\s@:/]+)@)?(?P<host>\[[0-9A-Fa-f:.]+\]|[^\s@:/]+)"
    r"(?::(?P<port>\d{1,5}))?/?"
)


@dataclass(frozen=True, slots=True)
class Address:
    """A host name, an alias of `~/.ssh/config`, an IPv4 or an IPv6 address: user and port have keys of their own."""

    def read(self, node: Node, reading: Reading) -> str | Bad:
        """Read it."""
        scalar = written(node, reading, _MEANING)
        if isinstance(scalar, Bad):
            return BAD
        text = scalar.text
        if _can_be(text):
            return text
        shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
        reading.problems.error("E204", node.where, f"'{shown}' is not {_MEANING}{reading.of}", _instead(text))
        return BAD

    def schema(self) -> Schema:
        """No blank, no user, no scheme, no port."""
        return WRITTEN | {"pattern": _SCHEMA}


def _can_be(text: str) -> bool:
    if not text or text.startswith("-") or "@" in text or any(c.isspace() or not c.isprintable() for c in text):
        return False
    return ":" not in text or _is_ipv6(text)


def _is_ipv6(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).version == 6  # noqa: PLR2004 - the version's own name
    except ValueError:
        return False


def _instead(text: str) -> str:
    """What to write: the host alone, with user and port under their own keys."""
    parts = _PARTS.fullmatch(text.strip())
    host = parts["host"].removeprefix("[").removesuffix("]") if parts is not None else ""
    if parts is None or not _can_be(host):
        return _PLAIN
    more = [f"login: {{user: {parts['user']}}}"] if parts["user"] else []
    more += [f"port: {parts['port']}"] if parts["port"] else []
    return ", ".join([f"address: {host}", *more])
