"""Run a campaign; the last lines are its figures, and the exit code is 1 when a promise was broken."""

import argparse
import math
import random
import secrets
import sys

from tests.campaign.registry import box, campaigns


def main() -> int:
    """Read the command line, run, report."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaign")
    parser.add_argument("name", nargs="?", help="which campaign")
    parser.add_argument("--count", type=int, help="how many cases; more than there are means all")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**32), help="to see the same cases again")
    parser.add_argument("--seconds", type=float, help="end after this time with the figures there are by then")
    parser.add_argument("--json", action="store_true", help="the figures as one line of JSON")
    parser.add_argument("--list", action="store_true", help="which campaigns there are")
    asked = parser.parse_args()
    known = campaigns()
    if asked.list:
        for campaign in known.values():
            rows = " ".join(campaign.rows)
            print(f"{campaign.name:<16} {rows:<8} {campaign.count:>8} {campaign.ci_count:>8}  {campaign.says}")  # noqa: T201
        return 0
    if asked.name not in known:
        parser.error(f"no campaign {asked.name!r}; there are: {', '.join(known)}")
    campaign = known[asked.name]
    print(f"campaign {campaign.name}, seed {asked.seed}", file=sys.stderr, flush=True)  # noqa: T201
    rng = random.Random(asked.seed)
    with box(asked.seconds or math.inf):
        figures = campaign.run(campaign.count if asked.count is None else asked.count, rng)
    for sentence in figures.broken:
        print(f"BROKEN {sentence}", file=sys.stderr)  # noqa: T201
    print(figures.json() if asked.json else figures.text())  # noqa: T201
    return 1 if figures.broken else 0


if __name__ == "__main__":
    sys.exit(main())
