"""A block as a whole, within its time and until it is ok: what its `timeout`, `retry`, `until` and ladder say.

What was spent before a crash is counted too, from the journal: a limit is one for the whole block. Time in which no
writer was there, or a person was waited for, does not count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from drctl.core.model import Block, Include
from drctl.core.outcomes import Outcome
from drctl.core.values import Duration
from drctl.engine.blocks import Limit, LimitError
from drctl.engine.failures import AGAIN
from drctl.engine.pace import Pace
from drctl.engine.parts import ending

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from drctl.core.model import Repeat, Rung, Step
    from drctl.engine.context import Context
    from drctl.engine.recorder import Recorder
    from drctl.engine.stops import Control
    from drctl.engine.walk import Crew, Walk

Ended = tuple[Outcome, str]
GOOD = frozenset({Outcome.OK, Outcome.PARTIAL, Outcome.SKIPPED})


class Attempts:
    """Attempts at the blocks of one run."""

    def __init__(self, walk: Walk, crew: Crew, recorder: Recorder, control: Control) -> None:
        self._walk = walk
        self._crew = crew
        self._recorder = recorder
        self._control = control

    @property
    def _context(self) -> Context:
        return self._crew.looks.context

    def whole(self, step: Step, inside: Callable[[], Ended]) -> Ended:
        """Carry what is inside out, again where the block says so, and no longer than it says."""
        if step.loop is not None or not isinstance(step.body, Block | Include):
            return inside()
        if step.timeout is None:
            return self._tried(step, inside)
        clock = self._context.clock
        end = Duration(clock.monotonic().micros + step.timeout.micros - self._spent(step).micros)
        limit = Limit(end=end, since=clock.now())
        try:
            with self._crew.branches.limited(limit):
                return self._tried(step, inside)
        except LimitError as over:
            if over.limit is not limit:
                raise
            return Outcome.TIMEOUT, f"its time of {step.timeout.human()} is over"

    def pause(self, length: Duration, path: str) -> None:
        """Wait, and heed words from outside meanwhile.

        Raises:
            Stop: a word from outside.
        """
        self._context.clock.sleep(length, self._crew.questions.halted)
        if self._control.stopping:
            raise self._control.stop(path)

    def climb(self, repeat: Repeat, since: Duration) -> str:
        """Take the rungs of a ladder that are due, each once; why one failed, else empty."""
        for rung in repeat.escalate:
            if since < rung.after or self._taken(rung):
                continue
            with self._crew.branches.quietly():
                outcome = self._walk.serial(rung.steps)
            if outcome not in GOOD:
                because = self._because(rung.steps) or outcome.value
                return f"{rung.steps[-1].path.rpartition('/')[0]} after {rung.after.human()}: {because}"
        return ""

    def _tried(self, step: Step, inside: Callable[[], Ended]) -> Ended:
        repeat = step.retry or step.until
        if repeat is None:
            return inside()
        clock = self._context.clock
        pace = Pace(repeat, Duration(clock.monotonic().micros - self._spent(step).micros))
        pace.tries, row = self._begun(step), 0
        while True:
            pace.tries += 1
            with self._crew.branches.quietly():
                outcome, because = inside()
            if outcome is Outcome.IN_DOUBT:
                return outcome, because
            row = row + 1 if outcome in GOOD else 0
            if row >= repeat.in_a_row:
                return outcome, because
            pause = pace.next_pause(clock.monotonic(), repeat.in_a_row - row)
            if pause is None:
                last = because or self._crew.failures.because(step) or outcome.value
                return (Outcome.TIMEOUT if pace.time_over else Outcome.FAILED), f"gave up: {last}"
            if not pace.climb(self._walk.ladder, clock.monotonic()):
                return Outcome.FAILED, pace.refused
            self.pause(pause, step.path)
            self._crew.failures.start_over(step, _again(step))

    def _spent(self, step: Step) -> Duration:
        """How long it has been carried out, writers of before among them."""
        block, now = self._recorder.state.blocks.get(step.path), self._context.clock.now()
        if block is None:
            return Duration(0)
        idle = self._recorder.state.idle(block.started_at, now).micros
        return Duration(max(0, now.micros - block.started_at.micros - idle))

    def _begun(self, step: Step) -> int:
        """How many attempts are over: each marks what it does again."""
        state, again = self._recorder.state, _again(step)
        marks = (
            sum(unit.finished.by == AGAIN and unit.finished.because == again for unit in units if unit.finished)
            for units in (state.step(inner.path).units for inner in ending(self._context, step))
        )
        return max(marks, default=0)

    def _taken(self, rung: Rung) -> bool:
        return all(self._crew.failures.ended(step) for step in rung.steps)

    def _because(self, steps: Sequence[Step]) -> str:
        return next((text for step in reversed(steps) if (text := self._crew.failures.because(step))), "")


def _again(step: Step) -> str:
    return f"{step.path} is done again"
