"""The kind `set`: names for values."""

from __future__ import annotations

from typing import ClassVar

from drctl.core.kind import EngineKind, Place
from drctl.core.nouns import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class SetKind(EngineKind):
    """Gives names to values: each field is a name, and is read later as `steps.ID.NAME`.

    A value that is one template alone keeps its type. Secrets cannot be set: they would be recorded.
    """

    NAME: ClassVar[str] = "set"
    PLACE: ClassVar[Place] = Place.NONE
    EXAMPLE: ClassVar[str] = """
- {id: target, do: set, with: {unit: "postgresql", begun: "${{ run.started_at }}"}}
"""
