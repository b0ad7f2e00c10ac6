"""A run on fakes: real loader, real kinds, real engine; hosts, clock and journal in memory.

`Rig.crash_at(n)` stops the writer dead at its n-th record, before or after it reached the journal, as kill -9 would;
`Rig.resume()` then goes on from the records alone.
"""

from __future__ import annotations

import itertools
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from drctl.core import events as ev
from drctl.core.bounds import Bounds
from drctl.core.diagnostics import Where
from drctl.core.fold import Entry, RunState
from drctl.core.inventory import Bucket, Channel, Database, Environment, Host, Inventory, Login, Person, SecretRef
from drctl.core.ports import (
    ClaimShell,
    Command,
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
from drctl.core.records import Record, encode
from drctl.core.values import Duration, Secret, Time
from drctl.engine.context import Context, Identity
from drctl.engine.executor import Desk, Executor
from drctl.engine.looks import Pen
from drctl.engine.opening import complete, freeze_inputs, thaw_inputs
from drctl.engine.outputs import MemoryStore
from drctl.engine.preflight import CLAIMABLE
from drctl.engine.recorder import Recorder
from drctl.engine.stops import Control
from drctl.errors import Exit, JournalError
from drctl.kinds import registry
from drctl.loading import load_runbook
from tests.fakes.clocks import FakeClock
from tests.fakes.hosts import Answer, FakeHost
from tests.fakes.nameservers import FakeDns

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from drctl.core.model import Runbook
    from drctl.core.ports import Command
    from drctl.engine.questions import Operator

PASSWORD = SecretRef.parse("env:DB_PASSWORD")


def after(what: Callable[[], object], answer: Answer = 0) -> Callable[[Command], Answer]:
    """A script that does something, and answers."""

    def behave(_: Command) -> Answer:
        what()
        return answer

    return behave


class Crash(BaseException):
    """The writer is gone, between one instruction and the next."""


@dataclass(frozen=True)
class Line:
    seq: int
    ts: int
    mono: int
    boot: str = "boot"


class MemoryJournal:
    """Records in a list; dies where it is told to, or refuses everything from a record on, like a full disk.

    `settled` is the newest record that is on disk for sure; a dead writer writes nothing more, from whatever thread.
    """

    def __init__(self, clock: FakeClock, lines: list[tuple[Line, str, dict[str, Any], str]]) -> None:
        self.clock = clock
        self.lines = lines
        self.checkpoints = 0
        self.die_at: int | None = None
        self.die_after = False
        self.full_at: int | None = None
        self.dead = False
        self.settled = len(lines) - 1
        self._lock = threading.Lock()

    def append(self, type: str, body: Mapping[str, Any], *, actor: str, durable: bool) -> Line:  # noqa: A002, ARG002
        with self._lock:
            return self._append(type, body, actor)

    def _append(self, type_: str, body: Mapping[str, Any], actor: str) -> Line:
        seq = len(self.lines)
        if self.dead:
            raise Crash
        if self.full_at is not None and seq >= self.full_at:
            raise JournalError("The disk is full.")
        encode(
            Record(seq=seq, ts=1, type=type_, actor=actor, body=body, run="ab" * 16, boot="b", mono=1, dur=0, epoch=1),
            bytes(32),
        )
        self.dead = self.die_at == seq
        if self.dead and not self.die_after:
            raise Crash
        line = Line(seq, self.clock.now().micros, self.clock.monotonic().micros, self.clock.boot)
        self.lines.append((line, type_, dict(body), actor))
        if self.dead:
            raise Crash
        return line

    def settle(self, seq: int) -> None:
        with self._lock:
            if self.dead:
                raise Crash
            self.settled = max(self.settled, seq)

    def checkpoint(self) -> None:
        self.checkpoints += 1


class MemoryInbox:
    def __init__(self) -> None:
        self.words: dict[str, Mapping[str, Any]] = {}
        self._names = itertools.count()

    def put(self, kind: str, **word: object) -> None:
        self.words[f"{next(self._names):04d}"] = {"kind": kind, **word}

    def take(self) -> Sequence[tuple[str, Mapping[str, Any]]]:
        return sorted(self.words.items())

    def done(self, name: str) -> None:
        self.words.pop(name, None)


class FakeHttp:
    """Answers by URL; `sent` are requests that may change something, `effects` the ones that arrived."""

    def __init__(self) -> None:
        self.answers: dict[str, HttpReply | Callable[[], HttpReply]] = {}
        self.sent: list[HttpRequest] = []
        self.effects: list[str] = []
        self.lost: list[bool] = []

    def answer(self, url: str, status: int, body: str = "") -> None:
        self.answers[url] = HttpReply(reach=Reach.COMPLETE, status=status, body=body.encode())

    def lose(self, *, arrived: bool) -> None:
        """Lose the answer to the next request that changes something; it may or may not have arrived."""
        self.lost.append(arrived)

    def read(self, request: HttpRequest) -> HttpReply:
        found = self.answers.get(request.url, HttpReply(reach=Reach.UNREACHABLE, because="refused"))
        return found() if callable(found) else found

    def send(self, request: HttpRequest) -> HttpReply:
        self.sent.append(request)
        if self.lost:
            if self.lost.pop(0):
                self.effects.append(request.url)
            return HttpReply(reach=Reach.UNREACHABLE, because="reset while reading the answer", sent=True)
        reply = self.read(request)
        if reply.reach is Reach.COMPLETE:
            self.effects.append(request.url)
        return reply


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
        self.dns = FakeDns()
        self.notifier = FakeNotifier()
        self.shells = 0
        self.store = "store-1"
        self.lost_secrets: set[str] = set()
        self.facts = FakeFacts()
        self.remarked: dict[str, list[str]] = {}

    def probe(self, place: str, timeout: Duration) -> Probe:
        return Probe(
            shell=self.hosts[place],
            http=self.http_,
            dialer=self.dialer,
            dns=self.dns,
            objects=lambda name: (_ for _ in ()).throw(KeyError(name)),
            files=lambda path: b"",  # noqa: ARG005
            clock=self.clock,
            timeout=timeout,
            facts=self.facts,
        )

    def remarks(self, place: str) -> tuple[str, ...]:
        return tuple(self.remarked.get(place, ()))

    def reach(self, place: str) -> str:
        return "refused" if self.hosts[place].down else ""

    def finds(self, secret: SecretRef) -> str:
        return "it is not set" if str(secret) in self.lost_secrets else ""

    def shell(self, place: str) -> ClaimShell:
        self.shells += 1
        return self.hosts[place]

    def claims(self, place: str) -> str:
        return self.store if place == "local" else ""

    def http(self, place: str) -> FakeHttp:  # noqa: ARG002
        return self.http_


class Odd:
    """A host of which some calls are answered in another way."""

    def __init__(self, host: FakeHost, **calls: Callable[..., object]) -> None:
        self._host = host
        self._calls = calls

    def __getattr__(self, name: str) -> object:
        return self._calls.get(name) or getattr(self._host, name)


def inventory(*hosts: str, environment: Environment = Environment.LAB) -> Inventory:
    where = Where(file="inventory.yaml", line=1, column=1)
    roles = {"db1": "db-primary", "db2": "db-standby"}
    made = {
        name: Host(
            name=name, address=name, role=roles.get(name, ""), login=Login(user="ops"), host_keys=("ssh-ed25519 AAAA",),
            where=where, groups=("web",) if name.startswith("w") else (), site=name[0],
        )
        for name in hosts
    }  # fmt: skip
    people = {
        "li": Person(name="li", full_name="Li Na", logins=("li", "li-from-home"), simulated=True),
        "wang": Person(name="wang", full_name="Wang Wei", logins=("wang",)),
        "zhao": Person(name="zhao", full_name="Zhao", logins=("zhao",)),
    }
    return Inventory(
        name="test",
        environment=environment,
        hosts=made,
        people=people,
        buckets={"b": Bucket(name="b", bucket="b")},
        channels={"oncall": Channel(name="oncall", type="webhook", settings={"url": "http://oncall.example"})},
        databases={"app": Database(name="app", database="app", user="app", password=PASSWORD)},
        roles={"commander": ("li", "wang"), "deputy": ("wang",)},
    )


@dataclass
class Rig:
    """One runbook on a fake world."""

    text: str
    hosts: tuple[str, ...] = ("db1", "db2")
    inputs: dict[str, Any] = field(default_factory=dict)
    operator: str = "ops"
    environment: Environment = Environment.LAB
    files: dict[str, str] = field(default_factory=dict)
    ends: list[Exit] = field(default_factory=list)
    epoch: int = 1
    bounds: Bounds = field(default_factory=Bounds)

    def __post_init__(self) -> None:
        self.clock = FakeClock()
        self.world = FakeWorld(self.clock, {name: FakeHost(name).on(CLAIMABLE, 0) for name in (*self.hosts, "local")})
        self.inventory = inventory(*self.hosts, environment=self.environment)
        self.lines: list[tuple[Line, str, dict[str, Any], str]] = []
        self.store = MemoryStore()
        self.inbox = MemoryInbox()
        self.control = Control()
        self.secrets: list[Secret] = []
        self.terminal: Operator | None = None
        self.journal = MemoryJournal(self.clock, self.lines)
        loaded = load_runbook("test.yaml", lambda n: self.files.get(n, self.text).encode(), registry(), self.inventory)
        assert loaded.value is not None, "\n".join(f"{d.where}: {d.summary} ({d.hint})" for d in loaded.diagnostics)
        self.runbook: Runbook = loaded.value
        self.state = RunState()

    def host(self, name: str) -> FakeHost:
        return self.world.hosts[name]

    def oddly(self, name: str, **calls: Callable[..., object]) -> None:
        """Let some calls of a host be answered in another way."""
        self.world.hosts[name] = cast("FakeHost", Odd(self.world.hosts[name], **calls))

    def crash_at(self, seq: int, *, after: bool = False) -> None:
        self.journal.die_at, self.journal.die_after = seq, after

    def context(self, *, planning: bool = False) -> Context:
        frozen = freeze_inputs(self.runbook, self.inputs)
        who = self.operator
        bare = Context(
            runbook=self.runbook,
            inventory=self.inventory,
            kinds=registry(),
            vars={},
            clock=self.clock,
            inputs=thaw_inputs(self.runbook, frozen, lambda ref: Secret(f"value of {ref}", ref)),
            state=self.state,
            store=self.store,
            planning=planning,
            bounds=self.bounds,
            identity=Identity(
                uid="ab" * 16,
                id="7K2QX",
                operator=who,
                operator_person=who,
                epoch=self.epoch,
                holder=f"SHA256:key{self.epoch if self.epoch > 1 else ''}",
            ),
        )
        return complete(bare)

    def _carry(self, *, wait: Duration | None = None, verb: Callable[[Executor], Exit] = Executor.run) -> Exit:
        recorder = Recorder(self.journal, self.state, actor=self.operator, mask=self.mask)
        if not self.lines:
            objectives = self.runbook.objectives
            recorder.write(
                ev.RunOpened(
                    uid="ab" * 16, id="7K2QX", runbook=self.runbook.name, operator=self.operator,
                    rto_us=objectives.rto.micros if objectives.rto else None,
                    rpo_us=objectives.rpo.micros if objectives.rpo else None, limit=self.bounds.limit,
                ),
                durable=True,
            )  # fmt: skip
        desk = Desk(inbox=self.inbox, operator=self.terminal, wait=wait)
        pen = Pen(mask=self.mask, learn=self.secrets.append)
        executor = Executor(self.context(), recorder, self.world, desk, self.control, pen)
        code = verb(executor)
        self.ends.append(code)
        return code

    def mask(self, text: str) -> str:
        for secret in self.secrets:
            text = text.replace(secret.reveal(), "***")
        return text

    def run(self, *, wait: Duration | None = None) -> Exit:
        return self._carry(wait=wait)

    def abort(self, because: str = "enough") -> Exit:
        """`drctl abort` of a run that nobody carries out."""
        self._again()
        return self._carry(verb=lambda executor: executor.abort(because))

    def roll_back(self, to: str = "") -> Exit:
        """`drctl rollback` of a run that nobody carries out."""
        self._again()
        return self._carry(verb=lambda executor: executor.roll_back(to, "because", self.operator))

    def restore_only(self, *, die_in: int | None = None) -> Exit:
        """`drctl resume --restore-only` of a run that nobody carries out."""
        self._again()
        self.journal.die_at = None if die_in is None else len(self.lines) + die_in
        Recorder(self.journal, self.state, actor=self.operator).write(ev.RunResumed(restore_only=True))
        return self._carry(verb=Executor.restore_only)

    def resume(self, *, die_in: int | None = None, wait: Duration | None = None) -> Exit:
        """A new process: nothing is left but the records, the inbox and the hosts; it may die after some records."""
        self._again()
        self.journal.die_at = None if die_in is None else len(self.lines) + die_in
        return self._carry(wait=wait)

    def elsewhere(self, upto: int | None = None) -> Rig:
        """A copy of the run folder on another machine, whose writer has taken the run over; hosts and time are one."""
        other = Rig(self.text, hosts=self.hosts, inputs=self.inputs, operator="far", files=self.files)
        other.clock, other.world, other.store, other.epoch = self.clock, self.world, self.store, self.epoch + 1
        other.lines = self.lines[:upto]
        other._again()
        recorder = Recorder(other.journal, other.state, actor="far")
        recorder.write(ev.RunTakenOver(operator="far", node="far", reason="a test", epoch=other.epoch), durable=True)
        return other

    def _again(self) -> None:
        self.journal = MemoryJournal(self.clock, self.lines)
        self.control = Control()
        self.secrets = []
        self.state = RunState.of(self.entries())

    def entries(self) -> list[Entry]:
        return [
            Entry(
                seq=line.seq,
                at=Time(line.ts),
                mono=line.mono,
                boot=line.boot,
                actor=actor,
                event=ev.decode(type_, body),
            )
            for line, type_, body, actor in self.lines
        ]

    def answer(self, choice: str, *, step: str = "", by: str = "ops", **rest: object) -> None:
        self.inbox.put("answer", step=step, choice=choice, by=by, given_at=self.clock.shown.micros, **rest)

    def said(self, type_: str, **wanted: object) -> list[dict[str, Any]]:
        """The bodies of the records of a type that hold these values."""
        bodies = [body for _, t, body, _ in self.lines if t == type_]
        return [body for body in bodies if all(body.get(name) == value for name, value in wanted.items())]

    def question(self) -> dict[str, Any]:
        """The newest question."""
        return self.said("asked")[-1]

    def outcome(self, id_: str) -> str:
        step = next(s for s in self.runbook.steps() if s.id == id_)
        block = self.state.blocks.get(step.path)
        outcome = self.state.step(step.path).outcome or (block.outcome if block else None)
        return outcome.value if outcome is not None else "none"

    def because(self, id_: str) -> str:
        step = next(s for s in self.runbook.steps() if s.id == id_)
        final = self.state.step(step.path).final
        return final.because if final is not None else ""
