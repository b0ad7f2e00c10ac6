"""Hand-written runs for the views: a small builder, and one full run with everything an auditor may meet in it."""

import dataclasses
import hashlib

from drctl.core import events as ev
from drctl.core.fold import Entry, RunState
from drctl.core.values import Time

START = Time.parse("2026-11-22T02:11:00Z")
HOST_KEY = "SHA256:Zm9yLXRoZS10ZXN0cy1vbmx5LW5vLXJlYWwta2V5"
SECOND = 1_000_000


class RunBuilder:
    """Collects entries; every event happens some seconds after the last."""

    def __init__(self, *, start: Time = START) -> None:
        self.entries: list[Entry] = []
        self.outputs: dict[str, bytes] = {}
        self._now = start.micros
        self._boot = "b00t"

    @property
    def now(self) -> Time:
        return Time(self._now)

    def add(self, event: ev.Event, after: float = 1.0, actor: str = "ops") -> Entry:
        """Add an event `after` seconds; it goes through the record form, as a real one does."""
        self._now += int(after * SECOND)
        decoded = ev.decode(event.TYPE, ev.encode(event))
        entry = Entry(
            seq=len(self.entries), at=self.now, mono=self._now - START.micros + 5 * SECOND, boot=self._boot,
            actor=actor, event=decoded,
        )  # fmt: skip
        self.entries.append(entry)
        return entry

    def reboot(self) -> None:
        """The control node crashes: from now on another boot id."""
        self._boot = "b00t2"

    def keep(self, text: str | bytes) -> str:
        """Keep an output; gives its digest."""
        data = text.encode() if isinstance(text, str) else text
        digest = hashlib.sha256(data).hexdigest()
        self.outputs[digest] = data
        return digest

    def look(self, path: str, host: str = "", outcome: str = "ok", *, text: str = "", after: float = 2.0, **more: object) -> None:
        """A look: begun, command, end."""
        self.add(ev.StepStarted(path=path, host=host, kind=str(more.pop("kind", "shell")), text=text, title=str(more.pop("title", ""))), 0.5)
        self.add(ev.CommandRan(path=path, host=host, state="complete", host_key=HOST_KEY if host else ""), after / 2)
        self.add(ev.StepFinished(path=path, host=host, outcome=outcome, **more), after / 2)  # type: ignore[arg-type]

    def act(self, path: str, host: str, *, text: str, attempt: int = 1, after: float = 3.0, **more: object) -> None:
        """An act: intent, evidence, end."""
        begun = {n: more.pop(n) for n in ("effect", "title", "kind", "no_return", "undo", "restore", "role") if n in more}
        out = more.pop("out", {})
        exit_ = more.pop("exit", 0)
        start: dict[str, object] = {"effect": "once", "role": ev.Role.ACT, "kind": "shell"} | begun
        self.add(ev.StepStarted(path=path, host=host, attempt=attempt, text=text, digest="d1" * 32, key="k1" * 32, **start), 0.5)  # type: ignore[arg-type]
        self.add(
            ev.CommandRan(path=path, host=host, attempt=attempt, state="ran", exit=exit_, out=out, host_key=HOST_KEY, elapsed_us=int(after * SECOND)),  # type: ignore[arg-type]
            after - 0.2,
        )
        end: dict[str, object] = {"outcome": "ok", "effect_there": True, "elapsed_us": int(after * SECOND)} | more
        self.add(ev.StepFinished(path=path, host=host, attempt=attempt, role=start["role"], **end), 0.2)  # type: ignore[arg-type]

    def phase(self, path: str, title: str = "") -> None:
        """A phase begins."""
        self.add(ev.BlockStarted(path=path, form="phase", title=title), 0.1)

    def over(self, path: str, outcome: str = "ok", because: str = "") -> None:
        """A phase or block ends."""
        self.add(ev.BlockFinished(path=path, outcome=outcome, because=because), 0.1)

    def state(self) -> RunState:
        """The fold."""
        return RunState.of(self.entries)

    def get(self, digest: str) -> bytes:
        """A kept output, as a run folder gives it."""
        return self.outputs[digest]


def opened(builder: RunBuilder, **more: object) -> None:
    """The first records."""
    base = ev.RunOpened(
        uid="0123456789abcdef0123456789abcdef", id="8F2KQ", runbook="invoice-outage", title="Bring the invoice system back",
        environment="lab", inventory="lab", operator="ops", node="control-1", version="0.1.0", plan_digest="9c1e" * 16,
        plan_parts=1, rto_us=15 * 60 * SECOND, rpo_us=5 * 60 * SECOND, language="en", zone="Asia/Shanghai",
    )  # fmt: skip
    builder.add(dataclasses.replace(base, **more), 0)  # type: ignore[arg-type]
    frozen = (
        '{"files":{},"inputs":{"fault_at":{"$time":1795313400000000},"reporter":"mei","severity":"sev2",'
        '"scope":"all companies; invoices cannot be issued","password":{"$secret":"env:PW"}},"inventory":"lab.yaml",'
        '"inventory_files":{},"language":"en","mode":"live","runbook":"invoice-outage.yaml","v":1}'
    )
    builder.add(ev.PlanPart(index=0, of=1, text=frozen), 0)
    builder.add(ev.PreflightFinished(phase="*", ok=True, hosts=("db1", "db2", "gw1"), warnings=("db1: connection refused",)))


def diagnose(run: RunBuilder) -> None:
    run.phase("diagnose", "Find the kind of fault")
    run.look("diagnose/look/web", kind="http.check", outcome="failed", observed=True, text="GET http://invoices.example/healthz",
             because="not true: status < 400 (status is 502)", outputs={"status": 502, "latency": {"$us": 3100}})  # fmt: skip
    run.look("diagnose/look/db", "db1", outcome="unreachable", observed=True, kind="postgres.status", because="connection refused")
    run.add(ev.StepStarted(path="diagnose/fault", kind="decide", title="Which kind of fault is it?"))
    run.add(ev.StepFinished(path="diagnose/fault", outcome="ok", because="steps.db.failed is true", outputs={"value": "hardware"}))
    run.add(ev.MarkSet(name="fault", value={"$time": START.micros - 95 * SECOND}, path="diagnose/fault"))
    run.add(ev.MarkSet(name="detected", value={"$time": START.micros - 20 * SECOND}, path="diagnose/fault"))
    run.over("diagnose")


def failover(run: RunBuilder) -> None:
    run.phase("failover", "Move to the standby")
    run.add(ev.PreflightFinished(phase="failover", ok=True, hosts=("db2", "gw1")))
    run.look("failover/loss", "db2", kind="postgres.status", text="psql -X -c 'select ...'", title="How much would be lost?",
             captures={"lag": {"$us": 240_000}}, outputs={"in_recovery": True})  # fmt: skip
    run.add(ev.BlockStarted(path="failover/fence", form="fence", host="db1", title="Fence the old primary"))
    run.act("failover/fence/methods/0", "db1", text="systemctl stop postgresql", outcome="unreachable", effect="idempotent",
            role=ev.Role.METHOD, because="connection refused", effect_there=False, exit=None)  # fmt: skip
    run.act("failover/fence/methods/1", "local", text="POST http://power.example/db1/off", kind="http.request",
            effect="idempotent", role=ev.Role.METHOD)  # fmt: skip
    run.add(ev.StepStarted(path="failover/fence/proof/0", role=ev.Role.VERIFY, kind="http.check"))
    run.add(ev.StepFinished(path="failover/fence/proof/0", role=ev.Role.VERIFY, outcome="ok", because="power is off"))
    run.add(ev.BlockFinished(path="failover/fence", outcome="ok", because="proven", host="db1"))
    run.add(ev.MarkSet(name="fenced", value={"$time": run.now.micros}, path="failover/fence"))
    approval(run)
    run.act("failover/promote", "db2", text="psql -c 'select pg_promote()'", kind="postgres.promote", effect="irreversible",
            title="Make the standby the primary", no_return=True, undo={"none": "the old primary needs a rebuild"},
            captures={"timeline": 2})  # fmt: skip
    switch(run)


def approval(run: RunBuilder) -> None:
    run.add(ev.Asked(
        id="q1", kind="approval", path="failover/promote", target="db2", by=("commander",), choices=("approve", "reject"),
        until_at=run.now.micros + 600 * SECOND, show=(("steps.loss.lag", "0.24s"), ("审批金额", "无")), digest="aa" * 32,
        text="Make the standby the primary on db2?\nThe old primary cannot come back without a rebuild.\n"
             "It will send: psql -c 'select pg_promote()'",
    ))  # fmt: skip
    run.add(ev.Answered(
        id="q1", choice="approve", by="ops", accepted=False, proof="claimed by ops, not proven", given_at=run.now.micros + 12 * SECOND,
        because="ops runs this and cannot approve it: another pair of eyes is needed", role="commander",
    ), 12)  # fmt: skip
    run.add(ev.NoteAdded(by="mei", text="Phoned the commander, 指挥员已知情", given_at=run.now.micros - 8 * SECOND), 5)
    run.add(ev.Answered(
        id="q1", choice="approve", by="commander", accepted=True, role="commander", simulated=True, reason="IC agrees",
        proof="claimed by lab, not proven", given_at=run.now.micros + 24 * SECOND,
    ), 24)  # fmt: skip


def switch(run: RunBuilder) -> None:
    """Fails once, is tried again by a person, and then found in doubt after a crash of the control node."""
    stderr = run.keep("nginx: [emerg] \x1b[31mbind() to 127.0.0.1:8081 failed\x1b[0m (98: Address already in use)\n<script>alert(1)</script>\n")
    run.act("failover/switch", "gw1", text="traffic.switch to db2", kind="traffic.switch", effect="idempotent", exit=1,
            outcome="failed", effect_there=False, because="not true: exit == 0 (exit is 1)", out={"stderr": stderr},
            title="Send the users to the standby")  # fmt: skip
    run.add(ev.Asked(id="q2", kind="failure", path="failover/switch", text="switch failed: exit is 1\nHint: kill the old pid",
                     choices=("retry", "skip", "done", "abort"), digest="1"))  # fmt: skip
    run.add(ev.RunPaused(reason="failure", path="failover/switch", because="not true: exit == 0 (exit is 1)", exit=7))
    run.reboot()
    run.add(ev.RunResumed(operator="ops", node="control-1", version="0.1.0"), 30)
    run.add(ev.Answered(id="q2", choice="retry", by="ops", accepted=True, role="operator", reason="old pid killed",
                        given_at=run.now.micros - 2 * SECOND, proof="claimed by ops, not proven"))  # fmt: skip
    run.add(ev.StepFinished(path="failover/switch", attempt=0, outcome="not_run", final=False, by="ops",
                            because="to be tried again: old pid killed"))  # fmt: skip
    run.act("failover/switch", "gw1", attempt=2, text="traffic.switch to db2", kind="traffic.switch", effect="idempotent",
            title="Send the users to the standby", found=True, because="found done (in doubt; the backend file names db2)")  # fmt: skip
    run.add(ev.MarkSet(name="traffic_switched", value={"$time": run.now.micros}, path="failover/switch"))
    run.over("failover")


def verify(run: RunBuilder) -> None:
    run.phase("verify", "Prove that it works")
    run.look("verify/up", kind="http.check", text="GET http://invoices.example/healthz", outputs={"status": 200})
    run.add(ev.MarkSet(name="service_restored", value={"$time": run.now.micros - 2 * SECOND}, path="verify/up"))
    run.look("verify/count", "db2", kind="postgres.query", title="核对发票数量", text="select count(*) from invoices",
             captures={"lost": 0, "found": 20002})  # fmt: skip
    run.add(ev.MarkSet(name="data_loss", value={"$us": 240_000}, path="verify/count"))
    run.add(ev.MarkSet(name="invoices_lost", value=0, path="verify/count"))
    run.add(ev.MarkSet(name="invoices_recovered", value=20002, path="verify/count"))
    run.add(ev.StepStarted(path="verify/feedback", kind="manual", title="Ask two users"))
    run.add(ev.Asked(id="q3", kind="manual", path="verify/feedback", text="Ask two users whether they can issue invoices.",
                     choices=("done", "not_done"), fields=({"name": "works", "type": "bool", "ask": "Can they?", "of": []},
                     {"name": "remark", "type": "text", "ask": "What did they say?", "of": [], "optional": True})))  # fmt: skip
    run.add(ev.Answered(id="q3", choice="done", by="mei", accepted=True, role="operator", given_at=run.now.micros + 20 * SECOND,
                        values={"works": True, "remark": "慢, but fine"}, proof="claimed by mei, not proven"), 20)  # fmt: skip
    run.add(ev.StepFinished(path="verify/feedback", outcome="ok", because="done by mei", outputs={"works": True, "remark": "慢, but fine"}))
    run.over("verify")
    run.phase("failback")
    run.over("failback", "skipped", "inputs.failback is false")
    run.add(ev.StepFinished(path="failback/rebuild", outcome="skipped", attempt=0, because="phase failback was skipped"))


def closing(run: RunBuilder) -> None:
    run.add(ev.NoteAdded(by="mei", text="action: put the port check into preflight", given_at=run.now.micros))
    run.add(ev.DeviationNoted(path="failover/switch", what="not restored", because="gw1: maintenance page is still on"))
    run.add(ev.RunClosed(state="exceptions", exit=11, because="1 exception(s)",
                         exceptions=("failover/switch: not restored (gw1: maintenance page is still on)",)))  # fmt: skip


def full_run(**first: object) -> RunBuilder:
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
    run.add(ev.Asked(
        id="q1", kind="approval", path="failover/promote", target="db2", by=("commander", "deputy"),
        choices=("approve", "reject"), until_at=run.now.micros + 600 * SECOND, show=(("steps.loss.lag", "0.24s"),),
        digest="aa" * 32, text="Promote db2?\nAfter this db1 cannot come back without a rebuild.\nIt will send: pg_ctl promote",
    ))  # fmt: skip
    run.add(ev.RunPaused(reason="question", path="failover/promote", because="approval by commander or deputy is needed", exit=6))
    return run


def failed_run(*, doubt: bool = False) -> RunBuilder:
    """A run that stands at a failed step, or at one in doubt."""
    run = RunBuilder()
    opened(run)
    run.phase("failover", "Move to the standby")
    run.act("failover/stop", "db1", text="systemctl stop postgresql")
    stderr = run.keep("invoice: cannot bind 127.0.0.1:8081\n")
    outcome, because = ("in_doubt", "link lost after 12s; there is no look that could tell") if doubt else ("failed", "not true: exit == 0 (exit is 1)")
    run.act("failover/app", "app2", text="systemctl restart invoice", outcome=outcome, because=because, exit=None if doubt else 1,
            out={"stderr": stderr}, effect_there=False, after=12.4)  # fmt: skip
    kind = "doubt" if doubt else "failure"
    choices = ("done", "not_done", "look", "abort") if doubt else ("retry", "skip", "done", "abort")
    run.add(ev.Asked(id="q1", kind=kind, path="failover/app", text=f"app {outcome}: {because}\nHint: kill the old pid", choices=choices, digest="1"))
    run.add(ev.RunPaused(reason=kind, path="failover/app", because=because, exit=10 if doubt else 7))
    return run
