"""How a run ends: its state, its exit code, and everything an auditor must look at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from drctl.core import events as ev
from drctl.core.fold import RunState, attained
from drctl.core.nouns import dataclass
from drctl.core.outcomes import Outcome
from drctl.engine.recorder import fitting
from drctl.engine.world import LOCAL
from drctl.errors import Exit

if TYPE_CHECKING:
    from drctl.engine.left import Left
    from drctl.engine.stops import Stop

MOST: Final = 60
LONGEST: Final = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Close:
    """What the last record will say."""

    state: str
    exit: Exit
    because: str = ""


def exceptions(state: RunState) -> tuple[str, ...]:
    """Words of people instead of outcomes, what was not put back, what is still in doubt, missed objectives."""
    found = [deviation.text for _, deviation in state.deviations]
    if state.opened is not None and state.opened.limit:
        found.append(_limited(state, state.opened.limit))
    found += partial(state)
    found += [f"{step.path}: in doubt, and nobody said what became of it" for step in state.in_doubt]
    figures = attained(state)
    if figures.rto is not None and figures.rto_met is None:
        found.append("objective not measured: RTO (service_restored was never set)")
    elif figures.rto is not None and figures.rta is not None and not figures.rto_met:
        found.append(f"objective missed: RTO {figures.rto.human()}, attained {figures.rta.human()}")
    if figures.rpo is not None and figures.rpa is not None and not figures.rpo_met:
        found.append(f"objective missed: RPO {figures.rpo.human()}, attained {figures.rpa.human()}")
    if figures.rpo is not None and figures.rpo_met is None:
        found.append("objective not measured: RPO (neither fault and recovery_point nor data_loss were set)")
    return tuple(found)


def _limited(state: RunState, limit: tuple[str, ...]) -> str:
    """What was left out, and what people did there by hand all the same."""
    units = [unit for step in state.steps.values() for unit in step.units if unit.started is not None]
    outside = sorted({unit.host for unit in units if unit.started and unit.started.key} - {*limit, LOCAL})
    but = f", but for what was done by hand on {', '.join(outside)}" if outside else ""
    return f"run under --limit {','.join(limit)}: on no other host anything was done{but}"


def partial(state: RunState) -> list[str]:
    """What ended in part: the innermost of them, with the hosts or rounds that failed."""
    paths = {path: block for path, block in state.blocks.items() if block.outcome is Outcome.PARTIAL}
    inner = [path for path in paths if not any(other.startswith(f"{path}/") for other in paths)]
    return [f"{path}: partial" + (f" ({paths[path].because})" if paths[path].because else "") for path in inner]


def done(state: RunState) -> Close:
    """The walk came to its end."""
    found = exceptions(state)
    if found:
        return Close(state="exceptions", exit=Exit.EXCEPTIONS, because=f"{len(found)} exception(s)")
    return Close(state="done", exit=Exit.DONE)


def stopped(stop: Stop, state: RunState, left: Left) -> Close:
    """The walk was stopped and the run is to be closed."""
    half = left.half_undone()
    if half:
        return Close(state="rollback_failed", exit=Exit.ROLLBACK_FAILED, because=f"{stop.because}; not undone: {half}")
    if stop.reason == "abort":
        return Close(state="aborted", exit=Exit.ABORTED, because=stop.because)
    if not state.intents:
        return Close(state="nothing_changed", exit=Exit.NOTHING_CHANGED, because=stop.because)
    if stop.reason != "rollback":
        return Close(state="failed", exit=Exit.STEP_FAILED, because=stop.because)
    cut = left.cut_by
    note = f"; nothing before {cut} was undone: from there the failback runbook leads home" if cut else ""
    if cut and not left.undid:
        return Close(state="failed", exit=Exit.STEP_FAILED, because=stop.because + note)
    return Close(state="rolled_back", exit=Exit.ROLLED_BACK, because=stop.because + note)


def closed_event(close: Close, state: RunState) -> ev.RunClosed:
    """The last record. It must fit into a line, whatever happened."""
    found = exceptions(state)
    shown = [fitting(text, LONGEST) for text in found[:MOST]]
    if len(found) > MOST:
        shown.append(f"and {len(found) - MOST} more: they stand in the record")
    return ev.RunClosed(state=close.state, exit=int(close.exit), because=close.because, exceptions=tuple(shown))
