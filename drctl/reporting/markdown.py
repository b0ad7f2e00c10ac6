"""The report as Markdown, for tickets, wikis and pull requests. Host data is escaped; it never becomes markup."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from drctl.reporting.control_map import CAVEAT, CONTROL_MAP, FIELDS_FOR_PEOPLE
from drctl.reporting.report_model import TO_FILL
from drctl.reporting.texts import human

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from drctl.reporting.report_model import DecisionRow, Moment, Report, StepRow

_SPECIAL = re.compile(r"([\\`*_{}\[\]#|~!])")
_SPOILT = re.compile(r"[\\`*_{}\[\]#|~!&<>\n]")
_BACKTICKS = re.compile(r"`+")


def markdown(report: Report) -> str:
    """Render the whole report."""
    parts = [
        _head(report),
        _objectives(report),
        _phases(report),
        _timeline(report),
        _decisions(report),
        _steps(report),
        _exceptions(report),
        _evidence(report),
        _people(report),
        _controls(),
    ]
    return "\n\n".join(parts) + "\n"


def text(value: object) -> str:
    """Escape a value so that Markdown shows it as it is."""
    escaped = str(value)
    if not _SPOILT.search(escaped):  # most of a report
        return escaped
    escaped = _SPECIAL.sub(r"\\\1", escaped).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return escaped.replace("\n", "<br>")


def code(value: str) -> str:
    """A fenced block whose fence no content can end."""
    longest = max((len(run) for run in _BACKTICKS.findall(value)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{value.rstrip()}\n{fence}"


def _table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    lines += [f"| {' | '.join(text(cell) or ' ' for cell in row)} |" for row in rows]
    return "\n".join(lines)


def _at(moment: Moment | None) -> str:
    if moment is None:
        return "—"
    return f"{moment.utc} ({moment.local})" if moment.local else moment.utc


def _head(report: Report) -> str:
    h, v = report.header, report.verdict
    simulated = " — approvals simulated" if v.simulated else ""
    lines = [
        f"# {text(h.title or h.runbook)}",
        "",
        f"**{v.sign} {text(v.word)}{simulated}** — run {text(h.id)}"
        + (f", exit {v.exit}" if v.exit is not None else "")
        + (f": {text(v.because)}" if v.because else ""),
    ]
    facts = [
        ("Run", f"{h.id} (uid {h.uid})"),
        ("Runbook", h.runbook),
        ("Environment", f"{h.environment}, mode {h.mode}"),
        ("Inventory", h.inventory),
        ("Operator", f"{h.operator} on {h.node} (claimed by login, not proven)"),
        ("drctl", ", ".join(h.versions)),
        ("Plan", f"sha256:{h.plan_digest}{'' if h.plan_intact else ' (NOT WHOLE)'}"),
        ("Saved plan", h.held),
        ("Bounds", h.bounds),
        ("Opened", _at(h.opened)),
        ("Closed", _at(h.closed)),
        ("Sessions", h.sessions),
    ]
    lines += ["", _table(("Header", ""), facts), "", "## Incident", ""]
    lines += [_table(("Field", "Value", "From"), [(i.name, i.value, i.source) for i in report.incident])]
    if report.inputs:
        lines += ["", _table(("Input", "Value"), [(i.name, i.value) for i in report.inputs])]
    return "\n".join(lines)


def _objectives(report: Report) -> str:
    rows = [
        (
            o.name,
            human(o.promised_us),
            f"{o.attained_name} {human(o.attained_us)}" if o.attained_us is not None else "not measured",
            o.word,
            o.method,
        )
        for o in report.objectives
    ]
    parts = ["## Objectives", _table(("Objective", "Promised", "Attained", "Result", "Method"), rows)]
    parts += [
        "### Where the time went",
        _table(("Part", "Length", "Counted"), [(s.name, human(s.us), s.note) for s in report.split]),
    ]
    if report.marks:
        marks = [(m.name, m.value, m.path, "; ".join(m.history)) for m in report.marks]
        parts += ["### Clocks and figures", _table(("Mark", "Value", "Step", "All values"), marks)]
    return "\n\n".join(parts)


def _phases(report: Report) -> str:
    rows = [
        (p.path, p.title, _at(p.entry), _at(p.exit), human(p.elapsed_us), p.state, p.because) for p in report.phases
    ]
    return "## Phases\n\n" + _table(("Phase", "Title", "Entry", "Exit", "Time", "State", "Because"), rows)


def _timeline(report: Report) -> str:
    rows = [
        (
            f"{r.at.clock}",
            r.at.local,
            r.who,
            f"{r.sign} {r.word}",
            r.text + (f" (recorded {r.recorded.clock})" if r.recorded else ""),
        )
        for r in report.timeline
    ]
    zone = report.header.zone
    return "## Timeline\n\n" + _table(("UTC", f"Local ({zone})", "Who", "What", ""), rows)


def _decisions(report: Report) -> str:
    parts = ["## Decisions"]
    parts += [_decision(d) for d in report.decisions] or ["No question was asked."]
    return "\n\n".join(parts)


def _decision(row: DecisionRow) -> str:
    parts = [
        f"### {text(row.id)} {text(row.kind)}: {text(row.path)} — {text(row.state)}, waited {human(row.waited_us)}"
    ]
    parts += ["\n".join(f"> {text(line)}" for line in row.text.split("\n"))]
    who = row.who
    parts.append(f"Asked {_at(row.asked)}; open until {_at(row.until)}; may answer: {text(who)}")
    if row.shown:
        parts.append(_table(("Figure shown", "Value"), [(s.name, s.value) for s in row.shown]))
    answers = [
        (
            _at(a.at),
            a.by + (" (simulated)" if a.simulated else ""),
            a.role,
            a.choice,
            "accepted" if a.accepted else f"REFUSED: {a.because}",
            "; ".join([a.reason, *(f"{v.name} = {v.value}" for v in a.values)]).strip("; "),
            a.proof,
        )
        for a in row.answers
    ]
    parts.append(_table(("Time", "By", "As", "Said", "Counts", "Reason, values", "Proof"), answers))
    return "\n\n".join(parts)


def _steps(report: Report) -> str:
    return "\n\n".join(["## Steps", *(_step(step) for step in report.steps)])


def _step(step: StepRow) -> str:
    took = f" — {human(step.elapsed_us)}" if step.elapsed_us is not None else ""
    parts = [f"### {step.sign} {text(step.path)} — {text(step.word)}{took}"]
    facts = [
        step.title,
        f"{step.kind or 'never began'}, {step.effect}, {step.role}",
        f"host {step.host}" if step.host else "",
        step.because,
        f"back: {step.back}" if step.back else "",
        f"by {step.by}" if step.by else "",
    ]
    parts.append(text("; ".join(fact for fact in facts if fact)))
    if step.values:
        parts.append(_table(("Value", ""), [(v.name, v.value) for v in step.values]))
    for attempt in step.attempts:
        end = f"exit {attempt.exit}" if attempt.exit is not None else attempt.came_back
        parts.append(
            f"Attempt {attempt.number}, {text(attempt.outcome)}, {_at(attempt.started)}, {human(attempt.elapsed_us)}, "
            f"{text(end)}, host key {text(attempt.host_key or '—')}"
        )
        if attempt.text:
            parts.append(code(attempt.text))
        for out in attempt.outputs:
            size = f"{out.size} bytes" if out.size is not None else out.problem
            told = [text(size), text(out.all_of_it), "cut here" if out.cut else ""]
            parts.append(f"{text(out.stream)}: sha256:{out.digest}, {', '.join(filter(None, told))}")
            if out.excerpt:
                parts.append(code(out.excerpt))
    return "\n\n".join(parts)


def _list(rows: Sequence[str], none: str) -> str:
    return "\n".join(f"- {text(row)}" for row in rows) or none


def _exceptions(report: Report) -> str:
    parts = ["## Exceptions", _list(report.exceptions, "None.")]
    if report.deviations:
        rows = [(_at(d.at), d.path, d.what, d.by, d.because) for d in report.deviations]
        parts += [_table(("Time", "Step", "What", "By", "Because"), rows)]
    left = _list([row.text for row in report.left_over], "Nothing is known to be left over.")
    return "\n\n".join([*parts, "## Not restored, not undone", left])


def _evidence(report: Report) -> str:
    e = report.evidence
    rows = [
        ("Audit", f"{e.verdict} (exit {e.exit})"),
        ("Records", f"{e.records}, of which {e.signed} signed"),
        ("Head", e.head),
        ("Merkle root", e.root),
        ("Key", f"{e.key_status}; {'; '.join(e.keys) or 'none'}"),
        ("Anchored", f"up to {e.anchored} records"),
        ("First fault", e.first_bad or "none"),
        ("Notices", "; ".join(e.notices) or "none"),
        ("Unknown record types", ", ".join(e.unknown_types) or "none"),
    ]
    check = f"Check it yourself: `drctl audit verify {text(report.header.id)}`"
    return "\n\n".join(["## Evidence", _table(("What", "Found"), rows), check])


def _people(report: Report) -> str:
    rows = [(a.source, a.text, TO_FILL, TO_FILL, TO_FILL) for a in report.actions]
    rows.append(("people", TO_FILL, TO_FILL, TO_FILL, TO_FILL))
    parts = ["## Action items", _table(("From", "What", "Owner", "Due", "Check that closes it"), rows), "## For people"]
    return "\n\n".join([*parts, *(f"**{field}**: {text(TO_FILL)}" for field in FIELDS_FOR_PEOPLE)])


def _controls() -> str:
    return "\n\n".join(["## Control map", _table(("Clause", "Asks for", "Sections"), CONTROL_MAP), f"_{CAVEAT}_"])
