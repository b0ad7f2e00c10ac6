"""Name servers in memory: zones by server, and the rules of a real one for aliases and for what is not there."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from drctl.core.dns import DnsQuestion, DnsReply, NameState
from drctl.core.ports import Reach
from drctl.core.values import Duration

Zone = Mapping[tuple[str, str], tuple[int, tuple[str, ...]]]
"""Name and type to seconds to live and records."""

NEGATIVE_TTL = 30
"""What the fake says about how long it may be remembered that there is nothing."""


@dataclass
class FakeDns:
    """A `Dns`. `zones` by server; the server '' is what this machine is set up to ask. Any other does not answer."""

    zones: dict[str, Zone] = field(default_factory=dict)
    asked: list[DnsQuestion] = field(default_factory=list)

    def ask(self, question: DnsQuestion) -> DnsReply:
        self.asked.append(question)
        zone = self.zones.get(question.server)
        if zone is None:
            return DnsReply(reach=Reach.TIMEOUT, because=f"no answer from {question.server or 'any server'}")
        name, seconds = question.name.removesuffix(".").lower(), []
        while (name, question.type) not in zone and (name, "CNAME") in zone:
            ttl, (name, *_) = zone[name, "CNAME"]
            seconds.append(ttl)
        if (name, question.type) in zone:
            ttl, records = zone[name, question.type]
            return self._reply(NameState.FOUND, min([*seconds, ttl]), tuple(sorted(records)))
        there = any(owner == name for owner, _ in zone)
        return self._reply(NameState.EMPTY if there else NameState.NXDOMAIN, min([*seconds, NEGATIVE_TTL]))

    @staticmethod
    def _reply(state: NameState, ttl: int, answers: tuple[str, ...] = ()) -> DnsReply:
        return DnsReply(reach=Reach.COMPLETE, state=state, answers=answers, ttl=Duration(ttl * 1_000_000))
