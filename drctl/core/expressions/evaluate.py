"""A tree and a scope to a value, or to no value with its reason.

Three-valued logic (Kleene) as the language has it. What is not there *yet* outranks what is *not there*: as long as a
plan could still be surprised, `known` and `default` do not answer. Work is counted, so that no expression over any
output of a host can hold up a run.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final, TypeAlias

from drctl.core.expressions import functions
from drctl.core.expressions.operators import (
    NoValueError,
    calculate,
    compare,
    contains,
    conversion_hint,
    equal,
    negative,
    operator_hint,
)
from drctl.core.expressions.patterns import PatternError
from drctl.core.expressions.scope import Node, RecordsNode, Scope, ValueNode
from drctl.core.expressions.signatures import EACH_SIGNATURES, SIGNATURES
from drctl.core.expressions.tree import (
    Call,
    Chain,
    Compare,
    Each,
    Index,
    ListOf,
    Literal,
    Logic,
    Member,
    Name,
    Negative,
    Not,
    Path,
    Tree,
    unparse,
)
from drctl.core.quantities import Duration, Size, Time
from drctl.core.value_types import MAX_MEMBERS, MAX_TEXT, HostRef, Secret, Unknown, Value, type_name

BUDGET: Final = 1_000_000
"""Steps of one evaluation: a part of the tree, a member of a list, 64 characters of a text."""

_CHARACTERS_A_STEP: Final = 64
_VALUES: Final = (str, bool, int, Decimal, Duration, Size, Time, HostRef, tuple, Mapping)
_HOST_FIELDS: Final = frozenset({"name", "address", "port", "site", "role", "groups", "facts"})

Operand: TypeAlias = Any
"""A value, no value, a secret, a node, or a list with nodes in it; what it is, is asked before it is used."""


class _ExhaustedError(Exception):
    pass


def evaluate_tree(tree: Tree, scope: Scope) -> Value | Unknown | Secret:
    """The value of the tree; a secret only if the tree is a name with its members and nothing more."""
    evaluation = _Evaluation(scope)
    try:
        found: Value | Unknown | Secret = evaluation.whole(evaluation.run(tree), tree)
    except _ExhaustedError:
        return Unknown(f"the evaluation took more than {BUDGET:,} steps", not_yet=False, origin=_short(tree))
    return found


def _short(tree: Tree) -> str:
    text = unparse(tree)
    return text if len(text) <= 60 else text[:57] + "..."  # noqa: PLR2004 - what fits a line of a message


def _none(reason: str, tree: Tree) -> Unknown:
    return Unknown(reason, not_yet=False, origin=_short(tree))


def _worse(first: Unknown | None, second: Unknown) -> Unknown:
    """The one that decides for both: not yet before none, then the first."""
    if first is None or (second.not_yet and not first.not_yet):
        return second
    return first


def _is_node(operand: Operand) -> bool:
    return not (operand is None or isinstance(operand, (*_VALUES, Unknown, Secret)))


class _Evaluation:
    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.bound: dict[str, Operand] = {}
        self.left = BUDGET

    def spend(self, steps: int) -> None:
        self.left -= steps
        if self.left < 0:
            raise _ExhaustedError

    def run(self, tree: Tree) -> Operand:  # noqa: C901, PLR0911 - one case for each part of the grammar
        """What the tree stands for, nodes and secrets included."""
        self.spend(1)
        match tree:
            case Literal():
                return tree.value
            case Name():
                return self.name(tree)
            case Path():
                return self.path(tree)
            case ListOf():
                return self.list_of(tree)
            case Call():
                return self.call(tree)
            case Each():
                return self.each(tree)
            case Negative():
                return self.negative(tree)
            case Not():
                return self.negation(tree)
            case Chain():
                return self.chain(tree)
            case Compare():
                return self.comparison(tree)
            case Logic():
                return self.logic(tree)

    def settled(self, tree: Tree) -> Operand:
        """The same with a node turned into the list or value it can stand for; never a secret."""
        return self.settle(self.run(tree), tree)

    def settle(self, operand: Operand, tree: Tree) -> Operand:
        if isinstance(operand, Secret):
            return _none("a secret takes part in no expression", tree)
        if not _is_node(operand):
            return operand
        if isinstance(operand, RecordsNode):
            return operand.records()
        if isinstance(operand, ValueNode):
            return operand.value()
        return _none("it is no value; name one of its fields", tree)

    def whole(self, operand: Operand, tree: Tree) -> Any:  # noqa: ANN401 - Value, Unknown or Secret
        """The operand as a value through and through: lists of nodes become lists of values."""
        if isinstance(operand, Secret | Unknown):
            return operand
        operand = self.settle(operand, tree)
        if not isinstance(operand, tuple) or not any(self.is_loose(member) for member in operand):
            return operand
        self.spend(len(operand))
        pending: Unknown | None = None
        members: list[Value] = []
        for each in operand:
            member = _none("a secret takes part in no list", tree) if isinstance(each, Secret) else each
            member = self.whole(member, tree)
            if isinstance(member, Unknown):
                pending = _worse(pending, member)
            else:
                members.append(member)
        return tuple(members) if pending is None else pending

    def is_loose(self, operand: Operand) -> bool:
        """Whether a member of a list is, or holds, something that is no value."""
        return isinstance(operand, Secret | Unknown | tuple) or _is_node(operand)

    def name(self, tree: Name) -> Operand:
        found = self.bound[tree.name] if tree.name in self.bound else self.scope.lookup(tree.name)
        return self.named(found, tree)

    def named(self, found: Operand, tree: Tree) -> Operand:
        if isinstance(found, Unknown) and not found.origin:
            return Unknown(found.reason, found.not_yet, _short(tree))
        return found

    def path(self, tree: Path) -> Operand:
        operand = self.run(tree.base)
        for count, accessor in enumerate(tree.accessors, start=1):
            self.spend(1)
            key = self.settled(accessor.key) if isinstance(accessor, Index) else accessor.name
            if isinstance(operand, Unknown) or isinstance(key, Unknown):
                pending = [each for each in (operand, key) if isinstance(each, Unknown)]
                operand = pending[0] if len(pending) == 1 else _worse(pending[0], pending[1])
                continue
            here = Path(tree.offset, tree.base, tree.accessors[:count])
            try:
                operand = self.named(self.member(operand, key, accessor), here)
            except NoValueError as error:
                operand = _none(str(error), here)
        return operand

    def member(self, operand: Operand, key: Operand, accessor: Member | Index) -> Operand:
        """`operand.key` or `operand[key]`."""
        if _is_node(operand) and isinstance(key, str):
            node: Node = operand
            return node.member(key)
        if _is_node(operand) and isinstance(operand, RecordsNode):
            records = operand.records()
            return records if isinstance(records, Unknown) else _at(records, key)
        match operand:
            case Mapping():
                return _entry(operand, key)
            case tuple() if isinstance(accessor, Index):
                return _at(operand, key)
            case tuple():
                raise NoValueError("a list has no names; write [0], first(...) or map(x in ..., x.name)")
            case HostRef() if key in _HOST_FIELDS:
                return getattr(operand, key)
            case HostRef():
                raise NoValueError("a host has the fields name address port site role groups facts")
            case Secret():
                raise NoValueError("a secret has no members")
            case _:
                what = "it" if _is_node(operand) else type_name(operand)
                raise NoValueError(f"{what} has no members" if operand is not None else "there is null before it")

    def list_of(self, tree: ListOf) -> Operand:
        members, pending = self.several(tree.members)
        return tuple(members) if pending is None else pending

    def several(self, trees: tuple[Tree, ...]) -> tuple[list[Operand], Unknown | None]:
        """The operands, and what is missing among them, if anything is. All are evaluated: not yet outranks none."""
        found: list[Operand] = []
        pending: Unknown | None = None
        for tree in trees:
            operand = self.settled(tree)
            if isinstance(operand, Unknown):
                pending = _worse(pending, operand)
            found.append(operand)
        return found, pending

    def negative(self, tree: Negative) -> Operand:
        operand = self.settled(tree.operand)
        if isinstance(operand, Unknown):
            return operand
        if isinstance(operand, int | Decimal | Duration | Size) and not isinstance(operand, bool):
            return negative(operand) if isinstance(operand, int | Decimal) else -operand
        return _none(f"{type_name(operand)} has no negative", tree)

    def negation(self, tree: Not) -> Operand:
        operand = self.truth(tree.operand)
        return operand if isinstance(operand, Unknown) else not operand

    def truth(self, tree: Tree) -> bool | Unknown:
        operand = self.settled(tree)
        if isinstance(operand, bool | Unknown):
            return operand
        return _none(f"{type_name(operand)} is neither true nor false", tree)

    def logic(self, tree: Logic) -> bool | Unknown:
        decisive = tree.operator == "or"
        pending: Unknown | None = None
        for each in tree.operands:
            operand = self.truth(each)
            if isinstance(operand, Unknown):
                pending = _worse(pending, operand)
            elif operand is decisive:
                return decisive
        return not decisive if pending is None else pending

    def chain(self, tree: Chain) -> Operand:
        result, *operands = (self.settled(each) for each in (tree.first, *(step.operand for step in tree.rest)))
        for step, operand in zip(tree.rest, operands, strict=True):
            if isinstance(result, Unknown) or isinstance(operand, Unknown):
                if isinstance(operand, Unknown):
                    result = _worse(result if isinstance(result, Unknown) else None, operand)
                continue
            try:
                result = calculate(step.operator, result, operand)
            except NoValueError as error:
                hint = operator_hint(type_name(result), type_name(operand))
                result = _none(f"{error}; {hint}" if hint and "cannot be" in str(error) else str(error), tree)
        return result

    def comparison(self, tree: Compare) -> bool | Unknown:
        operands, pending = self.several((tree.left, tree.right))
        if pending is not None:
            return pending
        left, right = (self.whole(each, side) for each, side in zip(operands, (tree.left, tree.right), strict=True))
        for each in (left, right):
            if isinstance(each, Unknown):
                return each
        self.spend(_extent(left) + _extent(right))
        try:
            result = self.compared(tree.operator, left, right)
        except NoValueError as error:
            result = Unknown(str(error), not_yet=False)
        if not isinstance(result, Unknown):
            return result
        names = type_name(left), type_name(right)
        hint = conversion_hint(_short(tree.left), *names) or conversion_hint(_short(tree.right), *reversed(names))
        return _none(f"{result.reason}; {hint}" if hint else result.reason, tree)

    def compared(self, operator: str, left: Value, right: Value) -> bool | Unknown:
        if operator in {"==", "!=", "in", "not in"}:
            result = equal(left, right) if operator in {"==", "!="} else contains(left, right)
            if isinstance(result, Unknown):
                return result
            return not result if operator in {"!=", "not in"} else result
        return compare(operator, left, right)

    def call(self, tree: Call) -> Operand:  # noqa: PLR0911 - the functions that need more than values end early
        match tree.function:
            case "known":
                operand = self.run(tree.arguments[0])
                if isinstance(operand, Secret):
                    return self.settle(operand, tree)
                return (operand if operand.not_yet else False) if isinstance(operand, Unknown) else True
            case "default":
                operand = self.run(tree.arguments[0])
                is_none = isinstance(operand, Unknown) and not operand.not_yet
                return self.run(tree.arguments[1]) if is_none else operand
            case "now":
                return self.scope.now()
        arguments, pending = self.several(tree.arguments)
        if tree.function in functions.WHOLE_MEMBERS and pending is None:
            arguments[0] = self.whole(arguments[0], tree.arguments[0])
            pending = arguments[0] if isinstance(arguments[0], Unknown) else None
        if pending is not None:
            return pending
        try:
            return self.called(tree, arguments)
        except (NoValueError, PatternError) as error:
            return _none(str(error), tree)

    def called(self, tree: Call, arguments: list[Operand]) -> Operand:
        for takes, argument, written in zip(SIGNATURES[tree.function].takes, arguments, tree.arguments, strict=False):
            if "any" not in takes and type_name(argument) not in takes:
                kinds = " or ".join(sorted(takes))
                raise NoValueError(f"{tree.function} takes {kinds}, and {_short(written)} is {type_name(argument)}")
        deep = tree.function in functions.WHOLE_MEMBERS
        self.spend(sum(_extent(argument) if deep else _breadth(argument) for argument in arguments))
        if tree.function == "group":
            return self.named(self.scope.group(arguments[0]), tree)
        result = functions.call(tree.function, arguments)
        if isinstance(result, str) and len(result) > MAX_TEXT:
            raise NoValueError("the text would be longer than 1 MiB")
        if isinstance(result, tuple) and len(result) > MAX_MEMBERS:
            raise NoValueError(f"the list would have more than {MAX_MEMBERS:,} members")
        self.spend(_breadth(result))
        return result

    def each(self, tree: Each) -> Operand:
        source = self.settled(tree.source)
        if isinstance(source, Unknown):
            return source
        if not isinstance(source, tuple):
            return _none(f"{tree.function} takes a list, and {_short(tree.source)} is {type_name(source)}", tree)
        if tree.function in {"all", "any"}:
            return self.quantified(tree, source)
        bodies: list[Operand] = []
        pending: Unknown | None = None
        for member in source:
            body = self.body(tree, member)
            if isinstance(body, Unknown):
                pending = _worse(pending, body)
            bodies.append(body)
        if pending is not None:
            return pending
        try:
            return _collected(tree.function, source, tuple(bodies))
        except NoValueError as error:
            return _none(str(error), tree)

    def body(self, tree: Each, member: Operand) -> Operand:
        """The body with the member bound to the name; a truth where the function wants one."""
        self.bound[tree.name] = member
        try:
            if EACH_SIGNATURES[tree.function].body == "bool":
                return self.truth(tree.body)
            return self.whole(self.settled(tree.body), tree.body)
        finally:
            del self.bound[tree.name]

    def quantified(self, tree: Each, source: tuple[Operand, ...]) -> bool | Unknown:
        """`all` as a chain of `and`, `any` as a chain of `or`."""
        decisive = tree.function == "any"
        pending: Unknown | None = None
        for member in source:
            truth: bool | Unknown = self.body(tree, member)
            if isinstance(truth, Unknown):
                pending = _worse(pending, truth)
            elif truth is decisive:
                return decisive
        return not decisive if pending is None else pending


def _collected(function: str, source: tuple[Operand, ...], bodies: tuple[Operand, ...]) -> Operand:
    match function:
        case "filter":
            return tuple(member for member, keep in zip(source, bodies, strict=True) if keep)
        case "map":
            return bodies
        case "sort":
            return functions.sorted_by(source, bodies)
        case "min_by":
            return functions.best(source, bodies, "<")
        case _:
            return functions.best(source, bodies, ">")


def _entry(entries: Mapping[str, Value], key: Operand) -> Operand:
    if not isinstance(key, str):
        raise NoValueError(f"a key of a map is a text, not {type_name(key)}")
    if key not in entries:
        some = ", ".join(functions.shown(each) for each in sorted(entries)[:5])
        raise NoValueError(f"there is no key {functions.shown(key)}" + (f" (there are {some})" if some else ""))
    return entries[key]


def _at(members: tuple[Operand, ...], key: Operand) -> Operand:
    if isinstance(key, bool) or not isinstance(key, int | Decimal) or key != int(key):
        raise NoValueError(f"the position in a list is a whole number, not {type_name(key)}")
    if not 0 <= key < len(members):
        raise NoValueError(f"position {key} is out of range: the list has {len(members)} members")
    return members[int(key)]


def _breadth(operand: Operand) -> int:
    """What it costs to go through an operand once, without going into its members."""
    if isinstance(operand, str):
        return len(operand) // _CHARACTERS_A_STEP
    return len(operand) if isinstance(operand, tuple | Mapping) else 0


def _extent(operand: Operand) -> int:
    """What it costs to go through an operand with everything in it."""
    if isinstance(operand, tuple):
        return len(operand) + sum(map(_extent, operand))
    if isinstance(operand, Mapping):
        return len(operand) + sum(map(_extent, operand.values()))
    return _breadth(operand)
