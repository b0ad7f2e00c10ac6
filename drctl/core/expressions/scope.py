"""What an expression asks of the world around it: values by name when evaluated, types by name when checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    from drctl.core.expressions.errors import Problem
    from drctl.core.expressions.signatures import Type
    from drctl.core.quantities import Time
    from drctl.core.value_types import Secret, Unknown, Value


class Node(Protocol):
    """Something with members that is no value itself: `steps`, `steps.x`, `hosts`, `inputs`.

    A node may also be a `RecordsNode` (it can stand for a list) or a `ValueNode` (it can stand for a value).
    """

    def member(self, name: str) -> Found:
        """What `.name` or `['name']` is; no value with the reason when there is no such member."""
        ...


@runtime_checkable
class RecordsNode(Protocol):
    """A node that is a list as well: `steps.x.hosts`, `steps.x.each`. Its records may be nodes themselves."""

    def records(self) -> tuple[Found, ...] | Unknown:
        """The members in their order: `[0]`, `len`, `filter` and the like see these."""
        ...


@runtime_checkable
class ValueNode(Protocol):
    """A node that can stand for a value where one is needed, such as a record that ends in a frozen list."""

    def value(self) -> Value | Unknown:
        """The node as a value, a map as a rule."""
        ...


Found: TypeAlias = "Value | Unknown | Secret | Node"
"""What a name or a member may be."""


class Scope(Protocol):
    """The names an expression sees while it is evaluated. It does no I/O: everything was looked up before."""

    def lookup(self, name: str) -> Found:
        """What a bare name is; no value with the reason when there is none."""
        ...

    def now(self) -> Time:
        """The time of this evaluation; the same whenever it is asked, and recorded by whoever owns the clock."""
        ...

    def group(self, name: str) -> Value | Unknown:
        """The hosts of a group of the inventory."""
        ...


class TypeScope(Protocol):
    """The names an expression sees while it is checked, before any value exists."""

    def type_of(self, path: tuple[str, ...]) -> Type | Problem | None:
        """The type of a name with its members, such as `("steps", "x", "hosts", "[]", "lag")`.

        The longest path is asked first. A type or a problem decides (the problem's offset is filled in by the check);
        None says "ask me of something shorter": members of a map, a list or a host need not be known here.
        """
        ...
