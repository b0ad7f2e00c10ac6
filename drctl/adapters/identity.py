"""Which machine is this? What a host is asked before the first act of a connection, and what its answer means.

An address that moved, a restored image with the old host key, or a database that is another cluster: the host key
proves none of these wrong. The answers are looks; nothing is changed.
"""

from collections.abc import Callable, Mapping

from drctl.core.inventory import Database, Host, Identity, SecretRef
from drctl.core.nouns import dataclass
from drctl.core.ports import Command
from drctl.core.values import Duration, Secret

_MACHINE_ID = 'cat "${DRCTL_MACHINE_ID_FILE:-/etc/machine-id}"'
_FILE = 'cat "$FILE"'
_SQL = """
command -v psql >/dev/null 2>&1 || { echo "psql is not on this host" >&2; exit 127; }
exec psql -X -q -A -t -v ON_ERROR_STOP=1 -f -
"""
_SECONDS = 10  # of a query; a locked table must not hold up the act it guards


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One question: what is asked for, in words, the answer that is wanted, and the look that gives it."""

    what: str
    wanted: str
    command: Command

    def mismatch(self, host: str, exit_code: int, out: bytes, err: bytes) -> str:
        """Why this is another machine than the inventory means; empty when it is that one."""
        found, wanted = out.decode("utf-8", "replace").strip(), self.wanted.strip()
        if exit_code == 0 and found == wanted:
            return ""
        shown = repr(found[:80])
        if exit_code != 0:
            said = err.decode("utf-8", "replace").strip().splitlines()
            shown = f"nothing that can be read ({said[0][:200]})" if said else "nothing that can be read"
        return (
            f"identity: the {self.what} of {host} is {shown}, the inventory says {wanted[:80]!r}: this is another"
            f" machine than the runbook means, or the inventory is old. Next: look at {host}, then correct its identity"
            f" in the inventory"
        )


def asks(host: Host, databases: Mapping[str, Database], resolve: Callable[[SecretRef], Secret]) -> list[Ask]:
    """The questions to one host.

    Raises:
        DrctlError: the password of the database cannot be had.
    """
    identity, found = host.identity, []
    if identity.machine_id is not None:
        command = Command(script=_MACHINE_ID, timeout=_NO_LIMIT)
        found.append(Ask(what="machine id", wanted=identity.machine_id, command=command))
    if identity.file_path is not None and identity.file_text is not None:
        command = Command(script=_FILE, env={"FILE": identity.file_path}, timeout=_NO_LIMIT)
        found.append(Ask(what=f"text of {identity.file_path}", wanted=identity.file_text, command=command))
    if identity.sql_query is not None and identity.sql_equals is not None:
        command = _query(identity, databases, resolve)
        found.append(Ask(what=f"answer to {identity.sql_query!r}", wanted=identity.sql_equals, command=command))
    return found


def _query(identity: Identity, databases: Mapping[str, Database], resolve: Callable[[SecretRef], Secret]) -> Command:
    env: dict[str, str | Secret] = {
        "LC_ALL": "C",
        "PGCLIENTENCODING": "UTF8",
        "PGCONNECT_TIMEOUT": "5",
        "PGAPPNAME": "drctl",
    }
    database = databases.get(identity.sql_db) if identity.sql_db else None
    if database is None and len(databases) == 1:
        database = next(iter(databases.values()))
    if database is not None:
        env |= {"PGDATABASE": database.database, "PGUSER": database.user}
        if database.port is not None:
            env["PGPORT"] = str(database.port)
        if database.password is not None:
            env["PGPASSWORD"] = resolve(database.password)
    sql = f"BEGIN READ ONLY;\nSET LOCAL statement_timeout = '{_SECONDS}s';\n{identity.sql_query}\n;\nROLLBACK;\n"
    return Command(script=_SQL, env=env, stdin=sql.encode(), timeout=_NO_LIMIT)


_ENV = {"LC_ALL": "C", "PGCLIENTENCODING": "UTF8", "PGCONNECT_TIMEOUT": "5", "PGAPPNAME": "drctl"}
_NO_LIMIT = Duration(0)  # the limit is that of the act which is held up
