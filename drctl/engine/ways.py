"""What an intent says about its ways back: which steps, and the earlier values their texts use, as they are now.

A look may be taken again before the way back runs; what it said at the intent is what is to be put back. So those
values are recorded with the intent. Names of the step itself are not: they are known only at its outcome.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from drctl.core.expressions import ANY_MEMBER, Expression, evaluate, parse
from drctl.core.model import Action, Block, Fence, FieldValue, Include, Listed, Mapped, Step, Wait, Way, WayKind
from drctl.core.scripts import Script
from drctl.core.templates import Template
from drctl.core.values import Unknown, Value
from drctl.core.written import Formula
from drctl.engine.outputs import pack, unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from drctl.core.kind import ActKind
    from drctl.engine.context import Context
    from drctl.engine.outputs import Store
    from drctl.engine.scope import RunScope

INLINE: Final = 8 * 1024
NO_INVERSE: Final = "a block has no inverse of its own"
_PINNED_ROOTS: Final = {"steps": 3, "marks": 2}


def way_of(step: Step, *, restore: bool) -> Way | None:
    """The way back as written; a `restore: auto` of a step whose `undo` has steps means those steps."""
    undo, back = step.ways.undo, step.ways.restore
    if not restore:
        return undo
    if back is not None and back.kind is WayKind.AUTO and undo is not None and undo.kind is WayKind.STEPS:
        return undo
    return back


def stands_for_all(step: Step, *, restore: bool) -> bool:
    """Whether its own way back takes the place of those inside it: that of a block, fence or include."""
    way = step.ways.restore if restore else step.ways.undo
    return way is not None and isinstance(step.body, Block | Fence | Include)


def owner_of(context: Context, step: Step, *, restore: bool) -> Step | None:
    """The outermost step around whose own way back takes the place of this one's; None when its own counts."""
    around = context.outline.around.get(step.origin or step.path, ())
    return next((one for one in around if stands_for_all(one, restore=restore)), None)


def recorded_way(
    step: Step, kind: ActKind, *, restore: bool, store: Store, mask: Callable[[str], str], place: RunScope
) -> dict[str, Any] | None:
    """A way back as the intent records it; None when there is none."""
    way = way_of(step, restore=restore)
    if way is None and restore:
        return None
    if way is not None and way.kind is WayKind.NONE:
        return {"none": way.why}
    by_steps = way is not None and way.kind is WayKind.STEPS
    if not by_steps and kind.NO_INVERSE:
        return {"none": kind.NO_INVERSE}
    steps = way.steps if way is not None and by_steps else (step,)
    packed = pack(_pins(step, steps, place), store, mask, inline=INLINE)
    found: dict[str, Any] = {"steps": [inner.path for inner in steps]} if by_steps else {"auto": {}}
    return found | ({"values": packed.tagged} if packed.tagged else {})


def pinned(way: Mapping[str, Any], store: Store) -> dict[str, Value | Unknown]:
    """The values that an intent recorded for a way back."""
    return {name: unpack(value, store) for name, value in way.get("values", {}).items()}


def _pins(step: Step, steps: Iterable[Step], place: RunScope) -> dict[str, Value]:
    """What those steps use of earlier ones; names of `step` itself are known only at its outcome."""
    found: dict[str, Value] = {}
    for inner in steps:
        for expression in _expressions(inner):
            for use in expression.paths():
                length = _PINNED_ROOTS.get(use.path[0], 0)
                length += length > 0 and len(use.path) > length and use.path[2:3] == ("here",)
                name = ".".join(use.path[:length])
                is_whole = length and len(use.path) >= length and ANY_MEMBER not in use.path[:length]
                if not is_whole or use.path[1] == step.id or name in found:
                    continue
                value = evaluate(parse(name), place)
                if not isinstance(value, Unknown):
                    found[name] = value
    return found


def _expressions(step: Step) -> Iterator[Expression]:
    """Every expression that decides what a step of a way back does."""
    if step.when is not None:
        yield step.when.expression
    if step.on is not None and step.on.computed is not None:
        yield from step.on.computed.expressions
    if step.as_user is not None:
        yield from step.as_user.expressions
    for line in step.judgement.expect:
        yield line.expression
    if isinstance(step.body, Action):
        for value in step.body.fields.values():
            yield from _of_field(value)
    elif isinstance(step.body, Wait):
        for template in (step.body.length, step.body.until):
            yield from template.expressions if template is not None else ()
    for look in (*step.unless, *step.verify):
        yield from _expressions(look)


def _of_field(value: FieldValue) -> Iterator[Expression]:
    match value:
        case Template() | Script():
            yield from value.expressions
        case Formula():
            yield value.expression
        case Mapped():
            for item in value.items.values():
                yield from _of_field(item)
        case Listed():
            for item in value.items:
                yield from _of_field(item)
        case _:
            pass
