"""Adds to the rows of a plan what only the whole of it tells: which steps a row waits for, and the risks it carries.

It looks at nothing: the document and what the plan saw are enough.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from drctl.core.approvals import agreement
from drctl.core.kind import ActKind
from drctl.core.model import Action, Fence, Wait, WayKind, rungs
from drctl.core.nouns import replace
from drctl.core.plan import PlannedStep, Status
from drctl.core.values import Duration
from drctl.engine.scope import RunScope
from drctl.engine.uses import Use, uses_of_step

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from drctl.core.model import Guards, Step
    from drctl.core.written import Formula
    from drctl.engine.context import Context

_ROUNDS: Final = re.compile(r"/(?:@[^/]*|\d+|\?|\.\.\.)(?=/|$)")
_ROUND: Final = re.compile(r"/(?:@[^/]*|\d+|\?|\.\.\.)$")
_NO_WHY: Final = "no reason is given"


def annotated(rows: Iterable[PlannedStep], context: Context) -> tuple[PlannedStep, ...]:
    """The rows with `depends`, `no_return`, `no_undo` and `approvals`."""
    notes = _Notes(context)
    return tuple(notes.of(row) for row in rows)


def step_of(context: Context, path: str) -> Step | None:
    """The step of the document behind an address, also behind that of a round."""
    steps = context.outline.steps
    return steps.get(path) or steps.get(_ROUNDS.sub("", path))


def _approvals(guards: Guards) -> tuple[str, ...]:
    approve = guards.approve
    return (agreement(approve.by, approve.quorum),) if approve is not None else ()


def _use_of_phase(when: Formula, path: str, home: str) -> Use:
    return Use(expression=when.expression, place=f"when of {path}", path=path, home=home, decides=True)


class _Notes:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._phases = {
            top.path: (phase, home)
            for home, runbook in context.outline.runbooks.items() for phase in runbook.phases for top in phase.steps
        }  # fmt: skip
        self._guarded = {
            f"{home}/{phase.id}" if home else phase.id: (phase, home)
            for home, runbook in context.outline.runbooks.items() for phase in runbook.phases
        }  # fmt: skip
        self._marks = {mark.name: step for step in context.outline.steps.values() for mark in step.marks}

    def of(self, row: PlannedStep) -> PlannedStep:
        step = step_of(self._context, row.path)
        if row.status in {Status.DEPENDS, Status.CANNOT_TELL}:
            waits = dict.fromkeys(self._waits(row.path, step))
            row = replace(row, depends=tuple(waits or dict.fromkeys(self._names(step))))
        if row.kind == "phase" and row.path in self._guarded:
            return replace(row, approvals=_approvals(self._guarded[row.path][0].guards))
        if step is None:
            return row
        if isinstance(step.body, Wait) and row.takes is None and step.body.length is not None:
            row = replace(row, takes=self._length(step, step.body))
        if not step.acts or row.kind in {"notify", ""} or row.status is Status.WOULD_SKIP:
            return row
        row = replace(row, no_undo=self._no_undo(step))
        if _ROUND.search(row.path):
            return row  # its people and its point of no return stand at what repeats, once
        return replace(row, no_return=step.ways.no_return, approvals=_approvals(step.guards))

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
        around = (*self._context.outline.around.get(step.path, ()), step) if step is not None else ()
        for one in reversed(around):
            for use in uses_of_step(one):
                yield from self._of_use(use)
            if isinstance(one.body, Fence):
                for method in one.body.methods:
                    for use in uses_of_step(method):
                        yield from self._of_use(use)
            phase, home = self._phases.get(one.path, (None, ""))
            if phase is not None and phase.when is not None:
                yield from self._of_use(_use_of_phase(phase.when, phase.id, home))
        if step is not None and len(around) > 1 and any(rung is step for rung in rungs(around[-2])):
            yield around[-2].path  # a rung is taken only when that lasts
        guarded = self._guarded.get(path)
        if guarded is not None and guarded[0].when is not None:
            yield from self._of_use(_use_of_phase(guarded[0].when, path, guarded[1]))

    def _names(self, step: Step | None) -> Iterator[str]:
        """Whatever it uses, where all of that is over and yet something has no value."""
        around = (*self._context.outline.around.get(step.path, ()), step) if step is not None else ()
        for use in (use for one in reversed(around) for use in uses_of_step(one)):
            for path in use.expression.paths():
                found = self._context.outline.find(path.path[1], use.home) if path.path[0] == "steps" else None
                if found is not None and found.path != use.path:
                    yield found.path
                elif path.path[0] in {"inputs", "vars", "run"}:
                    yield ".".join(path.path[:2])

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
            return undo.why or _NO_WHY
        if (undo is not None and undo.kind is WayKind.STEPS) or not isinstance(step.body, Action):
            return ""
        kind = self._context.kinds[step.body.kind]
        return kind.NO_INVERSE if issubclass(kind, ActKind) else ""
