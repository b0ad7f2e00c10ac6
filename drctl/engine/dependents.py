"""Which later steps go by the values of a step, and so lose them when it is left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from drctl.core.model import Step, inside
from drctl.engine.short import listed
from drctl.engine.uses import Use, uses_of_step

if TYPE_CHECKING:
    from collections.abc import Iterator

    from drctl.core.expressions import Expression
    from drctl.engine.context import Context

_HOW_IT_ENDED: Final = frozenset({"ok", "failed", "outcome", "started", "here"})
"""Names that a skipped step has too."""


def lost_by(context: Context, step: Step) -> str:
    """What leaving a step out costs, in one sentence: which later steps lose its values, and which marks stay unset."""
    document = context.outline.steps.get(step.origin or step.path, step)
    left_out = {inner.path for inner in _within(document)}
    lose, see = list[str](), list[str]()
    for other in context.outline.steps.values():
        if other.path in left_out or _ended(context, other):
            continue
        used = [path for path, _ in _used(context, other) if path in left_out]
        if used:
            values = any(path in left_out and value for path, value in _used(context, other))
            (lose if values else see).append(other.path)
    said = [f"these go by its values and lose them: {listed(lose)}"] if lose else []
    if see:
        said.append(f"these go by how it ended, and will see it as skipped: {listed(see)}")
    marks = [mark.name for inner in _within(document) for mark in inner.marks]
    if marks:
        said.append(f"not set by it then: {', '.join(marks)}")
    return "; ".join(said) or "no later step goes by its values"


def _used(context: Context, step: Step) -> Iterator[tuple[str, bool]]:
    """The steps it goes by, and whether a value of theirs or only how they ended."""
    uses = list(uses_of_step(step))
    shown = step.guards.approve.show if step.guards.approve is not None else ()
    uses += [_as_use(step, formula.expression) for formula in shown]
    for use in uses:
        for names in use.steps:
            found = context.outline.find(names[1], use.home)
            if found is not None:
                yield found.path, not set(names[2:3]) <= _HOW_IT_ENDED
    for name in step.guards.recheck:
        found = context.outline.find(name, step.home)
        if found is not None:
            yield found.path, False


def _as_use(step: Step, expression: Expression) -> Use:
    return Use(expression=expression, place=step.path, path=step.path, home=step.home, for_people=True)


def _within(step: Step) -> Iterator[Step]:
    yield step
    for inner in inside(step):
        yield from _within(inner)


def _ended(context: Context, step: Step) -> bool:
    block = context.state.blocks.get(step.path)
    ended = block is not None and block.outcome is not None
    return ended or context.state.step(step.path).own_final is not None
