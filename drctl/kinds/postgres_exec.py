"""The kind `postgres.exec`: SQL that changes something."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, ClassVar

from drctl.core.kind import Change, CommandAct, Criterion, FieldError, Outputs, Preview, Seen, Verdict, arg
from drctl.core.nouns import dataclass
from drctl.core.ports import MEBIBYTE, Command, Facts, Probe, Reply
from drctl.kinds.commands import ACT_LIMIT, command_values, shown, streams
from drctl.kinds.psql import SCRIPT, SCRIPT_IN_ONE_TRANSACTION, check_args, psql, sql_complaint

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drctl.core.outcomes import Effect
    from drctl.core.values import Secret, Value


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresExec(CommandAct):
    """Runs SQL on the database's own host, all of it or nothing: one transaction, stopped by its first error.

    The step states its `effect`; a `once` or `irreversible` one needs a `verify:` and an `undo:`. Values go by `args`
    and are written `:'name'`, never into the text; a value may be a secret. `transaction: false` is for statements that
    refuse to run in one (VACUUM, CREATE DATABASE, ALTER SYSTEM); what ran before an error then stays. `stdout` is what
    the statements gave back, columns parted by `|`, and `json` that text parsed when a statement gave JSON.
    """

    NAME: ClassVar[str] = "postgres.exec"
    OUTPUTS: ClassVar[Mapping[str, str]] = {"exit": "int", "stdout": "text", "stderr": "text", "json": "any"}
    CRITERIA: ClassVar[tuple[Criterion, ...]] = (Criterion(text="exit == 0", fields=frozenset({"exit"})),)
    EFFECT: ClassVar[Effect | None] = None
    VERIFIES: ClassVar[bool] = False
    NO_INVERSE: ClassVar[str] = "only its author knows which SQL takes this back"
    EXAMPLE: ClassVar[str] = """
- id: end_slow
  on: db-standby
  do: postgres.exec
  with:
    sql: |
      SELECT pg_terminate_backend(pid) FROM pg_stat_activity
      WHERE now() - query_start > :'limit'::interval AND pid <> pg_backend_pid()
    args: {limit: 1 minute}
  effect: idempotent
"""

    sql: str = arg(type="sql", doc="The statements.")
    args: Mapping[str, Value | Secret] = arg(
        type="map", doc="Values for `:'name'`; a value may be a secret.", default={}, secret=True
    )
    db: str = arg(
        type="text", doc="Database of the inventory; the only one if not given.", default="", entry="database"
    )
    transaction: bool = arg(type="bool", doc="All in one transaction.", default=True)

    def __post_init__(self) -> None:
        if not self.sql.strip() or "\0" in self.sql:
            raise FieldError("sql", "there are no statements")
        check_args(self.args)

    def command(self, facts: Facts) -> Command:
        """The statements by standard input, into psql."""
        script = SCRIPT_IN_ONE_TRANSACTION if self.transaction else SCRIPT
        return dataclasses.replace(psql(facts, self.db, self.sql, self.args, script=script), timeout=ACT_LIMIT)

    def outputs(self, reply: Reply) -> Outputs:
        """Exit code and streams of psql."""
        return Outputs(
            values=command_values(reply, MEBIBYTE),
            because="" if reply.exit == 0 else sql_complaint(reply),
            streams=streams(reply),
            whole=reply.whole,
            host_key=reply.host_key,
        )

    def describe(self, facts: Facts) -> str:
        """Connection, SQL with its values, and script."""
        return shown(self.command(facts))

    def preview(self, probe: Probe) -> Preview:  # noqa: ARG002 - the contract's parameter
        """SQL does not say what it would do."""
        return Preview(change=Change.CANNOT_TELL, because="SQL does not say beforehand what it changes")

    def verify(self, probe: Probe) -> Verdict:  # noqa: ARG002 - the contract's parameter
        """Only the step's own `verify:` can tell."""
        return Verdict(seen=Seen.UNKNOWN, because="SQL cannot be asked; the step's `verify:` can")
