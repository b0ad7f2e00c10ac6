"""Worlds for kinds: dead ones, recorded ones, and the machine the tests run on."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from drctl.adapters.local import LocalShell
from drctl.core.dns import Dns
from drctl.core.holdings import LinkError
from drctl.core.ports import (
    Act,
    Claim,
    ClaimShell,
    ClaimState,
    Command,
    DatabaseFacts,
    HttpReply,
    HttpRequest,
    Message,
    ObjectError,
    ObjectVersion,
    PortReply,
    Probe,
    Reach,
    ReadObjects,
    Receipt,
    Reply,
)
from drctl.core.values import Duration, Time
from tests.fakes.hosts import FakeHost
from tests.fakes.nameservers import FakeDns

LIMIT = Duration.parse("20s")


@dataclass
class Facts:
    """One database, one channel."""

    databases: Mapping[str, DatabaseFacts] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)

    def database(self, name: str) -> DatabaseFacts:
        if not name and len(self.databases) == 1:
            return next(iter(self.databases.values()))
        return self.databases[name]

    def address(self, host: str) -> str:
        return self.names.get(host, host)

    def channels(self) -> Sequence[str]:
        return ("oncall",)


@dataclass
class Clock:
    """A clock that moves only when told to."""

    micros: int = 0

    def now(self) -> Time:
        return Time(self.micros)

    def monotonic(self) -> Duration:
        return Duration(self.micros)

    def boottime(self) -> Duration:
        return Duration(self.micros)

    def sleep(self, length: Duration, wake: object = None) -> None:  # noqa: ARG002 - the port's parameter
        self.micros += length.micros


@dataclass
class Web:
    """Answers every request with one reply, and keeps the requests."""

    reply: HttpReply = field(default_factory=lambda: HttpReply(reach=Reach.UNREACHABLE, because="no route to it"))
    read_requests: list[HttpRequest] = field(default_factory=list)
    sent_requests: list[HttpRequest] = field(default_factory=list)

    def read(self, request: HttpRequest) -> HttpReply:
        assert request.method in {"GET", "HEAD"}
        self.read_requests.append(request)
        return self.reply

    def send(self, request: HttpRequest) -> HttpReply:
        self.sent_requests.append(request)
        return self.reply


@dataclass
class Ports:
    """Answers every connect with one reply."""

    reply: PortReply = field(default_factory=lambda: PortReply(reach=Reach.UNREACHABLE, because="the vantage is gone"))
    asked: list[tuple[str, int]] = field(default_factory=list)

    def connect(self, host: str, port: int, timeout: Duration) -> PortReply:
        assert timeout.micros > 0
        self.asked.append((host, port))
        return self.reply


@dataclass
class Objects:
    """A bucket in memory: versions in the order they were put, the last one of a key being its latest."""

    content: dict[tuple[str, str], bytes] = field(default_factory=dict)
    listed: list[ObjectVersion] = field(default_factory=list)
    broken: str = ""

    def put(self, key: str, data: bytes, at: str = "2026-01-01T00:00:00Z") -> str:
        version = f"v{len(self.listed) + 1}"
        self._add(ObjectVersion(key=key, version=version, size=len(data), at=Time.parse(at), latest=True))
        self.content[key, version] = data
        return version

    def delete(self, key: str) -> None:
        marker = f"v{len(self.listed) + 1}"
        self._add(ObjectVersion(key=key, version=marker, size=0, at=Time(0), latest=True, deleted=True))

    def _add(self, version: ObjectVersion) -> None:
        self.listed = [replace(old, latest=False) if old.key == version.key else old for old in self.listed]
        self.listed.append(version)

    def versions(self, prefix: str) -> Sequence[ObjectVersion]:
        if self.broken:
            raise ObjectError(self.broken)
        return [version for version in self.listed if version.key.startswith(prefix)]

    def get(self, key: str, version: str | None) -> Iterator[bytes]:
        if self.broken:
            raise ObjectError(self.broken)
        if version is None:
            version = next(v.version for v in reversed(self.listed) if v.key == key)
        if (key, version) not in self.content:
            raise ObjectError(f"{key} has no version {version}", missing=True)
        data = self.content[key, version]
        yield data[: len(data) // 2]
        yield data[len(data) // 2 :]


@dataclass
class Notices:
    """A notifier that keeps what it is given; `answers` by channel, everything else is sent."""

    answers: Mapping[str, Receipt] = field(default_factory=dict)
    sent: list[Message] = field(default_factory=list)
    limits: list[Duration] = field(default_factory=list)

    def send(self, message: Message, timeout: Duration) -> Receipt:
        self.sent.append(message)
        self.limits.append(timeout)
        return self.answers.get(message.channel, Receipt(channel=message.channel, sent=True))

    def check(self, channel: str) -> str:
        return "" if channel in self.answers else "no such channel"


@dataclass
class ClaimedOnce:
    """The `ActShell` of one unit over a claiming shell."""

    shell: ClaimShell
    key: str = "k" * 64
    commands: list[Command] = field(default_factory=list)

    def read(self, command: Command) -> Reply:
        return self.shell.read(command)

    def run(self, command: Command) -> Reply:
        assert not self.commands, "a kind runs one command in one execution"
        self.commands.append(command)
        answer = self.shell.run(self._claim(), command)
        assert answer.state in {ClaimState.RAN, ClaimState.REATTACHED}, answer
        assert answer.reply is not None
        return answer.reply

    def stage(self, chunks: Iterable[bytes]) -> str:
        return self.shell.stage(self._claim(), chunks)

    def _claim(self) -> Claim:
        return Claim(key=self.key, run="uid", run_id="7K3QF", operator="li", epoch=1, holder="SHA256:a")


class NoStage(ClaimedOnce):
    """A shell whose link breaks while it stages."""

    def stage(self, chunks: Iterable[bytes]) -> str:
        for _ in chunks:
            raise LinkError("the link broke", began=False)
        raise AssertionError("nothing to stage")


class Attached(ClaimedOnce):
    """A shell after a crash: nothing is staged, and the outcome is the one the host kept."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(FakeHost())
        self.reply = reply

    def run(self, command: Command) -> Reply:
        self.commands.append(command)
        return self.reply

    def stage(self, chunks: Iterable[bytes]) -> str:  # noqa: ARG002 - the port's parameter
        return ""


def dead(reach: Reach = Reach.UNREACHABLE) -> Probe:
    """A world in which nothing answers."""
    reply = Reply(reach=reach, because="nothing answers")
    return probe(
        shell=FakeHost().on(lambda _: True, reply),
        http=Web(HttpReply(reach=reach, because="nothing answers")),
        dialer=Ports(PortReply(reach=reach, because="nothing answers")),
        objects=Objects(broken="the endpoint does not answer"),
    )


def probe(
    *,
    shell: ClaimShell | None = None,
    http: Web | None = None,
    dialer: Ports | None = None,
    dns: Dns | None = None,
    objects: ReadObjects | None = None,
    facts: Facts | None = None,
    timeout: Duration = LIMIT,
) -> Probe:
    def bucket(name: str) -> ReadObjects:
        if name != "backups":
            raise KeyError(name)
        return objects if objects is not None else Objects()

    def no_file(path: str) -> bytes:
        raise FileNotFoundError(path)

    return Probe(
        shell=shell if shell is not None else FakeHost(),
        http=http if http is not None else Web(),
        dialer=dialer if dialer is not None else Ports(),
        dns=dns if dns is not None else FakeDns(),
        objects=bucket,
        files=no_file,
        clock=Clock(),
        timeout=timeout,
        facts=facts if facts is not None else Facts(),
    )


def act(
    looking: Probe, *, shell: ClaimedOnce | None = None, http: Web | None = None, notifier: Notices | None = None
) -> Act:
    return Act(
        probe=looking,
        shell=shell if shell is not None else ClaimedOnce(FakeHost()),
        http=http if http is not None else Web(),
        notifier=notifier if notifier is not None else Notices(),
        key="k" * 64,
    )


class Machine:
    """The machine the tests run on: a home folder, a PATH in front of it for small programs, and its real shell."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch, shell: str = "/bin/sh") -> None:
        self.home = folder / "home"
        self.bin = folder / "bin"
        for path in (self.home, self.bin):
            path.mkdir(parents=True, exist_ok=True)
        patch.setenv("HOME", str(self.home))
        patch.setenv("PATH", f"{self.bin}:{os.environ['PATH']}")
        self.shell = LocalShell(folder / "state", shell)
        self._keys = 0

    def program(self, name: str, text: str) -> Path:
        """Put a program in front of the PATH."""
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return path

    def once(self) -> ClaimedOnce:
        """The shell of a new unit."""
        self._keys += 1
        return ClaimedOnce(self.shell, key=f"{self._keys:064x}")

    def probe(self, **ports: Any) -> Probe:  # noqa: ANN401 - those of `probe`
        """The machine as a kind looks at it."""
        return probe(shell=self.shell, **ports)

    def act(self, **ports: Any) -> Act:  # noqa: ANN401 - those of `probe`
        """The machine as a new unit acts on it."""
        return act(self.probe(**ports), shell=self.once())
