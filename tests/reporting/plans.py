"""Hand-written plans for the views."""

from drctl.core.plan import Plan, PlannedStep, Status
from drctl.core.values import Duration

ROWS = (
    PlannedStep(path="diagnose", title="Find the kind of fault", kind="phase", depth=0, status=Status.WOULD_RUN),
    PlannedStep(path="diagnose/look", title="look", kind="parallel", depth=1, status=Status.WOULD_RUN),
    PlannedStep(
        path="diagnose/look/web",
        title="web",
        kind="http.check",
        depth=2,
        status=Status.LOOKED,
        place="local",
        text="GET http://invoices.example/healthz",
        because="status 200, latency 3ms",
    ),
    PlannedStep(
        path="diagnose/look/disk",
        title="磁盘空间检查",
        kind="shell",
        depth=2,
        status=Status.NOT_LOOKED,
        declared=True,
        place="db-primary-with-a-long-name",
        text="df -h\ndf -i",
        because="a shell look, read-only by the author's word alone; --declared-reads yes takes it",
    ),
    PlannedStep(
        path="failover",
        title="Move to the standby",
        kind="phase",
        depth=0,
        status=Status.DEPENDS,
        because="cannot tell yet whether steps.fault.value == 'hardware'",
        unknown=("steps.fault has not run",),
        needs=("when steps.fault.value == 'hardware'",),
    ),
    PlannedStep(
        path="failover/promote",
        title="Make the standby the primary",
        kind="postgres.promote",
        depth=1,
        status=Status.DEPENDS,
        place="db-standby",
        effect="irreversible",
        unknown=("steps.fault has not run",),
        text="pg_ctl promote -D /var/lib/" + "x" * 90,
        because="now: in recovery",
        takes=Duration(5_000_000),
        timeout=Duration(120_000_000),
        back="undo none: needs a rebuild; no way back from here",
        needs=(
            "approval by commander",
            "caution: 旧主库在没有重建的情况下无法恢复。请确认数据丢失量在可接受范围之内。否则立即停止并联系指挥员。",
        ),
    ),
    PlannedStep(
        path="failover/app",
        title="app",
        kind="shell",
        depth=1,
        status=Status.CANNOT_TELL,
        place="app1",
        effect="once",
        text="systemctl restart invoice",
        because="the unit's state cannot be read",
        back="undo by the kind itself",
        unknown=("the unit's state cannot be read",),
    ),
    PlannedStep(
        path="failover/up",
        title="up",
        kind="http.check",
        depth=1,
        status=Status.NOW,
        text="GET http://x/healthz",
        because="now: failed (status is 502)",
        declared=True,
    ),
    PlannedStep(
        path="failover/skipped",
        title="skipped",
        kind="http.check",
        depth=1,
        status=Status.WOULD_SKIP,
        because="inputs.x is false",
    ),
)


def plan(*extra: PlannedStep) -> Plan:
    """A plan with every kind of row; `extra` rows come last."""
    return Plan(
        runbook="invoice-outage",
        title="恢复发票系统",
        digest="9c" * 32,
        inventory="lab",
        environment="lab",
        rto=Duration(900_000_000),
        rpo=None,
        rows=(*ROWS, *extra),
        warnings=("db2: replay lag 2s",),
        inputs={"severity": "sev2", "password": "***", "note": "two words", "fault_at": "unknown (not answered)"},
    )
