"""The step kinds: one file each, found by scanning this package.

A kind is the public class of its file; its fields are the schema, its docstring the documentation. To add one, add a
file: the contract tests, `drctl kinds`, the JSON Schema and `docs/step-kinds.md` come by themselves. Files without a
kind hold what several kinds share.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from functools import cache

from drctl.core.kind import Kind


@cache
def registry() -> Mapping[str, type[Kind]]:
    """Every kind by the word in `do:`, sorted by name.

    To look into it raises a TypeError when two files claim one name; a defect that a test would find first.
    """
    return _Kinds()


class _Kinds(Mapping[str, type[Kind]]):
    """The kinds, each imported when it is first asked for: a runbook uses a few, and a check has to start fast."""

    def __getitem__(self, name: str) -> type[Kind]:
        """The kind of the file that its name says; a name that no file says is looked for in all of them."""
        file = name.replace(".", "_")
        if file in _files():
            kind = _kind_of(f"{__name__}.{file}")
            if kind is not None and name == kind.NAME:
                return kind
        return _all()[name]

    def __iter__(self) -> Iterator[str]:
        """Every name, sorted."""
        return iter(_all())

    def __len__(self) -> int:
        """How many there are."""
        return len(_all())


@cache
def _files() -> frozenset[str]:
    return frozenset(module.name for module in pkgutil.iter_modules(__path__))


@cache
def _all() -> dict[str, type[Kind]]:
    found: dict[str, type[Kind]] = {}
    for file in _files():
        kind = _kind_of(f"{__name__}.{file}")
        if kind is None:
            continue
        if kind.NAME in found:
            raise TypeError(f"{kind.NAME} is claimed by {found[kind.NAME].__module__} and by {kind.__module__}.")
        found[kind.NAME] = kind
    return dict(sorted(found.items()))


@cache
def _kind_of(name: str) -> type[Kind] | None:
    module = importlib.import_module(name)
    kinds = [
        member
        for member in vars(module).values()
        if isinstance(member, type)
        and issubclass(member, Kind)
        and member.__module__ == name
        and not member.__name__.startswith("_")
    ]
    if len(kinds) > 1:
        raise TypeError(f"{name} holds {len(kinds)} kinds; one file holds one.")
    return kinds[0] if kinds else None
