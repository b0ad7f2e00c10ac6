"""What commands printed, kept beside the journal and named by its digest.

While a command runs its output grows in a `.part` file that anyone may follow; it is renamed to its SHA-256, on disk,
before the record that names it is written. Masking secrets happens before bytes come here.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from typing import TYPE_CHECKING

from drctl.adapters.disk import Disk, sync_folder, write_all
from drctl.adapters.journal import cannot_write
from drctl.errors import JournalError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from types import TracebackType
    from typing import Self

_DIGEST = re.compile(r"[0-9a-f]{64}\Z")


class OutputPart:
    """One output that is being written. Leaving the `with` block without `seal` throws it away."""

    def __init__(self, disk: Disk, folder: Path, path: Path) -> None:
        self._disk = disk
        self._folder = folder
        self.path = path
        self._hash = hashlib.sha256()
        self.size = 0
        try:
            self._fd = disk.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        except OSError as error:
            raise cannot_write(path, f"The output cannot be written: {error.strerror}.") from error
        self._open = True

    def write(self, data: bytes) -> None:
        """Append bytes; they can be read at once by whoever follows the file.

        Raises:
            JournalError: the disk refused.
        """
        try:
            write_all(self._disk, self._fd, data)
        except OSError as error:
            raise cannot_write(self.path, f"The output cannot be written: {error.strerror}.") from error
        self._hash.update(data)
        self.size += len(data)

    def seal(self) -> str:
        """Bring the bytes to the disk under their digest, and return it. Equal outputs are kept once.

        Raises:
            JournalError: the disk refused; the digest must not be recorded.
        """
        digest = self._hash.hexdigest()
        try:
            self._disk.sync(self._fd)
            self._disk.rename(self.path, self._folder / digest)
            sync_folder(self._disk, self._folder)
        except OSError as error:
            raise cannot_write(self.path, f"The output cannot be kept: {error.strerror}.") from error
        self._close()
        return digest

    def discard(self) -> None:
        """Throw the bytes away."""
        if self._open:
            self._close()
            with contextlib.suppress(FileNotFoundError):
                self.path.unlink()

    def _close(self) -> None:
        self._open = False
        os.close(self._fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.discard()


class OutputStore:
    """The folder `out/` of a run: contents by digest, and parts that are still growing.

    Raises:
        JournalError: the folder cannot be made.
    """

    def __init__(self, folder: Path, disk: Disk | None = None) -> None:
        self._folder = folder / "out"
        self._disk = disk or Disk()
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise cannot_write(self._folder, f"The folder of outputs cannot be made: {error.strerror}.") from error

    def live(self, unit: str) -> Path:
        """Where the growing output of a unit is found; `unit` is any text that names it, such as its address."""
        return self._folder / f"{hashlib.sha256(unit.encode()).hexdigest()[:24]}.part"

    def part(self, unit: str) -> OutputPart:
        """Begin a unit's output; a part left by a crash under the same name is written over.

        Raises:
            JournalError: the disk refused.
        """
        return OutputPart(self._disk, self._folder, self.live(unit))

    def put(self, data: bytes | Iterable[bytes]) -> str:
        """Keep contents that are already whole; returns their digest.

        Raises:
            JournalError: the disk refused.
        """
        with self.part(f"put {os.getpid()} {os.urandom(8).hex()}") as part:
            for chunk in (data,) if isinstance(data, bytes) else data:
                part.write(chunk)
            return part.seal()

    def path(self, digest: str) -> Path:
        """Where contents of that digest lie.

        Raises:
            JournalError: it is not a digest, or not kept here.
        """
        path = self._folder / digest
        if not _DIGEST.match(digest) or not path.is_file():
            raise JournalError("An output that the journal names is not there.", where=str(path))
        return path

    def get(self, digest: str) -> bytes:
        """The contents of that digest, checked against it.

        Raises:
            JournalError: not there, or no longer what was kept.
        """
        path = self.path(digest)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise JournalError(f"An output cannot be read: {error.strerror}.", where=str(path)) from error
        if hashlib.sha256(data).hexdigest() != digest:
            raise JournalError("An output is no longer what was kept: its digest differs.", where=str(path))
        return data
