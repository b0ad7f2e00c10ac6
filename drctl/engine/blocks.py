"""Steps side by side: branches of a parallel block, rounds of a loop, hosts of a table; and the limits around them."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

from drctl.core.nouns import dataclass
from drctl.core.outcomes import Outcome
from drctl.engine.failures import good
from drctl.engine.fanout import fan_out
from drctl.engine.stops import Stop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from drctl.core.fold import RunState
    from drctl.core.model import Step
    from drctl.core.ports import Clock
    from drctl.core.values import Duration, Time


class HaltedError(Exception):
    """Too many others failed; this one starts no further step."""


@dataclass(frozen=True, slots=True, eq=False)
class Limit:
    """The time limit of a block: an end on the monotonic clock, moved by what the run stood still since `since`."""

    end: Duration
    since: Time


class LimitError(Exception):
    """The time of a block is over."""

    def __init__(self, limit: Limit) -> None:
        super().__init__("its time is over")
        self.limit = limit


class Halt:
    """Set when too many failed; a block inside a branch heeds the one around it too."""

    def __init__(self, around: Halt | None) -> None:
        self._around = around
        self._event = threading.Event()

    def set(self) -> None:
        """Start no further step."""
        self._event.set()

    @property
    def is_set(self) -> bool:
        """Whether it was set here or around."""
        return self._event.is_set() or (self._around is not None and self._around.is_set)


class Branches(threading.local):
    """What a thread stands in.

    Attributes:
        halt: set when it must start no further step; None outside of branches.
        quiet: whether a failure is for somebody around to judge: nobody is asked at the step itself.
        limits: time limits of the blocks around.
    """

    halt: Halt | None = None
    quiet: bool = False
    limits: tuple[Limit, ...] = ()

    @contextlib.contextmanager
    def quietly(self, *, really: bool = True) -> Iterator[None]:
        """Around steps whose failure is judged by what is around them."""
        before, self.quiet = self.quiet, self.quiet or really
        try:
            yield
        finally:
            self.quiet = before

    @contextlib.contextmanager
    def limited(self, limit: Limit | None) -> Iterator[None]:
        """Around steps that share a time limit."""
        before = self.limits
        self.limits = before if limit is None else (*before, limit)
        try:
            yield
        finally:
            self.limits = before


def over(branches: Branches, clock: Clock, state: RunState) -> Limit | None:
    """The outermost block around of which the time is over."""
    now, utc = clock.monotonic().micros, clock.now()
    for limit in branches.limits:
        if now > limit.end.micros + state.idle(limit.since, utc).micros:
            return limit
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Together:
    """How steps are carried side by side: how many at a time, and how many may fail before no new one starts."""

    at_once: int
    allowed: int = 0


def side_by_side(
    steps: Sequence[Step], how: Together, branches: Branches, carry: Callable[[Step], Outcome]
) -> list[Outcome]:
    """Carry steps; when too many failed, the others finish the step they are in and start no new one.

    A question that nobody answers yet halts no other branch when all go at once: a person is not kept from being asked
    because another one has not answered. Where they go in turn, the next does not begin before it. A doubt or too many
    failures beside it come first: the whole ends so, and the question waits.

    Raises:
        Stop: a step stopped the run; the others have finished theirs.
    """
    all_at_once = how.at_once >= len(steps)
    halt, limits = Halt(branches.halt), branches.limits
    failed, counting, unanswered = [0], threading.Lock(), list[Stop]()

    def branch(step: Step) -> Outcome:
        before = branches.halt, branches.quiet, branches.limits
        branches.halt, branches.quiet, branches.limits = halt, True, limits
        try:
            if halt.is_set:
                return Outcome.NOT_RUN
            outcome = carry(step)
        except HaltedError:
            return Outcome.NOT_RUN
        except BaseException as stop:
            waits = isinstance(stop, Stop) and stop.reason == "question"
            if not (all_at_once and waits):
                halt.set()
            if not (isinstance(stop, Stop) and waits):
                raise
            unanswered.append(stop)
            return Outcome.NOT_RUN
        finally:
            branches.halt, branches.quiet, branches.limits = before
        if not good(step, outcome):
            with counting:
                failed[0] += 1
                if failed[0] > how.allowed or outcome is Outcome.IN_DOUBT:
                    halt.set()
        return outcome

    outcomes = fan_out(steps, branch, how.at_once)
    if unanswered and failed[0] <= how.allowed and Outcome.IN_DOUBT not in outcomes:
        raise unanswered[0]
    return outcomes


def together(steps: Sequence[Step], outcomes: Sequence[Outcome], allowed: int = 0) -> Outcome:
    """The outcome of steps as one: in doubt if one is; failed beyond the limit; partial up to it.

    If every end that is not ok was foreseen and none was ok, the whole ends so too.
    """
    ends = list(zip(steps, outcomes, strict=True))
    bad = [outcome for step, outcome in ends if not good(step, outcome)]
    if Outcome.IN_DOUBT in bad:
        return Outcome.IN_DOUBT
    if len(bad) > allowed:
        return Outcome.FAILED
    if bad or Outcome.PARTIAL in outcomes:
        return Outcome.PARTIAL
    if outcomes and all(outcome.bad for outcome in outcomes):
        return outcomes[0]
    return Outcome.OK


def whole(step: Step, members: Sequence[Step], ends: Sequence[Outcome], allowed: int = 0) -> Outcome:
    """The outcome of a container by the ends inside it; `first_ok` needs one that is ok, and rejects the others."""
    if step.loop is not None and step.loop.first_ok:
        if Outcome.IN_DOUBT in ends:
            return Outcome.IN_DOUBT
        return Outcome.OK if Outcome.OK in ends else Outcome.FAILED
    return together(members, ends, step.loop.max_failures if step.loop is not None else allowed)
