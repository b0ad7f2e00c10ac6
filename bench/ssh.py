"""SSH fleets: whole clients on up to 250 hosts: `drctl run`, journal on, and OpenSSH, asyncssh, fabric and Ansible.

The hosts are 127.0.1.1 to 250, served by `bench.farm` in a process apart. Every client is a process of its own by
which CPU is counted (user and system, start-up and the ControlMasters in the background included:
`bench.process_tree`); its memory is taken in a run of its own (PSS of all its processes). Concurrency is 50 for every
client. W1: `true` on 100 and on 250 hosts, connecting included. W2: 20 steps on 50 hosts, each begun when all are
over with the one before, connections kept. W3: milliseconds a step on one connected host, for drctl from one finish
to the next in its journal; `ssh-step` has the same without an engine. W4: 50 and 20 MB of stdout from one host, of
which drctl keeps 1 MiB. W5: 100 hosts, of which 10 refuse, 10 are mute and 10 drop every SYN, with limits of 5 s.
Ansible is slow: it runs once, beside one more run of drctl. What a client did on each host is read from its exit
codes or its own words; a host that is not as it must be breaks the bench. `known`: what a hashed known_hosts file
adds to `drctl check`. One of these alone: `--only W2`.
"""

import contextlib
import itertools
import shutil
import signal
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import FrameType

import asyncssh
import fabric
import paramiko

from bench import ssh_step
from bench.farm import Word, farm
from bench.measure import Report, Row, Sample, Subject, interleaved
from bench.process_tree import orphans_adopted
from bench.ssh_clients import Done, Outcomes, Work, ansible, drctl, drctl_check, openssh, python_client, version
from bench.startup import compiled_copy
from tests.fakes.sshservers import SSHD, Keys

NAME = "ssh"
ROUNDS = 3
LIMIT = 5  # seconds, W5
_W3_STEPS = 40
_NOISE = 10.0  # MB by which the memory of like runs differs: it is looked at every 50 ms
_CPU, _WALL, _PEAK, _STEP = "client CPU s", "wall s", "peak MB", "ms a step"
_LOOK, _ACT, _VERIFIED = "drctl look", "drctl act", "drctl act, verified"
_LOOK_OPENSSH = "drctl look, openssh"
_PINNED, _HASHED = "drctl check, keys in the inventory", "drctl check, keys in known_hosts"
_OPENSSH, _ANSIBLE = "OpenSSH", "ansible raw"
_MASTER = ssh_step.MASTER

Client = Callable[..., Done]


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much of each workload."""

    cold: Sequence[int] = (100, 250)
    hosts: int = 50
    steps: int = 20
    each: int = _W3_STEPS
    bytes: Sequence[int] = (50_000_000, 20_000_000)
    dead: Sequence[Word] = ("refuse", "mute", "drop") * 10
    good: int = 70
    limit: int = LIMIT
    entries: int = 1000
    memory: bool = True


SMALL = Size(
    cold=(3,), hosts=2, steps=2, each=2, bytes=(200_000,), dead=("refuse",), good=2, limit=1, entries=5, memory=False
)


def run(*, small: bool, rounds: int, only: str = "") -> Report:
    """Measure; small takes a few hosts of each workload, `only` one of them by its name."""
    report, size = Report(), SMALL if small else Size()
    with _ended_in_order(), orphans_adopted(), tempfile.TemporaryDirectory(prefix="drb") as name:
        folder = Path(name)
        kind = "sshd" if Path(SSHD).exists() else "asyncssh"
        bench = _Bench(report, size, rounds, folder, kind)
        for part, measure in PARTS.items():
            if only in {"", part}:
                measure(bench)
    _says(report, kind)
    if not small:  # a start is most of so little work
        _goals(report, size)
    return report


@contextlib.contextmanager
def _ended_in_order() -> Iterator[None]:
    """A SIGTERM unwinds as Ctrl-C does, so that nothing that was started outlives it."""

    def stop(number: int, _frame: FrameType | None) -> None:
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class _Bench:
    """What the workloads have in common."""

    def __init__(self, report: Report, size: Size, rounds: int, folder: Path, kind: str) -> None:
        self.report = report
        self.size = size
        self.rounds = rounds
        self._folder = folder
        self._kind = kind
        self._keys = Keys.make(folder)
        self._tree = compiled_copy(folder / "tree")

    @contextlib.contextmanager
    def on(self, words: Sequence[Word]) -> Iterator[Work]:
        """Hosts that do as these words say."""
        with farm(self._folder, self._kind, words) as port:
            yield Work(folder=self._folder, keys=self._keys, tree=self._tree, port=port, words=words)

    def on_paper(self, words: Sequence[Word]) -> Work:
        """Hosts that nobody calls."""
        return Work(folder=self._folder, keys=self._keys, tree=self._tree, port=22, words=words)

    def compare(self, group: str, clients: Mapping[str, tuple[Client, Work]]) -> None:
        """Measure whole clients in rounds, and the memory of each once."""
        plain = {name: client for name, client in clients.items() if name != _ANSIBLE}
        if self.size.memory:
            self.memory(group, plain)
        subjects = [self.subject(group, name, *client) for name, client in plain.items()]
        self.report.rows += interleaved(group, subjects, self.rounds, warm=False)
        if _ANSIBLE in clients and shutil.which("ansible-playbook"):
            once = [self.subject(group, name, *clients[name]) for name in (_LOOK, _ANSIBLE)]
            self.report.rows += interleaved(f"{group}, once", once, 1, warm=False)

    def memory(self, group: str, clients: Mapping[str, tuple[Client, Work]]) -> None:
        """A run of each that is good for its memory only; it warms the caches for the others."""
        for name, (client, work) in clients.items():
            done = client(work, memory=True)
            self.judge(group, name, work, done)
            row = Row(
                group=group, name=name, unit=_PEAK, values=[done.ended.peak_mb], peer=not name.startswith("drctl")
            )
            self.report.rows.append(row)

    def subject(self, group: str, name: str, client: Client, work: Work) -> Subject:
        """A client for turns."""

        def sample() -> Sample:
            done = client(work)
            self.judge(group, name, work, done)
            return {_CPU: done.ended.cpu, _WALL: done.ended.wall}

        return Subject(name=name, run=sample, peer=not name.startswith("drctl"))

    def judge(self, group: str, name: str, work: Work, done: Done) -> None:
        """Whether a client did on each host what it must."""
        wrong = amiss(work.words, done.outcomes, ours=name.startswith("drctl"))
        self.report.broken += [f"{group}, {name}: {wrong}"] if wrong else []


_DEAD = ("refused", "silent: ", "exit ", "unreachable=1")
"""What a peer may say of a host that is dead in whatever way."""
_WANTED: Mapping[tuple[str, bool], Sequence[str]] = {
    ("good", True): ("ok",), ("good", False): ("ok",),
    ("refuse", True): ("unreachable: refused: ",), ("refuse", False): _DEAD,
    ("mute", True): ("unreachable: silent: ",), ("mute", False): _DEAD,
    ("drop", True): ("unreachable: silent: ",), ("drop", False): _DEAD,
}  # fmt: skip


def amiss(words: Sequence[Word], outcomes: Outcomes, *, ours: bool) -> str:
    """The first host of which a client says what it should not, and that; nothing when all is as it must be."""
    for (host, outcome), word in zip(outcomes.items(), words, strict=True):
        wanted = _WANTED[word, ours]
        if not any(outcome == one or (one.endswith(" ") and outcome.startswith(one)) for one in wanted):
            return f"{host}, {word}: {outcome}"
    return ""


def _peers(work: Work, *names: str) -> dict[str, tuple[Client, Work]]:
    every: dict[str, Client] = {
        _OPENSSH: openssh, "asyncssh": partial(python_client, "asyncssh"), "fabric": partial(python_client, "fabric"),
        _ANSIBLE: ansible,
    }  # fmt: skip
    here = {name: (every[name], work) for name in names}
    if not shutil.which("ssh"):
        here.pop(_OPENSSH, None)
    return here


def _over_openssh(work: Work) -> dict[str, tuple[Client, Work]]:
    """The same looks with `--transport openssh`; nothing where there is no ssh."""
    return {_LOOK_OPENSSH: (drctl, replace(work, transport="openssh"))} if shutil.which("ssh") else {}


# --- workloads --------------------------------------------------------------------------------------------------------


def _w1(bench: _Bench) -> None:
    for count in bench.size.cold:
        with bench.on(["good"] * count) as work:
            peers = (_OPENSSH, "asyncssh", "fabric", *((_ANSIBLE,) if count == bench.size.cold[0] else ()))
            ours = {_LOOK: (drctl, work), **(_over_openssh(work) if count == bench.size.cold[0] else {})}
            bench.compare(f"W1, {count} cold hosts", {**ours, **_peers(work, *peers)})


def _w2(bench: _Bench) -> None:
    with bench.on(["good"] * bench.size.hosts) as one:
        work = replace(one, steps=bench.size.steps)
        ours = {_LOOK: (drctl, work), _ACT: (drctl, replace(work, effect="idempotent"))} | _over_openssh(work)
        group = f"W2, {work.steps} steps on {len(work.words)} hosts"
        bench.compare(group, {**ours, **_peers(work, _OPENSSH, "asyncssh", "fabric", _ANSIBLE)})


def _w3(bench: _Bench) -> None:
    with bench.on(["good"]) as one, contextlib.ExitStack() as stack:
        work, group = replace(one, steps=bench.size.each), "W3, steps on one connected host"
        known = work.known_hosts()
        clients = dict(stack.enter_context(ssh_step.asyncssh_client(work.keys, work.port, known)))
        if shutil.which("ssh"):
            clients |= stack.enter_context(ssh_step.openssh_client(work.keys, work.port, known))

        def ours(work: Work, name: str) -> Sample:
            done = drctl(work)
            bench.judge(group, name, work, done)
            ends = [r.ts for r in done.records if r.type == "step_finished" and str(r.body["path"]).endswith("/@h1")]
            return {_STEP: statistics.median(b - a for a, b in itertools.pairwise(ends)) / 1e3}

        def peer(client: ssh_step.Client) -> Sample:
            return {_STEP: ssh_step.step_ms(client, work.steps)}

        act = replace(work, effect="idempotent")
        kinds = {_LOOK: work, _ACT: act, _VERIFIED: replace(act, verified=True)}
        kinds |= {name: over for name, (_, over) in _over_openssh(work).items()}
        subjects = [Subject(name=name, run=partial(ours, kind, name)) for name, kind in kinds.items()]
        subjects += [Subject(name=name, run=partial(peer, client), peer=True) for name, client in clients.items()]
        bench.report.rows += interleaved(group, subjects, bench.rounds, warm=False)


def _w4(bench: _Bench) -> None:
    with bench.on(["good"]) as one:
        for size in bench.size.bytes:
            work = replace(one, size=size)
            bench.compare(
                f"W4, {size / 1e6:g} MB of stdout", {_LOOK: (drctl, work), **_peers(work, _OPENSSH, "asyncssh")}
            )


def _w5(bench: _Bench) -> None:
    size = bench.size
    words: list[Word] = ["good"] * size.good
    for number, word in enumerate(size.dead, 1):  # spread over the fleet, as they are in life
        words.insert(len(words) * number // (len(size.dead) + 1), word)
    with bench.on(words) as one:
        work = replace(one, limit=size.limit)
        group = _w5_name(size)
        bench.compare(group, {_LOOK: (drctl, work), **_peers(work, _OPENSSH, "asyncssh", "fabric", _ANSIBLE)})


def _known(bench: _Bench) -> None:
    """The whole price of a known_hosts file: reading it, and finding the key of each host in it."""
    work, entries = bench.on_paper(["good"] * bench.size.cold[0]), bench.size.entries
    group = f"known_hosts, {len(work.words)} hosts in {entries:,} hashed entries"

    def check(name: str, source: Mapping[str, object]) -> Sample:
        own = work.own()
        ended = drctl_check(work, own, source)
        if ended.code != 0:
            bench.report.broken.append(f"{group}, {name}: exit {ended.code}: {ended.stderr.strip()[-200:]}")
        return {_CPU: ended.cpu}

    names = {_PINNED: {"host_key": work.keys.public("host")}, _HASHED: {"known_hosts": str(work.hashed(entries))}}
    subjects = [Subject(name=name, run=partial(check, name, source)) for name, source in names.items()]
    bench.report.rows += interleaved(group, subjects, bench.rounds)


def _w5_name(size: Size) -> str:
    return f"W5, {size.good + len(size.dead)} hosts of which {len(size.dead)} are dead"


PARTS: Mapping[str, Callable[[_Bench], None]] = {"W1": _w1, "W2": _w2, "W3": _w3, "W4": _w4, "W5": _w5, "known": _known}


# --- what it comes to -------------------------------------------------------------------------------------------------


def _says(report: Report, kind: str) -> None:
    ssh, playbook = version("ssh"), version("ansible-playbook")
    packages = [f"{one.__name__} {one.__version__}" for one in (asyncssh, fabric, paramiko)]
    report.notes += [
        f"far side: {kind}; {ssh or 'no OpenSSH'}; {', '.join(packages)}; {playbook or 'no Ansible'}",
        "at once: 50",
        "fabric is not in W4: it takes minutes for 50 MB",
    ]
    if not ssh:
        report.missing.append("OpenSSH: there is no ssh here")
    if not playbook:
        report.missing.append("ansible raw: there is no ansible-playbook on PATH")


def _goals(report: Report, size: Size) -> None:
    """Say of each goal of the issue what was measured; a busy machine breaks nothing."""
    ratio = {(r.group, r.name, r.unit, peer): its for r in report.rows for peer, its in report.ratios(r).items()}
    middle = {(r.group, r.name, r.unit): statistics.median(r.values) for r in report.rows}
    first, last = (f"W1, {count} cold hosts" for count in (size.cold[0], size.cold[-1]))
    w2, w3 = f"W2, {size.steps} steps on {size.hosts} hosts", "W3, steps on one connected host"
    wanted = [
        *((group, _LOOK, _CPU, _OPENSSH, 0.6) for group in sorted({first, last})),
        (last, _LOOK, _WALL, _OPENSSH, 0.75),
        *((w2, name, _CPU, _OPENSSH, 0.35) for name in (_LOOK, _ACT)),
        *((w2, name, _WALL, _OPENSSH, 0.6) for name in (_LOOK, _ACT)),
        (f"{w2}, once", _LOOK, _CPU, _ANSIBLE, 1 / 15),
        (w3, _LOOK, _STEP, _MASTER, 0.5),
        (w3, _VERIFIED, _STEP, _MASTER, 2.0),
        *((f"W4, {most / 1e6:g} MB of stdout", _LOOK, _WALL, _OPENSSH, 3.0) for most in size.bytes),
    ]
    for group, name, unit, peer, most in wanted:
        found = ratio.get((group, name, unit, peer))
        if found is not None:
            report.notes.append(_goal(f"{group}: {name}, {unit}", found, most, f"x {peer}"))
    w4 = [f"W4, {one / 1e6:g} MB of stdout" for one in size.bytes]
    if len(w4) > 1 and (w4[0], _LOOK, _CPU) in middle:
        cpu = [middle[group, _LOOK, _CPU] for group in w4]
        grown = middle[w4[0], _LOOK, _PEAK] - middle[w4[1], _LOOK, _PEAK]
        most = size.bytes[0] / size.bytes[1]
        report.notes.append(_goal("W4: drctl's CPU grows no faster than the output", cpu[0] / cpu[1], most, "x"))
        report.notes.append(_goal("W4: peak memory does not grow with the output", grown, _NOISE, "MB"))
    known = {name: its for (_, name, unit), its in middle.items() if unit == _CPU and name in {_PINNED, _HASHED}}
    if known:
        report.notes.append(
            _goal(f"{size.entries:,} hashed known hosts", known[_HASHED] - known[_PINNED], 0.1, "CPU s")
        )
    w5 = _w5_name(size)
    if (w5, _LOOK, _WALL) in middle:
        report.notes.append(_goal(f"{w5}: wall", middle[w5, _LOOK, _WALL], size.limit + 2.5, "s"))


def _goal(what: str, found: float, most: float, unit: str) -> str:
    return f"goal {'met' if found <= most else 'not met'}: {what}: {found:.2f} of {most:.2f} {unit}"
