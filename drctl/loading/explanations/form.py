"""What an explanation of a code is made of, and how its examples become whole documents."""

from __future__ import annotations

import enum

from drctl.core.nouns import dataclass

_HEAD = "runbook: example\nphases:\n  - id: only\n    steps:\n"
_INDENT = " " * 6


class Form(enum.Enum):
    """What an example is a part of."""

    STEPS = "steps of a runbook"
    RUNBOOK = "a runbook"
    INVENTORY = "an inventory"
    WORDS = "words"
    """No short document can show it; the example tells of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """The long text of a code.

    Attributes:
        why: why drctl refuses it, or warns of it.
        wrong: an example that gives the code.
        right: the same, mended.
        next: what to do or to type.
        form: what the examples are.
    """

    why: str
    wrong: str
    right: str
    next: str
    form: Form = Form.STEPS

    def document(self, example: str) -> str:
        """The whole document of an example; steps get a runbook around them."""
        if self.form is not Form.STEPS:
            return example
        return _HEAD + "".join(f"{_INDENT}{line}\n" if line else "\n" for line in example.rstrip("\n").split("\n"))
