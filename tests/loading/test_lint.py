"""Warnings that need the whole flow or the scenario: each rule once where it speaks and once where it does not."""

from dataclasses import replace
from pathlib import Path

import pytest

from drctl.core.inventory import Environment, SecretRef
from drctl.core.kind import Kind
from drctl.core.model import Runbook
from drctl.kinds import registry
from drctl.loading import load_inventory, load_runbook
from drctl.loading.codes import Problems
from drctl.loading.lint_flow import warn_of_flow
from drctl.loading.lint_scenario import is_name, warn_of_scenario
from tests.loading.documents import codes, inventory, load_steps

ROOT = Path(__file__).resolve().parent.parent.parent
FENCE = (
    "{id: fence, do: fence.host, on: db1, with: {methods: [{run: off, on: local}], "
    "proof: [{do: tcp.check, on: local, with: {host: db1, port: 5432}, expect: refused}]}}"
)
PROMOTE = "{id: promote, do: postgres.promote, on: db2, point_of_no_return: true}"
GOALS = "objectives: {rto: 5m}\n"


def book(*steps: str, head: str = "") -> Runbook:
    loaded = load_steps(*steps, head=head)
    assert loaded.value is not None, loaded.diagnostics
    return loaded.value


def lost(words: tuple[str, ...], *steps: str, head: str = "", kinds: dict[str, type[Kind]] | None = None) -> list[str]:
    problems = Problems()
    known = registry() if kinds is None else kinds
    warn_of_scenario(replace(book(*steps, head=head), scenario=words), known, inventory(), problems)
    assert {one.code for one in problems.warnings} <= {"W007"}
    return [one.summary for one in problems.sorted()]


@pytest.mark.parametrize(
    ("steps", "warned"),
    [
        ((PROMOTE,), True),
        ((PROMOTE, FENCE), True),
        ((FENCE, PROMOTE), False),
        ((f"{{id: block, steps: [{FENCE}]}}", f"{{id: then, steps: [{PROMOTE}]}}"), False),
        ((f"{{id: both, parallel: [{FENCE}, {PROMOTE}]}}",), True),
    ],
)
def test_promoting_without_a_fence_before(steps: tuple[str, ...], warned: bool) -> None:  # noqa: FBT001 - a table
    assert codes(load_steps(*steps)) == (["W010"] if warned else [])


@pytest.mark.parametrize(
    ("steps", "warned"),
    [
        (("{id: act, run: x, on: db1, effect: idempotent}",), True),
        (("{id: look, run: y, on: db1, effect: read}", "{id: act, run: x, on: db1, effect: idempotent}"), True),
        (("{id: act, run: x, on: db1, effect: idempotent}", "{id: look, run: y, on: db2, effect: read}"), True),
        (("{id: act, run: x, on: db1, effect: idempotent}", "{id: look, run: y, on: db1, effect: read}"), False),
        (("{id: act, run: x, on: db1, effect: idempotent, verify: {run: y}}",), False),
        (("{id: act, run: x, on: db1, effect: idempotent, expect: stdout == 'done'}",), False),
        (("{id: act, do: service, on: db1, with: {name: app}}",), False),
        (("{id: act, run: x, effect: idempotent, touches: nothing}",), False),
        (
            ("{id: act, run: x, on: db1, effect: idempotent}", '{id: up, do: http.check, with: {url: "http://u"}}'),
            False,
        ),
        (
            ("{id: act, run: x, on: db1, effect: idempotent}", "{id: ask, do: manual, with: {say: Does it work.}}"),
            False,
        ),
    ],
)
def test_a_change_that_nothing_looks_at(steps: tuple[str, ...], warned: bool) -> None:  # noqa: FBT001 - a table
    assert codes(load_steps(*steps, head=GOALS)) == (["W008"] if warned else [])
    assert codes(load_steps(*steps)) == [], "a runbook that promises nothing is not judged"


@pytest.mark.parametrize(("by", "quorum", "warned"), [("commander", 1, 0), ("commander", 2, 1), ("drill", 1, 1)])
def test_an_approval_that_only_simulated_people_could_give(by: str, quorum: int, warned: int) -> None:
    act = f"{{id: act, run: x, effect: idempotent, approve: {{by: [commander], quorum: {quorum}}}}}"
    value = book(act)
    step = value.phases[0].steps[0]
    assert step.guards.approve is not None
    guards = replace(step.guards, approve=replace(step.guards.approve, by=(by,)))
    changed = replace(value, phases=(replace(value.phases[0], steps=(replace(step, guards=guards),)),))
    for environment, expected in ((Environment.PRODUCTION, warned), (Environment.LAB, 0)):
        hosts = replace(inventory(), environment=environment, roles={"commander": ("li", "wang"), "drill": ("wang",)})
        problems = Problems()
        warn_of_flow(changed, registry(), hosts, problems)
        assert [one.code for one in problems.sorted()] == ["W009"] * expected


LOOK = "{id: look, run: x, on: HOST, effect: read}"


@pytest.mark.parametrize(
    ("words", "step", "said"),
    [
        (("a",), LOOK.replace("HOST", "db1"), "host db1 of site a"),
        (("a",), LOOK.replace("HOST", "db-primary"), "host db1 of site a"),
        (("a",), LOOK.replace("HOST", "db2"), ""),
        (("a",), LOOK.replace("HOST", "db1").replace("}", ", observe: true}"), ""),
        (("a",), FENCE, ""),
        (("a",), "{id: act, run: x, on: db2, effect: once, verify: {run: y, on: db1}, undo: {none: no}}", "site a"),
        (("dns",), LOOK.replace("HOST", "app2"), "dns for the address app2.example of host app2"),
        (("dns",), LOOK.replace("HOST", "db2"), ""),
        (("dns",), '{id: w, do: http.check, with: {url: "https://app.example/x"}}', "dns for app.example"),
        (("dns",), '{id: w, do: http.check, with: {url: "https://192.0.2.1/x"}}', ""),
        (("dns",), '{id: w, do: http.check, with: {url: "http://localhost:8080/x"}}', ""),
        (("dns",), '{id: w, do: http.check, with: {url: "http://[2001:db8::1]:8080/x"}}', ""),
        (("dns",), '{id: w, do: http.check, with: {url: "${{ vars.app }}/x"}}', "dns for v.example"),
        (
            ("dns",),
            "{id: w, do: http.check, with: {url: \"${{ hosts['db1'].facts.power }}\"}}",
            "dns for power.example",
        ),
        (("dns",), '{id: w, do: http.check, with: {url: "http://${{ run.id }}/x"}}', ""),
        (("dns",), "{id: w, do: tcp.check, with: {host: mail.example, port: 25}}", "dns for mail.example"),
        (("dns",), "{id: w, do: tcp.check, with: {host: db1, port: 25}}", ""),
        (("dns",), "{id: b, do: backup.list, with: {bucket: archive, name: 'x-*'}}", "dns for the endpoint"),
        (("dns",), "{id: b, do: backup.list, with: {bucket: backups, name: 'x-*'}}", ""),
        (("dns",), "{id: n, do: notify, with: {to: [mail], text: x}}", "dns for mail.example of channel mail"),
        (("dns",), "{id: n, do: notify, with: {to: [pager], text: x}}", ""),
        (("git",), "{id: g, run: 'cd x && git pull', effect: idempotent}", "git (its script does)"),
        (("git",), "{id: g, run: 'echo git pull', effect: read}", ""),
        (("cloud-control",), "{id: g, run: 'aws ec2 describe-instances', effect: read}", "cloud-control"),
    ],
)
def test_what_the_scenario_takes_away(words: tuple[str, ...], step: str, said: str) -> None:
    found = lost(words, step, head='vars: {app: "https://v.example"}\n')
    assert len(found) == bool(said), found
    assert all(said in text for text in found)
    assert lost((), step) == [] if "vars.app" not in step else True


def test_a_jump_host_in_a_lost_site() -> None:
    hosts = inventory().hosts
    moved = replace(inventory(), hosts={**hosts, "jump": replace(hosts["jump"], site="b")})
    problems = Problems()
    warn_of_scenario(replace(book(LOOK.replace("HOST", "app1")), scenario=("b",)), registry(), moved, problems)
    assert ["host app1 through jump of site b" in one.summary for one in problems.sorted()] == [True]


def test_what_a_kind_requires() -> None:
    kind = type("Needy", (registry()["tcp.check"],), {"REQUIRES": frozenset({"sso"})})
    step = "{id: w, do: tcp.check, with: {host: db1, port: 25}}"
    assert lost(("sso",), step, kinds={**registry(), "tcp.check": kind}) == [
        "step w needs sso (tcp.check does), and the scenario takes that away"
    ]
    assert lost(("sso",), step) == []


@pytest.mark.parametrize("word", ["secrets", "cloud-control"])
def test_secrets_that_the_cloud_keeps(word: str) -> None:
    head = "inputs: {token: {type: secret, from: 'ssm:/dr/token'}, other: {type: secret, from: 'env:TOKEN'}}\n"
    assert lost((word,), "{id: c, do: check, expect: true}", head=head) == [
        "input token is a secret that ssm keeps, and the scenario takes that away"
    ]
    ref = SecretRef(source="secretsmanager", target=("dr/db#password",))
    base = inventory()
    hosts = replace(base, databases={"invoices": replace(base.databases["invoices"], password=ref)})
    problems = Problems()
    query = "{id: q, do: postgres.query, on: db2, with: {sql: select 1}, expect: count == 1}"
    warn_of_scenario(replace(book(query), scenario=(word,)), registry(), hosts, problems)
    assert ["secretsmanager:dr/db#password" in one.summary for one in problems.sorted()] == [True]


@pytest.mark.parametrize(
    ("host", "name"),
    [("app.example", True), ("db", True), ("10.0.0.1", False), ("::1", False), ("localhost", False), ("", False)],
)
def test_a_name_must_be_looked_up(host: str, name: bool) -> None:  # noqa: FBT001 - a table
    assert is_name(host) is name


def test_the_bundled_runbook_has_no_warning() -> None:
    hosts = load_inventory("inventory.example.yaml", lambda path: (ROOT / path).read_bytes()).value
    loaded = load_runbook("runbooks/invoice-outage.yaml", lambda path: (ROOT / path).read_bytes(), registry(), hosts)
    assert codes(loaded) == []
