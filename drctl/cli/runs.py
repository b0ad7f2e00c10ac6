"""Reads runs for the commands: the state folder, journals as entries, the fold of a run.

Nothing here loads the engine, so that a command that only reads starts quickly.
"""

from __future__ import annotations

import getpass
import os
from typing import TYPE_CHECKING

from drctl.adapters.clock import SystemClock
from drctl.adapters.journal import NAME
from drctl.adapters.journal_reader import read
from drctl.adapters.statedir import RunFolder, StateDir, state_root
from drctl.core import events as ev
from drctl.core.fold import Entry, RunState
from drctl.core.records import CHECKPOINT
from drctl.core.values import Time
from drctl.errors import JournalError, RefusedError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from drctl.core.records import Record
    from drctl.core.verification import Verifier


def login() -> str:
    """Who is logged in; a claim, not a proof."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def now() -> int:
    """UTC now in microseconds, as words in an inbox and kept plans carry it."""
    return SystemClock().now().micros


def open_state(flag: str | None) -> StateDir:
    """The state folder of this invocation.

    Raises:
        UsageError: `--state-dir` names nothing, as with a variable that is not set.
    """
    if flag == "":
        raise UsageError("It names no folder.", where="--state-dir", next="drctl --state-dir FOLDER ...")
    return StateDir(state_root(flag, os.environ))


def entry_of(record: Record) -> Entry:
    """A record as the fold takes it."""
    return Entry(
        seq=record.seq, at=Time(record.ts), mono=record.mono, boot=record.boot, actor=record.actor,
        event=ev.decode(record.type, record.body),
    )  # fmt: skip


def entries(path: Path, verifier: Verifier | None = None) -> Iterator[Entry]:
    """The events of a journal, checkpoints left out; a verifier judges the lines as they are read.

    Raises:
        JournalError: a record is missing, or not what its type says.
    """
    for record in in_order(read(path, verifier), path):
        if record.type == CHECKPOINT:
            continue
        try:
            yield entry_of(record)
        except (ValueError, TypeError) as error:
            raise JournalError(
                f"Record {record.seq} is not a {record.type}: {error}.", where=str(path),
                meaning="The journal was changed, or a newer drctl wrote it.", next=f"drctl audit verify {path}",
            ) from error  # fmt: skip


def fold_of(folder: RunFolder) -> RunState:
    """The state of a run, for reading.

    Raises:
        RefusedError: it never opened. JournalError: its journal cannot be read, or lines are missing from it.
    """
    state = RunState() if _absent(folder.path) else RunState.of(entries(folder.journal))
    if state.opened is None:
        raise _never_opened(folder)
    return state


def entries_of(folder: RunFolder, verifier: Verifier | None = None) -> list[Entry]:
    """Every event of a run, for those who need them beside their fold; a verifier is fed the whole journal.

    Raises:
        RefusedError: it never opened. JournalError: its journal cannot be read, or lines are missing from it.
    """
    found = [] if _absent(folder.path) else list(entries(folder.journal, verifier))
    if not found:
        raise _never_opened(folder)
    return found


def _never_opened(folder: RunFolder) -> RefusedError:
    return RefusedError(
        f"Run {folder.id} never opened: its first record did not reach the disk.", where=str(folder.path),
        meaning="Nothing was done in its name.", next="start it anew: drctl run RUNBOOK",
    )  # fmt: skip


def _absent(path: Path) -> bool:
    """Whether a run folder is there without a journal, as a crash between the two leaves it."""
    return path.is_dir() and not os.path.lexists(path / NAME)


def in_order(records: Iterable[Record], path: Path) -> Iterator[Record]:
    """The same records, as long as none is missing. Only `audit verify` proves more than that.

    Raises:
        JournalError: a record is not the next one, or the first is not `run_opened`.
    """
    for number, record in enumerate(records):
        if record.seq != number or (not number and record.type != ev.RunOpened.TYPE):
            raise JournalError(
                f"Record {record.seq} ({record.type}) stands where record {number} must.", where=str(path),
                meaning="Lines were removed or moved; what the others say cannot be trusted.",
                next=f"drctl audit verify {path}",
            )  # fmt: skip
        yield record
