"""Records deleted, doubled, swapped, inserted or spliced in at every position are found, at the exact place."""

import random
from collections.abc import Iterator

from drctl.core.verification import Verdict
from tests.campaign.prefixes import Prefixes
from tests.campaign.registry import Figures, cases
from tests.fakes.journals import Builder, closed_journal

NAME = "records"
ROWS = ("R2", "R4")
COUNT = 100_000  # more than there are: all
CI_COUNT = 100_000
_SIZE = 64
_SECOND_EVERY = 10

Case = tuple[str, int, int]


def _space() -> Iterator[Case]:
    for i in range(_SIZE):
        for j in range(_SIZE + 1):
            yield "duplicate", i, j
            yield "insert from another run", i, j
            if i > 1:  # the beginning of a fork is another history, not an insertion: see the campaign truncate
                yield "insert from a fork of this run", i, j
            if i < j:
                yield "delete", i, j
                yield "splice from another run", i, j
                if i > 1:
                    yield "splice from a fork of this run", i, j
            if i < j < _SIZE:
                yield "swap", i, j


def _changed(case: Case, lines: list[bytes], others: dict[str, list[bytes]]) -> list[bytes]:
    what, i, j = case
    if what == "delete":
        return lines[:i] + lines[j:]
    if what == "duplicate":
        return [*lines[:j], lines[i], *lines[j:]]
    if what == "swap":
        return [*lines[:i], lines[j], *lines[i + 1 : j], lines[i], *lines[j + 1 :]]
    other = others[what.split(" from ")[1]]
    return [*lines[:j], other[i], *lines[j:]] if what.startswith("insert") else lines[:i] + other[i:j] + lines[j:]


def _fork(made: Builder, rng: random.Random) -> list[bytes]:
    """Another history of the same run under the same key: what a stolen key could write."""
    fork = Builder.start(key=made.key)
    fork.open()
    while fork.chain.size < _SIZE:
        if fork.chain.size % 8 == 7:
            fork.sign()
        else:
            fork.add("note_added", {"text": str(rng.random())})
    return fork.lines


def run(count: int, rng: random.Random) -> Figures:
    """Change the order or number of whole lines."""
    figures = Figures()
    made = closed_journal(rng, _SIZE)
    known = Prefixes(made.lines, made.key.public)
    another = closed_journal(rng, _SIZE, uid="f" * 32)
    others = {"another run": another.lines, "a fork of this run": _fork(made, rng)}
    for name in ("undetected", "at another record", "second verifier disagrees"):
        figures.count(name, 0)
    for case in cases(list(_space()), count, rng, figures):
        changed = _changed(case, made.lines, others)
        if changed == made.lines:  # a fork may begin with the same line
            figures.tried -= 1
            continue
        common = next((n for n, pair in enumerate(zip(changed, made.lines, strict=False)) if pair[0] != pair[1]), None)
        first = min(len(changed), _SIZE) if common is None else common
        word = known.go_on(first, changed[first:])
        where = f"{case[0]} {case[1]} {case[2]}"
        if first == len(changed):  # only the end is missing: without an anchor this can look like an open run
            figures.check(word.verdict in (Verdict.OPEN, Verdict.UNSIGNED_TAIL), "undetected", where)
        else:
            figures.check(word.verdict is Verdict.ALTERED, "undetected", where)
            figures.check(bool(word.first_bad and word.first_bad.seq == first), "at another record", where)
        if figures.tried % _SECOND_EVERY == 0:
            data = b"".join(changed)
            figures.check(known.second_agrees(data), "second verifier disagrees", where)
            figures.count("judged by the second verifier")
    return figures
