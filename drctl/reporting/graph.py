"""A runbook as a tree of text: phases, blocks, branches, loops, includes, fences, guards and ways back.

Made from the document alone. The same for Mermaid is in `drctl.reporting.graph_mermaid`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from drctl.core.model import AnyOf, Block, Decide, Fence, Include
from drctl.core.nouns import dataclass
from drctl.reporting.graph_words import guards_of, kind_of, loop_of, notes_of, place_of, text_of
from drctl.reporting.texts import cut, human, last_name, one_line, width, wrap

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from drctl.core.model import Phase, Runbook, Step

DEEPEST: Final = 36
"""Cells that branches may take on the left; of deeper ones only the innermost are drawn."""
KIND: Final = 60
"""Cells of a kind in its step's line: a long script is cut there, `drctl plan` shows it whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Twig:
    """One line of the tree, what is said below it, and what hangs on it."""

    head: str
    notes: Sequence[str] = ()
    inside: Sequence[Twig] = ()


def graph_text(runbook: Runbook, language: str = "") -> str:
    """The tree of a runbook, in at most 80 columns."""
    title = text_of(runbook.title, language)
    lines = wrap(one_line(f"{runbook.name}  {title}".rstrip()), rest="  ")
    goals = [(word, goal) for word, goal in (("RTO", runbook.objectives.rto), ("RPO", runbook.objectives.rpo)) if goal]
    if goals:
        lines.append("  goal " + ", ".join(f"{word} {human(goal)}" for word, goal in goals))
    if runbook.inputs:
        lines += wrap(one_line(", ".join(spec.name for spec in runbook.inputs)), first="  asks for ")
    lines += _branches([phase_twig(phase, language) for phase in runbook.phases], "")
    return "\n".join(lines)


def phase_twig(phase: Phase, language: str) -> Twig:
    """A phase with its steps."""
    notes = [f"when {phase.when.text}"] if phase.when is not None else []
    title = text_of(phase.title, language)
    return Twig(
        head=f"PHASE {phase.id}" + (f"  {title}" if title else ""),
        notes=[*notes, *guards_of(phase)],
        inside=[_twig(step, language) for step in phase.steps],
    )


def _twig(step: Step, language: str) -> Twig:
    place = place_of(step.on)
    name = step.id or last_name(step.path)
    head = f"{name}  {cut(one_line(kind_of(step)), KIND)}" + (f"  on {place}" if place else "")
    title = text_of(step.title, language)
    notes = [title] if title and title != step.id else []
    notes += [f"when {step.when.text}"] if step.when is not None else []
    notes += [loop_of(step.loop)] if step.loop is not None else []
    return Twig(head=head, notes=[*notes, *notes_of(step)], inside=list(_inside(step, language)))


def _inside(step: Step, language: str) -> Iterator[Twig]:
    ladders = [repeat.escalate for repeat in (step.until, step.retry) if repeat is not None]
    yield from (_group(f"after {human(rung.after)}, once", rung.steps, language) for one in ladders for rung in one)
    yield from _held(step, language)
    for word, way in (("undo", step.ways.undo), ("restore", step.ways.restore)):
        if way is not None and way.steps:
            yield _group(word, way.steps, language)


def _held(step: Step, language: str) -> Iterator[Twig]:
    match step.body:
        case Block(steps=steps, parallel=parallel, at_once=at_once):
            if parallel and at_once is not None:
                yield Twig(head=f"({at_once} at a time)")
            yield from (_twig(one, language) for one in steps)
        case Include(runbook=runbook):
            yield from (phase_twig(phase, language) for phase in runbook.phases)
        case Fence(methods=methods, proof=proof):
            yield _group("methods, in order until it is proven", methods, language)
            yield Twig(head="proof, all of", inside=[_proof(look, language) for look in proof])
        case Decide(rules=rules, has_otherwise=has_otherwise, otherwise=otherwise):
            yield from (Twig(head=f"{rule.then}  if {rule.condition.text}") for rule in rules)
            if has_otherwise:
                yield Twig(head=f"{otherwise}  otherwise")
        case _:
            pass


def _proof(look: Step | AnyOf, language: str) -> Twig:
    return _group("any of", look.looks, language) if isinstance(look, AnyOf) else _twig(look, language)


def _group(head: str, steps: Sequence[Step], language: str) -> Twig:
    return Twig(head=head, inside=[_twig(step, language) for step in steps])


def _branches(twigs: Sequence[Twig], before: str) -> Iterator[str]:
    """The lines of twigs side by side; `before` is what the branches around them draw on the left."""
    for number, twig in enumerate(twigs):
        last = number == len(twigs) - 1
        under = before + ("   " if last else "│  ")
        yield from wrap(one_line(twig.head), first=_fit(before + ("└─ " if last else "├─ ")), rest=_fit(under) + "  ")
        stem = _fit(under + ("│  " if twig.inside else "   "))
        for note in twig.notes:
            yield from wrap(one_line(note), first=stem, rest=stem + "  ")
        yield from _branches(twig.inside, under)


def _fit(before: str) -> str:
    """The left side, so that it leaves room for words however deep they stand."""
    return before if width(before) <= DEEPEST else "… " + before[2 - DEEPEST :]
