"""The kind `tcp.check`: whether a TCP port is open, refuses, or says nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from drctl.core.kind import Criterion, FieldError, LookKind, Outputs, arg
from drctl.core.nouns import dataclass
from drctl.core.ports import Facts, PortState, Probe
from drctl.core.values import Duration, Unknown, Value
from drctl.kinds.commands import none

if TYPE_CHECKING:
    from collections.abc import Mapping

_MOST_PORT = 65535


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpCheck(LookKind):
    """Opens a TCP connection and closes it at once; nothing is sent.

    `state` is `open`, `refused` (the machine answers, nothing listens) or `silent` (no answer within the timeout).
    A refused connection is a complete reply; a silent one is not (`reply == 'timeout'`), since it proves nothing about
    the machine behind it. With `on: HOST` the connection is opened from that host, through its SSH link. `host` may be
    a host or role of the inventory, or any address.
    """

    NAME: ClassVar[str] = "tcp.check"
    OUTPUTS: ClassVar[Mapping[str, str]] = {
        "state": "text",
        "open": "bool",
        "refused": "bool",
        "silent": "bool",
        "latency": "duration",
    }
    CRITERIA: ClassVar[tuple[Criterion, ...]] = (
        Criterion(text="open", fields=frozenset({"open", "refused", "silent", "state"})),
    )
    TIMEOUT: ClassVar[Duration | None] = Duration.parse("5s")
    EXAMPLE: ClassVar[str] = """
- {id: db_port, do: tcp.check, with: {host: db-standby, port: 5432}}
- {id: fenced, do: tcp.check, with: {host: db-primary, port: 5432}, expect: refused, on: db-standby}
"""

    host: str = arg(type="text", doc="A host or role of the inventory, a name, or an address.")
    port: int = arg(type="int", doc="The port.")

    def __post_init__(self) -> None:
        if not 1 <= self.port <= _MOST_PORT:
            raise FieldError("port", f"{self.port} is not a port", f"a port is 1 to {_MOST_PORT}")
        if not self.host or any(character.isspace() for character in self.host):
            raise FieldError("host", "this is not a host")

    def look(self, probe: Probe) -> Outputs:
        """Connect once."""
        reply = probe.dialer.connect(probe.facts.address(self.host), self.port, probe.timeout)
        if reply.state is None:
            reason = reply.because or f"no answer ({reply.reach.value})"
            return Outputs(values=dict.fromkeys(self.OUTPUTS, none(reason)), reach=reply.reach, because=reason)
        values: dict[str, Value | Unknown] = {state.value: reply.state is state for state in PortState}
        values["state"] = reply.state.value
        values["latency"] = none("nothing answered") if reply.state is PortState.SILENT else reply.latency
        return Outputs(
            values=values, reach=reply.reach, because=reply.because or f"{self._target()} {reply.state.value}"
        )

    def describe(self, facts: Facts) -> str:
        """Which port is tried, with the address it stands for."""
        address = facts.address(self.host)
        return f"connect to {self._target()}" + (f" ({address})" if address != self.host else "")

    def _target(self) -> str:
        return f"{self.host}:{self.port}"
