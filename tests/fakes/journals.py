"""Journals for tests: a clock that ticks, remembered signature checks, and whole journals made in memory."""

import base64
import functools
import random
from collections.abc import Callable
from dataclasses import dataclass

from drctl.adapters.keys import RunKey, verify_signature
from drctl.core.checkpoints import Chain
from drctl.core.records import CLOSED, OPENED, Record, encode
from drctl.core.values import Duration, Time

UID = "0123456789abcdef0123456789abcdef"
check_signature = functools.cache(verify_signature)  # a campaign checks the same few signatures ten thousand times


@dataclass(slots=True)
class TickingClock:
    """Every reading is a millisecond after the last; sleeping is moving on."""

    micros: int = 1_700_000_000_000_000

    def _tick(self, length: int = 1000) -> int:
        self.micros += length
        return self.micros

    def now(self) -> Time:
        return Time(self._tick())

    def monotonic(self) -> Duration:
        return Duration(self._tick() - 1_600_000_000_000_000)

    def boottime(self) -> Duration:
        return self.monotonic()

    def sleep(self, length: Duration, wake: Callable[[], bool] | None = None) -> None:
        if wake is None or not wake():
            self._tick(length.micros)


@dataclass(slots=True)
class Builder:
    """Makes a journal line by line without a disk."""

    key: RunKey
    chain: Chain
    lines: list[bytes]
    clock: TickingClock
    epoch: int = 1

    @classmethod
    def start(cls, uid: str = UID, key: RunKey | None = None) -> "Builder":
        key = key or RunKey.generate()
        return cls(key, Chain.start(uid, key.public), [], TickingClock())

    def add(self, type_: str, body: dict[str, object], dur: int | None = None) -> None:
        size = self.chain.size
        record = Record(
            seq=size,
            ts=self.clock.now().micros,
            type=type_,
            actor="alice",
            body=body,  # type: ignore[arg-type] # tests also hand in what must be refused
            run=self.chain.uid,
            boot="b1",
            mono=self.clock.monotonic().micros,
            dur=size - 1 if dur is None else dur,
            epoch=self.epoch,
        )
        self._keep(*encode(record, self.chain.head))

    def open(self) -> None:
        body = {"uid": self.chain.uid, "id": "K7Q2M", "runbook": "invoice-outage"}
        self.add(OPENED, {**body, "pubkey": _base64(self.key.public)})

    def sign(self, key: RunKey | None = None) -> None:
        key = key or self.key
        ts = self.clock.now().micros
        self._keep(*self.chain.checkpoint(ts, key.public, key.sign(self.chain.note(ts).encode())))

    def _keep(self, line: bytes, digest: bytes) -> None:
        self.chain.add(line, digest)
        self.lines.append(line)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def closed_journal(rng: random.Random, size: int = 64, every: int = 8, uid: str = UID) -> Builder:
    """A closed journal of `size` lines with the shapes that real ones have, a checkpoint every `every` lines."""
    made = Builder.start(uid)
    made.open()
    while made.chain.size < size - 2:
        n = made.chain.size
        if n % every == every - 1:
            made.sign()
            continue
        body: dict[str, object] = {"path": f"phase/step{n}", "host": rng.choice(["db1", "db2", "local"]), "attempt": n}
        if rng.random() < 0.5:
            body |= {"because": rng.choice(["ok", "发票系统", 'quote " and \\', "line\nbreak", "a" * 150])}
        made.add(rng.choice(["step_started", "step_finished", "note_added"]), body)
    made.add(CLOSED, {"state": "done", "exit": 0})
    made.sign()
    return made
