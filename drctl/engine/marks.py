"""Sets the clocks and figures of steps that became ok."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drctl.core import events as ev
from drctl.core.expressions import evaluate
from drctl.core.model import Formula, Outcome, Step
from drctl.core.values import Time, Unknown, Value, to_json
from drctl.engine.scope import RunScope, outputs_of

if TYPE_CHECKING:
    from collections.abc import Mapping

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
        ok = ended.outcome is Outcome.OK or (block is not None and block.outcome is Outcome.OK)
        at = ended.final_at or (block.finished_at if block is not None else None)
        if not ok or at is None:
            return
        for mark in step.marks:
            if any(m.path == step.path and m.at.micros >= at.micros for m in state.marks.get(mark.name, ())):
                continue
            value = self._value(step, mark.value, at)
            self._recorder.write(ev.MarkSet(name=mark.name, value=value, path=step.path))

    def _value(self, step: Step, formula: Formula | None, at: Time) -> Any:
        if formula is None:
            return to_json(self._looks.good_since.get(step.path, at))
        scope = RunScope(context=self._looks.context, own=self._own(step))
        value = evaluate(formula.expression, scope)
        return {"$unknown": str(value)} if isinstance(value, Unknown) else to_json(value)

    def _own(self, step: Step) -> Mapping[str, Value | Unknown]:
        final = self._recorder.state.step(step.path).final
        return outputs_of(final, self._looks.context.store) if final is not None else {}
