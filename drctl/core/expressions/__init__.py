"""The expression language: parsed once, at load time; checked against types; evaluated against a scope.

    expression = parse("steps.loss.lag <= inputs.limit")
    problems = check(expression, types, want="bool")
    outcome = evaluate(expression, scope)        # a value, or Unknown with its reason

No I/O and no clock: `now()` is asked of the scope. An expression is frozen and may be pickled. What came from a host
is a value here and never becomes an expression.
"""

from __future__ import annotations

from dataclasses import field

from drctl.core.expressions.errors import ExpressionError, Problem
from drctl.core.expressions.evaluate import BUDGET, evaluate_tree
from drctl.core.expressions.parser import parse_tree
from drctl.core.expressions.scope import Found, Node, RecordsNode, Scope, TypeScope, ValueNode
from drctl.core.expressions.signatures import RESERVED, Type
from drctl.core.expressions.tree import (
    ANY_MEMBER,
    NAME,
    Call,
    Literal,
    PathUse,
    Tree,
    calls,
    path_uses,
    static_path,
    unparse,
    written_path,
)
from drctl.core.expressions.typing import check_tree
from drctl.core.nouns import dataclass
from drctl.core.value_types import Secret, Unknown, Value

__all__ = [
    "ANY_MEMBER",
    "BUDGET",
    "NAME",
    "RESERVED",
    "Expression",
    "ExpressionError",
    "Found",
    "Node",
    "PathUse",
    "Problem",
    "RecordsNode",
    "Scope",
    "Type",
    "TypeScope",
    "ValueNode",
    "check",
    "evaluate",
    "evaluate_field",
    "infer",
    "parse",
    "written_path",
]


@dataclass(frozen=True, slots=True)
class Expression:
    """A parsed expression: its text as written, and its tree. Made by `parse`."""

    text: str
    tree: Tree = field(repr=False)

    def paths(self) -> tuple[PathUse, ...]:
        """Every name it uses with its members, from left to right; names bound by EACH functions are left out."""
        return tuple(path_uses(self.tree))

    def path(self) -> tuple[str, ...] | None:
        """The path it is, when it is a name with its members and nothing else."""
        return static_path(self.tree)

    def groups(self) -> tuple[tuple[str, int], ...]:
        """The groups named by `group('...')`, each with its offset; a check needs them before any value exists."""
        found: list[tuple[str, int]] = []
        for call in calls(self.tree):
            match call:
                case Call(function="group", arguments=(Literal(value=str(name), offset=offset),)):
                    found.append((name, offset))
        return tuple(found)

    def uses_now(self) -> bool:
        """Whether it asks for the time, which must then be recorded with the evaluation."""
        return any(call.function == "now" for call in calls(self.tree))

    def canonical(self) -> str:
        """The expression in its one written form: single blanks, no brackets that are not needed."""
        return unparse(self.tree)

    def __str__(self) -> str:
        return self.text


def parse(text: str) -> Expression:
    """Read an expression.

    Raises:
        ExpressionError: when the text is none; nothing else, whatever the text is.
    """
    return Expression(text, parse_tree(text))


def evaluate(expression: Expression, scope: Scope) -> Value | Unknown:
    """The value of the expression in this scope, or no value with the reason of its origin.

    A secret has no value here: it may only be handed on, see `evaluate_field`.
    """
    found = evaluate_field(expression, scope)
    if isinstance(found, Secret):
        return Unknown("a secret takes part in no expression", not_yet=False, origin=expression.text)
    return found


def evaluate_field(expression: Expression, scope: Scope) -> Value | Unknown | Secret:
    """The same for a field that may take a secret: an expression that is a name with its members can be one."""
    return evaluate_tree(expression.tree, scope)


def check(expression: Expression, types: TypeScope, want: Type | None = None) -> tuple[Problem, ...]:
    """Everything that is wrong with the expression as far as types are known, in the order of the text.

    Args:
        expression: what to check.
        types: the names it may use, with their types.
        want: the type the place needs; "bool" for a condition.
    """
    return check_tree(expression.tree, types, want)[1]


def infer(expression: Expression, types: TypeScope) -> Type:
    """The type of the expression's value, "any" when only the value itself will tell."""
    return check_tree(expression.tree, types, None)[0]
