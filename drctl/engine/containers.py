"""What has no unit of its own: blocks, branches, loops, tables, rolling blocks, includes and fences.

The lists and hosts of what repeats are evaluated when it begins and recorded; each round is then a step like any other.
They are evaluated again only when a person says so, or the block around it is done again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from drctl.core import events as ev
from drctl.core.expressions import evaluate
from drctl.core.model import Block, Fence, Include, Loop, Step
from drctl.core.nouns import replace
from drctl.core.outcomes import Outcome
from drctl.core.roster import Roster
from drctl.core.rounds import round_of
from drctl.core.values import Duration, Unknown, Value
from drctl.engine.attempts import GOOD, Attempts
from drctl.engine.blocks import Together, side_by_side, together, whole
from drctl.engine.failures import good
from drctl.engine.outputs import pack
from drctl.engine.parts import (
    carried,
    form_of,
    frozen_of,
    is_container,
    is_rolling,
    is_table,
    parts,
    within,
)
from drctl.engine.repeats import frozen_now, left_block, over_at_once, relisted
from drctl.engine.scope import RunScope
from drctl.engine.selection import allowed
from drctl.engine.short import listed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from drctl.core.places import Selection
    from drctl.engine.context import Context
    from drctl.engine.recorder import Recorder
    from drctl.engine.stops import Control
    from drctl.engine.walk import Crew, Walk

MOST_TOLD = 10
"""Rounds or hosts named in one line."""


class Containers:
    """Containers of one run."""

    def __init__(self, walk: Walk, crew: Crew, recorder: Recorder, control: Control) -> None:
        self._walk = walk
        self._crew = crew
        self._recorder = recorder
        self._control = control
        self._branches = crew.branches
        self.attempts = Attempts(walk, crew, recorder, control)

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
        if self._walk.undecided(state, (step,)):
            unwanted = self._walk.unwanted(step.when, step.path, self._scope(step))
            if unwanted:
                self._walk.skip_all(step, unwanted)
                return Outcome.SKIPPED
        outcome, because = (Outcome.FAILED, f"no place: {place}") if isinstance(place, Unknown) else (None, "")
        if outcome is None and (state is None or not state.frozen or frozen_of(self._context, step.path).anew):
            outcome, because = self._begin(step, host, again=state is not None)
        elif state is None:
            self._recorder.write(ev.BlockStarted(path=step.path, form=form_of(step)))
        if outcome is None and fence is not None:
            because = self._crew.fences.ask(step, fence, host)
        elif outcome is None:
            because = self.agree(step)
        if outcome is None:
            outcome, because = (
                (Outcome.FAILED, because) if because else self.attempts.whole(step, lambda: self._inside(step))
            )
        return self._end(step, outcome, because, host)

    def _begin(self, step: Step, host: str, *, again: bool) -> tuple[Outcome | None, str]:
        """Freeze what repeats and record the beginning; an outcome when it is over with that.

        Nothing to carry out is not frozen: a person who says "again" wants the list as it is then.
        """
        frozen = self._frozen(step)
        over = (
            (Outcome.FAILED, str(frozen))
            if isinstance(frozen, Unknown)
            else over_at_once(step, frozen, RunScope(context=self._context).at(step))
        )
        kept = Roster() if over is not None or isinstance(frozen, Unknown) else frozen
        packed = pack(kept.values, self._context.store, self._crew.looks.pen.mask).values
        if not again or packed:
            title = self._crew.looks.title(step)
            started = ev.BlockStarted(path=step.path, form=form_of(step), title=title, host=host, frozen=packed)
            self._recorder.write(started)
        return over or (None, "")

    def _end(self, step: Step, outcome: Outcome, because: str, host: str) -> Outcome:
        outputs: Mapping[str, Value] = {}
        if isinstance(step.body, Include) and step.loop is None and outcome in {Outcome.OK, Outcome.PARTIAL}:
            outputs = self._outputs(step, step.body)
        foreseen = outcome in step.judgement.tolerate or (step.judgement.observe and outcome.bad)
        # not durable: it follows from what is inside, of which every act is on the disk, and is found again from that
        self._recorder.write(
            ev.BlockFinished(
                path=step.path, outcome=outcome.value, because=because, host=host, tolerated=foreseen,
                outputs=pack(outputs, self._context.store, self._crew.looks.pen.mask).tagged,
            )
        )  # fmt: skip
        self._crew.marks.set(step)
        return outcome

    def _outputs(self, step: Step, body: Include) -> Mapping[str, Value]:
        scope = RunScope(context=self._context, frames=step.frames, home=step.origin or step.path)
        values = {name: evaluate(formula.expression, scope) for name, formula in body.runbook.outputs.items()}
        return {name: value for name, value in values.items() if not isinstance(value, Unknown)}

    # -- freezing ---------------------------------------------------------------------------------------------------

    def _frozen(self, step: Step) -> Roster | Unknown:
        """The rounds from now on; Unknown when they cannot be told."""
        batch = carried(step)
        left = left_block(self._context, batch.path, step.path) if batch is not None else ()
        now, old = frozen_now(step, self._scope(step), left), frozen_of(self._context, step.path)
        if isinstance(now, Unknown) or not old.known:
            return now
        if is_table(step):
            # Hosts on which an attempt before began and this one does not still have their ways back.
            gone = [one for one in parts(self._context, step) if one.frames[-1].host not in now.hosts]
            began = [one.frames[-1].host for one in gone if self._recorder.state.step(one.path).began]
            return replace(now, earlier=tuple(began))
        return self._relisted(step, old, now) if old.items is not None else now

    def _relisted(self, step: Step, old: Roster, now: Roster) -> Roster:
        """The list of a loop that is done again: members keep their numbers, so what was done is known.

        Members that are gone are left out before the new list is recorded: after a crash they must not be begun.
        """
        wanted = now.items or ()
        for one in parts(self._context, step):
            if one.frames[-1].names not in wanted:
                self._walk.skip_all(one, "it is no longer in the list")
        return Roster(items=relisted(old.items or (), wanted))

    # -- people -----------------------------------------------------------------------------------------------------

    def agree(self, step: Step) -> str:
        """Ask the people of a container's guards, once for all that is frozen; empty when it may go on."""
        guards = step.guards
        if not (guards.approve or guards.caution or guards.recheck):
            return ""
        units = [one for one in within(self._context, step) if not is_container(one)]
        if any(self._walk.begun(unit) for unit in units) and not is_table(step):
            return ""  # people have agreed before its first step
        return self._crew.turns.group(step, list(self._acts(step)))

    def _acts(self, step: Step) -> Iterator[Step | str]:
        """What it will carry out, as far as that can be told now; a sentence where it cannot."""
        if not is_container(step):
            yield step
        elif isinstance(step.body, Fence) and step.loop is None:
            yield from step.body.methods
        elif step.loop is not None or is_table(step) or is_rolling(step):
            begun = self._recorder.state.blocks.get(step.path) is not None
            frozen = frozen_of(self._context, step.path) if begun else frozen_now(step, self._scope(step))
            if isinstance(frozen, Unknown):
                yield f"{step.path}, for each of what is not known yet: {frozen}"
                return
            for frame in frozen.frames(step, step.path):
                yield from self._acts(round_of(step, frame))
        else:
            for inner in parts(self._context, step):
                yield from self._acts(inner)

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
            return whole(step, body.steps, side_by_side(body.steps, how, self._branches, self._walk.step)), ""

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
        return whole(step, rounds, outcomes), _told(rounds, outcomes)

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

    def _table(self, step: Step) -> tuple[Outcome, str]:
        assert step.on is not None and step.on.selection is not None  # noqa: S101, PT018 - it is a table
        selection, steps = step.on.selection, {one.frames[-1].host: one for one in parts(self._context, step)}
        frozen = frozen_of(self._context, step.path)
        groups, most = frozen.batches or (), self._allowed(step, selection, len(frozen.hosts))
        done: dict[str, Outcome] = {}
        outcome = Outcome.OK
        for number, batch in enumerate(groups):
            self._soak(selection, number, [steps[host] for host in groups[number - 1]] if number else [])
            careful = number == 0 and selection.canaries is not None and len(groups) > 1
            bad = sum(not good(steps[host], end) for host, end in done.items())
            how = Together(at_once=min(self._context.bounds.fan_out, len(batch)), allowed=0 if careful else most - bad)
            members = [steps[host] for host in batch]
            done |= dict(zip(batch, side_by_side(members, how, self._branches, self._walk.step), strict=True))
            outcome = together(members, [done[host] for host in batch], how.allowed)
            if outcome in {Outcome.FAILED, Outcome.IN_DOUBT}:
                break
        members, outcomes = [steps[host] for host in done], list(done.values())
        if outcome not in {Outcome.FAILED, Outcome.IN_DOUBT}:
            outcome = together(members, outcomes, most)
        because = _told(members, outcomes)
        if selection.all_or_none and carried(step) is None and not all(one is Outcome.OK for one in outcomes):
            return self._none(members, outcome, because)
        return outcome, because

    def _none(self, members: Sequence[Step], outcome: Outcome, because: str) -> tuple[Outcome, str]:
        """Not every host was ok: take back what was done on the others, and say where that did not work."""
        if outcome is Outcome.IN_DOUBT:
            return (
                outcome,
                because,
            )  # settled by a look or a person first; then it is carried out, and taken back, again
        kept = self._crew.ledger.take_back(members)
        for one in members:
            if one.path not in kept:
                self._crew.failures.mark_taken_back(one)
        left = "".join(f"; NOT taken back: {path} ({why})" for path, why in kept.items())
        return Outcome.FAILED, f"all or none: {because}{left}"

    def _allowed(self, step: Step, selection: Selection, total: int) -> int:
        """How many hosts may fail; in a rolling block what earlier failures in it have left of its limit."""
        batch = carried(step)
        if batch is None:
            return allowed(selection, total)
        everyone = len(frozen_of(self._context, batch.around).hosts)
        return max(0, allowed(selection, everyone) - len(left_block(self._context, batch.around, step.path)))

    def _rolling(self, step: Step) -> tuple[Outcome, str]:
        assert step.on is not None and step.on.selection is not None  # noqa: S101, PT018 - it rolls over hosts
        selection, rounds = step.on.selection, parts(self._context, step)
        outcome, because = Outcome.OK, ""
        for number, batch in enumerate(rounds):
            self._soak(selection, number, [rounds[number - 1]] if number else [])
            with self._branches.quietly(really=selection.all_or_none):
                end = self._walk.step(batch)
            careful = number == 0 and selection.canaries is not None and len(rounds) > 1
            outcome = Outcome.PARTIAL if end is Outcome.PARTIAL else outcome
            if end not in GOOD or (careful and end is Outcome.PARTIAL):
                outcome, because = (end if end not in GOOD else Outcome.FAILED), f"batch {number}"
                break
        if selection.all_or_none and outcome is not Outcome.OK:
            units = [one for batch in rounds for one in within(self._context, batch) if not is_container(one)]
            return self._none([step, *units], outcome, because or "not every host is ok")
        return outcome, because

    def _soak(self, selection: Selection, number: int, before: Sequence[Step]) -> None:
        """Pause before a batch, for what is left since the one before ended."""
        if selection.soak is None or not number:
            return
        clock = self._context.clock
        ends = [self._crew.failures.ended_at(one) for one in before]
        newest = max((at.micros for at in ends if at is not None), default=clock.now().micros)
        left = selection.soak.micros - max(0, clock.now().micros - newest)
        if left > 0:
            self.attempts.pause(Duration(left), before[0].path)


def _told(steps: Sequence[Step], outcomes: Sequence[Outcome]) -> str:
    ends = [(one, end) for one, end in zip(steps, outcomes, strict=True) if not good(one, end)]
    bad = [f"{one.path.rpartition('/')[2]} {end.value}" for one, end in ends]
    return listed(bad, MOST_TOLD)
