"""A plan as text and JSON: every step with its exact command, and a count of what looking could not tell."""

from __future__ import annotations

import dataclasses
import json
import shlex
from typing import TYPE_CHECKING, Any

from drctl.core.plan import BLOCKS, IGNORANCE, Plan, PlannedStep, Status
from drctl.reporting.plan_risks import estimate_lines, estimate_map, risk_lines, risks_of
from drctl.reporting.texts import WIDTH, clean, count, cut, human, last_name, one_line, pad, width, wrap

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from drctl.core.values import Duration

SIGNS = {
    Status.LOOKED: "✔", Status.NOW: "✔", Status.NOT_LOOKED: "?", Status.WOULD_RUN: "▶", Status.NO_CHANGE: "=",
    Status.WOULD_SKIP: "·", Status.WOULD_WAIT: "⏸", Status.DEPENDS: "?", Status.CANNOT_TELL: "?", Status.KNOWN: "✔",
    Status.WOULD_STOP: "✖",
}  # fmt: skip
WORDS = {
    Status.LOOKED: "looked at for real", Status.NOW: "seen only as things are now, before the change",
    Status.NOT_LOOKED: "not looked at", Status.WOULD_RUN: "would run", Status.NO_CHANGE: "would change nothing",
    Status.WOULD_SKIP: "would be skipped", Status.WOULD_WAIT: "would wait for people or time",
    Status.DEPENDS: "depend on what is not known yet", Status.CANNOT_TELL: "cannot be told",
    Status.KNOWN: "known already",
    Status.WOULD_STOP: "would stop the run",
}  # fmt: skip
RISK = {
    "idempotent": "changes; a second time changes nothing more", "once": "CHANGES, and must not happen twice",
    "irreversible": "IRREVERSIBLE",
}  # fmt: skip
NOTE = 7
STATUS = 67
"""The column in which what would happen begins, where there is room."""
LABEL = 10


def plan_text(plan: Plan, runbook_path: str, inventory_path: str, flags: Sequence[str] = (), kept: str = "") -> str:
    """Screen 1. Commands are never broken or shortened; everything else keeps to 80 columns.

    `flags` are what else a run like this plan is started with; the inputs and the limit are the plan's own. `kept` is
    the file that it is kept in: a run is then held to it.
    """
    lines = [clean(f"{plan.runbook}  {plan.title}".rstrip())]
    lines.append(clean(f"  plan sha256:{plan.digest[:16]}…   inventory {plan.inventory}, {plan.environment}"))
    goals = [f"{n} {human(d)}" for n, d in (("RTO", plan.rto), ("RPO", plan.rpo)) if d is not None]
    lines.append("  goal " + (" · ".join(goals) or "none promised"))
    if plan.limit:
        lines += wrap(f"{', '.join(plan.limit)}: no other host is acted on", first="  limit ")
    lines += [t for name, value in plan.inputs.items() for t in wrap(one_line(f"{name} = {value}"), first="  input ")]
    lines += [t for warning in plan.warnings for t in wrap(one_line(warning), first="  ! warning: ")]
    lines += _stop_lines(plan)
    number = 0
    for row in plan.rows:
        if row.depth == 0:
            lines += ["", *_phase(row)]
            continue
        number += row.kind not in BLOCKS
        lines += _row(row, number if row.kind not in BLOCKS else None)
    return "\n".join(
        [
            *lines,
            "",
            *risk_lines(plan),
            *_coverage_lines(plan),
            *estimate_lines(plan),
            "",
            "Nothing was changed anywhere.",
            f"Next: {clean(run_command(plan, runbook_path, inventory_path, flags, kept))}",
        ]
    )


def _stop_lines(plan: Plan) -> list[str]:
    stops = [row for row in plan.rows if row.status is Status.WOULD_STOP]
    return [
        t
        for row in stops[:1]
        for t in wrap(one_line(f"{row.path}: {row.because}"), first="  ✖ AS THINGS ARE, THE RUN WOULD STOP at ")
    ]


def _phase(row: PlannedStep) -> list[str]:
    title = f"  {one_line(row.title)}" if row.title else ""
    head = f"{SIGNS[row.status]} PHASE {clean(row.path)}{title}"
    lines = [f"{pad(cut(head, STATUS), STATUS)}  {row.status.value}"]
    return lines + _notes(row, indent=2)


def _row(row: PlannedStep, number: int | None) -> list[str]:
    """A step: its line, then what it would do, why, what is not known, who is needed, the way back."""
    indent = "  " * (row.depth - 1)
    count_ = f"{number:>3}" if number is not None else "   "
    on = f" on {row.place}" if row.place and row.place != "local" else ""
    name = f"{count_} {SIGNS[row.status]} {indent}{clean(last_name(row.path))}"
    head, status = f"{pad(name, 28)} {clean(f'{row.kind}{on}')}", row.status.value
    fits = max(width(head), STATUS) + 2 + width(status) <= WIDTH
    lines = [f"{pad(head, STATUS)}  {status}"] if fits else [head, f"{'':<{STATUS}}  {status}"]
    if row.status is Status.WOULD_SKIP:
        return lines + _note("because", row.because)
    if row.title and row.title not in {last_name(row.path), row.path}:
        lines += wrap(one_line(row.title), first=" " * NOTE)
    lines += _note("effect", RISK.get(row.effect, ""))
    lines += [f"{'':<{NOTE}}$ {text}" for text in clean(row.text, lines=True).split("\n") if text]
    return lines + _notes(row, indent=NOTE)


def _notes(row: PlannedStep, indent: int) -> list[str]:
    seen = {Status.LOOKED: "saw", Status.NOW: "saw", Status.KNOWN: "known"}.get(row.status, "because")
    lines = _note(seen, row.because, indent)
    for text in row.unknown:
        if text not in row.because:
            lines += _note("unknown", text, indent)
    for text in row.needs:
        if text.removeprefix("when ") not in row.because:
            lines += _note("needs", text, indent)
    if row.depends:
        lines += _note("depends", f"on {', '.join(row.depends)}", indent)
    if row.declared:
        lines += _note("careful", "read-only by the author's word alone", indent)
    if row.effect != "read":
        lines += _note("back", row.back, indent)
    seen_before = f"took {human(row.expected)} (median of {row.samples})" if row.expected and row.samples else ""
    times = (
        ([seen_before] if seen_before else [])
        + ([f"takes {human(row.takes)}"] if row.takes else [])
        + ([f"limit {human(row.timeout)}"] if row.timeout and row.effect != "read" else [])
    )
    return lines + _note("time", ", ".join(times), indent)


def _note(name: str, text: str, indent: int = NOTE) -> list[str]:
    return wrap(one_line(text), first=f"{'':<{indent}}{name:<{LABEL}}") if text else []


def _coverage_lines(plan: Plan) -> list[str]:
    """The plan's own ignorance, counted."""
    counts = plan.coverage
    sure = [s for s in Status if s not in IGNORANCE]
    said = sum(row.declared and row.status is Status.LOOKED for row in plan.steps)
    shares = {s: [(counts.get(s.value, 0), WORDS[s])] for s in sure}
    shares[Status.LOOKED] = [
        (counts.get(Status.LOOKED.value, 0) - said, WORDS[Status.LOOKED]), (said, "looked at, read-only by declaration")
    ]  # fmt: skip
    known = " · ".join(f"{number} {word}" for s in sure for number, word in shares[s] if number)
    dark = " · ".join(f"{counts[s.value]} {WORDS[s]}" for s in IGNORANCE if s.value in counts)
    number = counts["unknown"]
    lines = wrap(f"{count(counts['steps'], 'step')}: {known or 'none of them is certain'}", first="Coverage   ")
    lines += wrap(
        f"{number} of {counts['steps']}: {dark}" if number else "nothing that looking could have told",
        first="Not known  ",
    )
    if "declared" in counts:
        lines += wrap(
            f"{count(counts['declared'], 'look')} ran that are read-only by the author's word alone",
            first="Careful    ",
        )
    return lines


def run_command(
    plan: Plan, runbook_path: str, inventory_path: str, flags: Sequence[str] = (), kept: str = ""
) -> str:  # fmt: skip
    """The command that runs what the plan shows; a kept plan brings its inputs and bounds along."""
    words = ["drctl", "run", runbook_path, "--inventory", inventory_path]
    words += ["--plan", kept] if kept else [*input_flags(plan.inputs), *limit_flags(plan.limit)]
    return " ".join(shlex.quote(word) for word in (*words, *flags))


def input_flags(inputs: Mapping[str, str]) -> list[str]:
    """Inputs as they are typed; secrets and what is not known are left out."""
    known = {name: value for name, value in inputs.items() if value != "***" and not value.startswith("unknown (")}
    return [word for name, value in known.items() for word in ("-i", f"{name}={value}")]


def limit_flags(limit: Sequence[str]) -> list[str]:
    """The limit as it is typed: without it a run would act on every host."""
    return ["--limit", ",".join(limit)] if limit else []


def plan_json(plan: Plan) -> str:
    """The plan for machines; every row, nothing shortened."""
    return json.dumps(
        {
            "runbook": plan.runbook, "title": plan.title, "digest": plan.digest, "inventory": plan.inventory,
            "environment": plan.environment, "rto_us": _micros(plan.rto), "rpo_us": _micros(plan.rpo),
            "inputs": dict(plan.inputs), "limit": list(plan.limit), "warnings": list(plan.warnings),
            "coverage": dict(plan.coverage), "unknown": [row.path for row in plan.unknowns], "risks": risks_of(plan),
            "estimate": estimate_map(plan),
            "rows": row_maps(plan),
        },
        ensure_ascii=False,
    )  # fmt: skip


def row_maps(plan: Plan) -> list[dict[str, Any]]:
    """Every row as JSON."""
    return [_row_map(row) for row in plan.rows]


def _row_map(row: PlannedStep) -> dict[str, Any]:
    plain = {f.name: getattr(row, f.name) for f in dataclasses.fields(row)}
    plain |= {"status": row.status.value, "unknown": list(row.unknown), "needs": list(row.needs)}
    plain |= {name: list(getattr(row, name)) for name in ("depends", "approvals", "hosts", "perhaps")}
    del plain["takes"], plain["timeout"], plain["expected"]
    plain["expected_us"] = _micros(row.expected)
    return plain | {"takes_us": _micros(row.takes), "timeout_us": _micros(row.timeout)}


def _micros(length: Duration | None) -> int | None:
    return length.micros if length is not None else None
