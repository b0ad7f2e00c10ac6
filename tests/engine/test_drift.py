"""Which facts a saved plan is held to: what the runbook goes by, and nothing else."""

from __future__ import annotations

import pytest

from drctl.core.saved_plan import Fact, SavedPlan, read_plan, rows_compared
from drctl.engine.drift import INLINE, drift, facts_of
from drctl.engine.planner import Options, Planner
from drctl.engine.uses import timed
from drctl.reporting.plan import row_maps
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


# -- marks and rounds --------------------------------------------------------------------------------------------------

MARKING = LOOK.replace("expect: n < 100", "marks: {data_loss: n * 1s}")


@pytest.mark.parametrize(
    ("then", "new", "names"),
    [
        ("{id: c, do: check, expect: marks.data_loss < 50s, observe: true}", "43", []),
        ("{id: c, do: check, expect: marks.data_loss < 50s, observe: true}", "60", ["marks.data_loss"]),
        ("{id: s, do: set, with: {x: '${{ marks.data_loss }}'}}", "43", ["marks.data_loss"]),
        ("{id: s, do: set, with: {x: nothing}}", "43", []),
    ],
)
def test_a_mark_with_a_value_of_its_own_is_compared_by_its_name(then: str, new: str, names: list[str]) -> None:
    assert [name for name, _, _ in moved(book(MARKING, then), "42", new)] == names


def test_the_time_at_which_a_look_became_ok_is_no_drift() -> None:
    text = book(
        LOOK.replace("expect: n < 100", "marks: detected"), "{id: s, do: set, with: {x: '${{ marks.detected }}'}}"
    )
    before = seen(text, "42")[1]
    rig = Rig(text)
    rig.clock.micros += 3_600_000_000
    _, now = seen(text, "42", rig)
    assert drift(rig.context(), before, now) == ()


LOOP = "{id: l, foreach: {i: [1, 2]}, steps: [{id: look, on: db1, run: look-there, effect: read MORE}THEN]}"


@pytest.mark.parametrize(
    ("inner", "after", "old", "new", "names"),
    [
        (", {id: c, do: check, expect: steps.look.json.a > 5, observe: true}", "", '{"a": 1}', '{"a": 2}', []),
        (", {id: c, do: check, expect: steps.look.json.a > 5, observe: true}", "", '{"a": 1}', '{"a": 9}',
         ["main/l/0/look: steps.look.json.a", "main/l/1/look: steps.look.json.a"]),
        (", {id: s, do: set, with: {x: '${{ steps.look.json.a }}'}}", "", '{"a": 1}', '{"a": 2}',
         ["main/l/0/look: steps.look.json.a", "main/l/1/look: steps.look.json.a"]),
        ("", "{id: s, do: set, with: {x: '${{ steps.l.each[0].steps.look.json.a }}'}}", '{"a": 1}', '{"a": 2}',
         ["main/l/0/look: json.a", "main/l/1/look: json.a"]),
        ("", "{id: s, do: set, with: {x: '${{ steps.l.each[0].steps.look.json.a }}'}}", '{"a": 1}', '{"a": 1, "b": 1}',
         []),
    ],
    ids=["holds", "flips", "sent", "from-outside", "another-part"],
)  # fmt: skip
def test_rounds_are_compared_by_their_own_addresses(
    inner: str, after: str, old: str, new: str, names: list[str]
) -> None:
    text = book(LOOP.replace("THEN", inner).replace(" MORE", ""), *([after] if after else []))
    before = seen(text, old)[1]
    rig, now = seen(text, new)
    assert drift(rig.context(), now, now) == ()
    assert [one.name for one in drift(rig.context(), before, now)] == names


def test_an_observed_end_that_only_the_whole_loop_shows_is_drift() -> None:
    looking = LOOP.replace("THEN", "").replace(" MORE", ", observe: true")
    for after, names in (
        ("{id: c, do: check, expect: 'any(r in steps.l.each, r.steps.look.failed)', observe: true}", 2),
        ("{id: c, do: check, expect: 'true'}", 0),
    ):
        text = book(looking, after)
        before = seen(text, 0)[1]
        rig, now = seen(text, 1)
        assert len(drift(rig.context(), before, now)) == names


# -- rows --------------------------------------------------------------------------------------------------------------


def rows(text: str, *, clock: int = 0, **says: str | int) -> tuple[Rig, list[dict[str, object]]]:
    rig = Rig(text, hosts=("db1", "db2", "w1"))
    rig.clock.micros += clock
    for script, answer in says.items():
        rig.host("db1").on(script.replace("_", "-"), answer)
    context = rig.context()
    plan = Planner(context, rig.world, Options()).plan("digest")
    return rig, [{**one, "timed": one["origin"] in timed(context)} for one in row_maps(plan)]


@pytest.mark.parametrize(
    ("steps", "old", "new", "found"),
    [
        (("{id: act, on: db1, run: x, effect: idempotent, unless: {run: is-there}}",), 0, 1,
         [("main/act: status", "no change", "cannot tell")]),
        (("{id: act, on: db1, run: x, effect: idempotent}",), 0, 1, []),
        (("{id: look, on: db1, run: is-there, effect: read, observe: true}",
          "{id: act, on: {group: web, where: steps.look.ok}, run: x, effect: idempotent}"), 0, 1,
         [("main/look: because", "", ""), ("main/act: status", "would run", "would stop"),
          ("main/act/@w1", "cannot tell", "not there")]),
    ],
    ids=["unless", "same", "hosts"],
)  # fmt: skip
def test_a_row_that_says_another_thing_is_named(
    steps: tuple[str, ...], old: int, new: int, found: list[tuple[str, str, str]]
) -> None:
    (_, before), (_, now) = (rows(book(*steps), is_there=answer) for answer in (old, new))
    told = [(one.name, one.old, one.new) for one in rows_compared(before, now, lambda _: False)]
    assert told == [one for one in found if one[1]]
    assert rows_compared(now, now, lambda _: False) == []


@pytest.mark.parametrize(
    "what", ["now()", "run.started_at", "run.elapsed", "steps.at.t", "steps.at.x", "steps.at.started_at"]
)
def test_a_text_that_holds_a_time_may_differ(what: str) -> None:
    steps = (
        "{id: at, do: set, with: {t: '${{ now() }}', x: y}}",
        f"{{id: s, on: db1, run: 'x ${{{{ {what} }}}}', effect: idempotent}}",
    )
    (_, before), (_, now) = (rows(book(*steps), clock=clock) for clock in (0, 3_600_000_000))
    assert rows_compared(before, now, lambda row: bool(row["timed"])) == []
