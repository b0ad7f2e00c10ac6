"""What a step consists of in this run: the rounds of what repeats, as far as they are known, and what is inside.

The document says what there is to do; the journal says which rounds it became. Whoever asks about "every step" of a run
asks here, so that loops, tables and includes need no second way anywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from drctl.core.model import Action, AnyOf, Block, Fence, Frame, Include, Step, inside
from drctl.core.roster import Roster
from drctl.core.rounds import HOST, round_of
from drctl.engine.outputs import unpack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from drctl.engine.context import Context


def is_table(step: Step) -> bool:
    """Whether it is carried out once for each host of a selection."""
    return step.on is not None and step.on.many and isinstance(step.body, Action)


def is_rolling(step: Step) -> bool:
    """Whether it is carried out once for each batch of hosts."""
    return isinstance(step.body, Block) and step.body.rolling


def is_container(step: Step) -> bool:
    """Whether it has no unit of its own: blocks, fences, includes, and whatever repeats."""
    return isinstance(step.body, Block | Fence | Include) or step.loop is not None or is_table(step)


def is_group(step: Step) -> bool:
    """Whether it ends as the steps inside it end; a fence, which ends by its proof, is none."""
    return is_container(step) and not (isinstance(step.body, Fence) and step.loop is None)


def form_of(step: Step) -> str:  # noqa: PLR0911 - one for each form
    """The form of its `block_started`."""
    if step.loop is not None:
        return "loop"
    if is_table(step):
        return "table"
    match step.body:
        case Fence(lift=lift):
            return "lift" if lift else "fence"
        case Include():
            return "include"
        case Block(rolling=True):
            return "rolling"
        case Block(parallel=True):
            return "parallel"
        case _:
            return "batch" if step.frames and step.frames[-1].path == step.path and step.frames[-1].on else "steps"


def parts(context: Context, step: Step) -> tuple[Step, ...]:
    """The steps right inside: rounds where it repeats, else what it holds; a fence holds none with an end of its own.

    Rounds that are not known, because the list was never frozen, are not there.
    """
    if step.loop is not None or is_table(step) or is_rolling(step):
        frames = (*rounds(context, step, step.path), *_earlier(context, step))
        return tuple(_round(context, step, frame) for frame in frames)
    if isinstance(step.body, Fence):
        return ()
    return tuple(inside(step))


def _earlier(context: Context, step: Step) -> Iterator[Frame]:
    """Hosts on which an attempt before began and the newest does not."""
    for host in frozen_of(context, step.path).earlier if is_table(step) else ():
        path = f"{step.path}/{HOST}{host}"
        known = context.made.get(path)
        made = Frame(origin=step.origin or step.path, path=path, host=host)
        yield known.frames[-1] if known is not None and known.frames[-1] == made else made


def rounds(context: Context, step: Step, path: str) -> tuple[Frame, ...]:
    """The rounds that were frozen when a step at this address began."""
    block = context.state.blocks.get(path)
    if block is None or not block.frozen:
        return ()
    key = (path, block.started_seq, len(block.frozen))
    known = context.rounds.get(key)
    if known is None:
        known = context.rounds[key] = tuple(frozen_of(context, path).frames(step, path))
    return known


def frozen_of(context: Context, path: str) -> Roster:
    """What a container froze; empty when it has not begun, or froze nothing."""
    block = context.state.blocks.get(path)
    kept = block.frozen if block is not None else {}
    return Roster.of({name: unpack(value, context.store) for name, value in kept.items()})


def _round(context: Context, step: Step, frame: Frame) -> Step:
    known = context.made.get(frame.path)
    if known is None or known.frames[-1] is not frame:
        known = context.made[frame.path] = round_of(step, frame)
    return known


def carried(step: Step) -> Frame | None:
    """The batch whose hosts the step runs on, when the block around it carries them."""
    return next((one for one in reversed(step.frames) if one.hosts is not None and one.on == step.on), None)


def everything(context: Context) -> Iterator[Step]:
    """Every step of the run, rounds included, in the order written; methods and proofs of fences too."""
    for phase in context.runbook.phases:
        for top in phase.steps:
            yield from within(context, top)


def within(context: Context, step: Step) -> Iterator[Step]:
    """A step, and everything inside it."""
    yield step
    for inner in parts(context, step):
        yield from within(context, inner)
    if isinstance(step.body, Fence) and step.loop is None:
        yield from step.body.methods
        for look in step.body.proof:
            yield from look.looks if isinstance(look, AnyOf) else (look,)


def ending(context: Context, step: Step) -> Iterator[Step]:
    """The steps inside that have an end of their own; a fence is one of them, its methods and looks are not."""
    if is_group(step):
        for inner in parts(context, step):
            yield from ending(context, inner)
    else:
        yield step


def containers(context: Context, step: Step) -> Iterator[Step]:
    """Whatever is no unit of its own among a step and the steps inside it, outermost first."""
    return (one for one in within(context, step) if is_container(one))
