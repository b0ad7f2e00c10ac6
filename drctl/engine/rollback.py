"""Going back by a person's word: all of it, after which the run is closed, or to a step, which is then done again.

A rollback to a step takes back that step and everything after it, marks them to be done again, and leaves the run
paused right before the step: the next `resume` begins with it. The word stands in the journal before anything is taken
back, so a writer that dies in the middle is followed by one that goes on with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from drctl.core import events as ev
from drctl.core.fold import ROLLED_BACK
from drctl.core.model import Block, Fence, Include, Step
from drctl.core.outcomes import Outcome
from drctl.engine.failures import BACK, good
from drctl.engine.parts import ending, everything, is_container, is_rolling, is_table, parts, within
from drctl.engine.stops import Stop
from drctl.engine.units import HARD, ActUnit
from drctl.engine.verbs import WordError
from drctl.errors import Exit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from drctl.core.fold import RunState
    from drctl.engine.context import Context
    from drctl.engine.dues import Dues
    from drctl.engine.failures import Failures
    from drctl.engine.ledger import Hands, Ledger
    from drctl.engine.recorder import Recorder


class Rollback:
    """The rollbacks of one run."""

    def __init__(self, hands: Hands, ledger: Ledger, failures: Failures, recorder: Recorder) -> None:
        self._hands = hands
        self._ledger = ledger
        self._failures = failures
        self._recorder = recorder

    @property
    def _context(self) -> Context:
        return self._hands.looks.context

    @property
    def _state(self) -> RunState:
        return self._recorder.state

    # -- carrying it out --------------------------------------------------------------------------------------------

    def everything(self) -> None:
        """Take back all that can be, down to the point of no return.

        Raises:
            Stop: a person must say something first, or wants a pause.
        """
        self._settle(lambda _: True)
        self._ledger.roll_back()

    def to_step(self, word: ev.ControlReceived) -> Stop:
        """Take back a step and all after it, and mark them to be done again; gives the pause that the run is in then.

        Raises:
            Stop: a person must say something first, or wants a pause.
        """
        later = Later(self._context, word.path)
        self._settle(later)
        self._ledger.roll_back(later)
        because = f"rolled back to {word.path} by {word.by}: {word.reason}"
        what = f"rolled back to before {word.path}"
        self._recorder.deviation(ev.DeviationNoted(path=word.path, what=what, by=word.by, because=word.reason))
        kept = self._again(later, because)
        if kept:
            because += f"; not taken back, and not done again: {', '.join(kept)}"
        return Stop(ROLLED_BACK, path=word.path, because=because, exit=Exit.PAUSED)

    def _settle(self, wanted: Callable[[Step], bool]) -> None:
        """Find out what became of acts whose end is not known: rolling back around an unknown is acting on a guess.

        Nothing is begun: an act that surely did not happen is left at that.
        """
        settled = set[str]()
        while doubtful := [one for one in everything(self._context) if wanted(one) and self._unknown(one)]:
            step = doubtful[0]
            if step.path not in settled and self._state.step(step.path).unsettled:
                settled.add(step.path)
                intent = self._state.step(step.path).intent
                assert intent is not None and intent.started is not None  # noqa: S101, PT018 - it is unsettled
                self._hands.control.word = "rollback"  # nothing is begun again by this look
                try:
                    unit = ActUnit(step=step, place=intent.host, role=intent.started.role)
                    self._hands.turns.act(unit)
                finally:
                    self._hands.control.word = ""
                continue
            if self._failures.doubt(step) is None:  # "look": drctl looks again before it asks again
                settled.discard(step.path)

    def _unknown(self, step: Step) -> bool:
        return any(one.path == step.path for one in self._state.in_doubt)

    # -- doing it again ---------------------------------------------------------------------------------------------

    def _again(self, later: Later, because: str) -> list[str]:
        """Mark what is to be done again; what must not happen twice and was not taken back stays done."""
        kept = []
        for step in later.steps():
            end = self._failures.final(step)
            if end is None:
                continue
            if self._stays(step, end):
                kept.append(step.path)
                continue
            for one in (*step.body.methods, step) if isinstance(step.body, Fence) else (step,):
                if not is_container(one) and self._failures.final(one) is not None:
                    self._failures.mark_again(one, because, BACK)
        stay = set(kept)
        for block in list(self._state.blocks.values()):
            is_way = block.form in {"undo", "restore"}
            if block.outcome is not None and not is_way and block.path not in stay and later.holds(block.path):
                self._failures.enter(block, anew=block.form in {"loop", "table"})
        return kept

    def _stays(self, step: Step, end: Outcome) -> bool:
        if isinstance(step.body, Fence):
            return end is Outcome.OK
        done = good(step, end) and end is not Outcome.SKIPPED
        return done and step.effect in HARD and not self._ledger.dues.taken_back(step)


class Later:
    """A step of a run, and everything that comes after it."""

    def __init__(self, context: Context, path: str) -> None:
        self._context = context
        order = list(_order(context))
        at = next((n for n, one in enumerate(order) if one.path == path), len(order))
        self.stations = [one for one in order[at:] if not _serial(one)]
        self._blocks = {one.path for one in order[at:] if _serial(one)}
        self._path = path
        self._blocks.update(_phases_after([phase.id for phase in context.runbook.phases], path))
        for one in order:
            if isinstance(one.body, Include) and _serial(one):
                phases = [f"{one.path}/{phase.id}" for phase in one.body.runbook.phases]
                self._blocks.update(phases if one.path in self._blocks else _phases_after(phases, path))

    def __call__(self, step: Step) -> bool:
        """Whether a step, or what it is a round or part of, is or comes after that step."""
        return any(step.path == one.path or step.path.startswith(f"{one.path}/") for one in self.stations)

    def steps(self) -> Iterator[Step]:
        """What has an end of its own, in order; fences are among them."""
        for one in self.stations:
            yield from ending(self._context, one)

    def holds(self, path: str) -> bool:
        """Whether a block or phase at this address is open again then: one that comes later, or stands around it."""
        around = self._path.startswith(f"{path}/")
        inside = any(path == one.path or path.startswith(f"{one.path}/") for one in self.stations)
        return around or inside or path in self._blocks


def _phases_after(phases: list[str], path: str) -> list[str]:
    """The phases after the one that an address lies in."""
    at = next((n for n, phase in enumerate(phases) if path.startswith(f"{phase}/")), len(phases))
    return phases[at + 1 :]


def _order(context: Context) -> Iterator[Step]:
    """Steps in the order they are carried out, those inside of what is carried out in order after it."""

    def down(step: Step) -> Iterator[Step]:
        yield step
        if _serial(step):
            for inner in parts(context, step):
                yield from down(inner)

    for phase in context.runbook.phases:
        for top in phase.steps:
            yield from down(top)


def _serial(step: Step) -> bool:
    """Whether what is inside is carried out one after the other, each once."""
    if step.loop is not None or is_table(step) or is_rolling(step) or step.retry is not None or step.until is not None:
        return False
    return isinstance(step.body, Include) or (isinstance(step.body, Block) and not step.body.parallel)


def address(context: Context, dues: Dues, to: str) -> str:
    """The address of the step that a rollback goes back to; empty for one of everything.

    Raises:
        WordError: it cannot be.
    """
    if not to:
        outlook = dues.outlook()
        if not outlook.back:
            raise WordError(f"there is nothing to take back: a rollback {outlook}")
        return ""
    step, order = _named(context, to)
    if not any(context.state.step(one.path).units or one.path in context.state.blocks for one in within(context, step)):
        raise WordError(f"{step.path} has not begun, so there is nothing to go back to")
    later, cut = Later(context, step.path), dues.cut_by()
    if cut and any(cut == one.path or cut.startswith(f"{one.path}/") for one in later.stations):
        raise WordError(f"{step.path} is not after {cut}: a rollback {dues.outlook(later)}")
    whole = next((o for o in order if step.path.startswith(f"{o.path}/") and o.ways.undo is not None), None)
    if whole is not None:
        raise WordError(f"{whole.path} has an undo of its own, which stands for all inside it: go back to {whole.path}")
    return step.path


def _named(context: Context, to: str) -> tuple[Step, list[Step]]:
    """The step that is meant, and the order it stands in.

    Raises:
        WordError: none, several, or one of several that go together.
    """
    order = list(_order(context))
    found = [one for one in order if one.path == to] or [one for one in order if one.path.endswith(f"/{to}")]
    if len(found) == 1:
        return found[0], order
    if found:
        raise WordError(f"{to} could be any of {', '.join(one.path for one in found)}")
    inner = next((one for one in everything(context) if one.path == to or one.path.endswith(f"/{to}")), None)
    around = [one for one in order if inner is not None and inner.path.startswith(f"{one.path}/")]
    if inner is not None and around:
        raise WordError(f"{inner.path} is one of several that go together: go back to {around[-1].path}")
    raise WordError(f"there is no step {to!r} in this run")
