"""What an open run still has to put back, found without carrying anything out: for commands that only look."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drctl.errors import DefectError, DrctlError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from drctl.adapters.statedir import RunFolder
    from drctl.core.fold import RunState
    from drctl.engine.recorder import Sealed


class ClosedBook:
    """The journal of somebody who only looks."""

    def append(self, type: str, body: Mapping[str, Any], *, actor: str, durable: bool) -> Sealed:  # noqa: A002, ARG002 - the port's words
        """Refuse."""
        raise DefectError("A command that only looks tried to write a record.")

    def settle(self, seq: int) -> None:
        """Nothing was written."""

    def checkpoint(self) -> object:
        """Nothing was written."""
        return None


def open_restores(folder: RunFolder, state: RunState, root: Path) -> tuple[str, ...] | None:
    """Steps with a restore that is not carried out yet, newest first, as `path on host`; None when it cannot be told.

    The engine is loaded only when the run is open and has acted.
    """
    opened = state.opened
    if state.closed is not None or not state.intents or opened is None:
        return ()
    from drctl.cli.wiring import build_parts, frozen_of, thaw_documents
    from drctl.engine.context import Identity
    from drctl.engine.executor import Desk, Executor
    from drctl.engine.recorder import Recorder
    from drctl.engine.stops import Control

    try:
        frozen = frozen_of(state, folder.journal)
        who = Identity(uid=opened.uid, id=opened.id, operator=opened.operator)
        parts = build_parts(frozen, thaw_documents(frozen), who, state, folder.outputs, root)
    except (DrctlError, ValueError):
        return None  # documents that this version does not take: `resume` says what to do
    recorder = Recorder(ClosedBook(), state, actor="")
    return Executor(parts.context, recorder, parts.world, Desk(inbox=folder.inbox), Control()).owed()
