"""The kind `ping.check`: whether a machine answers ICMP echo requests."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, ClassVar

from drctl.core.kind import Criterion, FieldError, LookKind, Outputs, arg
from drctl.core.nouns import dataclass
from drctl.core.ports import Command, Facts, Probe, Reach
from drctl.core.values import Duration, Unknown, Value
from drctl.kinds.commands import LOOK_LIMIT, complaint, none, shown, streams, unanswered, without_values

if TYPE_CHECKING:
    from collections.abc import Mapping

_MOST_PACKETS = 20
_WAIT = 2  # seconds for the last answer

# Options that the ping of iputils and that of busybox read alike.
_SCRIPT = f"""\
export LC_ALL=C
command -v ping >/dev/null 2>&1 || {{ echo "ping is not on this machine" >&2; exit 127; }}
exec ping -q -c "$COUNT" -W {_WAIT} "$TARGET"
"""
_TOTAL = re.compile(r"^(\d+) packets transmitted, (\d+) (?:packets )?received", re.MULTILINE)
_TIMES = re.compile(r"^(?:rtt|round-trip) min/avg/max\S* = [0-9.]+/([0-9.]+)/", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class PingCheck(LookKind):
    """Sends ICMP echo requests, one a second, with the `ping` program of the machine that looks.

    `received` is how many were answered, `latency` the mean time of an answer. Silence is no complete reply
    (`reply == 'timeout'`): a packet filter, a lost network and a dead machine look alike, so this is never the proof of
    a fence. Where there is no `ping`, or it may not send, or the name is not known, nothing has a value.
    """

    NAME: ClassVar[str] = "ping.check"
    OUTPUTS: ClassVar[Mapping[str, str]] = {"received": "int", "latency": "duration"}
    CRITERIA: ClassVar[tuple[Criterion, ...]] = (Criterion(text="received > 0", fields=frozenset({"received"})),)
    EXAMPLE: ClassVar[str] = """
- {id: old_primary, do: ping.check, with: {host: db-primary}, observe: true}
- {id: between_sites, on: gateway, do: ping.check, with: {host: db-standby, count: 5}, expect: latency < 20ms}
"""

    host: str = arg(type="text", doc="A host or role of the inventory, a name, or an address.")
    count: int = arg(type="int", doc="How many requests, 1 to 20.", default=3)

    def __post_init__(self) -> None:
        if not 1 <= self.count <= _MOST_PACKETS:
            raise FieldError("count", f"{self.count} is not a number of requests", f"1 to {_MOST_PACKETS}")
        if not self.host or self.host.startswith("-") or any(c.isspace() or c == "\0" for c in self.host):
            raise FieldError("host", "this is not a host")

    def look(self, probe: Probe) -> Outputs:
        """Ping once."""
        reply = probe.shell.read(self._command(probe.facts, probe.timeout))
        if reply.reach is not Reach.COMPLETE:
            return unanswered(PingCheck, reply)
        text = reply.stdout.decode(errors="replace")
        total = _TOTAL.search(text)
        if total is None:
            return without_values(PingCheck, complaint(reply, "ping gave no figures"))
        received = int(total[2])
        times = _TIMES.search(text)
        latency = Duration(int(Decimal(times[1]) * 1000)) if times and received else none("nothing answered")
        values: dict[str, Value | Unknown] = {"received": received, "latency": latency}
        because = f"{received} of {total[1]} answered"
        return Outputs(
            values=values,
            reach=Reach.COMPLETE if received else Reach.TIMEOUT,
            because=f"{because} after {latency.human()}" if isinstance(latency, Duration) else because,
            streams=streams(reply),
            whole=reply.whole,
            host_key=reply.host_key,
        )

    def describe(self, facts: Facts) -> str:
        """The script with host and number."""
        return shown(self._command(facts, LOOK_LIMIT))

    def _command(self, facts: Facts, timeout: Duration) -> Command:
        env = {"TARGET": facts.address(self.host), "COUNT": str(self.count)}
        return Command(script=_SCRIPT, env=env, timeout=timeout)
