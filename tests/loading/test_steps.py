"""What steps become: paths, places, effects, fields, ways back."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import ClassVar

import pytest

from drctl.core.kind import Kind, LookKind, Outputs, Place, arg
from drctl.core.model import (
    Action,
    AnyOf,
    Decide,
    Fence,
    Manual,
    Mapped,
    Repeat,
    Runbook,
    SetNames,
    Step,
    Wait,
    WayKind,
)
from drctl.core.outcomes import Effect, OnFailure, Outcome
from drctl.core.places import PlaceKind
from drctl.core.ports import Facts, Probe
from drctl.core.scripts import Script
from drctl.core.templates import Template
from drctl.core.values import Duration
from drctl.kinds import registry
from drctl.loading import Loaded
from tests.loading.documents import codes, load, load_steps, load_text, said


def runbook(loaded: Loaded[Runbook]) -> Runbook:
    assert loaded.value is not None, said(loaded)
    return loaded.value


def steps(*written: str) -> dict[str, Step]:
    return {step.path: step for step in runbook(load_steps(*written)).steps()}


def one(written: str) -> Step:
    return next(iter(steps(written).values()))


def fields(step: Step) -> Mapping[str, object]:
    assert isinstance(step.body, Action)
    return step.body.fields


def everything() -> dict[str, Step]:
    value = load("valid/everything.yaml").value
    assert isinstance(value, Runbook)
    return {step.path: step for step in value.steps()}


def test_paths_come_from_the_document_alone() -> None:
    found = everything()
    assert {"look/both", "look/both/inner", "look/both/inner/port", "act/hold"} <= found.keys()
    hold = found["act/hold"]
    assert [step.path for step in hold.unless] == ["act/hold/unless/0", "act/hold/unless/1"]
    assert [step.path for step in hold.verify] == ["act/hold/verify/0"]
    assert hold.ways.undo is not None
    assert [step.path for step in hold.ways.undo.steps] == ["act/hold/undo/0", "act/hold/undo/1"]
    assert hold.ways.undo.steps[0].verify[0].path == "act/hold/undo/0/verify/0"


def test_a_fence_has_methods_and_a_proof_that_looks_from_the_control_node() -> None:
    proof = "[{do: tcp.check, with: {host: db1, port: 1}, expect: refused}, {any: [{run: 'off'}, {run: x, on: db2}]}]"
    fence = one(f"{{id: f, do: fence.host, on: db1, as: root, with: {{methods: [{{run: stop}}], proof: {proof}}}}}")
    assert isinstance(fence.body, Fence)
    assert fence.acts
    method = fence.body.methods[0]
    assert (method.path, method.effect) == ("only/f/methods/0", Effect.IDEMPOTENT)
    assert method.on is not None
    assert (method.on.name, method.as_user) == ("db1", Template.parse("root"))
    first, second = fence.body.proof
    assert isinstance(first, Step)
    assert isinstance(second, AnyOf)
    assert [look.path for look in second.looks] == ["only/f/proof/1/0", "only/f/proof/1/1"]
    places = [look.on.name for look in (first, *second.looks) if look.on is not None]
    assert places == ["local", "local", "db2"]


def test_on_as_and_on_failure_are_inherited() -> None:
    text = """runbook: x
phases:
  - id: p
    on: db-standby
    as: postgres
    on_failure: rollback
    steps:
      - {id: plain, run: ls, effect: read}
      - {id: own, run: ls, effect: read, on: db1, as: ops, on_failure: abort}
      - {id: here, run: ls, effect: read, on: local}
      - {id: value, do: check, expect: true}
      - id: block
        on: app1
        steps:
          - {id: deep, run: x, effect: idempotent, undo: {run: y}, verify: [{run: z}, {run: w, on: local}]}
      - {id: computed, run: ls, effect: read, on: "${{ run.mode }}"}
"""
    found = {step.id: step for step in runbook(load_text(text)).steps()}

    def place(step: Step) -> tuple[str, str | None]:
        assert step.on is not None
        return step.on.name, step.as_user.text if step.as_user is not None else None

    assert place(found["plain"]) == ("db-standby", "postgres")
    assert found["plain"].on is not None
    assert found["plain"].on.kind is PlaceKind.ROLE
    assert place(found["own"]) == ("db1", "ops")
    assert place(found["here"]) == ("local", None)
    assert found["value"].on is None
    deep = found["deep"]
    assert place(deep) == ("app1", "postgres")
    assert deep.ways.undo is not None
    assert place(deep.ways.undo.steps[0]) == ("app1", "postgres")
    assert [place(look) for look in deep.verify] == [("app1", "postgres"), ("local", None)]
    assert [found[name].on_failure for name in ("plain", "own")] == [OnFailure.ROLLBACK, OnFailure.ABORT]
    computed = found["computed"].on
    assert computed is not None
    assert computed.kind is PlaceKind.COMPUTED
    assert computed.computed is not None


def test_as_on_local_goes_to_the_ways_back_of_the_same_step() -> None:
    step = one("{id: x, run: a, as: root, effect: idempotent, undo: {run: b}}")
    assert step.ways.undo is not None
    assert step.ways.undo.steps[0].as_user == Template.parse("root")


def test_effects_are_stated_fixed_or_given_by_the_role() -> None:
    found = everything()
    assert found["act/unit"].effect is Effect.IDEMPOTENT
    assert found["look/tell"].effect is Effect.ONCE
    hold = found["act/hold"]
    assert [step.effect for step in (*hold.unless, *hold.verify)] == [Effect.READ] * 3
    assert hold.ways.undo is not None
    assert [step.effect for step in hold.ways.undo.steps] == [Effect.ONCE, Effect.IDEMPOTENT]
    assert hold.ways.restore is not None
    assert hold.ways.restore.kind is WayKind.AUTO
    assert found["look/both/inner"].acts is False


def test_texts_keep_their_written_form_and_values_their_type() -> None:
    value = load("valid/everything.yaml").value
    assert isinstance(value, Runbook)
    assert [value.vars[name] for name in ("version", "quoted")] == [Decimal("3.10"), Template.parse("3.10")]
    found = everything()
    env = fields(found["look/argv"])["env"]
    assert isinstance(env, Mapped)
    assert env.items["A"] == Template.parse("no")
    assert env.items["C"] == Decimal("3.10")
    assert str(env.items["C"]) == "3.10"
    assert fields(found["look/both/inner/port"])["port"] == 5432
    step = "{id: x, do: shell, with: {argv: %s}, effect: read}"
    words = [fields(one(step % argv)) for argv in ("[3.10, no]", "['3.10', 'no']")]
    assert words[0] == words[1]


def test_run_is_short_for_the_shell_kind() -> None:
    step = one("{id: x, run: true, effect: read, with: {cwd: /var}}")
    assert isinstance(step.body, Action)
    assert step.body.kind == "shell"
    assert step.body.fields == {"run": Script.parse("true"), "cwd": Template.parse("/var")}


def test_observe_is_three_tolerated_ends() -> None:
    step = one("{id: x, run: ls, effect: read, observe: true, tolerate: empty}")
    assert step.judgement.observe
    ends = {Outcome.FAILED, Outcome.UNREACHABLE, Outcome.TIMEOUT, Outcome.EMPTY}
    assert step.judgement.tolerate == ends
    assert one("{id: x, run: ls, effect: read, observe: false}").judgement.tolerate == frozenset()


def test_repeats_have_their_defaults() -> None:
    step = one("{id: x, run: ls, effect: read, until: {times: 3}}")
    assert step.until == Repeat(every=Duration.parse("5s"), times=3)
    found = one("{id: x, run: ls, effect: idempotent, retry: {within: 1m, every: 2s, backoff: 1.5}}").retry
    assert found == Repeat(every=Duration.parse("2s"), within=Duration.parse("1m"), backoff=Decimal("1.5"))


def test_the_kinds_of_the_language_have_bodies_of_their_own() -> None:
    found = everything()
    manual, named, choice, wait = (found[f"look/{name}"].body for name in ("person", "named", "choice", "settle"))
    assert isinstance(manual, Manual)
    assert (manual.by, manual.evidence_required, [spec.name for spec in manual.ask]) == (
        ("commander",),
        True,
        ["ticket", "when"],
    )
    assert isinstance(named, SetNames)
    assert list(named.values) == ["ticket_no", "far"]
    assert isinstance(choice, Decide)
    assert ([rule.then for rule in choice.rules], choice.otherwise, choice.has_otherwise) == ([1], 2, True)
    assert isinstance(wait, Wait)
    assert wait.length is not None


def test_without_an_inventory_a_name_is_taken_for_a_host() -> None:
    text = "runbook: x\nphases: [{id: a, steps: [{id: b, on: anything, run: ls, effect: read}]}]"
    step = next(runbook(load_text(text, alone=True)).steps())
    assert step.on is not None
    assert (step.on.kind, step.on.name) == (PlaceKind.HOST, "anything")


def test_a_refused_step_does_not_make_references_to_it_wrong() -> None:
    loaded = load_steps("{id: a, do: nothing}", "{id: b, do: check, expect: steps.a.ok}")
    assert codes(loaded) == ["E213"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch(LookKind):
    """A look without a criterion, which only the control node can take."""

    NAME: ClassVar[str] = "watch"
    PLACE: ClassVar[Place] = Place.LOCAL
    OUTPUTS: ClassVar[Mapping[str, str]] = {"level": "int"}

    name: str = arg(type="text", doc="What.")

    def look(self, probe: Probe) -> Outputs:
        raise NotImplementedError

    def describe(self, facts: Facts) -> str:
        raise NotImplementedError


KINDS: Mapping[str, type[Kind]] = {**registry(), "watch": Watch}


def test_a_look_that_nothing_judges_is_refused() -> None:
    assert codes(load_steps("{id: a, do: watch, with: {name: x}}", kinds=KINDS)) == ["E215"]
    assert codes(load_steps("{id: a, do: watch, with: {name: x}, expect: level > 3}", kinds=KINDS)) == []
    assert codes(load_steps("{id: a, do: watch, with: {name: x}, observe: true}", kinds=KINDS)) == []
    act = "{id: a, run: x, effect: once, undo: {none: y}, verify: {do: watch, with: {name: x}}}"
    assert codes(load_steps(act, kinds=KINDS)) == ["E215"]


def test_a_kind_of_the_control_node_inherits_no_host() -> None:
    text = "runbook: x\nphases: [{id: a, on: db1, steps: [{id: b, do: watch, with: {name: x}, observe: true}]}]"
    step = next(runbook(load_text(text, KINDS)).steps())
    assert step.on is not None
    assert step.on.kind is PlaceKind.LOCAL


@pytest.mark.parametrize(
    "step",
    [
        "{id: a, do: http.check, with: {url: 'ftp://x'}}",
        "{id: a, do: service, with: {name: '-x'}}",
        "{id: a, do: shell, with: {argv: [ls], env: {'a b': x}}, effect: read}",
    ],
)
def test_a_kind_judges_fields_that_are_written_out(step: str) -> None:
    assert codes(load_steps(step)) == ["E204"]


def test_problems_are_cut_off_and_that_is_said() -> None:
    loaded = load_steps(*(f"{{id: s{number}, do: nothing}}" for number in range(300)))
    assert codes(loaded).count("E213") == 200
    assert codes(loaded)[-1] == "E109"
    assert loaded.value is None


def test_warnings_alone_do_not_refuse() -> None:
    loaded = load_steps("{id: a, run: x | y, effect: idempotent}")
    assert codes(loaded) == ["W003"]
    assert loaded.value is not None


WHOLES = {
    "a branch": "{id: a, parallel: [INNER, {id: c, run: y, effect: read}]}",
    "a branch's step": "{id: a, parallel: [{id: b, steps: [INNER]}]}",
    "a round side by side": "{id: a, foreach: {n: [1, 2]}, at_once: 2, steps: [INNER]}",
    "a round that may fail": "{id: a, foreach: {n: [1, 2]}, max_failures: 1, steps: [INNER]}",
    "a member that is tried": "{id: a, foreach: {n: [1, 2]}, first_ok: true, steps: [INNER]}",
    "what is done again": "{id: a, retry: {times: 2}, steps: [INNER]}",
    "what is looked at again": "{id: a, until: {times: 2}, steps: [{id: x, run: y, effect: read, on_failure: abort}]}",
    "a rung": "{id: a, run: x, effect: idempotent, retry: {times: 2, escalate: [{after: 1s, steps: [INNER]}]}}",
    "all or none": "{id: a, on: {group: app, all_or_none: true}, undo: {run: z}, steps: [INNER]}",
}
RULE = "{id: x, run: y, effect: idempotent, on_failure: abort}"


@pytest.mark.parametrize("name", WHOLES)
def test_what_is_judged_as_a_whole_has_one_rule_for_failure(name: str) -> None:
    loaded = load_steps(WHOLES[name].replace("INNER", RULE))
    assert codes(loaded) == ["E209"]
    assert loaded.diagnostics[0].hint == "step 'a' answers once for all that fails in it: put it there"
    plain = WHOLES[name].replace("INNER", RULE).replace(", on_failure: abort", "")
    assert codes(load_steps(plain[:-1] + ", on_failure: abort}")) == []


@pytest.mark.parametrize(
    "step",
    ["{id: a, steps: [INNER]}", "{id: a, foreach: {n: [1, 2]}, steps: [INNER]}", "{id: a, on: app, steps: [INNER]}"],
)
def test_what_is_not_judged_as_a_whole_has_its_own_rules(step: str) -> None:
    assert codes(load_steps(step.replace("INNER", RULE))) == []


def test_the_same_complaint_about_one_place_is_made_once() -> None:
    act = "{id: a, run: x, effect: idempotent, verify: {run: y, undo: {run: z}}}"
    assert codes(load_steps(act)) == ["E209"]


def test_rungs_are_written_in_the_order_they_are_taken() -> None:
    step = "{id: a, run: x, effect: idempotent, retry: {within: 1h, escalate: [%s, %s]}}"
    early, late = (f"{{after: {after}, steps: [{{id: r{after}, run: y, effect: read}}]}}" for after in ("90s", "5m"))
    assert codes(load_steps(step % (early, late))) == []
    loaded = load_steps(step % (late, early))
    assert said(loaded) == ["5:132 E204 a rung after 1m30s stands below one after 5m in step 'a'"]


@pytest.mark.parametrize("kind", ["postgres.query", "postgres.exec"])
def test_no_value_stands_in_sql(kind: str) -> None:
    rest = "expect: count == 1" if kind == "postgres.query" else "effect: idempotent, verify: {run: x}"
    sql = "select 1 from t where n = ${{ run.id }}"
    step = f"{{id: a, do: {kind}, on: db1, with: {{sql: '{sql}'}}, {rest}}}"
    loaded = load_steps(step)
    column = step.index("${{") + len("      - ") + 1
    assert said(loaded) == [f"5:{column} E203 a template cannot stand in SQL in with of step 'a'"]
    assert ":'x'" in loaded.diagnostics[0].hint
    args = step.replace("sql: '", "args: {x: '${{ run.id }}'}, sql: \"")
    good = args.replace("n = ${{ run.id }}'", "n = :'x'\"")
    assert codes(load_steps(good)) == []


def test_a_host_is_no_key_of_hosts_and_the_hint_says_what_to_write() -> None:
    loaded = load_steps(
        "{id: a, do: check, expect: \"hosts[inputs.h].name == 'x'\"}", head="inputs: {h: {type: host}}\n"
    )
    assert codes(loaded) == ["E304"]
    assert "write X.address" in loaded.diagnostics[0].hint


@pytest.mark.parametrize("inner", ["undo: {run: y, on: app}", "verify: {run: y, on: app}", "unless: {run: y, on: app}"])
def test_what_stands_inside_a_step_is_on_one_host(inner: str) -> None:
    loaded = load_steps(f"{{id: a, on: db1, run: x, effect: idempotent, {inner}}}")
    assert [(one.code, one.summary.partition(" in ")[0]) for one in loaded.diagnostics] == [
        ("E209", "several hosts cannot stand")
    ]
    assert codes(load_steps(f"{{id: a, on: app, run: x, effect: idempotent, {inner.replace('app', 'app1')}}}")) == []


@pytest.mark.parametrize("place", ["on: web, ", "on: {group: web}, "])
def test_without_an_inventory_a_group_may_be_read_as_a_table(place: str) -> None:
    narrowed = place.replace("}", ", where: steps.up.here.ok}")
    text = f"""runbook: x
phases:
  - id: a
    steps:
      - {{id: up, {place}run: ls, effect: read}}
      - {{id: then, {narrowed}run: ls, effect: read, expect: steps.up.here.exit == 0}}
      - {{id: all, do: check, expect: ["all(h in steps.up.hosts, h.ok)", "steps.up.hosts['w1'].stdout == 'x'"]}}
"""
    assert said(load_text(text, alone=True)) == []
    local = text.replace(f"up, {place}", "up, ")
    assert "E310" in codes(load_text(local, alone=True))
