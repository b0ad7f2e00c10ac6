"""Processes of drctl that are killed just before their N-th system call, sent signals, or told that a disk call failed.

`python -m tests.fakes.processes` loads drctl once and forks a child for every command it is told, so that a process
costs what it does and not what it imports; with `cold` a child runs `python -m drctl` from the first instruction on.
A traced child is stopped (ptrace) at every call that can change what others see, in all of its threads and in one
order; the processes that it starts itself are left alone. strace can do this too, but counts each thread apart, has to
follow every shell, and costs more than the run that it watches.

Counting begins at the first call that names a file under `begins`: what an interpreter does before that concerns
nobody. The child is killed while it stands before the call, which then never happens.
"""

import contextlib
import ctypes
import importlib
import json
import os
import platform
import select
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from bench.measure import ROOT

_TABLES: Mapping[str, Mapping[int, str]] = {
    "x86_64": {
        1: "write", 18: "pwrite64", 20: "writev", 42: "connect", 44: "sendto", 45: "recvfrom", 46: "sendmsg",
        56: "clone", 57: "fork", 58: "vfork", 73: "flock", 74: "fsync", 75: "fdatasync", 77: "ftruncate",
        82: "rename", 83: "mkdir", 84: "rmdir", 86: "link", 87: "unlink", 231: "exit_group", 257: "openat",
        258: "mkdirat", 263: "unlinkat", 264: "renameat", 265: "linkat", 285: "fallocate", 316: "renameat2",
        435: "clone3",
    },
    "aarch64": {
        32: "flock", 34: "mkdirat", 35: "unlinkat", 37: "linkat", 38: "renameat", 46: "ftruncate", 47: "fallocate",
        56: "openat", 64: "write", 66: "writev", 68: "pwrite64", 82: "fsync", 83: "fdatasync", 94: "exit_group",
        203: "connect", 206: "sendto", 207: "recvfrom", 211: "sendmsg", 220: "clone", 276: "renameat2", 435: "clone3",
    },
}  # fmt: skip
_CALLS = _TABLES.get(platform.machine(), {})
_PATH_AT = {"openat": 1, "mkdirat": 1, "mkdir": 0}
_TRACEME, _POKEUSER, _SYSCALL, _SETOPTIONS, _GET_SYSCALL_INFO = 0, 6, 24, 0x4200, 0x420E
_RAX, _RDX, _ORIG_RAX = 80, 96, 120  # <sys/user.h>, x86-64
_SYSGOOD, _CLONE, _EXITKILL = 1, 8, 1 << 20
_ALL = 0x40000000  # __WALL
_TRAP = signal.SIGTRAP | 0x80
_ENTRY = 1


# --- the client's side ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a process ended: its exit code (negative for a signal), and the system calls it was seen before.

    Attributes:
        code: as `subprocess` gives it.
        calls: the names of the counted calls, in order; a killed process never made the last one.
        signals: how many of the signals asked for it was sent.
        failed: the disk calls that were made to fail, in order.
        watched: how large the watched file was when the first of them did, -1 when none did.
        synced: how many bytes of the journal were on the disk then.
        disk_calls: how many disk calls there were, when a fault was asked for.
    """

    code: int
    calls: Sequence[str] = ()
    signals: int = 0
    failed: Sequence[str] = ()
    watched: int = -1
    synced: int = 0
    disk_calls: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskFault:
    """Which disk call under `begins` fails: writing, syncing, renaming, making or opening for writing.

    Attributes:
        at: its number among these calls.
        error: the errno it fails with; 0 for none.
        stays: whether every later one fails too.
        short: whether that call, when it is a write, still writes half of its bytes; the error begins with the next.
        watch: a file whose size at the first failure is told.
    """

    at: int
    error: int
    stays: bool = False
    short: bool = False
    watch: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command of drctl.

    Attributes:
        words: after `drctl`.
        env: added to the environment.
        said: where stdout and stderr go.
        begins: trace, and count from the first call that names something under this folder.
        kill_before: which counted call is never made; 0 for none.
        signals: what is sent at which second of the process's life, when it is not traced.
        fault: what becomes of its disk calls, when it is traced.
        sabotage: MODULE:FUNCTION called with a MonkeyPatch in the process, before drctl is.
        cold: a new interpreter instead of a fork of one that has loaded drctl.
    """

    words: Sequence[str]
    env: Mapping[str, str]
    said: Path
    begins: str = ""
    kill_before: int = 0
    signals: Sequence[tuple[float, int]] = ()
    fault: DiskFault | None = None
    sabotage: str = ""
    cold: bool = False

    def line(self) -> str:
        """For the other side."""
        told: dict[str, Any] = {name: getattr(self, name) for name in self.__slots__}
        return json.dumps(told | {"said": str(self.said), "fault": self.fault and asdict(self.fault)})


@dataclass(slots=True)
class Starter:
    """Starts commands one after another; for several at once have several."""

    _child: "subprocess.Popen[str]" = field(init=False)

    def __post_init__(self) -> None:
        self._child = subprocess.Popen(
            [sys.executable, "-m", "tests.fakes.processes"], cwd=ROOT, text=True, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip

    def run(self, command: Command) -> Ended:
        """Run it to its end."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(command.line() + "\n")
        self._child.stdin.flush()
        answer = self._child.stdout.readline()
        if not answer:
            raise RuntimeError(f"the starter of processes is gone: {self._child.wait()}")
        return Ended(**json.loads(answer))

    def close(self) -> None:
        """End it."""
        with self._child as child:
            assert child.stdin is not None
            child.stdin.close()


@contextlib.contextmanager
def starter() -> Iterator[Starter]:
    """A starter for the block."""
    made = Starter()
    try:
        yield made
    finally:
        made.close()


def can_trace() -> bool:
    """Whether this machine's calls are known here."""
    return bool(_CALLS) and sys.platform == "linux"


def can_fail_calls() -> bool:
    """Whether calls can be made to fail here."""
    return can_trace() and platform.machine() == "x86_64"


# --- the other side ---------------------------------------------------------------------------------------------------


class _Tracer:
    """Follows the threads of one child of this process."""

    def __init__(self, pid: int, told: Mapping[str, Any]) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
        self._libc.ptrace.restype = ctypes.c_long
        self._pid = pid
        self._begins = os.fsencode(told["begins"])
        self._kill_before = int(told["kill_before"])
        self._counting = False
        self._info = ctypes.create_string_buffer(88)
        self.calls: list[str] = []
        self.faults = _Faults(DiskFault(**told["fault"]), self._begins) if told["fault"] else None

    def follow(self) -> int:
        """From its first stop to its end; gives its exit code."""
        os.waitpid(self._pid, _ALL)
        self._libc.ptrace(_SETOPTIONS, self._pid, None, _SYSGOOD | _CLONE | _EXITKILL)
        self._libc.ptrace(_SYSCALL, self._pid, None, None)
        while True:
            thread, status = os.waitpid(-1, _ALL)
            if os.WIFSTOPPED(status):
                self._stopped(thread, status)
            elif thread == self._pid:
                return os.waitstatus_to_exitcode(status)

    def _stopped(self, thread: int, status: int) -> None:
        number, deliver = os.WSTOPSIG(status), 0
        if number == _TRAP:
            if self._is_last(thread):
                os.kill(self._pid, signal.SIGKILL)
                return
        elif not status >> 16 and number not in (signal.SIGSTOP, signal.SIGTRAP):  # a new thread, an exec
            deliver = number
        self._libc.ptrace(_SYSCALL, thread, None, deliver)

    def _is_last(self, thread: int) -> bool:
        self._libc.ptrace(_GET_SYSCALL_INFO, thread, len(self._info), self._info)
        if self._info.raw[0] != _ENTRY:
            self._change(thread, self.faults.after(thread) if self.faults else ())
            return False
        number, *given = struct.unpack_from("<Q6Q", self._info, 24)
        name = _CALLS.get(number)
        if name is None:
            return False
        if not self._counting:
            self._counting = name in _PATH_AT and _text(thread, given[_PATH_AT[name]]).startswith(self._begins)
            if not self._counting:
                return False
        self.calls.append(name)
        if self.faults:
            self._change(thread, self.faults.before(thread, name, given))
        return len(self.calls) == self._kill_before

    def _change(self, thread: int, registers: Sequence[tuple[int, int]]) -> None:
        for register, value in registers:
            self._libc.ptrace(_POKEUSER, thread, register, value & (1 << 64) - 1)


def _text(thread: int, address: int) -> bytes:
    """A string of a traced process."""
    with contextlib.suppress(OSError), Path(f"/proc/{thread}/mem").open("rb", buffering=0) as memory:
        memory.seek(address)
        return memory.read(256).split(b"\0")[0]
    return b""


class _Faults:
    """Which calls fail, and what that means for the registers of the thread that makes them."""

    _BY_FD = frozenset({"write", "writev", "pwrite64", "fsync", "fdatasync", "ftruncate", "fallocate"})
    _BY_PATH: Mapping[str, int] = {"rename": 0, "mkdir": 0, "link": 0, "openat": 1, "mkdirat": 1}

    def __init__(self, fault: DiskFault, under: bytes) -> None:
        self._fault = fault
        self._under = under
        self.seen = 0
        self._broken: int | None = None
        self._then: dict[int, Sequence[tuple[int, int]]] = {}
        self.failed: list[str] = []
        self.watched = -1
        self.synced = 0
        self._syncing: dict[int, int] = {}

    def before(self, thread: int, name: str, given: Sequence[int]) -> Sequence[tuple[int, int]]:
        """What to change before the call is made."""
        if not self._counts(thread, name, given):
            return ()
        self.seen += 1
        fault = self._fault
        if self.seen == fault.at and fault.short and name == "write" and given[2] > 1:
            self._then[thread] = [(_RDX, given[2])]
            self._broken = self.seen + 1
            return [(_RDX, given[2] // 2)]
        first = self._broken or fault.at
        if not fault.error or self.seen < first or (self.seen > first and not fault.stays):
            self._note_sync(thread, name, given)
            return ()
        if not self.failed and fault.watch:
            self.watched = Path(fault.watch).stat().st_size
        self.failed.append(name)
        self._then[thread] = [(_RAX, -fault.error)]
        return [(_ORIG_RAX, -1)]

    def after(self, thread: int) -> Sequence[tuple[int, int]]:
        """What to change after it."""
        if thread in self._syncing and not self.failed:
            self.synced = max(self.synced, self._syncing[thread])
        self._syncing.pop(thread, None)
        return self._then.pop(thread, ())

    def _note_sync(self, thread: int, name: str, given: Sequence[int]) -> None:
        """What is in the journal before a sync is on the disk after it."""
        if name in ("fsync", "fdatasync"):
            path = Path(f"/proc/{thread}/fd/{given[0]}").readlink()
            if path.name == "journal.jsonl":
                self._syncing[thread] = path.stat().st_size

    def _counts(self, thread: int, name: str, given: Sequence[int]) -> bool:
        if name in self._BY_FD:
            with contextlib.suppress(OSError):
                return bytes(Path(f"/proc/{thread}/fd/{given[0]}").readlink()).startswith(self._under)
            return False
        if name == "openat" and not given[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            return False
        return name in self._BY_PATH and _text(thread, given[self._BY_PATH[name]]).startswith(self._under)


def _signalled(pid: int, plan: Sequence[tuple[float, int]]) -> tuple[int, int]:
    """Send signals at their times; gives the exit code, and how many were sent."""
    began, sent = time.monotonic(), 0
    handle = os.pidfd_open(pid)
    ends = select.poll()
    ends.register(handle, select.POLLIN)
    for at, number in plan:
        if ends.poll(max(0.0, began + at - time.monotonic()) * 1000):
            break
        os.kill(pid, number)
        sent += 1
    _, status = os.waitpid(pid, 0)
    os.close(handle)
    return os.waitstatus_to_exitcode(status), sent


def _become(told: Mapping[str, Any]) -> None:
    """In the child: be what was asked for."""
    os.setsid()
    said = os.open(told["said"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    null = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((null, 0), (said, 1), (said, 2)):
        os.dup2(source, target)
    os.close(said)
    os.close(null)
    os.environ.update(told["env"])
    if told["begins"]:
        ctypes.CDLL(None).ptrace(_TRACEME, 0, None, None)
        os.kill(os.getpid(), signal.SIGSTOP)
    if told["cold"]:
        os.execv(sys.executable, [sys.executable, "-m", "drctl", *told["words"]])  # noqa: S606 - of this very list


def _serve() -> list[str] | None:
    """Start what the lines of stdin say. Gives the words of drctl in a child, None at the end."""
    for line in sys.stdin:
        told = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _become(told)
            if told["sabotage"]:
                _sabotage(told["sabotage"])
            return list(told["words"])
        if told["begins"]:
            tracer = _Tracer(pid, told)
            ended = Ended(code=tracer.follow(), calls=tracer.calls)
            if tracer.faults:
                faults = tracer.faults
                ended = replace(
                    ended, failed=faults.failed, watched=faults.watched, synced=faults.synced, disk_calls=faults.seen
                )
        else:
            code, sent = _signalled(pid, told["signals"])
            ended = Ended(code=code, signals=sent)
        sys.stdout.write(json.dumps(asdict(ended)) + "\n")
        sys.stdout.flush()
    return None


def _sabotage(name: str) -> None:
    import pytest  # noqa: PLC0415 - for these few processes only

    module, _, function = name.partition(":")
    getattr(importlib.import_module(module), function)(pytest.MonkeyPatch())


def _load() -> None:
    """What a run loads sooner or later; nothing here may start a thread."""
    import fabric  # noqa: F401, PLC0415 - only in this process

    import drctl.adapters.recovery  # noqa: PLC0415
    import drctl.adapters.ssh  # noqa: PLC0415
    import drctl.cli.commands.resume  # noqa: PLC0415
    import drctl.cli.commands.run  # noqa: PLC0415
    import drctl.cli.console  # noqa: PLC0415
    import drctl.engine.executor  # noqa: PLC0415
    import drctl.reporting.html  # noqa: F401, PLC0415


def main() -> None:
    """Serve, or be drctl in a child."""
    from drctl.cli import main as drctl  # noqa: PLC0415 - the client needs none of it

    _load()
    words = _serve()
    if words is not None:
        sys.argv = ["drctl", *words]
        drctl()


if __name__ == "__main__":
    main()
