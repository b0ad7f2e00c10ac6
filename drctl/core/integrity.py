"""The nouns of an integrity check: what can be said about a journal, and with which exit code.

How it is found out is in `core.verification`.
"""

from __future__ import annotations

import base64
import enum
from typing import TYPE_CHECKING

from drctl.core.nouns import dataclass
from drctl.errors import Exit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from drctl.core.records import JSON


class Verdict(enum.Enum):
    """The word on a journal. Never merged: "not anchored" is not "intact", "open" is not "complete"."""

    INTACT_ANCHORED = "intact and anchored"
    INTACT_NOT_ANCHORED = "intact, not anchored: a rollback to an older copy is not excluded"
    OPEN = "intact up to its end, but the run is not closed: more may be to come, or may have been cut off"
    UNSIGNED_TAIL = "the last records are not signed: a crashed or open run"
    TORN = "the last write was torn: a crashed run"
    TRUNCATED = "truncated: an anchor shows that records are missing"
    FORKED = "forked: an anchor shows another history"
    ALTERED = "not intact"

    @property
    def exit(self) -> Exit:
        """The exit code that says this word."""
        return _EXITS[self]


_EXITS: Mapping[Verdict, Exit] = {
    Verdict.INTACT_ANCHORED: Exit.DONE,
    Verdict.INTACT_NOT_ANCHORED: Exit.AUDIT_NOT_ANCHORED,
    Verdict.OPEN: Exit.AUDIT_UNSIGNED_TAIL,
    Verdict.UNSIGNED_TAIL: Exit.AUDIT_UNSIGNED_TAIL,
    Verdict.TORN: Exit.AUDIT_UNSIGNED_TAIL,
    Verdict.TRUNCATED: Exit.AUDIT_TRUNCATED,
    Verdict.FORKED: Exit.AUDIT_TRUNCATED,
    Verdict.ALTERED: Exit.AUDIT_NOT_INTACT,
}


class KeyStatus(enum.Enum):
    """How far the key itself is to be believed."""

    PINNED = "PINNED"
    SELF_DECLARED = "SELF-DECLARED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """A Merkle root that was kept elsewhere: the journal had `size` lines then."""

    size: int
    root: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """The first place where a journal is not what was written.

    Attributes:
        seq: the record that should stand there.
        line: its line, from 1.
        offset: byte where that line begins.
        reason: frame, parse, fields, version, key, opening, hash, seq, run, takeover, checkpoint, signature, fork,
            torn.
        text: a sentence.
    """

    seq: int
    line: int
    offset: int
    reason: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something odd that is no damage: a clock that ran backwards, an epoch that fell."""

    seq: int
    reason: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyUse:
    """A key and the seq from which it signs."""

    seq: int
    public: bytes
    pinned: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """All that is known about a journal's integrity.

    Attributes:
        verdict: the word.
        uid: the run's uid, empty when the first record cannot be read.
        records: lines of the sound part, checkpoints included.
        signed: how many of them the last good checkpoint covers, itself included.
        last_checkpoint: seq of that checkpoint, None without one.
        first_bad: where it stops being sound; None when it never does.
        bad_count: independent faults, the first included.
        closed: whether `run_closed` is the last word of the sound part; only `recovered` and checkpoints may follow it.
        head: h of the last sound line, hex.
        root: Merkle root over the sound lines, hex.
        keys: the keys that signed.
        anchored: largest anchored size that was compared and equal.
        notices: oddities, at most a hundred.
        unknown_types: event types this version does not know.
    """

    verdict: Verdict
    uid: str
    records: int
    signed: int
    last_checkpoint: int | None
    first_bad: Fault | None
    bad_count: int
    closed: bool
    head: str
    root: str
    keys: Sequence[KeyUse]
    anchored: int
    notices: Sequence[Notice]
    unknown_types: Sequence[str]

    @property
    def exit(self) -> Exit:
        """The exit code of the verdict."""
        return self.verdict.exit

    @property
    def key_status(self) -> KeyStatus:
        """PINNED only when every key that signed was handed in from outside."""
        return KeyStatus.PINNED if self.keys and all(key.pinned for key in self.keys) else KeyStatus.SELF_DECLARED

    def as_json(self) -> dict[str, JSON]:
        """One line for machines."""
        bad = self.first_bad
        return {
            "verdict": self.verdict.name,
            "exit": int(self.exit),
            "uid": self.uid,
            "records": self.records,
            "signed": self.signed,
            "last_checkpoint": self.last_checkpoint,
            "first_bad": None if bad is None else {name: getattr(bad, name) for name in Fault.__slots__},
            "bad_count": self.bad_count,
            "closed": self.closed,
            "head": self.head,
            "root": self.root,
            "key": self.key_status.value,
            "keys": [
                {"seq": key.seq, "public": base64.b64encode(key.public).decode(), "pinned": key.pinned}
                for key in self.keys
            ],
            "anchored": self.anchored,
            "notices": [{"seq": it.seq, "reason": it.reason, "text": it.text} for it in self.notices],
            "unknown_types": list(self.unknown_types),
        }
