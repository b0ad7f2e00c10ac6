"""The tree of a parsed expression, its written form, and the names it uses. No evaluation and no types here.

Chains (`a + b - c`, `a and b`, `a.b[c].d`) are flat, so that the depth of a tree is the depth of its brackets, which
the parser bounds: nothing that walks a tree can run out of stack.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, TypeAlias

from drctl.core.nouns import dataclass
from drctl.core.quantities import DURATION_UNITS, Duration, Size

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:-+[A-Za-z0-9_]+)*")
"""A name of the grammar: `-` only between other characters, so that `a-b` is one name and `a - b` a subtraction."""

ANY_MEMBER = "[]"
"""In a path: a list index, or a key that is not a literal text. `steps.x.each[0].ok` is steps, x, each, [], ok."""


LiteralValue: TypeAlias = bool | int | Decimal | str | Duration | Size | None
"""What a literal may stand for."""


@dataclass(frozen=True, slots=True)
class Literal:
    """A number, duration, size, text, true, false or null."""

    offset: int
    value: LiteralValue


@dataclass(frozen=True, slots=True)
class Name:
    """A bare name: a root, an own output, a loop name, or a name bound by an EACH function."""

    offset: int
    name: str


@dataclass(frozen=True, slots=True)
class Member:
    """`.name` of a path."""

    offset: int
    name: str


@dataclass(frozen=True, slots=True)
class Index:
    """`[expr]` of a path."""

    offset: int
    key: Tree


@dataclass(frozen=True, slots=True)
class Path:
    """A base followed by at least one member or index."""

    offset: int
    base: Tree
    accessors: tuple[Member | Index, ...]


@dataclass(frozen=True, slots=True)
class ListOf:
    """`[a, b]`."""

    offset: int
    members: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class Call:
    """A function of the closed list on its arguments."""

    offset: int
    function: str
    arguments: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class Each:
    """`filter(b in backups, body)`: the body once for each member, which is bound to the name."""

    offset: int
    function: str
    name: str
    source: Tree
    body: Tree


@dataclass(frozen=True, slots=True)
class Negative:
    """`-x`."""

    offset: int
    operand: Tree


@dataclass(frozen=True, slots=True)
class Not:
    """`not x`."""

    offset: int
    operand: Tree


@dataclass(frozen=True, slots=True)
class Operation:
    """One operator of a chain with what stands to its right. The offset is the operator's."""

    offset: int
    operator: str
    operand: Tree


@dataclass(frozen=True, slots=True)
class Chain:
    """`a + b - c` or `a * b / c`, from left to right; all operators have the same rank."""

    offset: int
    first: Tree
    rest: tuple[Operation, ...]


@dataclass(frozen=True, slots=True)
class Compare:
    """One comparison; the offset is that of its left side."""

    offset: int
    operator: str
    left: Tree
    right: Tree


@dataclass(frozen=True, slots=True)
class Logic:
    """`a and b and c`, or the same with `or`."""

    offset: int
    operator: str
    operands: tuple[Tree, ...]


Tree: TypeAlias = Literal | Name | Path | ListOf | Call | Each | Negative | Not | Chain | Compare | Logic


@dataclass(frozen=True, slots=True)
class PathUse:
    """A name with its members as an expression uses it.

    Attributes:
        path: the name and its members; `ANY_MEMBER` stands for an index, or a key known only at run time.
        offset: where it begins in the text of the expression.
    """

    path: tuple[str, ...]
    offset: int

    def __str__(self) -> str:
        return written_path(self.path)


def written_path(path: tuple[str, ...]) -> str:
    """The path as a person writes it: `steps.x.each[]`, `hosts['db 1']`."""
    text = path[0]
    for name in path[1:]:
        if name == ANY_MEMBER:
            text += name
        else:
            text += f".{name}" if is_name(name) else f"[{_quoted(name)}]"
    return text


def is_name(text: str) -> bool:
    """Whether the text can be written as a NAME of the grammar."""
    return NAME.fullmatch(text) is not None


def static_path(tree: Tree) -> tuple[str, ...] | None:
    """The path of a name with its members; None when the tree is anything else."""
    if isinstance(tree, Name):
        return (tree.name,)
    if not isinstance(tree, Path) or not isinstance(tree.base, Name):
        return None
    return tree.base.name, *(_key(accessor) for accessor in tree.accessors)


def _key(accessor: Member | Index) -> str:
    if isinstance(accessor, Member):
        return accessor.name
    if isinstance(accessor.key, Literal) and isinstance(accessor.key.value, str):
        return accessor.key.value
    return ANY_MEMBER


def children(tree: Tree) -> tuple[Tree, ...]:  # noqa: PLR0911 - one case for each part of the grammar
    """The parts a tree is made of, from left to right."""
    match tree:
        case Literal() | Name():
            return ()
        case Path():
            return tree.base, *(each.key for each in tree.accessors if isinstance(each, Index))
        case ListOf():
            return tree.members
        case Call():
            return tree.arguments
        case Each():
            return tree.source, tree.body
        case Negative() | Not():
            return (tree.operand,)
        case Chain():
            return tree.first, *(operation.operand for operation in tree.rest)
        case Compare():
            return tree.left, tree.right
        case Logic():
            return tree.operands


def path_uses(tree: Tree, bound: frozenset[str] = frozenset()) -> Iterator[PathUse]:
    """Every name the tree uses with its members, from left to right; names bound by EACH are left out."""
    path = static_path(tree)
    if path is not None:
        if path[0] not in bound:
            yield PathUse(path, tree.offset)
        if isinstance(tree, Path):
            for key in children(tree)[1:]:
                yield from path_uses(key, bound)
    elif isinstance(tree, Each):
        yield from path_uses(tree.source, bound)
        yield from path_uses(tree.body, bound | {tree.name})
    else:
        for part in children(tree):
            yield from path_uses(part, bound)


def calls(tree: Tree) -> Iterator[Call | Each]:
    """Every function call of the tree."""
    if isinstance(tree, Call | Each):
        yield tree
    for part in children(tree):
        yield from calls(part)


_OR, _AND, _NOT, _COMPARE, _SUM, _TERM, _UNARY, _ATOM = range(8)


def unparse(tree: Tree) -> str:
    """The expression in its written form: single blanks, and no brackets that are not needed."""
    return _written(tree)[0]


def _written(tree: Tree) -> tuple[str, int]:  # noqa: C901, PLR0911 - one case for each part of the grammar
    """The text, and the rank of its loosest operator."""
    match tree:
        case Literal():
            return written_literal(tree.value), _ATOM
        case Name():
            return tree.name, _ATOM
        case Path():
            return _at(tree.base, _ATOM) + "".join(_accessor(each) for each in tree.accessors), _ATOM
        case ListOf():
            return f"[{', '.join(unparse(member) for member in tree.members)}]", _ATOM
        case Call():
            return f"{tree.function}({', '.join(unparse(argument) for argument in tree.arguments)})", _ATOM
        case Each():
            return f"{tree.function}({tree.name} in {_at(tree.source, _SUM)}, {unparse(tree.body)})", _ATOM
        case Negative():
            return f"-{_at(tree.operand, _ATOM)}", _UNARY
        case Not():
            return f"not {_at(tree.operand, _NOT)}", _NOT
        case Compare():
            return f"{_at(tree.left, _SUM)} {tree.operator} {_at(tree.right, _SUM)}", _COMPARE
        case Logic():
            rank = _OR if tree.operator == "or" else _AND
            return f" {tree.operator} ".join(_at(operand, rank + 1) for operand in tree.operands), rank
        case Chain():
            rank = _SUM if tree.rest[0].operator in "+-" else _TERM
            rest = (f" {each.operator} {_at(each.operand, rank + 1)}" for each in tree.rest)
            return _at(tree.first, rank + 1) + "".join(rest), rank


def _at(tree: Tree, rank: int) -> str:
    text, own = _written(tree)
    return text if own >= rank else f"({text})"


def _accessor(accessor: Member | Index) -> str:
    return f".{accessor.name}" if isinstance(accessor, Member) else f"[{unparse(accessor.key)}]"


def written_literal(value: LiteralValue) -> str:  # noqa: PLR0911 - one case for each kind of literal
    """A literal as it is written in an expression."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case Decimal():
            return f"{value:f}"
        case str():
            return _quoted(value)
        case Duration():
            return _written_duration(value)
        case Size():
            return f"{value.bytes}B"


def _quoted(text: str) -> str:
    for plain, escaped in (("\\", "\\\\"), ("'", "\\'"), ("\n", "\\n"), ("\t", "\\t")):
        text = text.replace(plain, escaped)
    return f"'{text}'"


def _written_duration(value: Duration) -> str:
    for name, unit in DURATION_UNITS.items():
        if value.micros and value.micros % unit == 0:
            return f"{value.micros // unit}{name}"
    return f"{Decimal(value.micros) / 1000:f}ms" if value.micros else "0s"
