"""The step kinds: one file each, found by scanning this package.

A kind is the public class of its file; its fields are the schema, its docstring the documentation. To add one, add a
file: the contract tests, `drctl kinds`, the JSON Schema and `docs/step-kinds.md` come by themselves. Files without a
kind hold what several kinds share.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING

from drctl.core.kind import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping


@cache
def registry() -> Mapping[str, type[Kind]]:
    """Every kind by the word in `do:`, sorted by name.

    Raises:
        TypeError: when two files claim one name; a defect that a test would find first.
    """
    found: dict[str, type[Kind]] = {}
    for module in pkgutil.iter_modules(__path__):
        kind = _kind_of(f"{__name__}.{module.name}")
        if kind is None:
            continue
        if kind.NAME in found:
            raise TypeError(f"{kind.NAME} is claimed by {found[kind.NAME].__module__} and by {kind.__module__}.")
        found[kind.NAME] = kind
    return MappingProxyType(dict(sorted(found.items())))


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
