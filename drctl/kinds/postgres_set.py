"""The kind `postgres.set`: a setting of a PostgreSQL server, by ALTER SYSTEM and a reload."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar

from drctl.core.kind import ActKind, Change, CommandAct, Criterion, FieldError, Outputs, Preview, Seen, Verdict, arg
from drctl.core.nouns import dataclass
from drctl.core.outcomes import Effect
from drctl.core.ports import Command, Facts, Probe, Reach, Reply
from drctl.core.values import Duration, Size, Value, parse_json
from drctl.kinds.commands import ACT_LIMIT, none, shown, streams
from drctl.kinds.psql import psql, sql_complaint

if TYPE_CHECKING:
    from collections.abc import Sequence

_NAME = re.compile(r"[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)?")
# Lists whose members PostgreSQL quotes: one text would be taken for one member (ALTER SYSTEM, GUC_LIST_QUOTE).
_QUOTED_LISTS = frozenset(
    ("local_preload_libraries", "search_path", "session_preload_libraries", "shared_preload_libraries",
     "temp_tablespaces", "unix_socket_directories")
)  # fmt: skip
_POLLS = 50

# A session takes a reload in between two statements only; each of these waits while it has not yet.
_RELOAD = "\n".join(
    [
        "SELECT pg_conf_load_time() AS drctl_before \\gset",
        "SELECT pg_reload_conf() \\g /dev/null",
        *["SELECT pg_sleep(0.1) WHERE pg_conf_load_time() <= :'drctl_before'::timestamptz \\g /dev/null"] * _POLLS,
    ]
)
_STATUS = """\
SELECT row_to_json(s) FROM (
  SELECT current_setting(:'setting', true) AS value,
    coalesce((SELECT pending_restart FROM pg_settings WHERE name = :'setting'), false) AS pending_restart,
    (SELECT setting FROM pg_file_settings
      WHERE name = :'setting' AND sourcefile LIKE '%/postgresql.auto.conf' ORDER BY seqno DESC LIMIT 1) AS written,
    (SELECT error FROM pg_file_settings WHERE name = :'setting' AND error <> '' ORDER BY seqno DESC LIMIT 1) AS fault,
    coalesce((SELECT modification FROM pg_stat_file('postgresql.auto.conf', true)) <= pg_conf_load_time(), true)
      AS loaded
) s;
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresSet(CommandAct):
    """Sets a parameter of a server for good (ALTER SYSTEM), and lets the server read it (a reload).

    `value` null takes the parameter out of `postgresql.auto.conf`, so that the configuration files count again. A
    duration, a size or a bool is written as PostgreSQL reads it. A parameter that takes effect only with a restart
    leaves `pending_restart` true, and the step then fails unless `expect` says that this is meant: a value that is
    written but does not count yet is a surprise at the next restart. Lists of names that PostgreSQL quotes one by one
    (`search_path`, `shared_preload_libraries`) are refused.

    The inverse writes what `postgresql.auto.conf` said before, or takes the parameter out of it.
    """

    NAME: ClassVar[str] = "postgres.set"
    OUTPUTS: ClassVar[Mapping[str, str]] = {"exit": "int", "value": "text", "pending_restart": "bool"}
    CRITERIA: ClassVar[tuple[Criterion, ...]] = (
        Criterion(text="exit == 0", fields=frozenset({"exit"})),
        Criterion(text="not pending_restart", fields=frozenset({"pending_restart"})),
    )
    EFFECT: ClassVar[Effect | None] = Effect.IDEMPOTENT
    EXAMPLE: ClassVar[str] = """
- id: no_wait
  on: db-primary
  do: postgres.set
  with: {setting: synchronous_standby_names, value: ""}
  restore: auto
"""

    setting: str = arg(type="text", doc="The parameter.")
    value: Value = arg(type="any", doc="Its value; null for what the configuration files say.")
    db: str = arg(
        type="text", doc="Database of the inventory; the only one if not given.", default="", entry="database"
    )

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.setting):
            raise FieldError("setting", f"{self.setting!r} is not the name of a parameter", "small letters, digits, _")
        if self.setting in _QUOTED_LISTS:
            hint = "use postgres.exec with ALTER SYSTEM and one quoted name for each member"
            raise FieldError("setting", f"{self.setting} is a list that PostgreSQL quotes name by name", hint)
        written = _written(self.value)
        if written is not None and re.search(r"[\n\r\0]", written):
            raise FieldError("value", "a value of the configuration is one line")

    def command(self, facts: Facts) -> Command:
        """Write, reload, wait until this session has it, then give the figures."""
        written = _written(self.value)
        change = 'ALTER SYSTEM RESET :"setting";' if written is None else "ALTER SYSTEM SET :\"setting\" = :'value';"
        sql = f"{change}\n{_RELOAD}\n{_STATUS}"
        args = {"setting": self.setting, **({} if written is None else {"value": written})}
        return dataclasses.replace(psql(facts, self.db, sql, args), timeout=ACT_LIMIT)

    def outputs(self, reply: Reply) -> Outputs:
        """What the server says after the reload."""
        figures = _figures(reply)
        missing = none(sql_complaint(reply) if reply.exit != 0 else "psql gave no figures")
        value, pending = figures.get("value"), figures.get("pending_restart")
        return Outputs(
            values={
                "exit": missing if reply.exit is None else reply.exit,
                "value": value if isinstance(value, str) else missing,
                "pending_restart": pending if isinstance(pending, bool) else missing,
            },
            because=self._words(figures) if figures else str(missing),
            streams=streams(reply),
            whole=reply.whole,
            host_key=reply.host_key,
        )

    def describe(self, facts: Facts) -> str:
        """Connection, SQL and script; the polls of the reload once."""
        lines: list[str] = []
        for line in shown(self.command(facts)).splitlines():
            if not lines or lines[-1] != line:
                lines.append(line)
        return "\n".join(lines)

    def preview(self, probe: Probe) -> Preview:
        """Compare with what `postgresql.auto.conf` says and the server has read."""
        seen, because, figures = self._found(probe)
        if seen is Seen.UNKNOWN:
            return Preview(change=Change.CANNOT_TELL, because=because)
        same = seen is Seen.DONE and figures.get("pending_restart") is not True
        change = Change.NO_CHANGE if same else Change.WOULD_CHANGE
        return Preview(change=change, because=because, prior={"written": figures.get("written")})

    def verify(self, probe: Probe) -> Verdict:
        """Done when the value is written and was read by the server."""
        seen, because, _ = self._found(probe)
        return Verdict(seen=seen, because=because)

    def inverse(self, prior: Mapping[str, Value]) -> ActKind | None:
        """Write what was written; None when that is not known."""
        if "written" not in prior:
            return None
        return PostgresSet(setting=self.setting, value=prior["written"], db=self.db)

    def _found(self, probe: Probe) -> tuple[Seen, str, Mapping[str, Any]]:
        sql = f"SET default_transaction_read_only = on;\n{_STATUS}"
        command = psql(probe.facts, self.db, sql, {"setting": self.setting})
        reply = probe.shell.read(dataclasses.replace(command, timeout=probe.timeout))
        figures = _figures(reply)
        if reply.reach is not Reach.COMPLETE or not figures:
            return Seen.UNKNOWN, sql_complaint(reply), {}
        if figures.get("fault"):
            return Seen.NOT_DONE, f"{self.setting}: {figures['fault']}", figures
        done = figures.get("written") == _written(self.value) and figures.get("loaded") is True
        return Seen.DONE if done else Seen.NOT_DONE, self._words(figures), figures

    def _words(self, figures: Mapping[str, Any]) -> str:
        pending = ", which counts after a restart only" if figures.get("pending_restart") else ""
        written = figures.get("written")
        said = "is not in postgresql.auto.conf" if written is None else f"is written as {written!r}"
        return f"{self.setting} {said}{pending}; in force: {figures.get('value')!r}"


def _figures(reply: Reply) -> Mapping[str, Any]:
    """The last line of a good reply as a map; else nothing."""
    lines: Sequence[str] = reply.stdout.decode(errors="replace").strip().splitlines()
    decoded = parse_json(lines[-1]) if reply.exit == 0 and lines else None
    return decoded if isinstance(decoded, Mapping) else {}


def _written(value: Value) -> str | None:
    """A value as PostgreSQL's configuration reads it; None for null.

    Raises:
        FieldError: a list, a map, a time.
    """
    match value:
        case None:
            return None
        case bool():
            return "on" if value else "off"
        case str() | int():
            return str(value)
        case Decimal():
            return f"{value:f}"
        case Duration():
            return f"{value.micros}us" if value.micros % 1000 else f"{value.micros // 1000}ms"
        case Size():
            return f"{value.bytes}B" if value.bytes % 1024 else f"{value.bytes // 1024}kB"
        case _:
            raise FieldError("value", f"a {type(value).__name__.lower()} is not a value of the configuration")
