"""The guard of identity by SQL: asked on the act's own connection, before its first byte."""

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from drctl.adapters.ssh import SshHosts
from drctl.core.inventory import Database, Identity, SecretRef
from drctl.core.ports import Claim, ClaimReply, ClaimState, Command
from drctl.core.values import Duration, Secret
from drctl.errors import RefusedError
from tests.fakes.sshservers import Keys, Relay, asyncssh_server, inventory, openssh_server, tcp
from tests.kinds.servers import running
from tests.lab.cluster import BIN, Cluster

PASSWORD = "sesam-of-app"
APP = Database(name="app", database="appdb", user="app", port=7777, password=SecretRef(source="env", target=("P",)))
PSQL = """#!/bin/sh
printf '%s ' "$@" >>"$HOME/argv"
printf '%s|%s|%s|%s' "$PGDATABASE" "$PGUSER" "$PGPORT" "$PGPASSWORD" >"$HOME/env"
cat >"$HOME/sql"
"""


Guarded = Callable[..., ClaimReply]


def claim_of_a_step() -> Claim:
    return Claim(key=os.urandom(8).hex(), run="u", run_id="7K3QF", operator="li", epoch=1, holder="SHA256:a")


@pytest.fixture(params=["asyncssh", pytest.param("openssh", marks=pytest.mark.needs("openssh-server"))])
def guarded(request: pytest.FixtureRequest, keys: Keys, tmp_path: Path) -> Iterator[Guarded]:
    """Act on a host whose psql answers so; gives what became of the act."""
    (tmp_path / "bin").mkdir()
    env = {"HOME": str(tmp_path), "PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "XDG_STATE_HOME": f"{tmp_path}/state"}
    server = asyncssh_server(keys, env) if request.param == "asyncssh" else openssh_server(keys, tmp_path, env)
    with server as upstream:
        relay = Relay(tcp(upstream) if isinstance(upstream, int) else upstream)

        def act(psql: str, databases: tuple[Database, ...] = (APP,), db: str | None = None) -> ClaimReply:
            (tmp_path / "bin/psql").write_text(PSQL + psql)
            (tmp_path / "bin/psql").chmod(0o755)
            identity = Identity(sql_query="select 'x'", sql_equals="7301", sql_db=db)
            host = keys.host(relay.port, identity=identity)
            whole = replace(inventory(host), databases={one.name: one for one in databases})
            hosts = SshHosts(whole, lambda _: Secret(PASSWORD, "env:P"))
            try:
                shell = hosts.shell("h1")
                claim = claim_of_a_step()
                command = Command(script="touch $HOME/ran", timeout=Duration(30_000_000))
                first = shell.run(claim, command)
                assert (first.state is ClaimState.RAN) == (tmp_path / "ran").exists()
                shell.run(replace(claim, key=claim.key + "2"), command)
                assert shell.read(replace(command, script="true")).exit == 0  # looking is harmless
                return first
            finally:
                hosts.close()

        yield act
        relay.close()


def test_the_right_answer_lets_the_act_begin_and_is_asked_once_a_connection(guarded: Guarded, tmp_path: Path) -> None:
    assert guarded("echo 7301").state is ClaimState.RAN
    assert (tmp_path / "env").read_text() == f"appdb|app|7777|{PASSWORD}"
    assert (tmp_path / "sql").read_text().startswith("BEGIN READ ONLY;\n")
    assert "select 'x'\n" in (tmp_path / "sql").read_text()
    argv = (tmp_path / "argv").read_text()
    assert (argv.count("-f -"), PASSWORD in argv, "select" in argv) == (1, False, False)


@pytest.mark.parametrize(
    ("psql", "parts"),
    [
        ("echo 7302", ("'7302'", "'7301'", "another machine", "Next:")),
        ("echo 7301; echo 7301", ("'7301\\n7301'",)),
        ("echo 7301; exit 3", ("nothing that can be read",)),
        ("echo 'psql: error: no such server' >&2; exit 2", ("nothing that can be read", "no such server")),
        ("", ("''",)),
    ],
    ids=["another", "two rows", "failed", "no connection", "no row"],
)
def test_any_other_answer_stops_the_act_before_it_begins(
    guarded: Guarded, tmp_path: Path, psql: str, parts: tuple[str, ...]
) -> None:
    answer = guarded(psql)
    assert answer.state is ClaimState.REFUSED, answer
    assert answer.because.startswith("identity: the answer to \"select 'x'\" of h1")
    assert all(part in answer.because for part in parts), answer
    assert not (tmp_path / "state").exists()


def test_the_database_is_the_one_that_is_named_or_the_only_one(guarded: Guarded, tmp_path: Path) -> None:
    other = replace(APP, name="other", database="otherdb", user="o", port=None, password=None)
    assert guarded("echo 7301", (APP, other), "other").state is ClaimState.RAN
    assert (tmp_path / "env").read_text() == "otherdb|o||"
    (tmp_path / "ran").unlink()
    assert guarded("echo 7301", (APP, other)).state is ClaimState.RAN
    assert (tmp_path / "env").read_text() == "|||"  # the host's own environment decides


def test_a_password_that_is_not_there_is_told_and_nothing_begins(keys: Keys, tmp_path: Path) -> None:
    def missing(_: SecretRef) -> Secret:
        raise RefusedError("env:P is not set")

    with asyncssh_server(keys, {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}) as port:
        host = keys.host(port, identity=Identity(sql_query="select 1", sql_equals="1"))
        hosts = SshHosts(replace(inventory(host), databases={"app": APP}), missing)
        claim = claim_of_a_step()
        answer = hosts.shell("h1").run(claim, Command(script="touch $HOME/ran", timeout=Duration(20_000_000)))
        hosts.close()
    assert (answer.state, answer.because) == (ClaimState.UNREACHABLE, "identity: env:P is not set")
    assert not (tmp_path / "ran").exists()


@pytest.fixture(scope="module")
def primary() -> Iterator[Cluster]:
    yield from running()


@pytest.mark.lab
def test_a_real_cluster_is_told_from_another_and_not_written(keys: Keys, primary: Cluster, tmp_path: Path) -> None:
    env = {"HOME": str(tmp_path), "PATH": f"{BIN}:{os.environ['PATH']}", "PGHOST": str(primary.folder)}
    app = Database(name="app", database="postgres", user="postgres")
    system = "select system_identifier from pg_control_system()"
    with asyncssh_server(keys, env) as port:

        def because(query: str, equals: str) -> str:
            host = keys.host(port, identity=Identity(sql_query=query, sql_equals=equals))
            hosts = SshHosts(replace(inventory(host), databases={"app": app}), lambda _: Secret("", "none"))
            claim = claim_of_a_step()
            answer = hosts.shell("h1").run(claim, Command(script="true", timeout=Duration(20_000_000)))
            hosts.close()
            return answer.because

        told = because(system, "0")
        number = told.split("is '")[1].split("'")[0]
        assert number.isdecimal()
        assert because(system, number) == ""
        assert "read-only transaction" in because("create table made()", "")
