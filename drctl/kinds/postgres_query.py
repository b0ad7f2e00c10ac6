"""The kind `postgres.query`: one SELECT in a read-only transaction."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, ClassVar

from drctl.core.kind import Criterion, LookKind, Outputs, arg
from drctl.core.nouns import dataclass
from drctl.core.ports import MEBIBYTE, Command, Facts, Probe, Reach
from drctl.core.values import Unknown, parse_json
from drctl.kinds.commands import LOOK_LIMIT, none, shown, stream_text, streams, unanswered
from drctl.kinds.psql import check_args, one_query, psql, sql_complaint

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drctl.core.values import Duration, Secret, Value

_ROWS = "SELECT coalesce(json_agg(q), '[]') FROM (\n{sql}\n) AS q;"


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresQuery(LookKind):
    """Asks a PostgreSQL server one query, on the database's own host.

    The query runs as a subselect of a read-only transaction that is rolled back, with the step's limit as its
    `statement_timeout`: nothing can be written. It is one SELECT, VALUES or TABLE; `rows` is a list of maps by column
    name, `count` their number. Figures are exact, times are text in RFC 3339 (`time(rows[0].at)`), other types are as
    PostgreSQL writes them in JSON. An answer above 1 MiB has no value.

    Values go by `args` and are written `:'name'` in the query (as a number: `:'limit'::int`), never into the text.
    Read-only does not bind functions that act outside the tables, such as `pg_terminate_backend`: use no such function.
    """

    NAME: ClassVar[str] = "postgres.query"
    OUTPUTS: ClassVar[Mapping[str, str]] = {"rows": "list", "count": "int"}
    CRITERIA: ClassVar[tuple[Criterion, ...]] = (Criterion(text="known(rows)", fields=frozenset({"rows", "count"})),)
    EXAMPLE: ClassVar[str] = """
- id: newest
  on: db-standby
  do: postgres.query
  with:
    sql: "SELECT count(*) AS n, max(issued_at) AS at FROM invoices WHERE company = :'company'"
    args: {company: Alpha}
  expect: rows[0].n > 0
  capture: {at: "time(rows[0].at)"}
"""

    sql: str = arg(type="sql", doc="One SELECT, VALUES or TABLE.")
    args: Mapping[str, Value | Secret] = arg(
        type="map", doc="Values for `:'name'`; a value may be a secret.", default={}, secret=True
    )
    db: str = arg(
        type="text", doc="Database of the inventory; the only one if not given.", default="", entry="database"
    )

    def __post_init__(self) -> None:
        one_query(self.sql)
        check_args(self.args)

    def look(self, probe: Probe) -> Outputs:
        """Ask once."""
        reply = probe.shell.read(self._command(probe.facts, probe.timeout))
        if reply.reach is not Reach.COMPLETE:
            return unanswered(PostgresQuery, reply)
        text = stream_text(reply.stdout, cut=reply.cut, what="the answer")
        rows: Value | Unknown = text if isinstance(text, Unknown) else parse_json(text)
        because = f"{len(rows)} rows" if isinstance(rows, tuple) else str(rows)
        if reply.exit != 0:
            because = sql_complaint(reply)
        if reply.exit != 0 or not isinstance(rows, tuple):
            rows = none(because)
        return Outputs(
            values={"rows": rows, "count": len(rows) if isinstance(rows, tuple) else rows},
            because=because,
            streams=streams(reply),
            whole=reply.whole,
            host_key=reply.host_key,
        )

    def describe(self, facts: Facts) -> str:
        """Connection, SQL with its values, and script."""
        return shown(self._command(facts, LOOK_LIMIT))

    def _command(self, facts: Facts, timeout: Duration) -> Command:
        milliseconds = max(1, timeout.micros // 1000)
        sql = "\n".join(
            [
                "SET standard_conforming_strings = on;",
                f"SET statement_timeout = {milliseconds};",
                "SET default_transaction_read_only = on;",
                "BEGIN READ ONLY;",
                _ROWS.format(sql=one_query(self.sql)),
                "ROLLBACK;",
            ]
        )
        return dataclasses.replace(psql(facts, self.db, sql, self.args), timeout=timeout, cap=MEBIBYTE)
