"""Every single-bit flip of a 64-record journal is found, at its exact record."""

import random

from tests.campaign.prefixes import INTACT, Prefixes, split_lines
from tests.campaign.registry import Figures, cases
from tests.fakes.journals import closed_journal

NAME = "bitflip"
ROWS = ("R1", "R4")
COUNT = 1_000_000  # more than there are: all
CI_COUNT = 1_000_000
_SECOND_EVERY = 100


def run(count: int, rng: random.Random) -> Figures:
    """Flip bits; each flip is judged from the line it is in, every hundredth from the beginning and by the second."""
    figures = Figures()
    made = closed_journal(rng)
    known = Prefixes(made.lines, made.key.public)
    for name in ("undetected", "at another record", "second verifier disagrees"):
        figures.count(name, 0)
    for bit in cases(range(len(known.data) * 8), count, rng, figures):
        offset = bit // 8
        line = known.line_at(offset)
        start, end = known.starts[line], known.starts[min(line + 2, len(made.lines))]
        flipped = bytearray(known.data[start:end])
        flipped[offset - start] ^= 1 << bit % 8
        word = known.go_on(line, split_lines(bytes(flipped)))
        where = f"bit {bit % 8} of byte {offset}"
        figures.check(word.first_bad is not None, "undetected", where)
        figures.check(word.first_bad is None or word.first_bad.seq == line, "at another record", where)
        if figures.tried % _SECOND_EVERY == 0:
            data = known.data[:start] + bytes(flipped) + known.data[end:]
            word = known.judge(data)
            figures.check(word.first_bad is not None and word.verdict not in INTACT, "undetected", where)
            figures.check(known.second_agrees(data), "second verifier disagrees", where)
            figures.count("judged by the second verifier")
    return figures
