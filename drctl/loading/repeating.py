"""What a loop binds and a selection asks: the names of `foreach` with their types, and the conditions of `on`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from drctl.core.expressions import Expression, Problem, Type, infer
from drctl.core.expressions.tree import Call
from drctl.core.written import Formula
from drctl.loading.results import COMMON, WORDS

if TYPE_CHECKING:
    from drctl.core.model import Step
    from drctl.loading.judge import Judge
    from drctl.loading.names import Names

_LEFT_OUT: Final = frozenset({"list", "host", "text", "any"})


def loop_names(step: Step, names: Names, judge: Judge) -> dict[str, Type]:
    """Judge the lists of a loop; the names it binds, with the type of a member."""
    bound: dict[str, Type] = {}
    for name, members in step.loop.lists.items() if step.loop is not None else ():
        if name in COMMON or name in WORDS or name == "steps":
            summary = f"'{name}' of step '{step.id}' is a field that every turn has too"
            judge.reading.problems.error("E306", step.where, summary, f"choose another name, such as {name}_now")
        if isinstance(members, Formula):
            bound[name] = _member(members, names, judge)
        else:
            for one in members:
                judge.members(one, names)
            kinds = {judge.type_of(one, names) for one in members}
            bound[name] = kinds.pop() if len(kinds) == 1 else "any"
    return bound


def _member(formula: Formula, names: Names, judge: Judge) -> Type:
    found = judge.formula(formula, names)
    if found not in {"list", "any"}:
        summary, hint = f"{formula.text} is {found}, and foreach takes a list", None
        if found in {"host", "text"}:
            hint = f"write [{formula.text}] for a list of one"
        judge.report(Problem(0, summary, hint), formula.expression, names)
    if found != "list":
        return "any"
    first = Call(0, "first", (formula.expression.tree,))
    return infer(Expression(formula.text, first), names)


def judge_place(step: Step, names: Names, candidate: Names, judge: Judge) -> None:
    """Judge `on`; `candidate` holds the names inside of `where` and `except`, which are asked of each host."""
    if step.on is None:
        return
    judge.template(step.on.computed, names, "host")
    chosen = step.on.selection
    if chosen is None:
        return
    if chosen.hosts is not None:
        found = judge.formula(chosen.hosts, names)
        if found not in {"list", "any"}:
            summary, hint = f"{chosen.hosts.text} is {found}, and hosts takes a list", f"write [{chosen.hosts.text}]"
            judge.report(Problem(0, summary, hint), chosen.hosts.expression, names)
    judge.condition(chosen.condition, candidate)
    if chosen.leave_out is not None:
        found = judge.formula(chosen.leave_out, candidate)
        if found not in _LEFT_OUT:
            summary = f"{chosen.leave_out.text} is {found}, and except takes hosts"
            judge.report(Problem(0, summary, "give a list of hosts, or one"), chosen.leave_out.expression, candidate)
