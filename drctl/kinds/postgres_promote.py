"""The kind `postgres.promote`: makes a standby the primary."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, ClassVar

from drctl.core.kind import Change, CommandAct, Criterion, FieldError, Outputs, Preview, Seen, Verdict, arg
from drctl.core.nouns import dataclass
from drctl.core.outcomes import Effect
from drctl.core.values import Duration, Unknown, Value
from drctl.kinds.commands import ACT_LIMIT, none, shown, streams
from drctl.kinds.postgres_status import STATUS_SQL, ask, read_status, status_values
from drctl.kinds.psql import psql, sql_complaint

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drctl.core.ports import Command, Facts, Probe, Reply

_LEAST_WAIT = Duration.parse("1s")
_MOST_WAIT = Duration.parse("1h")


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresPromote(CommandAct):
    """Promotes a PostgreSQL standby on its own host and waits until it accepts writes.

    A run that has not proven a fence of the old primary (`fence.host`) is refused: two primaries make two histories of
    one database. The proof is looked at once more right before. A server that is a
    primary already is left as it is. The step fails when the server does not leave recovery within `wait`; it may
    still do so later, and `verify` looks.

    There is no inverse: the old primary can come back only as a standby of this one, by a failback.
    """

    NAME: ClassVar[str] = "postgres.promote"
    OUTPUTS: ClassVar[Mapping[str, str]] = {
        "exit": "int",
        "in_recovery": "bool",
        "timeline": "int",
        "lsn": "text",
    }
    CRITERIA: ClassVar[tuple[Criterion, ...]] = (
        Criterion(text="exit == 0", fields=frozenset({"exit"})),
        Criterion(text="not in_recovery", fields=frozenset({"in_recovery"})),
    )
    EFFECT: ClassVar[Effect | None] = Effect.ONCE
    REQUIRES_FENCE: ClassVar[bool] = True
    NO_INVERSE: ClassVar[str] = "a promoted server has a history of its own; the way back is a failback"
    EXAMPLE: ClassVar[str] = """
- {id: loss, do: postgres.status, on: db-standby, expect: [in_recovery, lag <= 5m]}
- id: promote
  do: postgres.promote
  on: db-standby
  caution: The old primary cannot come back without a rebuild.
  recheck: [loss]
  point_of_no_return: true
"""

    db: str = arg(
        type="text", doc="Database of the inventory; the only one if not given.", default="", entry="database"
    )
    wait: Duration = arg(type="duration", doc="How long promotion may take.", default=Duration.parse("1m"))

    def __post_init__(self) -> None:
        if not _LEAST_WAIT <= self.wait <= _MOST_WAIT:
            raise FieldError("wait", f"{self.wait} is not a time to wait", f"1s to {_MOST_WAIT.human()}")

    def command(self, facts: Facts) -> Command:
        """Promote and wait, then give the figures that `postgres.status` gives."""
        seconds = self.wait.micros // 1_000_000
        sql = f"""\
DO $drctl$ BEGIN
  IF pg_is_in_recovery() AND NOT pg_promote(true, {seconds}) THEN
    RAISE EXCEPTION 'the server is still in recovery after {seconds} s';
  END IF;
END $drctl$;
{STATUS_SQL}"""
        return dataclasses.replace(psql(facts, self.db, sql, {}), timeout=ACT_LIMIT)

    def outputs(self, reply: Reply) -> Outputs:
        """What the server is after the promotion."""
        exit_code = none(sql_complaint(reply)) if reply.exit is None else reply.exit
        values: dict[str, Value | Unknown] = dict.fromkeys(
            ("in_recovery", "timeline", "lsn"), none(sql_complaint(reply))
        )
        if reply.exit == 0:
            figures = status_values(reply.stdout.decode(errors="replace"))
            values = {name: figures[name] for name in values}
        because = f"primary on timeline {values['timeline']}" if reply.exit == 0 else sql_complaint(reply)
        return Outputs(
            values={"exit": exit_code, **values},
            because=because,
            streams=streams(reply),
            whole=reply.whole,
            host_key=reply.host_key,
        )

    def describe(self, facts: Facts) -> str:
        """Connection, SQL and script."""
        return shown(self.command(facts))

    def preview(self, probe: Probe) -> Preview:
        """Look at the server's role."""
        found = self._status(probe)
        in_recovery = found.values["in_recovery"]
        if isinstance(in_recovery, Unknown):
            return Preview(change=Change.CANNOT_TELL, because=found.because)
        prior = {
            name: value
            for name, value in found.values.items()
            if name in {"in_recovery", "timeline", "lsn"} and not isinstance(value, Unknown)
        }
        change = Change.WOULD_CHANGE if in_recovery else Change.NO_CHANGE
        return Preview(change=change, because=found.because, prior=prior)

    def verify(self, probe: Probe) -> Verdict:
        """Done when the server answers and is not in recovery."""
        found = self._status(probe)
        in_recovery = found.values["in_recovery"]
        if isinstance(in_recovery, Unknown):
            return Verdict(seen=Seen.UNKNOWN, because=found.because)
        return Verdict(seen=Seen.NOT_DONE if in_recovery else Seen.DONE, because=found.because)

    def _status(self, probe: Probe) -> Outputs:
        return read_status(ask(probe, self.db))
