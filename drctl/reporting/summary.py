"""The last screen of a run: the verdict first, the next command last, readable when pasted into a chat."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drctl.core.rounds import HOST, step_name
from drctl.reporting.facts import (
    Objective,
    StepFacts,
    exceptions,
    free_marks,
    held_text,
    objectives,
    own_steps,
    simulated,
    verdict,
    waited,
)
from drctl.reporting.questions import label, question_text, standing
from drctl.reporting.status import next_commands
from drctl.reporting.texts import clean, count, human, last_name, shown

if TYPE_CHECKING:
    from drctl.core.fold import RunState

MOST_EXCEPTIONS = 12


def summary_text(id: str, state: RunState, reports: list[str]) -> str:  # noqa: A002 - the caller's word
    """Screen 5 for a closed run; screens 3 and 4 for one that waits.

    Args:
        id: the run's short id.
        state: its fold.
        reports: files written, shown as given.
    """
    lines = [first_line(id, state)]
    now = verdict(state)
    if now.because and state.closed is None:
        lines += label(
            "Because", f"{state.paused.path + ': ' if state.paused and state.paused.path else ''}{now.because}"
        )
    if now.because and state.closed is not None and state.closed.state != "exceptions":
        lines += label("Because", now.because)
    if state.closed is None:
        return "\n".join([*lines, *_open(id, state)])
    if state.closed.state not in {"done", "exceptions"}:
        lines += standing(state)
    for objective in objectives(state):
        lines += _objective(objective)
    for name in free_marks(state):
        mark = state.mark(name)
        if mark is not None:
            lines += label(
                "Figure", f"{name} {shown(mark.value)}" + (f"   (from {last_name(mark.path)})" if mark.path else "")
            )
    if state.opened is not None:
        lines += label("Plan", held_text(state.opened, short=True))
    lines += _counts(state)
    lines += _people(state)
    lines += _slowest(state)
    lines += _exceptions(state)
    lines += _follow_up(state)
    if reports:
        lines += [f"  {'Report' if not i else '':<10}{clean(path)}" for i, path in enumerate(reports)]
    lines.append(f"  {'Evidence':<10}{count(state.records, 'event')}, signed; check it: drctl audit verify {id}")
    lines.append(f"  {'Next':<10}drctl report {id}")
    return "\n".join(lines)


def first_line(id: str, state: RunState) -> str:  # noqa: A002
    """The verdict, and that approvals were simulated when any was."""
    now, opened = verdict(state), state.opened
    parts = [f"{now.sign} {now.word}"]
    if simulated(state):
        parts.append("approvals simulated")
    if opened is not None:
        parts += [opened.runbook, f"run {id}", opened.environment] + ([opened.mode] if opened.mode != "live" else [])
    if now.exit is not None:
        parts.append(f"exit {now.exit}")
    return clean("   ".join(parts))


def _open(id: str, state: RunState) -> list[str]:  # noqa: A002
    """What an open run needs: the question with its answers, or the way on."""
    lines: list[str] = []
    waiting = state.open_questions
    if not waiting or any(q.asked.kind not in {"failure", "doubt"} for q in waiting):
        lines += standing(state)
    for question in waiting:
        lines += ["", question_text(id, question.asked, state)]
    lines.append("")
    commands = next_commands(id, state, writing=False)
    return lines + [f"  {'Next' if not i else '':<10}{command}" for i, command in enumerate(commands)]


def _objective(objective: Objective) -> list[str]:
    promised = f" of {human(objective.promised)}" if objective.promised is not None else ""
    if objective.reached is None:
        if objective.promised is None:
            return []
        return label(objective.name, f"not measured{promised}   ? {objective.method}")
    used = f" {objective.percent}%" if objective.percent is not None else ""
    return label(
        objective.name,
        f"{human(objective.reached)}{promised}   {objective.sign} {objective.word}{used}   {objective.method}",
    )


def _counts(state: RunState) -> list[str]:
    every = own_steps(state)
    tally = {
        "ok": sum(f.outcome == "ok" for f in every),
        "retried": sum(f.retried for f in every),
        "foreseen": sum(f.accepted and f.outcome not in {"ok", "skipped"} for f in every),
        "failed": sum(
            f.outcome in {"failed", "unreachable", "timeout", "empty", "in_doubt"} and not f.accepted for f in every
        ),
        "skipped": sum(f.outcome == "skipped" for f in every),
    }
    shown_counts = [f"{number} {word}" for word, number in tally.items() if number or word in {"ok", "skipped"}]
    shown_counts.append(count(len(exceptions(state)), "exception"))
    if state.notes:
        shown_counts.append(count(len(state.notes), "note"))
    return label("Steps", " · ".join(shown_counts))


def _people(state: RunState) -> list[str]:
    """Approvals and other questions, and how long they held things up."""
    settled = [q for q in state.questions.values() if q.decided is not None]
    if not settled:
        return []
    lines: list[str] = []
    for question in settled:
        decided, length = question.decided, waited(question)
        assert decided is not None  # noqa: S101 - filtered above
        role = f" as {decided.role}" if decided.role else ""
        how = " (simulated)" if decided.simulated else ""
        after = f" after {human(length)}" if length is not None else ""
        asked = question.asked
        lines += label(
            "People" if not lines else "",
            f"{asked.kind} {last_name(asked.path)}: {decided.choice} by {decided.by}{role}{how}{after}",
        )
    return lines


def _slowest(state: RunState) -> list[str]:
    timed = [f for f in own_steps(state) if f.elapsed is not None]
    slow = sorted(timed, key=_length, reverse=True)[:3]
    slow = [f for f in slow if _length(f) >= 1_000_000]  # noqa: PLR2004 - below a second nothing is slow
    return label("Slowest", " · ".join(f"{_round(f)} {human(_length(f))}" for f in slow)) if slow else []


def _round(facts: StepFacts) -> str:
    """A step as people call it, and its host where it is one of several."""
    name = last_name(facts.path)
    return f"{step_name(facts.path)} on {facts.host}" if name.startswith(HOST) else name


def _length(facts: StepFacts) -> int:
    return facts.elapsed.micros if facts.elapsed is not None else 0


def _exceptions(state: RunState) -> list[str]:
    lines: list[str] = []
    found = exceptions(state)
    for text in found[:MOST_EXCEPTIONS]:
        lines += label("Exception", text)
    if len(found) > MOST_EXCEPTIONS:
        lines += label("", f"and {len(found) - MOST_EXCEPTIONS} more, all in the report")
    return lines


def _follow_up(state: RunState) -> list[str]:
    """What is left in a state that somebody must tend to."""
    lines: list[str] = []
    if state.fenced:
        lines += label("Follow-up", f"{', '.join(state.fenced)} is fenced and out of date: bring it back as a standby")
    for step in state.in_doubt:
        lines += label("Follow-up", f"{step.path} is in doubt: look at the host")
    return lines
