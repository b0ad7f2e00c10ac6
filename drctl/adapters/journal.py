"""The journal on disk: one writer, many readers.

`JournalWriter` appends sealed records and says yes only when they are on disk. Any error while writing or syncing ends
it for good: after a failed fsync the kernel may drop the pages and report success the next time (PostgreSQL's "fsync
gate", 2018), so nothing is tried twice. Reading and following one is in `adapters.journal_reader`, taking a crashed one
up again in `adapters.recovery`, judging one in `core.verification`; the run's lock in `adapters.statedir` sees to it
that there is one writer.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import os
import threading
import time
from typing import TYPE_CHECKING

from drctl.adapters.disk import Disk, boot_id, sync_folder, write_all
from drctl.core.checkpoints import Chain
from drctl.core.nouns import dataclass
from drctl.core.records import CHECKPOINT, CLOSED, JSON, OPENED, RECOVERED, TAKEN_OVER, Record, encode
from drctl.errors import DefectError, JournalError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from drctl.core.ports import Clock, Signer

NAME = "journal.jsonl"
SLACK = "journal.slack"
SLACK_BYTES = 1024 * 1024
CHECKPOINT_AFTER = 1.5  # seconds; with signing and a slow sync a record is signed within 2
_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Where a writer begins: an open file, positioned by O_APPEND, and the state of the chain in it.

    Attributes:
        folder: the run folder.
        fd: the journal, opened for appending; the writer closes it.
        chain: its state; everything in it is on disk.
        key: the public key that the journal says signs now; empty before `run_opened`.
        epoch: the epoch of its last record.
        signed: how many lines the last checkpoint covers, itself included.
        ended: `run_closed` stands in it.
    """

    folder: Path
    fd: int
    chain: Chain
    key: bytes = b""
    epoch: int = 1
    signed: int = 0
    ended: bool = False


class JournalWriter:
    """The one writer of a run's journal; safe to use from many threads.

    Order in the file is order of `append`. Threads that wait for the disk share one fdatasync (leader and followers).
    A checkpoint follows at most two seconds after the oldest unsigned record. Use it only while holding the run's lock.
    """

    def __init__(
        self,
        start: Start,
        signer: Signer | None,
        clock: Clock,
        *,
        disk: Disk | None = None,
        checkpoint_after: float = CHECKPOINT_AFTER,
    ) -> None:
        self._disk = disk or Disk()
        self._folder = start.folder
        self._fd = start.fd
        self._chain = start.chain
        self._key = start.key
        self._epoch = start.epoch
        self._signer = signer
        self._clock = clock
        self._boot = boot_id()
        self._lock = threading.Condition(threading.Lock())
        self._durable = start.chain.size - 1
        self._syncing = False
        self._signed = start.signed
        self._unsigned_since: float | None = None if start.signed == start.chain.size else time.monotonic()
        self._poison: str | None = None
        self._last_words_fit = False
        self._ended = start.ended
        self._closing = False
        self._checkpoint_after = checkpoint_after
        self._reserve()
        self._thread = threading.Thread(target=self._sign_in_time, name="journal-checkpoints", daemon=True)
        self._thread.start()

    @classmethod
    def create(
        cls,
        folder: Path,
        uid: str,
        signer: Signer,
        clock: Clock,
        *,
        disk: Disk | None = None,
        checkpoint_after: float = CHECKPOINT_AFTER,
    ) -> Self:
        """Begin the journal of a new run; its first record must be `run_opened`.

        Raises:
            JournalError: there is a journal already, or the disk refused.
        """
        disk = disk or Disk()
        path = folder / NAME
        try:
            fd = disk.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL)
            sync_folder(disk, folder)
        except OSError as error:
            raise cannot_write(path, f"The journal cannot be made: {error.strerror}.") from error
        start = Start(folder=folder, fd=fd, chain=Chain.start(uid, signer.public), key=signer.public)
        return cls(start, signer, clock, disk=disk, checkpoint_after=checkpoint_after)

    @property
    def uid(self) -> str:
        """The run's uid."""
        return self._chain.uid

    @property
    def epoch(self) -> int:
        """The epoch that records carry; rises by one with every `run_taken_over`."""
        return self._epoch

    @property
    def size(self) -> int:
        """How many lines the journal has; the next record gets this seq."""
        return self._chain.size

    @property
    def durable(self) -> int:
        """The last seq known to be on disk, -1 for none."""
        return self._durable

    def append(self, type: str, body: Mapping[str, JSON], *, actor: str, durable: bool) -> Record:  # noqa: A002 - the field's name in every record
        """Seal a record and write it; with `durable` return only when it is on disk.

        The writer itself fills in what it knows best: `pubkey` of `run_opened`; `pubkey`, `head` and `epoch` of
        `run_taken_over`.

        Raises:
            JournalError: writing failed, now or earlier; nothing further may be done in the world.
            RecordRefusedError: the body holds a secret or something a record cannot hold; nothing was written.
        """
        with self._lock:
            record, line, digest = self._seal(type, body, actor)
            self._put(line, digest)
            self._epoch = record.epoch
            self._ended |= type == CLOSED
            if type == TAKEN_OVER and self._signer:
                self._key = self._signer.public
            if self._unsigned_since is None:
                self._unsigned_since = time.monotonic()
                self._lock.notify_all()
        if durable:
            self.settle(record.seq)
        return record

    def checkpoint(self) -> Record | None:
        """Sign the state of the journal now; returns when that is on disk. None when nothing is new, or without a key.

        One is written only when every record before it is on disk, so its presence later proves that they were.

        Raises:
            JournalError: as for `append`.
        """
        with self._lock:
            self._usable()
            if self._signed == self._chain.size or not self._can_sign():
                return None
            with self._poisoning():
                self._disk.sync_data(self._fd)
                self._durable = self._chain.size - 1
            record = self._put_checkpoint()
        self.settle(record.seq)
        return record

    def last_words(self, type: str, body: Mapping[str, JSON], *, actor: str) -> Record | None:  # noqa: A002 - see append
        """Write why the run stops, after a full disk: once, into the room that was kept for it. None when impossible.

        The record that found the disk full was completed with that room: the chain is whole, its caller was told no.
        """
        with self._lock:
            if not self._last_words_fit or self._closing:
                return None
            self._last_words_fit = False
            poison, self._poison = self._poison, None
            try:
                record, line, digest = self._seal(type, body, actor)
                self._put(line, digest)
                if self._can_sign():
                    self._put_checkpoint()
                self._disk.sync_data(self._fd)
            except (JournalError, OSError):
                return None
            finally:
                self._poison = poison
        return record

    def close(self) -> None:
        """Sign what is unsigned, free the kept room and close the file. Does nothing the second time.

        Raises:
            JournalError: the last checkpoint could not be written.
        """
        if self._closing:
            return
        try:
            if self._poison is None:
                self.checkpoint()
        finally:
            with self._lock:
                self._closing = True
                self._lock.notify_all()
            self._thread.join()
            self._free_slack()
            os.close(self._fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    # Under the lock

    def _usable(self) -> None:
        if self._poison is not None:
            raise cannot_write(self._folder / NAME, self._poison, self._durable)
        if self._closing:
            raise DefectError("The journal was closed and is being written to.", where=str(self._folder))

    def _seal(self, type_: str, body: Mapping[str, JSON], actor: str) -> tuple[Record, bytes, bytes]:
        self._usable()
        self._allowed(type_)
        epoch = self._epoch
        if type_ == OPENED and self._signer:
            body = {**body, "pubkey": _text(self._signer.public)}
        elif type_ == TAKEN_OVER:
            epoch += 1
            body = {**body, "head": self._chain.head.hex(), "epoch": epoch}
            if self._signer:
                body["pubkey"] = _text(self._signer.public)
        record = Record(
            seq=self._chain.size,
            ts=self._clock.now().micros,
            type=type_,
            actor=actor,
            body=body,
            run=self._chain.uid,
            boot=self._boot,
            mono=self._clock.monotonic().micros,
            dur=self._durable,
            epoch=epoch,
        )
        return record, *encode(record, self._chain.head)

    def _allowed(self, type_: str) -> None:
        """What the format itself demands of the order of records."""
        wrong = ""
        if type_ == CHECKPOINT:
            wrong = "checkpoints are made by the writer"
        elif (type_ == OPENED) != (self._chain.size == 0):
            wrong = "run_opened is the first record, and only the first"
        elif self._ended and type_ != RECOVERED:
            wrong = "the run is closed"
        elif type_ != TAKEN_OVER and self._signer and not self._can_sign():
            wrong = "a journal that goes on under a new key must say run_taken_over first"
        if wrong:
            raise DefectError(f"A {type_} record was refused: {wrong}.", where=str(self._folder / NAME))

    def _can_sign(self) -> bool:
        return self._signer is not None and self._signer.public == self._key

    def _put_checkpoint(self) -> Record:
        if self._signer is None:
            raise DefectError("A checkpoint without a key.")
        ts = self._clock.now().micros
        signature = self._signer.sign(self._chain.note(ts).encode())
        record = self._chain.checkpoint_record(ts, self._signer.public, signature)
        self._put(*encode(record, self._chain.head))
        self._signed = self._chain.size
        self._unsigned_since = None
        return record

    def _put(self, line: bytes, digest: bytes) -> None:
        """Write a whole line, or end the writer."""
        with self._poisoning():
            rest = memoryview(line)
            try:
                while rest:
                    rest = rest[self._wrote(self._disk.write(self._fd, rest)) :]
            except OSError as error:
                if error.errno not in _FULL or not self._free_slack():
                    raise
                # Finish the line with the kept room: a torn line would have to be cut off, and nothing is ever cut off.
                write_all(self._disk, self._fd, bytes(rest))
                self._chain.add(line, digest)
                self._disk.sync_data(self._fd)
                self._last_words_fit = True
                raise
            self._chain.add(line, digest)

    @staticmethod
    def _wrote(count: int) -> int:
        if count <= 0:
            raise OSError(errno.EIO, "a write wrote nothing")
        return count

    @contextlib.contextmanager
    def _poisoning(self) -> Iterator[None]:
        """End the writer for good when the block fails in any way, an interrupt in the middle of a line included."""
        try:
            yield
        except BaseException as error:
            self._poison = f"The journal cannot be written: {getattr(error, 'strerror', None) or repr(error)}."
            self._lock.notify_all()
            if isinstance(error, OSError):
                raise cannot_write(self._folder / NAME, self._poison, self._durable) from error
            raise

    # Waiting for the disk

    def settle(self, seq: int) -> None:
        """Return when `seq` is on disk: as the leader, who syncs for all, or behind one.

        `append(durable=True)` ends with this; a caller with a lock of its own appends under it and settles outside.

        Raises:
            JournalError: as for `append`.
        """
        leading = False
        try:
            while True:
                with self._lock:
                    while self._syncing and self._durable < seq and self._poison is None:
                        self._lock.wait()
                    if self._poison is not None:  # even for a record that made it: no effect may follow
                        raise cannot_write(self._folder / NAME, self._poison, self._durable)
                    if self._durable >= seq:
                        return
                    leading = self._syncing = True
                    target = self._chain.size - 1
                self._sync_leading(target)
                leading = False
        finally:
            if leading:
                with self._lock:
                    self._syncing = False
                    self._lock.notify_all()

    def _sync_leading(self, target: int) -> None:
        failed: BaseException | None = None
        try:
            self._disk.sync_data(self._fd)
        except BaseException as error:  # noqa: BLE001 - raised again under the lock, by _poisoning
            failed = error
        with self._lock:
            self._syncing = False
            with self._poisoning():
                if failed is not None:
                    raise failed
                self._durable = max(self._durable, target)
            self._lock.notify_all()

    def _sign_in_time(self) -> None:
        """The background thread: a checkpoint when the oldest unsigned record grows old."""
        while True:
            with self._lock:
                while not self._closing and self._poison is None:
                    since = self._unsigned_since if self._can_sign() else None
                    left = None if since is None else since + self._checkpoint_after - time.monotonic()
                    if left is not None and left <= 0:
                        break
                    self._lock.wait(left)
                if self._closing or self._poison is not None:
                    return
            try:
                self.checkpoint()
            except Exception as error:  # noqa: BLE001 - no caller here: the next append reports it
                with self._lock:
                    self._poison = self._poison or f"A checkpoint could not be signed: {error!r}."
                    self._lock.notify_all()

    # Room for the last record

    def _reserve(self) -> None:
        try:
            fd = self._disk.open(self._folder / SLACK, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            try:
                self._disk.reserve(fd, SLACK_BYTES)
            finally:
                os.close(fd)
        except OSError as error:
            os.close(self._fd)
            raise cannot_write(self._folder / SLACK, f"No room can be kept for it: {error.strerror}.") from error

    def _free_slack(self) -> bool:
        try:
            (self._folder / SLACK).unlink()
        except OSError:
            return False
        return True


def _text(public: bytes) -> str:
    return base64.b64encode(public).decode()


def cannot_write(path: Path, what: str, durable: int | None = None) -> JournalError:
    """The error of exit 74, in four parts."""
    kept = "" if durable is None else f" The last record known to be on disk is number {durable}."
    return JournalError(
        what,
        where=str(path),
        meaning=f"No record, no action: nothing further was done.{kept}",
        next=f"make room or mend the disk, then: drctl resume {path.parent.name}",
    )
