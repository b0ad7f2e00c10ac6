"""How a run ends: restores, the hosts given back, exceptions counted, objectives compared, one last record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from drctl.core import events as ev
from drctl.core.fold import RunState, attained
from drctl.core.model import Outcome
from drctl.errors import Exit

if TYPE_CHECKING:
    from drctl.engine.stops import Stop


@dataclass(frozen=True, slots=True, kw_only=True)
class Close:
    """What the last record will say."""

    state: str
    exit: Exit
    because: str = ""


def exceptions(state: RunState) -> tuple[str, ...]:
    """Everything an auditor must look at: words of people instead of outcomes, what was not put back, missed objectives."""
    found = [
        f"{d.path}: {d.what}" + (f" by {d.by}" if d.by else "") + (f" ({d.because})" if d.because else "")
        for _, d in state.deviations
    ]
    found += [f"{path}: partial" for path, block in state.blocks.items() if block.outcome is Outcome.PARTIAL]
    figures = attained(state)
    if figures.rto is not None and figures.rto_met is None:
        found.append("objective not measured: RTO (service_restored was never set)")
    elif figures.rto_met is False:
        found.append(f"objective missed: RTO {figures.rto}, attained {figures.rta}")
    if figures.rpo is not None and figures.rpo_met is False:
        found.append(f"objective missed: RPO {figures.rpo}, attained {figures.rpa}")
    if figures.rpo is not None and figures.rpo_met is None:
        found.append("objective not measured: RPO (neither fault and recovery_point nor data_loss were set)")
    return tuple(found)


def done(state: RunState) -> Close:
    """The walk came to its end."""
    found = exceptions(state)
    if found:
        return Close(state="exceptions", exit=Exit.EXCEPTIONS, because=f"{len(found)} exception(s)")
    return Close(state="done", exit=Exit.DONE)


def stopped(stop: Stop, state: RunState, undo_failed: str, undone: bool) -> Close:
    """The walk was stopped and the run is to be closed."""
    if stop.reason == "rollback":
        if undo_failed:
            return Close(state="rollback_failed", exit=Exit.ROLLBACK_FAILED, because=undo_failed)
        return Close(
            state="rolled_back" if undone else "failed",
            exit=Exit.ROLLED_BACK if undone else Exit.STEP_FAILED,
            because=stop.because,
        )
    if stop.reason == "abort":
        return Close(state="aborted", exit=Exit.ABORTED, because=stop.because)
    if not state.intents and stop.reason in {"failed", "nothing_changed"}:
        return Close(state="nothing_changed", exit=Exit.NOTHING_CHANGED, because=stop.because)
    return Close(state="failed", exit=Exit.STEP_FAILED, because=stop.because)


def closed_event(close: Close, state: RunState) -> ev.RunClosed:
    """The last record."""
    return ev.RunClosed(state=close.state, exit=int(close.exit), because=close.because, exceptions=exceptions(state))
