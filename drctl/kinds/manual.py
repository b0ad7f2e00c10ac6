"""The kind `manual`: work or a judgement of a person."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from drctl.core.kind import EngineKind, Place, arg
from drctl.core.nouns import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drctl.core.values import Duration, Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Manual(EngineKind):
    """Asks a person to do or to judge something, and waits for the answer.

    Without `ask` the answer is done or not done; not done fails the step. With `ask`, answers are typed and checked
    like inputs and become outputs: `steps.ID.NAME`. After `within` the alarm goes out again; it never counts as yes.
    """

    NAME: ClassVar[str] = "manual"
    PLACE: ClassVar[Place] = Place.NONE
    EXAMPLE: ClassVar[str] = """
- id: provider
  do: manual
  with:
    say: Call the line provider and ask for the ticket of this fault.
    ask: {ticket: {type: text, ask: The ticket's number}}
    within: 15m
"""

    say: Value = arg(type="text", doc="What to do, in one or several languages.")
    ask: Mapping[str, Value] = arg(type="map", doc="Answers wanted: `{name: INPUT}`, as in `inputs`.", default={})
    by: tuple[str, ...] = arg(type="list", doc="Roles of people who may answer; anyone if empty.", default=())
    within: Duration | None = arg(type="duration", doc="After this the alarm goes out again.", default=None)
    evidence: str = arg(
        type="text",
        doc="Whether a file must come with the answer.",
        default="optional",
        choices=("optional", "required"),
    )
