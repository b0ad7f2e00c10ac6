"""The kind `check`: a statement about what is already known."""

from __future__ import annotations

from typing import ClassVar

from drctl.core.kind import EngineKind, Place
from drctl.core.nouns import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Check(EngineKind):
    """Judges by `expect` alone; looks at nothing.

    For rules between inputs, for a judgement across a table of hosts, and to stop a runbook that does not fit.
    """

    NAME: ClassVar[str] = "check"
    PLACE: ClassVar[Place] = Place.NONE
    EXAMPLE: ClassVar[str] = """
- {id: for_us, do: check, expect: run.mode == 'live', hint: This runbook is not for drills.}
"""
