"""What an open run still has to put back, found without carrying anything out: for commands that only look."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drctl.errors import DrctlError

if TYPE_CHECKING:
    from drctl.adapters.statedir import RunFolder
    from drctl.core.fold import RunState


def open_restores(folder: RunFolder, state: RunState) -> tuple[str, ...] | None:
    """Steps with a restore that is not carried out yet, newest first, as `path on host`; None when it cannot be told.

    The engine is loaded only when the run is open and has acted.
    """
    if state.closed is not None or not state.intents or state.opened is None:
        return ()
    from drctl.cli.wiring import documents_of_run
    from drctl.engine.dues import Dues

    try:
        context = documents_of_run(folder, state)
    except (DrctlError, ValueError):
        return None  # documents that this version does not take: `resume` says what to do
    due = Dues(context).due(restore=True)
    return tuple(f"{one.step.path} on {one.host}" if one.host else one.step.path for one in due)
