"""Warnings that need the whole flow: promoting without a fence, a change nobody looks at, approvers that do not count.

W008 has few false alarms on purpose. It is told only of a runbook with `objectives`, and only of an act after which
nothing at all could show that it worked: no `verify` or `expect` of its own, no kind that verifies by itself, and later
in the runbook no look on the same host, no request or connect from outside, no person who is asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from drctl.core.inventory import Environment
from drctl.core.kind import ActKind
from drctl.core.model import Action, Block, Fence, Include, Manual
from drctl.core.outcomes import Effect

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from drctl.core.inventory import Inventory
    from drctl.core.kind import Kind
    from drctl.core.model import Runbook, Step
    from drctl.loading.codes import Problems

_OUTSIDE: Final = frozenset({"http.check", "tcp.check", "ping.check"})


def warn_of_flow(
    runbook: Runbook, kinds: Mapping[str, type[Kind]], inventory: Inventory | None, problems: Problems
) -> None:
    """Warn of what only the whole flow shows."""
    steps = list(runbook.steps())
    _fences(runbook, kinds, problems)
    if runbook.objectives.rto is not None or runbook.objectives.rpo is not None:
        _unseen(steps, kinds, problems)
    if inventory is not None and inventory.environment is not Environment.LAB:
        _simulated(steps, inventory, problems)


def _fences(runbook: Runbook, kinds: Mapping[str, type[Kind]], problems: Problems) -> None:
    fenced = False
    for phase in runbook.phases:
        for step in phase.steps:
            fenced = _fenced(step, kinds, problems, fenced=fenced)


def _fenced(step: Step, kinds: Mapping[str, type[Kind]], problems: Problems, *, fenced: bool) -> bool:
    """Whether a fence stands before what follows; branches of a parallel block do not see each other's."""
    match step.body:
        case Fence(lift=False):
            return True
        case Action(kind=name):
            kind = kinds.get(name)
            if kind is not None and issubclass(kind, ActKind) and kind.REQUIRES_FENCE and not fenced:
                hint = "put a step `do: fence.host` for the old one before it; the run refuses to promote without"
                problems.warn("W010", step.where, f"step {step.id} promotes, and no fence.host stands before it", hint)
        case Block(steps=steps, parallel=True):
            found = [_fenced(inner, kinds, problems, fenced=fenced) for inner in steps]  # every branch is judged
            return fenced or any(found)
        case Block(steps=steps):
            for inner in steps:
                fenced = _fenced(inner, kinds, problems, fenced=fenced)
        case Include(runbook=included):
            for phase in included.phases:
                for inner in phase.steps:
                    fenced = _fenced(inner, kinds, problems, fenced=fenced)
        case _:
            pass
    return fenced


def _unseen(steps: Sequence[Step], kinds: Mapping[str, type[Kind]], problems: Problems) -> None:
    places: set[object] = set()  # where a later look is taken
    anything = False  # a later look that shows the whole from outside, or a person
    for step in reversed(steps):
        body = step.body
        if isinstance(body, Action) and step.effect is not Effect.READ:
            if not (anything or _place(step) in places or _shows_itself(step, kinds)):
                hint = "give it a `verify` or an `expect`, or a look afterwards: http.check, or one on its host"
                problems.warn("W008", step.where, f"nothing looks whether the change of step {step.id} worked", hint)
            if step.verify or step.judgement.expect:
                places.add(_place(step))
        elif isinstance(body, Manual):
            anything = True
        elif isinstance(body, Action) and not step.judgement.tolerate:
            anything = anything or body.kind in _OUTSIDE
            places.add(_place(step))


def _shows_itself(step: Step, kinds: Mapping[str, type[Kind]]) -> bool:
    body = step.body
    kind = kinds.get(body.kind) if isinstance(body, Action) else None
    verifies = kind is not None and issubclass(kind, ActKind) and kind.VERIFIES and kind.EFFECT is not None
    told = step.touches_nothing or (isinstance(body, Action) and body.kind == "notify")
    return bool(step.verify or step.judgement.expect or verifies or told)


def _place(step: Step) -> object:
    """Where a step runs, in a form that compares."""
    on = step.on
    if on is None:
        return None
    return on.name or (on.selection.group if on.selection is not None else "") or on.where


def _simulated(steps: Sequence[Step], inventory: Inventory, problems: Problems) -> None:
    for step in steps:
        asked: list[tuple[tuple[str, ...], int, str]] = []
        if step.guards.approve is not None:
            asked.append((step.guards.approve.by, step.guards.approve.quorum, "approval"))
        if isinstance(step.body, Manual):
            asked.append((step.body.by, 1, "answer"))
        for roles, count, what in asked:
            if not roles or not all(role in inventory.roles for role in roles):
                continue
            people = {
                name for role in roles for name in inventory.roles[role]
                if name in inventory.people and not inventory.people[name].simulated
            }  # fmt: skip
            if len(people) < count:
                named = f"step {step.id} needs the {what} of {count} of {', '.join(roles)}"
                summary = f"{named}, and {len(people)} of them are real people"
                hint = "give the role to people in the inventory; simulated ones count in a lab and in drills only"
                problems.warn("W009", step.where, summary, hint)
