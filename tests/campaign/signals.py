"""SIGKILL, SIGSTOP with SIGCONT, and SIGTERM at random moments of a run and of up to five resumed ones: the same zeros.

Real processes of twelve steps over SSH, as in `syscall-kills`. Each of the first lives gets one to three signals at
random moments of its life, the usual ends mixed: killed, stopped and let go on, asked to stop (which then must say so
by its exit code), or asked twice. Then nobody disturbs it any more, and people answer until the run is closed.
"""

import random
import signal
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.campaign._twelve import LIVES, PROMISES, Twelve, far
from tests.campaign.registry import Figures, box_closed
from tests.fakes.processes import starter

NAME = "signals"
ROWS = ("R6",)
COUNT = 1000
CI_COUNT = 50

SABOTAGE = ""
_AT_ONCE = 3
_DEEP = 5
_LIFE = 1.2
"""Seconds in which a process of a run meets its first signal; on a loaded machine it lives longer."""
_PAUSE = 0.05


def drawn(rng: random.Random) -> Sequence[tuple[float, int]]:
    """What one process is sent, and when."""
    at = rng.uniform(0.0, _LIFE)
    kind = rng.choice(("kill", "kill", "stop", "stop", "term", "term", "twice"))
    if kind == "kill":
        return [(at, signal.SIGKILL)]
    if kind == "stop":  # and killed while it stands still, or after it goes on
        then = rng.choice([[], [(at + rng.uniform(0, 2 * _PAUSE), signal.SIGKILL)]])
        return sorted([(at, signal.SIGSTOP), (at + _PAUSE, signal.SIGCONT), *then])
    if kind == "term":
        return [(at, signal.SIGTERM)]
    return [(at, signal.SIGTERM), (at + rng.uniform(0, _PAUSE), signal.SIGTERM)]


def one(case: Twelve, rng: random.Random) -> None:
    """Disturb a run, up to five deep, and go on to its end."""
    case.dark = rng.random() < 0.2
    deep = rng.randint(1, _DEEP)
    while case.lives < LIVES and not case.closed:
        plan = drawn(rng) if case.lives <= deep else []
        ended = case.live(signals=plan)
        for _, number in plan[: ended.signals]:
            case.figures.count(f"sent {signal.Signals(number).name}")
        if ended.code != -signal.SIGKILL:
            case.answer()
    case.judge()


def run(count: int, rng: random.Random) -> Figures:
    """So many runs."""
    figures, lock = Figures(), threading.Lock()
    for name in (*PROMISES, "killed"):
        figures.count(name, 0)
    seeds = iter([rng.getrandbits(32) for _ in range(count)])
    with tempfile.TemporaryDirectory(prefix="drctl-s-") as name, far(Path(name)) as host:

        def work(_: int) -> None:
            with starter() as starts:
                while not box_closed():
                    with lock:
                        seed = next(seeds, None)
                    if seed is None:
                        return
                    own = Figures()
                    case = Twelve(Path(name, str(seed)), host, starts, own, f"seed {seed}", sabotage=SABOTAGE)
                    one(case, random.Random(seed))
                    case.forget()
                    own.count("killed", case.kills)
                    own.count(f"lives {min(case.lives, 9)}")
                    with lock:
                        figures.tried += 1
                        figures.add(own)

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(work, range(_AT_ONCE)))
    return figures
