"""`postgres.set` and `postgres.start` against real servers."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from drctl.core.kind import Change, FieldError, Seen
from drctl.core.values import Duration, Map, Size, Unknown, Value
from drctl.kinds.postgres_set import PostgresSet
from drctl.kinds.postgres_start import PostgresStart
from drctl.kinds.service import Service
from tests.kinds.servers import FACTS, Server, running
from tests.kinds.worlds import Machine
from tests.lab.cluster import BIN, Cluster

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def primary() -> Iterator[Cluster]:
    yield from running()


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    return Server(Machine(tmp_path, monkeypatch), monkeypatch)


# --- set --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "value", "in_force"),
    [
        ("synchronous_standby_names", "FIRST 1 (a, b)", "FIRST 1 (a, b)"),
        ("synchronous_standby_names", "", ""),
        ("work_mem", "7MB", "7MB"),
        ("work_mem", Size(8 * 1024 * 1024), "8MB"),
        ("wal_receiver_timeout", Duration.parse("90s"), "90s"),
        ("max_wal_senders", 10, "10"),
        ("log_checkpoints", False, "off"),
        ("application.setting", 'it\'s \\ "quoted" 漢字; --', 'it\'s \\ "quoted" 漢字; --'),
    ],
)
def test_a_setting_is_written_read_and_put_back(
    server: Server, primary: Cluster, setting: str, value: Value, in_force: str
) -> None:
    server.at(primary)
    kind = PostgresSet(setting=setting, value=value)
    before = kind.preview(server.probe())
    assert (before.change, before.prior) == (Change.WOULD_CHANGE, {"written": None}), before.because
    outputs = kind.execute(server.machine.act(facts=FACTS))
    assert outputs.values == {"exit": 0, "value": in_force, "pending_restart": False}, outputs.because
    assert kind.verify(server.probe()).seen is Seen.DONE
    assert kind.preview(server.probe()).change is Change.NO_CHANGE
    back = kind.inverse(before.prior)
    assert back is not None
    assert back.execute(server.machine.act(facts=FACTS)).values["exit"] == 0
    assert kind.preview(server.probe()).prior == before.prior
    assert kind.verify(server.probe()).seen is Seen.NOT_DONE


def test_what_was_written_before_comes_back(server: Server, primary: Cluster) -> None:
    server.at(primary)
    PostgresSet(setting="work_mem", value="5MB").execute(server.machine.act(facts=FACTS))
    kind = PostgresSet(setting="work_mem", value="6MB")
    prior = kind.preview(server.probe()).prior
    kind.execute(server.machine.act(facts=FACTS))
    back = kind.inverse(prior)
    assert back == PostgresSet(setting="work_mem", value="5MB")
    assert back.execute(server.machine.act(facts=FACTS)).values["value"] == "5MB"
    gone = PostgresSet(setting="work_mem", value=None).execute(server.machine.act(facts=FACTS))
    assert gone.values["value"] == "4MB"
    assert PostgresSet(setting="work_mem", value=None).preview(server.probe()).change is Change.NO_CHANGE


def test_a_setting_that_needs_a_restart_says_so(server: Server, primary: Cluster) -> None:
    server.at(primary)
    kind = PostgresSet(setting="superuser_reserved_connections", value=4)
    outputs = kind.execute(server.machine.act(facts=FACTS))
    assert (outputs.values["exit"], outputs.values["pending_restart"]) == (0, True), outputs.because
    assert kind.preview(server.probe()).change is Change.WOULD_CHANGE
    PostgresSet(setting="superuser_reserved_connections", value=None).execute(server.machine.act(facts=FACTS))


@pytest.mark.parametrize(
    ("setting", "value"), [("work_mem", "much"), ("no_such_setting", 1), ("wal_segment_size", "2MB")]
)
def test_what_the_server_refuses_fails_and_is_not_written(
    server: Server, primary: Cluster, setting: str, value: Value
) -> None:
    kind = PostgresSet(setting=setting, value=value)
    outputs = kind.execute(server.at(primary).machine.act(facts=FACTS))
    assert outputs.values["exit"] == 3
    assert "ERROR" in outputs.because
    assert kind.verify(server.probe()).seen is Seen.NOT_DONE
    assert kind.preview(server.probe()).prior == {"written": None}


def test_a_server_that_is_gone_cannot_tell(server: Server) -> None:
    server.patch.setenv("PGHOST", "/nonexistent")
    kind = PostgresSet(setting="work_mem", value="5MB")
    assert kind.verify(server.probe()).seen is Seen.UNKNOWN
    assert kind.preview(server.probe()).change is Change.CANNOT_TELL
    assert kind.inverse({}) is None


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("work mem", 1),
        ("search_path", "a,b"),
        ("work_mem", "5MB\nfsync = off"),
        ("work_mem", (1, 2)),
        ("work_mem", Map({})),
        ("", 1),
    ],
)
def test_what_cannot_be_set_is_refused(setting: str, value: Value) -> None:
    with pytest.raises(FieldError):
        PostgresSet(setting=setting, value=value)


# --- start ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def stopped(server: Server) -> Iterator[Cluster]:
    """A server that does not run, and a `pg_ctl` that root may use."""
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    cluster = Cluster(folder)
    with (cluster.data / "postgresql.conf").open("a") as conf:
        conf.write(f"listen_addresses = ''\nunix_socket_directories = '{folder}'\nfsync = off\nshared_buffers = 16MB\n")
    nobody = "unshare --user --map-user=65534 --map-group=65534 --" if os.geteuid() == 0 else ""
    server.machine.program("pg_ctl", f'exec {nobody} {BIN}/pg_ctl "$@"')
    server.patch.setenv("PATH", f"{server.machine.bin}:{os.environ['PATH']}")
    try:
        yield cluster
    finally:
        back = PostgresStart(data=str(cluster.data)).inverse({"running": False})
        assert back is not None
        back.execute(server.machine.act(facts=FACTS))
        cluster.close()
        shutil.rmtree(folder)


def test_a_server_is_started_by_its_folder_and_stopped_again(server: Server, stopped: Cluster) -> None:
    server.at(stopped)
    kind = PostgresStart(data=str(stopped.data))
    before = kind.preview(server.probe())
    assert before.change is Change.WOULD_CHANGE, before.because
    assert before.prior == {"accepting": False, "running": False}
    assert kind.verify(server.probe()).seen is Seen.NOT_DONE
    outputs = kind.execute(server.machine.act(facts=FACTS))
    assert (outputs.values["exit"], outputs.values["in_recovery"]) == (0, False), outputs.because
    assert kind.verify(server.probe()).seen is Seen.DONE
    assert kind.preview(server.probe()).change is Change.NO_CHANGE
    assert kind.execute(server.machine.act(facts=FACTS)).values["exit"] == 0, "a server that runs is left as it is"
    assert kind.inverse({"accepting": True}) is None
    server.patch.setenv("PGHOST", "/nonexistent")  # it runs, and says nothing to whoever asks
    running = kind.preview(server.probe())
    assert running.prior == {"accepting": False, "running": True}, running.because
    assert kind.inverse(running.prior) is None, "what ran before is not stopped"
    assert kind.inverse({"accepting": False}) is None, "what nobody knows to have stood still is not stopped"
    server.at(stopped)
    back = kind.inverse(before.prior)
    assert back is not None
    assert back.execute(server.machine.act(facts=FACTS)).values["exit"] == 0
    assert kind.verify(server.probe()).seen is Seen.NOT_DONE
    assert back.execute(server.machine.act(facts=FACTS)).values["exit"] == 0, "what is stopped is left as it is"


def test_a_server_that_does_not_come_fails_within_its_wait(server: Server, stopped: Cluster) -> None:
    server.at(stopped)
    with (stopped.data / "postgresql.conf").open("a") as conf:
        conf.write("no_such_setting = 1\n")
    outputs = PostgresStart(data=str(stopped.data), wait=Duration.parse("1s")).execute(server.machine.act(facts=FACTS))
    assert outputs.values["exit"] == 5
    assert isinstance(outputs.values["in_recovery"], Unknown)
    assert "does not accept connections after 1 s" in outputs.because


def test_a_server_is_started_by_its_unit(server: Server, primary: Cluster) -> None:
    server.at(primary)
    server.patch.setenv("PGHOST", "/nonexistent")
    server.machine.program("systemctl", 'echo "$*" >>"$HOME/calls"')
    server.patch.setenv("PATH", f"{server.machine.bin}:{os.environ['PATH']}")
    kind = PostgresStart(service="postgresql", wait=Duration.parse("1s"))
    assert kind.execute(server.machine.act(facts=FACTS)).values["exit"] == 5
    assert (server.machine.home / "calls").read_text() == "start postgresql\n"
    assert kind.inverse({"running": False}) == Service(name="postgresql", state="stopped")


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"service": "a", "data": "b"},
        {"service": "-H"},
        {"service": "a b"},
        {"data": "-D"},
        {"service": "a", "wait": Duration.parse("0s")},
        {"service": "a", "wait": Duration.parse("2h")},
    ],
)
def test_what_cannot_be_started_is_refused(fields: dict[str, str | Duration]) -> None:
    with pytest.raises(FieldError):
        PostgresStart(**fields)  # type: ignore[arg-type] # a map of both


@pytest.mark.parametrize(
    ("word", "known"), [("inactive", {"running": False}), ("active", {"running": True}), ("activating", {})]
)
def test_only_a_unit_that_stood_still_is_stopped_again(
    server: Server, primary: Cluster, word: str, known: dict[str, bool]
) -> None:
    server.at(primary)
    server.patch.setenv("PGHOST", "/nonexistent")
    server.machine.program("systemctl", f'case "$1" in is-active) echo {word};; is-enabled) echo enabled;; esac')
    server.patch.setenv("PATH", f"{server.machine.bin}:{os.environ['PATH']}")
    kind = PostgresStart(service="postgresql")
    prior = kind.preview(server.probe()).prior
    assert prior == {"accepting": False, **known}
    stopped = Service(name="postgresql", state="stopped")
    assert kind.inverse(prior) == (stopped if known == {"running": False} else None)
