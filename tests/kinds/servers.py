"""Real PostgreSQL servers for the kinds, and a host whose environment leads to one of them."""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from drctl.core.kind import Outputs
from drctl.core.ports import DatabaseFacts, Probe
from drctl.core.values import Duration, Secret, Unknown, Value
from drctl.kinds.postgres_exec import PostgresExec
from drctl.kinds.postgres_query import PostgresQuery
from tests.kinds.worlds import Facts, Machine
from tests.lab.cluster import BIN, Cluster

FACTS = Facts({"main": DatabaseFacts(name="postgres", port=None, user="postgres")})


def running(of: Path | None = None) -> Iterator[Cluster]:
    """A server that runs, for a fixture; a standby of the one whose socket lies in `of`."""
    folder = Path(tempfile.mkdtemp(prefix="pg"))  # short: a unix socket's path has at most 107 bytes
    one = Cluster(folder, standby_of=of)
    try:
        one.start(standby=of is not None)
        yield one
    finally:
        one.stop(signal.SIGQUIT)
        one.close()
        shutil.rmtree(folder)


class Server:
    """A host with psql whose environment leads to one server."""

    def __init__(self, machine: Machine, patch: pytest.MonkeyPatch) -> None:
        self.machine = machine
        self.patch = patch
        patch.setenv("PATH", f"{BIN}:{os.environ['PATH']}")
        for name in ("PGDATABASE", "PGUSER", "PGPORT", "PGPASSWORD", "PGOPTIONS"):
            patch.delenv(name, raising=False)

    def at(self, cluster: Cluster) -> "Server":
        self.patch.setenv("PGHOST", str(cluster.folder))
        return self

    def probe(self, timeout: str = "20s") -> Probe:
        return self.machine.probe(facts=FACTS, timeout=Duration.parse(timeout))

    def run(self, sql: str, *, transaction: bool = True, **args: "Value | Secret") -> Outputs:
        return PostgresExec(sql=sql, args=args, transaction=transaction).execute(self.machine.act(facts=FACTS))

    def ask(self, sql: str, timeout: str = "20s") -> Outputs:
        return PostgresQuery(sql=sql).look(self.probe(timeout))

    def rows(self, sql: str, **args: "Value | Secret") -> "Value | Unknown":
        return PostgresQuery(sql=sql, args=args).look(self.probe()).values["rows"]
