"""References at their places: what is seen where, and with which type."""

import pytest

from tests.loading.documents import codes, load_steps, load_text, said


def judged(expect: str, *before: str, head: str = "") -> list[str]:
    """What is said of an expectation after some steps."""
    return [
        line.split(" ", 1)[1]
        for line in said(load_steps(*before, f'{{id: last, do: check, expect: "{expect}"}}', head=head))
    ]


LOOK = "{id: look, run: ls, effect: read, capture: {n: int(stdout)}}"


@pytest.mark.parametrize(
    "expect",
    [
        "steps.look.ok and steps.look.outcome == 'ok' and steps.look.elapsed < 3s",
        "steps.look.n > 3",
        "steps.look.json.a[0].b == 3",
        "steps['look'].exit == 0",
        "hosts['db1'].facts.rack == 4 and hosts['db-standby'].site == 'b'",
        "len(group('app')) > 0 and any(h in group('app'), h.site == 'a')",
        "run.drill or run.rto_left > 0s",
        "marks.promoted > marks.fenced",
        "default(steps.look.n, 3) < 4",
    ],
)
def test_names_that_are_there(expect: str) -> None:
    assert judged(expect, LOOK) == []


@pytest.mark.parametrize(
    ("expect", "code"),
    [
        ("steps.look.m > 3", "E302"),
        ("steps.look.n == 'a'", "E304"),
        ("steps.look.hosts['a'].ok", "E310"),
        ("steps.last.ok", "E303"),
        ("steps.look", "E302"),
        ("inputs.x == 1", "E302"),
        ("vars.x == 1", "E302"),
        ("objectives.rpo > 1s", "E302"),
        ("marks.nope < now()", "E302"),
        ("hosts['db9'].site == 'a'", "E308"),
        ("any(h in group('nope'), true)", "E308"),
        ("n > 3", "E302"),
        ("stdout == ''", "E302"),
        ("steps.look.n", "E304"),
    ],
)
def test_names_that_are_not(expect: str, code: str) -> None:
    assert [line.split()[0] for line in judged(expect, LOOK)] == [code]


def test_the_message_of_the_specification() -> None:
    loaded = load_steps("{id: a, run: ls, effect: read, expect: stdout == 0}")
    assert [(one.summary, one.hint) for one in loaded.diagnostics] == [
        ("stdout is text, and 0 is int", "write int(stdout)")
    ]


def test_a_reference_is_shown_at_its_character_in_scripts_too() -> None:
    loaded = load_text(
        "runbook: x\nphases:\n  - id: a\n    steps:\n      - id: b\n        effect: read\n        run: |\n"
        "          echo 数据 a\n          echo ${{ run.mod }}\n"
    )
    assert said(loaded) == ["9:20 E302 run has no field mod"]
    assert loaded.diagnostics[0].hint == "did you mean 'mode'?"


def test_branches_do_not_see_each_other_and_are_seen_after_the_block() -> None:
    block = "{id: p, parallel: [{id: l, steps: [{id: l1, do: check, expect: true}]}, {id: r, do: check, expect: %s}]}"
    assert codes(load_steps(block % "steps.l1.ok")) == ["E303"]
    assert codes(load_steps(block % "true", "{id: after, do: check, expect: steps.l1.ok and steps.p.ok}")) == []


def test_two_branches_may_not_act_on_one_host() -> None:
    act = "run: x, effect: idempotent"
    block = "{id: p, parallel: [{id: l, on: %s, steps: [{id: l1, %s}]}, {id: r, %s, on: %s}]}"
    assert codes(load_steps(block % ("db1", act, act, "db-primary"))) == ["E216"]
    assert codes(load_steps(block % ("db1", act, act, "db2"))) == []
    assert codes(load_steps(block % ("local", act, act, "local"))) == []
    assert codes(load_steps(block % ("db1", "run: x, effect: read", act, "db1"))) == []


def test_what_a_sensitive_step_said_is_a_secret_to_others() -> None:
    step = "{id: s, run: x, effect: read, sensitive: true, capture: {t: stdout}, expect: t != ''}"
    assert codes(load_steps(step)) == []
    assert judged("steps.s.t == 'x'", step) == ["E305 steps.s.t is a secret and takes part in no condition"]
    assert judged("steps.s.ok", step) == []
    assert codes(load_steps(step, '{id: u, run: y, effect: read, with: {stdin: "${{ steps.s.t }}"}}')) == []
    assert codes(load_steps(step, '{id: u, run: "y ${{ steps.s.t }}", effect: read}')) == ["E305"]


def test_steps_of_a_block_see_each_other_in_order() -> None:
    block = "{id: b, steps: [{id: one, do: check, expect: %s}, {id: two, do: check, expect: %s}]}"
    assert codes(load_steps(block % ("true", "steps.one.ok"))) == []
    assert codes(load_steps(block % ("steps.two.ok", "true"))) == ["E303"]
    assert codes(load_steps(block % ("true", "steps.b.ok"))) == ["E303"]


def test_ways_back_see_their_own_step_and_expect_does_by_bare_names() -> None:
    act = "{id: a, run: x, effect: once, capture: {c: stdout}, expect: c == 'x', "
    act += 'verify: {run: "test ${{ steps.a.stdout }}"}, '
    assert codes(load_steps(act + 'undo: {run: "y ${{ steps.a.c }}", when: steps.a.started}}')) == []
    assert codes(load_steps(act + 'undo: {run: "y ${{ steps.a.d }}"}}')) == ["E302"]
    assert codes(load_steps(act + "undo: {run: y, expect: steps.b.ok}}", "{id: b, do: check, expect: true}")) == [
        "E303"
    ]


def test_reply_is_known_where_a_look_is_judged() -> None:
    look = "{id: a, do: tcp.check, with: {host: x, port: 1}, expect: reply == 'timeout'}"
    assert codes(load_steps(look)) == []
    assert codes(load_steps("{id: a, do: check, expect: reply == 'timeout'}")) == ["E302"]


def test_host_is_the_host_of_the_step() -> None:
    assert codes(load_steps("{id: a, run: 'echo ${{ host.address }}', effect: read, on: db1}")) == []
    assert codes(load_steps("{id: a, run: 'echo ${{ host.address }}', effect: read}")) == ["E302"]
    assert codes(load_steps("{id: a, run: ls, effect: read, on: db1, when: host.site == 'a'}")) == ["E302"]


def test_a_decision_has_the_type_of_its_choices() -> None:
    decide = "{id: d, do: decide, with: {rules: [{if: true, then: %s}], otherwise: %s}}"
    assert judged("steps.d.value == 3", decide % ("a", "b")) == ["E304 steps.d.value is text, and 3 is int"]
    assert judged("steps.d.value == 3", decide % ("a", 2)) == []


def test_a_variable_waits_for_all_it_needs() -> None:
    head = 'vars: {d: "${{ vars.b + vars.c }}", b: "${{ vars.a }}", c: "${{ vars.b }}", a: "${{ 3s }}"}\n'
    assert judged("vars.d > 1s", head=head) == []
    assert judged("vars.d > 1", head=head) == ["E304 vars.d is duration, and 1 is int"]


def test_variables_are_computed_in_any_order_with_their_types() -> None:
    head = "inputs: {d: {type: duration, default: 3s}}\n"
    head += 'vars: {a: "${{ vars.b }}", b: "${{ inputs.d * 2 }}", m: {x: [1]}}\n'
    assert judged("vars.a > 1s and vars.m.x[0] == 1", head=head) == []
    assert judged("vars.a > 1", head=head) == ["E304 vars.a is duration, and 1 is int"]


@pytest.mark.parametrize(
    ("reader", "warned"),
    [
        ("{id: r, do: check, expect: steps.m.exit == 0}", True),
        ("{id: r, do: check, expect: steps.m.ok or steps.m.failed}", False),
        ("{id: r, do: check, expect: known(steps.m.exit)}", False),
        ("{id: r, do: check, when: run.drill, expect: steps.m.exit == 0}", False),
        ("{id: r, do: check, when: steps.m.outcome == 'ok', expect: steps.m.exit == 0}", False),
        ("{id: r, do: set, with: {x: '${{ steps.m.stdout }}'}}", True),
        ("{id: r, do: decide, with: {rules: [{if: steps.m.exit == 0, then: 1}]}}", True),
        ("{id: r, steps: [{id: s, do: check, expect: steps.m.exit == 0}], when: run.drill}", False),
    ],
)
def test_a_value_of_a_step_that_may_be_skipped(reader: str, warned: bool) -> None:  # noqa: FBT001 - what is expected
    assert codes(load_steps("{id: m, run: ls, effect: read, when: run.drill}", reader)) == (["W005"] if warned else [])


@pytest.mark.parametrize(
    ("script", "warned"),
    [
        ("a | b", True),
        ("a || b", False),
        ("echo 'a | b'", False),
        ('echo "a|b"', False),
        ("a |\nb", True),
        ("a # | b", False),
    ],
)
def test_a_pipe_in_an_act(script: str, warned: bool) -> None:  # noqa: FBT001 - what is expected
    text = "\n".join(f"          {line}" for line in script.split("\n"))
    step = f"      - id: b\n        effect: idempotent\n        run: |\n{text}\n"
    assert codes(load_text(f"runbook: x\nphases:\n  - id: a\n    steps:\n{step}")) == (["W003"] if warned else [])


def test_a_constant_is_no_clock() -> None:
    loaded = load_steps("{id: a, do: check, expect: vars.t < now()}", head='vars: {t: "${{ now() }}"}\n')
    assert said(loaded) == ["2:15 E302 the variable t would be another time after each resume"]
