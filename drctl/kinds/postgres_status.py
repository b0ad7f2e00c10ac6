"""The kind `postgres.status`: whether a PostgreSQL server accepts connections, its role, lag and position."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any, ClassVar

from drctl.core.kind import Criterion, LookKind, Outputs, Place, arg
from drctl.core.nouns import dataclass
from drctl.core.ports import Command, Facts, Probe, Reach, Reply
from drctl.core.values import Duration, Time, Unknown, Value, parse_json
from drctl.kinds.commands import none, shown, streams, unanswered
from drctl.kinds.psql import CANNOT_CONNECT, psql, sql_complaint

STATUS_SQL = """\
SELECT row_to_json(s) FROM (
  SELECT pg_is_in_recovery() AS in_recovery,
    CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END AS lsn,
    CASE WHEN pg_is_in_recovery()
      THEN coalesce((SELECT received_tli FROM pg_stat_wal_receiver), (SELECT timeline_id FROM pg_control_checkpoint()))
      ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int END AS timeline,
    (SELECT system_identifier::text FROM pg_control_system()) AS system_id,
    (extract(epoch FROM pg_last_xact_replay_timestamp()) * 1000000)::bigint::text AS replayed_us,
    CASE WHEN pg_is_in_recovery() THEN (extract(epoch FROM clock_timestamp() - coalesce(
      (SELECT last_msg_receipt_time FROM pg_stat_wal_receiver
        WHERE status = 'streaming' AND pg_last_wal_replay_lsn() >= latest_end_lsn
          AND pg_last_wal_replay_lsn() >= pg_last_wal_receive_lsn()),
      pg_last_xact_replay_timestamp())) * 1000000)::bigint::text END AS lag_us
) s;
"""
"""The figures of a server as one JSON object; times and lengths in microseconds, as text."""

_SCRIPT = """\
command -v psql >/dev/null 2>&1 || { echo "psql is not on this host" >&2; exit 127; }
rc=0; psql -X -q -A -t -v ON_ERROR_STOP=1 -f - || rc=$?
if [ "$rc" -eq 2 ] && command -v pg_isready >/dev/null 2>&1; then
  ready=0; pg_isready -q -t 2 || ready=$?
  echo "ready $ready"
fi
exit "$rc"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresStatus(LookKind):
    """Asks a PostgreSQL server on its own host how it is.

    `accepting` is false when psql cannot connect because nobody answers or the server turns everyone away (starting,
    shutting down): that is an answer. A server that answers but refuses this login leaves it without a value.

    `lag` is how old what this standby holds may be, at most: while it streams and has replayed all it was sent, the
    time since the primary was last heard (up to half of `wal_sender_timeout` when nobody writes); else the time since
    the last transaction it replayed was committed. It never understates a loss, and it goes on growing when the
    primary is dead; `replayed_at`, the commit time of that transaction, stays: the loss is the time of the fault minus
    it. On a primary both have no value. `lsn` is the position written (primary) or replayed (standby).
    """

    NAME: ClassVar[str] = "postgres.status"
    PLACE: ClassVar[Place] = Place.EITHER
    OUTPUTS: ClassVar[Mapping[str, str]] = {
        "accepting": "bool",
        "in_recovery": "bool",
        "lag": "duration",
        "replayed_at": "time",
        "lsn": "text",
        "timeline": "int",
        "system_id": "text",
    }
    CRITERIA: ClassVar[tuple[Criterion, ...]] = (Criterion(text="accepting", fields=frozenset({"accepting"})),)
    EXAMPLE: ClassVar[str] = """
- {id: db, do: postgres.status, on: db-primary, observe: true}
- {id: loss, do: postgres.status, on: db-standby, expect: [in_recovery, lag <= 5m]}
"""

    db: str = arg(
        type="text", doc="Database of the inventory; the only one if not given.", default="", entry="database"
    )

    def look(self, probe: Probe) -> Outputs:
        """Ask once."""
        return read_status(ask(probe, self.db))

    def describe(self, facts: Facts) -> str:
        """Connection, SQL and script."""
        return shown(_command(facts, self.db))


def ask(probe: Probe, db: str) -> Reply:
    """Take the look that `postgres.status` takes; `postgres.promote` judges by the same one."""
    return probe.shell.read(dataclasses.replace(_command(probe.facts, db), timeout=probe.timeout))


def _command(facts: Facts, db: str) -> Command:
    return psql(facts, db, f"SET default_transaction_read_only = on;\n{STATUS_SQL}", {}, script=_SCRIPT)


def read_status(reply: Reply) -> Outputs:
    """The outputs of the look, whatever came back."""
    if reply.reach is not Reach.COMPLETE:
        return unanswered(PostgresStatus, reply)
    if reply.exit == 0:
        values = status_values(reply.stdout.decode(errors="replace"))
        because = _words(values)
    else:
        because = sql_complaint(reply)
        values = dict.fromkeys(PostgresStatus.OUTPUTS, none(because))
        values["accepting"] = _accepting(reply, because)
    return Outputs(values=values, because=because, streams=streams(reply), whole=reply.whole, host_key=reply.host_key)


def _accepting(reply: Reply, because: str) -> bool | Unknown:
    """What a failed psql says about the server."""
    if reply.exit != CANNOT_CONNECT:
        # a statement failed, so there was a connection; any other exit code is psql's own trouble
        return True if b"ERROR:" in reply.stderr else none(because)
    ready = re.search(rb"^ready ([0-9]+)$", reply.stdout, re.MULTILINE)
    if ready and ready[1] == b"0":
        return none(f"the server answers, but not to this login: {because}")
    if ready and ready[1] == b"3":
        return none(because)
    return False


def status_values(text: str) -> dict[str, Value | Unknown]:
    """The declared outputs from the JSON of `STATUS_SQL`."""
    decoded = parse_json(text.strip())
    if not isinstance(decoded, Mapping):
        return dict.fromkeys(PostgresStatus.OUTPUTS, none("psql gave no figures"))
    figures: Mapping[str, Any] = decoded
    in_recovery = figures.get("in_recovery") is True
    missing = none("nothing was replayed since it started" if in_recovery else "this server is no standby")
    lag, replayed = figures.get("lag_us"), figures.get("replayed_us") if in_recovery else None
    return {
        "accepting": True,
        "in_recovery": in_recovery,
        "lag": Duration(max(0, int(lag))) if lag is not None else missing,
        "replayed_at": Time(int(replayed)) if replayed is not None else missing,
        **{
            name: figures[name] if figures.get(name) is not None else none(f"the server gives no {name}")
            for name in ("lsn", "timeline", "system_id")
        },
    }


def _words(values: Mapping[str, Value | Unknown]) -> str:
    role = "standby" if values["in_recovery"] is True else "primary"
    lag = values["lag"]
    behind = f", at most {lag.human()} behind" if isinstance(lag, Duration) else ""
    return f"{role} on timeline {values['timeline']}{behind}"
