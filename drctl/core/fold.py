"""The state of a run as a fold over its records: nothing else is true.

Status, resume point, live view and report all start here. The fold is total: a record of an unknown type is counted and
shown, and `resumable` says that no version may act on top of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field
from typing import Final

from drctl.core import events as ev
from drctl.core.nouns import dataclass
from drctl.core.outcomes import Outcome
from drctl.core.states import BlockState, Entry, MarkState, QuestionState, StepState, Unit
from drctl.core.values import Duration, Time

__all__ = [
    "FIRST_STAYS",
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

FIRST_STAYS = frozenset({"fault", "detected", "declared", "outage_start"})
"""Marks of which the first value stays; of all others the last one counts (language specification, section 12)."""


@dataclass(slots=True)
class RunState:
    """The fold. `apply` takes entries in order; every attribute is derived from them alone."""

    opened: ev.RunOpened | None = None
    opened_at: Time | None = None
    plan: list[str] = field(default_factory=list)
    steps: dict[str, StepState] = field(default_factory=dict)
    blocks: dict[str, BlockState] = field(default_factory=dict)
    questions: dict[str, QuestionState] = field(default_factory=dict)
    marks: dict[str, list[MarkState]] = field(default_factory=dict)
    notes: list[tuple[Time, ev.NoteAdded]] = field(default_factory=list)
    deviations: list[tuple[Time, ev.DeviationNoted]] = field(default_factory=list)
    controls: list[tuple[Time, ev.ControlReceived]] = field(default_factory=list)
    preflights: dict[str, ev.PreflightFinished] = field(default_factory=dict)
    fenced: dict[str, str] = field(default_factory=dict)
    paused: ev.RunPaused | None = None
    closed: ev.RunClosed | None = None
    closed_at: Time | None = None
    intents: int = 0
    sessions: int = 0
    last_at: Time | None = None
    away: list[tuple[Time, Time]] = field(default_factory=list)
    """Stretches without a writer: from its last record to the first of the next."""
    records: int = 0
    unknown_types: list[str] = field(default_factory=list)
    words: set[str] = field(default_factory=set)

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
        event, before = entry.event, self.last_at
        self.last_at = entry.at
        if isinstance(event, ev.RunResumed | ev.RunTakenOver) and before is not None:
            self.away.append((before, entry.at))
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
            case ev.PlanPart():
                self.plan.append(event.text)
            case ev.RunPaused():
                self.paused = event
            case ev.RunResumed() | ev.RunTakenOver():
                self.paused = None
                self.sessions += 1
            case ev.RunClosed():
                self.closed, self.closed_at, self.paused = event, entry.at, None
                self._settle_questions("")
            case ev.StepStarted() | ev.CommandRan() | ev.StepFinished():
                self._apply_unit(entry)
            case ev.BlockStarted() | ev.BlockFinished():
                self._apply_block(entry)
            case ev.Asked() | ev.Answered():
                self._apply_question(entry)
            case _:
                self._apply_side(entry)

    def _apply_side(self, entry: Entry) -> None:
        """Records about the run as a whole."""
        match entry.event:
            case ev.MarkSet() as event:
                mark = MarkState(value=event.value, at=entry.at, path=event.path, seq=entry.seq)
                self.marks.setdefault(event.name, []).append(mark)
            case ev.UnknownEvent() as event:
                self.unknown_types.append(event.type)
            case ev.PreflightFinished() as event:
                self.preflights[event.phase] = event
            case ev.NoteAdded() as event:
                self.notes.append((entry.at, event))
            case ev.DeviationNoted() as event:
                self.deviations.append((entry.at, event))
            case ev.ControlReceived() as event:
                self.controls.append((entry.at, event))
            case _:
                pass

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
            self.intents += event.effect != "read"
        elif isinstance(event, ev.CommandRan):
            unit.commands.append(event)
        else:
            unit.finished, unit.finished_at, unit.finished_seq = event, entry.at, entry.seq
            if event.final and event.outcome != Outcome.IN_DOUBT.value:
                self._settle_questions(event.path)

    def _apply_block(self, entry: Entry) -> None:
        event = entry.event
        if isinstance(event, ev.BlockStarted):
            entered = self.blocks[event.path].entered + 1 if event.path in self.blocks else 1
            self.blocks[event.path] = BlockState(
                path=event.path, form=event.form, title=event.title, started_at=entry.at, started_seq=entry.seq,
                host=event.host, frozen=event.frozen, by=event.by, entered=entered,
            )  # fmt: skip
        elif isinstance(event, ev.BlockFinished) and event.path in self.blocks:
            block = self.blocks[event.path]
            block.finished_at, block.finished_seq = entry.at, entry.seq
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
            self.questions[event.id] = QuestionState(asked=event, asked_at=entry.at)
        elif isinstance(event, ev.Answered) and event.id in self.questions:
            question = self.questions[event.id]
            question.answers.append(event)
            if question.decided is not None and question.decided_seq < 0:
                question.decided_seq, question.over_at = entry.seq, entry.at

    def _settle_questions(self, path: str) -> None:
        """What was asked about a path (any, when empty) needs no answer any more."""
        for question in self.questions.values():
            if question.open and (not path or question.asked.path == path):
                question.closed, question.over_at = True, self.last_at


_OUTCOMES: Final = frozenset(outcome.value for outcome in Outcome)


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
    is a duration. `declared` is the start of the run unless set.
    """
    opened = state.opened
    declared = _time(state, "declared") or state.opened_at
    restored, fault, point = (_time(state, n) for n in ("service_restored", "fault", "recovery_point"))
    rpa = _gap(point, fault)
    loss = state.mark("data_loss")
    if loss is not None and isinstance(loss.value, Mapping) and "$us" in loss.value:
        rpa = Duration(loss.value["$us"])
    rto = Duration(opened.rto_us) if opened and opened.rto_us is not None else None
    rpo = Duration(opened.rpo_us) if opened and opened.rpo_us is not None else None
    return Attained(rta=_gap(declared, restored), rta_from_fault=_gap(fault, restored), rpa=rpa, rto=rto, rpo=rpo)


def _time(state: RunState, name: str) -> Time | None:
    mark = state.mark(name)
    if mark is None or not isinstance(mark.value, Mapping) or "$time" not in mark.value:
        return None
    return Time(mark.value["$time"])


def _gap(start: Time | None, end: Time | None) -> Duration | None:
    if start is None or end is None:
        return None
    return Duration(max(0, end.micros - start.micros))
