"""Scopes for expressions: names with values, nodes with members and records, types by path."""
# ruff: noqa: ANN401 - a scope may hold anything

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from drctl.core.values import HostRef, Time, Unknown, Value, from_plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drctl.core.expressions import Problem, Type

SKIPPED = Unknown("x was skipped", not_yet=False)
NOT_YET = Unknown("", not_yet=True)


@dataclass(frozen=True, slots=True)
class Record:
    """A node with members; with `rows` it is a list as well."""

    members: Mapping[str, Any] = field(default_factory=dict)
    rows: tuple[Any, ...] | None = None

    def member(self, name: str) -> Any:
        """The member, or none."""
        return self.members.get(name, Unknown(f"it has no {name}", not_yet=False))


@dataclass(frozen=True, slots=True)
class Table(Record):
    """A node that can stand for a list."""

    def records(self) -> tuple[Any, ...] | Unknown:
        """Its rows."""
        return self.rows or ()


@dataclass(frozen=True, slots=True)
class Row(Record):
    """A node that can stand for a value."""

    def value(self) -> Value | Unknown:
        """Its members as a map."""
        return from_plain(dict(self.members))


class Names:
    """A scope over a few names; it is always 2026-01-31T12:00:00Z."""

    def __init__(self, **names: Any) -> None:
        self.names = names

    def lookup(self, name: str) -> Any:
        """The name, or none."""
        return self.names.get(name, Unknown(f"there is no {name}", not_yet=False))

    def now(self) -> Time:
        """Noon."""
        return Time.parse("2026-01-31T12:00:00Z")

    def group(self, name: str) -> Value | Unknown:
        """Two web hosts."""
        if name != "web":
            return Unknown(f"there is no group {name}", not_yet=False)
        return HostRef(name="web1", address="10.0.0.1"), HostRef(name="web2", address="10.0.0.2", port=2222, site="b")


class Types:
    """A type scope over paths written with dots."""

    def __init__(self, **types: Type) -> None:
        self.types: dict[str, Type | Problem] = dict(types)

    def add(self, path: str, found: Type | Problem) -> Types:
        """One more path, which may have dots."""
        self.types[path] = found
        return self

    def type_of(self, path: tuple[str, ...]) -> Type | Problem | None:
        """What was given for the path, else nothing."""
        return self.types.get(".".join(path))
