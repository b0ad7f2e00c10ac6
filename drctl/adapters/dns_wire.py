"""Packets of the domain name system (RFC 1035): a question into bytes, an answer out of bytes. No sockets.

Whatever comes in is somebody else's: every length is checked, a compressed name may only point backwards, and anything
odd is a ValueError.
"""

from __future__ import annotations

import ipaddress
import struct
from typing import Final

from drctl.core.dns import DnsQuestion, NameState
from drctl.core.nouns import dataclass

TYPES: Final = {
    "A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "PTR": 12, "MX": 15, "TXT": 16, "AAAA": 28, "SRV": 33,
}  # fmt: skip
RCODES: Final = {1: "FORMERR", 2: "SERVFAIL", 4: "NOTIMP", 5: "REFUSED"}

_IN: Final = 1
_HEADER: Final = struct.Struct("!HHHHHH")
_QR, _TC, _RD = 0x8000, 0x0200, 0x0100
_NXDOMAIN: Final = 3
_MOST_LABEL, _MOST_NAME = 63, 253
_POINTER: Final = 0xC0
_MOST_CHAIN: Final = 16


@dataclass(frozen=True, slots=True)
class Record:
    """One record: owner, type, seconds to live, and its data as text."""

    name: str
    type: int
    ttl: int
    text: str
    minimum: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Packet:
    """An answer that belongs to the question. `rcode` is 0, 3 (no such name), or why the server cannot answer."""

    truncated: bool
    rcode: int
    answers: tuple[Record, ...]
    authority: tuple[Record, ...]


def encode(question: DnsQuestion, number: int) -> bytes:
    """Write a question that asks for recursion.

    Raises:
        ValueError: the name cannot be asked for.
    """
    asked = _name_bytes(question.name) + struct.pack("!HH", TYPES[question.type], _IN)
    return _HEADER.pack(number, _RD, 1, 0, 0, 0) + asked


def decode(data: bytes, question: DnsQuestion, number: int) -> Packet:
    """Read an answer.

    Raises:
        ValueError: it is damaged, or belongs to another question.
    """
    try:
        return _decode(data, question, number)
    except (struct.error, IndexError) as error:
        raise ValueError(f"a damaged packet: {error}") from None


def said(packet: Packet, question: DnsQuestion) -> tuple[NameState, tuple[str, ...], int | None]:
    """What an answer says: state, records sorted, and seconds to live.

    Raises:
        ValueError: its aliases run in a circle.
    """
    wanted, owner = TYPES[question.type], _plain(question.name)
    ttls: list[int] = []
    for _ in range(_MOST_CHAIN):
        found = [record for record in packet.answers if record.name == owner and record.type == wanted]
        if found:
            ttls += [record.ttl for record in found]
            return NameState.FOUND, tuple(sorted({record.text for record in found})), min(ttls)
        aliases = [r for r in packet.answers if r.name == owner and r.type == TYPES["CNAME"]]
        if not aliases:
            break
        ttls.append(aliases[0].ttl)
        owner = aliases[0].text
    else:
        raise ValueError("the aliases run in a circle")
    # RFC 2308, section 5: how long it may be remembered that there is nothing
    ttls += [min(record.ttl, record.minimum) for record in packet.authority if record.type == TYPES["SOA"]]
    state = NameState.NXDOMAIN if packet.rcode == _NXDOMAIN else NameState.EMPTY
    return state, (), min(ttls) if ttls else None


def _decode(data: bytes, question: DnsQuestion, number: int) -> Packet:
    got, flags, asked, answers, authority, _ = _HEADER.unpack_from(data)
    if got != number or not flags & _QR:
        raise ValueError("an answer to another question")
    rcode = flags & 0x0F
    at = _HEADER.size
    if asked != 1:
        if rcode in RCODES and asked == 0:  # some servers leave the question out when they cannot answer
            return Packet(truncated=False, rcode=rcode, answers=(), authority=())
        raise ValueError("an answer to another question")
    name, at = _name(data, at)
    type_, class_ = struct.unpack_from("!HH", data, at)
    if (name, type_, class_) != (_plain(question.name), TYPES[question.type], _IN):
        raise ValueError("an answer to another question")
    at += 4
    truncated = bool(flags & _TC)
    if truncated:
        return Packet(truncated=True, rcode=rcode, answers=(), authority=())
    sections: list[tuple[Record, ...]] = []
    for count in (answers, authority):
        records, at = _records(data, at, count)
        sections.append(records)
    return Packet(truncated=False, rcode=rcode, answers=sections[0], authority=sections[1])


def _records(data: bytes, at: int, count: int) -> tuple[tuple[Record, ...], int]:
    found: list[Record] = []
    for _ in range(count):
        name, at = _name(data, at)
        type_, class_, ttl, length = struct.unpack_from("!HHIH", data, at)
        at += 10
        if at + length > len(data):
            raise ValueError("a record is longer than its packet")
        if class_ == _IN and type_ in TYPES.values():
            ttl = 0 if ttl >= 1 << 31 else ttl  # RFC 2181, section 8
            minimum = struct.unpack_from("!I", data, at + length - 4)[0] if type_ == TYPES["SOA"] else 0
            found.append(Record(name, type_, ttl, _text(data, at, length, type_), minimum))
        at += length
    return tuple(found), at


def _text(data: bytes, at: int, length: int, type_: int) -> str:
    """A record's data as a zone file writes it, names without the last dot."""
    raw = data[at : at + length]
    name = next(word for word, value in TYPES.items() if value == type_)
    match name:
        case "A" | "AAAA":
            return str(ipaddress.IPv4Address(raw) if name == "A" else ipaddress.IPv6Address(raw))
        case "TXT":
            return _strings(raw)
        case "MX":
            return f"{struct.unpack_from('!H', data, at)[0]} {_name(data, at + 2)[0]}"
        case "SRV":
            priority, weight, port = struct.unpack_from("!HHH", data, at)
            return f"{priority} {weight} {port} {_name(data, at + 6)[0]}"
        case "SOA":
            primary, after = _name(data, at)
            person, after = _name(data, after)
            return " ".join([primary, person, *map(str, struct.unpack_from("!IIIII", data, after))])
        case _:
            return _name(data, at)[0]


def _strings(raw: bytes) -> str:
    """The strings of a TXT record, joined: how they are cut has no meaning (RFC 7208, section 3.3)."""
    text, at = b"", 0
    while at < len(raw):
        end = at + 1 + raw[at]
        if end > len(raw):
            raise ValueError("a text is longer than its record")
        text += raw[at + 1 : end]
        at = end
    return text.decode(errors="replace")


def _plain(name: str) -> str:
    """A name as answers write it: ASCII, small letters, no last dot."""
    name = name.removesuffix(".").lower()
    return name if name.isascii() else name.encode("idna").decode().lower()


def _name_bytes(name: str) -> bytes:
    plain = _plain(name)
    labels = plain.split(".") if plain else []
    if len(plain) > _MOST_NAME or any(not 0 < len(label) <= _MOST_LABEL for label in labels):
        raise ValueError(f"{name!r} is not a name")
    return b"".join(bytes([len(label)]) + label.encode() for label in labels) + b"\0"


def _name(data: bytes, at: int) -> tuple[str, int]:
    """A name, and where the data go on after it. A pointer leads to before where it stands, so this ends."""
    labels: list[str] = []
    after, lowest = None, at
    while length := data[at]:
        if length & _POINTER == _POINTER:
            target = struct.unpack_from("!H", data, at)[0] & 0x3FFF
            after = at + 2 if after is None else after
            if target >= lowest:
                raise ValueError("a name points forward")
            at = lowest = target
            continue
        if length & _POINTER or at + 1 + length > len(data):
            raise ValueError("a damaged name")
        labels.append(_label(data[at + 1 : at + 1 + length]))
        at += 1 + length
        if sum(map(len, labels)) > _MOST_NAME:
            raise ValueError("a name that is too long")
    return ".".join(labels), at + 1 if after is None else after


def _label(raw: bytes) -> str:
    """A label; what could be taken for something else is written as a zone file does (RFC 1035, section 5.1)."""
    return "".join(
        chr(byte).lower() if bytes([byte]).isalnum() or byte in b"-_*/+=" else f"\\{byte:03d}" for byte in raw
    )
