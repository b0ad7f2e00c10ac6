"""`drctl run` of twelve steps over SSH, killed before any system call, and every `resume` again: nothing lost or twice.

Each process is killed while it stands before its N-th call that can change what others see or tell it what happened
(`tests.fakes.processes`): files, disk, network, processes, its own exit. N goes through the calls of a whole run and
repeats none before all were had; of the resumed processes that follow most are killed too, at calls drawn at random, so
that dying while taking up is counted as well. Only processes that ended with -9 count. One in twenty is a new
interpreter, the others are forks of one that has loaded drctl. People answer what is asked, and the case goes on until
the run is closed.
"""

import platform
import random
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.campaign._twelve import LIVES, PROMISES, Far, Twelve, far
from tests.campaign.registry import Figures, box_closed
from tests.fakes.processes import can_trace, starter

NAME = "syscall-kills"
ROWS = ("R5",)
COUNT = 2000
CI_COUNT = 200

SABOTAGE = ""
"""MODULE:FUNCTION called in every process before drctl is; only tests of this campaign set it."""
_AT_ONCE = 3
_AGAIN = 0.75
_COLD = 0.05
_BEFORE_RESUME_ENDS = 300
"""Calls drawn for a resumed process; one that makes fewer is not killed, and not counted."""


class _Points:
    """Which calls of a whole run were not yet killed before; shared by the workers."""

    def __init__(self, calls: int, rng: random.Random) -> None:
        self._calls = calls
        self._rng = rng
        self._left: list[int] = []
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Pairs of a call and a seed, for ever."""
        while True:
            with self._lock:
                if not self._left:
                    self._left = list(range(1, self._calls + 1))
                    self._rng.shuffle(self._left)
                point = (self._left.pop(), self._rng.getrandbits(32))
            yield point


def one(case: Twelve, first: int, rng: random.Random) -> Counter[str]:
    """Kill the first process before its call `first`, some of the next ones too, and go on to the end.

    Gives how often a process was killed before each call.
    """
    killed: Counter[str] = Counter()
    case.dark = rng.random() < 0.2
    at = first
    while case.lives < LIVES and not case.closed:
        ended = case.live(kill_before=at, cold=at > 0 and rng.random() < _COLD)
        if ended.code == -9:
            killed[ended.calls[-1]] += 1
        else:
            case.answer()
        at = rng.randint(1, _BEFORE_RESUME_ENDS) if rng.random() < _AGAIN else 0
    case.judge()
    return killed


def _unharmed(folder: Path, host: Far) -> int:
    """How many calls a process that begins a run makes, to where it first needs a person."""
    figures = Figures()
    with starter() as starts:
        case = Twelve(folder / "unharmed", host, starts, figures, "unharmed")
        calls = len(case.live(kill_before=1_000_000).calls)
        while not case.closed and case.lives < LIVES:
            case.answer()
            case.live()
        case.judge()
    if figures.broken:
        raise AssertionError("a run that nobody harms fails: " + "\n".join(figures.broken))
    return calls


def run(count: int, rng: random.Random) -> Figures:
    """Cases until so many processes were killed."""
    if not can_trace():
        raise AssertionError(f"the system calls of {platform.machine()} are not known to tests.fakes.processes")
    figures, lock = Figures(), threading.Lock()
    for name in (*PROMISES, "cases", "calls of a whole run"):
        figures.count(name, 0)
    with tempfile.TemporaryDirectory(prefix="drctl-k-") as name, far(Path(name)) as host:
        folder = Path(name)
        points = _Points(_unharmed(folder, host), rng)
        figures.count("calls of a whole run", points._calls)

        def work(_: int) -> None:
            with starter() as starts:
                for first, seed in points:
                    if box_closed() or figures.tried >= count:
                        return
                    own = Figures()
                    where = f"killed before call {first}, seed {seed}"
                    case = Twelve(folder / f"{first}-{seed}", host, starts, own, where, sabotage=SABOTAGE)
                    killed = one(case, first, random.Random(seed))
                    case.forget()
                    with lock:
                        figures.tried += sum(killed.values())
                        figures.count("cases")
                        for call, times in killed.items():
                            figures.count(f"killed before {call}", times)
                        figures.add(own)

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(work, range(_AT_ONCE)))
    return figures
