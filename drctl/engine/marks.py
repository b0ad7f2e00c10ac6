"""Sets the clocks and figures of steps that became ok."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drctl.core import events as ev
from drctl.core.expressions import evaluate
from drctl.core.outcomes import Outcome
from drctl.core.values import Time, Unknown, Value, to_json
from drctl.engine.scope import RunScope, outputs_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drctl.core.fold import StepState
    from drctl.core.model import Step
    from drctl.core.written import Formula
    from drctl.engine.looks import Looks
    from drctl.engine.recorder import Recorder


class Marks:
    """The marks of one run."""

    def __init__(self, looks: Looks, recorder: Recorder) -> None:
        self._looks = looks
        self._recorder = recorder

    def set(self, step: Step) -> None:
        """Set a step's marks when it is ok; again after a crash in between, never twice for one end."""
        state = self._recorder.state
        ended, block = state.step(step.path), state.blocks.get(step.path)
        final = ended.own_final
        own = ended.own if final is not None else None
        end = own if own is not None else block
        if end is None or end.outcome is not Outcome.OK or end.finished_at is None:
            return
        at, seq = end.finished_at, end.finished_seq
        for mark in step.marks:
            if any(m.path == step.path and m.seq > seq for m in state.marks.get(mark.name, ())):
                continue
            self._recorder.write(ev.MarkSet(name=mark.name, value=self._value(step, mark.value, at), path=step.path))

    def _value(self, step: Step, formula: Formula | None, at: Time) -> Any:  # noqa: ANN401 - a value in tagged form
        if formula is None:
            return to_json(good_since(self._recorder.state.step(step.path), step) or at)
        scope = RunScope(context=self._looks.context, own=self._own(step)).at(step)
        value = evaluate(formula.expression, scope)
        return {"$unknown": str(value)} if isinstance(value, Unknown) else to_json(value)

    def _own(self, step: Step) -> Mapping[str, Value | Unknown]:
        final = self._recorder.state.step(step.path).own_final
        return outputs_of(final, self._looks.context.store) if final is not None else {}


def good_since(state: StepState, step: Step) -> Time | None:
    """With `in_a_row`, when the first look of the good row began; None for all other steps."""
    if step.until is None:
        return None
    began: Time | None = None
    own = [unit for unit in state.units if not unit.is_recheck]
    for unit in list(reversed(own))[: step.until.in_a_row]:
        if unit.outcome is not Outcome.OK or unit.started_at is None:
            break
        began = unit.started_at
    return began
