"""What the `postgres.*` kinds share: psql on the database's own host.

SQL goes in by standard input, values as psql variables that SQL quotes itself (`:'name'`), the password by environment:
nothing shows in `ps`, and no value is ever parsed as SQL. Where the inventory gives no port, PGHOST and its like come
from the host's own environment.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from drctl.core.kind import FieldError
from drctl.core.ports import Command, Facts, Reply
from drctl.core.values import Duration, Secret, Value, text_of
from drctl.kinds.commands import complaint, has_secret

if TYPE_CHECKING:
    from collections.abc import Mapping

CANNOT_CONNECT: Final = 2
"""psql's exit code when there is no connection, or it was lost."""

_ARG = re.compile(r"[a-z_][a-z0-9_]{0,59}")
_ERROR = re.compile(r"(ERROR|FATAL|PANIC|error): ")
_CONNECT_SECONDS = 5

SCRIPT: Final = """\
command -v psql >/dev/null 2>&1 || { echo "psql is not on this host" >&2; exit 127; }
exec psql -X -q -A -t -v ON_ERROR_STOP=1 -f -
"""
_NO_DATABASE: Final = """\
printf 'the inventory has no database %s; add it under databases:\\n' "$DB" >&2
exit 64
"""
SCRIPT_IN_ONE_TRANSACTION: Final = SCRIPT.replace("-f -", "-1 -f -")


def psql(facts: Facts, db: str, sql: str, args: Mapping[str, Value | Secret], *, script: str = SCRIPT) -> Command:
    """Build the command that sends SQL to a database; the caller sets its timeout.

    For a database that is not in the inventory it is a command that says so and fails: nothing is connected to.
    """
    env = _connection(facts, db)
    if env is None:
        return Command(script=_NO_DATABASE, env={"DB": db}, timeout=Duration(0))
    header = check_args(args)
    env |= {f"DRCTL_ARG_{name}": value for name, value in args.items() if isinstance(value, Secret)}
    stdin = "\n".join([*header, sql, ""]).encode()
    return Command(script=script, env=env, stdin=stdin, timeout=Duration(0), sensitive=has_secret(env))


def check_args(args: Mapping[str, Value | Secret]) -> list[str]:
    """The lines that set psql's variables; a secret travels by environment, since standard input is recorded.

    Raises:
        FieldError: when a name or a value cannot be sent.
    """
    header = []
    for name, value in args.items():
        if not _ARG.fullmatch(name):
            raise FieldError("args", f"{name!r} is not a name", "small letters, digits and _")
        said = f"`printenv DRCTL_ARG_{name}`" if isinstance(value, Secret) else _quoted(name, value)
        header.append(f"\\set {name} {said}")
    return header


def _connection(facts: Facts, db: str) -> dict[str, str | Secret] | None:
    """The environment that tells psql where to connect; None when the inventory does not have the database."""
    env: dict[str, str | Secret] = {
        "LC_ALL": "C",
        "PGCLIENTENCODING": "UTF8",
        "PGCONNECT_TIMEOUT": str(_CONNECT_SECONDS),
        "PGAPPNAME": "drctl",
    }
    try:
        database = facts.database(db)
    except KeyError:
        return None if db else env  # unnamed: there is none, or several, and the host's own environment decides
    env |= {"PGDATABASE": database.name, "PGUSER": database.user}
    if database.port is not None:
        env["PGPORT"] = str(database.port)
    if database.password is not None:
        env["PGPASSWORD"] = database.password
    return env


def sql_complaint(reply: Reply) -> str:
    """Why psql failed, in one line: the first error it names, since context and hints come after it."""
    for line in reply.stderr.decode(errors="replace").splitlines():
        if found := _ERROR.search(line):
            return f"exit {reply.exit}: {line[found.start() :].strip()[:300]}"
    return complaint(reply)


def _quoted(name: str, value: Value) -> str:
    """A value as psql reads it in single quotes: '' is a quote, the backslash escapes (psql, "Meta-Commands")."""
    try:
        text = text_of(value)
    except ValueError as error:
        raise FieldError("args", f"{name}: {error}") from None
    if "\0" in text:
        raise FieldError("args", f"{name} holds a NUL character, which SQL cannot")
    for plain, escaped in (("\\", "\\\\"), ("'", "''"), ("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t")):
        text = text.replace(plain, escaped)
    return f"'{text}'"


_LETTER = r"[^\x00-@\[-\^`{-\x7f]"  # A-Z, a-z, _ and all beyond ASCII; written the long way it takes 20 ms to compile
_TAG = rf"\$(?:{_LETTER}(?:{_LETTER}|[0-9])*)?\$"
_PIECE = re.compile(
    rf"""
      (?P<quoted> [eE]'(?:[^'\\]|\\.|'')*' | '(?:[^']|'')*' | "(?:[^"]|"")*" | (?P<tag>{_TAG}).*?(?P=tag) | --[^\n]* )
    | (?P<comment> /\* )
    | (?P<open> ['"] | {_TAG} )
    | (?P<word> (?:{_LETTER}|[0-9])(?:{_LETTER}|[0-9$])* )
    | (?P<other> . )
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT_MARK = re.compile(r"/\*|\*/")


def one_query(sql: str) -> str:
    """Give the text of one query without its closing semicolon.

    A query is put into a subselect of a read-only transaction. A second statement or a psql command could step out of
    it, so both are refused here, outside quotes and comments.

    Raises:
        FieldError: for an empty text, several statements, a backslash command, or something left open.
    """
    end = len(sql)
    position = 0
    closed = False
    while position < end:
        piece = _PIECE.match(sql, position)
        if piece is None or piece["open"]:
            raise FieldError("sql", "a quote is left open")
        if piece["comment"]:
            position = _after_comment(sql, position)
            continue
        if piece["other"] == "\\":
            raise FieldError("sql", "psql's backslash commands are not allowed in a query")
        if closed and not (piece.group().isspace() or piece.group().startswith("--")):
            raise FieldError("sql", "this is more than one statement", "a query is one SELECT; postgres.exec runs more")
        if piece["other"] == ";":
            closed = True
            sql = f"{sql[:position]} {sql[position + 1 :]}"
        position = piece.end()
    if not sql.strip():
        raise FieldError("sql", "there is no query")
    return sql


def _after_comment(sql: str, position: int) -> int:
    """The end of a comment, which nests in SQL."""
    depth = 0
    for mark in _COMMENT_MARK.finditer(sql, position):
        depth += 1 if mark.group() == "/*" else -1
        if depth == 0:
            return mark.end()
    raise FieldError("sql", "a comment is left open")
