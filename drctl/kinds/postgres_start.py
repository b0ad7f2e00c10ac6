"""The kind `postgres.start`: starts a PostgreSQL server and waits until it accepts connections."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, ClassVar

from drctl.core.kind import (
    ActKind,
    Change,
    CommandAct,
    Criterion,
    Either,
    FieldError,
    Outputs,
    Preview,
    Seen,
    Verdict,
    arg,
)
from drctl.core.nouns import dataclass
from drctl.core.outcomes import Effect
from drctl.core.ports import Command, Reach
from drctl.core.values import Duration, Unknown, Value
from drctl.kinds.commands import ACT_LIMIT, complaint, none, shown, streams
from drctl.kinds.postgres_status import STATUS_SQL, ask, read_status, status_values
from drctl.kinds.psql import psql
from drctl.kinds.service import Service
from drctl.kinds.shell import Shell

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drctl.core.ports import Facts, Probe, Reply

_LEAST_WAIT = Duration.parse("1s")
_MOST_WAIT = Duration.parse("1h")

# pg_ctl is in no PATH on Debian; the folder of the cluster says which version it wants.
_PG_CTL = """\
pg_ctl=$(command -v pg_ctl) || pg_ctl=/usr/lib/postgresql/$(cat "$DATA/PG_VERSION")/bin/pg_ctl
"""
_START = f"""\
command -v psql >/dev/null 2>&1 || {{ echo "psql is not on this host" >&2; exit 127; }}
sql=$(cat)
ask() {{ printf '%s\\n' "$sql" | psql -X -q -A -t -v ON_ERROR_STOP=1 -f - 2>&1; }}
if said=$(ask); then printf '%s\\n' "$said"; exit 0; fi
if [ -n "$UNIT" ]; then systemctl start "$UNIT"
else
{_PG_CTL}\
  [ -x "$pg_ctl" ] || {{ echo "pg_ctl is not on this host" >&2; exit 127; }}
  "$pg_ctl" -D "$DATA" status >/dev/null || "$pg_ctl" -D "$DATA" -W -s -l "$DATA/start.log" start
fi
end=$(($(date +%s)+WAIT))
until said=$(ask); do
  if [ "$(date +%s)" -ge "$end" ]; then
    printf '%s\\nthe server does not accept connections after %s s\\n' "$said" "$WAIT" >&2
    exit 5
  fi
  sleep 1
done
printf '%s\\n' "$said"
"""
_RUNS = f"""\
{_PG_CTL}[ -x "$pg_ctl" ] || exit 9
"$pg_ctl" -D "$DATA" status >/dev/null
"""
_STATES = {0: True, 3: False}
"""Exit codes of `pg_ctl status`: it runs, it does not; whatever else says neither."""
_STOP = f"""\
{_PG_CTL}"$pg_ctl" -D "$DATA" status >/dev/null || exit 0
"$pg_ctl" -D "$DATA" -m fast -w stop
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresStart(CommandAct):
    """Starts a PostgreSQL server on its own host and waits until it accepts connections.

    Give the systemd `service` (it needs `as: root`), or the `data` folder, for `pg_ctl` as the user who owns it. A
    server that accepts connections is left as it is. The step fails when the server does not within `wait`: a recovery
    from a backup may take long, and `verify` looks later. Whether it starts as a standby is for its configuration to
    say; `in_recovery` tells.

    The inverse stops what was seen not to run before. A server that ran and accepted no connections, such as one in
    recovery, is not stopped, nor one of which nobody knows.
    """

    NAME: ClassVar[str] = "postgres.start"
    OUTPUTS: ClassVar[Mapping[str, str]] = {"exit": "int", "in_recovery": "bool", "timeline": "int", "lsn": "text"}
    CRITERIA: ClassVar[tuple[Criterion, ...]] = (Criterion(text="exit == 0", fields=frozenset({"exit"})),)
    EITHER: ClassVar[tuple[Either, ...]] = (Either(names=("service", "data")),)
    EFFECT: ClassVar[Effect | None] = Effect.IDEMPOTENT
    WAITS: ClassVar[str] = "wait"
    EXAMPLE: ClassVar[str] = """
- {id: start, on: db-standby, as: root, do: postgres.start, with: {service: postgresql, wait: 5m}}
- {id: restored, on: db-standby, do: postgres.start, with: {data: /srv/restore/data}, expect: not in_recovery}
"""

    service: str = arg(type="text", doc="The systemd unit; this or data.", default="")
    data: str = arg(type="text", doc="The server's data folder; this or service.", default="")
    db: str = arg(
        type="text", doc="Database of the inventory; the only one if not given.", default="", entry="database"
    )
    wait: Duration = arg(type="duration", doc="How long the start may take.", default=Duration.parse("1m"))

    def __post_init__(self) -> None:
        self.choose_given()
        if self.service and not re.fullmatch(r"[^-\s/\0][^\s/\0]*", self.service):
            raise FieldError("service", f"{self.service!r} is not the name of a unit")
        if "\0" in self.data or self.data.startswith("-"):
            raise FieldError("data", "this is not the path of a folder")
        if not _LEAST_WAIT <= self.wait <= _MOST_WAIT:
            raise FieldError("wait", f"{self.wait} is not a time to wait", f"1s to {_MOST_WAIT.human()}")

    def command(self, facts: Facts) -> Command:
        """Start, ask until there is an answer, then give the figures that `postgres.status` gives."""
        command = psql(facts, self.db, f"SET default_transaction_read_only = on;\n{STATUS_SQL}", {}, script=_START)
        seconds = self.wait.micros // 1_000_000
        env = {**command.env, "UNIT": self.service, "DATA": self.data, "WAIT": str(seconds)}
        return dataclasses.replace(command, env=env, timeout=ACT_LIMIT)

    def outputs(self, reply: Reply) -> Outputs:
        """What the server is after the start."""
        missing = none(complaint(reply))
        values: dict[str, Value | Unknown] = dict.fromkeys(("in_recovery", "timeline", "lsn"), missing)
        if reply.exit == 0:
            figures = status_values(reply.stdout.decode(errors="replace"))
            values = {name: figures[name] for name in values}
        because = f"accepts connections, timeline {values['timeline']}" if reply.exit == 0 else complaint(reply)
        exit_code = missing if reply.exit is None else reply.exit
        return Outputs(
            values={"exit": exit_code, **values},
            because=because,
            streams=streams(reply),
            whole=reply.whole,
            host_key=reply.host_key,
        )

    def describe(self, facts: Facts) -> str:
        """Unit or folder, connection, SQL and script."""
        return shown(self.command(facts))

    def preview(self, probe: Probe) -> Preview:
        """Ask the server."""
        seen, because = self._seen(probe)
        if seen is Seen.UNKNOWN:
            return Preview(change=Change.CANNOT_TELL, because=because)
        accepting = seen is Seen.DONE
        change = Change.NO_CHANGE if accepting else Change.WOULD_CHANGE
        runs = True if accepting else self._runs(probe)
        prior: dict[str, Value] = {"accepting": accepting}
        if runs is not None:
            prior["running"] = runs
        return Preview(change=change, because=because, prior=prior)

    def verify(self, probe: Probe) -> Verdict:
        """Done when the server accepts connections."""
        seen, because = self._seen(probe)
        return Verdict(seen=seen, because=because)

    def inverse(self, prior: Mapping[str, Value]) -> ActKind | None:
        """Stop what was not running; None when it ran, or nobody knows."""
        if prior.get("running") is not False:
            return None
        if self.service:
            return Service(name=self.service, state="stopped")
        return Shell(argv=("sh", "-euc", _STOP), env={"DATA": self.data})

    def _runs(self, probe: Probe) -> bool | None:
        """Whether the server runs, whatever it says to connections; None when that cannot be told."""
        if self.service:
            active = Service(name=self.service, state="started").preview(probe).prior.get("active")
            return active if isinstance(active, bool) else None
        reply = probe.shell.read(Command(script=_RUNS, env={"DATA": self.data}, timeout=probe.timeout))
        return _STATES.get(reply.exit) if reply.reach is Reach.COMPLETE and reply.exit is not None else None

    def _seen(self, probe: Probe) -> tuple[Seen, str]:
        found = read_status(ask(probe, self.db))
        accepting = found.values["accepting"]
        if isinstance(accepting, Unknown):
            return Seen.UNKNOWN, found.because
        return (Seen.DONE if accepting else Seen.NOT_DONE), found.because
