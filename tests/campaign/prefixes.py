"""A journal with the verifier's state before each line, so that a campaign need not begin at line 0 every time."""

import copy
import io
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate

from drctl.core.checkpoints import Chain, Tree
from drctl.core.verification import Anchor, Verdict, Verification, Verifier, pieces, verify
from tests.fakes.journals import UID, check_signature
from tests.second_verifier import verify as verify_second

INTACT = (Verdict.INTACT_ANCHORED, Verdict.INTACT_NOT_ANCHORED)


def clone(verifier: Verifier) -> Verifier:
    """The same state, to go on in another direction."""
    other = copy.copy(verifier)
    if verifier.chain:
        tree = Tree(size=verifier.chain.tree.size, peaks=list(verifier.chain.tree.peaks))
        other.chain = Chain(uid=verifier.chain.uid, head=verifier.chain.head, tree=tree)
    other._keys = list(verifier._keys)
    other._notices = list(verifier._notices)
    other._unknown = set(verifier._unknown)
    return other


class Prefixes:
    """The sound journal of a campaign."""

    def __init__(self, lines: Sequence[bytes], key: bytes | None, anchors: Sequence[Anchor] = ()) -> None:
        self.lines = lines
        self.key = key
        self.anchors = anchors
        self.data = b"".join(lines)
        self.starts = [0, *accumulate(map(len, lines))]
        verifier = Verifier(public_key=key, check_signature=check_signature, anchors=anchors)
        self._before = []
        for line in lines:
            self._before.append(clone(verifier))
            verifier.feed(line)
        self._before.append(clone(verifier))

    def line_at(self, offset: int) -> int:
        """The line that a byte stands in."""
        return bisect_right(self.starts, offset) - 1

    def go_on(self, line: int, rest: Iterable[bytes]) -> Verification:
        """The word on the first `line` lines, which are as they were, and `rest` after them."""
        verifier = clone(self._before[line])
        for piece in rest:
            verifier.feed(piece)
        return verifier.finish()

    def chain_before(self, line: int) -> Chain:
        """The chain after the first `line` lines, to be continued otherwise."""
        chain = clone(self._before[line]).chain
        return chain or Chain.start(UID, self.key or b"")

    def judge(self, data: bytes, *, pinned: bool = True) -> Verification:
        """The word on any bytes, from the beginning."""
        key = self.key if pinned else None
        return verify(io.BytesIO(data), public_key=key, check_signature=check_signature, anchors=self.anchors)

    def second_agrees(self, data: bytes) -> bool:
        """Whether the second verifier (no pinned key, no signatures) sees the same: verdict and sound lines."""
        word = self.judge(data, pinned=False)
        said, sound = verify_second(data)
        return said in _AGREED[word.verdict] and sound == word.records


_AGREED = {
    Verdict.INTACT_NOT_ANCHORED: ("whole",),
    Verdict.OPEN: ("open",),
    Verdict.UNSIGNED_TAIL: ("unsigned",),
    Verdict.TORN: ("torn",),
    Verdict.ALTERED: ("bad", "torn"),  # the second does not look behind a torn line for proof that it was whole once
}


def split_lines(data: bytes) -> list[bytes]:
    """Bytes as the verifier's reader gives them."""
    return [line for line, _ in pieces(io.BytesIO(data))]
