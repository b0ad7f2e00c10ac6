"""The five screens as text: snapshots at 80 columns, and what each of them may never leave out."""

import dataclasses
import json
import re
from typing import Any

import pytest

from drctl.core import events as ev
from drctl.core.fold import RunState
from drctl.core.plan import Plan, PlannedStep, Status
from drctl.reporting.lines import line
from drctl.reporting.plan import plan_json, plan_text
from drctl.reporting.status import question_text, status_json, status_text
from drctl.reporting.summary import summary_text
from drctl.reporting.texts import width
from tests.reporting.builder import RunBuilder, opened
from tests.reporting.events import failed_run, full_run, waiting_run
from tests.reporting.plans import plan
from tests.reporting.snapshots import FOLDER, same_as

ID = "8F2KQ"


def lines_of(run: RunBuilder) -> list[str]:
    state, found = RunState(), []
    for entry in run.entries:
        state.apply(entry)
        text = line(entry, state)
        if text is not None:
            found.append(text)
    return found


# --- snapshots --------------------------------------------------------------------------------------------------------


def test_lines() -> None:
    same_as("lines.txt", "\n".join(lines_of(full_run())))


def test_plan() -> None:
    same_as("plan.txt", plan_text(plan(), "runbooks/invoice outage.yaml", "lab.yaml"))


def test_summary_of_a_full_run() -> None:
    same_as("summary.txt", summary_text(ID, full_run().state(), ["/runs/8F2KQ/report.html"]))


@pytest.mark.parametrize(
    ("name", "run"), [("waiting", waiting_run()), ("failed", failed_run()), ("doubt", failed_run(doubt=True))]
)
def test_summary_of_an_open_run(name: str, run: RunBuilder) -> None:
    same_as(f"summary-{name}.txt", summary_text(ID, run.state(), []))


@pytest.mark.parametrize(
    ("name", "run"), [("closed", full_run()), ("waiting", waiting_run()), ("failed", failed_run())]
)
def test_status(name: str, run: RunBuilder) -> None:
    same_as(f"status-{name}.txt", status_text(ID, run.state(), writing=False))


@pytest.mark.parametrize("name", [p.name for p in sorted((FOLDER).glob("*.txt"))])
def test_screens_fit_eighty_columns(name: str) -> None:
    if name == "lines.txt":
        return  # one line for each event, however long: for pipes and logs
    exact = re.compile(
        r"^\s*(\$ |Command|Next: )|^. RECOVERED|^[✖?⏸] .* run 8F2KQ"
    )  # commands are never broken; heads may be pasted
    long = [
        text for text in (FOLDER / name).read_text("utf-8").splitlines() if width(text) > 80 and not exact.match(text)
    ]
    assert long == []


# --- what a plan says -------------------------------------------------------------------------------------------------


def test_a_plan_counts_its_own_ignorance() -> None:
    assert plan().coverage == {
        "steps": 6,
        "unknown": 4,
        "looked": 1,
        "now": 1,
        "not looked": 1,
        "would skip": 1,
        "depends": 1,
        "cannot tell": 1,
        "declared": 1,
    }
    text = plan_text(plan(), "x.yaml", "lab.yaml")
    assert "Not known  4 of 6" in text


def test_a_plan_never_breaks_a_command() -> None:
    assert "pg_ctl promote -D /var/lib/" + "x" * 90 in plan_text(plan(), "x.yaml", "lab.yaml").replace("\n", "|")


def test_a_plan_that_would_stop_says_so_first() -> None:
    stop = PlannedStep(
        path="failover/gate",
        title="gate",
        kind="check",
        depth=1,
        status=Status.WOULD_STOP,
        because="not true: lag <= 5m",
    )
    text = plan_text(plan(stop), "x.yaml", "lab.yaml")
    assert text.index("AS THINGS ARE, THE RUN WOULD STOP") < text.index("PHASE diagnose")
    assert "failover/gate: not true: lag <= 5m" in " ".join(text.split())


def test_a_plan_ends_with_the_command_to_type_without_secrets() -> None:
    last = plan_text(plan(), "runbooks/invoice outage.yaml", "lab.yaml").splitlines()[-1]
    assert (
        last
        == "Next: drctl run 'runbooks/invoice outage.yaml' --inventory lab.yaml -i severity=sev2 -i 'note=two words'"
    )


def test_a_plan_without_steps() -> None:
    empty = Plan(runbook="r", title="", digest="0" * 64, inventory="i", environment="lab", rto=None, rpo=None, rows=())
    assert "0 steps" in plan_text(empty, "r.yaml", "i.yaml")


def test_a_plan_as_json_shortens_nothing() -> None:
    data = json.loads(plan_json(plan()))
    assert len(data["rows"]) == len(plan().rows)
    assert data["rows"][5]["text"].endswith("x" * 90)
    assert data["rows"][5]["timeout_us"] == 120_000_000
    assert data["rows"][5]["status"] == "depends"


# --- what a summary says ----------------------------------------------------------------------------------------------


def test_simulated_approvals_stand_in_the_first_line() -> None:
    assert "approvals simulated" in summary_text(ID, full_run().state(), []).splitlines()[0]


def test_real_approvals_are_not_called_simulated() -> None:
    run = full_run()
    run.entries = [
        dataclasses.replace(e, event=dataclasses.replace(e.event, simulated=False))
        if isinstance(e.event, ev.Answered)
        else e
        for e in run.entries
    ]
    assert "simulated" not in summary_text(ID, run.state(), [])


def test_a_refused_simulated_answer_does_not_count() -> None:
    run = waiting_run()
    run.add(ev.Answered(id="q1", choice="approve", by="x", accepted=False, because="not commander", simulated=True))
    assert "approvals simulated" not in summary_text(ID, run.state(), [])


def test_an_objective_without_a_figure_is_not_met() -> None:
    run = RunBuilder()
    opened(run)
    run.add(ev.RunClosed(state="exceptions", exit=11, exceptions=("objective not measured: RTO",)))
    text = summary_text(ID, run.state(), [])
    assert re.search(r"RTO +not measured of 15m", text)
    assert re.search(r"RPO +not measured of 5m", text)
    assert "✔" not in text


def test_a_missed_objective_is_loud() -> None:
    run = full_run(rto_us=60_000_000)
    assert re.search(r"RTO +1m54s of 1m +✖ MISSED 190%", summary_text(ID, run.state(), []))


def test_every_summary_ends_with_a_command() -> None:
    for run in (full_run(), waiting_run(), failed_run(), failed_run(doubt=True)):
        assert "drctl " in summary_text(ID, run.state(), []).splitlines()[-1]


@pytest.mark.parametrize(
    "state",
    ["done", "exceptions", "aborted", "failed", "rolled_back", "rollback_failed", "nothing_changed", "new_word"],
)
def test_every_way_to_close_has_a_verdict(state: str) -> None:
    run = RunBuilder()
    opened(run)
    run.add(ev.RunClosed(state=state, exit=5, because="somebody said so"))
    first = summary_text(ID, run.state(), []).splitlines()[0]
    assert ID in first
    assert "exit 5" in first


def test_a_crashed_run_is_not_called_paused() -> None:
    run = waiting_run()
    run.entries.pop()
    text = status_text(ID, run.state(), writing=False)
    assert text.startswith("✖ CRASHED")
    assert f"drctl resume {ID}" in text


# --- questions --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "choices", "more", "commands"),
    [
        (
            "approval",
            ("approve", "reject"),
            {"by": ("commander",), "target": "db 2"},
            ["drctl approve 8F2KQ step --as NAME --target 'db 2'", "drctl reject 8F2KQ step --as NAME --reason TEXT"],
        ),
        (
            "caution",
            ("confirm", "reject"),
            {"target": "db2"},
            ["drctl answer 8F2KQ q7 confirm --target db2", "drctl answer 8F2KQ q7 reject --reason TEXT"],
        ),
        (
            "manual",
            ("done", "not_done"),
            {"fields": ({"name": "lost", "type": "int"},)},
            ["drctl answer 8F2KQ q7 done --value lost=VALUE", "drctl answer 8F2KQ q7 not_done --reason TEXT"],
        ),
        ("decide", ("hardware", "a b"), {}, ["drctl answer 8F2KQ q7 hardware", "drctl answer 8F2KQ q7 'a b'"]),
        (
            "when",
            ("run", "skip"),
            {},
            ["drctl answer 8F2KQ q7 run --reason TEXT", "drctl answer 8F2KQ q7 skip --reason TEXT"],
        ),
        (
            "doubt",
            ("done", "not_done", "look", "abort"),
            {},
            [
                "drctl resolve 8F2KQ step --done --reason TEXT",
                "drctl resolve 8F2KQ step --not-done --reason TEXT",
                "drctl resolve 8F2KQ step --look",
                "drctl abort 8F2KQ --reason TEXT",
            ],
        ),
        (
            "failure",
            ("retry", "skip", "done", "abort"),
            {},
            [
                "drctl retry 8F2KQ step",
                "drctl skip 8F2KQ step --reason TEXT",
                "drctl done 8F2KQ step --reason TEXT",
                "drctl abort 8F2KQ --reason TEXT",
            ],
        ),
    ],
)
def test_a_question_says_what_to_type(
    kind: str, choices: tuple[str, ...], more: dict[str, Any], commands: list[str]
) -> None:
    asked = ev.Asked(id="q7", kind=kind, path="phase/step", text="Really?", choices=choices, **more)
    text = question_text(ID, asked)
    assert [t[12:] for t in text.splitlines() if "drctl " in t] == commands


def test_a_refused_answer_is_shown_with_its_reason() -> None:
    run = waiting_run()
    run.add(ev.Answered(id="q1", choice="approve", by="ops", accepted=False, because="ops is not commander or deputy"))
    assert "approve by ops did not count: ops is not commander or deputy" in " ".join(
        status_text(ID, run.state(), writing=True).split()
    )


def test_hostile_texts_reach_no_terminal() -> None:
    run = waiting_run()
    run.add(ev.NoteAdded(by="\x1b[2J", text="gone\x07\u202e"))
    run.add(
        ev.Asked(
            id="q2",
            kind="decide",
            path="p/\x1b[1m",
            text="a\x1bb",
            choices=("\x1bc", "y"),
            target="\x9b",
            show=(("\x1bn", "\x1bv"),),
        )
    )
    state = run.state()
    for text in (status_text(ID, state, writing=True), summary_text(ID, state, ["\x1b"]), "\n".join(lines_of(run))):
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text)


# --- lines and JSON ---------------------------------------------------------------------------------------------------


def test_looks_that_begin_and_evidence_are_noise() -> None:
    run = RunBuilder()
    opened(run)
    run.look("p/look", "db1", outputs={"x": 1})
    assert sum("p/look" in text for text in lines_of(run)) == 1


def test_an_unknown_record_is_shown() -> None:
    entry = waiting_run().entries[-1]
    text = line(dataclasses.replace(entry, event=ev.UnknownEvent(type="telepathy", body={})), RunState())
    assert text is not None
    assert "telepathy" in text


def test_every_event_can_be_a_line() -> None:
    """No type of event, however empty, stops the view."""
    entry = waiting_run().entries[-1]
    least = {
        "path": "p",
        "outcome": "ok",
        "id": "q1",
        "kind": "k",
        "text": "t",
        "choice": "c",
        "by": "b",
        "accepted": True,
        "verb": "v",
        "name": "n",
        "value": 1,
        "what": "w",
        "names": (),
        "gap_us": 1,
        "because": "b",
        "torn_bytes": 1,
        "size": 1,
        "where": "w",
        "uid": "u",
        "runbook": "r",
        "index": 0,
        "of": 1,
        "reason": "r",
        "state": "done",
        "exit": 0,
        "phase": "p",
        "ok": True,
        "form": "f",
    }
    for cls in ev.EVENTS.values():
        wanted = [
            f.name
            for f in dataclasses.fields(cls)
            if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        ]
        event = cls(**{name: least[name] for name in wanted})
        line(dataclasses.replace(entry, event=event), RunState())


def test_status_as_json() -> None:
    data = json.loads(status_json(ID, waiting_run().state(), writing=False))
    assert (data["state"], data["exit"], data["questions"][0]["id"]) == ("paused", 6, "q1")
    data = json.loads(status_json(ID, full_run().state(), writing=False))
    assert data["objectives"]["rto"] == {
        "promised_us": 900_000_000,
        "attained_us": data["objectives"]["rto"]["attained_us"],
        "met": True,
        "method": "from the start of the run to service_restored (measured by up); part of it by the wall clock: the "
        "machine was started anew in between, or the run moved",
    }
    assert data["simulated"] is True
    assert {"path": "failover/switch", "retried": True}.items() <= next(
        s for s in data["steps"] if s["path"] == "failover/switch"
    ).items()


def test_a_look_that_waits_says_each_reason_once() -> None:
    run = RunBuilder()
    opened(run)
    for attempt, because in enumerate(["refused", "refused", "refused", "status is 502", "status is 502"], 1):
        run.add(ev.StepFinished(path="p/up", outcome="failed", attempt=attempt, final=False, because=because))
    run.add(ev.StepFinished(path="p/up", outcome="ok", attempt=6))
    assert [text.split(maxsplit=2)[2] for text in lines_of(run) if "p/up" in text] == [
        "not yet     p/up: refused",
        "not yet     p/up: status is 502",
        "ok          p/up",
    ]


def test_an_aborted_run_says_what_state_things_are_in() -> None:
    run = failed_run()
    run.add(ev.RunClosed(state="aborted", exit=5, because="ops said abort"))
    assert re.search(r"Changed +stop on db1", summary_text(ID, run.state(), []))


def test_remarks_on_hosts_that_were_reached_are_not_told_as_hosts_that_were_not() -> None:
    entry = waiting_run().entries[-1]
    reached = ev.PreflightFinished(phase="*", ok=True, hosts=("db1",), remarks=("db1: its clock is 9 s behind ours",))
    text = line(dataclasses.replace(entry, event=reached), RunState())
    assert text is not None
    assert "1 host reached; know of them: db1: its clock is 9 s behind ours" in text
    assert "not reached" not in text
