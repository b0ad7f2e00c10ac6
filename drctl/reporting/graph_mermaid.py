"""A runbook as a Mermaid flowchart (the text form that wikis and code forges draw), made from the document alone.

Ids are numbers of ours and never words of the document. Of a label only letters, digits and a few harmless signs are
passed on as they are; every other sign becomes Mermaid's `#NN;`, so that no text can close a label, open a tag, begin a
directive or a comment, or end a subgraph.
"""

from __future__ import annotations

from dataclasses import field
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from drctl.core.model import AnyOf, Block, Decide, Fence, Include, Manual, WayKind
from drctl.core.nouns import dataclass
from drctl.reporting.graph_words import (
    approval_of,
    guards_of,
    kind_of,
    loop_of,
    notes_of,
    place_of,
    repeat_of,
    text_of,
)
from drctl.reporting.texts import cut, human, last_name, one_line, wrap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from drctl.core.model import Phase, Repeat, Runbook, Step

LONGEST: Final = 60
"""Cells of one line of a label, for a box as wide as a script hides the picture."""
MOST_LINES: Final = 3
"""Lines of one text in a label; what is longer is cut there."""
_HARMLESS: Final = frozenset(" _-,.()/=+!?")
_STYLES: Final = (
    "classDef act stroke-width:2px",
    "classDef noreturn stroke-width:4px,stroke:#b00020",
    "classDef person stroke-dasharray:4 2",
    "classDef back stroke-dasharray:2 3",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """A drawn stretch: where it is entered, and where it is left, each way out with the word on its arrow."""

    entry: str
    exits: tuple[tuple[str, str], ...]


@dataclass(slots=True, kw_only=True)
class _Drawing:
    """The lines so far. Arrows come last: an arrow that is named inside a subgraph would pull its ends into it."""

    language: str
    lines: list[str] = field(default_factory=list)
    arrows: list[str] = field(default_factory=list)
    classes: dict[str, list[str]] = field(default_factory=dict)
    number: int = 0
    depth: int = 1

    def id(self) -> str:
        """A new id."""
        self.number += 1
        return f"n{self.number}"

    def say(self, line: str) -> None:
        """Write one line at this depth."""
        self.lines.append("  " * self.depth + line)

    def node(self, label: str, shape: tuple[str, str] = ("[", "]"), style: str = "") -> str:
        """Draw a box."""
        name = self.id()
        self.say(f'{name}{shape[0]}"{label}"{shape[1]}')
        if style:
            self.classes.setdefault(style, []).append(name)
        return name

    def arrow(self, start: str, end: str, word: str = "", *, dotted: bool = False) -> None:
        """Draw an arrow."""
        label = f'|"{word}"|' if word else ""
        self.arrows.append(f"  {start} {'-.->' if dotted else '-->'}{label} {end}")

    def open(self, label: str) -> None:
        """Begin a frame around what is drawn next."""
        self.say(f'subgraph {self.id()} ["{label}"]')
        self.depth += 1

    def close(self) -> None:
        """End the frame."""
        self.depth -= 1
        self.say("end")

    def row(self, parts: Sequence[_Part]) -> _Part:
        """Join parts one after the other."""
        if not parts:
            name = self.node("nothing")
            return _Part(entry=name, exits=((name, ""),))
        for first, second in pairwise(parts):
            for start, word in first.exits:
                self.arrow(start, second.entry, word)
        return _Part(entry=parts[0].entry, exits=parts[-1].exits)


def escape(text: str) -> str:
    """One text of a label that Mermaid shows as it is, and can only show, broken into lines where it is long."""
    lines = wrap(one_line(text), cells=LONGEST)
    kept = [*lines[: MOST_LINES - 1], cut(" ".join(lines[MOST_LINES - 1 :]), LONGEST)]
    return "<br/>".join("".join(map(_sign, line)) for line in kept if line)


def _sign(c: str) -> str:
    return c if c.isalnum() or not c.isascii() or c in _HARMLESS else f"#{ord(c)};"


def label(*texts: str) -> str:
    """A label of several texts; empty ones are left out."""
    return "<br/>".join(escape(text) for text in texts if text.strip())


def graph_mermaid(runbook: Runbook, language: str = "") -> str:
    """The flowchart of a runbook."""
    drawing = _Drawing(language=language)
    start = drawing.node(label(runbook.name, text_of(runbook.title, language)), ("([", "])"))
    phases = [_phase(drawing, phase) for phase in runbook.phases]
    end = drawing.node("done", ("([", "])"))
    drawing.row([_Part(entry=start, exits=((start, ""),)), *phases, _Part(entry=end, exits=())])
    styles = [f"  {style}" for style in _STYLES if style.split()[1] in drawing.classes]
    used = [f"  class {','.join(names)} {style}" for style, names in drawing.classes.items()]
    return "\n".join(["flowchart TD", *drawing.lines, *drawing.arrows, *styles, *used])


def _phase(drawing: _Drawing, phase: Phase) -> _Part:
    drawing.open(label(f"PHASE {phase.id}", text_of(phase.title, drawing.language), *guards_of(phase)))
    asked = _question(drawing, phase.when.text) if phase.when is not None else None
    body = drawing.row([_step(drawing, step) for step in phase.steps])
    drawing.close()
    return _asked(drawing, asked, body)


def _question(drawing: _Drawing, condition: str) -> str:
    return drawing.node(label(f"when {condition}"), ("{", "}"))


def _asked(drawing: _Drawing, question: str | None, body: _Part) -> _Part:
    """A stretch behind its condition: a false one leads around it."""
    if question is None:
        return body
    drawing.arrow(question, body.entry, "yes")
    return _Part(entry=question, exits=(*body.exits, (question, "no")))


def _step(drawing: _Drawing, step: Step) -> _Part:
    """A step with all that stands around it: condition, loop, approval, repetition, ways back."""
    asked = _question(drawing, step.when.text) if step.when is not None else None
    if step.loop is not None:
        drawing.open(label(loop_of(step.loop)))
    approval = None
    if step.guards.approve is not None:
        approval = drawing.node(label(approval_of(step.guards.approve)), ("[/", "/]"), "person")
    body = _body(drawing, step)
    _again(drawing, step, body)
    _ways(drawing, step, body)
    if approval is not None:
        body = drawing.row([_Part(entry=approval, exits=((approval, ""),)), body])
    if step.loop is not None:
        drawing.close()
        for name, _ in body.exits:
            drawing.arrow(name, body.entry, "next", dotted=True)
    return _asked(drawing, asked, body)


def _words(drawing: _Drawing, step: Step) -> str:
    place = place_of(step.on)
    title = text_of(step.title, drawing.language)
    notes = [note for note in notes_of(step) if not note.startswith("needs approval")]
    head = f"step {step.id}" if step.id else last_name(step.path)
    return label(head, title if title != step.id else "", kind_of(step), f"on {place}" if place else "", *notes)


def _body(drawing: _Drawing, step: Step) -> _Part:
    match step.body:
        case Block(steps=steps, parallel=False):
            return _framed(drawing, step, steps)
        case Block(steps=steps, at_once=at_once):
            return _branches(drawing, step, steps, at_once)
        case Include(runbook=runbook):
            drawing.open(_words(drawing, step))
            part = drawing.row([_phase(drawing, phase) for phase in runbook.phases])
            drawing.close()
            return part
        case Fence(methods=methods, proof=proof):
            return _fence(drawing, step, methods, proof)
        case _:
            return _plain(drawing, step)


def _plain(drawing: _Drawing, step: Step) -> _Part:
    shape, style = ("[", "]"), "act"
    if isinstance(step.body, Manual):
        shape, style = ("[/", "/]"), "person"
    elif isinstance(step.body, Decide):
        shape, style = ("{{", "}}"), ""
    elif not step.acts:
        shape, style = ("(", ")"), ""
    name = drawing.node(_words(drawing, step), shape, "noreturn" if step.ways.no_return else style)
    return _Part(entry=name, exits=((name, ""),))


def _framed(drawing: _Drawing, step: Step, steps: Sequence[Step]) -> _Part:
    drawing.open(_words(drawing, step))
    part = drawing.row([_step(drawing, one) for one in steps])
    drawing.close()
    return part


def _branches(drawing: _Drawing, step: Step, steps: Sequence[Step], at_once: int | None) -> _Part:
    drawing.open(_words(drawing, step))
    together = f"{at_once} at a time" if at_once is not None else "all at once"
    part = _side_by_side(drawing, steps, (together, "all over"))
    drawing.close()
    return part


def _side_by_side(drawing: _Drawing, steps: Sequence[Step], ends: tuple[str, str]) -> _Part:
    fork = drawing.node(ends[0], ("([", "])"))
    parts = [_step(drawing, one) for one in steps]
    join = drawing.node(ends[1], ("([", "])"))
    for part in parts:
        drawing.arrow(fork, part.entry)
        for name, word in part.exits:
            drawing.arrow(name, join, word)
    return _Part(entry=fork, exits=((join, ""),))


def _fence(drawing: _Drawing, step: Step, methods: Sequence[Step], proof: Sequence[Step | AnyOf]) -> _Part:
    """Methods in order; each leads to the proof, which alone decides."""
    drawing.open(_words(drawing, step))
    tried = [_step(drawing, method) for method in methods]
    drawing.open("proof, all of")
    looks = [_proof(drawing, look) for look in proof]
    drawing.close()
    drawing.close()
    seen = drawing.row(looks)
    for first, second in pairwise(tried):
        for start, _ in first.exits:
            drawing.arrow(start, second.entry, "not proven")
    for part in tried:
        for start, _ in part.exits:
            drawing.arrow(start, seen.entry, "look", dotted=True)
    return _Part(entry=tried[0].entry if tried else seen.entry, exits=tuple((name, "proven") for name, _ in seen.exits))


def _proof(drawing: _Drawing, look: Step | AnyOf) -> _Part:
    if not isinstance(look, AnyOf):
        return _step(drawing, look)
    drawing.open("any of")
    part = _side_by_side(drawing, look.looks, ("any of", "one is ok"))
    drawing.close()
    return part


def _again(drawing: _Drawing, step: Step, body: _Part) -> None:
    """Arrows back to the start of what is looked at or done again, and the ladder between attempts."""
    for word, repeat in (("until", step.until), ("retry", step.retry)):
        if repeat is None:
            continue
        for name, _ in body.exits:
            drawing.arrow(name, body.entry, escape(repeat_of(word, repeat)), dotted=True)
        _ladder(drawing, repeat, body)


def _ladder(drawing: _Drawing, repeat: Repeat, body: _Part) -> None:
    for rung in repeat.escalate:
        drawing.open(label(f"after {human(rung.after)}, once"))
        part = drawing.row([_step(drawing, one) for one in rung.steps])
        drawing.close()
        for name, _ in body.exits:
            drawing.arrow(name, part.entry, escape(f"after {human(rung.after)}"), dotted=True)
        for name, _ in part.exits:
            drawing.arrow(name, body.entry, "again", dotted=True)


def _ways(drawing: _Drawing, step: Step, body: _Part) -> None:
    """The steps of the ways back, beside the step; those without steps stand in its label."""
    for word, way in (("undo", step.ways.undo), ("restore", step.ways.restore)):
        if way is None or way.kind is not WayKind.STEPS:
            continue
        drawing.open(label(f"{word} of {step.id or last_name(step.path)}"))
        names = [drawing.node(_words(drawing, one), style="back") for one in way.steps]
        drawing.close()
        row = drawing.row([_Part(entry=name, exits=((name, ""),)) for name in names])
        for name, _ in body.exits:
            drawing.arrow(name, row.entry, word, dotted=True)
