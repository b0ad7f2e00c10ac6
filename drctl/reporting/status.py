"""Where a run stands, what it waits for, and what to type next: `drctl show`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from drctl.core import events as ev
from drctl.core.bounds import FAN_OUT
from drctl.reporting.facts import SIGNS, WORDS, Objective, StepFacts, objectives, own_steps, simulated, verdict
from drctl.reporting.fleets import Group, Row, rows
from drctl.reporting.questions import question_text as _question_text
from drctl.reporting.questions import standing
from drctl.reporting.texts import clean, count, cut, human, one_line, pad, width, wrap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from drctl.core.fold import RunState
    from drctl.core.values import Duration

__all__ = ["next_commands", "phase_lines", "question_text", "status_json", "status_text"]

NAME_CELLS = 22
HOST_CELLS = 12


def question_text(run_id: str, asked: ev.Asked) -> str:
    """Screen 3: a question as text to pass on."""
    return _question_text(run_id, asked)


def _bounds(opened: ev.RunOpened) -> list[str]:
    lines = []
    if opened.limit:
        lines += wrap(f"{', '.join(opened.limit)}: no other host is acted on", first="  limit ")
    if opened.fan_out != FAN_OUT:
        lines += [f"  fan-out {opened.fan_out}: hosts at a time"]
    return lines


def status_text(id: str, state: RunState, *, writing: bool, owed: Sequence[str] | None = ()) -> str:  # noqa: A002 - the caller's word
    """The whole screen. `writing`: a process carries the run out right now; `owed`: open restores, None if unknown."""
    now = verdict(state, writing=writing)
    opened = state.opened
    head = f"{now.sign} {now.word}   run {id}"
    if opened is not None:
        head += f"   {opened.runbook}   {opened.environment}" + (f"   {opened.mode}" if opened.mode != "live" else "")
    lines = [clean(head)]
    if now.because:
        lines += [f"  {cut(one_line(now.because), 300)}"]
    if opened is not None and state.opened_at is not None:
        lines += [
            clean(f"  opened {state.opened_at} by {opened.operator} on {opened.node}; {count(state.records, 'record')}")
        ]
    lines += _bounds(opened) if opened is not None else []
    if simulated(state):
        lines += ["  approvals simulated: some answers came from people of a lab, not from persons"]
    if state.replaced is not None:
        lost = state.replaced
        lines += [
            f"  {cut(one_line(f'epoch {lost.epoch} is held by {lost.holder} ({lost.by}) since {lost.since}'), 300)}",
            "  what was done there since does not stand in this copy of the record",
        ]
    lines += ["", *phase_lines(state)]
    lines += ["", *standing(state)] if state.closed is None else []
    if owed is None:
        lines += ["", "Suspended  cannot be told: this version does not take the run's documents"]
    elif owed:
        lines += [
            "",
            *(clean(f"{'' if i else 'Suspended':<11}{one}: still to be put back") for i, one in enumerate(owed)),
        ]
    for question in state.open_questions:
        lines += ["", _question_text(id, question.asked, state)]
    lines += [
        "",
        *(
            f"{'Next' if not i else '':<6}{command}"
            for i, command in enumerate(next_commands(id, state, writing=writing, owed=owed))
        ),
    ]
    return "\n".join(lines)


def phase_lines(state: RunState) -> list[str]:
    """Phases with their steps: sign, name, host, time, word and reason."""
    lines = []
    for block in state.blocks.values():
        if block.form != "phase":
            continue
        word = block.outcome.value if block.outcome is not None else "under way"
        title = f"  {one_line(block.title)}" if block.title else ""
        lines.append(cut(f"{pad(clean(block.path), NAME_CELLS)}  {word}{title}", 80))
        if word != "skipped":
            lines += [row_line(row) for row in rows(state, block.path)]
    return lines


def row_line(row: Row, cells: int = 80) -> str:
    """One row, indented as it lies in what repeats."""
    indent = "  " * row.depth
    if row.group is not None:
        return cut(f"{indent}{group_text(row.group)}", cells)
    assert row.step is not None  # noqa: S101 - a row is one or the other
    return indent + step_line(row.step, cells - len(indent))


def group_text(group: Group) -> str:
    """A loop, table, rolling block, batch or include: sign, address, word, counts, what is left out, and why."""
    word = f"{group.outcome}, foreseen" if group.tolerated and group.outcome != "ok" else WORDS[group.outcome]
    sign = "·" if group.tolerated and group.outcome != "ok" else SIGNS[group.outcome]
    parts = [f" {sign} {clean(group.path.split('/', 1)[-1])}  {group.form}, {word}"]
    parts += [f": {group.text}"] if group.text else []
    parts += [f"; {len(group.left_out)} not shown"] if group.left_out else []
    parts += [f"; {one_line(group.because)}"] if group.because and group.outcome != "ok" else []
    return "".join(parts)


def step_line(facts: StepFacts, cells: int = 80) -> str:
    """One step on one line."""
    name = clean(facts.path.split("/", 1)[-1])
    host = "" if facts.host == "local" else clean(facts.host)
    took = human(facts.elapsed) if facts.elapsed is not None and facts.elapsed.micros >= 1000 else ""  # noqa: PLR2004 - 1 ms
    name = name if width(name) <= NAME_CELLS else "…" + name[-(NAME_CELLS - 1) :]
    reason = one_line(facts.because) if facts.outcome != "ok" or facts.found or facts.by else one_line(facts.title)
    text = f" {facts.sign} {pad(name, NAME_CELLS)} {pad(cut(host, HOST_CELLS), HOST_CELLS)} {took:>7}  {facts.word}"
    return cut(f"{text}  {reason}".rstrip(), cells)


def next_commands(id: str, state: RunState, *, writing: bool, owed: Sequence[str] | None = ()) -> list[str]:  # noqa: A002
    """What to type next; never empty."""
    if state.closed is not None:
        return [f"drctl report {id}", f"drctl audit verify {id}"]
    if writing:
        return [f"drctl watch {id}", f"drctl pause {id}   (after the running step)"]
    if state.replaced is not None:
        return [
            "go on where the run goes on, or copy its folder from there",
            f"drctl takeover {id} --fork --reason TEXT   (only when that copy is lost)",
        ]
    back = [f"drctl resume {id} --restore-only   (puts back what is suspended, and leaves it paused)"] if owed else []
    if state.open_questions:
        return ["answer as above, then", f"drctl resume {id}", *back]
    if state.intents and state.rolling_back is None:
        back.append(f"drctl rollback {id} --show   (says what could be taken back)")
    return [
        f"drctl resume {id}",
        *back,
        f"drctl abort {id} --reason TEXT   (closes it and puts back what was suspended)",
    ]


def state_word(state: RunState, *, writing: bool) -> str:
    """How the run stands, in one word for lists and machines."""
    if state.closed is not None:
        return state.closed.state
    if state.replaced is not None:
        return "replaced"  # it goes on elsewhere; this copy of it must not
    return "running" if writing else "paused" if state.paused is not None else "crashed"


def status_json(id: str, state: RunState, *, writing: bool, owed: Sequence[str] | None = ()) -> str:  # noqa: A002
    """The same for machines."""
    return json.dumps(status_map(id, state, writing=writing, owed=owed), ensure_ascii=False)


def status_map(id: str, state: RunState, *, writing: bool, owed: Sequence[str] | None = ()) -> dict[str, Any]:  # noqa: A002
    """The status as plain data."""
    now = verdict(state, writing=writing)
    opened = state.opened
    return {
        "id": id, "uid": opened.uid if opened else "", "runbook": opened.runbook if opened else "",
        "environment": opened.environment if opened else "", "mode": opened.mode if opened else "",
        "operator": opened.operator if opened else "", "opened": str(state.opened_at or ""),
        "limit": list(opened.limit) if opened else [], "fan_out": opened.fan_out if opened else FAN_OUT,
        "state": state_word(state, writing=writing),
        "verdict": now.word, "because": now.because, "exit": now.exit, "phase": state.phase, "records": state.records,
        "steps": [_step_map(facts) for facts in own_steps(state)],
        "questions": [{**ev.encode(q.asked), "asked_at": q.asked_at.micros} for q in state.open_questions],
        "in_doubt": [step.path for step in state.in_doubt], "fenced": dict(state.fenced), "held": list(state.held),
        "replaced": ev.encode(state.replaced) if state.replaced is not None else None,
        "objectives": {o.name.lower(): objective_map(o) for o in objectives(state)},
        "marks": {name: state.marks[name][-1].value for name in state.marks}, "simulated": simulated(state),
        "open_restores": list(owed) if owed is not None else None,
        "next": next_commands(id, state, writing=writing, owed=owed),
    }  # fmt: skip


def _step_map(facts: StepFacts) -> dict[str, Any]:
    return {
        "path": facts.path, "host": facts.host, "kind": facts.kind, "effect": facts.effect, "outcome": facts.outcome,
        "because": facts.because, "attempts": facts.attempts, "retried": facts.retried, "by": facts.by,
        "elapsed_us": facts.elapsed.micros if facts.elapsed else None,
    }  # fmt: skip


def objective_map(objective: Objective) -> dict[str, Any]:
    """One objective as plain data."""

    def micros(length: Duration | None) -> int | None:
        return length.micros if length is not None else None

    return {
        "promised_us": micros(objective.promised), "attained_us": micros(objective.reached), "met": objective.met,
        "method": objective.method,
    }  # fmt: skip
