"""Every fault of a link and of a host behind it: never "ok" for what did not end so, no hang, each named as what it is.

An act or a look meets one fault on a real SSH server (sshd where there is one, else asyncssh) behind a relay. What
happened is counted on the host: marks of the command, its claim, its processes. Then everything is in order again, and
the claim must tell what became of the command. The transport's own limits are made short, so that its limits end what
stands still, long before the limit of the command does; no other time is a verdict.
"""

import contextlib
import itertools
import os
import random
import shutil
import signal
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from drctl.adapters import claims, openssh, ssh_transport, ssh_watch
from drctl.core.ports import ClaimReply, ClaimState, Reply
from drctl.core.transports import FABRIC, OPENSSH
from tests.campaign._ssh_faults import ANYWHERE, CAP, FAULTS, KNOWN, WEIRD, Allowed, Bout, Case, Lane, named
from tests.campaign.registry import Figures, box_closed
from tests.fakes.sshservers import SSH, SSHD, Keys, Relay, asyncssh_server, openssh_server, tcp
from tests.invariants import claims_under

NAME = "ssh-faults"
ROWS = ("R12",)
_OFFSETS = 5
_ROUND = len(FAULTS) + 2 * (_OFFSETS - 1)
COUNT = 40 * _ROUND
CI_COUNT = 5 * _ROUND

TRANSPORTS = (FABRIC, OPENSSH) if shutil.which("ssh") else (FABRIC,)

OK = "told as ended so, and the host differs"
HANG = "no answer within the limit and the grace"
NEVER = "told as never begun, and it did"
TYPED = "told as another fault"
LEFT = "timed out, and neither gone nor named"
LOST = "outcomes not recovered"
TWICE = "done twice"
OUTPUT = "output other than the command's"
_PROMISES = (OK, HANG, NEVER, TYPED, LEFT, LOST, TWICE, OUTPUT)
_LIMITS = {"CONNECT": 2.0, "BANNER": 2.0, "AUTH": 3.0, "CHANNEL": 2.0, "OPEN": 4.0}
_GRACE = 12.0
_SLACK = 30.0  # seconds for a machine that others use as well
_AT_ONCE = 8
_STUCK = 'while [ -e "$HOME/stuck" ]; do sleep 0.05; done'
_KILLED = 128 + signal.SIGKILL
_NEVER = ("not_started", "unreachable", "refused")


def drawn(count: int, rng: random.Random) -> list[Case]:
    """Rounds of all faults, acts and looks in turn; those that strike anywhere go through a hundred places."""
    names = [name for name in FAULTS for _ in range(_OFFSETS if name in ANYWHERE else 1)]
    places = {name: itertools.cycle(rng.sample(range(100), 100)) for name in ANYWHERE}
    found: list[Case] = []
    while len(found) < count:
        for index, name in enumerate(rng.sample(names, len(names))):
            transport = TRANSPORTS[len(found) % len(TRANSPORTS)]
            place = next(places[name]) if name in places else rng.random() * 100
            look = name not in ANYWHERE and (len(found) // len(names) + index) % 3 == 0
            found.append(Case(number=len(found), fault=name, look=look, part=place / 100, transport=transport))
    return found[:count]


@contextlib.contextmanager
def lane(folder: Path, keys: Keys) -> Iterator[Lane]:
    """A host with its servers: as it is, with another key, and with a login shell that may stand still."""
    for name in ("effects", "go", "changed", "stuck-side"):
        (folder / name).mkdir(parents=True)
    other = Keys(folder / "changed")
    for source, target in (("other", "host"), ("other.pub", "host.pub"), ("client.pub", "client.pub")):
        shutil.copy(keys.folder / source, other.folder / target)
    env = {"HOME": str(folder), "PATH": os.environ["PATH"], "XDG_STATE_HOME": str(folder / "state")}
    with contextlib.ExitStack() as stack:
        if Path(SSHD).exists():
            forced = f'{_STUCK}; exec /bin/sh -c "$SSH_ORIGINAL_COMMAND"'
            plain = stack.enter_context(openssh_server(keys, folder, env))
            changed = stack.enter_context(openssh_server(other, other.folder, env))
            stuck = stack.enter_context(openssh_server(keys, folder / "stuck-side", env, ForceCommand=forced))
        else:
            plain, changed, stuck = (
                tcp(stack.enter_context(asyncssh_server(which, env, prelude)))
                for which, prelude in ((keys, ""), (other, ""), (keys, _STUCK))
            )
        relay = Relay(plain)
        stack.callback(relay.close)
        yield Lane(folder, keys, relay, plain, changed, stuck)


def measure(which: Lane, transport: str) -> None:
    """How many bytes a login takes, and a whole act."""
    number = 10**6 + TRANSPORTS.index(transport)
    bout = Bout(which, Case(number=number, fault="", look=False, part=0, transport=transport))
    bout.hosts.carrier("h1").link(time.monotonic() + 60)
    login = dict(which.relay.passed)
    bout.start()
    if not bout.end(60) or state(bout.answer) != "ran":
        raise AssertionError(f"an act that meets no fault fails: {bout.answer}")
    whole = which.relay.passed
    which.lengths[transport] = {way: (login[way], whole[way]) for way in login}
    bout.clear()


def state(answer: ClaimReply | Reply | None) -> str:
    """How an answer came back, in one word."""
    if answer is None:
        return "none"
    return answer.state.value if isinstance(answer, ClaimReply) else answer.reach.value


def code(answer: ClaimReply | Reply | None) -> int | None:
    """The exit code that was told."""
    reply = answer.reply if isinstance(answer, ClaimReply) else answer
    return reply.exit if reply else None


def said(answer: ClaimReply | Reply) -> str:
    """Why it ended so, in the answer's words."""
    return " ".join([answer.because, answer.reply.because if isinstance(answer, ClaimReply) and answer.reply else ""])


def one(case: Case, which: Lane, figures: Figures) -> None:
    """Meet the fault, judge the answer, have everything in order, and judge what the claim tells."""
    bout = Bout(which, case)
    try:
        allowed = FAULTS[case.fault](bout)
        if not bout.end(bout.limit + _GRACE + _SLACK):
            figures.check(False, HANG, f"{case}")  # noqa: FBT003 - reaching this is the failure
            return
        figures.check(bout.took <= bout.limit + _GRACE + _SLACK / 2, HANG, f"{case}: {bout.took:.1f} s")
        figures.count(f"{case.fault}: {'look ' if case.look else ''}{state(bout.answer)}")
        judge(bout, allowed, figures)
        bout.mend()
        if not case.look:
            recover(bout, allowed, figures)
    finally:
        bout.mend()
        bout.clear()


def judge(bout: Bout, allowed: Allowed, figures: Figures) -> None:
    """Hold the answer against the fault and against the host."""
    case, answer = bout.case, bout.answer
    assert answer is not None
    told, where = state(answer), f"{case}: {answer}"
    because = said(answer)
    typed = not allowed.words or told in KNOWN or any(_says(because, word) for word in allowed.words)
    figures.check(told in allowed.states and typed, TYPED, f"{where}, not {sorted(allowed.states)} {allowed.words}")
    _ended_so(bout, answer, allowed, figures)
    if told in ("killed", "timeout") and bout.effects and case.fault != "half open away":
        left = bout.left()
        known = any(Path(f"/proc/{pid}").exists() for pid in named(because))  # the first process of its session
        figures.check(not left or known, LEFT, f"{where}: {left}")
    if case.look and told in KNOWN:
        figures.count("looks that run on after an answer", len(bout.left()))
    if told == "still_running":
        figures.check(bool(set(named(because)) & set(bout.left())), LEFT, where)


def _says(because: str, word: str) -> bool:
    return because.startswith(word[1:]) if word[0] == "^" else word in because


def _ended_so(bout: Bout, answer: ClaimReply | Reply, allowed: Allowed, figures: Figures) -> None:
    """An exit code is told only when it is the command's; one that is no known end is never told."""
    told, ends = state(answer), ({_KILLED} if allowed.killed else {bout.case.code})
    ends |= {bout.case.code} if bout.case.fault == "session killed" and bout.case.look else set()
    exact = code(answer) in ends and bout.effects >= 1 and (bout.case.look or _on_host(bout) == str(code(answer)))
    figures.check(
        exact if told in KNOWN else code(answer) is None, OK, f"{bout.case}: {answer}, on the host {_on_host(bout)}"
    )
    reply = answer.reply if isinstance(answer, ClaimReply) else answer
    if told in KNOWN and reply is not None and not allowed.killed:
        whole = WEIRD if bout.case.fault == "bad utf8" else b""
        right = (
            len(reply.stdout) == len(reply.stderr) == CAP and reply.cut
            if bout.case.fault == "flood"
            else reply.stdout == reply.stderr == whole and not reply.cut
        )
        figures.check(right, OUTPUT, f"{bout.case}: {reply.stdout[:99]!r} {reply.stderr[:99]!r} {reply.cut}")


def _on_host(bout: Bout) -> str:
    claims_ = claims_under(bout.lane.folder / "state" / "drctl", "h1")
    return next((claim.end for claim in claims_ if claim.key == bout.claim.key), "no claim")


def recover(bout: Bout, allowed: Allowed, figures: Figures) -> None:
    """The link is back: the claim tells the end, or ends the command now, or proves that it never began."""
    first, ending = bout.answer, bout.case.part >= 1 / 2
    if not ending:
        bout.go()
    for _ in range(10):
        last = (bout.shell.kill if ending else bout.shell.attach)(bout.claim, bout.sent)
        if last.state is ClaimState.STILL_RUNNING:
            bout.go()  # it is not to be ended: its end is waited for
            ending = False
        elif last.state is not ClaimState.UNREACHABLE:
            break
    told, where = state(last), f"{bout.case}: {first}, then {last}"
    figures.count(f"then {told}")
    settled = {"ran", "reattached", "not_started", "killed"} | allowed.later
    figures.check(told in settled and (told != "in_doubt" or last.gone), LOST, where)
    if told in KNOWN:
        _ended_so(bout, last, allowed, figures)
    if told == "killed":
        figures.check(not bout.left(), LEFT, f"{where}: {bout.left()}")
    figures.check(told != "not_started" or not bout.effects, NEVER, where)
    figures.check(state(first) not in _NEVER or (told == "not_started" and not bout.effects), NEVER, where)


@contextlib.contextmanager
def short_limits() -> Iterator[None]:
    """The transport gives up sooner than it does by itself."""
    with pytest.MonkeyPatch.context() as patch:
        for name, seconds in _LIMITS.items():
            patch.setattr(ssh_transport, name, seconds)
        patch.setattr(openssh, "PROGRAM", SSH)  # no settings of the person who runs it
        patch.setattr(ssh_watch, "PING", 0.3)
        patch.setattr(claims, "_GRACE", _GRACE)
        yield


def run(count: int, rng: random.Random) -> Figures:
    """So many cases; several hosts at once, each with its own link."""
    figures, lock, cases = Figures(), threading.Lock(), iter(drawn(count, rng))
    for name in _PROMISES:
        figures.count(name, 0)
    tries: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="drctl-f-") as name:
        keys = Keys.make(Path(name))
        began: list[Bout] = []

        def work(number: int) -> None:
            with lane(Path(name, f"h{number}"), keys) as which:
                for transport in TRANSPORTS:
                    measure(which, transport)
                while not box_closed():
                    with lock:
                        case = next(cases, None)
                    if case is None:
                        return
                    own = Figures()
                    one(case, which, own)
                    with lock:
                        figures.tried += 1
                        tries[case.fault] += 1
                        figures.count(f"over {case.transport}")
                        figures.add(own)
                        began.append(Bout(which, case))

        with short_limits(), ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(work, range(_AT_ONCE)))
        for bout in began:  # in the end: also what a host did when nobody looked any more
            figures.check(bout.case.look or bout.effects <= 1, TWICE, f"{bout.case}: {bout.effects} times")
    figures.count("fewest runs of a fault", min(tries.values(), default=0))
    return figures
