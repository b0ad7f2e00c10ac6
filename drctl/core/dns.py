"""The port for questions to the domain name system, and what its answers say; no packet, no socket."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final, Protocol

from drctl.core.nouns import dataclass
from drctl.core.values import Duration

if TYPE_CHECKING:
    from drctl.core.ports import Reach

DNS_TYPES: Final = ("A", "AAAA", "CNAME", "TXT", "MX", "NS", "SOA", "SRV", "PTR")
"""The types of record that can be asked for (RFC 1035, 2782, 3596)."""

_NO_TIME: Final = Duration(0)


class NameState(enum.Enum):
    """What a server says about a name and a type: all three are answers (RFC 2308, section 2)."""

    FOUND = "found"
    EMPTY = "empty"  # the name is there, but no record of this type
    NXDOMAIN = "nxdomain"  # there is no such name


@dataclass(frozen=True, slots=True, kw_only=True)
class DnsQuestion:
    """One question. Without a `server`, those that this machine is set up to ask."""

    name: str
    type: str
    server: str = ""
    port: int = 53
    timeout: Duration


@dataclass(frozen=True, slots=True, kw_only=True)
class DnsReply:
    """What a server said. `state` None: it did not answer, or answered that it cannot (`because` says which).

    Attributes:
        answers: the records as text, sorted; names in small letters without the last dot.
        ttl: how long a cache that asked now may keep this: the least of the chain of records; of an answer without
            records, what the zone says about those. None when the server does not say.
    """

    reach: Reach
    state: NameState | None = None
    answers: tuple[str, ...] = ()
    ttl: Duration | None = None
    latency: Duration = _NO_TIME
    because: str = ""


class Dns(Protocol):
    """Asks name servers from one place. Safe to call from several threads; never raises for the world."""

    def ask(self, question: DnsQuestion) -> DnsReply:
        """Ask once; a lost packet is sent again within the limit."""
        ...
