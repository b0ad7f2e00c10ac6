"""What keeps a query a query: one statement, no psql commands, values quoted. No database is needed here."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drctl.core.kind import FieldError
from drctl.core.ports import DatabaseFacts
from drctl.core.values import Duration, Secret
from drctl.kinds.postgres_exec import PostgresExec
from drctl.kinds.postgres_promote import PostgresPromote
from drctl.kinds.psql import one_query
from tests.kinds.worlds import Facts


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1",
        "SELECT 1;",
        "SELECT ';' ;  \n -- done; really\n",
        "SELECT E'\\'; DROP TABLE x;' AS a",
        "SELECT '\\' AS a",
        'SELECT 1 AS "a;b\\"',
        "SELECT $$ ; \\ ' $$",
        "SELECT $t$ $$ ; $t$",
        "SELECT a$b$c FROM t",
        "SELECT /* ; /* \\ */ ; */ 1",
        "SELECT :'name'::int - 1 -- it's",
        "SELECT $é$ ' $é$",
    ],
)
def test_one_query_is_one_query(sql: str) -> None:
    assert one_query(sql).count("\n") == sql.count("\n")


@pytest.mark.parametrize(
    "sql",
    [
        "",
        " ; ",
        "SELECT 1; DROP TABLE x",
        "SELECT 1) q; DROP TABLE x; --",
        "COMMIT; SELECT 1",
        "SELECT 1 \\g",
        "\\! touch made",
        "SELECT 'open",
        'SELECT "open',
        "SELECT $$ open",
        "SELECT /* open",
        "SELECT /* /* */ 1",
        "SELECT E'\\' ; DROP TABLE x; --'; SELECT '",
        "SELECT $é$ ' $é$; DROP TABLE x; -- '",
        "SELECT xE'\\'; DROP TABLE x; --'",
        "SELECT 1; /* a */ SELECT 2",
    ],
)
def test_more_or_less_than_one_query_is_refused(sql: str) -> None:
    with pytest.raises(FieldError):
        one_query(sql)


@given(st.text("ab';\\\"$-/*\n E", max_size=40))
def test_no_text_makes_the_scan_fail_otherwise(sql: str) -> None:
    try:
        text = one_query(sql)
    except FieldError:
        return
    assert len(text) == len(sql)


def test_the_connection_comes_from_the_inventory_and_the_password_is_a_secret() -> None:
    facts = Facts({"main": DatabaseFacts(name="invoices", port=5433, user="drctl", password=Secret("pass-word"))})
    command = PostgresExec(sql="SELECT 1").command(facts)
    assert command.env["PGDATABASE"] == "invoices"
    assert command.env["PGPORT"] == "5433"
    assert command.env["PGUSER"] == "drctl"
    assert isinstance(command.env["PGPASSWORD"], Secret)
    assert command.sensitive
    assert "pass-word" not in PostgresExec(sql="SELECT 1").describe(facts)
    assert b"pass-word" not in command.stdin  # type: ignore[operator] # bytes, since no argument is a secret


def test_without_a_port_and_without_a_database_the_hosts_environment_decides() -> None:
    facts = Facts({"main": DatabaseFacts(name="invoices", port=None, user="drctl")})
    assert "PGPORT" not in PostgresExec(sql="SELECT 1").command(facts).env
    assert "PGDATABASE" not in PostgresExec(sql="SELECT 1").command(Facts()).env


def test_the_digest_covers_sql_and_values_and_no_secret() -> None:
    def digest(**fields: object) -> str:
        return PostgresExec(**{"sql": "SELECT :'a'", "args": {"a": 1}, **fields}).digest(Facts())  # type: ignore[arg-type] # varied

    assert digest() == digest()
    assert len({digest(), digest(sql="SELECT 2"), digest(args={"a": 2}), digest(transaction=False)}) == 4
    assert digest(args={"a": Secret("one-secret")}) == digest(args={"a": Secret("two-secret")})


@pytest.mark.parametrize("args", [{"A": 1}, {"a-b": 1}, {"1": 1}, {"a": None}, {"a": "x\0y"}])
def test_values_that_cannot_be_sent_are_refused(args: dict[str, object]) -> None:
    with pytest.raises(FieldError):
        PostgresExec(sql="SELECT 1", args=args)  # type: ignore[arg-type] # wrong on purpose


@pytest.mark.parametrize("wait", ["0s", "500ms", "2h"])
def test_a_promotion_waits_a_sensible_time(wait: str) -> None:
    with pytest.raises(FieldError):
        PostgresPromote(wait=Duration.parse(wait))
