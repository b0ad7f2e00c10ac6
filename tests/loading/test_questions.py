"""The questions with answers of the language specification (section 15) that loading answers, by their numbers."""

import pytest

from drctl.core.diagnostics import Severity
from drctl.core.outcomes import Outcome
from tests.loading.documents import load_steps, said

ACT = "run: x, effect: idempotent"
LOOK = "run: x, effect: read"


def found(*steps: str, head: str = "") -> list[str]:
    """Codes of what is said, in order."""
    return [one.code for one in load_steps(*steps, head=head).diagnostics]


def test_01_a_capture_of_a_skipped_step_has_a_name_and_the_reader_is_warned() -> None:
    skipped = f"{{id: a, when: run.drill, {LOOK}, capture: {{n: stdout}}}}"
    loaded = load_steps(skipped, "{id: b, do: check, expect: \"steps.a.n == 'x'\"}")
    assert [(one.code, one.severity) for one in loaded.diagnostics] == [("W005", Severity.WARNING)]
    assert found(skipped, "{id: b, do: check, when: run.drill, expect: \"steps.a.n == 'x'\"}") == []


@pytest.mark.parametrize("step", [f"{{id: a, {LOOK}, KEYS}}", f"{{id: a, KEYS, steps: [{{id: b, {ACT}}}]}}"])
def test_04_until_and_retry_exclude_each_other(step: str) -> None:
    assert "E210" in found(step.replace("KEYS", "until: {times: 3}, retry: {times: 3}"))


def test_04_to_wait_after_an_act_verify_carries_the_until() -> None:
    assert found(f"{{id: a, {ACT}, retry: {{times: 3}}, verify: {{run: y, until: {{within: 1m}}}}}}") == []


def test_07_the_undo_of_a_batch_reads_what_its_own_host_did() -> None:
    undo = "undo: {run: 'y ${{ steps.a.here.stdout }}', when: steps.a.here.started}"
    assert found(f"{{id: a, on: {{group: app, batch: 1}}, {ACT}, {undo}}}") == []
    assert found(f"{{id: a, on: {{group: app, batch: 1}}, {ACT}, undo: {{run: 'y ${{{{ steps.a.stdout }}}}'}}}}") == [
        "E310"
    ]


def test_11_an_include_may_have_a_limit_for_all_of_it() -> None:
    assert found("{id: a, include: x.yaml, timeout: 5m}") == ["E311"]  # the limit is taken; the file includes itself


def test_12_a_timeout_may_be_tolerated_and_doubt_may_not() -> None:
    assert found(f"{{id: a, {ACT}, tolerate: [timeout]}}") == []
    assert found(f"{{id: a, {ACT}, tolerate: [in_doubt]}}") == ["E204"]


def test_13_observe_on_an_act_is_refused() -> None:
    loaded = load_steps(f"{{id: a, {ACT}, observe: true}}")
    assert [(one.code, one.hint) for one in loaded.diagnostics] == [("E209", "this is an act: say `tolerate`")]


def test_13_observe_on_a_look_tolerates_three_ends() -> None:
    loaded = load_steps(f"{{id: a, {LOOK}, observe: true}}")
    assert loaded.value is not None
    step = next(loaded.value.steps())
    assert step.judgement.tolerate == {Outcome.FAILED, Outcome.UNREACHABLE, Outcome.TIMEOUT}


def test_15_recheck_names_plain_looks_outside_of_loops() -> None:
    act = f"{{id: z, {ACT}, recheck: [l]}}"
    assert found(f"{{id: l, {LOOK}}}", act) == []
    assert found(f"{{id: l, foreach: {{a: [1]}}, {LOOK}}}", act) == ["E309"]
    assert found(f"{{id: l, {ACT}}}", act) == ["E309"]


def test_17_a_later_act_on_a_group_with_failed_hosts_is_warned_of() -> None:
    rolled = f"{{id: a, on: {{group: app, batch: 1, max_failures: 1}}, {ACT}}}"
    loaded = load_steps(rolled, f"{{id: b, on: {{group: app}}, {ACT}}}")
    assert [(one.code, one.hint) for one in loaded.diagnostics] == [("W006", 'write where: "steps.a.here.ok"')]
    assert found(rolled, f"{{id: b, on: {{group: app, where: steps.a.here.ok}}, {ACT}}}") == []


@pytest.mark.parametrize(
    ("reader", "code"),
    [
        (f"{{id: b, on: app, {LOOK}, expect: steps.a.here.ok}}", []),
        (f"{{id: b, on: app1, {LOOK}, expect: steps.a.here.ok}}", []),
        (f'{{id: b, on: "${{{{ inputs.h }}}}", {LOOK}, expect: steps.a.here.ok}}', []),
        (f"{{id: b, on: local, {LOOK}, expect: steps.a.here.ok}}", ["E310"]),
        (f"{{id: b, on: db1, {LOOK}, expect: steps.a.here.ok}}", ["E310"]),
        (f"{{id: b, on: {{group: database}}, {LOOK}, expect: steps.a.here.ok}}", ["E310"]),
        (f"{{id: b, on: app, when: steps.a.here.ok, {LOOK}}}", ["E310"]),
        ("{id: b, do: check, expect: steps.a.here.ok}", ["E310"]),
    ],
)
def test_18_here_needs_a_host_that_both_can_be_on(reader: str, code: list[str]) -> None:
    first = f"{{id: a, on: app, when: known(inputs.h), {LOOK}}}"
    assert found(first, reader, head="inputs: {h: {type: host}}\n") == code


@pytest.mark.parametrize("key", ["undo: {run: z}", "restore: {run: z}", "approve: {by: commander}", "caution: Hm"])
@pytest.mark.parametrize("way", ["undo", "restore"])
def test_20_a_way_back_has_no_way_back_and_waits_for_no_person(way: str, key: str) -> None:
    assert found(f"{{id: a, {ACT}, {way}: {{run: y, {key}}}}}") == ["E209"]


def test_the_phases_selection_makes_a_table_of_each_step_and_a_block_does_not_carry_it() -> None:
    loaded = load_steps(f"{{id: a, on: app, steps: [{{id: b, {LOOK}}}]}}", f"{{id: c, on: app, {LOOK}}}")
    assert said(loaded) == []
    assert loaded.value is not None
    a, b, c = loaded.value.steps()
    assert a.on is b.on
    assert a.on is not None
    assert a.on.many
    assert c.on is not a.on
