"""What is known of one step, block, question or mark: the nouns of the fold, each derived from records alone.

How records become these is `core.fold`.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Any

from drctl.core import events as ev
from drctl.core.nouns import dataclass
from drctl.core.outcomes import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drctl.core.values import Time


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One record, decoded: its place in the journal, its time, and its event."""

    seq: int
    at: Time
    mono: int
    boot: str
    actor: str
    event: ev.Event


@dataclass(slots=True, kw_only=True)
class Unit:
    """One attempt of one step at one place. The numbers of its records tell what came before what."""

    path: str
    host: str
    attempt: int
    started: ev.StepStarted | None = None
    started_at: Time | None = None
    started_seq: int = -1
    finished: ev.StepFinished | None = None
    finished_at: Time | None = None
    finished_seq: int = -1
    commands: list[ev.CommandRan] = field(default_factory=list)

    @property
    def open(self) -> bool:
        """Began and not over: after a crash, in doubt."""
        return self.started is not None and self.finished is None

    @property
    def outcome(self) -> Outcome | None:
        """How this attempt ended."""
        return Outcome(self.finished.outcome) if self.finished is not None else None

    @property
    def effective(self) -> bool:
        """An act that began and may have left something, whatever its end."""
        is_act = self.started is not None and self.started.effect != "read"
        return is_act and self.outcome not in {Outcome.NOT_RUN, Outcome.UNREACHABLE}

    @property
    def is_recheck(self) -> bool:
        """A look taken again as a guard of a later act: its value counts, but it is not the step's own end."""
        event = self.started or self.finished
        return event is not None and event.role is ev.Role.VERIFY


@dataclass(slots=True, kw_only=True)
class StepState:
    """Everything known about one step's units, oldest first."""

    path: str
    units: list[Unit] = field(default_factory=list)

    @property
    def last(self) -> Unit | None:
        """The newest unit."""
        return self.units[-1] if self.units else None

    @property
    def final(self) -> ev.StepFinished | None:
        """How the step ended, None while it is not over; the newest unit counts."""
        last = self.last
        if last is None or last.finished is None or not last.finished.final:
            return None
        return last.finished

    @property
    def own(self) -> Unit | None:
        """The newest unit of the step's own turn; later rechecks do not change how the step itself ended."""
        return next((unit for unit in reversed(self.units) if not unit.is_recheck), None) or self.last

    @property
    def own_final(self) -> ev.StepFinished | None:
        """How the step itself ended, None while it is not over: what the walk goes by."""
        own = self.own
        return own.finished if own is not None and own.finished is not None and own.finished.final else None

    @property
    def own_final_at(self) -> Time | None:
        """When it itself ended."""
        return self.own.finished_at if self.own_final is not None and self.own is not None else None

    @property
    def unsettled(self) -> bool:
        """Whether its newest attempt began and its end is not known."""
        own = self.own
        return own is not None and (own.open or (self.own_final is not None and own.outcome is Outcome.IN_DOUBT))

    @property
    def effects(self) -> list[Unit]:
        """Acts of it that began and may have left something; a generation that was proven not to have begun is out."""
        begun = [(unit, unit.started.generation) for unit in self.units if unit.started is not None]
        newest = {generation: unit for unit, generation in begun}
        return [unit for unit, generation in begun if unit.effective and newest[generation].effective]

    @property
    def intent(self) -> Unit | None:
        """The newest unit that began."""
        return next((unit for unit in reversed(self.units) if unit.started is not None), None)

    @property
    def ended_seq(self) -> int:
        """The record of its newest final end, -1 when it has none."""
        return max((u.finished_seq for u in self.units if u.finished is not None and u.finished.final), default=-1)

    @property
    def final_at(self) -> Time | None:
        """When it ended."""
        return self.last.finished_at if self.final is not None and self.last is not None else None

    @property
    def outcome(self) -> Outcome | None:
        """The step's outcome, None while it is not over."""
        return Outcome(self.final.outcome) if self.final is not None else None

    @property
    def began(self) -> bool:
        """Whether any unit of it began: the field `started`."""
        return any(unit.started is not None for unit in self.units)

    @property
    def first_started_at(self) -> Time | None:
        """When its first unit began."""
        return next((unit.started_at for unit in self.units if unit.started_at is not None), None)

    @property
    def generation(self) -> int:
        """The newest generation used, 0 when none was."""
        return max((unit.started.generation for unit in self.units if unit.started is not None), default=0)

    @property
    def attempts(self) -> int:
        """The highest attempt number used."""
        return max((unit.attempt for unit in self.units), default=0)


@dataclass(slots=True, kw_only=True)
class BlockState:
    """A phase or block. `entered` counts how often it began, `by` says who had it done again."""

    path: str
    form: str
    title: str
    started_at: Time
    started_seq: int = -1
    host: str = ""
    frozen: Mapping[str, Any] = field(default_factory=dict)
    outputs: Mapping[str, Any] = field(default_factory=dict)
    by: str = ""
    entered: int = 1
    finished_at: Time | None = None
    finished_seq: int = -1
    outcome: Outcome | None = None
    because: str = ""
    tolerated: bool = False


@dataclass(slots=True, kw_only=True)
class QuestionState:
    """A question and every answer to it, accepted or not. `closed`: settled otherwise, nobody needs to answer it."""

    asked: ev.Asked
    asked_at: Time
    answers: list[ev.Answered] = field(default_factory=list)
    closed: bool = False
    decided_seq: int = -1
    over_at: Time | None = None
    """When it needed no answer any more: it was decided, or settled otherwise."""

    @property
    def accepted(self) -> tuple[ev.Answered, ...]:
        """The answers that count."""
        return tuple(answer for answer in self.answers if answer.accepted)

    @property
    def decided(self) -> ev.Answered | None:
        """The answer that settles it: a rejection at once, an approval when the quorum is full."""
        accepted = self.accepted
        for answer in accepted:
            if answer.choice == "reject":
                return answer
        if accepted and len({answer.by for answer in accepted}) >= self.asked.quorum:
            return accepted[-1]
        return None

    @property
    def open(self) -> bool:
        """Still waits for somebody."""
        return self.decided is None and not self.closed


@dataclass(slots=True, kw_only=True)
class MarkState:
    """One value of a mark."""

    value: object
    at: Time
    path: str
    seq: int = -1
