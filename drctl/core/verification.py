"""Whether a journal is intact: a streaming verifier over its lines, in constant memory.

It needs the bytes and nothing else: no network, no configuration, no other file. A key obtained elsewhere (pinned) and
anchors make its word stronger; without them it says what it could not exclude. What the records mean (was every outcome
preceded by an intent?) is left to the folds. The algorithm is that of `docs/journal-format.md`.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import field
from typing import Protocol, cast

from drctl.core.checkpoints import Chain, signature_of
from drctl.core.events import EVENTS, LockLost
from drctl.core.integrity import Anchor, Fault, KeyStatus, KeyUse, Notice, Verdict, Verification
from drctl.core.nouns import dataclass
from drctl.core.records import (
    CHECKPOINT,
    CLOSED,
    MAX_LINE,
    OPENED,
    RECOVERED,
    TAKEN_OVER,
    ParseError,
    Record,
    encode,
    link,
    origin,
    parse,
    record_of,
    split,
)

CheckSignature = Callable[[bytes, bytes, bytes], bool]
"""(public key, signature, message) -> whether the one was made over the other."""

__all__ = [
    "Anchor",
    "Fault",
    "KeyStatus",
    "KeyUse",
    "Notice",
    "Verdict",
    "Verification",
    "Verifier",
    "pieces",
    "verify",
]

_KEY_BYTES = 32  # Ed25519, RFC 8032
_MOST_NOTICES = 100
_TELLING = tuple(  # read even without `parse_all`
    f'"{word}"'.encode() for word in (CHECKPOINT, TAKEN_OVER, CLOSED, RECOVERED)
)


class Reader(Protocol):
    """A binary file, as far as it is needed here."""

    def readline(self, size: int = -1, /) -> bytes:
        """Up to `size` bytes, LF included when reached."""
        ...


def verify(
    lines: Iterable[bytes] | Reader,
    *,
    public_key: bytes | None,
    check_signature: CheckSignature,
    anchors: Sequence[Anchor] = (),
    parse_all: bool = True,
) -> Verification:
    """Judge a journal from its bytes.

    Args:
        lines: the lines, each with its LF, or a binary file (read in bounded pieces, whatever it holds).
        public_key: the run's key, obtained elsewhere; None takes the one the journal declares.
        check_signature: (public, signature, message) -> valid.
        anchors: roots that were kept elsewhere.
        parse_all: False checks integrity alone: chain, tree, signatures and anchors, records unread.
    """
    verifier = Verifier(public_key=public_key, check_signature=check_signature, anchors=anchors, parse_all=parse_all)
    for line, length in pieces(lines):
        verifier.feed(line, length)
    return verifier.finish()


def pieces(source: Iterable[bytes] | Reader) -> Iterator[tuple[bytes, int]]:
    """Lines with their length in the file; of an overlong one only the head, its end and whether it holds a NUL."""
    readline = getattr(source, "readline", None)
    if readline is None:
        for line in cast("Iterable[bytes]", source):
            yield line, len(line)
        return
    limit = MAX_LINE + 2
    while line := readline(limit):
        length, rest = len(line), line
        while len(rest) == limit and rest[-1:] != b"\n":
            rest = readline(limit)
            length += len(rest)
            if b"\x00" in rest and b"\x00" not in line:
                line += b"\x00"
            if rest[-1:] == b"\n":
                line += b"\n"
        yield line, length


@dataclass(slots=True)
class _Aftermath:
    """What is seen after the first fault: enough to count more of them, and to tell a torn write from damage."""

    seq: int
    tearable: bool
    candidates: tuple[bytes, ...]
    bad_count: int = 1
    contradicted: bool = False


@dataclass(slots=True, kw_only=True)
class Verifier:
    """The algorithm, line by line. Up to the first fault `chain`, `offset` and `last` describe the sound part."""

    public_key: bytes | None
    check_signature: CheckSignature
    anchors: Sequence[Anchor] = ()
    parse_all: bool = True
    chain: Chain | None = None
    offset: int = 0
    last: Record | None = None
    first_bad: Fault | None = None
    _fork: bool = False
    _keys: list[KeyUse] = field(default_factory=list)
    _signed: int = 0
    _closed: int | None = None
    _content: int = 0
    _anchored: int = 0
    _after: _Aftermath | None = None
    _notices: list[Notice] = field(default_factory=list)
    _unknown: set[str] = field(default_factory=set)
    _roots: dict[int, bytes] = field(init=False)

    def __post_init__(self) -> None:
        self._roots = {anchor.size: anchor.root for anchor in self.anchors}

    @property
    def size(self) -> int:
        """Lines of the sound part."""
        return self.chain.size if self.chain else 0

    @property
    def key(self) -> bytes:
        """The public key that signs now; empty before the first line."""
        return self._keys[-1].public if self._keys else b""

    @property
    def closed(self) -> bool:
        """Whether `run_closed` is the last word of the sound part."""
        return self._closed is not None

    def feed(self, line: bytes, length: int | None = None) -> Record | None:
        """Take the next line, with its LF; only the last may lack it. `length` is its length in the file.

        Gives the line's record as long as the journal is sound and the line was read, so that nobody reads it again.
        """
        if self._after is not None:
            self._count(self._after, line)
            return None
        try:
            record = self._accept(line)
        except ParseError as error:
            self._fault(error.reason, str(error), line)
            return None
        self.offset += len(line) if length is None else length
        return record

    def _accept(self, line: bytes) -> Record | None:
        if line[-1:] != b"\n":
            raise ParseError("torn", "the last line has no end")
        raw = line[:-1]
        content, stated = split(raw)
        record = None
        if self.parse_all or self.chain is None or any(word in raw for word in _TELLING):
            record = record_of(raw)
        chain = self.chain or self._open(record)
        if link(chain.head, content) != stated:
            moved = record is not None and record.seq != chain.size
            says = f"; it says it is record {record.seq}" if moved and record else ""
            raise ParseError("hash", f"the line does not follow from the lines before it{says}")
        public = self._read(chain, record, line) if record else None
        chain.add(line, stated)
        self.chain = chain
        if public:
            self._keys.append(KeyUse(seq=chain.size - 1, public=public, pinned=public == self.public_key))
        self._take(record, chain)
        root = self._roots.get(chain.size)
        if root is not None:
            if root != chain.tree.root():
                self._fork = True
                raise ParseError("fork", f"an anchor holds another root for the first {chain.size} records")
            self._anchored = chain.size
        return record

    def _open(self, record: Record | None) -> Chain:
        """The chain before line 0: it needs the uid and the key, which that line itself declares."""
        if record is None or record.type != OPENED:
            raise ParseError("opening", "the first record is not run_opened")
        declared = _public(record)
        if declared is None:
            raise ParseError("key", "run_opened declares no Ed25519 key")
        if self.public_key is not None and declared != self.public_key:
            raise ParseError("key", "run_opened declares another key than the one handed in")
        return Chain.start(record.run, declared)

    def _read(self, chain: Chain, record: Record, line: bytes) -> bytes | None:
        """Check what a record says against its place; returns the key it brings in, if any."""
        if record.seq != chain.size:
            raise ParseError("seq", f"the record says it is number {record.seq}")
        if record.type == CHECKPOINT:
            self._check(chain, record, line)
            return None
        if record.run != chain.uid:
            raise ParseError("run", f"the record belongs to the run {record.run}")
        if record.type == TAKEN_OVER and "pubkey" in record.body:
            public = _public(record)
            if public is None or record.body.get("head") != chain.head.hex():
                raise ParseError(
                    "takeover", "run_taken_over names no key, or another head than that of the line before"
                )
            return public if public != self.key else None
        if record.type == OPENED and chain.size == 0:
            return _public(record)
        return None

    def _check(self, chain: Chain, record: Record, line: bytes) -> None:
        """Rebuild the whole checkpoint line from the state before it and compare bytes, then verify the signature."""
        note, sig = chain.note(record.ts), str(record.body["sig"])
        signature = signature_of(origin(chain.uid), self.key, sig)
        if signature is None:
            raise ParseError("signature", "the signature line is not one of the run's key")
        if encode(chain.checkpoint_record(record.ts, self.key, signature), chain.head)[0] != line:
            raise ParseError("checkpoint", "the signed note does not describe the records before it")
        if not self.check_signature(self.key, signature, note.encode()):
            raise ParseError("signature", "the signature is not valid")
        self._signed = record.seq + 1

    def _take(self, record: Record | None, chain: Chain) -> None:
        """Note what the sound record says about the whole."""
        if record is None:
            self._closed = None
            self._content = chain.size
            return
        if record.type == CHECKPOINT:
            return
        last = self.last
        if last and record.boot == last.boot and record.mono < last.mono:
            self._notice(record.seq, "clock", "the monotonic clock ran backwards")
        if last and record.epoch < last.epoch:
            self._notice(record.seq, "epoch", f"the epoch fell from {last.epoch} to {record.epoch}")
        if record.type == LockLost.TYPE and record.body.get("epoch"):
            self._notice(record.seq, "replaced", f"a host said so: {record.body.get('because')}")
        if record.type == TAKEN_OVER:
            self._notice(record.seq, "taken over", f"by {record.actor}, under epoch {record.epoch}, with another key")
        if record.type not in EVENTS and len(self._unknown) < _MOST_NOTICES:
            self._unknown.add(record.type)
        self.last = record
        self._content = chain.size
        if record.type != RECOVERED:  # the last checkpoint of a closed run may have been torn, and mended
            self._closed = record.seq if record.type == CLOSED else None

    def _notice(self, seq: int, reason: str, text: str) -> None:
        if len(self._notices) < _MOST_NOTICES:
            self._notices.append(Notice(seq=seq, reason=reason, text=text))

    def _fault(self, reason: str, text: str, line: bytes) -> None:
        seq = self.size - 1 if self._fork else self.size
        self.first_bad = Fault(seq=seq, line=seq + 1, offset=self.offset, reason=reason, text=text)
        candidates: tuple[bytes, ...] = ()
        try:
            content, stated = split(line.removesuffix(b"\n"))
            candidates = (stated, link(self.chain.head, content)) if self.chain else (stated,)
        except ParseError:
            pass  # nothing of it can be followed; the next readable line is taken as it stands
        tearable = not self._fork and (line[-1:] != b"\n" or b"\x00" in line)
        self._after = _Aftermath(seq=seq, tearable=tearable, candidates=candidates)

    def _count(self, after: _Aftermath, line: bytes) -> None:
        """Go on from the hash a line states: count the faults that do not follow from the first one."""
        try:
            content, stated = split(line.removesuffix(b"\n"))
            record = parse(line)
        except ParseError:
            after.bad_count += after.candidates != ()
            after.candidates = ()
            return
        sound = not after.candidates or any(link(prev, content) == stated for prev in after.candidates)
        after.bad_count += not sound
        after.candidates = (stated,) if sound else (stated, link(after.candidates[0], content))
        after.contradicted |= (sound and record.dur >= after.seq) or self._proves(record, after.seq)

    def _proves(self, record: Record, seq: int) -> bool:
        """Whether a later checkpoint shows that `seq` was on disk: one is written only when all before it is."""
        if record.type != CHECKPOINT or self.chain is None:
            return False
        signature = signature_of(origin(self.chain.uid), self.key, str(record.body["sig"]))
        note = str(record.body["note"])
        return record.seq > seq and signature is not None and self.check_signature(self.key, signature, note.encode())

    def finish(self) -> Verification:
        """The word on all lines fed."""
        chain, after = self.chain, self._after
        return Verification(
            verdict=self._verdict(),
            uid=chain.uid if chain else "",
            records=self.size,
            signed=self._signed,
            last_checkpoint=self._signed - 1 if self._signed else None,
            first_bad=self.first_bad,
            bad_count=after.bad_count if after else 0,
            closed=self.closed,
            head=chain.head.hex() if chain else "",
            root=chain.tree.root().hex() if chain else "",
            keys=tuple(self._keys),
            anchored=self._anchored,
            notices=tuple(self._notices),
            unknown_types=tuple(sorted(self._unknown)),
        )

    def _verdict(self) -> Verdict:
        after, size = self._after, self.size
        if self._fork or (after and (not after.tearable or after.contradicted)):
            return Verdict.FORKED if self._fork else Verdict.ALTERED
        if any(anchored > size for anchored in self._roots):
            return Verdict.TRUNCATED
        if after:
            return Verdict.TORN
        if self._signed != size or not size:
            return Verdict.UNSIGNED_TAIL
        whole = Verdict.INTACT_ANCHORED if self._anchored >= self._content else Verdict.INTACT_NOT_ANCHORED
        return whole if self.closed else Verdict.OPEN


def _public(record: Record) -> bytes | None:
    """The key a record declares in its field `pubkey`: 32 bytes in canonical base64."""
    text = record.body.get("pubkey")
    if not isinstance(text, str):
        return None
    try:
        public = base64.b64decode(text, validate=True)
    except ValueError:
        return None
    return public if len(public) == _KEY_BYTES and base64.b64encode(public).decode() == text else None
