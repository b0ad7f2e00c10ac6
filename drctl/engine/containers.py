"""What has no unit of its own: blocks, branches, loops, tables, rolling blocks, includes and fences.

The lists and hosts of what repeats are evaluated once, recorded when it begins, and never looked at again; each round
is then a step like any other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from drctl.core import events as ev
from drctl.core.expressions import evaluate
from drctl.core.model import Block, Fence, Include, Loop, Phase, Repeat, Rung, Step
from drctl.core.outcomes import Outcome
from drctl.core.values import Duration, Unknown, Value
from drctl.engine.blocks import Limit, LimitError, Together, side_by_side, together
from drctl.engine.failures import ANEW, good
from drctl.engine.outputs import pack
from drctl.engine.pace import Pace
from drctl.engine.parts import EARLIER, everything, form_of, frozen_of, is_rolling, is_table, parts, within
from drctl.engine.repeats import carried, frozen_now, relisted, wanted_items
from drctl.engine.scope import RunScope
from drctl.engine.selection import allowed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from drctl.core.places import Selection
    from drctl.core.written import Formula
    from drctl.engine.context import Context
    from drctl.engine.recorder import Recorder
    from drctl.engine.stops import Control
    from drctl.engine.walk import Crew

FAN_OUT = 32
"""Hosts at a time where a selection names no batch."""
MOST_TOLD = 10
"""Rounds or hosts named in one line."""


class Steps(Protocol):
    """The walk, as far as containers need it."""

    def phase(self, phase: Phase, path: str, scope: RunScope) -> Outcome: ...  # noqa: D102 - see Walk
    def skip_all(self, step: Step, because: str) -> None: ...  # noqa: D102 - see Walk
    def began(self, step: Step) -> bool: ...  # noqa: D102 - see Walk
    def serial(self, steps: Sequence[Step]) -> Outcome: ...  # noqa: D102 - see Walk
    def step(self, step: Step) -> Outcome: ...  # noqa: D102 - see Walk
    def between(self, step: Step) -> None: ...  # noqa: D102 - see Walk
    def unwanted(self, when: Formula | None, path: str, scope: RunScope) -> str: ...  # noqa: D102 - see Walk


class Containers:
    """Containers of one run."""

    def __init__(self, walk: Steps, crew: Crew, recorder: Recorder, control: Control) -> None:
        self._walk = walk
        self._crew = crew
        self._recorder = recorder
        self._control = control
        self._branches = crew.branches

    @property
    def _context(self) -> Context:
        return self._crew.looks.context

    def _scope(self, step: Step) -> RunScope:
        return RunScope(context=self._context).at(step)

    # -- from beginning to end --------------------------------------------------------------------------------------

    def carry_out(self, step: Step) -> Outcome:
        """Carry one container out, from wherever the journal says it stands."""
        state = self._recorder.state.blocks.get(step.path)
        if state is not None and state.outcome is not None:
            self._crew.marks.set(step)
            return state.outcome  # what ended badly is entered again only when a person says so
        fence = step.body if isinstance(step.body, Fence) and step.loop is None else None
        place = self._crew.looks.place_of(step) if fence is not None else ""
        host = "" if isinstance(place, Unknown) else place
        if state is None or not self._walk.began(step):
            unwanted = self._walk.unwanted(step.when, step.path, self._scope(step))
            if unwanted:
                self._walk.skip_all(step, unwanted)
                return Outcome.SKIPPED
        outcome, because = (Outcome.FAILED, f"no place: {place}") if isinstance(place, Unknown) else (None, "")
        if outcome is None and (state is None or not state.frozen or ANEW in state.frozen):
            outcome, because = self._begin(step, host, again=state is not None)
        elif state is None:
            self._recorder.write(ev.BlockStarted(path=step.path, form=form_of(step)))
        if outcome is None and fence is not None:
            because = self._crew.fences.ask(step, fence, host)
        elif outcome is None:
            because = self.agree(step)
        if outcome is None:
            outcome, because = (Outcome.FAILED, because) if because else self._limited(step)
        return self._end(step, outcome, because, host)

    def _begin(self, step: Step, host: str, *, again: bool) -> tuple[Outcome | None, str]:
        """Freeze what repeats and record the beginning; an outcome when it is over with that."""
        frozen = self._frozen(step)
        failed = isinstance(frozen, Unknown)
        if not again or not failed:
            kept = {} if isinstance(frozen, Unknown) else frozen
            packed = pack(kept, self._context.store, self._crew.looks.pen.mask).values
            if not again or packed:
                title = self._crew.looks.title(step)
                started = ev.BlockStarted(path=step.path, form=form_of(step), title=title, host=host, frozen=packed)
                self._recorder.write(started)
        if isinstance(frozen, Unknown):
            return Outcome.FAILED, str(frozen)
        if frozen.get("items") == ():
            return Outcome.SKIPPED, "the list is empty"
        if frozen.get("batches") == () and carried(step) is not None:
            return Outcome.SKIPPED, "every host of this batch has left the block"
        if frozen.get("batches") == ():
            return Outcome.EMPTY, "the selection gives no host"
        return None, ""

    def _end(self, step: Step, outcome: Outcome, because: str, host: str) -> Outcome:
        outputs: Mapping[str, Value] = {}
        if isinstance(step.body, Include) and step.loop is None and outcome in {Outcome.OK, Outcome.PARTIAL}:
            outputs = self._outputs(step, step.body)
        foreseen = outcome in step.judgement.tolerate or (step.judgement.observe and outcome.bad)
        self._recorder.write(
            ev.BlockFinished(
                path=step.path, outcome=outcome.value, because=because, host=host, tolerated=foreseen,
                outputs=pack(outputs, self._context.store, self._crew.looks.pen.mask).tagged,
            ),
            durable=True,
        )  # fmt: skip
        self._crew.marks.set(step)
        return outcome

    def _outputs(self, step: Step, body: Include) -> Mapping[str, Value]:
        scope = RunScope(context=self._context, frames=step.frames, home=step.origin or step.path)
        values = {name: evaluate(formula.expression, scope) for name, formula in body.runbook.outputs.items()}
        return {name: value for name, value in values.items() if not isinstance(value, Unknown)}

    # -- freezing ---------------------------------------------------------------------------------------------------

    def _frozen(self, step: Step) -> dict[str, Value] | Unknown:
        """What holds to the end; Unknown when it cannot be told."""
        batch = carried(step)
        left = tuple(self._left(batch.path, step.path)) if batch is not None else ()
        frozen = frozen_now(step, self._scope(step), left)
        if not isinstance(frozen, Unknown) and is_table(step) and (earlier := self._earlier(step, frozen)):
            return {**frozen, EARLIER: earlier}
        old = frozen_of(self._context, step.path, "items")
        return frozen if isinstance(frozen, Unknown) or not isinstance(old, tuple) else self._relist(step, old, frozen)

    def _earlier(self, step: Step, frozen: Mapping[str, Value]) -> tuple[Value, ...]:
        """Hosts on which an attempt before began and this one does not: they still have their ways back."""
        groups = frozen.get("batches")
        now = {host for group in groups if isinstance(group, tuple) for host in group} if groups else set()  # type: ignore[union-attr]
        gone = [one for one in parts(self._context, step) if one.frames[-1].host not in now]
        return tuple(one.frames[-1].host for one in gone if self._recorder.state.step(one.path).began)

    def _relist(self, step: Step, old: tuple[Value, ...], frozen: Mapping[str, Value]) -> dict[str, Value]:
        """The list of a loop whose block is done again: members keep their numbers, so what was done is known.

        Members that are gone are left out before the new list is recorded: after a crash they must not be begun.
        """
        wanted = wanted_items(frozen)
        for one in parts(self._context, step):
            if one.frames[-1].names not in wanted:
                self._walk.skip_all(one, "it is no longer in the list")
        return {"items": relisted(old, frozen)}

    def _left(self, batch: str, path: str) -> set[str]:
        """Hosts that failed in a step of this batch before, and so left the block."""
        state = self._recorder.state
        gone = set()
        for step in everything(self._context):
            if step.path.startswith(f"{batch}/") and step.path != path and step.frames and step.frames[-1].host:
                outcome = state.step(step.path).outcome
                if outcome is not None and not good(step, outcome):
                    gone.add(step.frames[-1].host)
        return gone

    # -- people -----------------------------------------------------------------------------------------------------

    def agree(self, step: Step) -> str:
        """Ask the people of a container's guards, once for all that is frozen; empty when it may go on."""
        guards = step.guards
        if not (guards.approve or guards.caution or guards.recheck):
            return ""
        units = [one for one in within(self._context, step) if not isinstance(one.body, Block | Include | Fence)]
        if any(self._recorder.state.step(unit.path).began for unit in units) and not is_table(step):
            return ""  # people have agreed before its first step
        return self._crew.turns.group(step, units)

    # -- limits, and doing it again -----------------------------------------------------------------------------------

    def _limited(self, step: Step) -> tuple[Outcome, str]:
        """Carry it out within its time: no step starts after the limit, acts keep their own."""
        if step.timeout is None or step.loop is not None or not isinstance(step.body, Block | Include):
            return self._tried(step)
        end = Duration(self._context.clock.monotonic().micros + step.timeout.micros)
        limit = Limit(end=end, waited=self._crew.questions.waited)
        try:
            with self._branches.limited(limit):
                return self._tried(step)
        except LimitError as over:
            if over.limit is not limit:
                raise
            return Outcome.TIMEOUT, f"its time of {step.timeout.human()} is over"

    def _tried(self, step: Step) -> tuple[Outcome, str]:
        repeat = step.retry or step.until
        if repeat is None or step.loop is not None or not isinstance(step.body, Block | Include):
            return self._inside(step)
        clock = self._context.clock
        began, pace = clock.monotonic(), Pace(repeat, clock.monotonic())
        row = 0
        while True:
            pace.tries += 1
            with self._branches.quietly():
                outcome, because = self._inside(step)
            if outcome is Outcome.IN_DOUBT:
                return outcome, because
            row = row + 1 if outcome in {Outcome.OK, Outcome.PARTIAL} else 0
            if row >= repeat.in_a_row:
                return outcome, because
            pause = pace.next_pause(clock.monotonic(), repeat.in_a_row - row)
            if pause is None:
                return (Outcome.TIMEOUT if pace.time_over else Outcome.FAILED), f"gave up: {because or outcome.value}"
            refused = self.climb(repeat, Duration(clock.monotonic().micros - began.micros))
            if refused:
                return Outcome.FAILED, refused
            clock.sleep(pause, lambda: self._control.stopping)
            if self._control.stopping:
                raise self._control.stop(step.path)
            self._crew.failures.start_over(step, f"{step.path} is done again")

    def climb(self, repeat: Repeat, since: Duration) -> str:
        """Take the rungs of a ladder that are due, each once; why one failed, else empty."""
        for rung in repeat.escalate:
            if since < rung.after or self._taken(rung):
                continue
            with self._branches.quietly():
                outcome = self._walk.serial(rung.steps)
            if outcome not in {Outcome.OK, Outcome.PARTIAL}:
                return f"{rung.steps[-1].path.rpartition('/')[0]} after {rung.after.human()}: {outcome.value}"
        return ""

    def _taken(self, rung: Rung) -> bool:
        return all(self._crew.failures.ended(step) for step in rung.steps)

    # -- inside -----------------------------------------------------------------------------------------------------

    def _inside(self, step: Step) -> tuple[Outcome, str]:  # noqa: PLR0911 - one for each form
        with self._control.shielded(really=step.uninterruptible):
            if step.loop is not None:
                return self._loop(step, step.loop)
            if is_table(step):
                return self._table(step)
            if is_rolling(step):
                return self._rolling(step)
            body = step.body
            if isinstance(body, Fence):
                return self._crew.fences.carry_out(body, self._walk.between)
            if isinstance(body, Include):
                return self._include(step, body)
            assert isinstance(body, Block)  # noqa: S101 - there are no other containers
            if not body.parallel:
                return self._walk.serial(body.steps), ""
            how = Together(at_once=body.at_once or len(body.steps))
            return together(body.steps, side_by_side(body.steps, how, self._branches, self._walk.step)), ""

    def _include(self, step: Step, body: Include) -> tuple[Outcome, str]:
        scope = RunScope(context=self._context, frames=step.frames, home=step.origin or step.path)
        partial = False
        for phase in body.runbook.phases:
            outcome = self._walk.phase(phase, f"{step.path}/{phase.id}", scope)
            if outcome not in {Outcome.OK, Outcome.SKIPPED, Outcome.PARTIAL}:
                return outcome, f"phase {phase.id}"
            partial = partial or outcome is Outcome.PARTIAL
        return (Outcome.PARTIAL if partial else Outcome.OK), ""

    def _loop(self, step: Step, loop: Loop) -> tuple[Outcome, str]:
        rounds = parts(self._context, step)
        if loop.first_ok:
            return self._first_ok(rounds)
        if loop.at_once == 1 and not loop.max_failures:
            return self._walk.serial(rounds), ""
        how = Together(at_once=loop.at_once, allowed=loop.max_failures)
        outcomes = side_by_side(rounds, how, self._branches, self._walk.step)
        return together(rounds, outcomes, loop.max_failures), _told(rounds, outcomes)

    def _first_ok(self, rounds: Sequence[Step]) -> tuple[Outcome, str]:
        rejected: list[str] = []
        for one in rounds:
            with self._branches.quietly():
                outcome = self._walk.step(one)
            if outcome is Outcome.IN_DOUBT:
                return outcome, f"{one.path} is in doubt"
            if outcome is Outcome.OK:
                return outcome, f"{one.path} is ok" + (f"; rejected: {', '.join(rejected)}" if rejected else "")
            rejected.append(f"{one.path} ({self._crew.failures.because(one) or outcome.value})")
        return Outcome.FAILED, f"none of {len(rounds)} is ok: {'; '.join(rejected)}"

    # -- hosts ------------------------------------------------------------------------------------------------------

    def _batches(self, step: Step) -> list[tuple[str, ...]]:
        found = frozen_of(self._context, step.path, "batches")
        groups = found if isinstance(found, tuple) else ()
        return [tuple(str(host) for host in batch) for batch in groups if isinstance(batch, tuple)]

    def _table(self, step: Step) -> tuple[Outcome, str]:
        assert step.on is not None and step.on.selection is not None  # noqa: S101, PT018 - it is a table
        selection, steps = step.on.selection, {one.frames[-1].host: one for one in parts(self._context, step)}
        groups = self._batches(step)
        most = self._allowed(step, selection, sum(len(batch) for batch in groups))
        done: dict[str, Outcome] = {}
        for number, batch in enumerate(groups):
            self._soak(selection, number, [steps[host] for host in groups[number - 1]] if number else [])
            careful = number == 0 and selection.canaries is not None and len(groups) > 1
            bad = sum(not good(steps[host], outcome) for host, outcome in done.items())
            how = Together(at_once=min(FAN_OUT, len(batch)), allowed=0 if careful else most - bad)
            members = [steps[host] for host in batch]
            done |= dict(zip(batch, side_by_side(members, how, self._branches, self._walk.step), strict=True))
            outcome = together(members, [done[host] for host in batch], 0 if careful else most - bad)
            if outcome in {Outcome.FAILED, Outcome.IN_DOUBT}:
                break
        members, outcomes = [steps[host] for host in done], list(done.values())
        outcome = Outcome.FAILED if careful and outcome is Outcome.FAILED else together(members, outcomes, most)
        because = _told(members, outcomes)
        if selection.all_or_none and not all(one is Outcome.OK for one in outcomes):
            outcome = self._none(members, outcome)
            because = f"all or none: {because}"
        return outcome, because

    def _none(self, members: Sequence[Step], outcome: Outcome) -> Outcome:
        """Not every host was ok: take back what was done on the others."""
        if outcome is Outcome.IN_DOUBT:
            return outcome  # settled by a look or a person first; then it is carried out, and taken back, again
        self._crew.ledger.take_back(members)
        for one in members:
            self._crew.failures.mark_taken_back(one)
        return Outcome.FAILED

    def _allowed(self, step: Step, selection: Selection, total: int) -> int:
        """How many hosts may fail; in a rolling block what earlier failures in it have left of its limit."""
        batch = carried(step)
        if batch is None:
            return allowed(selection, total)
        whole = frozen_of(self._context, batch.around, "batches")
        everyone = sum(len(batch) for batch in whole if isinstance(batch, tuple)) if isinstance(whole, tuple) else total
        return max(0, allowed(selection, everyone) - len(self._left(batch.around, step.path)))

    def _rolling(self, step: Step) -> tuple[Outcome, str]:
        assert step.on is not None and step.on.selection is not None  # noqa: S101, PT018 - it rolls over hosts
        selection, rounds = step.on.selection, parts(self._context, step)
        partial = False
        for number, batch in enumerate(rounds):
            self._soak(selection, number, [rounds[number - 1]] if number else [])
            outcome = self._walk.step(batch)
            careful = number == 0 and selection.canaries is not None and len(rounds) > 1
            is_fine = outcome in {Outcome.OK, Outcome.SKIPPED} or (outcome is Outcome.PARTIAL and not careful)
            if not is_fine:
                return (outcome if outcome.bad or outcome is Outcome.IN_DOUBT else Outcome.FAILED), f"batch {number}"
            partial = partial or outcome is Outcome.PARTIAL
        return (Outcome.PARTIAL if partial else Outcome.OK), ""

    def _soak(self, selection: Selection, number: int, before: Sequence[Step]) -> None:
        """Pause before a batch, for what is left since the one before ended; not before one that began already."""
        if selection.soak is None or not number:
            return
        clock = self._context.clock
        ends = [self._crew.failures.ended_at(one) for one in before]
        newest = max((at.micros for at in ends if at is not None), default=clock.now().micros)
        left = selection.soak.micros - max(0, clock.now().micros - newest)
        if left > 0:
            clock.sleep(Duration(left), lambda: self._control.stopping)
            if self._control.stopping:
                raise self._control.stop(before[0].path if before else "")


def _told(steps: Sequence[Step], outcomes: Sequence[Outcome]) -> str:
    ends = [(one, end) for one, end in zip(steps, outcomes, strict=True) if not good(one, end)]
    bad = [f"{one.path.rpartition('/')[2]} {end.value}" for one, end in ends]
    more = f" and {len(bad) - MOST_TOLD} more" if len(bad) > MOST_TOLD else ""
    return ", ".join(bad[:MOST_TOLD]) + more
