"""Operators who race for one host, and writers who are replaced while they stand still: one winner, counted there.

Each case is a host of its own (a folder of claims, the real wrapper, real processes). What happened is read from what
the commands left on the host, not from what was answered. A holder that stands still is a process under SIGSTOP.
"""

import contextlib
import os
import random
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from drctl.adapters import claim_text
from drctl.adapters.claims import ClaimedShell
from drctl.adapters.local import LocalCarrier
from drctl.core.ports import Claim, ClaimReply, ClaimState, Command
from drctl.core.values import Duration
from tests.campaign.registry import Figures, box_closed

NAME = "races"
ROWS = ("R15",)
COUNT = 1000
CI_COUNT = 100
_AT_ONCE = 2
_PROMISES = (
    "not exactly one winner", "told another winner than the host shows", "loser not told what to type",
    "stale epoch not refused", "an act that was proven not to begin", "a given-up run acted",
)  # fmt: skip


@dataclass(slots=True)
class Place:
    """One host."""

    folder: Path
    number: int
    rng: random.Random
    env: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.env = {"HOME": str(self.folder), "PATH": os.environ["PATH"]}

    @property
    def state(self) -> str:
        return str(self.folder / "host")

    def shell(self) -> ClaimedShell:
        """What one operator has: a link of its own."""
        return ClaimedShell(LocalCarrier(self.env), "h1", self.state)

    def claim(self, who: str, *, run: str = "", key: str = "", epoch: int = 1) -> Claim:
        uid = f"uid-{self.number}-{run or who}"
        return Claim(
            key=f"k{self.number}-{key or who}", run=uid, run_id=f"RUN-{run or who}", operator=who, epoch=epoch,
            holder=f"SHA256:{who}-{epoch}",
        )  # fmt: skip

    def command(self, who: str) -> Command:
        return Command(script=f"echo {who} >>{self.folder}/effects", timeout=Duration(60_000_000))

    def effects(self) -> list[str]:
        path = self.folder / "effects"
        return path.read_text().split() if path.exists() else []


def run(count: int, rng: random.Random) -> Figures:
    """Race, case by case, a few cases at a time."""
    figures, lock = Figures(), threading.Lock()
    for name in _PROMISES:
        figures.count(name, 0)
    kinds = (_first_act, _frozen, _given_up, _two_holders)
    drawn = [(number, rng.choice(kinds), rng.randrange(2**32)) for number in range(count)]

    def lane(first: int) -> None:
        for number, kind, seed in drawn[first::_AT_ONCE]:
            if box_closed():
                return
            with tempfile.TemporaryDirectory(prefix="drctl-") as name:
                place, mine = Place(Path(name), number, random.Random(seed)), Figures()
                kind(place, mine)
                mine.count(kind.__name__.strip("_").replace("_", " "))
            with lock:
                figures.tried += 1
                for what, many in mine.numbers.items():
                    figures.count(what, many)
                figures.broken += [f"case {number}: {text}" for text in mine.broken][: 20 - len(figures.broken)]

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(lane, range(_AT_ONCE)))
    return figures


def _at_once(place: Place, names: list[str], do: Callable[[str], ClaimReply]) -> dict[str, ClaimReply]:
    start = threading.Barrier(len(names))
    waits = {name: place.rng.choice((0.0, 0.0, place.rng.uniform(0, 0.01))) for name in names}

    def one(name: str) -> ClaimReply:
        start.wait(60)
        time.sleep(waits[name])  # not to wait for anything: to shift one start against the other
        return do(name)

    with ThreadPoolExecutor(len(names)) as pool:
        return dict(zip(names, pool.map(one, names), strict=True))


def _first_act(place: Place, figures: Figures) -> None:
    """Runs of several operators make their first act on a free host."""
    names = ["li", "wang", "zhao"][: place.rng.choice((2, 2, 3))]
    told = _at_once(place, names, lambda name: place.shell().run(place.claim(name), place.command(name)))
    winners, there = [name for name, answer in told.items() if answer.state is ClaimState.RAN], place.effects()
    figures.check(len(winners) == 1 == len(there), "not exactly one winner", f"{told} {there}")
    figures.check(winners == there, "told another winner than the host shows", f"{winners} {there}")
    for name, answer in told.items():
        by = answer.held_by
        if name in winners:
            continue
        right = by is not None and f"RUN-{there[0]}" == by.run_id and f"--from {by.run}" in answer.because
        figures.check(right and bool(by and by.since), "loser not told what to type", f"{answer}")


def _frozen(place: Place, figures: Figures) -> None:
    """The holder is stopped somewhere in an act; another one takes the run over, asks what became of it, goes on."""
    first = place.shell()
    if place.rng.random() < 0.8:  # else this act would have been its first one here
        first.run(place.claim("li", run="r", key="before"), place.command("before"))
    old, new = place.claim("li", run="r", key="act"), place.claim("wang", run="r", key="act", epoch=2)
    with _spoken(place, old) as process:
        time.sleep(place.rng.uniform(0, 0.03))  # not to wait for anything: a moment drawn by chance
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGSTOP)
        taken = place.shell().take(new)
        asked = place.shell().attach(new, place.command("act"))
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGCONT)
        process.wait(60)
    figures.check(taken.state is ClaimState.RAN, "not exactly one winner", f"{taken}")
    settled = place.shell().attach(new, place.command("act"))
    there = place.effects().count("act")
    figures.count(f"frozen, then {asked.state.value}")
    never = ClaimState.NOT_STARTED in (asked.state, settled.state)
    figures.check(there == 0 if never else there <= 1, "an act that was proven not to begin", f"{asked} {there}")
    for late in (first.run(place.claim("li", run="r", key="late"), place.command("late")), first.take(old)):
        by = late.held_by
        told = by is not None and (by.epoch, by.holder) == (2, "SHA256:wang-2") and bool(by.since)
        figures.check(late.state is ClaimState.REFUSED and told, "stale epoch not refused", f"{late}")
    figures.check("late" not in place.effects(), "stale epoch not refused", f"{place.effects()}")


def _given_up(place: Place, figures: Figures) -> None:
    """Two runs take the host from a run that is lost, while that one, not dead after all, goes on acting."""
    dead, names = place.claim("li", run="r"), ["wang", "zhao"]
    place.shell().run(dead, place.command("before"))
    acting = [*names, "li"]

    def both(name: str) -> ClaimReply:
        if name == "li":
            return place.shell().run(place.claim("li", run="r", key="again"), place.command("li"))
        taken = place.shell().take(place.claim(name), dead.run)
        return place.shell().run(place.claim(name), place.command(name)) if taken.held_by is None else taken

    told = _at_once(place, acting, both)
    winners, there = [name for name in names if told[name].state is ClaimState.RAN], place.effects()
    others = [name for name in there if name in names]
    figures.check(len(winners) == 1 and winners == others, "not exactly one winner", f"{told} {there}")
    late = place.shell().run(place.claim("li", run="r", key="late"), place.command("late"))
    figures.check(late.state is ClaimState.REFUSED, "a given-up run acted", f"{late}")
    figures.check(told["li"].state is not ClaimState.RAN or "li" in there, "a given-up run acted", f"{told} {there}")


def _two_holders(place: Place, figures: Figures) -> None:
    """Two copies of one run are taken over at once, under the same number."""
    place.shell().run(place.claim("li", run="r", key="before"), place.command("before"))
    names = ["wang", "zhao"]
    claims = {name: place.claim(name, run="r", key=name, epoch=2) for name in names}
    told = _at_once(place, names, lambda name: place.shell().run(claims[name], place.command(name)))
    winners = [name for name, answer in told.items() if answer.state is ClaimState.RAN]
    there = [name for name in place.effects() if name in names]
    figures.check(len(winners) == 1 and winners == there, "not exactly one winner", f"{told} {there}")
    for name in names:
        late = place.shell().run(place.claim(name, run="r", key=f"{name}-2", epoch=2), place.command("more"))
        right = (late.state is ClaimState.RAN) == (name in winners)
        figures.check(right, "stale epoch not refused", f"{name}: {late}")


@contextlib.contextmanager
def _spoken(place: Place, claim: Claim) -> Iterator[subprocess.Popen[bytes]]:
    """The wrapper of one act as a process of its own, which can be stopped."""
    command = place.command("act")
    values = claim_text.claim_values(claim, "2026-11-23T15:00:00Z") | {
        "d": place.state, "sh": "/bin/sh", "g": command.digest, "cap": "1000", "t": "60", "priv": "0", "kill": "1",
        "p": claim_text.program(command), "from": "",
    }  # fmt: skip
    text = claim_text.wrapper_text(claim_text.nonce(), "run", values)
    argv = ["/bin/sh", "-c", 'eval "$(cat)"']
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=place.env,
        start_new_session=True,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        process.stdin.write(text)
        process.stdin.close()
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
