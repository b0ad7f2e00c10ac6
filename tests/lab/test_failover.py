import shutil
import signal
import socket
import socketserver
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from importlib import resources
from pathlib import Path

import pytest

import drctl.lab
from drctl.lab.invoices import Invoices
from drctl.lab.tax import Tax
from drctl.lab.traffic import Traffic
from tests.lab.cluster import Cluster, Services, ask, ask_list, wait_until

pytestmark = pytest.mark.lab


class Door(socketserver.ThreadingTCPServer):
    """One address for users; what is behind it is switched."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, upstream: int) -> None:
        super().__init__(("127.0.0.1", 0), Passing)
        self.upstream = upstream
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()


class Passing(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        assert isinstance(self.server, Door)
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.server.upstream), timeout=20) as behind:
            back = threading.Thread(target=self.pump, args=(behind, self.request), daemon=True)
            back.start()
            self.pump(self.request, behind)
            back.join(20)

    @staticmethod
    def pump(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            for data in iter(lambda: source.recv(65536), b""):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)


@pytest.fixture
def pair() -> Iterator[tuple[Cluster, Cluster]]:
    """A primary and its streaming standby."""
    folders = [Path(tempfile.mkdtemp(prefix="pg")) for _ in range(2)]
    clusters: list[Cluster] = []
    try:
        clusters.append(Cluster(folders[0]))
        clusters[0].start()
        clusters[0].sql("CREATE DATABASE invoices")
        schema = resources.files(drctl.lab).joinpath("schema.sql").read_text(encoding="utf-8")
        clusters[0].sql(schema, database="invoices")
        clusters.append(Cluster(folders[1], standby_of=folders[0]))
        clusters[1].start()
        yield clusters[0], clusters[1]
    finally:
        for one in clusters:
            one.stop()
            one.close()
        for folder in folders:
            shutil.rmtree(folder)


def lag(primary: Cluster, standby: Cluster) -> int:
    at = str(primary.sql("SELECT pg_current_wal_lsn()")[0][0])
    return int(str(standby.sql(f"SELECT ceil(greatest(0, '{at}'::pg_lsn - pg_last_wal_replay_lsn()))::bigint")[0][0]))


class World:
    """Two sites, the authority, a door and users."""

    def __init__(self, services: Services, pair: tuple[Cluster, Cluster], folder: Path) -> None:
        self.primary, self.standby = pair
        self.tax = services.start(Tax, data=str(folder / "tax.db"))
        self.a, self.b = (
            services.start(
                Invoices,
                site=site,
                tax=self.tax.url,
                db={"socket_dir": str(one.folder), "user": "invoices", "database": "invoices"},
            )
            for site, one in zip("ab", pair, strict=True)
        )
        self.door = Door(self.a.port)
        self.traffic = services.start(
            Traffic, target=self.door.url, tax=self.tax.url, rate=200, amends=0.1, voids=0.05, seed=11
        )

    def tell(self, word: str) -> dict[str, object]:
        status, body = ask("POST", f"{self.traffic.url}/{word}")
        assert status == 200, body
        return body

    def count(self, name: str = "acknowledged") -> int:
        return int(str(ask("GET", f"{self.traffic.url}/status")[1][name]))

    def serve(self, more: int) -> None:
        least = self.count() + more
        wait_until(f"{least} are acknowledged", lambda: self.count() >= least)

    def fail_over(self) -> None:
        """Promote the standby of a dead primary and send the users there."""
        wait_until("users are refused", lambda: self.count("refusals") >= 4)
        assert self.standby.sql("SELECT max(at) FROM heartbeat", database="invoices")[0][0] is not None
        self.standby.promote()
        wait_until("b is healthy", lambda: ask("GET", f"{self.b.url}/healthz")[0] == 200)
        self.door.upstream = self.b.port
        self.serve(50)

    def end(self) -> None:
        """Let the users go home, and compare both sides to the last invoice."""
        wait_until("nobody waits any more", lambda: self.count("waiting") == 0)
        status = self.tell("stop")
        assert (status["given_up"], status["waiting"], status["outage_count"]) == (0, 0, 1)
        assert ask_list(f"{self.b.url}/invoices/export") == ask_list(f"{self.tax.url}/records")
        totals = ask("GET", f"{self.b.url}/invoices/totals")[1]
        assert isinstance(totals["by_series"], dict)
        assert (list(totals["by_series"]), totals["gaps"]) == (["F1", "F2"], 0)


@pytest.fixture
def world(services: Services, pair: tuple[Cluster, Cluster], tmp_path: Path) -> Iterator[World]:
    one = World(services, pair, tmp_path)
    yield one
    services.stop(one.traffic)
    one.door.shutdown()
    one.door.server_close()


def test_a_failover_of_a_synchronous_pair_loses_no_acknowledged_invoice(world: World) -> None:
    world.primary.alter("synchronous_commit", "remote_write")
    world.primary.alter("synchronous_standby_names", "*")
    world.serve(100)
    world.primary.stop(signal.SIGQUIT)  # in the middle of it all
    world.fail_over()
    found = world.tell("audit")
    assert {name: found[name] for name in ("lost", "altered", "reused", "tax_lost", "tax_altered")} == {
        "lost": 0,
        "altered": 0,
        "reused": 0,
        "tax_lost": 0,
        "tax_altered": 0,
    }
    world.end()


def test_a_failover_of_an_asynchronous_pair_loses_what_the_users_count_and_the_authority_gives_back(
    world: World,
) -> None:
    world.serve(100)
    world.tell("pause")
    wait_until("the standby has everything", lambda: lag(world.primary, world.standby) == 0)
    world.standby.alter("primary_conninfo", "")
    wait_until("the line is cut", lambda: not world.standby.sql("SELECT FROM pg_stat_wal_receiver"))
    before = world.count()
    world.tell("resume")
    world.serve(40)
    world.tell("pause")
    gone = world.count() - before
    world.primary.stop(signal.SIGQUIT)
    world.tell("resume")
    world.fail_over()
    found = world.tell("audit")
    assert (found["lost"], found["reused"], found["tax_lost"], found["tax_altered"]) == (gone, 0, 0, 0)

    status, done = ask("POST", f"{world.b.url}/invoices/import", ask_list(f"{world.tax.url}/records"))
    assert (status, done["inserted"], done["key_used_twice"]) == (200, gone, [])
    found = world.tell("audit")
    assert (found["lost"], found["altered"], found["reused"]) == (0, 0, 0)
    world.end()
