"""The state folder: where runs, keys and locks of a machine's operator live.

    <state>/runs/<id>/journal.jsonl   the run; see `adapters.journal`
    <state>/runs/<id>/lock            held by the one writer; a file that is never renamed
    <state>/runs/<id>/inbox/          words from outside; see `adapters.inbox`
    <state>/runs/<id>/out/            outputs by digest; see `adapters.outputs`
    <state>/keys/<uid>                the run's private key, outside the run folder, deleted when the run closes
    <state>/locks/<name>              locks by name

Folders are 0700 and files 0600. A run folder alone is enough to resume elsewhere: whatever else lies here may be lost.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from drctl.adapters.disk import Disk, sync_folder
from drctl.adapters.inbox import Inbox
from drctl.adapters.journal import NAME
from drctl.adapters.keys import RunKey
from drctl.adapters.locks import FileLock, Holder, holder
from drctl.adapters.outputs import OutputStore
from drctl.core.nouns import dataclass
from drctl.core.records import MAX_LINE, ParseError, parse
from drctl.errors import RefusedError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford base32: no I, L, O, U
_SPOKEN = str.maketrans({"I": "1", "L": "1", "O": "0"})
_ID = re.compile(rf"[{_ALPHABET}]{{5}}\Z")
_ID_LENGTH = 5
_TRIES = 1000
_LONGEST_NAME = 120


def state_root(flag: str | None, environment: Mapping[str, str]) -> Path:
    """Where the state folder is: the first of `--state-dir`, DRCTL_STATE, XDG_STATE_HOME/drctl, ~/.local/state/drctl.

    Raises:
        UsageError: nothing of this is set.
    """
    chosen = flag or environment.get("DRCTL_STATE")
    if chosen:
        return Path(chosen).expanduser().absolute()
    base = environment.get("XDG_STATE_HOME", "")
    if base.startswith("/"):  # the XDG specification: a relative path is to be ignored
        return Path(base, "drctl")
    home = environment.get("HOME", "")
    if home.startswith("/"):
        return Path(home, ".local", "state", "drctl")
    raise UsageError("There is no place for the state folder: HOME is not set.", next="drctl --state-dir FOLDER ...")


def spoken(id_: str) -> str:
    """An id as a person may say or type it, brought to its one spelling: upper case, I and L are 1, O is 0."""
    return id_.strip().upper().translate(_SPOKEN)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFolder:
    """One run on disk.

    Attributes:
        id: five characters for people, unique in this state folder.
        uid: 128 bits in hex, for machines; empty when the run never opened.
        path: its folder.
    """

    id: str
    uid: str
    path: Path

    @property
    def journal(self) -> Path:
        """The journal's file."""
        return self.path / NAME

    @property
    def inbox(self) -> Inbox:
        """Words from outside."""
        return Inbox(self.path / "inbox")

    @property
    def outputs(self) -> OutputStore:
        """Contents by digest."""
        return OutputStore(self.path)

    def lock(self, *, by: str = "", purpose: str = "") -> FileLock:
        """Become the run's one writer, until released or dead.

        Raises:
            LockedError: another process is; says who.
        """
        advice = f"drctl watch {self.id}   (to follow it; drctl answer, note and abort reach it through its inbox)"
        return FileLock(self.path / "lock", by=by, purpose=purpose or f"run {self.id}", advice=advice)

    def holder(self) -> Holder | None:
        """Who is writing now, if anybody."""
        return holder(self.path / "lock")


class StateDir:
    """The state folder; made when first needed."""

    def __init__(self, root: Path, disk: Disk | None = None) -> None:
        self.root = root
        self._disk = disk or Disk()

    def _folder(self, name: str) -> Path:
        folder = self.root / name
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise self._unusable(folder, error) from error
        return folder

    @staticmethod
    def _unusable(path: Path, error: OSError) -> RefusedError:
        return RefusedError(
            f"The state folder cannot be used: {error.strerror}.",
            where=str(path),
            meaning="Nothing was changed.",
            next="drctl --state-dir FOLDER ...   (a folder you may write to, on a local disk)",
        )

    def new_run(self) -> RunFolder:
        """Make the folder of a new run, with an id that no other run here has.

        Raises:
            RefusedError: the state folder cannot be written.
        """
        runs = self._folder("runs")
        for _ in range(_TRIES):
            id_ = "".join(secrets.choice(_ALPHABET) for _ in range(_ID_LENGTH))
            path = runs / id_
            try:
                path.mkdir(mode=0o700)
                (path / "inbox").mkdir(mode=0o700)
                sync_folder(self._disk, runs)
            except FileExistsError:
                continue
            except OSError as error:
                raise self._unusable(path, error) from error
            return RunFolder(id=id_, uid=secrets.token_hex(16), path=path)
        raise RefusedError(
            f"No free id was found in {_TRIES} tries.",
            where=str(runs),
            next="move old folders of runs elsewhere, or --state-dir FOLDER",
        )

    def list(self) -> list[RunFolder]:
        """Every run, oldest folder first; the uid is read from its journal.

        Raises:
            RefusedError: the folder is there and cannot be read: that is not the same as having no runs.
        """
        try:
            names = [entry.name for entry in os.scandir(self.root / "runs") if _ID.match(entry.name)]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise self._unusable(self.root / "runs", error) from error
        runs = [_run(self.root / "runs" / name) for name in names]
        return sorted(runs, key=lambda run: (_age(run.path), run.id))

    def find(self, id_or_prefix: str) -> RunFolder:
        """The one run of that id, or whose id or uid begins like that; upper and lower case are the same.

        Raises:
            UsageError: none, or several.
        """
        said = spoken(id_or_prefix)
        runs = self.list()
        exact = [run for run in runs if run.id == said]
        found = exact or [
            run
            for run in runs
            if said and (run.id.startswith(said) or run.uid.startswith(id_or_prefix.strip().lower()))
        ]
        if len(found) == 1:
            return found[0]
        if found:
            several = ", ".join(run.id for run in found[:10])
            raise UsageError(
                f"{id_or_prefix!r} could be any of {several}.", where=str(self.root), next="type more of the id"
            )
        raise UsageError(
            f"There is no run {id_or_prefix!r}.",
            where=str(self.root),
            next="drctl runs list   (of this folder; another one: --state-dir)",
        )

    # Keys

    def key_path(self, uid: str) -> Path:
        """Where the private key of a run lies."""
        if not re.fullmatch(r"[0-9a-f]{32}", uid):
            raise UsageError(f"{uid!r} is not the uid of a run.")
        return self._folder("keys") / uid

    def new_key(self, uid: str) -> RunKey:
        """Make and keep the key of a run.

        Raises:
            JournalError: the disk refused.
        """
        key = RunKey.generate()
        key.save(self.key_path(uid), self._disk)
        return key

    def load_key(self, uid: str) -> RunKey | None:
        """The key of a run; None when it is not on this machine.

        Raises:
            JournalError: there is a file, but it cannot be used.
        """
        path = self.key_path(uid)
        return RunKey.load(path) if path.exists() else None

    def forget_key(self, uid: str) -> None:
        """Delete the key of a closed run, for good."""
        path = self.key_path(uid)
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        with contextlib.suppress(OSError):
            sync_folder(self._disk, path.parent)

    # Locks

    def named_lock(self, name: str, *, by: str = "", purpose: str = "") -> FileLock:
        """Take a lock of this machine by its name, as `locks:` of a runbook and the place `local` do.

        Raises:
            LockedError: another process holds it; says who.
            UsageError: the name is too long.
        """
        file = quote(name, safe="")
        if not name or len(file) > _LONGEST_NAME:
            raise UsageError(f"A lock's name must have 1 to {_LONGEST_NAME} characters.", where=name[:40])
        return FileLock(self._folder("locks") / f"{file}.lock", by=by, purpose=purpose)

    def free_bytes(self) -> int:
        """Free room on the disk of the state folder, in bytes."""
        seen = os.statvfs(self._folder("runs"))
        return seen.f_bavail * seen.f_frsize


def _run(path: Path) -> RunFolder:
    return RunFolder(id=path.name, uid=_uid(path / NAME), path=path)


def _uid(journal: Path) -> str:
    """The uid in a journal's first record; the journal is the only truth about it."""
    try:
        with journal.open("rb") as file:
            return parse(file.readline(MAX_LINE + 1)).run
    except (OSError, ParseError):
        return ""


def _age(path: Path) -> int:
    """When the run began, in microseconds: by its first record, else by its folder."""
    try:
        with (path / NAME).open("rb") as file:
            return parse(file.readline(MAX_LINE + 1)).ts
    except (OSError, ParseError):
        pass
    try:
        return path.stat().st_mtime_ns // 1000
    except OSError:
        return 0
