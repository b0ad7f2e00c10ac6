"""The port `Dns` on real sockets, the one in memory, and packets that somebody else made."""

import contextlib
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drctl.adapters import dns_wire
from drctl.adapters.dialer import local_connect
from drctl.adapters.dns import NameServers
from drctl.core.dns import DNS_TYPES, DnsQuestion, NameState
from drctl.core.ports import Reach
from drctl.core.values import Duration
from tests.adapters.dns_conformance import ZONE, DnsConformance, Served
from tests.fakes.dnsserver import NameServer, name_bytes, name_server, record, silent_port
from tests.fakes.nameservers import FakeDns

LIMIT = Duration.parse("20s")
ASKED = DnsQuestion(name="one.example", type="A", timeout=LIMIT)


@pytest.fixture(scope="module")
def shared() -> Iterator[NameServer]:
    with name_server(ZONE) as server:
        yield server


@pytest.fixture
def own() -> Iterator[NameServer]:
    with name_server(ZONE) as server:
        yield server


class TestFakeDns(DnsConformance):
    @pytest.fixture
    def served(self) -> Served:
        return Served(FakeDns({"ns": ZONE}), "ns")


class TestNameServers(DnsConformance):
    @pytest.fixture
    def served(self, shared: NameServer) -> Served:
        return Served(NameServers(), "127.0.0.1", shared.port)


class TestThroughALink(DnsConformance):
    """As a host sees it: by TCP, over connections that somebody else opens."""

    @pytest.fixture
    def served(self, shared: NameServer) -> Served:
        return Served(NameServers(local_connect), "127.0.0.1", shared.port)


def served(server: NameServer) -> Served:
    return Served(NameServers(), "127.0.0.1", server.port)


# --- faults -----------------------------------------------------------------------------------------------------------


def test_an_answer_that_does_not_fit_is_asked_for_by_tcp(own: NameServer) -> None:
    assert len(served(own).ask("many.example").answers) == 100
    assert own.seen == ["udp", "tcp"]


def test_a_lost_packet_is_sent_again(own: NameServer) -> None:
    own.mangle = lambda packet: [packet] if len(own.seen) > 1 else []
    assert served(own).ask("one.example").state is NameState.FOUND
    assert own.seen == ["udp", "udp"]


@pytest.mark.parametrize(
    "forge",
    [
        lambda packet: bytes([packet[0] ^ 1]) + packet[1:],  # another number
        lambda packet: packet.replace(b"\x03one", b"\x03two"),  # another question
        lambda packet: packet[:2] + bytes([packet[2] & 0x7F]) + packet[3:],  # a question, not an answer
        lambda packet: packet[:20],  # cut off
        lambda _: b"",
    ],
)
def test_a_forged_answer_is_passed_over(own: NameServer, forge: object) -> None:
    def both(packet: bytes) -> list[bytes]:
        return [forge(packet).replace(b"\xc0\x00\x02", b"\xc0\x00\x09"), packet]  # type: ignore[operator] # a function

    own.mangle = both
    assert served(own).ask("one.example").answers == ("192.0.2.11", "192.0.2.7")


def test_nobody_answers() -> None:
    with silent_port() as port:
        reply = Served(NameServers(), "127.0.0.1", port).ask("one.example", timeout="50ms")
    assert (reply.reach, reply.state) == (Reach.TIMEOUT, None)
    assert reply.because == "no answer from 127.0.0.1"


@pytest.mark.parametrize("through", [False, True])
def test_nothing_listens(through: bool) -> None:  # noqa: FBT001 - a parameter of a test
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        dns = NameServers(local_connect if through else None)
        reply = Served(dns, "127.0.0.1", bound.getsockname()[1]).ask("one.example")
    assert (reply.reach, reply.state) == (Reach.UNREACHABLE, None)
    assert "127.0.0.1: " in reply.because


@pytest.mark.parametrize(("rcode", "word"), [(2, "SERVFAIL"), (5, "REFUSED"), (9, "error 9")])
def test_a_server_that_cannot_answer_says_nothing_about_the_name(own: NameServer, rcode: int, word: str) -> None:
    own.rcode = rcode
    reply = served(own).ask("one.example")
    assert (reply.reach, reply.state) == (Reach.COMPLETE, None)
    assert reply.because == f"127.0.0.1 cannot answer: {word}"


def test_aliases_in_a_circle() -> None:
    ring = (
        record(name_bytes(a), "CNAME", 1, b) for a, b in (("one.example", "b.example"), ("b.example", "one.example"))
    )
    head = struct.pack("!HHHHHH", 7, 0x8180, 1, 2, 0, 0)
    packet = dns_wire.decode(head + name_bytes("one.example") + struct.pack("!HH", 1, 1) + b"".join(ring), ASKED, 7)
    with pytest.raises(ValueError, match="circle"):
        dns_wire.said(packet, ASKED)


# --- whom to ask ------------------------------------------------------------------------------------------------------


def test_servers_come_from_the_machines_own_file_in_turn(tmp_path: Path) -> None:
    conf = tmp_path / "resolv.conf"
    conf.write_text("# nameserver 192.0.2.1\nsearch example\nnameserver 127.0.0.1\noptions x\nnameserver 127.0.0.2\n")
    assert NameServers(resolv_conf=conf)._servers() == ["127.0.0.1", "127.0.0.2"]


def test_without_a_server_it_says_what_to_write(tmp_path: Path) -> None:
    reply = NameServers(resolv_conf=tmp_path / "missing").ask(ASKED)
    assert (reply.reach, reply.state) == (Reach.UNREACHABLE, None)
    assert reply.because.endswith("names no server: give it as server:")
    through = NameServers(local_connect).ask(ASKED)
    assert through.because == "a look from a host needs its server: give it as server:"


# --- packets ----------------------------------------------------------------------------------------------------------


@given(st.binary(max_size=300), st.sampled_from(DNS_TYPES))
def test_no_packet_harms(data: bytes, type_: str) -> None:
    question = DnsQuestion(name="one.example", type=type_, timeout=LIMIT)
    head = struct.pack("!HHHHHH", 7, 0x8180, 1, 3, 2, 0) + name_bytes("one.example")
    for packet in (data, head + struct.pack("!HH", dns_wire.TYPES[type_], 1) + data):
        try:
            dns_wire.said(dns_wire.decode(packet, question, 7), question)
        except ValueError:
            continue


@given(st.data())
def test_no_change_of_a_good_packet_harms(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(["one.example", "far.example", "gone.example", "many.example"]))
    question = DnsQuestion(name=name, type="A", timeout=LIMIT)
    packet = bytearray(NameServer(ZONE).answer(dns_wire.encode(question, 7)))
    for _ in range(data.draw(st.integers(0, 4))):
        packet[data.draw(st.integers(2, len(packet) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(packet)))
    with contextlib.suppress(ValueError):
        dns_wire.said(dns_wire.decode(bytes(packet[:cut]), question, 7), question)


def test_a_pointer_that_leads_to_itself_ends() -> None:
    head = struct.pack("!HHHHHH", 7, 0x8180, 1, 0, 0, 0)
    for pointer in (0xC00C, 0xC00D, 0xFFFF):
        with pytest.raises(ValueError, match="points forward"):
            dns_wire.decode(head + struct.pack("!H", pointer) + bytes(8), ASKED, 7)


@pytest.mark.parametrize("name", ["a..b", "x" * 64, ".".join(["abcdefghi"] * 26), "ü" * 80])
def test_a_name_that_cannot_be_asked_for(name: str) -> None:
    reply = NameServers().ask(DnsQuestion(name=name, type="A", server="127.0.0.1", timeout=LIMIT))
    assert (reply.reach, reply.state) == (Reach.UNREACHABLE, None)
    assert reply.because


def test_a_name_of_other_letters_is_asked_for_as_the_wire_has_it() -> None:
    packet = dns_wire.encode(DnsQuestion(name="Bücher.example", type="A", timeout=LIMIT), 7)
    assert b"\x0dxn--bcher-kva\x07example\x00" in packet
