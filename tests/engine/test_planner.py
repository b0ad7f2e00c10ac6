"""A plan looks and never acts; it decides nothing by what an act may still change, and counts what it cannot tell."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from drctl.core.fold import RunState
from drctl.core.plan import IGNORANCE, Plan, PlannedStep, Status
from drctl.core.ports import Command, HttpReply, HttpRequest, ObjectError, PortReply, PortState, Probe, Reach, Reply
from drctl.core.values import Secret
from drctl.engine.context import Context, Identity
from drctl.engine.opening import complete, thaw_inputs
from drctl.engine.outputs import MemoryStore
from drctl.engine.planner import Options, Planner
from drctl.errors import DefectError
from drctl.kinds import registry
from drctl.loading import load_inventory, load_runbook
from tests.engine.rig import FakeFacts, Rig
from tests.engine.test_acts import book
from tests.fakes.clocks import FakeClock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from drctl.core.inventory import Inventory, SecretRef
    from drctl.core.values import Duration

ROOT = Path(__file__).resolve().parents[2]


def planned(rig: Rig, *, live: bool = True, declared: bool = True) -> Plan:
    return Planner(rig.context(), rig.world, Options(live=live, declared=declared)).plan("digest")


def row(plan: Plan, id_: str) -> PlannedStep:
    return next(row for row in plan.rows if row.path.rsplit("/", 1)[-1] == id_)


def statuses(plan: Plan, *ids: str) -> list[str]:
    return [row(plan, id_).status.value for id_ in ids]


# -- nothing acts -----------------------------------------------------------------------------------------------------


class OnlyReads:
    """A shell, HTTP, dialer and buckets that only look; anything else that is asked of them is written down."""

    def __init__(self, answer: Reply, acts: list[str]) -> None:
        self._answer, self._acts = answer, acts

    def read(self, asked: Command | HttpRequest) -> Reply | HttpReply:
        if isinstance(asked, Command):
            return self._answer
        if asked.method not in {"GET", "HEAD"}:
            self._acts.append(f"{asked.method} {asked.url}")
        body = self._answer.stdout
        return HttpReply(reach=self._answer.reach, status=200 if self._answer.exit == 0 else None, body=body)

    def connect(self, host: str, port: int, timeout: Duration) -> PortReply:  # noqa: ARG002 - the port
        return PortReply(reach=Reach.COMPLETE, state=PortState.OPEN)

    def versions(self, prefix: str) -> Iterator[object]:  # noqa: ARG002 - the port
        raise ObjectError("no network")

    def get(self, key: str, version: str | None) -> Iterator[bytes]:  # noqa: ARG002 - the port
        raise ObjectError("no network")

    def __getattr__(self, name: str) -> object:
        self._acts.append(name)
        raise DefectError(f"a plan asked for {name}")


class RecordingWorld:
    """A `Looking`; asked for anything that acts, it writes that down."""

    def __init__(self, clock: FakeClock, answer: Reply) -> None:
        self.acts: list[str] = []
        self._clock, self._port = clock, OnlyReads(answer, self.acts)
        self.facts = FakeFacts()

    def probe(self, place: str, timeout: Duration) -> Probe:  # noqa: ARG002 - the port
        port = self._port
        return Probe(
            shell=port, http=port, dialer=port, dns=port, objects=lambda _: port, files=lambda _: b"",  # type: ignore[arg-type,return-value]
            clock=self._clock, timeout=timeout, facts=self.facts,
        )  # fmt: skip

    def remarks(self, place: str) -> tuple[str, ...]:  # noqa: ARG002 - the port
        return ()

    def reach(self, place: str) -> str:  # noqa: ARG002 - the port
        return ""

    def finds(self, secret: SecretRef) -> str:  # noqa: ARG002 - the port
        return ""

    def __getattr__(self, name: str) -> object:
        self.acts.append(name)
        raise DefectError(f"a plan asked for {name}")


ANSWERS = {
    "nobody answers": Reply(reach=Reach.UNREACHABLE, because="refused"),
    "all is silent": Reply(reach=Reach.TIMEOUT, because="no end"),
    "all is well": Reply(reach=Reach.COMPLETE, exit=0, stdout=b'{"state": "on", "writable": true, "a": [1]}'),
    "all is empty": Reply(reach=Reach.COMPLETE, exit=0),
    "all fails": Reply(reach=Reach.COMPLETE, exit=1, stderr=b"no"),
}


def documents() -> Iterator[tuple[str, Path, Path]]:
    for path in sorted((ROOT / "runbooks").glob("*.yaml")):
        yield path.name, path, ROOT / "inventory.example.yaml"
    for path in sorted((ROOT / "tests/documents/valid").glob("*.yaml")):
        yield path.name, path, ROOT / "tests/documents/inventory.yaml"


def context_of(path: Path, hosts: Path, clock: FakeClock) -> Context:
    inventory = load_inventory(str(hosts), lambda name: Path(name).read_bytes()).value
    assert inventory is not None
    loaded = load_runbook(str(path), lambda name: Path(name).read_bytes(), registry(), inventory)
    assert loaded.value is not None, "\n".join(map(str, loaded.diagnostics))
    return context_for(loaded.value, inventory, clock)


def context_for(runbook: object, inventory: Inventory, clock: FakeClock) -> Context:
    from drctl.core.model import Runbook  # noqa: PLC0415
    from drctl.core.values import to_json  # noqa: PLC0415

    assert isinstance(runbook, Runbook)
    frozen = {spec.name: to_json(spec.default) for spec in runbook.inputs if spec.has_default}
    bare = Context(
        runbook=runbook, inventory=inventory, kinds=registry(), vars={}, clock=clock, state=RunState(),
        store=MemoryStore(),
        inputs=thaw_inputs(runbook, frozen, lambda ref: Secret("a secret value", ref)),
        identity=Identity(uid="", id="plan", operator="ops"),
    )  # fmt: skip
    return complete(bare)


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize(("path", "hosts"), [d[1:] for d in documents()], ids=[d[0] for d in documents()])
def test_no_plan_of_any_runbook_acts(path: Path, hosts: Path, answer: str) -> None:
    clock = FakeClock()
    world = RecordingWorld(clock, ANSWERS[answer])
    for live in (True, False):
        plan = Planner(context_of(path, hosts, clock), world, Options(live=live)).plan("digest")
        assert world.acts == []
        assert not [r.because for r in plan.rows if "defect" in r.because]
        assert all(isinstance(row.status, Status) for row in plan.rows)
        counts = dict(plan.coverage)
        assert sum(counts.get(status.value, 0) for status in Status) == counts["steps"] >= len(plan.steps)
        assert sum(counts.get(status.value, 0) for status in IGNORANCE) == counts["unknown"] >= len(plan.unknowns)


def test_a_run_on_the_same_port_would_be_noticed() -> None:
    world = RecordingWorld(FakeClock(), ANSWERS["all is well"])
    with pytest.raises(DefectError):
        world.shell("db1")  # type: ignore[operator]
    with pytest.raises(DefectError):
        world.probe("db1", Rig(book("{id: x, do: check, expect: true}")).clock.monotonic()).shell.run(None)  # type: ignore[attr-defined]
    assert world.acts == ["shell", "run"]


def test_the_plan_of_the_reference_runbook_shows_the_way_it_would_go() -> None:
    clock = FakeClock()
    world = RecordingWorld(clock, ANSWERS["nobody answers"])
    context = context_of(ROOT / "runbooks/invoice-outage.yaml", ROOT / "inventory.example.yaml", clock)
    plan = Planner(context, world, Options()).plan("digest")
    assert world.acts == []
    promote = row(plan, "promote")
    assert promote.status in {Status.DEPENDS, Status.WOULD_SKIP, Status.WOULD_RUN, Status.CANNOT_TELL}
    fence = row(plan, "fence")
    assert fence.kind == "fence.host"
    assert any("approval by commander" in need for need in promote.needs) or promote.status is Status.WOULD_SKIP
    assert {"looked", "steps"} <= set(plan.coverage)


# -- what counts ------------------------------------------------------------------------------------------------------

LOOK = "{id: look, on: db1, run: look-there, effect: read, capture: {n: int(stdout)}}"
ACT = "{id: act, on: db1, run: do-it, effect: idempotent}"


def test_looks_before_the_first_act_decide_conditions_and_looks_after_it_do_not() -> None:
    later = LOOK.replace("id: look", "id: later")
    steps = (
        "{id: yes, on: db2, when: steps.NAME.n > 1, run: x, effect: idempotent}",
        "{id: no, on: db2, when: steps.NAME.n > 9, run: x, effect: idempotent}",
    )
    before = Rig(book(LOOK, *(s.replace("NAME", "look") for s in steps)))
    after = Rig(book(ACT, later, *(s.replace("NAME", "later") for s in steps)))
    for rig in (before, after):
        rig.host("db1").on("look-there", "5")
    plan = planned(before)
    assert statuses(plan, "look", "yes", "no") == ["looked", "cannot tell", "would skip"]
    plan = planned(after)
    assert statuses(plan, "act", "later", "yes", "no") == ["cannot tell", "now", "depends", "depends"]
    assert row(plan, "later").because == "now: ok"
    for id_ in ("yes", "no"):
        assert row(plan, id_).status is not Status.WOULD_SKIP
        assert any(
            "cannot tell" in text or "not yet" in text for text in (row(plan, id_).because, *row(plan, id_).unknown)
        )
    assert before.world.shells == after.world.shells == 0


def test_a_look_in_a_branch_that_is_not_decided_decides_nothing() -> None:
    rig = Rig(book(
        "{id: ask, do: manual, with: {say: Say, ask: {n: {type: int}}}}",
        "{id: perhaps, when: steps.ask.n > 1, steps: [" + LOOK + "]}",
        "{id: then, on: db2, when: steps.look.n > 1, run: x, effect: idempotent}",
    ))  # fmt: skip
    rig.host("db1").on("look-there", "5")
    plan = planned(rig)
    assert statuses(plan, "ask", "perhaps", "look") == ["would wait", "depends", "now"]
    assert row(plan, "then").needs == ("when steps.look.n > 1",)
    assert row(plan, "then").because.startswith("cannot tell yet")


def test_a_message_and_an_act_that_touches_nothing_are_no_first_act() -> None:
    for first in (
        "{id: first, do: notify, with: {to: [oncall], text: hello}}",
        "{id: first, on: local, run: build, effect: idempotent, touches: nothing}",
    ):
        rig = Rig(book(first, LOOK))
        rig.host("db1").on("look-there", "5")
        assert statuses(planned(rig), "look") == ["looked"], first
        assert rig.world.notifier.messages == []


def test_values_that_are_not_known_yet_are_shown_where_they_stand() -> None:
    rig = Rig(book(
        "{id: ask, do: manual, with: {say: Say, ask: {n: {type: int}}}}",
        "{id: act, on: db1, run: 'set-limit ${{ steps.ask.n }}', effect: idempotent}",
    ))  # fmt: skip
    act = row(planned(rig), "act")
    assert act.status is Status.DEPENDS
    assert "set-limit <steps.ask.n: not yet>" in act.text


def test_a_plan_makes_up_no_run_and_shows_no_digest_of_one() -> None:
    """A plan is of no run: a text with the id of one would be another text, with another SHA-256."""
    rig = Rig(book(
        '{id: put, on: db1, do: file.put, with: {path: /etc/run, text: "${{ run.id }} by ${{ run.operator }}"}}',
        "{id: ask, do: http.request, effect: idempotent, with: {url: 'http://x/', method: POST, body: '${{ run.id }}'},"
        " verify: {run: is-done}, undo: {none: a test}}",
    ))  # fmt: skip
    context = replace(rig.context(), identity=Identity(uid="", id="plan", operator="ops"))
    plan = Planner(context, rig.world, Options(live=True, declared=True)).plan("digest")
    put, ask = row(plan, "put"), row(plan, "ask")
    assert [put.status, ask.status] == [Status.DEPENDS, Status.DEPENDS]
    assert "<run.id: not yet> by <run.operator: not yet>" in put.text
    assert "sha256" not in f"{put.text} {put.because}".lower().replace("-", "")
    assert "<run.id: not yet>" in ask.text
    assert "idempotency-key: (the key of this step in this run)" in ask.text


def test_until_looks_once() -> None:
    rig = Rig(book("{id: up, on: db1, run: is-up, effect: read, until: {every: 1s, within: 1h}}"))
    rig.host("db1").on("is-up", 1)
    plan = planned(rig)
    assert statuses(plan, "up") == ["would wait"]
    assert rig.host("db1").looks == ["is-up"]


def test_a_look_that_fails_would_stop_unless_it_only_observes() -> None:
    rig = Rig(book(LOOK, LOOK.replace("id: look", "id: seen").replace("capture", "observe: true, capture")))
    rig.host("db1").on("look-there", 3)
    assert statuses(planned(rig), "look", "seen") == ["would stop", "looked"]


def test_checks_and_decisions_are_worked_out_as_far_as_it_goes() -> None:
    rig = Rig(book(
        LOOK,
        "{id: good, do: check, expect: steps.look.n == 5}",
        "{id: bad, do: check, expect: steps.look.n == 6}",
        "{id: seen, do: check, expect: steps.look.n == 6, observe: true}",
        "{id: kind, do: decide, with: {rules: [{if: steps.look.n == 5, then: five}], otherwise: other}}",
        "{id: then, on: db2, when: steps.kind.value == 'other', run: x, effect: idempotent}",
        "{id: after, on: db2, when: steps.seen.failed, do: service, with: {name: cron, state: started}}",
    ))  # fmt: skip
    rig.host("db1").on("look-there", "5")
    plan = planned(rig)
    assert statuses(plan, "good", "bad", "seen", "kind", "then") == [
        "known", "would stop", "known", "known", "would skip",
    ]  # fmt: skip
    assert row(plan, "kind").because.startswith("five")
    assert row(plan, "after").status is not Status.WOULD_SKIP


def test_without_live_reads_nothing_is_looked_at() -> None:
    rig = Rig(book(LOOK, ACT, "{id: web, do: http.check, with: {url: 'http://x.example'}}"))
    plan = planned(rig, live=False)
    assert statuses(plan, "look", "act", "web") == ["not looked", "cannot tell", "not looked"]
    assert rig.host("db1").looks == []


def test_declared_looks_are_counted_apart_and_can_be_left_out() -> None:
    rig = Rig(book(LOOK, "{id: port, do: tcp.check, with: {host: db1, port: 22}}"))
    rig.host("db1").on("look-there", "5")
    assert planned(rig).coverage["declared"] == 1
    assert statuses(planned(rig, declared=False), "look", "port") == ["not looked", "looked"]


def test_people_second_looks_and_ways_back_stand_in_the_row() -> None:
    rig = Rig(book(
        LOOK,
        "{id: act, on: db1, as: postgres, run: do-it, effect: once, verify: {run: is-done}, unless: {run: is-done}, "
        "recheck: [look], "
        "approve: {by: [commander], quorum: 2}, caution: Careful., point_of_no_return: true, undo: {none: no way}}",
    ))  # fmt: skip
    act = row(planned(rig), "act")
    assert act.needs == (
        "runs unless a look finds it done", "approval by 2 of commander", "caution: Careful.",
        "looks again at look right before",
    )  # fmt: skip
    assert "no way back from here" in act.back
    assert act.text.startswith("as postgres: ")


def test_a_phase_and_everything_in_it_that_would_be_skipped_is_shown() -> None:
    rig = Rig("""
runbook: x
phases:
  - id: never
    when: 1 > 2
    steps:
      - {id: block, steps: [{id: inner, on: db1, run: x, effect: idempotent}]}
  - id: then
    steps:
      - {id: ok, do: check, expect: "steps.inner.outcome == 'skipped'"}
""")
    plan = planned(rig)
    assert statuses(plan, "never", "block", "inner", "ok") == ["would skip", "would skip", "would skip", "known"]


def test_constants_may_use_one_another_in_any_order_and_at_any_depth(tmp_path: Path) -> None:
    down = [f'  v{n}: "${{{{ vars.v{n + 1} }}}}"' for n in range(60)]
    up = [f'  w{n}: "${{{{ vars.w{n - 1} }}}}"' for n in range(1, 60)]
    lines = ["vars:", *down, "  v60: down", "  w0: up", *up]
    path = tmp_path / "book.yaml"
    tail = "phases: [{id: p, steps: [{id: s, do: check, expect: true}]}]"
    path.write_text("\n".join(["runbook: x", *lines, tail]), encoding="utf-8")
    found = context_of(path, ROOT / "tests/documents/inventory.yaml", FakeClock()).vars
    assert {found["v0"], found["w59"]} == {"down", "up"}


# -- what a row waits for, and its risks ------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize(("path", "hosts"), [d[1:] for d in documents()], ids=[d[0] for d in documents()])
def test_whatever_depends_says_on_what(path: Path, hosts: Path, answer: str) -> None:
    clock = FakeClock()
    context = context_of(path, hosts, clock)
    plan = Planner(context, RecordingWorld(clock, ANSWERS[answer]), Options()).plan("digest")
    for one in plan.rows:
        assert one.status is not Status.DEPENDS or one.depends, one
        for name in one.depends:
            assert name in context.outline.steps or name.startswith(("marks.", "inputs.", "vars.", "run."))


def test_a_row_names_its_own_needs_first_and_then_those_of_what_is_around_it() -> None:
    rig = Rig(book(
        "{id: ask, do: manual, with: {say: Say, ask: {n: {type: int}}}}",
        "{id: other, do: manual, with: {say: Say, ask: {n: {type: int}}}}",
        "{id: block, when: steps.ask.n > 1, steps: [{id: inner, on: db1, run: 'x ${{ steps.other.n }}', "
        "effect: idempotent}]}",
    ))  # fmt: skip
    plan = planned(rig)
    assert row(plan, "block").depends == (row(plan, "ask").path,)
    assert row(plan, "inner").depends == (row(plan, "other").path, row(plan, "ask").path)


def test_a_plan_does_not_say_of_a_coming_step_that_it_was_not_started() -> None:
    rig = Rig(book(ACT, "{id: then, do: check, expect: not steps.act.started}"))
    assert statuses(planned(rig), "then") == ["depends"]


def test_no_change_is_not_said_of_what_an_earlier_act_may_change() -> None:
    service = "{{id: {}, on: db1, do: service, with: {{name: cron, state: started}}}}"
    for before, status in (((), "no change"), ((ACT,), "cannot tell")):
        rig = Rig(book(*before, service.format("cron")))
        rig.host("db1").on("systemctl", "ActiveState=active\nUnitFileState=enabled\nLoadState=loaded\n")
        seen = row(planned(rig), "cron")
        assert seen.status.value in {status, "cannot tell"}, seen
        assert before == () or seen.status is Status.CANNOT_TELL


def test_the_risks_of_a_step_stand_in_its_row() -> None:
    rig = Rig(book(
        "{id: act, on: db1, run: do-it, effect: once, verify: {run: is-done}, point_of_no_return: true, "
        "approve: {by: [commander], quorum: 2}, undo: {none: no way}}",
        "{id: back, on: db1, run: do-it, effect: idempotent, undo: {run: take-back}}",
        "{id: asked, on: db1, run: do-it, effect: idempotent}",
    ))  # fmt: skip
    plan = planned(rig)
    act = row(plan, "act")
    assert (act.no_return, act.no_undo, act.approvals) == (True, "no way", ("2 of commander",))
    assert row(plan, "back").no_undo == ""
    assert row(plan, "asked").no_undo == "only its author knows what takes a script back"


def test_a_wait_of_known_length_takes_that_long() -> None:
    plan = planned(Rig(book("{id: pause, do: wait, with: {for: 90s}}")))
    assert str(row(plan, "pause").takes) == "90s"
