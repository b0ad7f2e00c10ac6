"""Loss of power with any mix of unsynced 512-byte sectors lost: nothing acknowledged is gone, nothing miscalled."""

import random
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from drctl.adapters.journal import NAME as JOURNAL
from drctl.adapters.journal import JournalWriter
from drctl.adapters.keys import RunKey
from drctl.adapters.recovery import reopen
from drctl.core.verification import Verdict, verify
from drctl.errors import JournalError, RefusedError
from tests.campaign.registry import Figures, cases
from tests.fakes.disks import FaultyDisk
from tests.fakes.journals import UID, TickingClock, check_signature
from tests.invariants import I3

NAME = "power-loss"
ROWS = ("R8",)
COUNT = 10_000
CI_COUNT = 1_000
_SECTOR = 512
_REOPEN_EVERY = 10
_SILENT = "torn ends dropped in silence"
_CRASHED = (Verdict.OPEN, Verdict.UNSIGNED_TAIL, Verdict.TORN)


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment of a run: bytes written, bytes surely on disk, last seq acknowledged."""

    written: int
    synced: int
    acknowledged: int


@dataclass(slots=True)
class WatchedDisk(FaultyDisk):
    """Writes down after every operation on the journal what is written and what is on disk."""

    written: int = 0
    synced: int = 0
    acknowledged: int = -1
    moments: list[Moment] = field(default_factory=list)

    def _moment(self) -> None:
        self.moments.append(Moment(self.written, self.synced, self.acknowledged))

    def write(self, fd: int, data: bytes | memoryview) -> int:
        done = FaultyDisk.write(self, fd, data)
        self.written += done
        self._moment()
        return done

    def sync_data(self, fd: int) -> None:
        FaultyDisk.sync_data(self, fd)
        self.synced = self.written
        self._moment()


def _history(rng: random.Random, folder: Path, key: RunKey) -> tuple[bytes, list[Moment]]:
    """One run of about 64 records, some waiting for the disk and some not, and every moment of it."""
    disk = WatchedDisk(chunk=rng.choice([0, 0, 100]), quick=True)
    with JournalWriter.create(folder, UID, key, TickingClock(), disk=disk, checkpoint_after=3600.0) as writer:
        disk.acknowledged = writer.append("run_opened", {"uid": UID}, actor="a", durable=True).seq
        while writer.size < 64:
            if rng.random() < 0.1:
                writer.checkpoint()
                disk.acknowledged = writer.size - 1
            body = {"by": "a", "text": "x" * rng.choice([0, 10, 300, 1500])}
            durable = rng.random() < 0.3
            seq = writer.append("note_added", body, actor="a", durable=durable).seq
            if durable:
                disk.acknowledged = seq
    return (folder / JOURNAL).read_bytes(), disk.moments


def _image(data: bytes, moment: Moment, rng: random.Random) -> bytes:
    """The file as it may be found: any length from synced to written, any of the sectors in between still zero."""
    synced, written = moment.synced, moment.written
    length = rng.choice([synced, written, rng.randint(synced, written), -(-written // _SECTOR) * _SECTOR])
    image = bytearray(data[:written].ljust(length, b"\x00")[:length])
    chance = rng.choice([0.1, 0.5, 0.9])
    for start in range(synced - synced % _SECTOR, length, _SECTOR):
        if rng.random() < chance:
            begin, end = max(start, synced), min(start + _SECTOR, length)
            image[begin:end] = bytes(end - begin)
    return bytes(image)


def run(count: int, rng: random.Random) -> Figures:
    """Crash at moments of several runs, each with several images."""
    figures = Figures()
    for name in (I3, _SILENT, "called altered", "cannot be resumed"):
        figures.count(name, 0)
    key = RunKey.generate()
    with tempfile.TemporaryDirectory(prefix="drctl-power-") as name:
        histories = []
        for number in range(8):
            folder = Path(name, str(number))
            folder.mkdir()
            histories.append(_history(rng, folder, key))
        space = [(h, m) for h, (_, moments) in enumerate(histories) for m in moments for _ in range(-(-count // 400))]
        for case in cases(space, count, rng, figures):
            data, moment = histories[case[0]][0], case[1]
            image = _image(data, moment, rng)
            word = verify(image.splitlines(keepends=True), public_key=key.public, check_signature=check_signature)
            where = f"{moment} in an image of {len(image)} bytes"
            figures.count(word.verdict.name)
            figures.check(word.verdict in _CRASHED, "called altered", f"{where}: {word.first_bad}")
            figures.check(word.records > moment.acknowledged, I3, where)
            if figures.tried % _REOPEN_EVERY == 0:
                _take_up(Path(name, "again"), image, key, figures, where)
    return figures


def _take_up(folder: Path, image: bytes, key: RunKey, figures: Figures, where: str) -> None:
    """The journal found can be taken up and goes on."""
    folder.mkdir(exist_ok=True)
    (folder / JOURNAL).write_bytes(image)
    try:
        again = reopen(folder, key, TickingClock(), checkpoint_after=3600.0)
        with again.writer as writer:
            kept = (folder / again.torn.file).read_bytes() if again.torn is not None else b""
            whole = again.before.verdict is not Verdict.TORN or (kept != b"" and image.endswith(kept))
            figures.check(whole, _SILENT, where)
            writer.append("note_added", {"by": "a", "text": "again"}, actor="a", durable=True)
    except RefusedError:
        figures.count("never opened")
        return
    except JournalError as error:
        figures.check(False, "cannot be resumed", f"{where}: {error}")  # noqa: FBT003 - reaching this is the failure
        return
    with (folder / JOURNAL).open("rb") as file:
        word = verify(file, public_key=key.public, check_signature=check_signature)
    figures.check(word.verdict is Verdict.OPEN, "cannot be resumed", where)
    figures.count("taken up")
