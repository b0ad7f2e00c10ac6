"""Warnings: what is allowed and often not what was meant."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from drctl.core.expressions.tree import Call, Not, Tree, children, path_uses, static_path
from drctl.core.model import Action, Decide, SetNames, Step
from drctl.core.outcomes import Outcome
from drctl.core.scripts import Script
from drctl.loading.codes import MOST_SHOWN
from drctl.loading.results import COMMON, WORDS
from drctl.loading.variables import Standing, expressions_of

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Mapping

    from drctl.core.diagnostics import Where
    from drctl.core.model import Runbook
    from drctl.core.written import Formula
    from drctl.loading.names import Names
    from drctl.loading.shapes import Reading

_FIELD: Final = 3
_ALWAYS: Final = frozenset(COMMON) - {"started_at", "finished_at", "elapsed", "because"}
_QUOTED: Final = re.compile(r"'[^']*'|\"(?:[^\"\\]|\\.)*\"|\\.|(?:^|(?<=\s))#[^\n]*")
_PIPE: Final = re.compile(r"(?<![|>])\|(?!\|)")


class Lint:
    """Warns of what is allowed and often not meant."""

    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        self.partial: dict[str, str] = {}

    def inputs(self, runbook: Runbook, asked: Container[str]) -> None:
        """Inputs that nothing reads: somebody would be asked for them in the worst moment, and for nothing."""
        for spec in runbook.inputs if not self.reading.problems.failed else ():  # a refused step may read them
            if spec.name not in asked:
                summary = f"nothing reads the input {spec.name}"
                self.reading.problems.warn("W011", spec.where, summary, f"take it out, or use inputs.{spec.name}")

    def condition(self, formula: Formula | None, names: Names, guards: Mapping[str, str]) -> None:
        """A `when`: it stands under the conditions around it, not under itself."""
        if formula is not None:
            self.formula(formula)
            for one in expressions_of(formula):
                self.skipped(one, names, guards, formula.where)

    def formula(self, formula: Formula) -> None:
        """Any condition."""
        for path, offset in _not_ok(formula.expression.tree):
            place = self.reading.texts.place(formula.expression, offset, formula.where)
            summary = f"not {'.'.join(path)} is true of a skipped step too"
            self.reading.problems.warn(
                "W002", place, summary, f"write {'.'.join(path[:-1])}.failed when you mean failure"
            )

    def step(self, step: Step, names: Names, guards: Mapping[str, str]) -> None:
        """A step that is no block."""
        under = dict(guards)
        if step.when is not None:
            under |= {
                use.path[1]: "" for use in step.when.expression.paths() if use.path[0] == "steps" and use.path[1:]
            }
        for one in self.needed(step):
            self.skipped(one, names, under, step.where)
        if isinstance(step.body, Decide):
            for rule in step.body.rules:
                self.formula(rule.condition)
        self.pipe(step)
        for figure in step.guards.approve.show if step.guards.approve is not None else ():
            path = figure.expression.path()
            shown = names.seen.get(path[1]) if path and path[0] == "steps" and len(path) > 1 else None
            if shown is not None and isinstance(shown.step.body, Action) and not shown.step.judgement.expect:
                place = self.reading.texts.place(figure.expression, 0, figure.where)
                summary = f"step {shown.step.id} has no `expect`: the figure shown has no limit"
                self.reading.problems.warn("W004", place, summary, "give the look an `expect` with the limit")

    def failed_hosts(self, step: Step) -> None:
        """An act on a group after a step that lets hosts of it fail: it touches those too."""
        chosen = step.on.selection if step.on is not None else None
        if chosen is None or not chosen.group or not step.acts:
            return
        before = self.partial.get(chosen.group)
        if before is not None and chosen.condition is None and chosen.hosts is None and step.on is not None:
            summary = f"hosts of {chosen.group} may have failed in step {before}, and this acts on them too"
            self.reading.problems.warn("W006", step.on.where, summary, f'write where: "steps.{before}.here.ok"')
        if chosen.max_failures is not None or step.judgement.tolerate - {Outcome.EMPTY}:
            self.partial[chosen.group] = step.id

    def needed(self, step: Step) -> Iterator[Standing]:
        """What the step needs a value of to go on."""
        match step.body:
            case Action(fields=values):
                yield from (one for value in values.values() for one in expressions_of(value))
            case SetNames(values=templates):
                yield from (one for template in templates.values() for one in expressions_of(template))
            case Decide(rules=rules):
                yield from (one for rule in rules for one in expressions_of(rule.condition))
            case _:
                pass
        yield from (one for formula in step.judgement.expect for one in expressions_of(formula))

    def skipped(self, one: Standing, names: Names, guards: Mapping[str, str], where: Where) -> None:
        """Values of steps that may be skipped where this reader is not."""
        if len(self.reading.problems.warnings) >= MOST_SHOWN:
            return
        held = set(guards.values())
        for path, offset in _needed(one.expression.tree):
            if len(path) < _FIELD or path[0] != "steps" or path[1] in guards:
                continue
            if path[2] in _ALWAYS or (path[2] in WORDS and path[-1] in _ALWAYS):
                continue
            found = names.seen.get(path[1])
            if found is None or all(key in guards or text in held for key, text in found.guards.items()):
                continue
            place = self.reading.texts.place(one.text, one.inner + offset, where)
            hint = f"write default(steps.{path[1]}.{path[2]}, ...), or give this step the same `when`"
            self.reading.problems.warn(
                "W005", place, f"step {path[1]} may be skipped, and then this has no value", hint
            )

    def pipe(self, step: Step) -> None:
        """A pipe in an act: only its last command is judged."""
        script = step.body.fields.get("run") if isinstance(step.body, Action) and step.body.kind == "shell" else None
        if not isinstance(script, Script) or not step.acts:
            return
        blank = _QUOTED.sub(lambda found: " " * len(found[0]), script.source)
        found = _PIPE.search(blank)
        if found and "case " not in blank:
            place = self.reading.texts.place(script, found.start(), step.where)
            hint = "write the first command's output to a file, and read that"
            self.reading.problems.warn("W003", place, "of a pipe only the last command's exit code counts", hint)


def _not_ok(tree: Tree) -> Iterator[tuple[tuple[str, ...], int]]:
    if isinstance(tree, Not):
        path = static_path(tree.operand)
        if path is not None and path[0] == "steps" and (path[2:] == ("ok",) or path[2:] == ("here", "ok")):
            yield path, tree.offset
    for part in children(tree):
        yield from _not_ok(part)


def _needed(tree: Tree) -> Iterator[tuple[tuple[str, ...], int]]:
    """Paths whose value is needed: those under known() and default() answer for themselves."""
    if isinstance(tree, Call) and tree.function in {"known", "default"}:
        for argument in tree.arguments[1:]:
            yield from _needed(argument)
        return
    if static_path(tree) is not None:
        yield from ((use.path, use.offset) for use in path_uses(tree))
        return
    for part in children(tree):
        yield from _needed(part)
