"""The kind `dns.check`: what a name server says about a name."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from drctl.core.dns import DNS_TYPES, DnsQuestion
from drctl.core.kind import Criterion, FieldError, LookKind, Outputs, arg
from drctl.core.nouns import dataclass
from drctl.core.ports import Facts, Probe, Reach
from drctl.core.values import Duration, Unknown, Value
from drctl.kinds.commands import none, without_values

if TYPE_CHECKING:
    from collections.abc import Mapping

_MOST_PORT = 65535
_MOST_NAME = 253
_MOST_LABEL = 63


@dataclass(frozen=True, slots=True, kw_only=True)
class DnsCheck(LookKind):
    """Asks a name server for the records of a name.

    `state` is `found`, `empty` (the name is there, but no record of this type) or `nxdomain` (no such name): all three
    are complete replies. `answers` are the records as text, sorted: addresses, `10 mail.example.org` (MX),
    `1 5 5432 db.example.org` (SRV); names in small letters without the last dot. An alias is followed as far as the
    server follows it. `ttl` is how long a cache that asks now may keep the answer, and stays unknown when the server
    does not say: ask the zone's own server to see the figure that was set, since any other counts it down.

    A server that cannot answer (SERVFAIL, REFUSED) leaves all without a value. Without `server`, those in
    `/etc/resolv.conf` of the control node are asked. With `on: HOST` the question goes by TCP through that host's SSH
    link, and `server` is required.
    """

    NAME: ClassVar[str] = "dns.check"
    REQUIRES: ClassVar[frozenset[str]] = frozenset({"dns"})
    OUTPUTS: ClassVar[Mapping[str, str]] = {
        "answers": "list",
        "ttl": "duration",
        "state": "text",
        "latency": "duration",
    }
    CRITERIA: ClassVar[tuple[Criterion, ...]] = (
        Criterion(text="not empty(answers)", fields=frozenset({"answers", "state"})),
    )
    TIMEOUT: ClassVar[Duration | None] = Duration.parse("10s")
    EXAMPLE: ClassVar[str] = """
- id: lowered
  do: dns.check
  with: {name: invoices.example.org, server: ns1.example.org}
  expect: ttl <= 60s
- id: switched
  do: dns.check
  with: {name: invoices.example.org, server: 192.0.2.53}
  expect: answers == ['198.51.100.7']
  until: {every: 10s, within: 5m}
- {id: gone, do: dns.check, with: {name: old.example.org, type: CNAME}, expect: state == 'nxdomain'}
"""

    name: str = arg(type="text", doc="The whole name; nothing is added to it.")
    type: str = arg(type="text", doc="The type of the records.", default="A", choices=DNS_TYPES)
    server: str = arg(type="text", doc="A host of the inventory, a name, or an address.", default="")
    port: int = arg(type="int", doc="The server's port.", default=53)

    def __post_init__(self) -> None:
        labels = self.name.removesuffix(".").split(".")
        fits = len(self.name) <= _MOST_NAME + 1 and all(0 < len(label) <= _MOST_LABEL for label in labels)
        if not fits or any(c.isspace() or not c.isprintable() for c in self.name):
            raise FieldError("name", f"{self.name!r} is not a name of the domain name system")
        if not 1 <= self.port <= _MOST_PORT:
            raise FieldError("port", f"{self.port} is not a port", f"a port is 1 to {_MOST_PORT}")
        if any(c.isspace() or c == "\0" for c in self.server):
            raise FieldError("server", "this is not a host")

    def look(self, probe: Probe) -> Outputs:
        """Ask once."""
        reply = probe.dns.ask(self._question(probe.facts, probe.timeout))
        if reply.state is None:
            reason = reply.because or f"no answer ({reply.reach.value})"
            return without_values(DnsCheck, reason, reply.reach)
        values: dict[str, Value | Unknown] = {
            "answers": reply.answers,
            "ttl": none("the server does not say how long this may be kept") if reply.ttl is None else reply.ttl,
            "state": reply.state.value,
            "latency": reply.latency,
        }
        what = ", ".join(reply.answers) or reply.state.value
        kept = f", for {reply.ttl.human()}" if reply.ttl is not None else ""
        return Outputs(values=values, reach=Reach.COMPLETE, because=f"{self.name} {self.type}: {what}{kept}")

    def describe(self, facts: Facts) -> str:
        """What is asked, and whom."""
        question = self._question(facts, Duration(0))
        whom = f" at {question.server}:{self.port}" if question.server else ""
        return f"ask for {self.name} {self.type}{whom}"

    def _question(self, facts: Facts, timeout: Duration) -> DnsQuestion:
        server = facts.address(self.server) if self.server else ""
        return DnsQuestion(name=self.name, type=self.type, server=server, port=self.port, timeout=timeout)
