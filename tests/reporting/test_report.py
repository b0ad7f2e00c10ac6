"""The report: the same bytes for the same journal, honest about gaps, and complete for an auditor."""

import dataclasses
import json
import random
from collections.abc import Callable

import pytest

from drctl.adapters.keys import fingerprint
from drctl.core import events as ev
from drctl.core.fold import RunState
from drctl.core.integrity import Fault, KeyUse, Verdict
from drctl.reporting.html import html
from drctl.reporting.markdown import code, markdown, text
from drctl.reporting.report import as_json, build
from drctl.reporting.report_model import TO_FILL, Report
from tests.reporting.builder import SECOND, RunBuilder, audit, opened
from tests.reporting.events import failed_run, full_run, waiting_run


def report_of(
    run: RunBuilder, output: Callable[[str], bytes] | None = None, verdict: Verdict = Verdict.INTACT_NOT_ANCHORED
) -> Report:
    return build(run.entries, run.state(), audit(verdict), output or run.get)


def test_the_same_journal_gives_the_same_bytes() -> None:
    first, again = report_of(full_run()), report_of(full_run())
    assert as_json(first) == as_json(again)
    assert markdown(first) == markdown(again)
    assert html(first) == html(again)


def test_it_answers_who_what_when() -> None:
    report = report_of(full_run())
    assert {i.name: i.value for i in report.incident} == {
        "fault": "2026-11-22T02:09:25Z", "detected": "2026-11-22T02:10:40Z", "declared": "2026-11-22T02:11:00Z",
        "reporter": "mei", "severity": "sev2", "scope": "all companies; invoices cannot be issued", "cause": "hardware",
    }  # fmt: skip
    assert report.header.plan_intact
    assert report.verdict.simulated
    assert [p.path for p in report.phases] == ["diagnose", "failover", "verify", "failback"]
    assert {m.name: m.value for m in report.marks}["invoices_recovered"] == "20002"


def test_secrets_stand_as_the_name_of_their_source() -> None:
    assert {i.name: i.value for i in report_of(full_run()).inputs}["password"] == "secret, from env:PW"


def test_a_plan_that_is_not_whole_is_said() -> None:
    run = full_run(plan_digest="00" * 32)
    assert not report_of(run).header.plan_intact
    assert "NOT WHOLE" in html(report_of(run))
    run.entries = [e for e in run.entries if not isinstance(e.event, ev.PlanPart)]
    assert not report_of(run).header.plan_intact


def test_refused_answers_stay() -> None:
    decision = report_of(full_run()).decisions[0]
    assert [(a.by, a.accepted) for a in decision.answers] == [("ops", False), ("commander", True)]
    assert decision.shown[0].value == "0.24s"
    assert decision.waited_us == 41 * SECOND + 0


def test_an_answer_to_no_question_stays() -> None:
    run = waiting_run()
    run.add(ev.Answered(id="q99", choice="approve", by="x", accepted=False, because="no open question q99"))
    assert [d.state for d in report_of(run).decisions] == ["open", "no such question"]


def test_a_late_note_stands_at_its_own_time_with_both_times() -> None:
    notes = [row for row in report_of(full_run()).timeline if row.who == "note"]
    assert [row.recorded is not None for row in notes] == [True, False]
    assert notes[0].recorded is not None
    assert notes[0].at.us < notes[0].recorded.us
    times = [row.at.us for row in report_of(full_run()).timeline]
    assert times == sorted(times)


def test_the_parts_of_the_time_add_up() -> None:
    parts = {row.name: row.us for row in report_of(full_run()).split}
    whole = parts["declared to restored"]
    assert whole == (parts["wait for people"] or 0) + (parts["stood still"] or 0) + (parts["machine"] or 0)
    assert parts["detect"] == 75 * SECOND
    assert parts["decide"] == 20 * SECOND
    assert (parts["stood still"] or 0) > 0


def test_overlapping_questions_count_once() -> None:
    run = RunBuilder()
    opened(run)
    for number in (1, 2):
        run.add(ev.Asked(id=f"q{number}", kind="decide", path=f"p/{number}", text="?", choices=("a",)), 0)
    at = run.now.micros + 10 * SECOND
    for number in (1, 2):
        run.add(ev.Answered(id=f"q{number}", choice="a", by="x", accepted=True, given_at=at), 5)
    parts = {row.name: row.us for row in report_of(run).split}
    assert parts["wait for people"] == 10 * SECOND
    assert parts["detect"] is None


def test_lengths_come_from_the_monotonic_clock() -> None:
    run = RunBuilder()
    opened(run)
    run.look("p/look", "db1", after=2.0)
    run.entries[-1] = dataclasses.replace(
        run.entries[-1], at=dataclasses.replace(run.entries[-1].at, micros=0)
    )  # the clock was set
    step = report_of(run).steps[-1]
    assert step.elapsed_us == 2 * SECOND


def test_objectives_that_were_not_measured_are_not_met() -> None:
    run = RunBuilder()
    opened(run)
    run.add(ev.RunClosed(state="done", exit=0))
    assert [(o.name, o.word, o.attained_us) for o in report_of(run).objectives] == [
        ("RTO", "not measured", None),
        ("RPO", "not measured", None),
    ]


def test_of_output_that_was_not_kept_whole_the_rest_is_told() -> None:
    run = full_run()
    kept = run.keep(b"x" * 1_048_576)
    run.act("failover/late", "db2", text="cat big", out={"stdout": kept, "stderr": run.keep(b"e")})
    at = max(i for i, entry in enumerate(run.entries) if isinstance(entry.event, ev.CommandRan))
    ran = run.entries[at].event
    assert isinstance(ran, ev.CommandRan)
    told = dataclasses.replace(ran, cut=True, sizes={"stdout": 50_000_000}, digests={"stdout": "ab" * 32})
    run.entries[at] = dataclasses.replace(run.entries[at], event=told)
    out, err = report_of(run).steps[-1].attempts[0].outputs
    assert out.all_of_it == f"first 1,048,576 of 50,000,000 bytes kept, SHA-256 of all: {'ab' * 32}"
    assert err.all_of_it == ""
    assert out.all_of_it in markdown(report_of(run))


def test_outputs_are_cut_named_and_never_raise() -> None:
    run = full_run()
    big = run.keep(b"x" * 10_000 + b"\xff\x1b[2J")
    run.act("failover/late", "db2", text="cat big", out={"stdout": big, "stderr": "ee" * 32})
    outputs = report_of(run).steps[-1].attempts[0].outputs
    assert (outputs[0].size, outputs[0].cut, len(outputs[0].excerpt)) == (10_005, True, 2000)
    assert outputs[0].all_of_it == ""
    assert outputs[1].size is None
    assert "missing or damaged" in outputs[1].problem

    def refuses(_: str) -> bytes:
        raise OSError("disk on fire")

    assert "disk on fire" in as_json(report_of(run, refuses))


def test_action_items_come_from_the_record_and_leave_room_for_people() -> None:
    report = report_of(full_run())
    assert [(a.source, a.text) for a in report.actions][:2] == [
        ("note", "put the port check into preflight (mei)"),
        ("exception", "failover/switch: not restored (gw1: maintenance page is still on)"),
    ]
    assert {"retried step", "foreseen failure", "fenced host"} <= {a.source for a in report.actions}
    assert markdown(report).count(text(TO_FILL)) > 3 * len(report.actions)


def test_what_is_left_over_is_named() -> None:
    run = failed_run(doubt=True)
    run.act("failover/page", "gw1", text="maintenance on", restore={"steps": ["failover/page/restore/0"]})
    left = report_of(run).left_over
    assert any("failover/app: in doubt" in row.text for row in left)
    assert any("failover/page on gw1: restore owed" in row.text for row in left)


def test_damage_is_not_hidden() -> None:
    fault = Fault(seq=7, line=8, offset=900, reason="hash", text="the hash does not fit")
    run = full_run()
    report = build(run.entries, run.state(), audit(Verdict.ALTERED, first_bad=fault, bad_count=1), run.get)
    assert "not intact" in markdown(report)
    assert "record 7, line 8, byte 900" in html(report)
    assert "evidence" in {a.source for a in report.actions}


def test_keys_are_named_as_ssh_keygen_does() -> None:
    run = full_run()
    keys = (KeyUse(seq=0, public=bytes(range(32)), pinned=True),)
    report = build(run.entries, run.state(), audit(keys=keys), run.get)
    assert report.evidence.keys == (f"{fingerprint(bytes(range(32)))} from record 0, pinned",)


def test_json_has_every_section() -> None:
    data = json.loads(as_json(report_of(full_run())))
    assert set(data) == {f.name for f in dataclasses.fields(Report)}
    assert data["header"]["opened"]["utc"] == "2026-11-22 02:11:00Z"
    assert len(data["steps"]) == len(full_run().state().steps)


def test_markdown_cannot_be_broken_out_of() -> None:
    hostile = "a | b `c` <b>x</b>\n# head ![i](http://x)"
    assert text(hostile) == "a \\| b \\`c\\` &lt;b&gt;x&lt;/b&gt;<br>\\# head \\!\\[i\\](http://x)"
    assert code("a\n````\nb").startswith("`````text\n")
    for row in markdown(report_of(full_run())).splitlines():
        if row.startswith("|"):
            cells = row.replace("\\|", "").count("|")
            assert cells >= 3


@pytest.mark.parametrize("seed", range(20))
def test_any_prefix_of_a_run_can_be_reported(seed: int) -> None:
    """After a crash at any record there is a report, and nothing in it raises."""
    run = full_run()
    cut = random.Random(seed).randrange(0, len(run.entries))
    run.entries = run.entries[:cut]
    report = build(run.entries, RunState.of(run.entries), audit(Verdict.OPEN, closed=False), run.get)
    html(report)
    markdown(report)
    as_json(report)
