"""Any disk call of a real process fails, or its disk is full: it stops before the next effect and says what to do.

Where `journal-faults` fails the calls of the journal's own seam, here the N-th of all calls fails with which a real
`drctl run` makes, writes, syncs, renames or opens anything in its state folder: journal, outputs, keys, locks, inbox,
reports. ENOSPC, EDQUOT and EROFS stay, EIO comes once or stays, and a write may go half before. Every sixth case has
no invented error but a real tmpfs with a little room left. Then the disk is well again, and the run must come to its
end with every effect there once.
"""

import ctypes
import errno
import os
import random
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from drctl.errors import Exit
from tests.campaign._twelve import LIVES, NEVER, PROMISES, Far, Twelve, far
from tests.campaign.registry import Figures, box_closed
from tests.fakes.processes import DiskFault, Ended, Starter, can_fail_calls, starter

NAME = "disk-faults"
ROWS = ("R7",)
COUNT = 1000
CI_COUNT = 60

SABOTAGE = ""
LATE = "effects after the error"
EXIT = "another exit than 74"
SILENT = "did not say what to do"
LEFT_OUT = "full tmpfs left out: nothing can be mounted here"
_PROMISES = (*PROMISES, LATE, EXIT, SILENT)
_AT_ONCE = 3
_ERRORS = (
    (errno.ENOSPC, True), (errno.EDQUOT, True), (errno.EROFS, True), (errno.EIO, True), (errno.EIO, False),
)  # fmt: skip
_REAL_EVERY = 6
_SIZE = 4 * 1024 * 1024
_ROOM = 1_500_000
_EARLY = (Exit.NOTHING_CHANGED, Exit.JOURNAL)


@dataclass(frozen=True, slots=True)
class Case:
    """One fault of the first process, or (`at` 0) the room that a real file system has left."""

    at: int
    error: int = 0
    stays: bool = True
    short: bool = False
    room: int = 0


def drawn(calls: int, rng: random.Random) -> Iterator[Case]:
    """Every call with every error, ENOSPC and EIO first; a real full disk in between."""
    number = 0
    for errors in (_ERRORS[:1] + _ERRORS[3:], _ERRORS[1:3]):
        space = [(at, error, short) for at in range(1, calls + 1) for error in errors for short in (False, True)]
        rng.shuffle(space)
        for at, (error, stays), short in space:
            number += 1
            if number % _REAL_EVERY == 0:
                yield Case(0, room=rng.randrange(0, _ROOM))
            yield Case(at, error, stays, short)


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A tmpfs at a folder, seen by this thread and what it starts from now on; Linux, as root.

    Raises:
        PermissionError: nothing may be mounted here.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mount.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p]
    private, new_mounts = 1 << 18 | 1 << 14, 0x00020000
    if libc.unshare(new_mounts) or libc.mount(None, b"/", None, private, None):
        raise PermissionError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    folder.mkdir(parents=True)
    if libc.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", 0, f"size={_SIZE}".encode()):
        raise PermissionError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    try:
        yield folder
    finally:
        libc.umount2(os.fsencode(folder), 2)  # MNT_DETACH


def _broken_life(case: Case, run: Twelve, figures: Figures) -> Ended:
    """The process whose disk fails; what must hold of it."""
    effects = run.folder / "effects"
    if case.at:
        ended = run.live(
            fault=DiskFault(at=case.at, error=case.error, stays=case.stays, short=case.short, watch=str(effects))
        )
        known = run.journal[: ended.synced]
        late = effects.read_bytes()[ended.watched :].split(b"\n")[:-1] if ended.watched >= 0 else []
        figures.count("effects that were under way at the error", len(late))
        unknown = [line for line in late if line.split()[1] not in known]
        figures.check(ended.code != Exit.JOURNAL or not unknown, LATE, f"{run.where}: {ended.failed[:3]} {unknown}")
        figures.count("no such call", int(not ended.failed and not case.short))
    else:
        state = run.folder / "state"
        filler = state / "filler"
        with filler.open("wb") as file:
            free = os.statvfs(state)
            file.write(bytes(max(0, free.f_bavail * free.f_frsize - case.room)))
        ended = run.live()
        filler.unlink()
        figures.count("full tmpfs")
    figures.count(f"exit {ended.code}")
    said = run.said()
    fine = (Exit.PAUSED, Exit.STEP_FAILED, Exit.IN_DOUBT, *_EARLY)
    figures.check(ended.code in fine, EXIT, f"{run.where}: exit {ended.code}, {ended.failed[:3]}: {said}")
    if ended.code in _EARLY:
        figures.check("next: " in said and "Traceback" not in said, SILENT, f"{run.where}: {ended.failed[:3]}: {said}")
    return ended


def one(case: Case, folder: Path, host: Far, starts: Starter, figures: Figures) -> None:
    """One fault, then a disk that is well, to the end."""
    run = Twelve(folder, host, starts, figures, repr(case), sabotage=SABOTAGE)
    _broken_life(case, run, figures)
    run.answer()
    while run.lives < LIVES and not run.closed:
        run.live()
        run.answer()
    run.judge()
    run.forget()


def _on_a_small_disk(case: Case, folder: Path, figures: Figures) -> None:
    """One case whose state folder is a tmpfs. In a thread of its own: what it mounts is gone with it."""

    def work() -> None:
        try:
            # the far host looks into that folder too, so it must be started where it is seen
            with (
                small_disk(folder / "state"),
                tempfile.TemporaryDirectory() as keys,
                far(Path(keys)) as host,
                starter() as starts,
            ):
                one(case, folder, host, starts, figures)
        except PermissionError:
            figures.count(LEFT_OUT)
        except Exception as error:  # noqa: BLE001 - an error in a thread must not be lost
            figures.check(False, NEVER, f"{case}: {error!r}")  # noqa: FBT003 - reaching this is the failure

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def run(count: int, rng: random.Random) -> Figures:
    """So many faults."""
    if not can_fail_calls():
        raise AssertionError("system calls cannot be made to fail here: tests.fakes.processes knows x86-64 only")
    figures, lock = Figures(), threading.Lock()
    for name in _PROMISES:
        figures.count(name, 0)
    with tempfile.TemporaryDirectory(prefix="drctl-d-") as name, far(Path(name)) as host:
        with starter() as starts:
            whole = Twelve(Path(name, "whole"), host, starts, figures, "whole").live(fault=DiskFault(at=0, error=0))
        figures.count("disk calls of a first process", whole.disk_calls)
        faults = drawn(whole.disk_calls, rng)

        def work(_: int) -> None:
            with starter() as starts:
                while not box_closed():
                    with lock:
                        case = next(faults, None) if figures.tried < count else None
                        figures.tried += case is not None
                        folder = Path(name, str(figures.tried))
                    if case is None:
                        return
                    own = Figures()
                    if case.at:
                        one(case, folder, host, starts, own)
                    else:
                        _on_a_small_disk(case, folder, own)
                    with lock:
                        figures.add(own)

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(work, range(_AT_ONCE)))
    return figures
