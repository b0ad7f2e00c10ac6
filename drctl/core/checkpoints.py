"""Checkpoints: a Merkle tree over the journal's lines and the signed note that states its root.

The tree is that of RFC 6962 (section 2.1), kept as a compact range: the roots of the full subtrees, log2(n) hashes. The
note is a C2SP tlog-checkpoint in a C2SP signed note, so that witnesses and standard tools can read it. Keys and
signatures come from the outside as functions; files are left to `adapters.journal`.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import field

from drctl.core.nouns import dataclass
from drctl.core.records import Record, checkpoint_record, encode, genesis, origin

_ED25519 = b"\x01"  # C2SP signed-note: signature type 0x01


@dataclass(slots=True)
class Tree:
    """A compact range: grows leaf by leaf and knows its root at every size. Changes in place."""

    size: int = 0
    peaks: list[bytes] = field(default_factory=list)

    def add(self, leaf: bytes) -> None:
        """Append one leaf: a raw line without its LF."""
        node = hashlib.sha256(b"\x00" + leaf).digest()
        full = self.size
        while full & 1:
            node = hashlib.sha256(b"\x01" + self.peaks.pop() + node).digest()
            full >>= 1
        self.peaks.append(node)
        self.size += 1

    def root(self) -> bytes:
        """The Merkle tree hash of all leaves so far."""
        if not self.peaks:
            return hashlib.sha256(b"").digest()
        node = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            node = hashlib.sha256(b"\x01" + peak + node).digest()
        return node


@dataclass(slots=True)
class Chain:
    """The state of a journal after some lines: what the next line and the next checkpoint are computed from."""

    uid: str
    head: bytes
    tree: Tree = field(default_factory=Tree)

    @classmethod
    def start(cls, uid: str, public: bytes) -> Chain:
        """The chain of a run before its first line."""
        return cls(uid=uid, head=genesis(uid, public))

    @property
    def size(self) -> int:
        """How many lines; also the seq of the next one."""
        return self.tree.size

    def add(self, line: bytes, digest: bytes) -> None:
        """Take in a line (LF included) with its hash."""
        self.tree.add(line.removesuffix(b"\n"))
        self.head = digest

    def note(self, ts: int) -> str:
        """The text a checkpoint at this point signs, `ts` in microseconds UTC."""
        root = base64.b64encode(self.tree.root()).decode()
        return f"{origin(self.uid)}\n{self.size}\n{root}\nhead {self.head.hex()}\ntime {ts}\n"

    def checkpoint(self, ts: int, public: bytes, signature: bytes) -> tuple[bytes, bytes]:
        """The line and hash of a checkpoint at this point, from a signature over `note(ts)`."""
        return encode(self.checkpoint_record(ts, public, signature), self.head)

    def checkpoint_record(self, ts: int, public: bytes, signature: bytes) -> Record:
        """The record of that line."""
        return checkpoint_record(self.size, ts, self.note(ts), signature_line(origin(self.uid), public, signature))


def key_id(name: str, public: bytes) -> bytes:
    """The four bytes by which a C2SP signature line names its key."""
    return hashlib.sha256(name.encode() + b"\n" + _ED25519 + public).digest()[:4]


def signature_line(name: str, public: bytes, signature: bytes) -> str:
    """The C2SP signature line, LF included: note + LF + this line is a complete signed note."""
    return f"\u2014 {name} {base64.b64encode(key_id(name, public) + signature).decode()}\n"


def signature_of(name: str, public: bytes, line: str) -> bytes | None:
    """The 64 signature bytes of a line, or None when it is not exactly the line such a signature gives."""
    try:
        raw = base64.b64decode(line.removeprefix(f"\u2014 {name} ").removesuffix("\n"), validate=True)
    except ValueError:
        return None
    signature = raw[4:]
    return signature if len(signature) == 64 and signature_line(name, public, signature) == line else None  # noqa: PLR2004 - RFC 8032
