"""Disks that fail on purpose, at the seam through which everything durable is written."""

import errno
import os
import threading
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from drctl.adapters.disk import Disk


@dataclass(slots=True)
class FaultyDisk(Disk):
    """Fails the N-th call of one operation (counting from 1; 0 never), and every later one if the fault stays.

    Attributes:
        operation: open, write, sync_data, sync, rename or reserve.
        at: which call fails.
        error: the errno it fails with.
        stays: whether all later calls fail too.
        chunk: most bytes that one write takes; 0 for all.
        tear: how many bytes still go in by a short write before the failing one.
        quick: leave out the real syncs, where only the failures matter.
    """

    operation: str = ""
    at: int = 0
    error: int = errno.EIO
    stays: bool = False
    chunk: int = 0
    tear: int = 0
    quick: bool = False
    calls: Counter[str] = field(default_factory=Counter)
    failures: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def _hit(self, operation: str) -> bool:
        with self.lock:
            self.calls[operation] += 1
            count = self.calls[operation]
            hit = operation == self.operation and self.at > 0 and (count == self.at or (self.stays and count > self.at))
            self.failures += hit
            return hit

    def _step(self, operation: str) -> None:
        if self._hit(operation):
            raise OSError(self.error, os.strerror(self.error))

    def open(self, path: Path, flags: int, mode: int = 0o600) -> int:
        self._step("open")
        return Disk.open(self, path, flags, mode)

    def write(self, fd: int, data: bytes | memoryview) -> int:
        if self._hit("write"):
            if self.tear and self.failures == 1:  # as a real disk fills up: a short write, and the next one fails
                self.at = self.calls["write"] + 1
                return Disk.write(self, fd, memoryview(data)[: self.tear])
            raise OSError(self.error, os.strerror(self.error))
        return Disk.write(self, fd, memoryview(data)[: self.chunk] if self.chunk else data)

    def sync_data(self, fd: int) -> None:
        self._step("sync_data")
        if not self.quick:
            Disk.sync_data(self, fd)

    def sync(self, fd: int) -> None:
        self._step("sync")
        if not self.quick:
            Disk.sync(self, fd)

    def rename(self, source: Path, target: Path) -> None:
        self._step("rename")
        Disk.rename(self, source, target)

    def reserve(self, fd: int, size: int) -> None:
        self._step("reserve")
        Disk.reserve(self, fd, size)


def names(folder: Path) -> list[str]:
    """What lies in a folder."""
    return sorted(path.name for path in folder.iterdir())
