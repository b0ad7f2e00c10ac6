"""Cut at every byte, rolled back, or rewritten with the key: with an anchor found, without one never called intact."""

import random

from drctl.core.records import CLOSED
from drctl.core.verification import Anchor, Verdict
from tests.campaign.prefixes import Prefixes
from tests.campaign.registry import Figures, cases
from tests.fakes.journals import Builder, closed_journal

NAME = "truncate"
ROWS = ("R3", "R4")
COUNT = 1_000_000  # more than there are: all
CI_COUNT = 1_000_000
_SIZE = 64
_SECOND_EVERY = 20


def _rewritten(made: Builder, keep: int, known: Prefixes) -> list[bytes]:
    """The first `keep` lines, then another end, properly closed and signed with the right key."""
    chain = known.chain_before(keep)
    other = Builder(made.key, chain, [], made.clock)
    if not keep:
        other.open()
    while other.chain.size < _SIZE - 2:
        other.add("note_added", {"text": f"it was never like that {other.chain.size}"})
    if other.chain.size < _SIZE - 1:
        other.add(CLOSED, {"state": "done", "exit": 0})
    other.sign()
    return [*made.lines[:keep], *other.lines]


def _cut(offset: int, known: Prefixes, anchored: Prefixes, figures: Figures) -> None:
    line = known.line_at(offset)
    rest = known.data[known.starts[line] : offset]
    pieces = [rest] if rest else []
    word = known.go_on(line, pieces)
    where = f"cut at byte {offset}"
    expected = (Verdict.TORN,) if rest else (Verdict.OPEN, Verdict.UNSIGNED_TAIL)
    figures.check(word.verdict in expected, "called intact without an anchor", where)
    figures.check(word.records == line, "another number of sound records", where)
    figures.check(anchored.go_on(line, pieces).verdict is Verdict.TRUNCATED, "undetected with an anchor", where)
    if figures.tried % _SECOND_EVERY == 0:
        figures.check(known.second_agrees(known.data[:offset]), "second verifier disagrees", where)
        figures.count("judged by the second verifier")


def run(count: int, rng: random.Random) -> Figures:
    """Shorten and rewrite."""
    figures = Figures()
    made = closed_journal(rng, _SIZE)
    anchors = [Anchor(size=_SIZE, root=made.chain.tree.root())]
    known = Prefixes(made.lines, made.key.public)
    anchored = Prefixes(made.lines, made.key.public, anchors)
    for name in ("called intact without an anchor", "undetected with an anchor", "second verifier disagrees"):
        figures.count(name, 0)
    rewrites = range(-_SIZE + 1, 0)
    for case in cases([*range(len(known.data)), *rewrites], count, rng, figures):
        if case >= 0:
            _cut(case, known, anchored, figures)
            continue
        keep = -case - 1
        lines = _rewritten(made, keep, known)
        where = f"rewritten after {keep} records"
        word = known.judge(b"".join(lines))
        figures.check(word.verdict is not Verdict.INTACT_ANCHORED, "called intact without an anchor", where)
        figures.check(word.verdict is Verdict.INTACT_NOT_ANCHORED, "a sound rewrite is called unsound", where)
        figures.count("rewritten with the key")
        word = anchored.judge(b"".join(lines))
        figures.check(word.verdict is Verdict.FORKED, "undetected with an anchor", where)
    return figures
