"""Adds to the rows of a plan what only the whole of it tells: which steps a row waits for, and the risks it carries.

It looks at nothing: the document and what the plan saw are enough.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from drctl.core.approvals import agreement
from drctl.core.kind import ActKind
from drctl.core.model import Action, Fence, Phase, Step, Wait, WayKind, rungs
from drctl.core.nouns import dataclass, replace
from drctl.core.plan import PlannedStep, Status
from drctl.core.rounds import seen_in
from drctl.core.values import Duration
from drctl.engine.parts import is_container
from drctl.engine.scope import RunScope
from drctl.engine.uses import Use, uses_of_step
from drctl.engine.ways import NO_INVERSE, owner_of, stands_for_all

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from drctl.core.model import Guards
    from drctl.core.written import Formula
    from drctl.engine.context import Context

_NO_WHY: Final = "no reason is given"


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A row with what it was made from: the step as it stands in its round, or a phase and the file it stands in."""

    row: PlannedStep
    of: Step | Phase
    home: str = ""


def annotated(made: Iterable[Made], context: Context) -> tuple[PlannedStep, ...]:
    """The rows with `depends`, `no_return`, `no_undo` and `approvals`."""
    notes = _Notes(context)
    return tuple(notes.phase(one, one.of) if isinstance(one.of, Phase) else notes.of(one.row, one.of) for one in made)


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
        self._marks = {mark.name: step for step in context.outline.steps.values() for mark in step.marks}

    def phase(self, made: Made, phase: Phase) -> PlannedStep:
        """The row of a phase."""
        row = replace(made.row, approvals=_approvals(phase.guards))
        if row.status is not Status.DEPENDS:
            return row
        include = self._context.outline.steps.get(made.home)
        uses = [_use_of_phase(phase.when, row.path, made.home)] if phase.when is not None else []
        own = [path for use in uses for path in self._of_use(use, include)]
        return replace(
            row, depends=tuple(dict.fromkeys([*own, *(self._waits(include) if include is not None else ())]))
        )

    def of(self, row: PlannedStep, step: Step) -> PlannedStep:
        """The row of a step, a block, or a round."""
        if row.status in {Status.DEPENDS, Status.CANNOT_TELL}:
            waits = dict.fromkeys(self._waits(step))
            row = replace(row, depends=tuple(waits or dict.fromkeys(self._names(step))))
        if isinstance(step.body, Wait) and row.takes is None and step.body.length is not None:
            row = replace(row, takes=self._length(step, step.body))
        if not step.acts or row.kind in {"notify", ""} or row.status is Status.WOULD_SKIP:
            return row
        row = replace(row, no_undo=self._no_undo(step), approvals=_approvals(step.guards))
        is_round = bool(step.frames) and step.frames[-1].path == step.path
        return row if is_round else replace(row, no_return=step.ways.no_return)  # it stands at what repeats, once

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

    def _around(self, step: Step) -> tuple[Step, ...]:
        """The steps of the document around it, and its own, from the inside out."""
        outline, origin = self._context.outline, step.origin or step.path
        own = outline.steps.get(origin)
        return (*((own,) if own is not None else ()), *reversed(outline.around.get(origin, ())))

    def _waits(self, step: Step) -> Iterator[str]:
        """Steps whose values it needs and that have no end yet, its own first, then those of what is around it."""
        around = self._around(step)
        for one in around:
            methods = one.body.methods if isinstance(one.body, Fence) else ()
            for use in (use for each in (one, *methods) for use in uses_of_step(each)):
                yield from self._of_use(use, step)
            phase, home = self._phases.get(one.path, (None, ""))
            if phase is not None and phase.when is not None:
                yield from self._of_use(_use_of_phase(phase.when, phase.id, home), step)
        if len(around) > 1 and any(rung is around[0] for rung in rungs(around[1])):
            yield around[1].path  # a rung is taken only when that lasts

    def _names(self, step: Step) -> Iterator[str]:
        """Whatever it uses, where all of that is over and yet something has no value."""
        for use in (use for one in self._around(step) for use in uses_of_step(one)):
            for path in use.expression.paths():
                found = self._context.outline.find(path.path[1], use.home) if path.path[0] == "steps" else None
                if found is not None and found.path != use.path:
                    yield found.path
                elif path.path[0] in {"inputs", "vars", "run"}:
                    yield ".".join(path.path[:2])

    def _of_use(self, use: Use, step: Step | None) -> Iterator[str]:
        frames = step.frames if step is not None else ()
        for path in use.expression.paths():
            if path.path[0] == "steps" and len(path.path) > 1:
                found = self._context.outline.find(path.path[1], use.home)
                if found is not None and found.path != use.path and not self._is_over(seen_in(found, frames).path):
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
        """Why nothing takes this back: by its own word, that of its kind, or of the block whose way back counts."""
        owner = owner_of(self._context, step, restore=False)
        if owner is not None:
            why = _none(owner)
            return f"{why}, says {owner.id} around it" if why else ""
        if stands_for_all(step, restore=False) and step.loop is None:
            return _none(step)
        if not isinstance(step.body, Action) or is_container(step):
            return ""
        if step.ways.undo is not None and step.ways.undo.kind is not WayKind.AUTO:
            return _none(step)
        kind = self._context.kinds[step.body.kind]
        return kind.NO_INVERSE if issubclass(kind, ActKind) else ""


def _none(step: Step) -> str:
    """Why a stated `undo` takes nothing back; empty when it does."""
    undo = step.ways.undo
    if undo is None or undo.kind is WayKind.STEPS:
        return ""
    return NO_INVERSE if undo.kind is WayKind.AUTO else undo.why or _NO_WHY
