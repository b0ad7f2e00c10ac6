"""Which differences between two runbooks there are, and which an open run can take."""

from __future__ import annotations

import pytest

from drctl.core import events as ev
from drctl.core.accepting import judge
from drctl.core.edits import What, edits, pieces
from drctl.core.fold import Entry, RunState
from drctl.core.values import Time
from drctl.errors import Exit
from tests.engine.rig import Crash, Rig

LOOP = """\
runbook: book
phases:
  - id: only
    steps:
      - {id: first, on: db1, run: one, effect: idempotent}
      - id: loop
        foreach: {n: [1, 2]}
        steps:
          - {id: in_it, on: db1, run: two, effect: idempotent}
          - {id: then, on: db1, run: three, effect: idempotent, restore: {run: back}}
      - {id: last, on: db2, run: four, effect: idempotent}
"""


def rig(text: str = LOOP) -> Rig:
    made = Rig(text)
    for name in ("db1", "db2"):
        for script in ("one", "two", "three", "four", "back", "five"):
            made.host(name).on(script, 0)
    return made


def what(old: str, new: str) -> list[tuple[str, What]]:
    return [(edit.path, edit.what) for edit in edits(rig(old).runbook, rig(new).runbook)]


def test_positions_and_the_form_of_writing_are_no_difference() -> None:
    other = LOOP.replace("phases:", "# a comment\nphases:").replace("{n: [1, 2]}", "\n          n: [1, 2]")
    assert what(LOOP, other) == []


def test_every_kind_of_difference_is_named_with_its_step_alone() -> None:
    assert what(LOOP, LOOP.replace("run: two", "run: five")) == [("only/loop/in_it", What.CHANGED)]
    assert what(LOOP, LOOP.replace("run: back", "run: five")) == [("only/loop/then", What.CHANGED)]
    assert what(LOOP, LOOP.replace("[1, 2]", "[1, 2, 3]")) == [("only/loop", What.CHANGED)]
    assert what(LOOP, LOOP.replace("id: last", "id: end")) == [("only/last", What.REMOVED), ("only/end", What.ADDED)]
    lines = LOOP.splitlines(keepends=True)
    swapped = "".join([*lines[:4], lines[10], *lines[4:10]])
    assert what(LOOP, swapped) == [("only/last", What.MOVED)]


def test_a_changed_field_shows_old_and_new() -> None:
    (edit,) = edits(rig().runbook, rig(LOOP.replace("run: four", "run: five")).runbook)
    assert "\n".join(edit.lines()) == "only/last: changed\n    run\n      old: four\n      new: five"


def test_digests_are_those_of_meaning() -> None:
    same = [piece.digest for piece in pieces(rig(LOOP).runbook)]
    assert same == [piece.digest for piece in pieces(rig("\n\n" + LOOP).runbook)]
    assert len(set(same)) == len(same)


def crashed(at: str) -> Rig:
    """A run that died right before the intent of a step."""
    trial = rig()
    assert trial.run() is Exit.DONE
    lines = enumerate(trial.lines)
    seq = next(n for n, (_, type_, body, _) in lines if type_ == "step_started" and body["path"] == at)
    made = rig()
    made.crash_at(seq)
    with pytest.raises(Crash):
        made.run()
    made._again()
    return made


@pytest.mark.parametrize(
    ("at", "old", "new", "refused"),
    [
        ("only/loop/0/then", "run: three", "run: five", ""),
        ("only/loop/0/then", "run: two", "run: five", "it is over (ok)"),  # in one round it is
        ("only/loop/1/in_it", "run: three", "run: five", "it is over (ok)"),
        ("only/loop/0/in_it", "[1, 2]", "[1]", "it began already"),  # its list is frozen
        ("only/last", "run: three", "run: five", "only/loop, which it stands in, is over"),
        ("only/last", "run: four", "run: five", ""),
        ("only/loop/0/in_it", "run: four", "run: five", ""),
    ],
)
def test_what_is_done_in_any_round_stays(at: str, old: str, new: str, refused: str) -> None:
    made = crashed(at)
    newer = rig(LOOP.replace(old, new)).runbook
    judged = judge(made.runbook, newer, made.state, ())
    (edit,) = judged.edits
    assert judged.refused.get(edit.path, "") == refused
    assert [e.path for e in judged.unnamed] == ([] if refused else [edit.path])
    for name in (edit.path, edit.path.rpartition("/")[2], edit.path.split("/")[0]):  # a block stands for what is in it
        assert judge(made.runbook, newer, made.state, (name,)).ok is (not refused)
    assert judge(made.runbook, newer, made.state, ("nothing",)).unknown == ("nothing",)


def test_a_step_in_doubt_is_settled_before_it_is_changed() -> None:
    trial = rig()
    trial.run()
    seq = next(n for n, (_, type_, body, _) in enumerate(trial.lines) if body.get("path") == "only/last")
    made = rig()
    made.crash_at(seq, after=True)
    with pytest.raises(Crash):
        made.run()
    made._again()
    judged = judge(made.runbook, rig(LOOP.replace("run: four", "run: five")).runbook, made.state, ("last",))
    assert "settle that first" in judged.refused["only/last"]


def test_a_newer_plan_counts_when_all_of_it_is_there() -> None:
    from drctl.core.frozen import Frozen  # noqa: PLC0415 - beside its use

    plans = [
        Frozen(runbook_file="a", files={"a": name * 30_000}, inventory_file="i", inventory_files={}) for name in "xy"
    ]
    old, new = plans
    events: list[ev.Event] = []
    events.append(ev.RunOpened(uid="u", id="I", runbook="b", plan_digest=old.digest, plan_parts=len(old.parts())))
    events += [ev.PlanPart(index=n, of=len(old.parts()), text=text) for n, text in enumerate(old.parts())]
    said = ev.RunResumed(plan_digest=new.digest, plan_parts=len(new.parts()), accepted=("only/a",), reason="r")
    events.append(said)
    events += [ev.PlanPart(index=n, of=len(new.parts()), text=text) for n, text in enumerate(new.parts())]
    assert len(new.parts()) > 1

    def fold(upto: int, *more: ev.Event) -> RunState:
        entries = [
            Entry(seq=n, at=Time(n), mono=n, boot="b", actor="", event=event)
            for n, event in enumerate([*events[:upto], *more])
        ]
        return RunState.of(entries)

    for cut in range(len(old.parts()) + 1, len(events)):
        for state in (fold(cut), fold(cut, ev.RunResumed())):
            assert (state.plan_digest, "".join(state.plan), state.accepted) == (old.digest, old.text(), {})
    whole = fold(len(events), ev.RunResumed())
    assert (whole.plan_digest, "".join(whole.plan), list(whole.accepted)) == (new.digest, new.text(), ["only/a"])
