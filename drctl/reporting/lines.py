"""One plain line for each event worth showing: for pipes, logs, `--no-live` and `drctl watch`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drctl.core import events as ev
from drctl.core.transports import FABRIC
from drctl.reporting.facts import SIGNS, WORDS, question_word
from drctl.reporting.texts import clock, count, cut, human, last_name, one_line, pad, shown

if TYPE_CHECKING:
    from drctl.core.fold import Entry, RunState

WORD_CELLS = 11
LONGEST = 400


def line(entry: Entry, state: RunState) -> str | None:
    """One line: UTC time, sign and word, step, host, reason; None for events that are noise on a screen.

    Args:
        entry: the event.
        state: the fold that has taken it in already.
    """
    found = said(entry.event, state)
    if found is None:
        return None
    sign, word, text = found
    return f"{clock(entry.at)} {sign} {pad(word, WORD_CELLS)} {cut(one_line(text), LONGEST)}".rstrip()


def said(event: ev.Event, state: RunState) -> tuple[str, str, str] | None:
    """Sign, word and text of an event, not cleaned yet; None for noise."""
    match event:
        case ev.StepStarted() | ev.StepFinished():
            return _unit(event, state)
        case ev.BlockStarted() | ev.BlockFinished() | ev.PreflightFinished():
            return _stretch(event)
        case ev.Asked() | ev.Answered() | ev.ControlReceived() | ev.NoteAdded() | ev.DeviationNoted():
            return _person(event, state)
        case ev.MarkSet():
            return "⚑", "mark", f"{event.name} = {shown(event.value)}"
        case ev.RunOpened() | ev.RunPaused() | ev.RunResumed() | ev.RunTakenOver() | ev.RunClosed():
            return _run(event, state)
        case _:
            return _trouble(event)


def _run(event: ev.Event, state: RunState) -> tuple[str, str, str] | None:
    match event:
        case ev.RunOpened():
            return (
                "▶",
                "run opened",
                f"{event.runbook}, run {event.id}, {event.environment}, by {event.operator}{_over(event.transport)}",
            )
        case ev.RunPaused():
            return "⏸", "paused", f"{_at(event.path)}{event.because or event.reason} (exit {event.exit})"
        case ev.RunResumed():
            return (
                "▶",
                "resumed",
                f"by {event.operator}" + (f" on {event.node}" if event.node else "") + _over(event.transport),
            )
        case ev.RunTakenOver():
            return "▶", "taken over", f"by {event.operator} on {event.node}{_over(event.transport)}: {event.reason}"
        case ev.RunClosed():
            sign = "✔" if event.exit == 0 else "!" if event.state == "exceptions" else "✖"
            text = f"{event.state}, exit {event.exit}" + (f": {event.because}" if event.because else "")
            return sign, "closed", f"{text}; {count(state.records, 'record')}"
    return None


def _preflight(event: ev.PreflightFinished) -> tuple[str, str, str] | None:
    """What was not reached, else how many hosts were; then what to know of those that were."""
    missing = f"not reached now: {'; '.join(event.warnings)}" if event.warnings else ""
    reached = f"{count(len(event.hosts), 'host')} reached" if event.hosts and not missing else ""
    known = f"know of them: {'; '.join(event.remarks)}" if event.remarks else ""
    text = "; ".join(part for part in (missing or reached, known) if part)
    return ("!" if missing or known else "✔", "preflight", text) if text else None


def _over(transport: str) -> str:
    return f", over {transport}" if transport != FABRIC else ""


def _stretch(event: ev.Event) -> tuple[str, str, str] | None:
    """Phases, blocks that ended badly or matter by themselves, and preflights."""
    match event:
        case ev.BlockStarted(form="phase"):
            return "▶", "phase", f"{event.path}" + (f"  {event.title}" if event.title else "")
        case ev.BlockStarted(form="undo" | "restore"):
            return "▶", event.form, f"{event.path}{_on(event.host)}"
        case ev.BlockFinished() if event.outcome != "ok" or "/" not in event.path or event.host:
            return SIGNS.get(event.outcome, "?"), WORDS.get(event.outcome, event.outcome), (
                f"{event.path}{_on(event.host)}" + (f": {event.because}" if event.because else "")
            )  # fmt: skip
        case ev.PreflightFinished(phase="*"):
            return _preflight(event)
        case ev.PreflightFinished() if not event.ok:
            return "✖", "preflight", f"{event.phase}: {'; '.join(event.problems)}"
    return None


def _unit(event: ev.StepStarted | ev.StepFinished, state: RunState) -> tuple[str, str, str] | None:
    if isinstance(event, ev.StepStarted):
        if event.effect == "read":
            return None
        return "▶", event.role.value, f"{event.path}{_on(event.host)}" + (f": {event.text}" if event.text else "")
    if event.attempt == 0 and event.outcome == "skipped" and event.because.startswith("phase "):
        return None  # the phase's own line has said it
    reason = f": {event.because}" if event.because else ""
    if not event.final:
        if event.attempt > 1 and _same_as_before(event, state):
            return None
        what = "again" if event.attempt == 0 else "not yet"
        return "·", what, f"{event.path}{_on(event.host)}{reason}"
    foreseen = (event.tolerated or event.observed) and event.outcome != "ok"
    sign = "·" if foreseen else SIGNS.get(event.outcome, "?")
    word = WORDS.get(event.outcome, event.outcome).lower() if foreseen else WORDS.get(event.outcome, event.outcome)
    note = (
        " (foreseen)"
        if foreseen
        else " (found done)"
        if event.found and not event.by and "found done" not in event.because
        else ""
    )
    return sign, word, f"{event.path}{_on(event.host)}{_took(event)}{note}{reason}{_figures(event, state)}"


def _same_as_before(event: ev.StepFinished, state: RunState) -> bool:
    """Whether the attempt before it ended in the same way: a look that waits says each reason once."""
    units = state.step(event.path).units
    before = next((u.finished for u in units if u.attempt == event.attempt - 1 and u.host == event.host), None)
    return before is not None and (before.outcome, before.because) == (event.outcome, event.because)


def _figures(event: ev.StepFinished, state: RunState) -> str:
    """The captured values, and what a decision found: what later steps stand on."""
    values = dict(event.captures)
    started = next((u.started for u in reversed(state.step(event.path).units) if u.started is not None), None)
    if started is not None and started.kind in {"decide", "set", "manual"}:
        values = {**event.outputs, **values}
    return f"  [{', '.join(f'{name} {cut(shown(value), 60)}' for name, value in values.items())}]" if values else ""


def _took(event: ev.StepFinished) -> str:
    return f" {human(event.elapsed_us)}" if event.elapsed_us >= 1_000_000 else ""  # noqa: PLR2004 - a second


def _word(event: ev.ControlReceived) -> tuple[str, str, str]:
    """A word about the run as a whole."""
    said = f"by {event.by or 'somebody'}" + (f" to {event.path}" if event.path else "")
    said += f": {event.reason}" if event.reason else ""
    if event.accepted:
        return "!", event.verb or "word", said
    return "✖", "refused", f"{event.verb or 'a word'} {said}: {event.because}"


def _person(event: ev.Event, state: RunState) -> tuple[str, str, str] | None:
    match event:
        case ev.Asked():
            who = f" (from {' or '.join(event.by)})" if event.by else ""
            return "⏸", "asked", f"{event.id} {question_word(event.kind)}{who}: {event.path}"
        case ev.Answered():
            path = state.questions[event.id].asked.path if event.id in state.questions else ""
            by = f"{event.by}{' (simulated)' if event.simulated else ''}"
            told = f"{event.id} {event.choice} by {by}: {path}" + (f", {event.reason}" if event.reason else "")
            return ("✔", "answered", told) if event.accepted else ("✖", "refused", f"{told}: {event.because}")
        case ev.ControlReceived():
            return _word(event)
        case ev.NoteAdded():
            return "✎", "note", f"{event.by}: {event.text}"
        case ev.DeviationNoted():
            return "!", "exception", event.text
    return None


def _trouble(event: ev.Event) -> tuple[str, str, str] | None:  # noqa: PLR0911 - one for each event
    match event:
        case ev.LockLost():
            return "✖", "lock lost", f"{event.name}: {event.because}"
        case ev.Suspended():
            return "!", "slept", f"this machine stood still for {human(event.gap_us)}"
        case ev.ClockWarned():
            return "!", "clock", event.because
        case ev.Recovered():
            return "!", "recovered", f"the journal's end was torn by a crash; {event.torn_bytes} bytes were put aside"
        case ev.Degraded():
            return "!", "without", f"{event.what}: {event.because}"
        case ev.UnknownEvent():
            return "?", "unknown", f"a record of type {event.type}, which this version does not know"
    return None


def _on(host: str) -> str:
    return f" on {host}" if host and host != "local" else ""


def _at(path: str) -> str:
    return f"{last_name(path)}: " if path else ""
