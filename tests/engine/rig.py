"""A run on fakes: real loader, real kinds, real engine; hosts, clock and journal in memory.

`Rig.crash_at(n)` stops the writer dead at its n-th record, before or after it reached the journal, as kill -9 would;
`Rig.resume()` then goes on from the records alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from drctl.core import events as ev
from drctl.core.diagnostics import Where
from drctl.core.fold import Entry, RunState
from drctl.core.inventory import Environment, Host, Inventory, Login, Person
from drctl.core.model import Runbook
from drctl.core.ports import (
    ClaimShell,
    DatabaseFacts,
    HttpReply,
    HttpRequest,
    Message,
    PortReply,
    PortState,
    Probe,
    Reach,
    Receipt,
)
from drctl.core.values import Duration, Time
from drctl.engine.context import Context, Identity
from drctl.engine.executor import Desk, Executor
from drctl.engine.opening import complete, freeze_inputs, thaw_inputs
from drctl.engine.outputs import MemoryStore
from drctl.engine.recorder import Recorder
from drctl.engine.stops import Control
from drctl.errors import Exit
from drctl.kinds import registry
from drctl.loading import load_runbook
from tests.fakes.hosts import FakeHost

START = 1_790_000_000_000_000


class Crash(BaseException):
    """The writer is gone, between one instruction and the next."""


class FakeClock:
    """Time that passes only when somebody waits."""

    def __init__(self) -> None:
        self.micros = START

    def now(self) -> Time:
        self.micros += 1000
        return Time(self.micros)

    def monotonic(self) -> Duration:
        return Duration(self.micros)

    def boottime(self) -> Duration:
        return Duration(self.micros)

    def sleep(self, length: Duration, wake: Callable[[], bool] | None = None) -> None:
        if wake is None or not wake():
            self.micros += length.micros


@dataclass(frozen=True)
class Line:
    seq: int
    ts: int
    mono: int
    boot: str = "boot"


class MemoryJournal:
    """Records in a list; dies where it is told to."""

    def __init__(self, clock: FakeClock, lines: list[tuple[Line, str, dict[str, Any], str]]) -> None:
        self.clock = clock
        self.lines = lines
        self.checkpoints = 0
        self.die_at: int | None = None
        self.die_after = False

    def append(self, type: str, body: Mapping[str, Any], *, actor: str, durable: bool) -> Line:  # noqa: A002, ARG002
        seq = len(self.lines)
        if self.die_at == seq and not self.die_after:
            raise Crash
        line = Line(seq, self.clock.now().micros, self.clock.micros)
        self.lines.append((line, type, dict(body), actor))
        if self.die_at == seq:
            raise Crash
        return line

    def settle(self, seq: int) -> None: ...

    def checkpoint(self) -> None:
        self.checkpoints += 1


class MemoryInbox:
    def __init__(self) -> None:
        self.words: dict[str, Mapping[str, Any]] = {}
        self._names = itertools.count()

    def put(self, kind: str, **word: Any) -> None:
        self.words[f"{next(self._names):04d}"] = {"kind": kind, **word}

    def take(self) -> Sequence[tuple[str, Mapping[str, Any]]]:
        return sorted(self.words.items())

    def done(self, name: str) -> None:
        self.words.pop(name, None)


class FakeHttp:
    """Answers by URL; `sent` are requests that may change something."""

    def __init__(self) -> None:
        self.answers: dict[str, HttpReply] = {}
        self.sent: list[HttpRequest] = []

    def answer(self, url: str, status: int, body: str = "") -> None:
        self.answers[url] = HttpReply(reach=Reach.COMPLETE, status=status, body=body.encode())

    def read(self, request: HttpRequest) -> HttpReply:
        return self.answers.get(request.url, HttpReply(reach=Reach.UNREACHABLE, because="refused"))

    def send(self, request: HttpRequest) -> HttpReply:
        self.sent.append(request)
        return self.answers.get(request.url, HttpReply(reach=Reach.UNREACHABLE, because="refused"))


class FakeDialer:
    def __init__(self) -> None:
        self.ports: dict[tuple[str, int], PortState] = {}

    def connect(self, host: str, port: int, timeout: Duration) -> PortReply:  # noqa: ARG002
        return PortReply(reach=Reach.COMPLETE, state=self.ports.get((host, port), PortState.OPEN))


class FakeNotifier:
    def __init__(self) -> None:
        self.messages: list[Message] = []

    def send(self, message: Message, timeout: Duration) -> Receipt:  # noqa: ARG002
        self.messages.append(message)
        return Receipt(channel=message.channel, sent=True)

    def check(self, channel: str) -> str:  # noqa: ARG002
        return ""


class FakeFacts:
    def database(self, name: str) -> DatabaseFacts:
        return DatabaseFacts(name=name or "app", port=None, user="postgres")

    def address(self, host: str) -> str:
        return host

    def channels(self) -> Sequence[str]:
        return ("oncall",)


class FakeWorld:
    def __init__(self, clock: FakeClock, hosts: Mapping[str, FakeHost]) -> None:
        self.clock = clock
        self.hosts = dict(hosts)
        self.http_ = FakeHttp()
        self.dialer = FakeDialer()
        self.notifier = FakeNotifier()
        self.acted = 0

    def probe(self, place: str, timeout: Duration) -> Probe:
        return Probe(
            shell=self.hosts[place],
            http=self.http_,
            dialer=self.dialer,
            objects=lambda name: (_ for _ in ()).throw(KeyError(name)),
            files=lambda path: b"",  # noqa: ARG005
            clock=self.clock,
            timeout=timeout,
            facts=FakeFacts(),
        )

    def reach(self, place: str) -> str:
        return "refused" if self.hosts[place].down else ""

    def shell(self, place: str) -> ClaimShell:
        self.acted += 1
        return self.hosts[place]

    def http(self, place: str) -> FakeHttp:  # noqa: ARG002
        return self.http_


def inventory(*hosts: str, environment: Environment = Environment.LAB) -> Inventory:
    where = Where(file="inventory.yaml", line=1, column=1)
    roles = {"db1": "db-primary", "db2": "db-standby"}
    made = {
        name: Host(
            name=name, address=name, role=roles.get(name, ""), login=Login(user="ops"), host_keys=("ssh-ed25519 AAAA",),
            where=where,
        )
        for name in hosts
    }  # fmt: skip
    people = {
        "li": Person(name="li", full_name="Li Na", logins=("li",), simulated=True),
        "wang": Person(name="wang", full_name="Wang Wei", logins=("wang",)),
        "zhao": Person(name="zhao", full_name="Zhao", logins=("zhao",)),
    }
    return Inventory(
        name="test", environment=environment, hosts=made, people=people, roles={"commander": ("li", "wang"), "deputy": ("wang",)}
    )


@dataclass
class Rig:
    """One runbook on a fake world."""

    text: str
    hosts: tuple[str, ...] = ("db1", "db2")
    inputs: dict[str, Any] = field(default_factory=dict)
    operator: str = "ops"
    environment: Environment = Environment.LAB

    def __post_init__(self) -> None:
        self.clock = FakeClock()
        names = (*self.hosts, "local")
        self.world = FakeWorld(self.clock, {name: FakeHost(name) for name in names})
        self.inventory = inventory(*self.hosts, environment=self.environment)
        self.lines: list[tuple[Line, str, dict[str, Any], str]] = []
        self.store = MemoryStore()
        self.inbox = MemoryInbox()
        self.control = Control()
        self.journal = MemoryJournal(self.clock, self.lines)
        loaded = load_runbook("test.yaml", lambda _: self.text.encode(), registry(), self.inventory)
        assert loaded.value is not None, "\n".join(f"{d.where}: {d.summary} ({d.hint})" for d in loaded.diagnostics)
        self.runbook: Runbook = loaded.value
        self.state = RunState()

    def host(self, name: str) -> FakeHost:
        return self.world.hosts[name]

    def crash_at(self, seq: int, *, after: bool = False) -> None:
        self.journal.die_at, self.journal.die_after = seq, after

    def context(self, *, planning: bool = False) -> Context:
        frozen = freeze_inputs(self.runbook, self.inputs)
        bare = Context(
            runbook=self.runbook, inventory=self.inventory, kinds=registry(), vars={}, clock=self.clock,
            inputs=thaw_inputs(self.runbook, frozen, lambda ref: (_ for _ in ()).throw(KeyError(ref))), state=self.state,
            store=self.store, planning=planning,
            identity=Identity(uid="ab" * 16, id="7K2QX", operator=self.operator, operator_person=self.operator, holder="SHA256:key"),
        )  # fmt: skip
        return complete(bare)

    def _carry(self, *, wait: Duration | None = None) -> Exit:
        recorder = Recorder(self.journal, self.state, actor=self.operator)
        if not self.lines:
            objectives = self.runbook.objectives
            recorder.write(
                ev.RunOpened(
                    uid="ab" * 16, id="7K2QX", runbook=self.runbook.name, operator=self.operator,
                    rto_us=objectives.rto.micros if objectives.rto else None,
                    rpo_us=objectives.rpo.micros if objectives.rpo else None,
                )
            )  # fmt: skip
        executor = Executor(self.context(), recorder, self.world, Desk(inbox=self.inbox, wait=wait), self.control)
        return executor.run()

    def run(self, *, wait: Duration | None = None) -> Exit:
        return self._carry(wait=wait)

    def resume(self, *, die_in: int | None = None) -> Exit:
        """A new process: nothing is left but the records, the inbox and the hosts; it may die after some records."""
        self.journal = MemoryJournal(self.clock, self.lines)
        self.journal.die_at = None if die_in is None else len(self.lines) + die_in
        self.control = Control()
        self.state = RunState.of(self.entries())
        return self._carry()

    def entries(self) -> list[Entry]:
        return [
            Entry(seq=line.seq, at=Time(line.ts), mono=line.mono, boot=line.boot, actor=actor, event=ev.decode(type_, body))
            for line, type_, body, actor in self.lines
        ]

    def answer(self, choice: str, *, step: str = "", by: str = "ops", **rest: Any) -> None:
        self.inbox.put("answer", step=step, choice=choice, by=by, given_at=self.clock.micros, **rest)

    def outcome(self, id_: str) -> str:
        step = next(s for s in self.runbook.steps() if s.id == id_)
        block = self.state.blocks.get(step.path)
        outcome = self.state.step(step.path).outcome or (block.outcome if block else None)
        return outcome.value if outcome is not None else "none"

    def because(self, id_: str) -> str:
        step = next(s for s in self.runbook.steps() if s.id == id_)
        final = self.state.step(step.path).final
        return final.because if final is not None else ""
