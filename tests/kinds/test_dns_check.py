"""`dns.check`: what a name server said as values, and what it did not say as none."""

import pytest

from drctl.core.dns import DnsQuestion, DnsReply
from drctl.core.kind import FieldError
from drctl.core.ports import Reach
from drctl.core.values import Duration, Unknown
from drctl.kinds.dns_check import DnsCheck
from tests.fakes.nameservers import FakeDns
from tests.kinds.worlds import LIMIT, Facts, probe

ZONES = {
    "10.0.0.53": {("invoices.example", "A"): (60, ("192.0.2.9", "192.0.2.10"))},
    "": {("invoices.example", "A"): (3600, ("192.0.2.1",))},
}


def test_answers_have_types_and_order() -> None:
    dns = FakeDns(ZONES)  # type: ignore[arg-type] # narrower than a zone
    facts = Facts(names={"ns": "10.0.0.53"})
    outputs = DnsCheck(name="invoices.example", server="ns").look(probe(dns=dns, facts=facts))
    assert outputs.values == {
        "answers": ("192.0.2.10", "192.0.2.9"),
        "ttl": Duration.parse("60s"),
        "state": "found",
        "latency": Duration(0),
    }
    assert outputs.because == "invoices.example A: 192.0.2.10, 192.0.2.9, for 1m"
    assert dns.asked == [DnsQuestion(name="invoices.example", type="A", server="10.0.0.53", timeout=LIMIT)]


def test_without_a_server_the_machines_own_are_asked() -> None:
    outputs = DnsCheck(name="invoices.example").look(probe(dns=FakeDns(ZONES)))  # type: ignore[arg-type] # see above
    assert outputs.values["answers"] == ("192.0.2.1",)


@pytest.mark.parametrize(("name", "state"), [("invoices.example", "empty"), ("gone.example", "nxdomain")])
def test_nothing_there_is_a_complete_reply(name: str, state: str) -> None:
    outputs = DnsCheck(name=name, type="TXT").look(probe(dns=FakeDns(ZONES)))  # type: ignore[arg-type] # see above
    assert outputs.reach is Reach.COMPLETE
    assert (outputs.values["answers"], outputs.values["state"]) == ((), state)


class Refuses:
    def ask(self, question: DnsQuestion) -> DnsReply:  # noqa: ARG002 - the port's parameter
        return DnsReply(reach=Reach.COMPLETE, because="ns cannot answer: REFUSED")


def test_a_server_that_cannot_answer_leaves_no_value() -> None:
    outputs = DnsCheck(name="invoices.example").look(probe(dns=Refuses()))
    assert all(isinstance(value, Unknown) for value in outputs.values.values())
    assert outputs.because == "ns cannot answer: REFUSED"


@pytest.mark.parametrize(
    "fields",
    [
        {"name": ""},
        {"name": "a..b"},
        {"name": "a b.example"},
        {"name": "x" * 64},
        {"name": "a.example", "port": 0},
        {"name": "a.example", "server": "a b"},
    ],
)
def test_what_cannot_be_asked_is_refused(fields: dict[str, str | int]) -> None:
    with pytest.raises(FieldError):
        DnsCheck(**fields)  # type: ignore[arg-type] # a map of both
