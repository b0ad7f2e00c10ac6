"""Words from outside to a run: only the writer appends to a journal, all others put a file here.

A word is one JSON object with a `kind`, written beside and renamed, so that it is there whole or not at all. Whoever
may write here is not trusted: names, sizes and contents may be hostile. What cannot be read is put aside with its
reason; nothing that lies here ever stops a run.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import stat
import time
from typing import TYPE_CHECKING, TypeAlias

from drctl.adapters.disk import Disk, write_whole
from drctl.core.records import JSON, ParseError, canonical, strict_json
from drctl.errors import RefusedError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

Word: TypeAlias = "dict[str, JSON]"

MAX_WORD = 32 * 1024  # bytes: it must fit into a journal record
_MOST_AT_ONCE = 256
_KIND = re.compile(r"[a-z][a-z0-9_]{0,31}\Z")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}\.json\Z")
_REFUSED = "refused"


class Inbox:
    """The inbox of one run."""

    def __init__(self, folder: Path, disk: Disk | None = None) -> None:
        self.folder = folder
        self._disk = disk or Disk()

    def put(self, kind: str, payload: Mapping[str, JSON]) -> Path:
        """Leave a word for the writer; returns its file, on disk. Order is that of the senders' clocks.

        Raises:
            UsageError: the kind or the payload is not what a word can be.
            RefusedError: it could not be written.
        """
        content = canonical({**payload, "kind": kind})
        if not _KIND.match(kind) or "kind" in payload or len(content) > MAX_WORD:
            raise UsageError(
                f"A word of {len(content)} bytes, kind {kind!r}, cannot be left for a run.", where=str(self.folder)
            )
        path = self.folder / f"{time.time_ns():020d}-{secrets.token_hex(4)}-{kind}.json"
        try:
            self.folder.mkdir(mode=0o700, exist_ok=True)
            write_whole(self._disk, path, content)
        except OSError as error:
            raise RefusedError(
                f"The word could not be left for the run: {error.strerror}.",
                where=str(path),
                meaning="The run may not know of it.",
                next="make room or get access to the run folder, then say it again",
            ) from error
        return path

    def take(self) -> list[tuple[str, Word]]:
        """The words that wait, oldest first, as (name, object with `kind`). They stay until `done`.

        What cannot be read is moved to `refused/` with its reason. A crash between recording a word and `done` shows it
        again: record its name with it.
        """
        try:
            entries = sorted(os.scandir(self.folder), key=lambda entry: entry.name)
        except OSError:
            return []
        words: list[tuple[str, Word]] = []
        for entry in entries:
            if entry.name.startswith(".") or entry.name == _REFUSED:
                continue
            if len(words) >= _MOST_AT_ONCE:
                break
            try:
                words.append((entry.name, self._read(entry.name)))
            except FileNotFoundError:
                continue
            except (OSError, ParseError) as error:
                self._refuse(entry.name, str(error))
        return words

    def done(self, name: str) -> None:
        """Remove a word that stands in the journal now."""
        if _NAME.match(name):
            with contextlib.suppress(OSError):
                (self.folder / name).unlink()

    def refused(self) -> list[tuple[str, str]]:
        """What was put aside, as (name in `refused/`, reason)."""
        folder = self.folder / _REFUSED
        try:
            reasons = sorted(path for path in folder.iterdir() if path.suffix == ".reason")
            return [(path.stem, path.read_text(encoding="utf-8", errors="replace")) for path in reasons]
        except OSError:
            return []

    def _read(self, name: str) -> Word:
        if not _NAME.match(name):
            raise ParseError("name", "the name is not one that drctl gives")
        # NONBLOCK: opening a pipe must not wait for its other end. NOFOLLOW: no reading of other people's files.
        fd = os.open(self.folder / name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            seen = os.fstat(fd)
            if not stat.S_ISREG(seen.st_mode):
                raise ParseError("file", "not a regular file")
            if seen.st_size > MAX_WORD:
                raise ParseError("size", f"{seen.st_size} bytes, more than {MAX_WORD}")
            data = os.read(fd, MAX_WORD + 1)
        finally:
            os.close(fd)
        word = strict_json(data)
        kind = word.get("kind") if isinstance(word, dict) else None
        if not isinstance(word, dict) or not isinstance(kind, str) or not _KIND.match(kind):
            raise ParseError("kind", "not an object with a kind")
        return word

    def _refuse(self, name: str, reason: str) -> None:
        """Move a file aside under a name of our own; what cannot even be moved stays and is passed over again."""
        folder = self.folder / _REFUSED
        digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:12]
        aside = f"{time.time_ns():020d}-{digest}"
        with contextlib.suppress(OSError):
            folder.mkdir(mode=0o700, exist_ok=True)
            (self.folder / name).rename(folder / aside)
            text = f"{ascii(name)[:300]}: {ascii(reason)[1:-1][:500]}\n"
            (folder / f"{aside}.reason").write_text(text, encoding="utf-8")
