"""Questions to name servers: UDP with a second try by TCP, or TCP alone through a host's SSH link.

An answer counts only from the address that was asked, with the number and the question that were sent (RFC 5452).
"""

import contextlib
import secrets
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path

from drctl.adapters import dns_wire
from drctl.core.dns import DnsQuestion, DnsReply
from drctl.core.ports import Reach
from drctl.core.values import Duration

Connect = Callable[[str, int, float], socket.socket]

_FIRST_WAIT = 1.0  # seconds until a question is sent again; each wait is twice the one before
_MOST_UDP = 65535
_RESOLV_CONF = Path("/etc/resolv.conf")


class NameServers:
    """A `Dns` port.

    Args:
        connect: opens TCP connections from elsewhere (a host's SSH link); None asks from this machine.
        resolv_conf: where this machine says whom it asks.
    """

    def __init__(self, connect: Connect | None = None, resolv_conf: Path = _RESOLV_CONF) -> None:
        self._connect = connect
        self._resolv_conf = resolv_conf

    def ask(self, question: DnsQuestion) -> DnsReply:
        """Ask, again and again until the limit; several servers take turns."""
        began = time.monotonic()
        limit = began + max(0.001, question.timeout.micros / 1e6)
        try:
            dns_wire.encode(question, 0)
            servers = [question.server] if question.server else self._servers()
        except (ValueError, UnicodeError) as error:
            return DnsReply(reach=Reach.UNREACHABLE, because=str(error))
        if not servers:
            because = "a look from a host needs its server" if self._connect else f"{self._resolv_conf} names no server"
            return DnsReply(reach=Reach.UNREACHABLE, because=f"{because}: give it as server:")
        return self._in_turns(question, servers, began, limit)

    def _in_turns(self, question: DnsQuestion, servers: list[str], began: float, limit: float) -> DnsReply:
        wait, turn, lost = _FIRST_WAIT, 0, DnsReply(reach=Reach.TIMEOUT, because="no answer")
        while (now := time.monotonic()) < limit:
            server = servers[turn % len(servers)]
            turn += 1
            until = limit if self._connect else min(limit, now + wait)
            try:
                packet = self._exchange(question, server, until, limit)
            except TimeoutError:
                lost = DnsReply(reach=Reach.TIMEOUT, because=f"no answer from {server}")
            except (OSError, ValueError) as error:
                lost = DnsReply(reach=Reach.UNREACHABLE, because=f"{server}: {error}")
                if turn >= len(servers):  # it said so: asking again gives the same
                    return lost
                continue
            else:
                return _reply(question, server, packet, began)
            if turn % len(servers) == 0:
                wait *= 2
        return lost

    def _exchange(self, question: DnsQuestion, server: str, until: float, limit: float) -> dns_wire.Packet:
        if self._connect is not None:
            return _by_tcp(question, self._connect(server, question.port, _left(limit)), limit)
        packet = _by_udp(question, server, until)
        if not packet.truncated:
            return packet
        return _by_tcp(question, socket.create_connection((server, question.port), _left(limit)), limit)

    def _servers(self) -> list[str]:
        """The servers this machine asks; a host's are unknown here."""
        if self._connect is not None:
            return []
        try:
            text = self._resolv_conf.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return []
        words = [line.split() for line in text.splitlines()]
        return [line[1] for line in words if len(line) > 1 and line[0] == "nameserver"]


def _by_udp(question: DnsQuestion, server: str, until: float) -> dns_wire.Packet:
    number = secrets.randbelow(1 << 16)
    family, kind, proto, _, address = socket.getaddrinfo(server, question.port, type=socket.SOCK_DGRAM)[0]
    with contextlib.closing(socket.socket(family, kind, proto)) as sock:
        sock.connect(address)  # packets from elsewhere are dropped by the system
        sock.send(dns_wire.encode(question, number))
        while True:
            sock.settimeout(_left(until))
            data = sock.recv(_MOST_UDP)
            # not ours, or damaged: the real answer may still come
            with contextlib.suppress(ValueError):
                return dns_wire.decode(data, question, number)


def _by_tcp(question: DnsQuestion, sock: socket.socket, limit: float) -> dns_wire.Packet:
    number = secrets.randbelow(1 << 16)
    with contextlib.closing(sock):
        sock.settimeout(_left(limit))
        asked = dns_wire.encode(question, number)
        sock.sendall(struct.pack("!H", len(asked)) + asked)
        (length,) = struct.unpack("!H", _whole(sock, 2, limit))
        packet = dns_wire.decode(_whole(sock, length, limit), question, number)
    if packet.truncated:
        raise ValueError("the answer does not fit into a packet of TCP")
    return packet


def _whole(sock: socket.socket, length: int, limit: float) -> bytes:
    data = b""
    while len(data) < length:
        sock.settimeout(_left(limit))
        chunk = sock.recv(length - len(data))
        if not chunk:
            raise OSError("the answer broke off")
        data += chunk
    return data


def _left(limit: float) -> float:
    left = limit - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _reply(question: DnsQuestion, server: str, packet: dns_wire.Packet, began: float) -> DnsReply:
    latency = Duration(int((time.monotonic() - began) * 1e6))
    if packet.rcode not in (0, 3):
        word = dns_wire.RCODES.get(packet.rcode, f"error {packet.rcode}")
        return DnsReply(reach=Reach.COMPLETE, latency=latency, because=f"{server} cannot answer: {word}")
    try:
        state, answers, ttl = dns_wire.said(packet, question)
    except ValueError as error:
        return DnsReply(reach=Reach.COMPLETE, latency=latency, because=f"{server}: {error}")
    length = None if ttl is None else Duration(ttl * 1_000_000)
    return DnsReply(reach=Reach.COMPLETE, state=state, answers=answers, ttl=length, latency=latency)
