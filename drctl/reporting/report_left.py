"""What a run left that is not as it was, or that nobody knows: which step, where, what remains, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drctl.core.outcomes import Outcome
from drctl.reporting.facts import question_word, step_facts
from drctl.reporting.report_model import LeftRow
from drctl.reporting.texts import clean, one_line

if TYPE_CHECKING:
    from drctl.core.fold import RunState, StepState

_LEFT = frozenset({"not restored", "not undone"})


def left_over(state: RunState) -> tuple[LeftRow, ...]:
    """Not undone, not restored, fenced, in doubt, still owed by an open run."""
    rows = [_row(state, d.path, d.host, d.what, d.because) for _, d in state.deviations if d.what in _LEFT]
    named = {row.path for row in rows if row.what == "not undone"}
    rows += [
        _row(state, path, host, "fenced", f"{host} stays fenced until people lift it, with fence.lift")
        for host, path in state.fenced.items()
        if path not in named
    ]
    rows += [_row(state, step.path, "", "in doubt", "nobody has said what became of it") for step in state.in_doubt]
    if state.closed is None:
        rows += _owed(state)
    return tuple(rows)


def _owed(state: RunState) -> list[LeftRow]:
    rows = []
    for step in state.steps.values():
        started = next((u.started for u in reversed(step.units) if u.started is not None), None)
        over = state.blocks.get(f"{step.path}/restore")
        if started is not None and started.restore is not None and (over is None or over.outcome is None):
            rows.append(_row(state, step.path, started.host, "restore owed", "the run is open"))
    for question in state.open_questions:
        asked = question.asked
        rows.append(_row(state, asked.path, "", question_word(asked.kind).lower(), asked.id))
    return rows


def _row(state: RunState, path: str, host: str, what: str, because: str) -> LeftRow:
    step, block = state.step(path), state.blocks.get(path)
    title = step_facts(step).title if step.units else block.title if block is not None else ""
    return LeftRow(
        path=clean(path), host=clean("" if host == "local" else host), what=what, remains=one_line(title),
        because=one_line(because), sure=what != "not undone" or _sure(step),
    )  # fmt: skip


def _sure(step: StepState) -> bool:
    """Whether a step's own end says that its effect is there; of a block nothing else is known."""
    ends = [unit.finished for unit in step.effects]
    return not step.units or any(
        end is not None and (end.effect_there or end.outcome == Outcome.OK.value) for end in ends
    )
