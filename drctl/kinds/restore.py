"""The kind `restore`: carries out registered restores here instead of at the end."""

from __future__ import annotations

from typing import ClassVar

from drctl.core.kind import EngineKind, Place, arg
from drctl.core.nouns import dataclass
from drctl.core.outcomes import Effect


@dataclass(frozen=True, slots=True, kw_only=True)
class Restore(EngineKind):
    """Carries out the `restore` of the named steps at this place, newest first; each runs once.

    Steps that never started have nothing to restore. What is not named runs when the run ends, as always.
    """

    NAME: ClassVar[str] = "restore"
    PLACE: ClassVar[Place] = Place.NONE
    EFFECT: ClassVar[Effect | None] = Effect.IDEMPOTENT
    EXAMPLE: ClassVar[str] = """
- {id: pause, on: local, run: touch paused, effect: idempotent, restore: {run: rm -f paused}}
- {id: go_on, do: restore, with: {steps: [pause]}}
"""

    steps: tuple[str, ...] = arg(type="list", doc="Ids of earlier steps that have a `restore`.")
