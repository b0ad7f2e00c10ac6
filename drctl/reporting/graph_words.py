"""What a picture of a runbook says of a step: its kind, its place, its limits, its people, its ways back.

Taken from the document alone; nothing here is cleaned or cut, that is left to the pictures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from drctl.core.approvals import agreement
from drctl.core.model import (
    Action,
    Block,
    Check,
    Decide,
    Fence,
    Include,
    Loop,
    Manual,
    Repeat,
    RestoreNow,
    SetNames,
    Step,
    Wait,
    Way,
    WayKind,
)
from drctl.core.outcomes import Effect
from drctl.core.places import Count, On, PlaceKind, Selection
from drctl.core.scripts import Script
from drctl.core.written import Formula, Text
from drctl.reporting.texts import count, human

if TYPE_CHECKING:
    from drctl.core.model import Approve, Phase

_EFFECTS = {
    Effect.READ: "", Effect.IDEMPOTENT: "changes", Effect.ONCE: "CHANGES ONCE", Effect.IRREVERSIBLE: "IRREVERSIBLE",
}  # fmt: skip


def text_of(text: Text | None, language: str = "") -> str:
    """A text for people, its templates as written; empty when there is none."""
    return text.pick(language).text if text is not None else ""


def kind_of(step: Step) -> str:  # noqa: C901, PLR0911 - one for each body
    """What a step is, in a word or two."""
    match step.body:
        case Action(kind="shell", fields=fields) if isinstance(script := fields.get("run"), Script):
            return f"$ {script.source}"
        case Action(kind=kind):
            return kind
        case Block(parallel=parallel):
            return "parallel" if parallel else "steps"
        case Fence(lift=lift):
            return "fence.lift" if lift else "fence.host"
        case Include(file=file):
            return f"include {file}"
        case Decide():
            return "decide"
        case Manual():
            return "manual"
        case Check():
            return "check"
        case SetNames():
            return "set"
        case Wait():
            return "wait"
        case RestoreNow(steps=names):
            return f"restore {', '.join(names)}"


def place_of(on: On | None) -> str:
    """Where it runs; empty for the machine of drctl and for kinds without a place."""
    if on is None or on.kind is PlaceKind.LOCAL:
        return ""
    if on.selection is not None:
        return _selection(on.selection)
    return on.computed.text if on.computed is not None else on.name


def _selection(chosen: Selection) -> str:
    parts = [f"{word} {value}" for word, value in _chosen(chosen) if value]
    if chosen.take is not None:
        parts.append(f"first {chosen.take}")
    if chosen.batch is not None:
        parts.append(f"{_number(chosen.batch)} at a time")
    if chosen.canaries is not None:
        canaries = _number(chosen.canaries) if isinstance(chosen.canaries, Count) else chosen.canaries
        parts.append(f"canaries {canaries}")
    if chosen.soak is not None:
        parts.append(f"soak {human(chosen.soak)}")
    if chosen.max_failures is not None:
        parts.append(f"{_number(chosen.max_failures)} may fail")
    if chosen.all_or_none:
        parts.append("all or none")
    return ", ".join(parts) or "a selection"


def _chosen(chosen: Selection) -> tuple[tuple[str, str], ...]:
    return (
        ("group", chosen.group), ("site", chosen.site), ("role", chosen.role), ("hosts", _formula(chosen.hosts)),
        ("where", _formula(chosen.condition)), ("except", _formula(chosen.leave_out)),
    )  # fmt: skip


def _formula(formula: Formula | None) -> str:
    return formula.text if formula is not None else ""


def _number(number: Count) -> str:
    return f"{number.number}%" if number.percent else str(number.number)


def loop_of(loop: Loop) -> str:
    """How a loop repeats."""
    lists = ", ".join(
        f"{name} in {values.text if isinstance(values, Formula) else count(len(values), 'value')}"
        for name, values in loop.lists.items()
    )
    parts = [f"foreach {lists}"]
    if loop.at_once != 1:
        parts.append(f"{loop.at_once} at once")
    if loop.first_ok:
        parts.append("until the first is ok")
    if loop.max_failures:
        parts.append(f"{loop.max_failures} may fail")
    return ", ".join(parts)


def repeat_of(word: str, repeat: Repeat) -> str:
    """How a look is taken again (`until`) or an act done again (`retry`)."""
    parts = [f"{word} ok, every {human(repeat.every)}" if word == "until" else f"{word} every {human(repeat.every)}"]
    if repeat.in_a_row > 1:
        parts.append(f"{repeat.in_a_row} in a row")
    if repeat.within is not None:
        parts.append(f"within {human(repeat.within)}")
    if repeat.times is not None:
        parts.append(f"at most {count(repeat.times, 'time')}")
    return ", ".join(parts)


def approval_of(approve: Approve) -> str:
    """Who must agree."""
    within = f", within {human(approve.within)}" if approve.within is not None else ""
    return f"approval by {agreement(approve.by, approve.quorum)}{within}"


def way_of(word: str, way: Way) -> str:
    """A way back in a line; the steps of one that has steps are drawn apart."""
    if way.kind is WayKind.NONE:
        return f"no {word}: {way.why}"
    return f"{word} by the kind itself" if way.kind is WayKind.AUTO else f"{word} by {count(len(way.steps), 'step')}"


def guards_of(of: Step | Phase) -> list[str]:
    """What stands before it: people and looks."""
    guards = of.guards
    notes = [f"caution: {text_of(guards.caution)}"] if guards.caution is not None else []
    notes += [f"needs {approval_of(guards.approve)}"] if guards.approve is not None else []
    return notes + ([f"rechecks {', '.join(guards.recheck)}"] if guards.recheck else [])


def notes_of(step: Step) -> list[str]:
    """What is true of a step besides its kind and place, in the order of its life; `when` and loops are not in it."""
    notes = [f"unless {_named(step.unless)}"] if step.unless else []
    notes += guards_of(step)
    effect = _EFFECTS[step.effect]
    notes += [effect] if effect else []
    notes += ["POINT OF NO RETURN"] if step.ways.no_return else []
    notes += [f"verified by {_named(step.verify)}"] if step.verify else []
    for word, repeat in (("until", step.until), ("retry", step.retry)):
        notes += [repeat_of(word, repeat)] if repeat is not None else []
    notes += [f"expects {'; '.join(one.text for one in step.judgement.expect)}"] if step.judgement.expect else []
    notes += ["observed: the run goes on"] if step.judgement.observe else []
    tolerated = sorted(outcome.value for outcome in step.judgement.tolerate)
    notes += [f"tolerates {', '.join(tolerated)}"] if tolerated and not step.judgement.observe else []
    for word, way in (("undo", step.ways.undo), ("restore", step.ways.restore)):
        notes += [way_of(word, way)] if way is not None else []
    return notes + ([f"sets {', '.join(mark.name for mark in step.marks)}"] if step.marks else [])


def _named(steps: tuple[Step, ...]) -> str:
    return "; ".join(kind_of(step) for step in steps)
