"""Carries a run out from wherever it stands, and ends it: the assembly of the engine's parts."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Final

from drctl.core import events as ev
from drctl.core.nouns import dataclass
from drctl.core.outcomes import Outcome
from drctl.core.ports import Claim, ClaimState
from drctl.engine import closing
from drctl.engine.acts import Acts, Waits
from drctl.engine.blocks import Branches, over
from drctl.engine.failures import Failures
from drctl.engine.fences import Fences
from drctl.engine.guards import Guards
from drctl.engine.ledger import Hands, Ledger
from drctl.engine.left import Left
from drctl.engine.looks import Looks, Pen
from drctl.engine.marks import Marks
from drctl.engine.pace import Ladder
from drctl.engine.parts import everything
from drctl.engine.people import People
from drctl.engine.preflight import Preflight
from drctl.engine.questions import Inbox, Operator, Questions
from drctl.engine.sleeps import Sleeps
from drctl.engine.stops import Control, Stop
from drctl.engine.turns import Turns
from drctl.engine.walk import Crew, Walk
from drctl.engine.world import LOCAL, World
from drctl.errors import Exit, JournalError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from drctl.core.values import Duration, Secret
    from drctl.engine.context import Context
    from drctl.engine.recorder import Recorder

_GLANCE: Final = 0.1
"""Seconds in which the word to end running acts is noticed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """Where people meet the run: the inbox, the terminal if there is one, and how long to wait without one."""

    inbox: Inbox
    operator: Operator | None = None
    wait: Duration | None = None


class Executor:
    """One writer of one run.

    `mask` stars secrets out of a text; `learn` is told of texts that are secret from now on.
    """

    def __init__(
        self,
        context: Context,
        recorder: Recorder,
        world: World,
        desk: Desk,
        control: Control,
        mask: Callable[[str], str] = lambda text: text,
        learn: Callable[[Secret], None] = lambda _: None,
    ) -> None:
        self._context = context
        self._recorder = recorder
        self._world = world
        self._control = control
        questions = Questions(context, recorder, desk.inbox, control, operator=desk.operator, wait=desk.wait)

        branches = Branches()

        def halted(role: ev.Role) -> bool:
            if role is ev.Role.LOOK and (questions.halted() or over(branches, context.clock, recorder.state)):
                return True
            return control.ending

        def act_halted() -> bool:
            return questions.halted() or over(branches, context.clock, recorder.state) is not None

        ladder = Ladder()
        looks = Looks(context, recorder, world, Pen(mask=mask, learn=learn), halted, ladder)
        self._questions = questions
        self._acts = Acts(looks, recorder, world, control, Waits(ladder=ladder, halted=act_halted))
        turns = Turns(looks, self._acts, Guards(looks, recorder, questions), recorder)
        people = People(looks, recorder, questions, control)
        hands = Hands(looks=looks, acts=self._acts, turns=turns, people=people, questions=questions, control=control)
        self._ledger = Ledger(hands, recorder)
        self._failures = Failures(looks, recorder, questions)
        crew = Crew(
            looks=looks,
            turns=turns,
            fences=Fences(looks, turns, recorder, control),
            people=people,
            ledger=self._ledger,
            preflight=Preflight(context, recorder, world),
            failures=self._failures,
            marks=Marks(looks, recorder),
            sleeps=Sleeps(context.clock, recorder),
            questions=questions,
            branches=branches,
            ladder=ladder,
        )
        self._walk = Walk(crew, recorder, control)

    def run(self) -> Exit:
        """Go on until the run is over or must pause; the journal then says which, and why.

        Raises:
            JournalError: the journal holds what this version does not know, or cannot be written.
        """
        state = self._recorder.state
        if state.unknown_types:
            names = ", ".join(sorted(set(state.unknown_types)))
            raise JournalError(
                f"The journal holds records that this drctl does not know: {names}.", meaning="Nothing was done.",
                next="resume it with the version that wrote it",
            )  # fmt: skip
        word = state.abort
        if word is not None:  # said before a crash: it holds
            self._control.abort = True
            self._control.because = f"{word.by}: {word.reason}" if word.reason else word.by
        with self._ending_on_word():
            return self._end(self._walked())

    def abort(self, because: str) -> Exit:
        """Close an open run without going on: restores are carried out, nothing else."""
        if self._recorder.state.abort is None:
            who = self._context.identity.operator
            self._recorder.write(ev.ControlReceived(verb="abort", by=who, reason=because), durable=True)
        with self._ending_on_word():
            return self._end(Stop("abort", because=because, exit=Exit.ABORTED))

    # -- ending -----------------------------------------------------------------------------------------------------

    def _walked(self) -> Stop | None:
        try:
            self._walk.run()
            self._questions.drain()
        except Stop as stop:
            return stop
        return self._control.stop("") if self._control.abort else None

    def _end(self, stop: Stop | None) -> Exit:
        """Close the run, or leave it open when it must pause."""
        try:
            if stop is not None and not stop.closes:
                return self._pause(stop)
            return self._close(stop)
        except Stop as other:
            if other.closes and (stop is None or stop.reason != "abort"):
                return self._end(other)
            return self._pause(other)

    def _close(self, stop: Stop | None) -> Exit:
        self._control.abort = False  # it is being obeyed: ways back are carried out in full
        if stop is not None and stop.reason == "rollback":
            self._resolve_doubts()
            self._ledger.roll_back()
        self._ledger.restore_all()
        left = Left(self._ledger, self._recorder, rolling_back=stop is not None and stop.reason == "rollback")
        left.note()
        state = self._recorder.state
        close = closing.done(state) if stop is None else closing.stopped(stop, state, left)
        self._release()
        self._recorder.write(closing.closed_event(close, state), durable=True)
        return close.exit

    def _resolve_doubts(self) -> None:
        """Rolling back around an unknown is acting on a guess: people say first what became of it.

        Raises:
            Stop: nobody has said it.
        """
        steps = {step.path: step for step in everything(self._context)}
        while doubtful := [steps[one.path] for one in self._recorder.state.in_doubt if one.path in steps]:
            self._failures.take(doubtful[0], Outcome.IN_DOUBT)

    def _pause(self, stop: Stop) -> Exit:
        event = ev.RunPaused(reason=stop.reason, path=stop.path, because=stop.because, exit=int(stop.exit))
        self._recorder.write(event, durable=True)
        return stop.exit

    # -- the second word --------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _ending_on_word(self) -> Iterator[None]:
        """While the run goes on, end running acts on their hosts when the operator says so.

        A thread of its own: the one that carries the act out waits for it. A signal only raises the level, since it may
        come at any moment.
        """
        over, told = threading.Event(), set[str]()

        def watch() -> None:
            while not over.wait(_GLANCE):
                if self._control.ending:
                    self._acts.end_running(told)

        watcher = threading.Thread(target=watch, name="end-running", daemon=True)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()

    # -- giving back ------------------------------------------------------------------------------------------------

    def _release(self) -> None:
        """Give every host back that an act of this run took; a host that cannot be told is noted, not waited for.

        A fenced host too: it is rebuilt by another run, which would find it held. Where no act began there is no mark.
        """
        who = self._context.identity
        claim = Claim(
            key="0" * 64, run=who.uid, run_id=who.id, operator=who.operator, epoch=who.epoch, holder=who.holder
        )
        places = {
            unit.host
            for step in self._recorder.state.steps.values()
            for unit in step.units
            if unit.started is not None and unit.started.key and unit.outcome is not Outcome.UNREACHABLE
        }
        for place in sorted(places):
            answer = self._world.shell(place).release(claim)
            if answer.state is not ClaimState.RAN and place != LOCAL:
                self._recorder.write(ev.Degraded(what=f"owner mark on {place}", because=answer.because))
