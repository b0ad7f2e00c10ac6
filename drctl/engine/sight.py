"""What a plan may believe: looks taken before any act would run, in branches that surely run.

Everything else is seen too, but only shown: it is not what will be there after the change, so no condition is decided
by it. A plan holds a `Looking`, which has no way to act; nothing here can be asked to.
"""

from __future__ import annotations

import contextlib
import itertools
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from drctl.core import events as ev
from drctl.core.expressions import evaluate, parse
from drctl.core.fold import RunState
from drctl.core.nouns import dataclass
from drctl.core.outcomes import Outcome
from drctl.core.roster import Roster
from drctl.core.values import Unknown, Value, to_json
from drctl.engine.looks import Looks, Pen
from drctl.engine.marks import Marks
from drctl.engine.parts import form_of
from drctl.engine.recorder import Recorder
from drctl.engine.scope import RunScope

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from drctl.core.model import Step
    from drctl.core.ports import Facts, Probe
    from drctl.engine.context import Context
    from drctl.engine.world import Looking


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a plan may look at: `live` reads at all; `declared` shell looks, read-only by the author's word alone."""

    live: bool = True
    declared: bool = True


class MemoryJournal:
    """A journal for a plan: nothing reaches the disk."""

    def __init__(self, context: Context) -> None:
        self._clock = context.clock
        self._seq = itertools.count()

    def append(self, type: str, body: Mapping[str, Any], *, actor: str, durable: bool) -> _Line:  # noqa: A002, ARG002 - the port
        """Number a record, and forget it."""
        return _Line(seq=next(self._seq), ts=self._clock.now().micros, mono=self._clock.monotonic().micros)

    def settle(self, seq: int) -> None:
        """Nothing to wait for."""

    def checkpoint(self) -> None:
        """Nothing to sign."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    seq: int
    ts: int
    mono: int
    boot: str = ""


class Sight:
    """What one plan has seen so far."""

    def __init__(self, context: Context, looking: Looking, options: Options) -> None:
        self.context = replace(context, planning=True)
        self.options = options
        self.acted = False
        """Whether an act would have run by now."""
        self._unsure = 0
        self._recorder = Recorder(MemoryJournal(context), context.state, actor="plan")
        scratch = Recorder(MemoryJournal(context), RunState(), actor="plan")
        self._sure = Looks(self.context, self._recorder, looking, Pen(), lambda _: False)
        self._marks = Marks(self._sure, self._recorder)
        self._shown = Looks(self.context, scratch, looking, Pen(), lambda _: False)

    @contextlib.contextmanager
    def perhaps(self, *, really: bool) -> Iterator[None]:
        """Around a branch of which nobody knows yet whether it runs."""
        self._unsure += really
        try:
            yield
        finally:
            self._unsure -= really

    @property
    def counts(self) -> bool:
        """Whether what is seen now decides conditions."""
        return not (self.acted or self._unsure)

    def scope(self, place: str = "", step: Step | None = None) -> RunScope:
        """The names of expressions at a step, as far as they are known."""
        scope = RunScope(context=self.context, place=place)
        return scope if step is None else scope.at(step)

    @property
    def looks(self) -> Looks:
        """Looks that count, or are only shown."""
        return self._sure if self.counts else self._shown

    def facts(self, place: str) -> Facts:
        """What the inventory says."""
        return self._sure.facts(place)

    def probe(self, place: str, user: str | None) -> Probe:
        """Ports for looking."""
        return self._sure.probe(place, user)

    def know(self, step: Step, values: Mapping[str, Value], outcome: str = "ok") -> None:
        """Let later steps see how a step that works on values ends; unless that may still change."""
        if self.counts:
            outputs = {name: to_json(value) for name, value in values.items()}
            self._recorder.write(ev.StepFinished(path=step.path, outcome=outcome, outputs=outputs))
            self._marks.set(step)

    def look(self, step: Step) -> ev.StepFinished:
        """Take a look, once. It counts only when nothing it is judged by is still to come."""
        sure = self.counts and self.still_to_come(step) is None
        if sure and step.until is not None:  # what is not ok yet is no end: the run looks again until it is
            final = self._shown.carry_out(replace(step, until=None))
            if final.outcome == Outcome.OK.value:
                self._recorder.write(final)
                self._marks.set(step)
            return final
        final = (self._sure if sure else self._shown).carry_out(replace(step, until=None))
        if sure:
            self._marks.set(step)
        return final

    def still_to_come(self, step: Step) -> Unknown | None:
        """The first value that the lines or captures of a look need and that does not exist yet."""
        lines = (*step.judgement.expect, *step.judgement.capture.values())
        for use in (use for line in lines for use in line.expression.paths()):
            if use.path[0] in {"steps", "marks"}:
                value = evaluate(parse(".".join(use.path)), self.scope(step=step))
                if isinstance(value, Unknown) and value.not_yet:
                    return value
        return None

    def froze(self, step: Step, frozen: Roster) -> None:
        """Let rounds be known, as a run freezes them."""
        values = {name: to_json(value) for name, value in frozen.values.items()}
        self._recorder.write(ev.BlockStarted(path=step.path, form=form_of(step), frozen=values))

    def ended(self, step: Step, outcome: Outcome) -> None:
        """Let later steps see how a container of looks ends; unless that may still change."""
        if self.counts and not step.acts:
            if step.path not in self.context.state.blocks:
                self.froze(step, Roster())
            self._recorder.write(ev.BlockFinished(path=step.path, outcome=outcome.value))
            self._marks.set(step)

    def outcome(self, step: Step) -> Outcome | None:
        """How a step has ended in what counts, None when it has not."""
        state = self.context.state
        block = state.blocks.get(step.path)
        final = state.step(step.path).own_final
        return block.outcome if block is not None else Outcome(final.outcome) if final is not None else None

    def skipped(self, step: Step, because: str, *, is_block: bool) -> None:
        """Let later steps see that a step is left out; that is sure, whatever is around it."""
        if is_block:
            self._recorder.write(ev.BlockStarted(path=step.path, form="steps"))
            self._recorder.write(ev.BlockFinished(path=step.path, outcome="skipped", because=because))
        else:
            self._recorder.write(ev.StepFinished(path=step.path, attempt=0, outcome="skipped", because=because))

    def opened(self, name: str) -> None:
        """The first record, for `run.started_at`."""
        self._recorder.write(ev.RunOpened(uid="", id="plan", runbook=name))
