"""The nouns of an act: what is to be carried out, what would be sent, how an attempt ended; and the call of a kind."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Final

from drctl.core import events as ev
from drctl.core.nouns import dataclass
from drctl.core.outcomes import Effect, Outcome
from drctl.core.ports import LinkError, Reach
from drctl.engine.faults import telling
from drctl.engine.shells import BoundShell, Doubt

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drctl.core.fold import Unit
    from drctl.core.kind import ActKind, Outputs
    from drctl.core.model import Step
    from drctl.core.ports import Act
    from drctl.core.values import Unknown, Value
    from drctl.engine.judge import Judged

HARD: Final = frozenset({Effect.ONCE, Effect.IRREVERSIBLE})
"""Effects that must not happen twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How one attempt ended, before it is recorded.

    Attributes:
        again: it surely did not happen, and a new generation may be tried.
        ended: a person ended it; the step is not over, the run pauses.
        effect_there: whether a look or the act's own good end shows the effect.
    """

    outcome: Outcome
    because: str
    found: bool = False
    again: bool = False
    ended: bool = False
    effect_there: bool = False
    judged: Judged | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ActUnit:
    """An act to carry out: its step, where, and what for.

    `kind` is given for inverses; `pinned` are values as they were at the intent whose way back this is.
    """

    step: Step
    place: str
    role: ev.Role = ev.Role.ACT
    kind: ActKind | None = None
    pinned: Mapping[str, Value | Unknown] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """The address of its records and claims."""
        return self.step.path


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """What would be sent now: the kind with its values, the user, the text and the digest people approve."""

    kind: ActKind
    user: str | None
    text: str
    digest: str


def executed(kind: ActKind, act: Act, bound: BoundShell) -> Outputs:
    """Let the kind act.

    Raises:
        Doubt: its own reply cannot be had.
    """
    if bound.attaches and not kind.CLAIMED:
        raise Doubt("the request left no trace that drctl could ask for", gone=True)
    with telling() as told:
        try:
            outputs = kind.execute(act)
        except LinkError as error:
            gone = not error.began
            raise Doubt(error.because, gone=gone, never=gone, outcome=Outcome.UNREACHABLE) from error
        if outputs.reach is not Reach.COMPLETE:
            never = outputs.reach is Reach.UNREACHABLE
            outcome = Outcome.UNREACHABLE if never else Outcome.TIMEOUT
            raise Doubt(outputs.because, gone=True, never=never, outcome=outcome)
        return outputs
    never = kind.CLAIMED and not bound.used
    raise Doubt(told.because, gone=never, never=never)


def is_marker(unit: Unit) -> bool:
    """A person's word that a step is to be tried again, not an attempt."""
    return unit.started is None and unit.finished is not None and not unit.finished.final and bool(unit.finished.by)
