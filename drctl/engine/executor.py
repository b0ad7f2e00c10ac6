"""Carries a run out from wherever it stands, and ends it: the assembly of the engine's parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from drctl.core import events as ev
from drctl.core.model import Effect
from drctl.core.ports import Claim, ClaimState
from drctl.engine import closing
from drctl.engine.acts import Acts
from drctl.engine.failures import Failures
from drctl.engine.guards import Guards
from drctl.engine.ledger import Ledger
from drctl.engine.looks import Looks
from drctl.engine.marks import Marks
from drctl.engine.people import People
from drctl.engine.preflight import Preflight
from drctl.engine.questions import Inbox, Operator, Questions
from drctl.engine.stops import Control, Stop
from drctl.engine.walk import Crew, Walk
from drctl.engine.world import LOCAL, World
from drctl.errors import Exit

if TYPE_CHECKING:
    from collections.abc import Callable

    from drctl.core.values import Duration
    from drctl.engine.context import Context
    from drctl.engine.recorder import Recorder


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """Where people meet the run: the inbox, the terminal if there is one, and how long to wait without one."""

    inbox: Inbox
    operator: Operator | None = None
    wait: Duration | None = None


class Executor:
    """One writer of one run."""

    def __init__(
        self, context: Context, recorder: Recorder, world: World, desk: Desk, control: Control,
        mask: Callable[[str], str] = lambda text: text,
    ) -> None:  # fmt: skip
        self._context = context
        self._recorder = recorder
        self._world = world
        self._control = control
        looks = Looks(context, recorder, world, mask, lambda: control.level > 0 or control.abort)
        questions = Questions(context, recorder, desk.inbox, control, operator=desk.operator, wait=desk.wait)
        self._questions = questions
        self._acts = Acts(looks, recorder, world, control, mask)
        self._ledger = Ledger(looks, self._acts, recorder)
        crew = Crew(
            looks=looks, acts=self._acts, people=People(looks, recorder, questions, control),
            guards=Guards(looks, recorder, questions), ledger=self._ledger, preflight=Preflight(context, recorder, world),
            failures=Failures(looks, recorder, questions), marks=Marks(looks, recorder),
        )  # fmt: skip
        self._walk = Walk(crew, questions, recorder, control)

    def run(self) -> Exit:
        """Go on until the run is over or must pause; the journal then says which, and why."""
        try:
            self._walk.run()
        except Stop as stop:
            if not stop.closes:
                return self._pause(stop)
            return self._close_after(stop)
        self._questions.drain()
        self._ledger.restore_all()
        return self._close(closing.done(self._recorder.state))

    def abort(self, because: str) -> Exit:
        """Close an open run without going on: restores are carried out, nothing else."""
        return self._close_after(Stop("abort", because=because, exit=Exit.ABORTED))

    def end_running(self) -> list[str]:
        """End what runs on the hosts now, never an irreversible act; the paths that were left alone."""
        left = []
        for key, (_, _, effect) in list(self._acts.running.items()):
            if effect is Effect.IRREVERSIBLE:
                left.append(key)
        return left

    def _pause(self, stop: Stop) -> Exit:
        self._recorder.write(
            ev.RunPaused(reason=stop.reason, path=stop.path, because=stop.because, exit=int(stop.exit)), durable=True
        )
        return stop.exit

    def _close_after(self, stop: Stop) -> Exit:
        in_doubt = self._recorder.state.in_doubt
        if stop.reason == "rollback" and in_doubt:
            # Rolling back around an unknown is acting on a guess.
            return self._pause(
                Stop("doubt", path=in_doubt[0].path, because="no rollback while a step is in doubt", exit=Exit.IN_DOUBT)
            )
        undo_failed, undone = "", False
        if stop.reason == "rollback":
            undone = bool(self._ledger.due(restore=False)) or not self._ledger.cut_by()
            undo_failed = self._ledger.roll_back()
        self._ledger.restore_all()
        return self._close(closing.stopped(stop, self._recorder.state, undo_failed, undone))

    def _close(self, close: closing.Close) -> Exit:
        self._release()
        self._recorder.write(closing.closed_event(close, self._recorder.state), durable=True)
        return close.exit

    def _release(self) -> None:
        """Give every host back that an act of this run took; a host that cannot be told is noted, not waited for."""
        who = self._context.identity
        claim = Claim(
            key="0" * 64, run=who.uid, run_id=who.id, operator=who.operator, epoch=who.epoch, holder=who.holder
        )
        places = {
            unit.host for step in self._recorder.state.steps.values() for unit in step.units
            if unit.started is not None and unit.started.key
        }  # fmt: skip
        for place in sorted(places):
            if place in self._recorder.state.fenced:
                continue
            answer = self._world.shell(place).release(claim)
            if answer.state in {ClaimState.UNREACHABLE, ClaimState.IN_DOUBT} and place != LOCAL:
                self._recorder.write(ev.Degraded(what=f"owner mark on {place}", because=answer.because))
