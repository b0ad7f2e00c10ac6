"""Carries a run out from wherever it stands, and ends it: the assembly of the engine's parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drctl.core import events as ev
from drctl.core.nouns import dataclass
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
from drctl.engine.owners import Owners
from drctl.engine.pace import Ladder
from drctl.engine.people import People
from drctl.engine.preflight import Preflight
from drctl.engine.questions import Inbox, Operator, Questions
from drctl.engine.rollback import Rollback, address
from drctl.engine.sleeps import Sleeps
from drctl.engine.stops import Control, Stop
from drctl.engine.turns import Turns
from drctl.engine.verbs import OWN, Stage
from drctl.engine.walk import Crew, Walk
from drctl.errors import Exit, JournalError

if TYPE_CHECKING:
    from drctl.core.values import Duration
    from drctl.engine.context import Context
    from drctl.engine.recorder import Recorder
    from drctl.engine.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """Where people meet the run: the inbox, the terminal if there is one, and how long to wait without one."""

    inbox: Inbox
    operator: Operator | None = None
    wait: Duration | None = None


class Executor:
    """One writer of one run.

    `pen` stars secrets out of texts, and learns those that are secret from now on.
    """

    def __init__(
        self,
        context: Context,
        recorder: Recorder,
        world: World,
        desk: Desk,
        control: Control,
        pen: Pen = Pen(),  # noqa: B008 - frozen, and without state
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
        looks = Looks(context, recorder, world, pen, halted, ladder)
        self._questions = questions
        self._sleeps = Sleeps(context.clock, recorder)
        self._owners = Owners(context.identity, recorder, world, context.bounds.fan_out)
        waits = Waits(ladder=ladder, halted=act_halted)
        self._acts = Acts(looks, recorder, world, control, waits)
        turns = Turns(looks, self._acts, Guards(looks, recorder, questions), recorder)
        people = People(looks, recorder, questions, control)
        hands = Hands(looks=looks, acts=self._acts, turns=turns, people=people, questions=questions, control=control)
        self._ledger = Ledger(hands, recorder)
        failures = Failures(looks, recorder, questions)
        failures.outlook = self._ledger.dues.outlook
        self._rollback = Rollback(hands, self._ledger, failures, recorder)
        questions.verbs.back = lambda to: address(context, self._ledger.dues, to)
        crew = Crew(
            looks=looks,
            turns=turns,
            fences=Fences(looks, turns, recorder, control),
            people=people,
            ledger=self._ledger,
            preflight=Preflight(context, recorder, world),
            failures=failures,
            marks=Marks(looks, recorder),
            sleeps=self._sleeps,
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
        self._known()
        word = self._recorder.state.abort or self._recorder.state.rolling_back
        with self._acts.ending_on_word():
            if word is None:
                return self._end(self._walked())
            self._questions.verbs.obey(word)  # said before a crash or a pause: it holds
            self._questions.drain()
            return self._announced(word.path)

    def _known(self) -> None:
        """Refuse to act on top of what is not known, and say what the clocks did meanwhile."""
        state = self._recorder.state
        if state.unknown_types:
            names = ", ".join(sorted(set(state.unknown_types)))
            raise JournalError(
                f"The journal holds records that this drctl does not know: {names}.", meaning="Nothing was done.",
                next="resume it with the version that wrote it",
            )  # fmt: skip
        self._sleeps.taken_up()

    def restore_only(self) -> Exit:
        """Put back now what is suspended, and leave the run open as it stands: nothing is gone on with.

        What was put back is not suspended again when the run goes on, so this is a deviation.
        """
        self._known()
        before = self._recorder.state.last_pause
        path, who = (before.path if before is not None else ""), self._context.identity.operator
        with self._acts.ending_on_word():
            try:
                self._announce()
                owed = [due.step.path for due in self._ledger.dues.due(restore=True)]
                for step in owed:
                    note = ev.DeviationNoted(path=step, what="restored before the run was over", by=who)
                    self._recorder.deviation(note)
                self._ledger.restore_all()
            except Stop as stop:
                return self._pause(stop)
        left = [due.step.path for due in self._ledger.dues.due(restore=True)]
        done = f"{len(owed) - len(left)} of {len(owed)} put back by {who}" if owed else "there was nothing to put back"
        because = f"{done}; still to be put back: {', '.join(left)}" if left else done
        return self._pause(Stop("restored", path=path, because=because, exit=Exit.STEP_FAILED if left else Exit.PAUSED))

    def abort(self, because: str) -> Exit:
        """Close an open run without going on: restores are carried out, nothing else."""
        self._known()
        if self._recorder.state.abort is None:
            who = self._context.identity.operator
            self._recorder.write(ev.ControlReceived(verb="abort", by=who, reason=because), durable=True)
        with self._acts.ending_on_word():
            try:
                self._announce()
            except Stop as stop:
                return self._pause(stop)
            return self._end(Stop("abort", because=because, exit=Exit.ABORTED))

    def _announced(self, path: str) -> Exit:
        """End as the word says, once the hosts know who says it."""
        try:
            self._announce()
        except Stop as stop:
            return self._pause(stop)
        return self._end(self._control.stop(path))

    def roll_back(self, to: str, because: str, by: str) -> Exit:
        """Take back what an open run did, to a step when one is named; a refusal leaves the run as it was."""
        state = self._recorder.state
        before = state.paused or state.last_pause
        self._questions.drain()  # what was said before comes first
        word = self._questions.verbs.judge("rollback", {"by": by, "reason": because, "to": to}, "")
        with self._acts.ending_on_word():
            self._questions.control(word)
            if self._control.word:  # this one, or an end that was said before it
                return self._announced(word.path)
        self._recorder.write(before or ev.RunPaused(reason="operator", because=word.because, exit=int(Exit.PAUSED)))
        return Exit.NOTHING_CHANGED

    def _announce(self) -> None:
        """A writer that took the run over says so on its hosts, before anything else: its predecessor may still live.

        Raises:
            Stop: somebody else has taken it over meanwhile.
        """
        if self._context.identity.epoch > 1:
            self._owners.announce()

    # -- ending -----------------------------------------------------------------------------------------------------

    def _walked(self) -> Stop | None:
        try:
            self._announce()
            self._walk.run()
            self._questions.drain()
        except Stop as stop:
            # Of two branches, one may have come to a question before the other heard the word.
            return self._control.stop(stop.path) if self._control.word and not stop.closes else stop
        return self._control.stop("") if self._control.word else None

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
        self._control.word = ""  # it is being obeyed: ways back are carried out in full
        verbs, word = self._questions.verbs, self._recorder.state.rolling_back
        if stop is not None and stop.reason == "rollback":
            verbs.stage = Stage.UNDO
            if word is None:  # the rule of a step that failed: it holds over a crash as a person's word does
                rule = f"on_failure of {stop.path}"
                said = ev.ControlReceived(verb="rollback", by=OWN, reason=stop.because, because=rule)
                self._recorder.write(said, durable=True)
            if word is not None and word.path:
                pause = self._rollback.to_step(word)
                Left(self._ledger, self._recorder, rolling_back=True).note_undone()
                return self._pause(pause)
            self._rollback.everything()
        verbs.stage = Stage.CLOSE
        self._ledger.restore_all()
        left = Left(self._ledger, self._recorder, rolling_back=stop is not None and stop.reason == "rollback")
        left.note()
        state = self._recorder.state
        close = closing.done(state) if stop is None else closing.stopped(stop, state, left)
        self._owners.release()
        self._questions.drain()  # who said something in the meantime is told that it came too late
        self._sleeps.check()
        self._recorder.write(closing.closed_event(close, state), durable=True)
        return close.exit

    def _pause(self, stop: Stop) -> Exit:
        self._sleeps.check()
        event = ev.RunPaused(reason=stop.reason, path=stop.path, because=stop.because, exit=int(stop.exit))
        self._recorder.write(event, durable=True)
        return stop.exit

    # -- the second word --------------------------------------------------------------------------------------------
