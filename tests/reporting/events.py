"""Hand-written runs: one with everything an auditor may meet in it, and some that wait for people."""

from typing import Any

from drctl.core import events as ev
from tests.reporting.builder import SECOND, START, RunBuilder, opened


def diagnose(run: RunBuilder) -> None:
    run.phase("diagnose", "Find the kind of fault")
    run.look(
        "diagnose/look/web",
        kind="http.check",
        outcome="failed",
        observed=True,
        text="GET http://invoices.example/healthz",
        because="not true: status < 400 (status is 502)",
        outputs={"status": 502, "latency": {"$us": 3100}},
    )
    run.look(
        "diagnose/look/db",
        "db1",
        outcome="unreachable",
        observed=True,
        kind="postgres.status",
        because="connection refused",
    )
    run.add(ev.StepStarted(path="diagnose/fault", kind="decide", title="Which kind of fault is it?"))
    run.add(
        ev.StepFinished(
            path="diagnose/fault", outcome="ok", because="steps.db.failed is true", outputs={"value": "hardware"}
        )
    )
    run.add(ev.MarkSet(name="fault", value={"$time": START.micros - 95 * SECOND}, path="diagnose/fault"))
    run.add(ev.MarkSet(name="detected", value={"$time": START.micros - 20 * SECOND}, path="diagnose/fault"))
    run.over("diagnose")


def failover(run: RunBuilder) -> None:
    run.phase("failover", "Move to the standby")
    run.add(ev.PreflightFinished(phase="failover", ok=True, hosts=("db2", "gw1")))
    run.look(
        "failover/loss",
        "db2",
        kind="postgres.status",
        text="psql -X -c 'select ...'",
        title="How much would be lost?",
        captures={"lag": {"$us": 240_000}},
        outputs={"in_recovery": True},
    )
    run.add(ev.BlockStarted(path="failover/fence", form="fence", host="db1", title="Fence the old primary"))
    run.act(
        "failover/fence/methods/0",
        "db1",
        text="systemctl stop postgresql",
        outcome="unreachable",
        effect="idempotent",
        role=ev.Role.METHOD,
        because="connection refused",
        effect_there=False,
        exit=None,
    )
    run.act(
        "failover/fence/methods/1",
        "local",
        text="POST http://power.example/db1/off",
        kind="http.request",
        effect="idempotent",
        role=ev.Role.METHOD,
    )
    run.add(ev.StepStarted(path="failover/fence/proof/0", role=ev.Role.VERIFY, kind="http.check"))
    run.add(ev.StepFinished(path="failover/fence/proof/0", role=ev.Role.VERIFY, outcome="ok", because="power is off"))
    run.add(ev.BlockFinished(path="failover/fence", outcome="ok", because="proven", host="db1"))
    run.add(ev.MarkSet(name="fenced", value={"$time": run.now.micros}, path="failover/fence"))
    approval(run)
    run.act(
        "failover/promote",
        "db2",
        text="psql -c 'select pg_promote()'",
        kind="postgres.promote",
        effect="irreversible",
        title="Make the standby the primary",
        no_return=True,
        undo={"none": "the old primary needs a rebuild"},
        captures={"timeline": 2},
    )
    switch(run)


def approval(run: RunBuilder) -> None:
    run.add(
        ev.Asked(
            id="q1",
            kind="approval",
            path="failover/promote",
            target="db2",
            by=("commander",),
            choices=("approve", "reject"),
            until_at=run.now.micros + 600 * SECOND,
            show=(("steps.loss.lag", "0.24s"), ("审批金额", "无")),
            digest="aa" * 32,
            text="Make the standby the primary on db2?\nThe old primary cannot come back without a rebuild.\n"
            "It will send: psql -c 'select pg_promote()'",
        )
    )
    run.add(
        ev.Answered(
            id="q1",
            choice="approve",
            by="ops",
            accepted=False,
            proof="claimed by ops, not proven",
            given_at=run.now.micros + 12 * SECOND,
            because="ops runs this and cannot approve it: another pair of eyes is needed",
            role="commander",
        ),
        12,
    )
    run.add(ev.NoteAdded(by="mei", text="Phoned the commander, 指挥员已知情", given_at=run.now.micros - 8 * SECOND), 5)
    run.add(
        ev.Answered(
            id="q1",
            choice="approve",
            by="commander",
            accepted=True,
            role="commander",
            simulated=True,
            reason="IC agrees",
            proof="claimed by lab, not proven",
            given_at=run.now.micros + 24 * SECOND,
        ),
        24,
    )


def switch(run: RunBuilder) -> None:
    """Fails once, is tried again by a person, and then found in doubt after a crash of the control node."""
    stderr = run.keep(
        "nginx: [emerg] \x1b[31mbind() to 127.0.0.1:8081 failed\x1b[0m (98: Address already in use)\n"
        "<script>alert(1)</script>\n"
    )
    run.act(
        "failover/switch",
        "gw1",
        text="traffic.switch to db2",
        kind="traffic.switch",
        effect="idempotent",
        exit=1,
        outcome="failed",
        effect_there=False,
        because="not true: exit == 0 (exit is 1)",
        out={"stderr": stderr},
        title="Send the users to the standby",
    )
    run.add(
        ev.Asked(
            id="q2",
            kind="failure",
            path="failover/switch",
            text="switch failed: exit is 1\nHint: kill the old pid",
            choices=("retry", "skip", "done", "abort"),
            digest="1",
        )
    )
    run.add(ev.RunPaused(reason="failure", path="failover/switch", because="not true: exit == 0 (exit is 1)", exit=7))
    run.reboot()
    run.add(ev.RunResumed(operator="ops", node="control-1", version="0.1.0"), 30)
    run.add(
        ev.Answered(
            id="q2",
            choice="retry",
            by="ops",
            accepted=True,
            role="operator",
            reason="old pid killed",
            given_at=run.now.micros - 2 * SECOND,
            proof="claimed by ops, not proven",
        )
    )
    run.add(
        ev.StepFinished(
            path="failover/switch",
            attempt=0,
            outcome="not_run",
            final=False,
            by="ops",
            because="to be tried again: old pid killed",
        )
    )
    run.act(
        "failover/switch",
        "gw1",
        attempt=2,
        text="traffic.switch to db2",
        kind="traffic.switch",
        effect="idempotent",
        title="Send the users to the standby",
        found=True,
        because="found done (in doubt; the backend file names db2)",
    )
    run.add(ev.MarkSet(name="traffic_switched", value={"$time": run.now.micros}, path="failover/switch"))
    run.over("failover")


def verify(run: RunBuilder) -> None:
    run.phase("verify", "Prove that it works")
    run.look("verify/up", kind="http.check", text="GET http://invoices.example/healthz", outputs={"status": 200})
    run.add(ev.MarkSet(name="service_restored", value={"$time": run.now.micros - 2 * SECOND}, path="verify/up"))
    run.look(
        "verify/count",
        "db2",
        kind="postgres.query",
        title="核对发票数量",
        text="select count(*) from invoices",
        captures={"lost": 0, "found": 20002},
    )
    run.add(ev.MarkSet(name="data_loss", value={"$us": 240_000}, path="verify/count"))
    run.add(ev.MarkSet(name="invoices_lost", value=0, path="verify/count"))
    run.add(ev.MarkSet(name="invoices_recovered", value=20002, path="verify/count"))
    run.add(ev.StepStarted(path="verify/feedback", kind="manual", title="Ask two users"))
    run.add(
        ev.Asked(
            id="q3",
            kind="manual",
            path="verify/feedback",
            text="Ask two users whether they can issue invoices.",
            choices=("done", "not_done"),
            fields=(
                {"name": "works", "type": "bool", "ask": "Can they?", "of": []},
                {"name": "remark", "type": "text", "ask": "What did they say?", "of": [], "optional": True},
            ),
        )
    )
    run.add(
        ev.Answered(
            id="q3",
            choice="done",
            by="mei",
            accepted=True,
            role="operator",
            given_at=run.now.micros + 20 * SECOND,
            values={"works": True, "remark": "慢, but fine"},
            proof="claimed by mei, not proven",
        ),
        20,
    )
    run.add(
        ev.StepFinished(
            path="verify/feedback",
            outcome="ok",
            because="done by mei",
            outputs={"works": True, "remark": "慢, but fine"},
        )
    )
    run.over("verify")
    run.phase("failback")
    run.over("failback", "skipped", "inputs.failback is false")
    run.add(
        ev.StepFinished(path="failback/rebuild", outcome="skipped", attempt=0, because="phase failback was skipped")
    )


def closing(run: RunBuilder) -> None:
    run.add(ev.NoteAdded(by="mei", text="action: put the port check into preflight", given_at=run.now.micros))
    run.add(ev.DeviationNoted(path="failover/switch", what="not restored", because="gw1: maintenance page is still on"))
    run.add(
        ev.RunClosed(
            state="exceptions",
            exit=11,
            because="1 exception(s)",
            exceptions=("failover/switch: not restored (gw1: maintenance page is still on)",),
        )
    )


def full_run(**first: Any) -> RunBuilder:  # noqa: ANN401 - fields of events
    """A whole run: diagnosis, fence, approval, failure and retry, crash and resume, marks, notes, close."""
    run = RunBuilder()
    opened(run, **first)
    diagnose(run)
    failover(run)
    verify(run)
    closing(run)
    return run


def waiting_run() -> RunBuilder:
    """A run that waits for an approval, paused because nobody was there."""
    run = RunBuilder()
    opened(run)
    diagnose(run)
    run.phase("failover", "Move to the standby")
    run.add(
        ev.Asked(
            id="q1",
            kind="approval",
            path="failover/promote",
            target="db2",
            by=("commander", "deputy"),
            choices=("approve", "reject"),
            until_at=run.now.micros + 600 * SECOND,
            show=(("steps.loss.lag", "0.24s"),),
            digest="aa" * 32,
            text="Promote db2?\nAfter this db1 cannot come back without a rebuild.\nIt will send: pg_ctl promote",
        )
    )
    run.add(
        ev.RunPaused(
            reason="question", path="failover/promote", because="approval by commander or deputy is needed", exit=6
        )
    )
    return run


def failed_run(*, doubt: bool = False) -> RunBuilder:
    """A run that stands at a failed step, or at one in doubt."""
    run = RunBuilder()
    opened(run)
    run.phase("failover", "Move to the standby")
    run.act("failover/stop", "db1", text="systemctl stop postgresql")
    stderr = run.keep("invoice: cannot bind 127.0.0.1:8081\n")
    outcome, because = (
        ("in_doubt", "link lost after 12s; there is no look that could tell")
        if doubt
        else ("failed", "not true: exit == 0 (exit is 1)")
    )
    run.act(
        "failover/app",
        "app2",
        text="systemctl restart invoice",
        outcome=outcome,
        because=because,
        exit=None if doubt else 1,
        out={"stderr": stderr},
        effect_there=False,
        after=12.4,
    )
    kind = "doubt" if doubt else "failure"
    choices = ("done", "not_done", "look", "abort") if doubt else ("retry", "skip", "done", "abort")
    run.add(
        ev.Asked(
            id="q1",
            kind=kind,
            path="failover/app",
            text=f"app {outcome}: {because}\nHint: kill the old pid",
            choices=choices,
            digest="1",
        )
    )
    run.add(ev.RunPaused(reason=kind, path="failover/app", because=because, exit=10 if doubt else 7))
    return run
