"""A document before anyone knows what it says: its bytes through the given `read`, its nodes, and what a load gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from drctl.core.diagnostics import Diagnostic, Where
from drctl.core.nouns import dataclass
from drctl.loading.yaml_nodes import compose

if TYPE_CHECKING:
    from collections.abc import Callable

    from drctl.loading.codes import Problems
    from drctl.loading.nodes import Node

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded(Generic[T]):
    """What a file gave: the value, None when there was an error, and everything that was found."""

    value: T | None
    diagnostics: tuple[Diagnostic, ...]


def read_document(path: str, read: Callable[[str], bytes], problems: Problems) -> tuple[Node | None, str]:
    """Read a file through `read` and compose it; the text is empty when it could not be read."""
    try:
        data = read(path)
    except OSError as error:
        problems.error("E100", Where(file=path), f"the file cannot be read: {error.strerror or error}")
        return None, ""
    return compose(data, path, problems), data.decode("utf-8", "replace")
