"""The end of a plan: what is dangerous in it, and how long it takes as far as anybody knows."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from drctl.core.plan import Plan, PlannedStep, Status, estimate
from drctl.core.values import Duration
from drctl.reporting.texts import count, human, one_line, wrap

if TYPE_CHECKING:
    from collections.abc import Iterator

WIDEST = 11


def risks_of(plan: Plan) -> dict[str, list[str]]:
    """What whoever approves a plan must have seen, by kind of risk."""
    rows = [row for row in plan.steps if row.status is not Status.WOULD_SKIP]
    acts = [row for row in plan.rows if row.effect != "read" and row.status is not Status.WOULD_SKIP]
    acts = [row for row in acts if row.kind != "notify"]
    counted = (host for row in acts for host in (row.place, *row.hosts))
    return {
        "irreversible": [_at(row) for row in rows if row.effect == "irreversible"],
        "no_return": [row.path for row in plan.rows if row.no_return],
        "no_undo": [f"{row.path} ({row.no_undo})" for row in plan.rows if row.no_undo and row.effect != "irreversible"],
        "declared_reads": [_at(row) for row in rows if row.declared],
        "approvals": [f"{row.path} by {who}" for row in plan.rows for who in row.approvals],
        "hosts": list(dict.fromkeys(host for host in counted if host)),
        "hosts_not_known": [f"{row.path} on any of {', '.join(row.perhaps)}" for row in acts if row.perhaps],
    }


WORDS = {
    "irreversible": "irreversible", "no_return": "no way back after", "no_undo": "no undo",
    "declared_reads": "read-only by the author's word alone", "approvals": "approval", "hosts": "changes on",
    "hosts_not_known": "hosts not known yet",
}  # fmt: skip


def risk_lines(plan: Plan) -> list[str]:
    """The section of the text; empty when there is no risk at all."""
    found = {name: several for name, several in risks_of(plan).items() if several}
    lines = [text for line in _risks(found) for text in line]
    return [*lines, ""] if lines else []


def _risks(found: dict[str, list[str]]) -> Iterator[list[str]]:
    for number, (name, several) in enumerate(found.items()):
        head = f"{'Risks' if not number else '':<{WIDEST}}"
        mark = "⚠" if name in {"irreversible", "no_return"} else "·"
        yield wrap(one_line(f"{mark} {WORDS[name]}: {', '.join(several)}"), first=head, rest=" " * (WIDEST + 2))


def _at(row: PlannedStep) -> str:
    if row.stands_for > 1 or row.hosts:
        hosts = f", {', '.join(row.hosts)}" if row.hosts else ""
        return f"{row.path} ({row.stands_for} of them{hosts})"
    return f"{row.path} on {row.place}" if row.place and row.place != "local" else row.path


def estimate_lines(plan: Plan) -> list[str]:
    """What is known of the time, and how much is not."""
    sums = estimate(plan)
    text = f"about {human(Duration(sums.known_us))} as far as it is known" if sums.known_us else "nothing is known"
    if sums.more_us:
        text += f", {human(Duration(sums.more_us))} more if every open condition comes true"
    if sums.without:
        text += f", and {count(sums.without, 'step')} without an estimate"
    if sums.people:
        text += f"; besides, {count(sums.people, 'wait')} for people"
        told = sums.people - sums.people_without
        text += f" ({human(Duration(sums.people_us))} in past runs for {told} of them)" if sums.people_us else ""
    return wrap(text, first="Time       ")


def estimate_map(plan: Plan) -> dict[str, Any]:
    """The same for machines."""
    return dataclasses.asdict(estimate(plan))
