"""What is asked for: an input of a runbook, or an answer that a `manual` step wants."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from drctl.core.nouns import dataclass

if TYPE_CHECKING:
    from drctl.core.diagnostics import Where
    from drctl.core.values import Value
    from drctl.core.written import Text


class InputType(enum.Enum):
    """Types an input may have."""

    TEXT = "text"
    INT = "int"
    BOOL = "bool"
    CHOICE = "choice"
    DURATION = "duration"
    TIME = "time"
    HOST = "host"
    SECRET = "secret"  # noqa: S105 - a type's name
    LIST = "list"


@dataclass(frozen=True, slots=True, kw_only=True)
class InputSpec:
    """One input or one answer field of a `manual` step.

    `required` means: no default and not optional. `source` is the reference of a secret (`env:NAME`).
    """

    name: str
    type: InputType
    ask: Text | None = None
    default: Value = None
    has_default: bool = False
    optional: bool = False
    of: tuple[str, ...] = ()
    pattern: str | None = None
    minimum: Value = None
    maximum: Value = None
    source: str | None = None
    where: Where

    @property
    def required(self) -> bool:
        """Whether the run cannot start without a value."""
        return not self.has_default and not self.optional and self.source is None
