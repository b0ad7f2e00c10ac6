"""One line of the journal: its bytes, its place in the hash chain, its strict reading.

This format is for ever; `docs/journal-format.md` tells it to a stranger. Here are the pure parts: a record as canonical
JSON with its own hash as the last member, the chain of hashes, and a parser that takes nothing it was not promised.
Checkpoints (Merkle root, signed note) are in `core.checkpoints`, judging a whole journal in `core.verification`, files
and durability in `adapters.journal`. What events mean is left to `core.events`.

Hashes are taken over the bytes as written, never over something parsed and encoded again: ten of sixteen edge values
come out differently in different JSON encoders, bytes do not.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import NoReturn, TypeAlias, cast

from drctl.core.nouns import dataclass
from drctl.errors import DefectError

JSON: TypeAlias = "bool | int | str | Sequence[JSON] | Mapping[str, JSON] | None"

VERSION = 1
MAX_LINE = 64 * 1024  # bytes, the LF not counted
MAX_INT = 2**53  # the largest integer that every JSON reader keeps exact (RFC 8259, section 6)
MAX_DEPTH = 32  # containers inside one another, the record itself included
CHECKPOINT = "checkpoint"
OPENED = "run_opened"
TAKEN_OVER = "run_taken_over"
CLOSED = "run_closed"
RECOVERED = "recovered"

CHECKPOINT_FIELDS = frozenset({"body", "seq", "ts", "type", "v", "~hash"})
RECORD_FIELDS = CHECKPOINT_FIELDS | {"actor", "boot", "dur", "epoch", "mono", "run"}
_MEMBERS = RECORD_FIELDS - {"~hash"}
_KINDS: Sequence[tuple[str, type]] = (
    ("actor", str), ("boot", str), ("run", str), ("type", str), ("body", dict),
    ("seq", int), ("ts", int), ("mono", int), ("dur", int), ("epoch", int),
)  # fmt: skip

_HASH_OPEN = b',"~hash":"'
_SUFFIX = len(_HASH_OPEN) + 64 + len(b'"}')  # 76 bytes
_HEX = re.compile(rb"[0-9a-f]{64}\Z")
_UID = re.compile(r"[0-9a-f]{32}\Z")
_TYPE = re.compile(r"[a-z][a-z0-9_]{0,63}\Z")
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
_MAX_DIGITS = 17  # of an integer within MAX_INT, its sign included


class RecordRefusedError(DefectError):
    """Something was about to be recorded that must never stand in a journal: a secret, a float, too much."""


class ParseError(Exception):
    """Bytes that are not what this format promises; `reason` is one word, the message a sentence."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One sealed line.

    A checkpoint has only `seq`, `ts`, `type`, `body` and `v`; the other fields are then empty, since whatever its
    signature does not cover could be edited in the last line without a key.

    Attributes:
        seq: place in the journal, from 0.
        ts: UTC in microseconds since 1970.
        type: name of the event.
        actor: who, as claimed.
        body: the event's own content.
        run: the run's uid, 128 bits in hex.
        boot: boot id of the machine that wrote it; `mono` compares only within one.
        mono: monotonic clock in microseconds.
        dur: last seq known to be on disk when this was written, -1 for none; tells a torn batch from damage.
        epoch: number of the run's holder; never falls.
        v: version of the line format.
    """

    seq: int
    ts: int
    type: str
    actor: str
    body: Mapping[str, JSON]
    run: str
    boot: str
    mono: int
    dur: int
    epoch: int
    v: int = VERSION


def origin(uid: str) -> str:
    """The name of a run in its checkpoints: what a signature of one run cannot be moved away from."""
    return f"drctl/run/{uid}"


def genesis(uid: str, public: bytes) -> bytes:
    """h(-1): binds the chain to the run and to the key it declares, so that neither can be exchanged alone."""
    return hashlib.sha256(b"drctl/gen/v1\n" + origin(uid).encode() + b"\n" + public).digest()


def link(prev: bytes, content: bytes) -> bytes:
    """h(i) from h(i-1) and the line's content (the line without its hash member)."""
    return hashlib.sha256(b"drctl/rec/v1\n" + prev + content).digest()


def checkpoint_record(seq: int, ts: int, note: str, signature: str) -> Record:
    """A checkpoint line's record: its note and the note's signature, nothing else."""
    body = {"note": note, "sig": signature}
    return Record(
        seq=seq, ts=ts, type=CHECKPOINT, body=body, actor="", run="", boot="", mono=0, dur=-1, epoch=0, v=VERSION
    )


# Writing


class _Unfit(Exception):  # noqa: N818 - never leaves this module; it only carries the path outwards
    """A value that cannot be recorded, with the path to it gathered on the way out."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why
        self.path: list[str] = []


def _plain_text(value: str) -> str:
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise _Unfit("a lone surrogate, which no UTF-8 text holds; record the bytes as base64") from None
    return value


def _plain(value: object, depth: int) -> JSON:
    """A copy of plain dicts, lists, integers and text; raises `_Unfit` for anything else. Never shows the value."""
    if value is None or isinstance(value, bool) or (type(value) is str and value.isascii()):  # most of a record
        return value
    if hasattr(value, "reveal"):
        raise _Unfit("a secret")
    if isinstance(value, str):
        return _plain_text(str.__str__(value))
    if isinstance(value, int):
        if not -MAX_INT <= value <= MAX_INT:
            raise _Unfit("an integer beyond 2^53, which JSON readers round; record it as text")
        return int(value)
    if isinstance(value, (Mapping, list, tuple)):
        if depth >= MAX_DEPTH:
            raise _Unfit(f"nested deeper than {MAX_DEPTH}")
        return _plain_mapping(value, depth + 1) if isinstance(value, Mapping) else _plain_items(value, depth + 1)
    raise _Unfit(_WHY.get(type(value), f"a value of type {type(value).__name__}"))


_WHY: Mapping[type, str] = {
    float: "a float, which encoders write differently; record integer microseconds, or text",
    bytes: "bytes; record them as base64 text",
    bytearray: "bytes; record them as base64 text",
}


def _plain_mapping(value: Mapping[object, object], depth: int) -> dict[str, JSON]:
    plain: dict[str, JSON] = {}
    for key, item in value.items():
        if (
            type(key) is str
            and key.isascii()
            and ((type(item) is str and item.isascii()) or (type(item) is int and -MAX_INT <= item <= MAX_INT))
        ):  # nearly all that a record holds
            plain[key] = item
            continue
        if type(key) is not str and (not isinstance(key, str) or hasattr(key, "reveal")):
            raise _Unfit("a key that is not text")
        try:
            plain[_plain_text(str.__str__(key))] = _plain(item, depth)
        except _Unfit as unfit:
            unfit.path.append(f".{ascii(key)[1:-1][:64]}")
            raise
    return plain


def _plain_items(value: Sequence[object], depth: int) -> list[JSON]:
    plain: list[JSON] = []
    for index, item in enumerate(value):
        try:
            plain.append(_plain(item, depth))
        except _Unfit as unfit:
            unfit.path.append(f"[{index}]")
            raise
    return plain


_CANONICAL = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False, check_circular=False
)


def canonical(value: object) -> bytes:
    """Sorted keys, ASCII, no blanks; refuses whatever must not be recorded.

    Raises:
        RecordRefusedError: a secret, a float, bytes, a lone surrogate, too large an integer, too deep; names where.
    """
    try:
        return _CANONICAL.encode(_plain(value, 0)).encode("ascii")
    except _Unfit as unfit:
        where = "".join(reversed(unfit.path)).lstrip(".")
        raise RecordRefusedError(
            f"{unfit.why[0].upper()}{unfit.why[1:]} was about to be written to the journal.",
            where=where,
            meaning="It was refused before anything reached the disk.",
            next="report this as a defect of drctl",
        ) from None


def encode(record: Record, prev: bytes) -> tuple[bytes, bytes]:
    """Seal a record: its line (LF included) and its hash.

    Args:
        record: what to write. A record of type `checkpoint` gives the short line of a checkpoint.
        prev: h(i-1), 32 bytes; `genesis` for the first.

    Raises:
        RecordRefusedError: the record holds something that must not stand in a journal, or is over 64 KiB.
    """
    fields: dict[str, object] = {
        "body": record.body,
        "seq": record.seq,
        "ts": record.ts,
        "type": record.type,
        "v": record.v,
    }
    if record.type != CHECKPOINT:
        if not _UID.match(record.run) or not _TYPE.match(record.type):
            raise RecordRefusedError(f"A record of run {record.run!r}, type {record.type!r} is malformed.")
        fields |= {"actor": record.actor, "boot": record.boot, "dur": record.dur, "epoch": record.epoch}
        fields |= {"mono": record.mono, "run": record.run}
    content = canonical(fields)
    digest = link(prev, content)
    line = content[:-1] + _HASH_OPEN + digest.hex().encode() + b'"}\n'
    if len(line) > MAX_LINE + 1:
        raise RecordRefusedError(
            f"A record of type {record.type} has {len(line) - 1} bytes; a journal line may have {MAX_LINE}.",
            meaning="It was refused before anything reached the disk.",
            next="report this as a defect of drctl: long contents belong into outputs or parts",
        )
    return line, digest


# Reading


def split(line: bytes) -> tuple[bytes, bytes]:
    """Take a line (without LF) apart into the content that is hashed and the hash it states.

    Raises:
        ParseError: `frame`: it is not an ASCII line that ends with a hash member, or is too long.
    """
    if len(line) > MAX_LINE:
        raise ParseError("frame", f"the line has {len(line)} bytes, more than {MAX_LINE}")
    stated = line[-66:-2]
    if line[-_SUFFIX:-66] != _HASH_OPEN or line[-2:] != b'"}' or line[:1] != b"{" or not _HEX.match(stated):
        raise ParseError("frame", "the line does not have the shape of a record")
    if not line.isascii() or _CONTROL.search(line):
        raise ParseError("frame", "the line holds bytes that are not printable ASCII")
    return line[:-_SUFFIX] + b"}", bytes.fromhex(stated.decode())


def _refuse_float(text: str) -> NoReturn:
    raise ParseError("parse", f"a number that is not an integer: {text[:32]}")


def _bounded(text: str) -> int:
    if len(text) > _MAX_DIGITS or text == "-0":
        raise ParseError("parse", f"an integer out of bounds: {text[:32]}")
    value = int(text)
    if not -MAX_INT <= value <= MAX_INT:
        raise ParseError("parse", f"an integer beyond 2^53: {text}")
    return value


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ParseError("parse", "a key that stands twice in one object")
    return members


_STRICT = json.JSONDecoder(
    object_pairs_hook=_unique, parse_float=_refuse_float, parse_int=_bounded, parse_constant=_refuse_float
)


def _too_deep(data: bytes) -> bool:
    """Whether brackets nest beyond the limit: asked before parsing, since the parser recurses."""
    if data.count(b"{") + data.count(b"[") <= MAX_DEPTH:
        return False
    depth = 0
    for byte in _STRING.sub(b"", data):
        if byte in b"{[":
            depth += 1
            if depth > MAX_DEPTH:
                return True
        elif byte in b"}]":
            depth -= 1
    return False


def strict_json(data: bytes) -> JSON:
    """Read JSON and refuse all that readers disagree about.

    Raises:
        ParseError: `parse`: not UTF-8, not JSON, a duplicate key, a float, NaN, an integer beyond 2^53, a lone
            surrogate, nesting over the limit.
    """
    if _too_deep(data):
        raise ParseError("parse", f"nested deeper than {MAX_DEPTH}")
    try:
        value = _STRICT.decode(data.decode("utf-8"))
        if _SURROGATE.search(data):
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeDecodeError:
        raise ParseError("parse", "not UTF-8") from None
    except UnicodeEncodeError:
        raise ParseError("parse", "a lone surrogate in a text") from None
    except (ValueError, RecursionError) as error:
        raise ParseError("parse", f"not JSON: {error}") from None
    return cast("JSON", value)


def parse(line: bytes) -> Record:
    """Read one line, with or without its LF. The chain is not looked at: that is `core.verification`.

    Unknown members are allowed (fields are only added, with defaults) except in a checkpoint.

    Raises:
        ParseError: `frame`, `parse`, `fields` or `version`.
    """
    line = line.removesuffix(b"\n")
    split(line)
    return record_of(line)


def record_of(line: bytes) -> Record:
    """Read a line (without LF) that `split` has taken; the rest of `parse`.

    Raises:
        ParseError: `parse`, `fields` or `version`.
    """
    members = strict_json(line)
    if not isinstance(members, dict):
        raise ParseError("parse", "not an object")
    if type(members.get("v")) is not int or members["v"] != VERSION:
        raise ParseError("version", f"format version {members.get('v')!r}; this drctl reads version {VERSION}")
    if members.get("type") == CHECKPOINT:
        return _checkpoint(members)
    missing = RECORD_FIELDS - members.keys()
    if missing:
        raise ParseError("fields", f"without {', '.join(sorted(missing))}")
    for name, kind in _KINDS:
        if type(members[name]) is not kind:
            raise ParseError("fields", f"{name} {'is not an integer' if kind is int else 'has the wrong type'}")
    if members["seq"] < 0 or not _UID.match(members["run"]) or not _TYPE.match(members["type"]):
        raise ParseError("fields", "seq, run or type is malformed")
    return Record(**{name: members[name] for name in _MEMBERS})


def _checkpoint(members: dict[str, JSON]) -> Record:
    """A checkpoint holds exactly the fields that its signature covers."""
    body = members.get("body")
    if members.keys() != CHECKPOINT_FIELDS or not isinstance(body, dict) or body.keys() != {"note", "sig"}:
        raise ParseError("fields", "a checkpoint with other fields than body, seq, ts, type, v, ~hash")
    seq, ts, note, sig = members["seq"], members["ts"], body["note"], body["sig"]
    if type(seq) is not int or seq < 0 or type(ts) is not int or type(note) is not str or type(sig) is not str:
        raise ParseError("fields", "a checkpoint with a field of the wrong type")
    return checkpoint_record(seq, ts, note, sig)
