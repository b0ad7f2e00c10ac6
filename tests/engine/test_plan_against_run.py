"""What a plan says, against what the run then does in the same world.

Nothing acts that the plan did not name, and nothing that it calls sure comes otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from drctl.core.outcomes import Outcome
from drctl.core.plan import BLOCKS, Plan, PlannedStep, Status
from drctl.core.states import StepState
from drctl.engine.planner import Options, Planner
from drctl.reporting.plan_risks import risks_of
from tests.engine.rig import Rig
from tests.engine.test_acts import book

if TYPE_CHECKING:
    from collections.abc import Callable

    from drctl.core.ports import Command
    from tests.fakes.hosts import Answer

HOSTS = ("db1", "db2", "w1", "w2", "w3")


def act(id_: str, more: str = "") -> str:
    return f"{{id: {id_}, on: db1, run: do-{id_}, effect: idempotent{more}}}"


def look(id_: str, script: str = "yes", more: str = "") -> str:
    return f"{{id: {id_}, on: db1, run: {script}, effect: read{more}}}"


MAY_STOP = {Status.NOW, Status.WOULD_WAIT}
"""What is seen now need not last, and a wait may end badly: a plan does not say what comes after."""
WORLD: dict[str, Answer] = {
    "yes": 0,
    "no": 1,
    "do-": 0,
    "fail-": 1,
    "list": "[1, 2]",
    "empty": "[]",
    "number": "7",
    "name": "db2",
    "back-": 0,
}

BOOKS = {
    "first-ok": (
        "{id: f, foreach: {i: [1, 2, 3]}, first_ok: true, steps: [" + look("l", "yes") + ", " + act("a") + "]}",
        act("then", ", when: steps.f.ok"),
    ),
    "first-ok-later": (
        "{id: f, foreach: {s: ['no', 'yes', 'yes']}, first_ok: true, on: db1, run: '${{ s }}', effect: read}",
        act("then", ", when: steps.f.s == 'yes'"),
    ),
    "first-ok-none": ("{id: f, foreach: {i: [1, 2]}, first_ok: true, on: db1, run: 'no', effect: read}", act("then")),
    "empty-list": (look("l", "empty"), "{id: f, foreach: {i: steps.l.json}, steps: [" + act("a") + "]}",
                   act("then", ", when: steps.f.ok")),
    "list-from-look": (
        look("l", "list"), "{id: f, foreach: {i: steps.l.json}, on: db1, run: 'do-it ${{ i }}', effect: idempotent}",
    ),
    "list-after-act": (
        act("first"), look("l", "list"),
        "{id: f, foreach: {i: steps.l.json}, on: db1, run: 'do-it ${{ i }}', effect: idempotent}",
        "{id: g, foreach: {i: steps.l.json}, steps: [" + look("m") + ", " + act("n") + "]}",
    ),
    "stop-then-more": (look("l", "no"), act("a"), look("m", "no"), act("b")),
    "stop-in-block": ("{id: b, steps: [" + look("l", "no") + ", " + act("a") + "]}", act("c")),
    "stop-in-parallel": ("{id: p, parallel: [" + look("l", "no") + ", " + act("a") + "]}", act("c")),
    "retry": (
        "{id: b, retry: {every: 1s, times: 2}, steps: [" + act("a") + ", " + look("l", "yes") + "]}", act("c"),
    ),
    "until-block": (
        "{id: b, until: {every: 1s, times: 2}, steps: [" + look("l", "yes") + ", " + look("k", "yes") + "]}",
        act("c", ", when: steps.b.ok"),
    ),
    "until-block-no": ("{id: b, until: {every: 1s, times: 2}, steps: [" + look("l", "no") + "]}", act("c")),
    "ladder": (
        look("l", "no", ", until: {every: 1s, within: 10s, escalate: [{after: 2s, steps: [" + act("rung") + "]}]}"),
        act("c"),
    ),
    "ladder-not-needed": (
        look("l", "yes", ", until: {every: 1s, within: 10s, escalate: [{after: 2s, steps: [" + act("rung") + "]}]}"),
        look("m", "yes"), act("c", ", when: steps.m.failed"),
    ),
    "rolling": (
        ("{id: r, on: {group: web, batch: 1}, steps: [{id: l, run: 'yes', effect: read}, "
        "{id: a, run: do-a, effect: idempotent}]}"), act("c"),
    ),
    "rolling-stop": (
        ("{id: r, on: {group: web, batch: 1}, steps: [{id: l, run: 'no', effect: read}, "
        "{id: a, run: do-a, effect: idempotent}]}"), act("c"),
    ),
    "table-some-fail": (
        "{id: t, on: {group: web, max_failures: 3}, run: 'no', effect: read}",
        "{id: a, on: {group: web, where: steps.t.here.ok}, run: do-a, effect: idempotent, tolerate: [empty]}", act("c"),
    ),
    "decide": (
        look("l", "no", ", observe: true"),
        "{id: d, do: decide, with: {rules: [{if: steps.l.failed, then: bad}], otherwise: good}}",
        act("a", ", when: steps.d.value == 'bad'"), act("b", ", when: steps.d.value == 'good'"),
    ),
    "decide-unknown": (
        act("first"), look("l", "no", ", observe: true"),
        "{id: d, do: decide, with: {rules: [{if: steps.l.failed, then: bad}], otherwise: good}}",
        act("a", ", when: steps.d.value == 'bad'"), act("b", ", when: steps.d.value == 'good'"),
    ),
    "tolerated": (look("l", "no", ", tolerate: [failed]"), act("a", ", when: steps.l.failed"), act("b")),
    "rollback": (act("a", ", undo: {run: back-a}"), look("l", "no", ", on_failure: rollback"), act("b")),
    "abort": (look("l", "no", ", on_failure: abort"), act("b")),
    "restore": (
        act("a", ", restore: {run: back-a}"), "{id: put, do: restore, with: {steps: [a]}}", act("b"),
    ),
    "unless-then-look": (
        act("a", ", unless: {run: 'yes'}"), look("l", "number", ", capture: {n: int(stdout)}"),
        act("b", ", when: steps.l.n > 5"), act("c", ", when: steps.a.found"), act("d", ", when: not steps.a.found"),
    ),
    "unless-in-loop": (
        "{id: f, foreach: {s: ['yes', 'no']}, on: db1, run: do-it, effect: idempotent, unless: {run: '${{ s }}'}}",
        look("l"), act("b"),
    ),
    "check-stops": ("{id: k, do: check, expect: 1 > 2}", act("b")),
    "skipped-block": (
        "{id: b, when: 1 > 2, steps: [" + act("a") + "]}", act("c", ", when: steps.b.outcome == 'skipped'"),
    ),
    "fence": (
        "{id: x, do: fence.host, on: db2, with: {methods: [{run: do-off}], proof: [{run: 'yes', on: local}]}}",
        "{id: after, on: db2, run: do-after, effect: idempotent}", act("c"),
    ),
    "capture-none": (look("l", "number", ", capture: {n: int(stdout), m: \"int(match(stdout, 'x(.)'))\"}"),
                     act("a", ", when: known(steps.l.m)"), act("b", ", when: 'default(steps.l.m, 3) == 3'")),
    "set-none": (look("l", "number", ", capture: {m: \"int(match(stdout, 'x(.)'))\"}"),
                 "{id: s, do: set, with: {x: '${{ steps.l.m }}'}}", act("b")),
    "run-needs-none": (look("l", "number", ", capture: {m: \"int(match(stdout, 'x(.)'))\"}"),
                       "{id: a, on: db1, run: 'do-a ${{ steps.l.m }}', effect: idempotent}", act("b")),
    "marks": (look("l", "number", ", capture: {n: int(stdout)}, marks: {data_loss: n * 1s}"),
              act("a", ", when: marks.data_loss > 5s"), act("b", ", when: marks.data_loss < 5s")),
    "observe-block": ("{id: p, parallel: [" + look("l", "no", ", observe: true") + ", " + look("m") + "]}",
                      act("a", ", when: steps.p.ok"), act("b", ", when: steps.l.failed")),
    "max-failures-loop": (
        "{id: f, foreach: {s: ['yes', 'no', 'yes']}, max_failures: 1, on: db1, run: '${{ s }}', effect: read}",
        act("a", ", when: steps.f.ok"), act("b", ", when: steps.f.outcome == 'partial'"),
    ),
    "loop-stops-midway": (
        "{id: f, foreach: {s: ['yes', 'no', 'yes']}, steps: [{id: l, on: db1, run: '${{ s }}', effect: read}, "
        + act("a") + "]}", act("b"),
    ),
    "empty-selection": ("{id: t, on: {group: web, where: false}, run: do-a, effect: idempotent}", act("b")),
    "empty-tolerated": (
        "{id: t, on: {group: web, where: false}, run: do-a, effect: idempotent, tolerate: [empty]}",
        act("b", ", when: steps.t.outcome == 'empty'"),
    ),
    "parallel-act-beside-look": (
        "{id: p, parallel: [" + look("l", "yes") + ", " + act("a") + "]}", act("b", ", when: steps.l.ok"),
    ),
    "loop-at-once": (
        "{id: f, foreach: {s: ['yes', 'no']}, at_once: 2, max_failures: 2, steps: ["
        "{id: l, on: db1, run: '${{ s }}', effect: read}, " + act("a") + "]}", act("b"),
    ),
    "include": ("{id: inc, include: part.yaml, with: {n: 1}}", act("b", ", when: steps.inc.ok")),
    "include-skipped": ("{id: inc, include: part.yaml, when: 1 > 2, with: {n: 1}}", act("b")),
    "include-open": (
        act("first"), look("l"), "{id: inc, include: part.yaml, when: steps.l.ok, with: {n: 1}}", act("b"),
    ),
    "include-in-loop": ("{id: f, foreach: {i: [1, 5]}, include: part.yaml, with: {n: '${{ i }}'}}", act("b")),
    "include-in-unknown-loop": (
        act("first"), look("l", "list"),
        "{id: f, foreach: {i: steps.l.json}, include: part.yaml, with: {n: '${{ i }}'}}", act("b"),
    ),
    "include-twice-nested": ("{id: out, include: outer.yaml, with: {n: 3}}", act("b")),
    "block-undo-rollback": (
        "{id: blk, undo: {run: back-all, on: db1}, steps: [" + act("a", ", undo: {run: back-a}") + "]}",
        look("l", "no", ", on_failure: rollback"), act("b"),
    ),
    "retry-escalate": (
        "{id: a, on: db1, run: fail-a, effect: idempotent, retry: {every: 1s, times: 3, escalate: "
        "[{after: 1s, steps: [" + act("rung") + "]}]}}", act("b"),
    ),
    "rolling-canaries": (
        ("{id: r, on: {group: web, batch: 2, canaries: 1, soak: 5s}, steps: [{id: a, run: do-a, effect: idempotent}, "
        "{id: l, run: 'yes', effect: read}]}"), act("c", ", when: steps.r.ok"),
    ),
    "rolling-tolerant": (
        ("{id: r, on: {group: web, batch: 1, max_failures: 3}, steps: [{id: l, run: 'no', effect: read}, "
        "{id: a, run: do-a, effect: idempotent}]}"), act("c", ", when: steps.r.outcome == 'partial'"),
    ),
    "all-or-none": (
        "{id: t, on: {group: web, all_or_none: true}, run: do-t, effect: idempotent, undo: {run: back-t}}", act("c"),
    ),
    "table-in-block": (
        ("{id: blk, steps: [{id: t, on: {group: web}, run: 'no', effect: read, observe: true}, "
        "{id: k, do: check, expect: 'all(h in steps.t.hosts, h.failed)'}]}"),
        act("c", ", when: \"steps.t.hosts['w1'].failed\""),
    ),
    "nested-loops": (
        "{id: f, foreach: {i: [1, 2]}, steps: [{id: g, foreach: {s: ['yes', 'no']}, max_failures: 1, on: db1, "
        "run: '${{ s }}', effect: read}, " + act("a", ", when: i > 1") + "]}", act("b"),
    ),
    "skipped-in-loop": (
        "{id: f, foreach: {i: [1, 2]}, steps: [{id: l, when: i > 1, on: db1, run: 'yes', effect: read}]}",
        act("b", ", when: steps.f.ok"),
    ),
    "lifted": (
        "{id: x, do: fence.host, on: db2, with: {methods: [{run: do-off}], proof: [{run: 'yes', on: local}]}}",
        "{id: y, do: fence.lift, on: db2, with: {methods: [{run: do-on}], proof: [{run: 'yes', on: local}]}}",
        "{id: after, on: db2, run: do-after, effect: idempotent}",
    ),
    "promote-unfenced": ("{id: p, do: postgres.promote, on: db1}", act("b")),
    "local-touches-nothing": (
        "{id: t, on: local, run: do-t, effect: idempotent, touches: nothing}", look("l", "yes"),
        act("a", ", when: steps.l.failed"), act("b", ", when: steps.l.ok"),
    ),
    "on-computed": (
        look("l", "name"), '{id: a, on: "${{ steps.l.stdout }}", run: do-a, effect: idempotent}', act("b"),
    ),
    "on-computed-wrong": (
        look("l", "number"), '{id: a, on: "${{ steps.l.stdout }}", run: do-a, effect: idempotent}', act("b"),
    ),
    "when-none": (
        look("l", "number", ", capture: {m: \"int(match(stdout, 'x(.)'))\"}"),
        act("a", ", when: steps.l.m > 1"), act("b"),
    ),
    "block-when-inner-known": (
        look("l", "no", ", observe: true"),
        "{id: blk, when: steps.l.ok, steps: [" + look("m") + ", " + act("a") + "]}",
        act("b", ", when: steps.m.outcome == 'skipped' or not steps.m.ok"),
    ),
    "decide-never": (
        look("l", "number", ", capture: {m: \"int(match(stdout, 'x(.)'))\"}"),
        "{id: d, do: decide, with: {rules: [{if: steps.l.m > 1, then: a}], otherwise: b, ask: never}}", act("b"),
    ),
    "notify-first": (
        "{id: n, do: notify, with: {to: [oncall], text: hello}}", look("l"), act("a", ", when: steps.l.failed"),
    ),
    "timeout-block": ("{id: blk, timeout: 1m, steps: [" + look("l") + ", " + act("a") + "]}", act("b")),
}  # fmt: skip
FILES = {
    "part.yaml": """
runbook: part
inputs: {n: {type: int}}
outputs: {said: steps.say.stdout}
phases:
  - id: one
    steps:
      - {id: say, on: db1, run: 'yes', effect: read}
  - id: two
    when: inputs.n > 2
    steps:
      - {id: do, on: db2, run: do-part, effect: idempotent}
""",
    "outer.yaml": """
runbook: outer
inputs: {n: {type: int}}
phases:
  - id: all
    steps:
      - {id: in1, include: part.yaml, with: {n: "${{ inputs.n }}"}}
      - {id: in2, include: part.yaml, with: {n: 1}}
""",
}


def given(word: str) -> Callable[[Command], bool]:
    return lambda command: command.env.get("DRCTL_1") == word


def world(text: str) -> Rig:
    rig = Rig(text, hosts=HOSTS, files=FILES)
    for name in (*HOSTS, "local"):
        for script, answer in WORLD.items():
            rig.host(name).on(script, answer)
        for word, code in (("yes", 0), ("no", 1)):  # a word that comes from a list travels in the environment
            rig.host(name).on(given(word), code)
    return rig


def both(name: str) -> tuple[Plan, Rig]:
    text = book(*BOOKS[name])
    first, rig = world(text), world(text)
    plan = Planner(first.context(), first.world, Options()).plan("digest")
    assert all(first.host(host).effects == [] for host in HOSTS)
    rig.run()
    return plan, rig


@pytest.mark.parametrize("name", BOOKS)
def test_nothing_acts_that_the_plan_did_not_name(name: str) -> None:
    plan, rig = both(name)
    rows, named = {row.path: row for row in plan.rows}, risks_of(plan)
    for path, step in rig.state.steps.items():
        if not step.effects:
            continue
        base = path.partition("/undo")[0].partition("/restore")[0]
        shown = rows.get(base) or next((r for r in plan.rows if r.origin == rig.state.origin(base)), None)
        assert shown is not None, f"{path} is in no row"
        assert shown.status not in {Status.WOULD_SKIP, Status.NO_CHANGE}, f"{path}: {shown.status}"
        place = step.effects[0].host
        assert place == "local" or place in named["hosts"] or any(place in one for one in named["hosts_not_known"])


def told(row: PlannedStep, step: StepState) -> bool:
    """Whether a step ended as its row says."""
    end = step.outcome
    match row.status:
        case Status.WOULD_SKIP:
            return end in {None, Outcome.SKIPPED}
        case Status.LOOKED | Status.KNOWN:
            return end is not None
        case Status.NO_CHANGE:
            return end is Outcome.OK
        case Status.WOULD_STOP:
            return end is not None and end.bad
        case Status.WOULD_RUN | Status.CANNOT_TELL:
            return row.effect == "read" or bool(step.effects) or end is Outcome.OK
        case _:
            return True


@pytest.mark.parametrize("name", BOOKS)
def test_what_a_plan_is_sure_of_comes_so(name: str) -> None:
    plan, rig = both(name)
    stopped = next((row for row in plan.rows if row.status is Status.WOULD_STOP), None)
    assert stopped is None or rig.ends[-1] != 0, f"the run did not stop: {stopped}"
    for row in plan.rows:
        step = rig.state.steps.get(row.path, StepState(path=row.path))
        if (row.status in MAY_STOP and row.because != "now: ok") or "a person decides whether it runs" in row.needs:
            break
        if row.kind not in BLOCKS and not row.kind.startswith("fence."):
            assert told(row, step), f"{row.path} {row.status.value!r} ({row.because}); run: {step.outcome} {step.final}"
        if row.status is Status.WOULD_STOP or (row.effect != "read" and step.outcome is Outcome.FAILED):
            break


def statuses(*steps: str) -> dict[str, Status]:
    rig = world(book(*steps))
    plan = Planner(rig.context(), rig.world, Options()).plan("digest")
    return {row.path.removeprefix("main/"): row.status for row in plan.rows}


def test_what_is_seen_beside_an_act_of_another_branch_decides_nothing() -> None:
    block = "{{id: p, parallel: [{}, {}]{}}}"
    assert statuses(block.format(look("l"), act("a"), ""))["p/l"] is Status.NOW
    assert statuses(block.format(look("l"), act("a"), ", at_once: 1"))["p/l"] is Status.LOOKED
    assert statuses(block.format(look("l"), look("m"), ""))["p/l"] is Status.LOOKED


def test_what_an_included_file_does_is_as_open_as_its_include() -> None:
    found = statuses(*BOOKS["include-open"])
    assert found["inc"] is found["inc/one"] is Status.DEPENDS
    assert found["inc/one/say"] is Status.NOW
    assert found["inc/two/do"] is Status.WOULD_SKIP
    opened = statuses(*(text.replace("n: 1", "n: 5") for text in BOOKS["include-open"]))
    assert opened["inc/two"] is opened["inc/two/do"] is Status.DEPENDS


def test_a_fence_that_may_not_be_come_to_refuses_nothing_for_sure() -> None:
    fence, after, last = BOOKS["fence"]
    opened = fence.replace("do: fence.host", "when: steps.l.ok, do: fence.host")
    assert statuses(act("first"), look("l"), opened, after, last)["after"] is Status.CANNOT_TELL
    assert statuses(fence, after, last)["after"] is Status.WOULD_STOP
    promote = BOOKS["promote-unfenced"][0]
    assert statuses(promote)["p"] is Status.WOULD_STOP
    assert statuses(fence, promote)["p"] is not Status.WOULD_STOP
    assert statuses(act("first"), look("l"), opened, promote)["p"] is not Status.WOULD_STOP
