"""A link reset at a random time or byte: every claimed command comes back with its exit code, or never began.

Two out of three cases reset the link at a random moment of the act, a third after a random number of bytes, on real
SSH servers: sshd where there is one, else asyncssh. What happened on the host is counted there, not asked for.
"""

import contextlib
import os
import random
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from drctl.adapters.ssh import SshHosts
from drctl.core.inventory import SecretRef
from drctl.core.ports import Claim, ClaimReply, ClaimShell, ClaimState, Command
from drctl.core.values import Duration, Secret
from tests.campaign.registry import Figures, box_closed
from tests.fakes.sshservers import SSHD, Keys, Relay, asyncssh_server, inventory, openssh_server, tcp

NAME = "ssh-resets"
ROWS = ("R12",)
COUNT = 600
CI_COUNT = 60
_AT_ONCE = 4
_KNOWN = (ClaimState.RAN, ClaimState.REATTACHED)
_NEVER = (ClaimState.NOT_STARTED, ClaimState.UNREACHABLE, ClaimState.REFUSED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One act: its number, and when its link breaks: after so many seconds, or after so many bytes."""

    number: int
    seconds: float | None
    offset: int | None
    lasts: float

    @property
    def code(self) -> int:
        return self.number % 100

    @property
    def claim(self) -> Claim:
        return Claim(key=f"k{self.number}", run="uid-a", run_id="7K3QF", operator="li", epoch=1, holder="SHA256:a")

    @property
    def command(self) -> Command:
        script = f'sleep {self.lasts}; echo {self.number} >>"$HOME/effects"; exit {self.code}'
        return Command(script=script, timeout=Duration(60_000_000))


def drawn(count: int, rng: random.Random) -> list[Case]:
    """Cases; a third break by bytes."""
    cases = []
    for number in range(count):
        by_bytes = rng.random() < 1 / 3
        cases.append(
            Case(
                number=number,
                seconds=None if by_bytes else rng.uniform(0, 0.08),
                offset=rng.randrange(16000) if by_bytes else None,
                lasts=rng.choice([0, 0, 0.02]),
            )
        )
    return cases


@contextlib.contextmanager
def relays(folder: Path) -> Iterator[tuple[Keys, list[Relay]]]:
    """Give relays to one server, one for each act at once."""
    env = {"HOME": str(folder), "PATH": os.environ["PATH"], "XDG_STATE_HOME": str(folder / "state")}
    (folder / "effects").touch()
    keys = Keys.make(folder)
    with contextlib.ExitStack() as stack:
        if Path(SSHD).exists():
            upstream = stack.enter_context(openssh_server(keys, folder, env))
        else:
            upstream = tcp(stack.enter_context(asyncssh_server(keys, env)))
        made = [Relay(upstream) for _ in range(_AT_ONCE)]
        for relay in made:
            stack.callback(relay.close)
        yield keys, made


def act(shell: ClaimShell, relay: Relay, case: Case) -> ClaimReply:
    """Act once while the link breaks; in doubt, look once more, as the executor does."""
    relay.reset_after = case.offset
    timer = threading.Timer(case.seconds or 0, relay.cut)
    if case.seconds is not None:
        timer.start()
    answer = shell.run(case.claim, case.command)
    timer.cancel()
    relay.reset_after = None
    return answer if answer.state in (*_KNOWN, *_NEVER) else shell.attach(case.claim, case.command)


def _no_secret(ref: SecretRef) -> Secret:
    raise AssertionError(f"nothing asked for {ref}")


def run(count: int, rng: random.Random) -> Figures:
    """Carry out the cases, four at a time, then compare what was said with what the host shows."""
    figures, lock = Figures(), threading.Lock()
    for name in ("neither known nor never begun", "wrong exit code", "effects that differ from the outcome"):
        figures.count(name, 0)
    said: dict[int, ClaimReply] = {}
    # a build that is broken says "done" while its command still writes there
    folder = tempfile.TemporaryDirectory(prefix="drctl-", ignore_cleanup_errors=True)
    with folder as name, relays(Path(name)) as (keys, doors):
        hosts = SshHosts(inventory(*(keys.host(door.port, name=f"h{n}") for n, door in enumerate(doors))), _no_secret)

        def work(lane: int) -> None:
            shell = hosts.shell(f"h{lane}")
            for case in cases[lane::_AT_ONCE]:
                if box_closed():
                    return
                answer = act(shell, doors[lane], case)
                with lock:
                    said[case.number] = answer

        cases = drawn(count, rng)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(work, range(_AT_ONCE)))
        hosts.close()
        happened = Counter(int(line) for line in (Path(name) / "effects").read_text().split())
    for case in cases:
        if case.number in said:
            _judge(case, said[case.number], happened[case.number], figures)
    figures.count("links opened", sum(door.accepted for door in doors))
    return figures


def _judge(case: Case, answer: ClaimReply, effects: int, figures: Figures) -> None:
    figures.tried += 1
    figures.count(answer.state.value)
    known, never = answer.state in _KNOWN, answer.state in _NEVER
    figures.check(known or never, "neither known nor never begun", f"{case}: {answer}")
    code = answer.reply.exit if answer.reply else None
    figures.check(not known or code == case.code, "wrong exit code", f"{case}: {answer}")
    figures.check(effects == int(known), "effects that differ from the outcome", f"{case}: {effects}, {answer}")
