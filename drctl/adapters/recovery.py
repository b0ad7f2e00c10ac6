"""Taking up a journal that a writer left behind, by a pause, a crash or a loss of power.

Nothing is repaired in place and nothing is thrown away: torn bytes are put aside, the sound records are copied to a new
inode (after a failed fsync the page cache may show what the disk does not hold), and damage in the middle is refused.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from typing import TYPE_CHECKING

from drctl.adapters.disk import Disk, sync_folder, write_all, write_whole
from drctl.adapters.journal import CHECKPOINT_AFTER, NAME, SLACK, JournalWriter, Start, cannot_write
from drctl.adapters.keys import verify_signature
from drctl.core.nouns import dataclass
from drctl.core.verification import Verdict, Verification, Verifier, pieces
from drctl.errors import JournalError, RefusedError

if TYPE_CHECKING:
    from pathlib import Path

    from drctl.core.ports import Clock, Signer

_CHUNK = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Torn:
    """Bytes at the end of a journal that were not whole records; the body of a `recovered` record.

    Attributes:
        torn_bytes: how many.
        sha256: their digest, hex.
        file: the name they were put aside under, in the run folder.
    """

    torn_bytes: int
    sha256: str
    file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reopened:
    """A journal taken up again.

    When `torn` is set, the caller's next record is `recovered`. With another key than before, `run_taken_over` comes
    even before that: `taken_over` says that the writer waits for it. When `before.closed`, the crash fell between
    `run_closed` and the checkpoint over it: only `recovered` and `close()` remain, then the key can be forgotten.
    """

    writer: JournalWriter
    torn: Torn | None
    before: Verification
    taken_over: bool


def reopen(
    folder: Path,
    signer: Signer | None,
    clock: Clock,
    *,
    disk: Disk | None = None,
    checkpoint_after: float = CHECKPOINT_AFTER,
) -> Reopened:
    """Verify the journal of a run folder, make its sound part durable in a new inode, and go on writing.

    Call it only while holding the run's lock. Interrupted at any point, it can simply be called again.

    Args:
        folder: the run folder.
        signer: the run's key, or a new one on another machine; None goes on unsigned.
        clock: time.
        disk: file operations.
        checkpoint_after: seconds until the oldest unsigned record is signed.

    Raises:
        JournalError: it is damaged in the middle, or cannot be read or written. It is left as it is.
        RefusedError: the run is closed and signed, or never opened.
    """
    disk = disk or Disk()
    path = folder / NAME
    try:
        with path.open("rb") as file:
            verifier = Verifier(public_key=None, check_signature=verify_signature)
            for line, length in pieces(file):
                verifier.feed(line, length)
            before = verifier.finish()
            _refuse(path, before)
            with contextlib.suppress(FileNotFoundError):
                (folder / SLACK).unlink()
            file.seek(verifier.offset)
            torn = _put_aside(disk, folder, file.read())
            fd = _copy(disk, path, file.fileno(), verifier.offset)
    except FileNotFoundError:
        raise _never_opened(path) from None
    except OSError as error:
        raise cannot_write(path, f"The journal cannot be taken up: {error.strerror}.") from error
    if verifier.chain is None or verifier.last is None:
        raise JournalError("The journal has no first record.", where=str(path))
    start = Start(
        folder=folder,
        fd=fd,
        chain=verifier.chain,
        key=verifier.key,
        epoch=verifier.last.epoch,
        signed=before.signed,
        ended=verifier.closed,
    )
    writer = JournalWriter(start, signer, clock, disk=disk, checkpoint_after=checkpoint_after)
    other = signer is not None and signer.public != verifier.key
    return Reopened(writer=writer, torn=torn, before=before, taken_over=other)


def _refuse(path: Path, before: Verification) -> None:
    if not before.records and before.verdict in (Verdict.TORN, Verdict.UNSIGNED_TAIL):
        raise _never_opened(path)
    if before.unknown_types or (before.first_bad and before.first_bad.reason == "version"):
        what = ", ".join(before.unknown_types) or "records of a newer format"
        raise RefusedError(
            f"The journal holds what this drctl does not know: {what}.",
            where=str(path),
            meaning="Going on could do twice what a newer drctl did. Nothing was changed.",
            next="resume it with the drctl version that wrote it",
        )
    if before.verdict is Verdict.ALTERED and before.first_bad:
        bad = before.first_bad
        raise JournalError(
            f"Record {bad.seq} is damaged ({bad.reason}): {bad.text}.",
            where=f"{path}:{bad.line}, byte {bad.offset}",
            meaning="This is no torn end of a crash: later records prove that it was once whole. Nothing was changed.",
            next=f"drctl audit verify {path}   (then decide by hand; a copy of the run folder is evidence)",
        )
    if before.closed and before.signed == before.records:
        raise RefusedError(
            "The run is closed; a closed journal is never written again.",
            where=str(path),
            meaning="Nothing was changed.",
            next=f"drctl report {path.parent.name}",
        )


def _never_opened(path: Path) -> RefusedError:
    return RefusedError(
        "The run never opened: its first record did not reach the disk.",
        where=str(path),
        meaning="Nothing was done in its name.",
        next="start it anew: drctl run RUNBOOK",
    )


def _put_aside(disk: Disk, folder: Path, torn: bytes) -> Torn | None:
    """Keep the torn bytes as journal.torn.N; the same bytes only once, however often taking up is interrupted."""
    if not torn:
        return None
    digest = hashlib.sha256(torn).hexdigest()
    number = 1
    while (aside := folder / f"journal.torn.{number}").exists():
        if aside.read_bytes() == torn:
            break
        number += 1
    else:
        write_whole(disk, aside, torn)
    return Torn(torn_bytes=len(torn), sha256=digest, file=aside.name)


def _copy(disk: Disk, path: Path, source: int, length: int) -> int:
    """Copy the sound part to a new file, sync, rename it into place; returns it open for appending."""
    temporary = path.with_name(f".{NAME}.new")
    fd = disk.open(temporary, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_TRUNC)
    try:
        done = 0
        while chunk := os.pread(source, min(_CHUNK, length - done), done):
            write_all(disk, fd, chunk)
            done += len(chunk)
        _whole(done, length)
        disk.sync(fd)
        disk.rename(temporary, path)
        sync_folder(disk, path.parent)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _whole(done: int, length: int) -> None:
    if done != length:
        raise OSError(errno.EIO, f"{length - done} verified bytes could not be read again")
