"""The time a plan tells: what goes on together is not added up, and what nobody knows is counted, never taken for 0."""

from __future__ import annotations

from dataclasses import replace

import pytest

from drctl.core.plan import Estimate, estimate
from drctl.engine.planner import Options, Planner
from drctl.reporting.plan_risks import estimate_lines
from tests.engine.rig import Rig
from tests.engine.test_acts import book

WEBS = tuple(f"w{number}" for number in range(40))
MINUTE = 60_000_000
ASK = "{id: ask, do: manual, with: {say: Say, ask: {n: {type: int}}}}"


def take(id_: str, minutes: int, more: str = "", on: str = "on: local, ") -> str:
    return f"{{id: {id_}, {on}run: x, effect: idempotent, takes: {minutes}m{more}}}"


def sums(*steps: str) -> Estimate:
    rig = Rig(book(*steps), hosts=("db1", *WEBS))
    plan = Planner(rig.context(), rig.world, Options()).plan("digest")
    return estimate(replace(plan, rows=tuple(replace(row, expected=row.takes) for row in plan.rows)))


@pytest.mark.parametrize(
    ("steps", "minutes"),
    [
        ((take("a", 1), take("b", 2)), 3),
        ((f"{{id: p, parallel: [{take('a', 1)}, {take('b', 5)}, {take('c', 2)}]}}",), 5),
        ((f"{{id: p, at_once: 2, parallel: [{take('a', 3)}, {take('b', 3)}, {take('c', 3)}]}}",), 5),  # 4.5
        ((f"{{id: p, parallel: [{{id: s, steps: [{take('a', 1)}, {take('b', 2)}]}}, {take('c', 2)}]}}",), 3),
        (("{id: l, foreach: {i: [1, 2, 3, 4]}, do: wait, with: {for: 60s}}",), 4),
        (("{id: l, foreach: {i: [1, 2, 3, 4]}, at_once: 2, steps: [{id: w, do: wait, with: {for: 60s}}]}",), 2),
        (("{id: t, on: {group: web}, run: x, effect: idempotent, takes: 1m}",), 2),  # 40 hosts, 32 at a time
        (("{id: t, on: {group: web, batch: 10}, run: x, effect: idempotent, takes: 1m}",), 4),
        ((f"{{id: r, on: {{group: web, batch: 20, soak: 3m}}, steps: [{take('t', 1, on='')}]}}",), 5),
        ((f"{{id: whole, takes: 10m, steps: [{take('a', 1)}, {take('b', 2)}]}}",), 10),
        ((f"{{id: whole, takes: 1m, steps: [{take('a', 1)}, {take('b', 2)}]}}",), 3),
    ],
    ids=[
        "order", "parallel", "two-at-once", "branches", "loop", "loop-two-at-once", "hosts", "batches", "soak", "whole",
        "parts",
    ],
)  # fmt: skip
def test_what_goes_on_together_is_not_added_up(steps: tuple[str, ...], minutes: int) -> None:
    assert -(-sums(*steps).known_us // MINUTE) == minutes


def test_what_may_not_run_is_told_apart() -> None:
    found = sums(ASK, take("sure", 1), take("perhaps", 5, ", when: steps.ask.n > 1"))
    assert (found.known_us, found.more_us) == (MINUTE, 5 * MINUTE)
    until = "until: {within: 1h, escalate: [{after: 5m, steps: [RUNG]}]}"
    ladder = f"{{id: up, on: local, run: up, effect: read, takes: 1m, {until}}}"
    found = sums(ladder.replace("RUNG", take("rung", 9)))
    assert (found.known_us, found.more_us) == (MINUTE, 8 * MINUTE)


def test_what_nobody_knows_is_counted() -> None:
    unknown = "{id: u, on: local, run: x, effect: idempotent}"
    assert sums(unknown).without == 1
    many = ", ".join(map(str, range(140)))
    assert (
        sums(f"{{id: l, foreach: {{i: [{many}]}}, on: local, run: 'x ${{{{ i }}}}', effect: idempotent}}").without
        == 140
    )
    back = "{id: act, on: local, run: x, effect: idempotent, restore: {run: y}}"
    assert sums(back, "{id: back, do: restore, with: {steps: [act]}}").without == 2
    assert sums("{id: act, on: local, run: x, effect: idempotent, approve: {by: [commander]}}").people == 1


def test_the_line_says_what_is_known_what_is_open_and_what_is_not() -> None:
    rig = Rig(
        book(
            ASK,
            take("sure", 1),
            take("perhaps", 5, ", when: steps.ask.n > 1"),
            take("x", 1).replace("takes: 1m", "touches: nothing"),
        )
    )
    plan = Planner(rig.context(), rig.world, Options()).plan("digest")
    plan = replace(plan, rows=tuple(replace(row, expected=row.takes) for row in plan.rows))
    said = " ".join(" ".join(estimate_lines(plan)).split())
    assert said == (
        "Time about 1m as far as it is known, 5m more if every open condition comes true, "
        "and 1 step without an estimate; besides, 1 wait for people"
    )
