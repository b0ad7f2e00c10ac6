"""A name server on loopback for tests, UDP and TCP, with faults; it writes its packets by itself.

Owners are compressed in answers, so that a reader of pointers has something to read.
"""

import ipaddress
import socket
import socketserver
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

NUMBERS = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "PTR": 12, "MX": 15, "TXT": 16, "AAAA": 28, "SRV": 33}
_WORDS = {number: word for word, number in NUMBERS.items()}
_UDP_SIZE = 512

Zone = Mapping[tuple[str, str], tuple[int, tuple[str, ...]]]


def name_bytes(name: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".") if label) + b"\0"


def data_bytes(type_: str, text: str) -> bytes:
    """A record's data."""
    words = text.split(" ")
    match type_:
        case "A" | "AAAA":
            return ipaddress.ip_address(text).packed
        case "TXT":
            half = len(text) // 2  # two strings, which belong together
            return b"".join(bytes([len(part)]) + part.encode() for part in (text[:half], text[half:]))
        case "MX":
            return struct.pack("!H", int(words[0])) + name_bytes(words[1])
        case "SRV":
            return struct.pack("!HHH", *map(int, words[:3])) + name_bytes(words[3])
        case "SOA":
            return name_bytes(words[0]) + name_bytes(words[1]) + struct.pack("!IIIII", *map(int, words[2:]))
        case _:
            return name_bytes(text)


def record(owner: bytes, type_: str, ttl: int, text: str) -> bytes:
    data = data_bytes(type_, text)
    return owner + struct.pack("!HHIH", NUMBERS[type_], 1, ttl, len(data)) + data


def asked(packet: bytes) -> tuple[str, str, bytes]:
    """Name, type and the question's own bytes."""
    labels, at = [], 12
    while packet[at]:
        labels.append(packet[at + 1 : at + 1 + packet[at]].decode())
        at += 1 + packet[at]
    return ".".join(labels).lower(), _WORDS[struct.unpack_from("!H", packet, at + 1)[0]], packet[12 : at + 5]


@dataclass
class NameServer:
    """`rcode` makes it refuse; `mangle` changes what it sends by UDP, into any number of packets."""

    zone: Zone
    negative_ttl: int = 30
    rcode: int = 0
    mangle: Callable[[bytes], list[bytes]] = field(default=lambda packet: [packet])
    seen: list[str] = field(default_factory=list)
    port: int = 0

    def answer(self, packet: bytes) -> bytes:
        name, type_, question = asked(packet)
        answers, current, owner = [], name, b"\xc0\x0c"
        while (current, type_) not in self.zone and (current, "CNAME") in self.zone:
            ttl, (target,) = self.zone[current, "CNAME"]
            answers.append(record(owner, "CNAME", ttl, target))
            current, owner = target, name_bytes(target)
        ttl, records = self.zone.get((current, type_), (0, ()))
        answers += [record(owner, type_, ttl, text) for text in reversed(records)]
        rcode, authority = self.rcode, []
        if not records and not rcode:
            rcode = 0 if any(found == current for found, _ in self.zone) else 3
            soa = f"ns1.example admin.example 7 3600 600 86400 {self.negative_ttl}"
            authority.append(record(name_bytes("example"), "SOA", 3600, soa))
        head = struct.pack("!HHHHH", 0x8180 | rcode, 1, len(answers), len(authority), 0)
        return packet[:2] + head + question + b"".join(answers + authority)


def cut(packet: bytes) -> bytes:
    """A packet as UDP carries it: one that is too long is only its head, and says so."""
    if len(packet) <= _UDP_SIZE:
        return packet
    _, _, question = asked(packet)
    flags = struct.unpack_from("!H", packet, 2)[0] | 0x0200
    return packet[:2] + struct.pack("!HHHHH", flags, 1, 0, 0, 0) + question


@contextmanager
def name_server(zone: Zone) -> Iterator[NameServer]:
    """A server on one port, by UDP and TCP."""
    server = NameServer(zone)

    class Datagrams(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            packet, sock = self.request
            server.seen.append("udp")
            for reply in server.mangle(cut(server.answer(packet))):
                sock.sendto(reply, self.client_address)

    class Streams(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            (length,) = struct.unpack("!H", self.rfile.read(2))
            server.seen.append("tcp")
            reply = server.answer(self.rfile.read(length))
            self.wfile.write(struct.pack("!H", len(reply)) + reply)

    tcp = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Streams)
    server.port = tcp.server_address[1]
    udp = socketserver.ThreadingUDPServer(("127.0.0.1", server.port), Datagrams)
    threads = [threading.Thread(target=one.serve_forever, args=(0.02,), daemon=True) for one in (tcp, udp)]
    for thread in threads:
        thread.start()
    try:
        yield server
    finally:
        for one in (tcp, udp):
            one.shutdown()
            one.server_close()
        for thread in threads:
            thread.join()


@contextmanager
def silent_port() -> Iterator[int]:
    """A UDP port that takes everything and answers nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]
