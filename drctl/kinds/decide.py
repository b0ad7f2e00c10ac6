"""The kind `decide`: one of several values, by rules or by a person."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from drctl.core.kind import EngineKind, Place, arg
from drctl.core.nouns import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drctl.core.values import Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Decide(EngineKind):
    """Chooses a value: the first rule that is true wins, and `steps.ID.value` is its `then`.

    When a rule that cannot be judged stands before the first true one, or none is true and there is no `otherwise`,
    a person chooses among the values (`ask: unclear`), or the step fails (`never`). `always` shows the finding and
    asks for a confirmation. A choice against the finding is recorded as an override.
    """

    NAME: ClassVar[str] = "decide"
    PLACE: ClassVar[Place] = Place.NONE
    OUTPUTS: ClassVar[Mapping[str, str]] = {"value": "any"}
    EXAMPLE: ClassVar[str] = """
- {id: web, do: http.check, with: {url: "https://invoices.example/healthz"}, observe: true}
- {id: fault, do: decide, with: {rules: [{if: steps.web.failed, then: software}], otherwise: none}}
"""

    rules: tuple[Value, ...] = arg(type="list", doc="`{if: EXPR, then: VALUE}`, judged from the top.")
    otherwise: Value = arg(type="any", doc="The value when no rule is true.", default=None)
    ask: str = arg(
        type="text", doc="When a person is asked.", default="unclear", choices=("unclear", "always", "never")
    )
