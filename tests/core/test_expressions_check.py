"""The check at load time: types that do not go together and names that do not exist, told before a run begins."""

from __future__ import annotations

import pytest

from drctl.core.expressions import Problem, Type, check, infer, parse
from tests.fakes.scopes import Types

TYPES = (
    Types(
        stdout="text", exit="int", ratio="decimal", lag="duration", size="size", at="time", ok="bool", db="host",
        rows="list", json="any", entries="map", pw="secret", nothing="null",
    )
    .add("inputs.limit", "duration")
    .add("steps.x.lag", "duration")
    .add("steps.x.hosts", "list")
    .add("steps.x.hosts.[].lag", "duration")
    .add("steps.x.hosts.[].host", "text")
    .add("steps.x.hosts.db1.lag", "duration")
    .add("steps.y", Problem(0, "y runs after this step", "move it up"))
    .add("steps.x.hosts.[].nope", Problem(0, "x gives no nope", "it gives lag"))
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("1", "int"),
        ("9007199254740993", "decimal"),
        ("0.5", "decimal"),
        ("1s", "duration"),
        ("1B", "size"),
        ("'a'", "text"),
        ("null", "null"),
        ("true", "bool"),
        ("exit + 1", "int"),
        ("exit * ratio", "decimal"),
        ("exit / 2", "decimal"),
        ("lag / 1s", "decimal"),
        ("exit * 1s", "duration"),
        ("at - at", "duration"),
        ("at + lag", "time"),
        ("size - 1B", "size"),
        ("-lag", "duration"),
        ("not ok", "bool"),
        ("exit == 0", "bool"),
        ("1 in rows", "bool"),
        ("ok and ok", "bool"),
        ("json.a.b[0]", "any"),
        ("json.a + 1", "any"),
        ("db.port", "int"),
        ("db.name", "text"),
        ("db['port']", "int"),
        ("db.groups[0]", "text"),
        ("entries.a", "any"),
        ("[1, 2]", "list"),
        ("[1, 2][0]", "int"),
        ("[1, 'a'][0]", "any"),
        ("first(lines(stdout))", "text"),
        ("first(columns(stdout, 'a'))", "map"),
        ("sum(map(h in steps.x.hosts, h.lag))", "duration"),
        ("first(filter(h in steps.x.hosts, h.lag > 1s)).lag", "duration"),
        ("max_by(h in steps.x.hosts, h.lag)", "any"),
        ("map(h in steps.x.hosts, h.host)", "list"),
        ("first(map(h in sort(h in steps.x.hosts, h.lag), h.lag))", "duration"),
        ("steps.x.hosts['db1'].lag", "duration"),
        ("default(exit, 0)", "int"),
        ("default(exit, 0.5)", "decimal"),
        ("default(exit, 'none')", "any"),
        ("default(json.a, 0)", "any"),
        ("known(json.a)", "bool"),
        ("group('web')", "list"),
        ("first(group('web')).port", "int"),
        ("now()", "time"),
        ("int(stdout)", "int"),
        ("pw", "secret"),
        ("min([1s])", "duration"),
        ("reverse(lines(stdout))[0]", "text"),
        ("unique(rows)", "list"),
        ("any(l in lines(stdout), l == 'a')", "bool"),
        ("match(stdout, 'a') == stdout", "bool"),
        ("steps.x.lag <= inputs.limit", "bool"),
        ("exit == null", "bool"),
        ("[] == rows", "bool"),
        ("null in lines(stdout)", "bool"),
        ("'a' in stdout", "bool"),
        ("'a' in entries", "bool"),
        ("json in stdout", "bool"),
    ],
)
def test_the_type_of_what_is_right(text: str, kind: Type) -> None:
    expression = parse(text)
    assert [problem.summary for problem in check(expression, TYPES)] == []
    assert infer(expression, TYPES) == kind


@pytest.mark.parametrize(
    ("text", "offset", "summary", "hint"),
    [
        # the examples of the specification
        ("stdout == 0", 0, "stdout is text, and 0 is int", "write int(stdout)"),
        ("a-b", 0, "there is no name a-b here", "a - b"),
        # comparison
        ("ok and 0 == stdout", 7, "stdout is text, and 0 is int", "write int(stdout)"),
        ("stdout != 10s", 0, "stdout is text, and 10s is duration", "write duration(stdout)"),
        ("lag <= 10", 0, "lag is duration, and 10 is int", "write 10 * 1s"),
        ("db == 'db1'", 0, "db is host", "write db.name"),
        ("ok == 'true'", 0, "ok is bool", "true"),
        ("ok < true", 0, "ok is bool, which has no order", "== and !="),
        ("null < exit", 0, "null is null, which has no order", "== and !="),
        ("rows < 1", 0, "rows is list, which has no order", None),
        ("at < lag", 0, "at is time, and lag is duration", None),
        ("1 in stdout", 0, "1 is int, and stdout is text", "text(1)"),
        ("db in entries", 0, "db is host", "db.name"),
        ("1 in lines(stdout)", 0, "holds text", None),
        ("'1' in [1, 2]", 0, "'1' is text, and [1, 2] holds int", "int('1')"),
        ("1 in exit", 5, "exit is int; `in` takes a list, a map or a text", None),
        # logic
        ("exit and ok", 0, "exit is int, not true or false", "exit > 0"),
        ("not stdout", 4, "stdout is text, not true or false", "not empty(stdout)"),
        ("ok or rows", 6, "rows is list, not true or false", "not empty(rows)"),
        ("all(l in lines(stdout), l)", 24, "l is text, not true or false", "not empty(l)"),
        # operators
        ("stdout + 'a'", 7, "text cannot be added to text", "join"),
        ("exit - stdout", 5, "text cannot be subtracted from int", "int(t)"),
        ("at + at", 3, "time cannot be added to time", None),
        ("lag * lag", 4, "multiplied", None),
        ("exit / lag", 5, "divided", "n * 1s"),
        ("-stdout", 0, "text has no negative", None),
        ("-ok", 0, "bool has no negative", None),
        # names and members
        ("nope", 0, "there is no name nope here", "'nope'"),
        ("exit == nope.lag", 8, "there is no name nope here", "steps.nope.lag"),
        ("None == exit", 0, "there is no name None", "write null"),
        ("True", 0, "there is no name True", "write true"),
        ("marks.fenced", 0, "there is no name marks", "in this place"),
        ("steps.y.lag", 0, "y runs after this step", "move it up"),
        ("exit == 0 or steps.y.lag > 1s", 13, "y runs after this step", "move it up"),
        ("stdout.a", 0, "stdout is text and has no members", None),
        ("stdout[0]", 0, "stdout is text and has no members", None),
        ("db.password", 0, "a host has no field password", "address"),
        ("rows.a", 0, "rows is a list and has no names such as a", "first(...)"),
        ("db.groups.a", 0, "db.groups is a list", None),
        ("rows[-1]", 5, "counts from 0", "last(...)"),
        ("rows[ok]", 5, "bool is neither a position nor a key", None),
        ("rows[nope]", 5, "there is no name nope", None),
        ("first(lines(stdout)).a", 0, "first(lines(stdout)) is text and has no members", None),
        ("map(h in steps.x.hosts, h.nope)", 24, "x gives no nope", "it gives lag"),
        ("map(h in steps.x.hosts, h.lag + 1)", 30, "int cannot be added to duration", "1s"),
        ("map(x in db.groups, x.a)", 20, "x is text and has no members", None),
        # functions
        ("len(exit)", 4, "len takes list or map or text, and exit is int", None),
        ("lines(rows)", 6, "lines takes text, and rows is list", None),
        ("join(lines(stdout), 1)", 20, "join takes text, and 1 is int", "join(list, ', ')"),
        ("int(ok)", 4, "int takes", None),
        ("keys(rows)", 5, "keys takes map", None),
        ("trim(null)", 5, "trim takes text, and null is null", None),
        ("group(1)", 6, "group takes text", None),
        ("filter(x in stdout, ok)", 12, "stdout is text, not a list", None),
        ("filter(x in entries, ok)", 12, "entries is map, not a list", "keys(entries)"),
        ("sort(x in [ok], x)", 16, "x is bool, which has no order", None),
        ("map(exit in rows, 1)", 0, "exit is a name already", "another name"),
        # secrets
        ("pw == 'a'", 0, "pw is a secret", None),
        ("not pw", 4, "pw is a secret", None),
        ("len(pw)", 4, "pw is a secret", None),
        ("[pw]", 1, "pw is a secret", None),
        ("pw + 'a'", 0, "pw is a secret", None),
        ("'a' in pw", 7, "pw is a secret", None),
        ("map(x in rows, pw)", 15, "pw is a secret", None),
    ],
)
def test_what_cannot_mean_anything_is_told_where(text: str, offset: int, summary: str, hint: str | None) -> None:
    problems = check(parse(text), TYPES)
    assert len(problems) == 1, problems
    assert problems[0].offset == offset
    assert summary in problems[0].summary
    assert hint is None or hint in str(problems[0].hint)


@pytest.mark.parametrize(
    ("text", "want", "says"),
    [
        ("exit", "bool", "exit is int, not true or false"),
        ("stdout", "bool", "stdout is text, not true or false"),
        ("lag", "bool", "lag is duration, not true or false"),
        ("db", "bool", "db is host, not true or false"),
        ("null", "bool", "null is null, not true or false"),
        ("stdout", "int", "text stands where int is needed"),
        ("exit", "list", "int stands where list is needed"),
        ("pw", "text", "secret stands where text is needed"),
    ],
)
def test_a_place_wants_a_type(text: str, want: Type, says: str) -> None:
    problems = check(parse(text), TYPES, want)
    assert [says in problem.summary for problem in problems] == [True]


@pytest.mark.parametrize(("text", "want"), [("ok", "bool"), ("json.a", "bool"), ("exit", "decimal"), ("pw", "any")])
def test_what_may_fit_passes(text: str, want: Type) -> None:
    assert check(parse(text), TYPES, want) == ()


def test_all_problems_come_at_once_in_the_order_of_the_text() -> None:
    problems = check(parse("nope == 1 and stdout == 0 and not exit"), TYPES)
    assert [problem.offset for problem in problems] == [0, 14, 34]
    assert problems[1].moved(100) == Problem(114, problems[1].summary, problems[1].hint)


def test_the_longest_path_is_asked_first() -> None:
    asked: list[tuple[str, ...]] = []

    class Watching(Types):
        def type_of(self, path: tuple[str, ...]) -> Type | Problem | None:
            asked.append(path)
            return super().type_of(path)

    assert infer(parse("json.a[0]['b c'].d"), Watching(json="any")) == "any"
    assert asked[0] == ("json", "a", "[]", "b c", "d")
    assert asked[-1] == ("json",)
