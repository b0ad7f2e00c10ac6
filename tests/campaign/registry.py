"""What a campaign is, which there are, and the box of time around one."""

import contextlib
import importlib
import json
import pkgutil
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import tests.campaign

Case = TypeVar("Case")

_box_ends: list[float] = []  # no ContextVar: threads that carry cases out would not see it
_MOST_SHOWN = 20
_ORDINARY = 60.0
"""Seconds of an ordinary box. The suite takes a third of it, and the rest only where too few cases fitted."""


@dataclass(slots=True)
class Figures:
    """What a campaign counted. `broken` holds a sentence for each broken promise; empty means that all held."""

    tried: int = 0
    numbers: dict[str, int] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)

    def count(self, name: str, by: int = 1) -> None:
        """Add to a figure; naming it with 0 makes it stand in the report."""
        self.numbers[name] = self.numbers.get(name, 0) + by

    def check(self, held: bool, name: str, what: str) -> None:  # noqa: FBT001 - it reads like an assert
        """Count a promise that did not hold under `name`, and keep how to see it again."""
        self.count(name, 0 if held else 1)
        if not held and len(self.broken) < _MOST_SHOWN:
            self.broken.append(f"{name}: {what}")

    def add(self, other: "Figures") -> None:
        """Take over what another one counted, but for its cases."""
        for name, number in other.numbers.items():
            self.count(name, number)
        self.broken += other.broken[: _MOST_SHOWN - len(self.broken)]

    def text(self) -> str:
        """The figures, one a line."""
        lines = [f"tried: {self.tried}", *(f"{name}: {number}" for name, number in self.numbers.items())]
        return "\n".join(lines)

    def json(self) -> str:
        """The figures for machines, one line."""
        return json.dumps({"tried": self.tried, **self.numbers, "broken": self.broken})


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """One campaign, as its module declares it."""

    name: str
    rows: Sequence[str]
    count: int
    ci_count: int
    run: Callable[[int, random.Random], Figures]
    says: str
    seconds: float = 60.0


def campaigns() -> Mapping[str, Campaign]:
    """Every campaign by name: the modules of this package that have a NAME."""
    found = {}
    for info in pkgutil.iter_modules(tests.campaign.__path__):
        if info.name.startswith(("test_", "_")):
            continue
        module = importlib.import_module(f"tests.campaign.{info.name}")
        if hasattr(module, "NAME"):
            found[module.NAME] = Campaign(
                name=module.NAME,
                rows=module.ROWS,
                count=module.COUNT,
                ci_count=module.CI_COUNT,
                run=module.run,
                says=(module.__doc__ or "").split("\n")[0],
                seconds=getattr(module, "SECONDS", 60.0),
            )
    return found


def cases(space: Sequence[Case], count: int, rng: random.Random, figures: Figures) -> Iterator[Case]:
    """Cases of a finite space in random order, all of them when `count` reaches that far; counts what it gives.

    Ends early when a box of time is around the campaign and closes.
    """
    figures.count("cases there are", len(space))
    chosen = rng.sample(range(len(space)), min(count, len(space)))
    for index in chosen:
        if box_closed():
            return
        figures.tried += 1
        yield space[index]


def box_closed() -> bool:
    """Whether the time is over; campaigns with other loops than `cases` ask here between two cases."""
    return any(time.monotonic() > ends for ends in list(_box_ends))


@contextlib.contextmanager
def box(seconds: float) -> Iterator[None]:
    """Let campaigns inside end after so many seconds, with the figures they have by then."""
    _box_ends.append(time.monotonic() + seconds)
    try:
        yield
    finally:
        _box_ends.pop()


def run_boxed(campaign: Campaign, seed: int, seconds: float | None = None) -> Figures:
    """The subset for the suite: `ci_count` cases, in a box of `seconds` (else its own), at least a tenth of them.

    Raises:
        AssertionError: a promise was broken, or too few cases fitted into the box; says how to see it again.
    """
    seconds = campaign.seconds if seconds is None else seconds
    short = seconds / 3 if 0 < seconds <= _ORDINARY else seconds
    with box(short):
        figures = campaign.run(campaign.ci_count, random.Random(seed))
    again = f"python -m tests.campaign {campaign.name} --count {campaign.ci_count} --seed {seed}"
    floor = min(campaign.ci_count, figures.numbers.get("cases there are", campaign.ci_count)) // 10
    if not figures.broken and figures.tried < floor and short < seconds:
        seed += 1
        again += f" (and --seed {seed})"
        with box(seconds - short):
            more = campaign.run(campaign.ci_count, random.Random(seed))
        figures.tried += more.tried
        figures.add(more)
    if figures.broken or figures.tried < max(floor, 1):
        shown = "\n".join([again, figures.text(), *figures.broken])
        raise AssertionError(f"{shown}\n(at least {floor} cases must fit into {seconds:.0f} s)")
    return figures
