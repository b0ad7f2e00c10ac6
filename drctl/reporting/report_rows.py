"""The rows of a report: timeline, decisions, steps with their evidence. Pure; outputs come through a function."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from drctl.core import events as ev
from drctl.core.values import Time
from drctl.errors import JournalError
from drctl.reporting.facts import WORDS, StepFacts, is_bad, phase_of, step_facts, waited
from drctl.reporting.kept import beginning_of
from drctl.reporting.lines import said
from drctl.reporting.report_model import (
    AnswerRow,
    AttemptRow,
    DecisionRow,
    MarkRow,
    Named,
    OutputRow,
    PhaseRow,
    StepRow,
    TimelineRow,
)
from drctl.reporting.texts import clean, one_line, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from drctl.core.fold import Entry, QuestionState, RunState, Unit
    from drctl.reporting.report_clock import Clock

EXCERPT = 2000
"""Characters of an output that a report shows; all of it stays under its digest."""
LONGEST_VALUE = 200
LATE = 5_000_000
"""Microseconds after which a note counts as late: both its times are shown."""

_PEOPLE = (ev.Answered, ev.ControlReceived, ev.DeviationNoted, ev.RunOpened, ev.RunResumed, ev.RunTakenOver)


def timeline(entries: Sequence[Entry], state: RunState, times: Clock) -> tuple[TimelineRow, ...]:
    """Machine and people in one row, by the time things happened; a note stands at the time its author gave."""
    rows: list[tuple[int, TimelineRow]] = []
    for entry in entries:
        found = said(entry.event, state)
        if found is None:
            continue
        sign, word, text = found
        event, at, own = entry.event, entry.at, times.own(entry)
        who = (
            "person"
            if isinstance(event, _PEOPLE) and (not isinstance(event, ev.DeviationNoted) or event.by)
            else "machine"
        )
        recorded = None
        if isinstance(event, ev.NoteAdded):
            who = "note"
            given = Time(event.given_at) if event.given_at else at
            if at.micros - given.micros >= LATE:
                own -= at.micros - given.micros
                at, recorded = given, times.moment(entry.at)
        row = TimelineRow(
            seq=entry.seq, at=times.moment(at), who=who, sign=sign, word=word, text=one_line(text), recorded=recorded
        )
        rows.append((own, row))
    return tuple(row for _, row in sorted(rows, key=lambda one: (one[0], one[1].seq)))


def decisions(entries: Sequence[Entry], state: RunState, times: Clock) -> tuple[DecisionRow, ...]:
    """Every question with what was shown, and every answer, refused ones too."""
    recorded: dict[str, list[tuple[Time, ev.Answered]]] = {}
    for entry in entries:
        if isinstance(entry.event, ev.Answered):
            recorded.setdefault(entry.event.id, []).append((entry.at, entry.event))
    rows = [_decision(question, recorded.pop(id_, []), state, times) for id_, question in state.questions.items()]
    for id_, answers in recorded.items():  # answers to questions that were never asked stay visible
        at = times.moment(answers[0][0])
        rows.append(
            DecisionRow(
                id=clean(id_),
                kind="none",
                path="",
                text="an answer to no question of this run",
                asked=at,
                until=None,
                by=(),
                quorum=0,
                target="",
                shown=(),
                digest="",
                answers=tuple(_answer(t, a, times) for t, a in answers),
                waited_us=None,
                state="no such question",
            )
        )
    return tuple(rows)


def _decision(
    question: QuestionState, answers: Sequence[tuple[Time, ev.Answered]], state: RunState, times: Clock
) -> DecisionRow:
    asked, length = question.asked, waited(question)
    word = "answered" if question.decided is not None else "never answered" if state.closed is not None else "open"
    if question.decided is None and question.closed:
        word = "withdrawn: another question took its place"
    return DecisionRow(
        id=clean(asked.id),
        kind=clean(asked.kind),
        path=clean(asked.path),
        text=clean(asked.text, lines=True),
        asked=times.moment(question.asked_at),
        until=times.moment(Time(asked.until_at)) if asked.until_at else None,
        by=tuple(map(clean, asked.by)),
        quorum=asked.quorum,
        target=clean(asked.target),
        digest=clean(asked.digest),
        state=word,
        shown=tuple(Named(name=clean(name), value=one_line(text)) for name, text in asked.show),
        answers=tuple(_answer(at, answer, times) for at, answer in answers),
        waited_us=length.micros if length is not None else None,
    )


def _answer(at: Time, answer: ev.Answered, times: Clock) -> AnswerRow:
    return AnswerRow(
        at=times.moment(Time(answer.given_at) if answer.given_at else at),
        recorded=times.moment(at),
        by=clean(answer.by),
        role=clean(answer.role),
        choice=clean(answer.choice),
        accepted=answer.accepted,
        because=one_line(answer.because),
        reason=one_line(answer.reason),
        proof=one_line(answer.proof),
        simulated=answer.simulated,
        source=clean(answer.source),
        values=named(answer.values),
    )


def named(values: Mapping[str, object], source: str = "") -> tuple[Named, ...]:
    """Recorded values as rows, each on one line and short."""
    return tuple(Named(name=clean(name), value=_short(shown(value)), source=source) for name, value in values.items())


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}… ({len(text)} characters)"


def phases(entries: Sequence[Entry], state: RunState, times: Clock) -> tuple[PhaseRow, ...]:
    """Phases with entry, exit and state."""
    began: dict[str, Entry] = {}
    lasted: dict[str, int] = {}
    for entry in entries:
        if isinstance(entry.event, ev.BlockStarted):
            began.setdefault(entry.event.path, entry)
        elif isinstance(entry.event, ev.BlockFinished) and entry.event.path in began:
            lasted[entry.event.path] = times.length(began[entry.event.path], entry)
    return tuple(
        PhaseRow(
            path=clean(block.path),
            title=one_line(block.title),
            entry=times.moment(block.started_at),
            exit=times.maybe(block.finished_at),
            elapsed_us=lasted.get(block.path),
            because=one_line(block.because),
            state=WORDS[block.outcome.value] if block.outcome is not None else "not over",
            steps=sum(phase_of(path) == block.path for path in state.steps),
        )
        for block in state.blocks.values()
        if block.form == "phase"
    )


def marks(state: RunState, times: Clock) -> tuple[MarkRow, ...]:
    """All clocks and figures; a mark set more than once shows every value."""
    rows = []
    for name, values in state.marks.items():
        counts = state.mark(name)
        if counts is not None:
            history = tuple(f"{shown(v.value)} ({clean(v.path)})" for v in values) if len(values) > 1 else ()
            rows.append(
                MarkRow(
                    name=clean(name),
                    value=_short(shown(counts.value)),
                    at=times.moment(counts.at),
                    path=clean(counts.path),
                    history=history,
                )
            )
    return tuple(rows)


class Steps:
    """Makes step rows with their evidence."""

    def __init__(self, entries: Sequence[Entry], times: Clock, output: Callable[[str], bytes]) -> None:
        self._times = times
        self._output = output
        self._began: dict[tuple[str, str, int], Entry] = {}
        self._ended: dict[tuple[str, str, int], Entry] = {}
        self._first: dict[str, Entry] = {}
        self._last: dict[str, Entry] = {}
        for entry in entries:
            event = entry.event
            if isinstance(event, ev.StepStarted):
                self._began[event.path, event.host, event.attempt] = entry
                self._first.setdefault(event.path, entry)
            elif isinstance(event, ev.StepFinished):
                self._ended[event.path, event.host, event.attempt] = entry
                self._last[event.path] = entry

    def rows(self, state: RunState) -> tuple[StepRow, ...]:
        """Every step, in the order met; looks of `verify`, undo and restore too."""
        return tuple(self._row(step_facts(step), step.units) for step in state.steps.values())

    def _row(self, facts: StepFacts, units: Sequence[Unit]) -> StepRow:
        first, last = self._first.get(facts.path), self._last.get(facts.path)
        finished = units[-1].finished if units else None
        values = {**finished.outputs, **finished.captures} if finished is not None else {}
        unknown = {name: {"$unknown": why} for name, why in finished.unknown.items()} if finished is not None else {}
        lasted = self._times.length(first, last) if first and last and facts.finished_at else None
        return StepRow(
            path=clean(facts.path),
            title=one_line(facts.title),
            kind=clean(facts.kind),
            effect=clean(facts.effect),
            role=facts.role.value,
            host=clean(facts.host),
            sign=facts.sign,
            word=facts.word,
            outcome=facts.outcome,
            good=facts.accepted or not is_bad(facts.outcome),
            because=one_line(facts.because),
            by=clean(facts.by),
            retried=facts.retried,
            started=self._times.maybe(facts.started_at),
            finished=self._times.maybe(facts.finished_at),
            elapsed_us=lasted,
            back=_back(units),
            values=named({name: self._value(value) for name, value in {**values, **unknown}.items()}),
            attempts=tuple(self._attempt(u) for u in units if u.started is not None),
        )

    def _value(self, value: object) -> object:
        """A value that lies beside the journal is fetched; one that cannot be had is said to be unknown."""
        if not (isinstance(value, dict) and set(value) == {"$ref"}):
            return value
        try:
            return json.loads(self._output(value["$ref"]))
        except (KeyError, ValueError, OSError, JournalError) as error:
            return {"$unknown": f"its kept output is missing or damaged ({error})"}

    def _attempt(self, unit: Unit) -> AttemptRow:
        begun, finished = unit.started, unit.finished
        assert begun is not None  # noqa: S101 - the caller has looked
        ran = unit.commands[-1] if unit.commands else None
        key = (unit.path, unit.host, unit.attempt)
        first, last = self._began.get(key), self._ended.get(key)
        lasted = finished.elapsed_us if finished is not None and finished.elapsed_us else None
        if lasted is None and first is not None and last is not None:
            lasted = self._times.length(first, last)
        return AttemptRow(
            number=unit.attempt,
            generation=begun.generation,
            host=clean(unit.host),
            text=clean(begun.text, lines=True),
            digest=clean(begun.digest),
            started=self._times.maybe(unit.started_at),
            finished=self._times.maybe(unit.finished_at),
            elapsed_us=lasted,
            outcome=WORDS.get(finished.outcome, finished.outcome) if finished else "end unknown",
            because=one_line(finished.because) if finished else "",
            exit=ran.exit if ran else None,
            came_back=clean(ran.state) if ran else "",
            host_key=clean(ran.host_key) if ran else "",
            outputs=tuple(self._kept(name, digest, ran) for ran in unit.commands for name, digest in ran.out.items()),
        )

    def _kept(self, stream: str, digest: str, ran: ev.CommandRan) -> OutputRow:
        try:
            data = self._output(digest)
        except (KeyError, ValueError, OSError, JournalError) as error:
            return OutputRow(
                stream=clean(stream),
                digest=clean(digest),
                size=None,
                excerpt="",
                cut=bool(beginning_of(ran, stream)),
                problem=one_line(f"missing or damaged: {error}"),
            )
        # cut before it is cleaned, which is slow: two bytes may become one line end, and four are one character at most
        begin = data[: 8 * EXCERPT].decode("utf-8", "backslashreplace").replace("\r\n", "\n")
        text = clean(begin[: EXCERPT + 1], lines=True)
        return OutputRow(
            stream=clean(stream),
            digest=clean(digest),
            size=len(data),
            excerpt=text[:EXCERPT],
            cut=len(text) > EXCERPT,
            all_of_it=beginning_of(ran, stream, len(data)),
        )


def _back(units: Sequence[Unit]) -> str:
    """What the newest intent registered as a way back."""
    begun = next((unit.started for unit in reversed(units) if unit.started is not None), None)
    if begun is None or begun.effect == "read":
        return ""
    words = [
        f"{name} {_way(way)}" for name, way in (("undo", begun.undo), ("restore", begun.restore)) if way is not None
    ]
    return "; ".join(words + (["point of no return"] if begun.no_return else []))


def _way(way: Mapping[str, object]) -> str:
    if "none" in way:
        return f"none: {one_line(str(way['none']))}"
    steps = way.get("steps")
    return f"by {len(steps)} step(s)" if isinstance(steps, list) else "by the kind itself"
