"""A file of inputs: names and values as written, by the rules of documents; their types are the runbook's to say."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from drctl.loading.codes import Problems
from drctl.loading.document import Loaded, read_document
from drctl.loading.nodes import Mapping, Scalar, Sequence
from drctl.loading.shapes import Reading, Texts, refuse

if TYPE_CHECKING:
    from collections.abc import Callable

Answers: TypeAlias = dict[str, "str | tuple[str, ...]"]


def load_answers(path: str, read: Callable[[str], bytes]) -> Loaded[Answers]:
    """Load a map of names to values; the value of a list input is a list."""
    problems = Problems()
    root, _ = read_document(path, read, problems)
    reading = Reading(problems, Texts(), "the file of inputs")
    found: Answers = {}
    if isinstance(root, Mapping):
        for entry in root.entries:
            value = entry.value
            members = value.items if isinstance(value, Sequence) else ()
            for member in (*members, *([] if isinstance(value, Sequence | Scalar) else [value])):
                if not isinstance(member, Scalar):
                    refuse(member, reading, "a value, or a list of values", "each input is one text, number or list")
            texts = tuple(member.text for member in members if isinstance(member, Scalar))
            found[entry.key.text] = value.text if isinstance(value, Scalar) else texts
    elif root is not None:
        refuse(root, reading, "a map of names to values", "write NAME: VALUE, one a line")
    return Loaded(value=None if problems.failed else found, diagnostics=problems.sorted())
