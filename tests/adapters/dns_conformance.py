"""What every `Dns` owes, as one suite: the one in memory and the real adapter run it.

A subclass gives a fixture `served` with a `Dns` and the server to ask, which has the records of `ZONE`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from drctl.core.dns import Dns, DnsQuestion, DnsReply, NameState
from drctl.core.ports import Reach
from drctl.core.values import Duration

NEGATIVE_TTL = 30
LONG = tuple(f"192.0.2.{number}" for number in range(1, 101))
ZONE: Mapping[tuple[str, str], tuple[int, tuple[str, ...]]] = {
    ("one.example", "A"): (300, ("192.0.2.7", "192.0.2.11")),
    ("one.example", "AAAA"): (60, ("2001:db8::1",)),
    ("one.example", "TXT"): (60, ("v=spf1 -all",)),
    ("one.example", "MX"): (60, ("10 mail.example",)),
    ("_db._tcp.example", "SRV"): (60, ("1 5 5432 one.example",)),
    ("example", "NS"): (60, ("ns1.example", "ns2.example")),
    ("example", "SOA"): (60, ("ns1.example admin.example 7 3600 600 86400 30",)),
    ("www.example", "CNAME"): (20, ("one.example",)),
    ("far.example", "CNAME"): (500, ("www.example",)),
    ("many.example", "A"): (60, LONG),
    ("7.2.0.192.in-addr.arpa", "PTR"): (60, ("one.example",)),
}


@dataclass(slots=True)
class Served:
    """A port under test, and whom to ask."""

    dns: Dns
    server: str
    port: int = 53

    def ask(self, name: str, type_: str = "A", *, timeout: str = "20s") -> DnsReply:
        limit = Duration.parse(timeout)
        return self.dns.ask(DnsQuestion(name=name, type=type_, server=self.server, port=self.port, timeout=limit))


class DnsConformance:
    @pytest.mark.parametrize(("name", "type_"), [key for key in ZONE if key[0] != "many.example"])
    def test_records_are_given_as_text_sorted(self, served: Served, name: str, type_: str) -> None:
        reply = served.ask(name, type_)
        ttl, records = ZONE[name, type_]
        assert (reply.reach, reply.state) == (Reach.COMPLETE, NameState.FOUND), reply.because
        assert reply.answers == tuple(sorted(records))
        assert reply.ttl == Duration(ttl * 1_000_000)

    def test_a_name_is_found_however_it_is_written(self, served: Served) -> None:
        assert served.ask("ONE.Example.").answers == ("192.0.2.11", "192.0.2.7")

    def test_aliases_are_followed_and_the_least_ttl_counts(self, served: Served) -> None:
        reply = served.ask("far.example")
        assert reply.answers == ("192.0.2.11", "192.0.2.7")
        assert reply.ttl == Duration(20_000_000)

    def test_a_name_without_such_a_record_is_empty(self, served: Served) -> None:
        reply = served.ask("_db._tcp.example")
        assert (reply.reach, reply.state, reply.answers) == (Reach.COMPLETE, NameState.EMPTY, ())
        assert reply.ttl == Duration(NEGATIVE_TTL * 1_000_000)

    def test_a_name_that_is_not_there_is_an_answer(self, served: Served) -> None:
        reply = served.ask("gone.example")
        assert (reply.reach, reply.state, reply.answers) == (Reach.COMPLETE, NameState.NXDOMAIN, ())
        assert reply.ttl == Duration(NEGATIVE_TTL * 1_000_000)

    def test_many_records_come_whole(self, served: Served) -> None:
        assert served.ask("many.example").answers == tuple(sorted(LONG))
