"""The report of a run as plain values: built from its records alone, the same bytes for the same journal.

HTML, Markdown and JSON are three forms of it. What only people can say is left as marked, empty fields.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
from typing import TYPE_CHECKING

from drctl.core import events as ev
from drctl.core.fold import attained
from drctl.core.frozen import digest_of, thaw
from drctl.reporting.facts import bounds_text, exceptions, held_text, objectives, own_steps, simulated, verdict
from drctl.reporting.report_clock import Clock, split, standstills
from drctl.reporting.report_left import left_over
from drctl.reporting.report_model import (
    ActionRow,
    DeviationRow,
    Evidence,
    Header,
    Named,
    ObjectiveRow,
    Report,
    StepRow,
    VerdictRow,
)
from drctl.reporting.report_rows import Steps, decisions, marks, named, phases, timeline
from drctl.reporting.texts import clean, last_name, one_line, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from drctl.core.fold import Entry, RunState
    from drctl.core.integrity import Verification

SCHEMA = 1
_LINES = ",\n  "
_SSH_BLOB = b"\x00\x00\x00\x0bssh-ed25519\x00\x00\x00\x20"  # RFC 8709, section 4: what precedes a public key
INCIDENT = {
    "reporter": ("reporter", "reported_by"),
    "severity": ("severity",),
    "scope": ("scope", "affected", "impact"),
    "cause": ("cause", "fault", "fault_class"),
}
"""Fields of an incident record, and the names of inputs, answers and findings that fill them."""


def build(entries: list[Entry], state: RunState, audit: Verification, output: Callable[[str], bytes]) -> Report:
    """Build a report.

    Args:
        entries: every event of the journal, in order, checkpoints left out.
        state: their fold.
        audit: what verifying the journal's bytes said.
        output: gives kept output by its digest; KeyError, ValueError, OSError, JournalError are shown, not raised.
    """
    times = Clock(state)
    inputs, intact = _inputs(state)
    steps = Steps(entries, times, output).rows(state)
    still = standstills(state)
    return Report(
        schema=SCHEMA,
        header=_header(entries, state, times, intact=intact),
        verdict=_verdict(state),
        incident=_incident(state, inputs),
        inputs=named(inputs),
        objectives=_objectives(state),
        split=split(state, still),
        phases=phases(entries, state, times),
        marks=marks(state, times),
        timeline=timeline(entries, state, times),
        decisions=decisions(entries, state, times),
        steps=steps,
        exceptions=tuple(map(one_line, exceptions(state))),
        deviations=tuple(
            DeviationRow(
                at=times.moment(at), path=clean(d.path), what=clean(d.what), by=clean(d.by), because=one_line(d.because)
            )
            for at, d in state.deviations
        ),
        left_over=left_over(state),
        evidence=_evidence(audit),
        actions=_actions(state, steps, audit),
        standstills=still,
    )


def as_json(report: Report) -> str:
    """The report for machines: every field of it, times in microseconds and as text."""
    parts = []
    for f in dataclasses.fields(report):
        value = getattr(report, f.name)
        many = isinstance(value, tuple) and value
        text = f"[\n  {_LINES.join(map(_written, value))}\n ]" if many else _written(value)
        parts.append(f" {_written(f.name)}: {text}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _written(value: object) -> str:
    """JSON in one line: with an indent, json writes in Python what it otherwise writes in C."""
    return _ENCODER.encode(value)


def _fields(value: Any) -> dict[str, Any]:  # noqa: ANN401 - any noun of a report
    cls = type(value)
    if cls not in _NAMES:
        _NAMES[cls] = tuple(f.name for f in dataclasses.fields(cls))
    return {name: getattr(value, name) for name in _NAMES[cls]}


_NAMES: dict[type, tuple[str, ...]] = {}
_ENCODER = json.JSONEncoder(ensure_ascii=False, check_circular=False, default=_fields)


def _header(entries: Sequence[Entry], state: RunState, times: Clock, *, intact: bool) -> Header:
    opened = state.opened or ev.RunOpened(uid="", id="-", runbook="-")
    versions = [e.event.version for e in entries if isinstance(e.event, ev.RunOpened | ev.RunResumed)]
    return Header(
        id=clean(opened.id),
        uid=clean(opened.uid),
        runbook=clean(opened.runbook),
        title=one_line(opened.title),
        environment=clean(opened.environment),
        mode=clean(opened.mode),
        inventory=clean(opened.inventory),
        operator=clean(opened.operator),
        node=clean(opened.node),
        plan_digest=clean(state.plan_digest),
        versions=tuple(clean(v) for v in dict.fromkeys(versions) if v),
        plan_intact=intact,
        held=clean(held_text(opened)),
        bounds=clean(bounds_text(opened)),
        zone=clean(opened.zone),
        language=clean(opened.language),
        opened=times.maybe(state.opened_at),
        closed=times.maybe(state.closed_at),
        last=times.maybe(state.last_at),
        sessions=state.sessions,
    )


def _verdict(state: RunState) -> VerdictRow:
    now = verdict(state)
    word = clean(state.closed.state) if state.closed else "paused" if state.paused else "open"
    return VerdictRow(
        sign=now.sign,
        word=now.word,
        because=one_line(now.because),
        exit=now.exit,
        state=word,
        simulated=simulated(state),
    )


def _inputs(state: RunState) -> tuple[Mapping[str, Any], bool]:
    """Inputs as frozen, secrets as the name of their source; and whether the frozen plan is whole."""
    text = "".join(state.plan)
    try:
        intact = state.opened is not None and digest_of(text) == state.plan_digest
        frozen = thaw(text).inputs
    except (ValueError, KeyError, TypeError, UnicodeError):
        return {}, False
    values = {
        name: f"secret, from {value['$secret']}" if isinstance(value, dict) and "$secret" in value else value
        for name, value in frozen.items()
    }
    return values, intact


def _incident(state: RunState, inputs: Mapping[str, Any]) -> tuple[Named, ...]:
    """The incident record: times from marks; reporter, severity, scope, cause from inputs, answers and findings."""
    rows = []
    for name in ("fault", "detected", "declared"):
        mark = state.mark(name)
        if mark is not None:
            rows.append(Named(name=name, value=shown(mark.value), source=f"mark, {last_name(mark.path) or 'the run'}"))
        elif name == "declared" and state.opened_at is not None:
            rows.append(Named(name=name, value=str(state.opened_at), source="start of the run"))
        else:
            rows.append(Named(name=name, value="not recorded"))
    given = _given(state, inputs)
    for name, words in INCIDENT.items():
        found = next((given[word] for word in words if word in given), None)
        rows.append(
            Named(name=name, value=found[0], source=found[1]) if found else Named(name=name, value="not recorded")
        )
    return tuple(rows)


def _given(state: RunState, inputs: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Names and values people or decisions gave, with their source; a later word counts."""
    given = {name: (shown(value), "input") for name, value in inputs.items()}
    for facts in own_steps(state):
        finished = state.step(facts.path).final
        if finished is None or facts.kind not in {"manual", "decide", "set"}:
            continue
        for name, value in finished.outputs.items():
            key = last_name(facts.path) if facts.kind == "decide" and name == "value" else name
            given[clean(key)] = (shown(value), f"{facts.kind} {last_name(facts.path)}")
    return given


def _objectives(state: RunState) -> tuple[ObjectiveRow, ...]:
    rows = [
        ObjectiveRow(
            name=o.name,
            attained_name="RTA" if o.name == "RTO" else "RPA",
            word=o.word,
            method=clean(o.method),
            percent=o.percent,
            promised_us=o.promised.micros if o.promised is not None else None,
            attained_us=o.reached.micros if o.reached is not None else None,
        )
        for o in objectives(state)
    ]
    whole = attained(state).rta_from_fault
    if whole is not None:
        rows.insert(
            1,
            ObjectiveRow(
                name="from fault",
                attained_name="RTA from fault",
                promised_us=None,
                attained_us=whole.micros,
                percent=None,
                word="for information",
                method="from fault to service_restored",
            ),
        )
    return tuple(rows)


def _evidence(audit: Verification) -> Evidence:
    bad = audit.first_bad
    return Evidence(
        verdict=audit.verdict.value,
        exit=int(audit.exit),
        records=audit.records,
        signed=audit.signed,
        head=audit.head,
        root=audit.root,
        key_status=audit.key_status.value,
        anchored=audit.anchored,
        closed=audit.closed,
        keys=tuple(
            f"{_fingerprint(key.public)} from record {key.seq}, {'pinned' if key.pinned else 'self-declared'}"
            for key in audit.keys
        ),
        first_bad=one_line(f"record {bad.seq}, line {bad.line}, byte {bad.offset}: {bad.text}")
        if bad is not None
        else "",
        notices=tuple(one_line(f"record {n.seq}: {n.text}") for n in audit.notices),
        unknown_types=tuple(clean(name) for name in audit.unknown_types),
    )


def _fingerprint(public: bytes) -> str:
    """As `ssh-keygen -l` prints it."""
    return f"SHA256:{base64.b64encode(hashlib.sha256(_SSH_BLOB + public).digest()).decode().rstrip('=')}"


def _actions(state: RunState, steps: Sequence[StepRow], audit: Verification) -> tuple[ActionRow, ...]:
    """Action items that the record itself asks for; people add what they know."""
    rows = [
        ActionRow(source="note", text=one_line(f"{note.text.split(':', 1)[1]} ({note.by})"))
        for _, note in state.notes
        if note.text.strip().lower().startswith("action:")
    ]
    rows += [ActionRow(source="exception", text=one_line(text)) for text in exceptions(state)]
    for step in steps:
        if not step.good:
            rows.append(ActionRow(source="failed step", text=f"{step.path}: {step.word}, {step.because}"))
        elif step.retried:
            rows.append(ActionRow(source="retried step", text=f"{step.path}: needed {len(step.attempts)} attempts"))
        elif step.role in {"act", "look"} and step.outcome in {"failed", "unreachable", "timeout", "empty"}:
            rows.append(ActionRow(source="foreseen failure", text=f"{step.path}: {step.outcome}, {step.because}"))
    rows += [
        ActionRow(source="fenced host", text=f"{clean(host)}: rebuild it, bring it back as a standby")
        for host in state.fenced
    ]
    if audit.first_bad is not None:
        rows.append(ActionRow(source="evidence", text=f"the journal is {audit.verdict.value}: find out who changed it"))
    return tuple(rows)
