"""Adds to the rows of a plan what only the whole of it tells: which steps a row waits for, and the risks it carries.

It looks at nothing: the document and what the plan saw are enough.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from drctl.core.kind import ActKind
from drctl.core.model import Action, Fence, Wait, WayKind
from drctl.core.plan import PlannedStep, Status
from drctl.core.values import Duration
from drctl.engine.scope import RunScope
from drctl.engine.uses import uses_of, uses_of_step

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from drctl.core.model import Step
    from drctl.engine.context import Context
    from drctl.engine.uses import Use

_ROUNDS: Final = re.compile(r"/(?:@[^/]*|\d+)(?=/|$)")
_NO_DOCUMENT: Final = "nothing that is known of it says how"


def annotated(rows: Iterable[PlannedStep], context: Context) -> tuple[PlannedStep, ...]:
    """The rows with `depends`, `no_return`, `no_undo` and `approvals`."""
    notes = _Notes(context)
    return tuple(notes.of(row) for row in rows)


def step_of(context: Context, path: str) -> Step | None:
    """The step of the document behind an address, also behind that of a round."""
    steps = context.outline.steps
    return steps.get(path) or steps.get(_ROUNDS.sub("", path))


class _Notes:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._phases = {
            use.path: use for use in uses_of(context.runbook, ()) if use.path not in context.outline.steps
        }  # fmt: skip
        self._marks = {mark.name: step for step in context.outline.steps.values() for mark in step.marks}

    def of(self, row: PlannedStep) -> PlannedStep:
        step = step_of(self._context, row.path)
        if row.status in {Status.DEPENDS, Status.CANNOT_TELL}:
            row = replace(row, depends=tuple(dict.fromkeys(self._waits(row.path, step))))
        if step is None:
            return row
        if isinstance(step.body, Wait) and row.takes is None and step.body.length is not None:
            row = replace(row, takes=self._length(step, step.body))
        if not step.acts or row.kind in {"notify", ""} or row.status is Status.WOULD_SKIP:
            return row
        guards = step.guards.approve
        number = f"{guards.quorum} of " if guards is not None and guards.quorum > 1 else ""
        return replace(
            row, no_return=step.ways.no_return, no_undo=self._no_undo(step),
            approvals=(f"{number}{' or '.join(guards.by)}",) if guards is not None else (),
        )  # fmt: skip

    def _length(self, step: Step, body: Wait) -> Duration | None:
        assert body.length is not None  # noqa: S101 - the caller has looked
        found = body.length.resolve(RunScope(context=replace(self._context, planning=True)).at(step))
        if isinstance(found, Duration):
            return found
        try:
            return Duration.parse(found) if isinstance(found, str) else None
        except ValueError:
            return None

    # -- what it waits for ------------------------------------------------------------------------------------------

    def _waits(self, path: str, step: Step | None) -> Iterator[str]:
        """Steps whose values it needs and that have no end yet, its own first, then those of what is around it."""
        phase = self._phases.get(path.partition("/")[0])
        around = (*self._context.outline.around.get(step.path, ()), step) if step is not None else ()
        for one in reversed(around):
            for use in uses_of_step(one):
                yield from self._of_use(use)
            if isinstance(one.body, Fence):
                for method in one.body.methods:
                    for use in uses_of_step(method):
                        yield from self._of_use(use)
        if phase is not None:
            yield from self._of_use(phase)

    def _of_use(self, use: Use) -> Iterator[str]:
        for path in use.expression.paths():
            if path.path[0] == "steps" and len(path.path) > 1:
                found = self._context.outline.find(path.path[1], use.home)
                if found is not None and found.path != use.path and not self._is_over(found.path):
                    yield found.path
            elif path.path[0] == "marks" and len(path.path) > 1:
                mark = self._marks.get(path.path[1])
                if self._context.state.mark(path.path[1]) is None:
                    yield mark.path if mark is not None else f"marks.{path.path[1]}"  # one that no step sets

    def _is_over(self, path: str) -> bool:
        state = self._context.state
        block = state.blocks.get(path)
        return state.step(path).final is not None or (block is not None and block.outcome is not None)

    # -- risks --------------------------------------------------------------------------------------------------------

    def _no_undo(self, step: Step) -> str:
        """Why nothing takes this act back: nothing of its own, of its kind, or of a block around it."""
        around = self._context.outline.around.get(step.path, ())
        if any(one.ways.undo is not None and one.ways.undo.kind is WayKind.STEPS for one in around):
            return ""
        undo = step.ways.undo
        if undo is not None and undo.kind is WayKind.NONE:
            return undo.why or _NO_DOCUMENT
        if (undo is not None and undo.kind is WayKind.STEPS) or not isinstance(step.body, Action):
            return ""
        kind = self._context.kinds[step.body.kind]
        return kind.NO_INVERSE if issubclass(kind, ActKind) else ""
