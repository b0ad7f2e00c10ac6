"""Disk errors at the N-th write, sync or rename, for every N: stop before the next effect, lose and repeat nothing."""

import contextlib
import errno
import random
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from drctl.adapters.journal import NAME as JOURNAL
from drctl.adapters.journal import JournalWriter
from drctl.adapters.journal_reader import read
from drctl.adapters.keys import RunKey
from drctl.adapters.outputs import OutputStore
from drctl.adapters.recovery import reopen
from drctl.core.records import Record
from drctl.core.verification import Verdict
from drctl.errors import DefectError, Exit, JournalError, RefusedError
from tests.campaign.registry import Figures, box_closed
from tests.fakes.disks import FaultyDisk
from tests.fakes.journals import UID, TickingClock
from tests.invariants import I1, I2, I3, I5, Checker, Effect

NAME = "journal-faults"
ROWS = ("R7",)
COUNT = 100_000  # more than there are: all
CI_COUNT = 1000
_STEPS = 8
_NEVER = 3600.0
_KEY = RunKey.generate()
_OPERATIONS = ("write", "sync_data", "sync", "rename", "open", "reserve")
_ERRORS = (errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EROFS)


@dataclass(slots=True)
class World:
    """What a run did: effects by step, and every record it was told is on disk."""

    effects: Counter[int] = field(default_factory=Counter)
    intents: set[int] = field(default_factory=set)
    acknowledged: dict[int, Record] = field(default_factory=dict)

    def append(self, writer: JournalWriter, type_: str, step: int) -> None:
        """Append durably; what returns is acknowledged."""
        record = writer.append(type_, {"path": f"s{step}"}, actor="drctl", durable=True)
        self.acknowledged[record.seq] = record

    def steps(self, writer: JournalWriter, outputs: OutputStore, done: set[int]) -> None:
        """The rule of the executor in small: intent on disk, effect, outcome on disk; a look before anything twice."""
        for step in range(_STEPS):
            if step in done:
                continue
            if not self.effects[step]:
                self.append(writer, "step_started", step)
                self.intents.add(step)
                self.effects[step] += 1
            outputs.put(f"output of {step}".encode())
            writer.append("command_ran", {"path": f"s{step}"}, actor="drctl", durable=False)
            self.append(writer, "step_finished", step)
            if step % 4 == 0:
                writer.checkpoint()
        writer.append("run_closed", {"state": "done", "exit": 0}, actor="drctl", durable=True)
        writer.close()


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: which call of which operation fails, how, for how long, and in which life of the run."""

    life: str
    operation: str
    error: int
    at: int
    stays: bool
    tear: int

    def disk(self) -> FaultyDisk:
        """The disk that has it."""
        return FaultyDisk(
            operation=self.operation, at=self.at, error=self.error, stays=self.stays, tear=self.tear, quick=True
        )


def _first_life(folder: Path, disk: FaultyDisk, world: World, figures: Figures, where: str) -> None:
    """Run until the fault; nothing may happen after it."""
    writer = None
    try:
        writer = JournalWriter.create(folder, UID, _KEY, TickingClock(), disk=disk, checkpoint_after=_NEVER)
        writer.append("run_opened", {"uid": UID}, actor="drctl", durable=True)
        world.steps(writer, OutputStore(folder, disk), set())
    except JournalError as error:
        figures.check(error.exit is Exit.JOURNAL, "another exit than 74", where)
        figures.count("stopped")
        if writer:
            _stays_stopped(writer, disk, figures, where)
    except OSError as error:
        figures.check(False, "another exit than 74", f"{where}: {error!r}")  # noqa: FBT003 - reaching this is the failure


def _stays_stopped(writer: JournalWriter, disk: FaultyDisk, figures: Figures, where: str) -> None:
    """After an error in the journal no append succeeds, even if the disk is well again; outputs have no such memory."""
    disk.at, disk.stays = 0, False
    poisoned = writer._poison is not None
    stop = writer.last_words("run_paused", {"reason": "failure"}, actor="drctl")
    figures.count("last words written", int(stop is not None))
    refused = False
    try:
        writer.append("note_added", {"by": "x", "text": "y"}, actor="drctl", durable=True)
    except JournalError:
        refused = True
    except DefectError:  # not for the error on the disk
        pass
    figures.check(refused or not poisoned, "appended after an error", where)
    with contextlib.suppress(JournalError):
        writer.close()


def _next_life(folder: Path, disk: FaultyDisk, world: World) -> None:
    """Take the journal up, look which steps are done, go on."""
    again = reopen(folder, _KEY, TickingClock(), disk=disk, checkpoint_after=_NEVER)
    try:
        if again.torn:
            again.writer.append("recovered", {"torn_bytes": again.torn.torn_bytes}, actor="drctl", durable=True)
        if again.before.closed:
            again.writer.close()
            return
        done = {int(str(r.body["path"])[1:]) for r in read(folder / JOURNAL) if r.type == "step_finished"}
        world.steps(again.writer, OutputStore(folder, disk), done)
    except JournalError:
        with contextlib.suppress(JournalError):
            again.writer.close()
        raise


def _lives(folder: Path, fault: Fault, world: World, figures: Figures) -> bool:
    """Live through one fault until the run is closed; False when the fault never came."""
    where = repr(fault)
    disk = fault.disk()
    if fault.life == "first":
        _first_life(folder, disk, world, figures, where)
    else:
        _first_life(folder, FaultyDisk(operation="sync_data", at=11, quick=True), world, figures, where)
        with contextlib.suppress(JournalError):
            _next_life(folder, disk, world)
    try:
        _next_life(folder, FaultyDisk(quick=True), world)
    except RefusedError:  # closed and signed after all, or it never opened
        figures.count("never opened", int(not world.acknowledged))
    except JournalError as error:
        figures.check(False, "cannot be resumed", f"{where}: {error}")  # noqa: FBT003 - reaching this is the failure
    return disk.failures > 0


def _invariants(folder: Path, world: World, check: Checker) -> None:
    effects = [
        Effect(step=str(step), announced=step in world.intents) for step in world.effects.elements()
    ]  # fmt: skip
    check.announced(effects)
    check.once(effects, {})
    if not world.acknowledged and not world.effects:
        return
    check.missing("effects missing", map(str, range(_STEPS)), {effect.step for effect in effects})
    word = check.verifies(folder / JOURNAL, (Verdict.INTACT_NOT_ANCHORED,), _KEY.public)
    if not word.first_bad:
        check.kept(world.acknowledged, {record.seq: record for record in read(folder / JOURNAL)})


def run(count: int, rng: random.Random) -> Figures:
    """For every kind of fault N = 1, 2, ... until none fails; kinds in random order."""
    figures = Figures()
    for name in (I1, I2, I3, I5, "effects missing", "appended after an error", "cannot be resumed"):
        figures.count(name, 0)
    kinds = [
        (life, operation, error, stays, tear)
        for life in ("first", "resumed")
        for operation in _OPERATIONS
        for error in _ERRORS
        for stays in (False, True)
        for tear in ((0, 30) if operation == "write" else (0,))
    ]
    rng.shuffle(kinds)
    kinds.sort(key=lambda kind: kind[2] not in (errno.ENOSPC, errno.EIO))  # these two first: all N of them in the suite
    for life, operation, error, stays, tear in kinds:
        at = 0
        while figures.tried < count and not box_closed():
            at += 1
            fault = Fault(life, operation, error, at, stays, tear)
            world = World()
            with tempfile.TemporaryDirectory(prefix="drctl-faults-") as name:
                folder = Path(name)
                hit = _lives(folder, fault, world, figures)
                _invariants(folder, world, Checker(figures, repr(fault)))
            if not hit:
                break
            figures.tried += 1
    return figures
