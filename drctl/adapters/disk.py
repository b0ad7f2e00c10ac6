"""The few file operations that durability rests on, in one place.

Journal, outputs, keys and inbox write through a `Disk`, so that a test can make the N-th write, sync or rename fail the
way a full or dying disk does. What to do about a failure is left to the callers.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import uuid
from pathlib import Path

_sync_data = getattr(os, "fdatasync", os.fsync)  # macOS has no fdatasync


class Disk:
    """The real disk. Every method raises OSError as the system gave it; nothing here retries or hides a failure."""

    def open(self, path: Path, flags: int, mode: int = 0o600) -> int:
        """Open a file that no child process inherits."""
        return os.open(path, flags | os.O_CLOEXEC, mode)

    def write(self, fd: int, data: bytes | memoryview) -> int:
        """Write once; may take fewer bytes than given."""
        return os.write(fd, data)

    def sync_data(self, fd: int) -> None:
        """Bring a file's bytes, and the size needed to read them, to the disk."""
        _sync_data(fd)

    def sync(self, fd: int) -> None:
        """Bring a file and its metadata to the disk."""
        os.fsync(fd)

    def rename(self, source: Path, target: Path) -> None:
        """Rename, replacing the target in one step."""
        os.rename(source, target)  # noqa: PTH104 - the seam counts this very call

    def reserve(self, fd: int, size: int) -> None:
        """Allocate blocks up front, so that later writes cannot lack them."""
        os.posix_fallocate(fd, 0, size)


def write_all(disk: Disk, fd: int, data: bytes) -> None:
    """Write every byte; a short write is continued, a write of nothing at all is an error."""
    rest = memoryview(data)
    while rest:
        done = disk.write(fd, rest)
        if done <= 0:
            raise OSError(f"a write of {len(rest)} bytes wrote none")
        rest = rest[done:]


def sync_folder(disk: Disk, folder: Path) -> None:
    """Make names created or renamed in a folder survive a loss of power."""
    fd = disk.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        disk.sync(fd)
    finally:
        os.close(fd)


def write_whole(disk: Disk, path: Path, data: bytes) -> None:
    """Make a file appear whole or not at all, mode 0600: write beside it, sync, rename, sync the folder.

    The temporary name starts with a dot; readers of a folder pass over those. It is removed when anything fails.
    """
    temporary = path.with_name(f".tmp-{secrets.token_hex(8)}")
    fd = disk.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    try:
        try:
            write_all(disk, fd, data)
            disk.sync(fd)
        finally:
            os.close(fd)
        disk.rename(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(disk, path.parent)


def boot_id() -> str:
    """An id that changes with every start of this machine: monotonic clocks compare only within one."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return f"process-{_PROCESS}"  # no such file (macOS): at least never claim two starts to be one


_PROCESS = uuid.uuid4().hex
