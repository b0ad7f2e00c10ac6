"""The check before any value exists: names that do not exist, types that do not go together.

What is not known ("any", most of all values out of JSON) passes here and is judged when the value is there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from drctl.core.expressions.errors import Problem
from drctl.core.expressions.operators import (
    conversion_hint,
    operator_hint,
    operator_sentence,
    result_type,
)
from drctl.core.expressions.signatures import EACH_SIGNATURES, ORDERED, RESERVED, SIGNATURES, Type, usage
from drctl.core.expressions.tree import (
    ANY_MEMBER,
    Call,
    Chain,
    Compare,
    Each,
    Index,
    ListOf,
    Literal,
    Logic,
    Name,
    Negative,
    Not,
    Path,
    Tree,
    static_path,
    unparse,
    written_path,
)
from drctl.core.nouns import dataclass
from drctl.core.value_types import same_family, type_name

if TYPE_CHECKING:
    from drctl.core.expressions.scope import TypeScope

_HOST_FIELDS: Final[dict[str, Type]] = {
    "name": "text",
    "address": "text",
    "port": "int",
    "site": "text",
    "role": "text",
    "groups": "list",
    "facts": "map",
}
_TRUTH_HINTS: Final[dict[str, str]] = {
    "text": "compare it, as in {0} == 'yes', or write not empty({0})",
    "list": "write not empty({0})",
    "map": "write not empty({0})",
    "int": "compare it, as in {0} > 0",
    "decimal": "compare it, as in {0} > 0",
    "duration": "compare it, as in {0} <= 10s",
    "size": "compare it, as in {0} > 0B",
    "time": "compare it, as in {0} < now()",
}


@dataclass(frozen=True, slots=True)
class _Shape:
    """A type, that of its members if it is a list, and the path it was reached by, if by one."""

    type: Type
    of: Type = "any"
    path: tuple[str, ...] | None = None


_ANYTHING: Final = _Shape("any")


def check_tree(tree: Tree, types: TypeScope, want: Type | None) -> tuple[Type, tuple[Problem, ...]]:
    """The type of the tree, "any" when not known, and everything that is wrong with it."""
    checking = _Checking(types)
    found = checking.shape(tree).type
    if want == "bool":
        checking.truth(tree, found)
    elif want is not None and "any" not in {want, found} and not same_family(found, want):
        checking.refuse(tree, f"{found} stands where {want} is needed", conversion_hint(unparse(tree), found, want))
    return found, tuple(sorted(checking.problems, key=lambda problem: problem.offset))


class _Checking:
    def __init__(self, types: TypeScope) -> None:
        self.types = types
        self.bound: dict[str, _Shape] = {}
        self.problems: list[Problem] = []

    def refuse(self, tree: Tree, summary: str, hint: str | None = None) -> _Shape:
        self.problems.append(Problem(tree.offset, summary, hint))
        return _ANYTHING

    def shape(self, tree: Tree) -> _Shape:  # noqa: C901, PLR0911 - one case for each part of the grammar
        match tree:
            case Literal():
                return _Shape(cast("Type", type_name(tree.value)))
            case Name() | Path():
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
                self.truth(tree.operand, self.type(tree.operand))
            case Logic():
                for operand in tree.operands:
                    self.truth(operand, self.type(operand))
            case Compare():
                self.comparison(tree)
            case Chain():
                return _Shape(self.chain(tree))
        return _Shape("bool")

    def type(self, tree: Tree) -> Type:
        """The type of an operand; a secret is none."""
        found = self.shape(tree).type
        if found != "secret":
            return found
        hint = "it may only stand alone, in a field that takes secrets, in `env` or in `stdin`"
        return self.refuse(tree, f"{unparse(tree)} is a secret and takes part in no expression", hint).type

    def truth(self, tree: Tree, found: Type) -> None:
        if found not in {"bool", "any"}:
            written = unparse(tree)
            hint = _TRUTH_HINTS.get(found)
            self.refuse(tree, f"{written} is {found}, not true or false", hint and hint.format(written))

    def path(self, tree: Name | Path) -> _Shape:
        if isinstance(tree, Path):
            for accessor in tree.accessors:
                if isinstance(accessor, Index):
                    self.index(accessor.key)
        path = static_path(tree)
        if path is None:
            base = tree.base if isinstance(tree, Path) else tree
            found = self.shape(base)
            keys = (static_path(Path(0, Name(0, ""), tree.accessors)) if isinstance(tree, Path) else None) or ("",)
            if found.path is not None:
                return self.named(tree, (*found.path, *keys[1:]))
            return self.members(tree, found, unparse(base), keys[1:])
        if path[0] not in self.bound:
            return self.named(tree, path)
        found = self.bound[path[0]]
        if found.path is not None and len(path) > 1:
            return self.named(tree, (*found.path, *path[1:]))
        return self.members(tree, found, path[0], path[1:])

    def index(self, key: Tree) -> None:
        found = self.type(key)
        if found not in {"int", "decimal", "text", "any"}:
            self.refuse(key, f"{found} is neither a position nor a key", None)
        if isinstance(key, Negative):
            self.refuse(key, "a position counts from 0, forwards", "write last(...) for the end of a list")

    def named(self, tree: Tree, path: tuple[str, ...]) -> _Shape:
        for length in range(len(path), 0, -1):
            found = self.types.type_of(path[:length])
            if isinstance(found, Problem):
                return self.refuse(tree, found.summary, found.hint)
            if found is not None:
                whole = path if length == len(path) else None
                rest = self.members(tree, _Shape(found), written_path(path[:length]), path[length:])
                return _Shape(rest.type, rest.of, whole)
        return self.unknown_name(tree, path)

    def unknown_name(self, tree: Tree, path: tuple[str, ...]) -> _Shape:
        name = path[0]
        if "-" in name:
            hint = f"`-` belongs to a name; a subtraction has blanks: {name.replace('-', ' - ')}"
        elif name.lower() in {"none", "nil", "true", "false", "null", "undefined"}:
            hint = f"write {'null' if name.lower() in {'none', 'nil', 'undefined'} else name.lower()}"
        elif name in RESERVED:
            hint = "it cannot be used in this place"
        elif len(path) == 1:
            hint = f"a text stands in quotes: '{name}'; a value of another step is steps.ID.{name}"
        else:
            hint = f"a value of another step is steps.{written_path(path)}"
        return self.refuse(tree, f"there is no name {name} here", hint)

    def members(self, tree: Tree, found: _Shape, written: str, rest: tuple[str, ...]) -> _Shape:
        """The shape of what lies under `found` by members whose types no scope knows."""
        for name in rest:
            match found.type:
                case "any" | "map" | "null":
                    found = _ANYTHING
                case "list" if name == ANY_MEMBER:
                    found = _Shape(found.of)
                case "host" if name in _HOST_FIELDS:
                    found = _Shape(_HOST_FIELDS[name], "text")
                case "host" if name == ANY_MEMBER:
                    found = _ANYTHING
                case "host":
                    return self.refuse(tree, f"a host has no field {name}", f"its fields are {' '.join(_HOST_FIELDS)}")
                case "list":
                    hint = "write [0], first(...) or map(x in ..., x.name)"
                    return self.refuse(tree, f"{written} is a list and has no names such as {name}", hint)
                case _:
                    return self.refuse(tree, f"{written} is {found.type} and has no members", None)
            written = f"{written}{name}" if name == ANY_MEMBER else f"{written}.{name}"
        return found

    def list_of(self, tree: ListOf) -> _Shape:
        kinds = {self.type(member) for member in tree.members}
        return _Shape("list", kinds.pop() if len(kinds) == 1 else "any")

    def negative(self, tree: Negative) -> _Shape:
        found = self.type(tree.operand)
        if found in {"int", "decimal", "duration", "size", "any"}:
            return _Shape(found)
        return self.refuse(tree, f"{found} has no negative", None)

    def chain(self, tree: Chain) -> Type:
        left = self.type(tree.first)
        for step in tree.rest:
            right = self.type(step.operand)
            if "any" in {left, right}:
                left = "any"
                continue
            result = result_type(step.operator, left, right)
            if result is None:
                summary = operator_sentence(step.operator, left, right)
                self.problems.append(Problem(step.offset, summary, operator_hint(left, right)))
            left = cast("Type", result or "any")
        return left

    def comparison(self, tree: Compare) -> None:
        left, right = self.shape(tree.left), self.shape(tree.right)
        kinds = self.type_once(tree.left, left), self.type_once(tree.right, right)
        if tree.operator in {"in", "not in"}:
            self.containment(tree, kinds[0], _Shape(kinds[1], right.of))
            return
        if "any" in kinds:
            return
        if tree.operator in {"==", "!="}:
            if "null" not in kinds and not same_family(*kinds):
                self.mismatch(tree, kinds)
            return
        for kind, side in zip(kinds, (tree.left, tree.right), strict=True):
            if kind not in ORDERED:
                self.refuse(side, f"{unparse(side)} is {kind}, which has no order", "only == and != fit here")
                return
        if not same_family(*kinds):
            self.mismatch(tree, kinds)

    def type_once(self, tree: Tree, shape: _Shape) -> Type:
        """As `type`, for a shape that was found already: its problems are not found twice."""
        if shape.type != "secret":
            return shape.type
        return self.refuse(tree, f"{unparse(tree)} is a secret and takes part in no condition", None).type

    def mismatch(self, tree: Compare, kinds: tuple[Type, Type]) -> None:
        left, right = unparse(tree.left), unparse(tree.right)
        hint = conversion_hint(left, *kinds) or conversion_hint(right, kinds[1], kinds[0])
        if isinstance(tree.left, Literal):
            summary = f"{right} is {kinds[1]}, and {left} is {kinds[0]}"
        else:
            summary = f"{left} is {kinds[0]}, and {right} is {kinds[1]}"
        self.refuse(tree, summary, hint)

    def containment(self, tree: Compare, member: Type, container: _Shape) -> None:
        written = unparse(tree.right)
        match container.type:
            case "any":
                pass
            case "text" | "map" if member not in {"text", "any"}:
                plain = f"write text({unparse(tree.left)})"
                hint = conversion_hint(unparse(tree.left), member, "text") or plain
                self.refuse(tree, f"{unparse(tree.left)} is {member}, and {written} is {container.type}", hint)
            case "list" if "any" not in {member, container.of} and not same_family(member, container.of):
                if "null" not in {member, container.of}:
                    summary = f"{unparse(tree.left)} is {member}, and {written} holds {container.of}"
                    self.refuse(tree, summary, conversion_hint(unparse(tree.left), member, container.of))
            case "text" | "map" | "list":
                pass
            case _:
                self.refuse(tree.right, f"{written} is {container.type}; `in` takes a list, a map or a text", None)

    def call(self, tree: Call) -> _Shape:
        signature = SIGNATURES[tree.function]
        found = [self.shape(argument) for argument in tree.arguments]
        for argument, shape, takes in zip(tree.arguments, found, signature.takes, strict=False):
            kind = self.type_once(argument, shape)
            if "any" not in takes and kind != "any" and kind not in takes:
                summary = f"{tree.function} takes {' or '.join(sorted(takes))}, and {unparse(argument)} is {kind}"
                self.refuse(argument, summary, usage(tree.function))
        if signature.gives == "either":
            kinds = {shape.type for shape in found}
            if len(kinds) == 1:
                return found[0]
            return _Shape("decimal") if kinds == {"int", "decimal"} else _ANYTHING
        if signature.gives == "argument":
            return _list(found[0])
        if signature.gives == "element":
            return _element(found[0])
        return _Shape(signature.gives, signature.of)

    def each(self, tree: Each) -> _Shape:
        signature = EACH_SIGNATURES[tree.function]
        source = self.shape(tree.source)
        kind = self.type_once(tree.source, source)
        if kind not in {"list", "any"}:
            hint = f"write {tree.function}({tree.name} in keys({unparse(tree.source)}), ...)" if kind == "map" else None
            self.refuse(tree.source, f"{unparse(tree.source)} is {kind}, not a list", hint)
        if self.exists(tree.name):
            self.refuse(tree, f"{tree.name} is a name already", "choose another name for the member")
        self.bound[tree.name] = _element(source)
        body = self.shape(tree.body)
        wanted = self.type_once(tree.body, body)
        if signature.body == "bool":
            self.truth(tree.body, wanted)
        elif signature.body == "ordered" and wanted != "any" and wanted not in ORDERED:
            self.refuse(tree.body, f"{unparse(tree.body)} is {wanted}, which has no order", usage(tree.function))
        del self.bound[tree.name]
        match signature.gives:
            case "bool":
                return _Shape("bool")
            case "element":
                return _element(source)
            case "body":
                return _Shape("list", wanted)
            case "argument":
                return _list(source)

    def exists(self, name: str) -> bool:
        found = self.types.type_of((name,))
        return found is not None and not isinstance(found, Problem)


def _list(shape: _Shape) -> _Shape:
    """A list with the members of this one; a list known by a path keeps it, so that its members keep their types."""
    return _Shape("list", shape.of, shape.path)


def _element(shape: _Shape) -> _Shape:
    path = (*shape.path, ANY_MEMBER) if shape.path is not None else None
    return _Shape(shape.of if shape.type == "list" else "any", path=path)
