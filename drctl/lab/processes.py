"""Processes that cannot outlive what started them: parent-death signals, a reaper, and killing a whole tree.

Three facts of Linux carry the lab's promise that nothing is left behind. PR_SET_PDEATHSIG kills a direct child when its
parent dies; PR_SET_CHILD_SUBREAPER makes every orphaned descendant a child of the reaper, however often it called
setsid; and SIGKILL to the first process of a PID namespace ends all of it. Which of them a host uses is decided in
`isolation`; this module only offers them.
"""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_LIBC = ctypes.CDLL(None, use_errno=True)
_KILL_TREE_SECONDS = 10.0


def die_with_parent(sent: signal.Signals = signal.SIGKILL, parent: int | None = None) -> None:
    """Ask the kernel to send this process a signal when its parent ends.

    Args:
        sent: the signal.
        parent: the parent's process id as the parent knew it. A parent that ended before this call can send nothing
            any more; with its id the race is closed by ending here and now.
    """
    _LIBC.prctl(_PR_SET_PDEATHSIG, int(sent), 0, 0, 0)
    if parent is not None and os.getppid() != parent:
        os.kill(os.getpid(), sent)


def tied_to_this_process(sent: signal.Signals = signal.SIGKILL) -> Callable[[], None]:
    """Make a `preexec_fn` that ties a new child to this process: fork in the main thread, its end is what counts."""
    parent = os.getpid()

    def tie() -> None:
        die_with_parent(sent, parent)

    return tie


def start_time(pid: int) -> int | None:
    """Give a process's start in clock ticks since boot: with the pid it names one process. None when it is gone."""
    fields = _stat(pid)
    return int(fields[19]) if fields and fields[0] not in "ZX" else None


def is_running(pid: int, started: int | None) -> bool:
    """Tell whether exactly this process still runs; a zombie counts as ended."""
    now = start_time(pid)
    return now is not None and (started is None or now == started)


def children(parent: int) -> set[int]:
    """Give the living children of a process, zombies left out."""
    return {pid for pid, (above, living) in _processes().items() if above == parent and living}


def descendants(root: int) -> set[int]:
    """Give every living descendant of a process, zombies left out."""
    known = _processes()
    below: dict[int, list[int]] = defaultdict(list)
    for pid, (parent, _living) in known.items():
        below[parent].append(pid)
    found: set[int] = set()
    todo = [root]
    while todo:
        for child in below[todo.pop()]:
            if child not in found:
                found.add(child)
                todo.append(child)
    return {pid for pid in found if known[pid][1]}


def kill_descendants(root: int, *, spare: frozenset[int] = frozenset()) -> bool:
    """Kill everything below a process until nothing lives, and say whether that was reached.

    Repeats, because a process may fork between the look and the signal. Children of the caller are reaped.
    """
    deadline = time.monotonic() + _KILL_TREE_SECONDS
    while time.monotonic() < deadline:
        left = descendants(root) - spare
        if not left:
            return True
        for pid in left:
            send(pid, signal.SIGKILL)
        if root == os.getpid():
            reap_all()
        time.sleep(0.01)
    return False


def send(pid: int, sent: signal.Signals) -> None:
    """Send a signal; a process that is gone already is no error."""
    try:
        os.kill(pid, sent)
    except ProcessLookupError:
        return


def reap_all() -> dict[int, int]:
    """Collect every child that has ended: pid to exit code (negative: the signal)."""
    ended: dict[int, int] = {}
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        ended[pid] = os.waitstatus_to_exitcode(status)


def run_under_reaper(
    main: Callable[[], int], *, adopts: bool, on_reaper_death: signal.Signals, close: Iterable[int | None] = ()
) -> int:
    """Run `main` in a child while this process reaps; when the child ends, everything below is killed.

    Args:
        main: runs in the child; its result is the child's exit code.
        adopts: True when orphans may live on as children of the reaper (the first process of a host); False when an
            orphan can only be the rest of something that was killed, and is killed too.
        on_reaper_death: what the child gets when the reaper itself is killed.
        close: file descriptors that are the child's alone.

    Returns:
        The child's exit code.
    """
    _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    watched = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
    signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    reaper = os.getpid()
    child = os.fork()
    if child == 0:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, watched)
        die_with_parent(on_reaper_death, reaper)
        code = 1
        try:
            code = main()
        finally:
            os._exit(code)
    for number in close:
        if number is not None:
            os.close(number)
    ended: dict[int, int] = {}
    while child not in ended:
        got = signal.sigtimedwait(watched, 1.0)
        if got and got.si_signo != signal.SIGCHLD:
            send(child, signal.SIGKILL if adopts else signal.SIGTERM)
        ended |= reap_all()
        if not adopts:
            _kill_adopted(child)
    kill_descendants(reaper)
    return ended[child]


def _kill_adopted(child: int) -> None:
    """Kill what was adopted: direct children other than the one that was forked, with all they have."""
    for pid in children(os.getpid()) - {child}:
        kill_descendants(pid)
        send(pid, signal.SIGKILL)


def _processes() -> dict[int, tuple[int, bool]]:
    """Give every process: its parent, and whether it lives (a zombie does not)."""
    found = {}
    for entry in Path("/proc").iterdir():
        fields = _stat(int(entry.name)) if entry.name.isdigit() else None
        if fields:
            found[int(entry.name)] = (int(fields[1]), fields[0] not in "ZX")
    return found


def _stat(pid: int) -> list[str] | None:
    """Read `/proc/PID/stat` from the state on (state, parent, ...); the name before it may hold anything."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()
