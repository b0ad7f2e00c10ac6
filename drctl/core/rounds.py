"""Rounds of what repeats: a step as it is carried out in one iteration, in one batch, or on one host.

A round is an ordinary step with an address of its own, `copy/3` or `restart/@web1`. So records, claims, questions,
retry and resume know nothing of loops: whatever holds for a step holds for each round of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from drctl.core.model import AnyOf, Block, Body, Fence, Frame, Guards, Include, Phase, Repeat, Step, Way, Ways
from drctl.core.nouns import replace
from drctl.core.places import On, PlaceKind

if TYPE_CHECKING:
    from collections.abc import Sequence

HOST: Final = "@"
"""Before the name of a host in an address."""


def step_name(path: str) -> str:
    """What people call a step who are told its host besides: `put` for `act/put/@web1`, `copy/3` for `act/copy/3`."""
    parts = path.split("/")
    while len(parts) > 1 and parts[-1].startswith(HOST):
        parts.pop()
    return "/".join(parts[-2:]) if parts[-1].isdigit() else parts[-1]


def round_of(step: Step, frame: Frame) -> Step:
    """One round of a step that repeats.

    What holds for all rounds together is taken off: the condition, people's guards, marks, and what makes it repeat.
    """
    here = On(kind=PlaceKind.HOST, name=frame.host, where=step.where) if frame.host else None
    once = replace(_Move(frame, step.on, here).step(step), when=None, guards=Guards(), marks=())
    if frame.host:
        return replace(once, loop=None)
    if frame.hosts is not None and isinstance(once.body, Block):
        body = replace(once.body, rolling=False)
        return replace(once, body=body, retry=None, until=None, timeout=None, ways=Ways())
    return replace(once, loop=None)


def inside_of(step: Step, frame: Frame) -> Step:
    """A step of the document as it stands in one round of what is around it."""
    return _Move(frame).step(step)


def seen_in(step: Step, frames: Sequence[Frame]) -> Step:
    """A step of the document as it stands in the rounds around a place, as far as they are around it too."""
    for frame in frames:
        if step.path.startswith(f"{frame.around}/"):
            step = inside_of(step, frame)
    return step


class _Move:
    """Moves addresses from what repeats to one round of it; on one host, what stood on the selection stands there."""

    def __init__(self, frame: Frame, selection: On | None = None, here: On | None = None) -> None:
        self._frame = frame
        self._selection = selection
        self._here = here

    def step(self, step: Step) -> Step:
        return replace(
            step,
            path=self._frame.moved(step.path),
            origin=step.origin or step.path,
            frames=(*step.frames, self._frame),
            on=self._here if self._here is not None and step.on == self._selection else step.on,
            body=self.body(step.body),
            unless=self.steps(step.unless),
            verify=self.steps(step.verify),
            until=self.repeat(step.until),
            retry=self.repeat(step.retry),
            ways=replace(step.ways, undo=self.way(step.ways.undo), restore=self.way(step.ways.restore)),
        )

    def steps(self, steps: Sequence[Step]) -> tuple[Step, ...]:
        return tuple(self.step(step) for step in steps)

    def body(self, body: Body) -> Body:
        match body:
            case Block():
                return replace(body, steps=self.steps(body.steps))
            case Fence():
                return replace(
                    body, methods=self.steps(body.methods), proof=tuple(self.proof(look) for look in body.proof)
                )
            case Include():
                phases = tuple(self.phase(phase) for phase in body.runbook.phases)
                return replace(body, runbook=replace(body.runbook, phases=phases))
            case _:
                return body

    def proof(self, look: Step | AnyOf) -> Step | AnyOf:
        return replace(look, looks=self.steps(look.looks)) if isinstance(look, AnyOf) else self.step(look)

    def phase(self, phase: Phase) -> Phase:
        return replace(phase, steps=self.steps(phase.steps))

    def repeat(self, repeat: Repeat | None) -> Repeat | None:
        if repeat is None or not repeat.escalate:
            return repeat
        rungs = tuple(replace(rung, steps=self.steps(rung.steps)) for rung in repeat.escalate)
        return replace(repeat, escalate=rungs)

    def way(self, way: Way | None) -> Way | None:
        return replace(way, steps=self.steps(way.steps)) if way is not None and way.steps else way
