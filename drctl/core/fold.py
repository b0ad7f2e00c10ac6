"""The state of a run as a fold over its records: nothing else is true.

Status, resume point, live view and report all start here. The fold is total: a record of an unknown type is counted and
shown, and `resumable` says that no version may act on top of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field
from typing import Final

from drctl.core import events as ev
from drctl.core.frozen import digest_of
from drctl.core.holdings import GIVEN
from drctl.core.nouns import dataclass
from drctl.core.outcomes import Outcome
from drctl.core.states import BlockState, Entry, MarkState, QuestionState, StepState, Unit
from drctl.core.timeline import Timeline
from drctl.core.transports import FABRIC
from drctl.core.values import Duration, Time

__all__ = [
    "FIRST_STAYS",
    "ROLLED_BACK",
    "Attained",
    "BlockState",
    "Entry",
    "MarkState",
    "QuestionState",
    "RunState",
    "StepState",
    "Unit",
    "attained",
]

ROLLED_BACK: Final = "rolled_back"
"""Why a run pauses when a rollback to a step is over."""
FIRST_STAYS = frozenset({"fault", "detected", "declared", "outage_start"})
"""Marks of which the first value stays; of all others the last one counts (language specification, section 12)."""


@dataclass(slots=True)
class RunState:
    """The fold. `apply` takes entries in order; every attribute is derived from them alone."""

    opened: ev.RunOpened | None = None
    opened_at: Time | None = None
    plan: list[str] = field(default_factory=list)
    """The newest plan that is whole, and its digest."""
    plan_digest: str = ""
    accepted: dict[str, ev.RunResumed] = field(default_factory=dict)
    """By address: who went on with a changed runbook, where steps of it were not as before; the newest."""
    _renewing: ev.Event | None = None
    _parts: list[str] = field(default_factory=list)
    steps: dict[str, StepState] = field(default_factory=dict)
    blocks: dict[str, BlockState] = field(default_factory=dict)
    questions: dict[str, QuestionState] = field(default_factory=dict)
    marks: dict[str, list[MarkState]] = field(default_factory=dict)
    notes: list[tuple[Time, ev.NoteAdded]] = field(default_factory=list)
    deviations: list[tuple[Time, ev.DeviationNoted]] = field(default_factory=list)
    controls: list[tuple[Time, ev.ControlReceived]] = field(default_factory=list)
    preflights: dict[str, ev.PreflightFinished] = field(default_factory=dict)
    fenced: dict[str, str] = field(default_factory=dict)
    held: dict[str, Time] = field(default_factory=dict)
    """Places that said they are this run's, since when."""
    replaced: ev.LockLost | None = None
    """The word of a host that this run goes on elsewhere: these records are one of two histories since then."""
    node: str = ""
    """The machine of the newest writer."""
    transport: str = FABRIC
    """What opens links to hosts, as the newest writer had it."""
    epoch: int = 1
    pubkey: str = ""
    """The key that signs since the newest of run_opened and run_taken_over."""
    paused: ev.RunPaused | None = None
    closed: ev.RunClosed | None = None
    closed_at: Time | None = None
    intents: int = 0
    sessions: int = 0
    last_at: Time | None = None
    timeline: Timeline = field(default_factory=Timeline)
    away_us: list[tuple[int, int]] = field(default_factory=list)
    """The same as `away` in the run's own time."""
    left: Entry | None = None
    """The last record of the writer before the newest one, and the first of the newest (`newest`)."""
    newest: Entry | None = None
    _last: Entry | None = None
    away: list[tuple[Time, Time]] = field(default_factory=list)
    """Stretches without a writer: from its last record to the first of the next."""
    records: int = 0
    unknown_types: list[str] = field(default_factory=list)
    words: set[str] = field(default_factory=set)
    rolling_back: ev.ControlReceived | None = None
    """The word of a rollback that is not over yet; it holds over any crash."""
    last_pause: ev.RunPaused | None = None
    """How it was paused before its present writer took it up; None when that one opened it, or it crashed."""
    rolled_back_seq: int = -1
    """The record of the newest rollback that was said: a yes from before it no longer counts."""
    changes: dict[str, list[tuple[int, ev.JsonMap]]] = field(default_factory=dict)
    """By step: fields that a person changed for its later attempts, with the record that says so, oldest first."""

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> RunState:
        """Fold entries from the beginning."""
        state = cls()
        for entry in entries:
            state.apply(entry)
        return state

    def step(self, path: str) -> StepState:
        """The state of a step, empty when nothing is known of it."""
        return self.steps.get(path) or StepState(path=path)

    def mark(self, name: str) -> MarkState | None:
        """The value of a mark that counts: the first for starts, the last for ends; one without a value never does."""
        values = [mark for mark in self.marks.get(name, ()) if not _is_unknown(mark.value)]
        if not values:
            return None
        return values[0] if name in FIRST_STAYS else values[-1]

    @property
    def open_questions(self) -> tuple[QuestionState, ...]:
        """Questions that wait, oldest first."""
        return tuple(question for question in list(self.questions.values()) if question.open)

    @property
    def phase(self) -> str:
        """The phase being carried out, or the last one."""
        phases = [block.path for block in list(self.blocks.values()) if block.form == "phase"]
        return phases[-1] if phases else ""

    @property
    def in_doubt(self) -> tuple[StepState, ...]:
        """Steps whose newest unit began and whose end is unknown; methods of a proven fence need no end."""
        return tuple(
            step for step in list(self.steps.values())
            if step.own is not None and (_is_open_act(step.own) or step.outcome is Outcome.IN_DOUBT)
            and not self._fence_proven(step)
        )  # fmt: skip

    @property
    def abort(self) -> ev.ControlReceived | None:
        """The word that ends this run; it holds over any crash."""
        return next((c for _, c in list(self.controls) if c.verb == "abort" and c.accepted), None)

    def idle(self, since: Time, until: Time) -> Duration:
        """How long nothing could go on in a stretch of time: no writer was there, or a person was waited for.

        What overlaps counts once: two people who are waited for at the same time hold a run up no longer than one.
        """
        waits = [(q.asked_at, q.over_at or until) for q in list(self.questions.values())]
        total, reached = 0, since.micros
        for begin, end in sorted([*self.away, *waits], key=lambda one: one[0].micros):
            first, last = max(begin.micros, reached), min(end.micros, until.micros)
            if last > first:
                total, reached = total + last - first, last
        return Duration(total)

    def origin(self, path: str) -> str:
        """An address without its rounds: iterations, batches and hosts, as the containers around it began them."""
        names: list[str] = []
        around = ""
        for name in path.split("/"):
            block = self.blocks.get(around)
            names += [] if block is not None and block.form in _REPEATS else [name]
            around = f"{around}/{name}" if around else name
        return "/".join(names)

    def ended_seq(self, path: str) -> int:
        """The record of the newest final end of a step or block, -1 when it has none."""
        block = self.blocks.get(path)
        return max(self.step(path).ended_seq, block.finished_seq if block is not None else -1)

    def _fence_proven(self, step: StepState) -> bool:
        fence, _, method = step.path.rpartition("/methods/")
        block = self.blocks.get(fence)
        return bool(method) and block is not None and block.outcome is Outcome.OK

    def apply(self, entry: Entry) -> None:
        """Take one more record into account."""
        self.records += 1
        event, before, own = entry.event, self.last_at, self.timeline.now
        self.last_at = entry.at
        now = self.timeline.take(entry)
        if isinstance(event, ev.RunResumed | ev.RunTakenOver) and before is not None:
            self.away.append((before, entry.at))
            self.away_us.append((own, now))
            if not _begins(self._last):
                self.left, self.newest = self._last, entry
        elif isinstance(event, ev.Suspended) and _begins(self._last) and self.away_us:
            self.away_us[-1] = (self.away_us[-1][0], now)  # it slept while nobody carried the run out
        self._last = entry
        if isinstance(event, ev.StepFinished | ev.BlockFinished) and event.outcome not in _OUTCOMES:
            self.unknown_types.append(f"{event.TYPE} with outcome {event.outcome!r}")
            return
        if isinstance(event, ev.Answered | ev.NoteAdded | ev.ControlReceived) and event.word:
            self.words.add(event.word)
        self._apply(entry)

    def _apply(self, entry: Entry) -> None:
        event = entry.event
        match event:
            case ev.RunOpened():
                self.opened, self.opened_at, self.sessions = event, entry.at, 1
                self.node, self.pubkey, self.plan_digest = event.node, event.pubkey, event.plan_digest
                self.transport = event.transport
            case ev.PlanPart():
                self._take_part(event.text)
            case ev.RunPaused() | ev.RunResumed() | ev.RunTakenOver() | ev.RunClosed():
                self._apply_writer(event, entry.at)
            case ev.StepStarted() | ev.CommandRan() | ev.StepFinished():
                self._apply_unit(entry)
            case ev.BlockStarted() | ev.BlockFinished():
                self._apply_block(entry)
            case ev.Asked() | ev.Answered():
                self._apply_question(entry)
            case _:
                self._apply_side(entry)

    def _apply_writer(self, event: ev.Event, at: Time) -> None:
        """Records about a writer's coming and going."""
        match event:
            case ev.RunPaused():
                self.paused = event
                if event.reason == ROLLED_BACK:
                    self.rolling_back = None
            case ev.RunResumed() | ev.RunTakenOver():
                self.last_pause = self.paused or self.last_pause
                self.paused, self.node, self.transport = None, event.node or self.node, event.transport
                self.sessions += 1
                self._renewing, self._parts = (event, []) if getattr(event, "plan_parts", 0) else (None, [])
                if isinstance(event, ev.RunTakenOver):
                    self.replaced, self.epoch = None, event.epoch or self.epoch + 1
                    self.pubkey = event.pubkey or self.pubkey
            case ev.RunClosed():
                self.closed, self.closed_at, self.paused, self.rolling_back = event, at, None, None
                self._settle_questions("")
            case _:
                pass

    def _take_part(self, text: str) -> None:
        """Take a part of the plan; a newer plan counts from the moment it is whole, and not before."""
        renewing = self._renewing
        if not isinstance(renewing, ev.RunResumed):
            self.plan.append(text)
            return
        self._parts.append(text)
        if len(self._parts) == renewing.plan_parts and digest_of("".join(self._parts)) == renewing.plan_digest:
            self.plan, self.plan_digest, self._renewing = self._parts, renewing.plan_digest, None
            self.accepted.update(dict.fromkeys(renewing.accepted, renewing))

    def _apply_side(self, entry: Entry) -> None:
        """Records about the run as a whole."""
        match entry.event:
            case ev.MarkSet() as event:
                time = _as_time(event.value)
                own = self.timeline.of(time) if time is not None else None
                mark = MarkState(value=event.value, at=entry.at, path=event.path, seq=entry.seq, us=own)
                self.marks.setdefault(event.name, []).append(mark)
            case ev.UnknownEvent() as event:
                self.unknown_types.append(event.type)
            case ev.PreflightFinished() as event:
                self.preflights[event.phase] = event
            case ev.NoteAdded() as event:
                self.notes.append((entry.at, event))
            case ev.DeviationNoted() as event:
                self.deviations.append((entry.at, event))
                if event.changes:
                    self.changes.setdefault(event.path, []).append((entry.seq, event.changes))
            case ev.LockTaken() | ev.LockLost() as event:
                self._apply_lock(event, entry.at)
            case ev.ControlReceived() as event:
                self.controls.append((entry.at, event))
                if event.verb == "rollback" and event.accepted:
                    self.rolling_back, self.rolled_back_seq = event, entry.seq
            case _:
                pass

    def _apply_lock(self, event: ev.LockTaken | ev.LockLost, at: Time) -> None:
        """Records about the hosts that this run holds."""
        if isinstance(event, ev.LockTaken):
            self.held.update(dict.fromkeys(event.names, at))
            return
        self.held.pop(event.name, None)
        if event.epoch and not event.holder.startswith(GIVEN):
            self.replaced = event

    def _apply_unit(self, entry: Entry) -> None:
        event = entry.event
        assert isinstance(event, ev.StepStarted | ev.CommandRan | ev.StepFinished)  # noqa: S101 - for the type checker
        step = self.steps.setdefault(event.path, StepState(path=event.path))
        unit = next((u for u in reversed(step.units) if u.attempt == event.attempt and u.host == event.host), None)
        if unit is None or (event.attempt == 0 and unit.finished is not None):
            unit = Unit(path=event.path, host=event.host, attempt=event.attempt)
            step.units.append(unit)
        if isinstance(event, ev.StepStarted):
            unit.started, unit.started_at, unit.started_seq = event, entry.at, entry.seq
            unit.started_us = self.timeline.now
            self.intents += event.effect != "read"
        elif isinstance(event, ev.CommandRan):
            unit.commands.append(event)
        else:
            unit.finished, unit.finished_at, unit.finished_seq = event, entry.at, entry.seq
            unit.finished_us = self.timeline.now
            anew = not event.final and event.outcome == Outcome.NOT_RUN.value  # it is to be done again
            if anew or (event.final and event.outcome != Outcome.IN_DOUBT.value):
                self._settle_questions(event.path)

    def _apply_block(self, entry: Entry) -> None:
        event = entry.event
        if isinstance(event, ev.BlockStarted):
            entered = self.blocks[event.path].entered + 1 if event.path in self.blocks else 1
            if entered > 1:  # what was asked about its first end is not about this one
                self._settle_questions(event.path)
            self.blocks[event.path] = BlockState(
                path=event.path, form=event.form, title=event.title, started_at=entry.at, started_seq=entry.seq,
                started_us=self.timeline.now, host=event.host, frozen=event.frozen, by=event.by, entered=entered,
            )  # fmt: skip
        elif isinstance(event, ev.BlockFinished) and event.path in self.blocks:
            block = self.blocks[event.path]
            block.finished_at, block.finished_seq = entry.at, entry.seq
            block.finished_us = self.timeline.now
            block.outcome, block.because = Outcome(event.outcome), event.because
            block.outputs, block.tolerated = event.outputs, event.tolerated
            self._settle_questions(event.path)
            if block.form == "fence" and block.outcome is Outcome.OK and event.host:
                self.fenced[event.host] = event.path
            if block.form == "lift" and block.outcome is Outcome.OK:
                self.fenced.pop(event.host, None)

    def _apply_question(self, entry: Entry) -> None:
        event = entry.event
        if isinstance(event, ev.Asked):
            self._settle_questions(event.path)
            self.questions[event.id] = QuestionState(asked=event, asked_at=entry.at, asked_us=self.timeline.now)
        elif isinstance(event, ev.Answered) and event.id in self.questions:
            question = self.questions[event.id]
            question.answers.append(event)
            if question.decided is not None and question.decided_seq < 0:
                question.decided_seq, question.over_at, question.over_us = entry.seq, entry.at, self.timeline.now

    def _settle_questions(self, path: str) -> None:
        """What was asked about a path (any, when empty) needs no answer any more."""
        for question in self.questions.values():
            if question.open and (not path or question.asked.path == path):
                question.closed, question.over_at, question.over_us = True, self.last_at, self.timeline.now


_REPEATS: Final = frozenset({"loop", "table", "rolling"})
"""Forms of blocks whose members are rounds."""
_OUTCOMES: Final = frozenset(outcome.value for outcome in Outcome)


def _begins(entry: Entry | None) -> bool:
    """Whether a record belongs to the first ones of a writer."""
    return entry is not None and isinstance(entry.event, ev.RunResumed | ev.RunTakenOver | ev.Recovered)


def _is_open_act(unit: Unit) -> bool:
    return unit.open and unit.started is not None and unit.started.effect != "read"


def _is_unknown(value: object) -> bool:
    return isinstance(value, Mapping) and "$unknown" in value


@dataclass(frozen=True, slots=True, kw_only=True)
class Attained:
    """Objectives against what was reached. None = not measured; a method says how a figure came about."""

    rta: Duration | None
    rta_from_fault: Duration | None
    rpa: Duration | None
    rto: Duration | None
    rpo: Duration | None
    by_wall: bool = False
    """Part of RTA lies over a restart of the machine, and was measured by the wall clock alone."""

    @property
    def rto_met(self) -> bool | None:
        """Whether RTO was met; None when it was not promised, or promised and not measured."""
        return None if self.rto is None or self.rta is None else self.rta <= self.rto

    @property
    def rpo_met(self) -> bool | None:
        """Whether RPO was met; None as above."""
        return None if self.rpo is None or self.rpa is None else self.rpa <= self.rpo


def attained(state: RunState) -> Attained:
    """Compute RTA and RPA from the marks (language specification, section 12).

    RTA = service_restored - declared, and from fault when known. RPA = fault - recovery_point, or `data_loss` when that
    is a duration. `declared` is the start of the run unless set. Lengths are of the run's own time.
    """
    opened = state.opened
    start = state.opened_at.micros if state.opened_at is not None else None  # where own time begins
    declared = _own(state, "declared") or start
    restored, fault, point = (_own(state, n) for n in ("service_restored", "fault", "recovery_point"))
    rpa = _gap(point, fault)
    loss = state.mark("data_loss")
    if loss is not None and isinstance(loss.value, Mapping) and "$us" in loss.value:
        rpa = Duration(loss.value["$us"])
    rto = Duration(opened.rto_us) if opened and opened.rto_us is not None else None
    rpo = Duration(opened.rpo_us) if opened and opened.rpo_us is not None else None
    by_wall = declared is not None and restored is not None and state.timeline.by_wall(declared, restored)
    return Attained(
        rta=_gap(declared, restored), rta_from_fault=_gap(fault, restored), rpa=rpa, rto=rto, rpo=rpo, by_wall=by_wall
    )


def _own(state: RunState, name: str) -> int | None:
    mark = state.mark(name)
    return mark.us if mark is not None else None


def _as_time(value: object) -> Time | None:
    return Time(value["$time"]) if isinstance(value, Mapping) and "$time" in value else None


def _gap(start: int | None, end: int | None) -> Duration | None:
    return None if start is None or end is None else Duration(max(0, end - start))
