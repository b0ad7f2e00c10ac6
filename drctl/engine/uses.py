"""Which values of other steps a runbook goes by: what decides (conditions), and what is sent or set.

Texts for people (cautions, hints, figures of an approval) are no uses, and notices are marked: a figure may move while
they are read.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from drctl.core.expressions import ANY_MEMBER
from drctl.core.model import Action, Decide, Include, Listed, Mapped, Phase, SetNames, Step, Wait
from drctl.core.nouns import dataclass
from drctl.core.scripts import Script
from drctl.core.templates import Template
from drctl.core.written import Formula

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from drctl.core.expressions import Expression
    from drctl.core.model import FieldValue, Runbook
    from drctl.engine.context import Context

_WORD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
FOR_PEOPLE: Final = frozenset({"notify"})
"""Kinds that only tell people something."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """An expression that the runbook goes by.

    Attributes:
        place: where it stands, for people: `when of act/stop`.
        path: the step it belongs to, by its address in the document; a phase's own id.
        home: the file it stands in.
        decides: a condition, of which only the verdict counts.
        for_people: a notice, which tells what is and changes nothing.
    """

    expression: Expression
    place: str
    path: str
    home: str = ""
    decides: bool = False
    for_people: bool = False

    @property
    def steps(self) -> tuple[tuple[str, ...], ...]:
        """The paths of it that begin with `steps`."""
        return tuple(use.path for use in self.expression.paths() if use.path[0] == "steps" and len(use.path) > 1)


def uses_of(runbook: Runbook, steps: Iterable[Step]) -> Iterator[Use]:
    """Every use of a runbook, given all its steps, those of included files too."""
    yield from _phases(runbook.phases, "")
    for step in steps:
        yield from uses_of_step(step)
        if isinstance(step.body, Include):
            yield from _phases(step.body.runbook.phases, step.path)
            for name, formula in step.body.runbook.outputs.items():
                yield Use(expression=formula.expression, place=f"output {name}", path=step.path, home=step.path)


def hosts_used(context: Context) -> frozenset[str]:
    """Hosts that a plan may go by: whose name, role or group stands in the documents or inputs, and the way to them.

    All of them, when a place is computed or the runbook asks for hosts by a name that only a run knows.
    """
    hosts = context.inventory.hosts
    if any(_asks_for_any(step) for step in context.outline.steps.values()):
        return frozenset(hosts)
    texts = [*context.runbook.source.values(), *(str(value) for value in context.inputs.values())]
    words = set(_WORD.findall("\n".join(texts)))
    found = {name for name, host in hosts.items() if words & {name, host.role, *host.groups}}
    while more := {via for name in found for via in hosts[name].login.via if via in hosts} - found:
        found |= more
    return frozenset(found)


def _asks_for_any(step: Step) -> bool:
    computed = step.on is not None and step.on.computed is not None
    chosen = step.on.selection if step.on is not None else None
    paths = [path.path for use in uses_of_step(step) for path in use.expression.paths() if path.path[0] == "hosts"]
    return (
        computed
        or bool(chosen and (chosen.site or chosen.hosts))
        or any(len(p) == 1 or p[1] == ANY_MEMBER for p in paths)
    )


def _phases(phases: Iterable[Phase], home: str) -> Iterator[Use]:
    for phase in phases:
        if phase.when is not None:
            path = phase.id
            yield Use(expression=phase.when.expression, place=f"when of {path}", path=path, home=home, decides=True)


def uses_of_step(step: Step) -> Iterator[Use]:
    """The uses of one step, with its looks and ways back; the steps inside it are left out."""
    for expression in _conditions(step):
        yield Use(
            expression=expression, place=f"a condition of {step.path}", path=step.path, home=step.home, decides=True
        )
    told = isinstance(step.body, Action) and step.body.kind in FOR_PEOPLE
    for expression in _sent(step):
        yield Use(expression=expression, place=step.path, path=step.path, home=step.home, for_people=told)
    ways = [*(step.ways.undo.steps if step.ways.undo else ()), *(step.ways.restore.steps if step.ways.restore else ())]
    for other in (*step.unless, *step.verify, *ways):
        yield from uses_of_step(other)


def _conditions(step: Step) -> Iterator[Expression]:
    if step.when is not None:
        yield step.when.expression
    yield from (line.expression for line in step.judgement.expect)
    if isinstance(step.body, Decide):
        yield from (rule.condition.expression for rule in step.body.rules)


def _sent(step: Step) -> Iterator[Expression]:
    yield from (formula.expression for formula in step.judgement.capture.values())
    yield from step.as_user.expressions if step.as_user is not None else ()
    if step.on is not None:
        yield from step.on.computed.expressions if step.on.computed is not None else ()
        chosen = step.on.selection
        for formula in (chosen.hosts, chosen.condition, chosen.leave_out) if chosen is not None else ():
            yield from (formula.expression,) if formula is not None else ()
    for written in step.loop.lists.values() if step.loop is not None else ():
        yield from _field(Listed(items=written) if isinstance(written, tuple) else written)
    yield from _body(step)


def _body(step: Step) -> Iterator[Expression]:
    match step.body:
        case Action(fields=fields):
            yield from _fields(fields)
        case SetNames(values=values):
            yield from _fields(values)
        case Include(inputs=inputs):
            yield from _fields(inputs)
        case Wait(length=length, until=until):
            for text in (length, until):
                yield from text.expressions if text is not None else ()
        case _:
            pass


def _fields(fields: Mapping[str, FieldValue] | Mapping[str, Template]) -> Iterator[Expression]:
    for value in fields.values():
        yield from _field(value)


def _field(value: FieldValue) -> Iterator[Expression]:
    match value:
        case Template() | Script():
            yield from value.expressions
        case Formula():
            yield value.expression
        case Mapped(items=items):
            yield from _fields(items)
        case Listed(items=items):
            for item in items:
                yield from _field(item)
        case _:
            pass
