"""The `postgres.*` kinds against real servers: a primary, a standby that streams, psql of this machine."""

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from drctl.core.kind import Change, Outputs, Seen
from drctl.core.ports import DatabaseFacts
from drctl.core.scripts import ResolvedScript
from drctl.core.values import Duration, Map, Secret, Size, Time, Unknown
from drctl.kinds.postgres_promote import PostgresPromote
from drctl.kinds.postgres_query import PostgresQuery
from drctl.kinds.postgres_status import PostgresStatus
from drctl.kinds.shell import Shell
from tests.kinds.servers import FACTS, Server, running
from tests.kinds.worlds import Facts, Machine
from tests.lab.cluster import Cluster, wait_until

pytestmark = pytest.mark.lab

HOSTILE = [
    "",
    "'",
    "''",
    "\\",
    "\\'",
    "a\nb",
    "a\tb\r",
    ":x",
    ":'x'",
    "$$",
    "'; DROP TABLE t; --",
    "`touch made`",
    "漢字",
    "-1",
    "%s",
]


@pytest.fixture(scope="module")
def primary() -> Iterator[Cluster]:
    yield from running()


@pytest.fixture
def standby(primary: Cluster) -> Iterator[Cluster]:
    yield from running(primary.folder)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    return Server(Machine(tmp_path, monkeypatch), monkeypatch)


# --- query ------------------------------------------------------------------------------------------------------------


def test_rows_are_exact(server: Server, primary: Cluster) -> None:
    outputs = server.at(primary).ask("SELECT 1 AS n, 0.10 AS d, NULL AS z, true AS b, 'x' AS t, ARRAY[1,2] AS a")
    row = {"n": 1, "d": Decimal("0.10"), "z": None, "b": True, "t": "x", "a": (1, 2)}
    assert outputs.values == {"rows": (Map(row),), "count": 1}  # type: ignore[arg-type] # a row of many types
    assert server.rows("SELECT 1 WHERE false") == ()
    assert server.ask("VALUES (1), (2)").values["count"] == 2
    assert server.rows("WITH w AS (SELECT 7 AS x) SELECT x FROM w; -- done") == (Map({"x": 7}),)


def test_times_can_be_read(server: Server, primary: Cluster) -> None:
    rows = server.at(primary).rows("SELECT now() AS at")
    assert isinstance(rows, tuple)
    assert isinstance(rows[0], Map)
    Time.parse(str(rows[0]["at"]))


@pytest.mark.parametrize("value", HOSTILE)
def test_a_value_is_a_value(server: Server, primary: Cluster, value: str) -> None:
    server.at(primary)
    assert server.rows("SELECT :'v' AS v, length(:'v') AS n", v=value) == (Map({"v": value, "n": len(value)}),)
    if value.strip("\n"):
        assert server.rows("SELECT :'v' AS v", v=Secret(value)) == (Map({"v": value}),)
    assert not (server.machine.home / "made").exists()


def test_typed_values(server: Server, primary: Cluster) -> None:
    values: dict[str, Any] = {
        "n": 3,
        "size": Size(1024),
        "time": Time.parse("2026-01-31T23:59:59Z"),
        "span": Duration.parse("90s"),
    }
    rows = server.at(primary).rows(
        "SELECT :'n'::int AS n, :'size'::bigint AS size, (:'time'::timestamptz = '2026-02-01 07:59:59+08') AS same, "
        "extract(epoch FROM :'span'::interval)::int AS span",
        **values,
    )
    assert rows == (Map({"n": 3, "size": 1024, "same": True, "span": 90}),)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT nextval('seq')",
        "SELECT * FROM writes()",
        "SELECT set_config('transaction_read_only', 'off', true), writes()",
        "SELECT pg_advisory_lock(1), set_config('default_transaction_read_only', 'off', false), writes()",
    ],
)
def test_a_query_writes_nothing(server: Server, primary: Cluster, sql: str) -> None:
    primary.sql("CREATE TABLE IF NOT EXISTS t (n int)")
    primary.sql("CREATE SEQUENCE IF NOT EXISTS seq")
    primary.sql(
        "CREATE OR REPLACE FUNCTION writes() RETURNS int LANGUAGE plpgsql AS "
        "$$ BEGIN INSERT INTO t VALUES (1); RETURN 1; END $$"
    )
    outputs = server.at(primary).ask(sql)
    assert isinstance(outputs.values["rows"], Unknown)
    assert "read-only" in outputs.because or "read-write mode" in outputs.because
    assert primary.sql("SELECT count(*) FROM t") == [[0]]


def test_an_error_is_said_and_a_slow_query_is_ended_at_the_server(server: Server, primary: Cluster) -> None:
    outputs = server.at(primary).ask("SELECT * FROM no_such_table")
    assert 'relation "no_such_table" does not exist' in str(outputs.streams["stderr"])
    assert isinstance(outputs.values["count"], Unknown)
    slow = server.ask("SELECT pg_sleep(600)", timeout="1s")
    assert isinstance(slow.values["rows"], Unknown)
    wait_until(
        "the query has gone from the server",
        lambda: primary.sql("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%sleep(600)%'") == [[1]],
    )


def test_an_answer_too_long_has_no_value(server: Server, primary: Cluster) -> None:
    outputs = server.at(primary).ask("SELECT repeat('x', 2000000) AS x")
    assert str(outputs.values["rows"]) == "the answer is longer than 1 MiB"


def test_a_database_that_is_not_in_the_inventory_is_not_asked_for(server: Server, primary: Cluster) -> None:
    outputs = PostgresQuery(sql="SELECT 1", db="other").look(server.at(primary).probe())
    assert "the inventory has no database other" in outputs.because
    status = PostgresStatus(db="other").look(server.probe())
    assert isinstance(status.values["accepting"], Unknown)
    assert PostgresPromote(db="other").verify(server.probe()).seen is Seen.UNKNOWN


# --- exec -------------------------------------------------------------------------------------------------------------


def test_statements_run_in_one_transaction_or_not_at_all(server: Server, primary: Cluster) -> None:
    server.at(primary)
    made = server.run("CREATE TABLE one (v text); INSERT INTO one VALUES (:'v'); SELECT count(*) FROM one", v="it's")
    assert made.values["exit"] == 0, made.because
    assert made.values["json"] == 1
    failed = server.run("INSERT INTO one VALUES ('second'); SELECT 1/0; INSERT INTO one VALUES ('third')")
    assert failed.values["exit"] == 3
    assert "division by zero" in failed.because
    assert primary.sql("SELECT v FROM one") == [["it's"]]


def test_statements_that_refuse_a_transaction(server: Server, primary: Cluster) -> None:
    server.at(primary)
    assert server.run("VACUUM").values["exit"] == 3
    assert server.run("VACUUM", transaction=False).values["exit"] == 0


def test_a_secret_is_a_value_too_and_stands_in_no_process_list(server: Server, primary: Cluster) -> None:
    server.at(primary).run("CREATE ROLE app LOGIN; ALTER ROLE app PASSWORD :'pw'", pw=Secret("se'cr\\et;--"))
    assert primary.sql("SELECT rolpassword LIKE 'SCRAM%' FROM pg_authid WHERE rolname = 'app'") == [[True]]


# --- status and promote -----------------------------------------------------------------------------------------------


def status(server: Server) -> Outputs:
    return PostgresStatus().look(server.probe())


def test_a_primary_says_what_it_is(server: Server, primary: Cluster) -> None:
    values = status(server.at(primary)).values
    assert (values["accepting"], values["in_recovery"], values["timeline"]) == (True, False, 1)
    assert str(values["lag"]) == str(values["replayed_at"]) == "this server is no standby"
    assert str(values["lsn"]).startswith("0/")
    assert str(values["system_id"]).isdecimal()


def test_a_standby_says_how_far_it_is_behind_and_never_less(server: Server, primary: Cluster, standby: Cluster) -> None:
    primary.sql("CREATE TABLE IF NOT EXISTS beat (n int)")
    primary.sql("INSERT INTO beat VALUES (1)")
    server.at(standby)
    wait_until("the standby replayed it", lambda: isinstance(status(server).values["replayed_at"], Time))
    caught_up = status(server).values
    assert (caught_up["accepting"], caught_up["in_recovery"], caught_up["timeline"]) == (True, True, 1)
    assert caught_up["system_id"] == status(server.at(primary)).values["system_id"]
    assert isinstance(caught_up["lag"], Duration)
    assert caught_up["lag"].micros >= 0

    standby.sql("SELECT pg_wal_replay_pause()")
    primary.sql("INSERT INTO beat VALUES (2)")
    server.at(standby)
    behind = [status(server).values["lag"] for _ in range(3)]
    assert all(isinstance(lag, Duration) for lag in behind)
    assert behind == sorted(behind, key=lambda lag: lag.micros if isinstance(lag, Duration) else 0)
    assert behind[0] != behind[-1], "while replay rests the lag grows"


def test_the_lag_of_a_standby_without_its_primary_grows(server: Server, primary: Cluster, standby: Cluster) -> None:
    primary.sql("CREATE TABLE IF NOT EXISTS beat (n int)")
    primary.sql("INSERT INTO beat VALUES (3)")
    server.at(standby)
    wait_until("the standby replayed it", lambda: isinstance(status(server).values["replayed_at"], Time))
    standby.alter("primary_conninfo", "host=/nonexistent")
    wait_until("the stream is gone", lambda: standby.sql("SELECT count(*) FROM pg_stat_wal_receiver") == [[0]])
    first, second = status(server).values, status(server).values
    assert isinstance(first["lag"], Duration)
    assert isinstance(second["lag"], Duration)
    assert first["lag"] < second["lag"]
    assert first["replayed_at"] == second["replayed_at"]


def test_nobody_there_is_an_answer(server: Server, standby: Cluster) -> None:
    standby.stop()
    outputs = status(server.at(standby))
    assert outputs.values["accepting"] is False
    assert isinstance(outputs.values["in_recovery"], Unknown)
    assert "exit 2" in outputs.because


def test_a_server_that_refuses_this_login_is_not_called_dead(server: Server, primary: Cluster) -> None:
    facts = Facts({"main": DatabaseFacts(name="postgres", port=None, user="nobody_here")})
    outputs = PostgresStatus().look(server.at(primary).machine.probe(facts=facts))
    assert isinstance(outputs.values["accepting"], Unknown)
    assert "the server answers, but not to this login" in str(outputs.values["accepting"])


def test_a_server_that_hangs_does_not_accept(server: Server) -> None:
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    try:
        with socket.socket(socket.AF_UNIX) as deaf:
            deaf.bind(str(folder / ".s.PGSQL.5432"))
            deaf.listen()
            server.patch.setenv("PGHOST", str(folder))
            outputs = status(server)
        assert outputs.values["accepting"] is False
    finally:
        shutil.rmtree(folder)


def test_a_host_without_psql_cannot_tell(server: Server, primary: Cluster) -> None:
    tools = server.machine.bin
    server.at(primary)
    for name in ("cat", "sh", "setsid", "stat", "printf"):
        found = shutil.which(name)
        if found is not None:
            (tools / name).symlink_to(found)
    server.patch.setenv("PATH", str(tools))
    outputs = status(server)
    assert str(outputs.values["accepting"]) == "exit 127: psql is not on this host"


def test_a_standby_is_promoted(server: Server, standby: Cluster) -> None:
    kind = PostgresPromote()
    server.at(standby)
    preview = kind.preview(server.probe())
    assert preview.change is Change.WOULD_CHANGE
    assert preview.prior["in_recovery"] is True
    assert kind.verify(server.probe()).seen is Seen.NOT_DONE
    assert standby.sql("SELECT pg_is_in_recovery()") == [[True]], "looking promoted it"

    outputs = kind.execute(server.machine.act(facts=FACTS))
    assert outputs.values["exit"] == 0, outputs.because
    assert (outputs.values["in_recovery"], outputs.values["timeline"]) == (False, 2)
    assert kind.verify(server.probe()).seen is Seen.DONE
    assert kind.preview(server.probe()).change is Change.NO_CHANGE
    assert server.run("CREATE TABLE after_promotion (n int)").values["exit"] == 0

    again = kind.execute(server.machine.act(facts=FACTS))
    assert (again.values["exit"], again.values["timeline"]) == (0, 2), "a primary is left as it is"


def test_a_server_that_is_gone_cannot_be_verified(server: Server, standby: Cluster) -> None:
    standby.stop()
    assert PostgresPromote().verify(server.at(standby).probe()).seen is Seen.UNKNOWN
    outputs = PostgresPromote().execute(server.machine.act(facts=FACTS))
    assert outputs.values["exit"] == 2
    assert isinstance(outputs.values["in_recovery"], Unknown)


def test_the_password_of_the_inventory_reaches_psql_by_environment(server: Server, primary: Cluster) -> None:
    facts = Facts({"main": DatabaseFacts(name="postgres", port=None, user="postgres", password=Secret("pass-word"))})
    server.machine.program(
        "psql", 'printf "%s" "$PGPASSWORD" >"$HOME/got"; printf "%s|" "$@" >"$HOME/argv"; cat >/dev/null'
    )
    server.patch.setenv("PATH", f"{server.machine.bin}:{os.environ['PATH']}")
    server.at(primary)
    PostgresStatus().look(server.machine.probe(facts=facts))
    assert (server.machine.home / "got").read_text() == "pass-word"
    assert "pass-word" not in (server.machine.home / "argv").read_text()
    assert Shell(run=ResolvedScript("true", {})).look(server.machine.probe()).values["exit"] == 0
