"""The kind `wait`: lets time pass."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, ClassVar

from drctl.core.kind import EngineKind, FieldSpec, Place, arg
from drctl.core.nouns import dataclass

if TYPE_CHECKING:
    from drctl.core.values import Duration, Time


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait(EngineKind):
    """Waits for a length of time, or until a point in time; exactly one of the two is given.

    To wait for something to become true, give a look `until` instead.
    """

    NAME: ClassVar[str] = "wait"
    PLACE: ClassVar[Place] = Place.NONE
    EXAMPLE: ClassVar[str] = """
- {id: settle, do: wait, with: {for: 30s}}
"""

    length: Duration | None = arg(type="duration", doc="How long.", default=None)
    until: Time | None = arg(type="time", doc="Until when.", default=None)

    @classmethod
    def fields(cls) -> tuple[FieldSpec, ...]:
        """The fields by their names in the language: `for` is a word of Python's."""
        declared = super(Wait, cls).fields()  # noqa: UP008 - a slotted class is made anew: no cell
        return tuple(dataclasses.replace(spec, name="for") if spec.name == "length" else spec for spec in declared)
