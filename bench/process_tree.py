"""A client with everything it starts: CPU time of all its processes, daemons included, and their memory together.

The process that measures adopts orphans (Linux, `PR_SET_CHILD_SUBREAPER`): what a client leaves behind, such as the
ControlMaster that OpenSSH or Ansible sends into the background, becomes its child, is ended here, and is counted like
the rest. So nothing outlives a measurement either.
"""

import contextlib
import ctypes
import os
import re
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER of linux/prctl.h
_EVERY = 0.05  # seconds between two looks at the memory
_GRACE = 5.0  # seconds between asking a process to end and ending it


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a client ended.

    Attributes:
        wall: seconds from its start to its end; what it left behind is not waited for.
        cpu: seconds of CPU, user and system, of all its processes.
        peak_mb: most memory of all its processes together, shared pages shared out (PSS); 0 when not looked at.
        code: its exit code.
    """

    wall: float
    cpu: float
    peak_mb: float
    code: int
    stdout: str
    stderr: str


@contextlib.contextmanager
def orphans_adopted() -> Iterator[None]:
    """Meanwhile, descendants whose parent ends become children of this process.

    Raises:
        OSError: the system has no such thing.
    """
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    if prctl(_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "no process can adopt orphans here")
    try:
        yield
    finally:
        prctl(_SUBREAPER, 0, 0, 0, 0)


def measured(argv: Sequence[str], *, env: Mapping[str, str], cwd: Path, memory: bool = False) -> Ended:
    """Run a client to its end, then end what it left behind, if orphans are adopted.

    With `memory` its processes are looked at every 50 ms, which takes CPU of the machine: do not use that run's times.
    """
    before = children(os.getpid())

    def left() -> set[int]:
        return offspring(os.getpid(), but=before)

    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        began = time.perf_counter()
        child = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=env, cwd=cwd, start_new_session=True
        )
        try:
            with _watched(left) if memory else contextlib.nullcontext([0.0]) as peaks:
                _, status, usage = os.wait4(child.pid, 0)
            wall = time.perf_counter() - began
            child.returncode = os.waitstatus_to_exitcode(status)
        finally:  # also after Ctrl-C
            more = end_all(left)
        said = [_text(file) for file in (out, err)]
    return Ended(
        wall=wall, cpu=usage.ru_utime + usage.ru_stime + more, peak_mb=max(peaks), code=child.returncode,
        stdout=said[0], stderr=said[1],
    )  # fmt: skip


def children(parent: int) -> set[int]:
    """The processes whose parent this is."""
    return {pid for pid, its in _parents().items() if its == parent}


def offspring(ancestor: int, *, but: Collection[int] = ()) -> set[int]:
    """The children of a process and theirs; `but` are children that do not count, nor does what they started."""
    parents = _parents()
    found: set[int] = set()
    newest = {pid for pid, its in parents.items() if its == ancestor and pid not in but}
    while newest:
        found |= newest
        newest = {pid for pid, its in parents.items() if its in newest} - found
    return found


def end_all(left: Callable[[], Collection[int]]) -> float:
    """End processes that are this one's children, or become them; the CPU seconds that they had taken."""
    cpu, limit = 0.0, time.monotonic() + _GRACE
    while pids := left():
        ending = signal.SIGTERM if time.monotonic() < limit else signal.SIGKILL
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, ending)
        for pid in pids:
            with contextlib.suppress(ChildProcessError):  # it is a child of one of them, or gone
                ended, _, usage = os.wait4(pid, os.WNOHANG)
                cpu += usage.ru_utime + usage.ru_stime if ended else 0.0
        time.sleep(0.005)
    return cpu


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


def _parents() -> dict[int, int]:
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                found[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    return found


@contextlib.contextmanager
def _watched(pids: Callable[[], Collection[int]]) -> Iterator[list[float]]:
    """The memory of these processes together, in MB, time after time."""
    peaks, over = [0.0], threading.Event()

    def watch() -> None:
        while not over.wait(_EVERY):
            peaks.append(sum(_pss(pid) for pid in pids()) / 1024)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peaks
    finally:
        over.set()
        thread.join()


def _pss(pid: int) -> int:
    """In KB; 0 for a process that is gone."""
    try:
        found = re.search(r"^Pss: +(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    except OSError:
        return 0
    return int(found[1]) if found else 0
