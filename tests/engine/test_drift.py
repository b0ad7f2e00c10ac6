"""Which facts a saved plan is held to: what the runbook goes by, and nothing else."""

from __future__ import annotations

import pytest

from drctl.core.saved_plan import Fact, SavedPlan, read_plan
from drctl.engine.drift import INLINE, drift, facts_of
from drctl.engine.planner import Options, Planner
from tests.engine.rig import Rig
from tests.engine.test_acts import book

LOOK = "{id: look, on: db1, run: look-there, effect: read, capture: {n: int(stdout)}, expect: n < 100}"


def seen(text: str, said: str | int, rig: Rig | None = None) -> tuple[Rig, tuple[Fact, ...]]:
    """The facts of a plan made while the host says something."""
    rig = rig or Rig(text)
    rig.host("db1").on("look-there", said)
    context = rig.context()
    Planner(context, rig.world, Options()).plan("digest")
    return rig, facts_of(context, lambda text: text.replace("hidden-word", "***"))


def moved(text: str, old: str | int, new: str | int) -> list[tuple[str, str, str]]:
    before = seen(text, old)[1]
    rig, now = seen(text, new)
    return [(one.name.partition(": ")[2] or one.name, one.old, one.new) for one in drift(rig.context(), before, now)]


@pytest.mark.parametrize(
    ("more", "names"),
    [
        ((), []),
        (("{id: c, do: check, expect: steps.look.n > 1}",), []),
        (("{id: c, do: check, expect: steps.look.n > 50, observe: true}",), ["steps.look.n"]),
        (("{id: c, on: db1, when: steps.look.n > 50, run: x, effect: idempotent}",), ["steps.look.n"]),
        (("{id: d, do: decide, with: {rules: [{if: steps.look.n > 50, then: a}], otherwise: b}}",), ["steps.look.n"]),
        (("{id: d, do: decide, with: {rules: [{if: steps.look.n > 1, then: a}], otherwise: b}}",), []),
        (("{id: s, do: set, with: {x: '${{ steps.look.n }}'}}",), ["steps.look.n"]),
        (("{id: s, on: db1, run: 'x ${{ steps.look.stdout }}', effect: idempotent}",), ["steps.look.stdout"]),
        (("{id: s, on: db1, run: 'x ${{ steps.look.elapsed }}', effect: idempotent}",), []),
        (("{id: s, on: db1, hint: 'x ${{ steps.look.n }}', run: x, effect: idempotent}",), []),
        (("{id: s, on: db1, run: x, effect: once, undo: {run: 'y ${{ steps.look.n }}'}, verify: {run: z}}",),
         ["steps.look.n"]),
    ],
    ids=["unused", "holds", "flips", "when", "rule", "rule-holds", "set", "sent", "time", "hint", "undo"],
)  # fmt: skip
def test_a_value_is_compared_as_it_is_used(more: tuple[str, ...], names: list[str]) -> None:
    text = book(LOOK, *more)
    assert moved(text, "42", "42") == []
    assert [name for name, _, _ in moved(text, "42", "60")] == names
    for _, old, new in moved(text, "42", "60"):
        assert (old, new) == ("42", "60")


def test_the_end_of_a_look_is_compared_unless_it_only_observes_and_nobody_asks() -> None:
    assert [(old, new) for _, old, new in moved(book(LOOK), "42", "142")] == [("ok", "failed")]
    observing = LOOK.replace("effect: read", "effect: read, observe: true")
    assert moved(book(observing), "42", "142") == []
    asked = book(observing, "{id: c, do: check, expect: steps.look.ok, observe: true}")
    assert moved(asked, "42", "142") != []


def test_only_the_named_part_of_a_json_answer_counts() -> None:
    look = "{id: look, on: db1, run: look-there, effect: read}"
    text = book(look, "{id: s, do: set, with: {x: '${{ steps.look.json.state }}'}}")
    assert moved(text, '{"state": "on", "at": 1}', '{"state": "on", "at": 2}') == []
    assert moved(text, '{"state": "on", "at": 1}', '{"state": "off", "at": 1}') == [
        ("steps.look.json.state", "on", "off")
    ]


def test_a_long_value_is_kept_as_its_digest_and_still_compared() -> None:
    look = "{id: look, on: db1, run: look-there, effect: read}"
    text = book(look, "{id: s, do: set, with: {x: '${{ steps.look.stdout }}'}}")
    long = "x" * (INLINE + 1)
    (fact,) = seen(text, long)[1]
    assert set(fact.values["stdout"]) == {"$sha256"}
    assert moved(text, long, long) == []
    assert len(moved(text, long, long + "y")) == 1


def test_a_value_with_a_secret_in_it_is_not_kept() -> None:
    (fact,) = seen(book(LOOK.replace(", capture: {n: int(stdout)}, expect: n < 100", "")), "a hidden-word")[1]
    assert "stdout" not in fact.values
    assert "secret" in fact.unknown["stdout"]


def test_a_look_behind_an_act_is_no_fact() -> None:
    rig = Rig(book("{id: act, on: db1, run: x, effect: idempotent}", LOOK))
    assert seen("", "42", rig)[1] == ()


def test_a_table_in_a_condition_is_compared_host_by_host() -> None:
    look = "{id: look, on: {hosts: [db1, db2]}, run: look-there, effect: read, capture: {n: int(stdout)}}"
    look = look.replace("hosts: [db1, db2]", 'hosts: \'[hosts["db1"], hosts["db2"]]\'')
    text = book(look, "{id: c, do: check, expect: 'all(h in steps.look.hosts, h.n > 1)'}")
    results = []
    for said in ("42", "43"):
        rig = Rig(text)
        rig.host("db2").on("look-there", "5")
        results.append(seen(text, said, rig))
    (_, before), (rig, now) = results
    assert [fact.host for fact in before] == ["db1", "db2"]
    assert drift(rig.context(), before, before) == ()
    found = drift(rig.context(), before, now)
    assert found
    assert {one.name.partition(":")[0].rpartition("/")[2] for one in found} == {"@db1"}
    assert ("42", "43") in {(one.old, one.new) for one in found}


def test_a_saved_plan_comes_back_as_it_was() -> None:
    facts = seen(book(LOOK), "42")[1]
    plan = SavedPlan(
        runbook="x", frozen="ab", version="1", made_at=1, expires_at=2, documents={"a": "b"}, inventory={"host x": "y"},
        inputs={"n": {"$us": 5}}, secrets=("s",), live=True, declared=False, facts=facts, rows=({"path": "é"},),
        coverage={"steps": 1},
    )  # fmt: skip
    assert read_plan(plan.text()) == plan
    assert read_plan(plan.text()).digest == plan.digest
