"""Evaluation: every operator and function, three-valued logic, and no value wherever a guess would be a lie."""
# ruff: noqa: ANN401 - values of every type are the subject here

from __future__ import annotations

import importlib
import itertools
import json
import subprocess
import sys
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from drctl.core.expressions import evaluate, evaluate_field, parse
from drctl.core.values import (
    Duration,
    HostRef,
    Map,
    Secret,
    Size,
    Time,
    Unknown,
    from_plain,
    parse_json,
    text_of,
    type_name,
)
from tests.fakes.scopes import NOT_YET, SKIPPED, Names, Record, Row, Table

HOUR = 3_600_000_000
evaluate_module = importlib.import_module("drctl.core.expressions.evaluate")  # the package offers a function so named
SCOPE = Names(
    stdout="db1 0/3000 12\ndb2 0/2000 7\n",
    n=3,
    d=Decimal("0.5"),
    yes=True,
    lag=Duration.parse("3s"),
    size=Size.parse("4KiB"),
    at=Time.parse("2026-01-31T10:00:00Z"),
    db=HostRef(
        name="db1", address="10.0.0.1", site="a", role="primary", groups=("db", "all"), facts=Map({"vip": "10.9.9.9"})
    ),
    spare=HostRef(name="db2", address="10.0.0.2"),
    json=from_plain({"state": "off", "rows": [{"a": 1}, {"a": 2}, {"b": None}], "empty": [], "odd key": 1}),
    list=(3, 1, 2, 1),
    gone=SKIPPED,
    later=NOT_YET,
    pw=Secret("hunter22"),
    steps=Record(
        {
            "x": Record({"stdout": "5", "gone": SKIPPED, "later": NOT_YET, "ok": True}),
            "hosts": Table(
                {"db1": Record({"n": 1})},
                (Record({"host": "db1", "n": 1, "ok": True}), Record({"host": "db2", "n": SKIPPED, "ok": False})),
            ),
            "rows": Table({}, (Row({"a": 1}), Row({"a": 2}))),
            "late": Table({}, (Record({"n": 1}), Record({"n": NOT_YET}))),
        }
    ),
)


def value(text: str, scope: Names = SCOPE) -> Any:
    return evaluate(parse(text), scope)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # literals and precedence
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3", 9),
        ("10 - 3 - 2", 5),
        ("8 / 2 / 2", 2),
        ("1 / 4", Decimal("0.25")),
        ("0.1 + 0.2 == 0.3", True),
        ("-n + 4", 1),
        ("1 - " + "9" * 60, Decimal("-" + "9" * 59 + "8")),
        ("-" + "9" * 60 + " + " + "9" * 60, 0),
        ("-0.0", Decimal("0.0")),
        ("[1, 'a', [true, null]]", (1, "a", (True, None))),
        (r"'a\tb\n\\\'\"'", "a\tb\n\\'\""),
        ("9007199254740993", Decimal(9007199254740993)),
        ("9007199254740992 + 1 == 9007199254740993", True),
        # quantities
        ("lag + 500ms", Duration(3_500_000)),
        ("lag - 5s", Duration(-2_000_000)),
        ("-lag", Duration(-3_000_000)),
        ("at + 2h", Time.parse("2026-01-31T12:00:00Z")),
        ("now() - at", Duration(2 * HOUR)),
        ("at - 1d", Time.parse("2026-01-30T10:00:00Z")),
        ("size + 1kB - 96B", Size(5000)),
        ("lag * 2", Duration(6_000_000)),
        ("0.5 * lag", Duration(1_500_000)),
        ("n * 1s == lag", True),
        ("lag / 2", Duration(1_500_000)),
        ("lag / 1s", 3),
        ("1h / 1d", Decimal("0.04166666666666666666666666667")),
        ("size / 1KiB", 4),
        ("size * 2 / 4", Size(2048)),
        ("1s / 3 * 3", Duration(999_999)),
        # comparison
        ("n == 3.0", True),
        ("n != 4", True),
        ("'a' < 'b'", True),
        ("'Z' < 'a'", True),
        ("lag <= 10s", True),
        ("4096B == size", True),
        ("at < now()", True),
        ("db == db", True),
        ("db == spare", False),
        ("db != null", True),
        ("null == null", True),
        ("n == null", False),
        ("[1, 2] == [1, 2.0]", True),
        ("[1] == [1, 2]", False),
        ("[1, 'a'] == [2, 3]", False),
        ("json.rows[0] == json.rows[0]", True),
        ("json.rows[0] == json.rows[1]", False),
        ("json.rows[0] == json.rows[2]", False),
        ("[null] == ['a']", False),
        ("yes == true", True),
        # in
        ("'db2' in stdout", True),
        ("'db3' not in stdout", True),
        ("2 in list", True),
        ("1.0 in list", True),
        ("9 in list", False),
        ("null in [null]", True),
        ("null in [1]", False),
        ("1 in ['a', 1]", True),
        ("'state' in json", True),
        ("'' in ''", True),
        # logic
        ("true and yes", True),
        ("not yes or yes", True),
        ("not (yes and false)", True),
        # paths
        ("json.state", "off"),
        ("json['odd key']", 1),
        ("json.rows[1].a", 2),
        ("json.rows[n - 2].a", 2),
        ("json.rows[4 / 2].b", None),
        ("db.name", "db1"),
        ("db['port']", 22),
        ("db.groups[0]", "db"),
        ("spare.site", None),
        ("db.facts.vip", "10.9.9.9"),
        ("steps.x.stdout", "5"),
        ("steps['x'].stdout", "5"),
        ("steps.hosts['db1'].n", 1),
        ("steps.hosts[0].host", "db1"),
        ("steps.rows", (Map({"a": 1}), Map({"a": 2}))),
        ("steps.rows[1]", Map({"a": 2})),
        ("steps.rows == steps.rows", True),
        # functions
        ("known(n)", True),
        ("known(null)", True),
        ("known(steps.x)", True),
        ("known(gone)", False),
        ("known(1 / 0)", False),
        ("default(n, 1)", 3),
        ("default(null, 1)", None),
        ("default(gone, 1)", 1),
        ("default(gone, default(gone, 2))", 2),
        ("int('42')", 42),
        (r"int(' -7\n')", -7),
        ("int('+7')", 7),
        ("int(3)", 3),
        ("int(6 / 2)", 3),
        ("int('9007199254740993')", Decimal(9007199254740993)),
        ("decimal('1.50')", Decimal("1.50")),
        ("decimal('1e-05')", Decimal("0.00001")),
        ("decimal(2)", 2),
        ("time('20260131T100000Z') == at", True),
        ("time('31.01.2026 11:00 +0100', '%d.%m.%Y %H:%M %z') == at", True),
        ("duration(' 90s ')", Duration(90_000_000)),
        ("size('1MiB')", Size(2**20)),
        ("json('[1, {\"a\": 1.5}]')[1].a", Decimal("1.5")),
        ("text(lag)", "3s"),
        ("text(json.rows[0])", '{"a": 1}'),
        ("text(steps.rows)", '[{"a": 1}, {"a": 2}]'),
        ("text(db)", "db1"),
        ("len(lines(stdout))", 2),
        ("lines('')", ()),
        (r"lines('a\n\nb')", ("a", "", "b")),
        ("split('a,b,,c', ',')", ("a", "b", "", "c")),
        ("columns(stdout, 'name lsn state')[1].lsn", "0/2000"),
        (r"columns('a  b c d \n\nx', 'p q')", (Map({"p": "a", "q": "b c d"}), Map({"p": "x"}))),
        ("match(stdout, 'db([0-9]+)')", "1"),
        (r"match(stdout, '\\d+/\\d+')", "0/3000"),
        ("match('abc', '^abc$')", "abc"),
        ("matches(stdout, 'db[0-9]')", ("db1", "db2")),
        ("matches(stdout, '(db)([0-9])')", ("db", "db")),
        ("matches('ab b', '(a)?b')", ("a", None)),
        ("matches('x', 'y')", ()),
        ("matches('\u00e4\u00f6', '.')", ("\u00e4", "\u00f6")),
        ("starts_with(stdout, 'db1')", True),
        ("ends_with('abc', 'bc')", True),
        ("lower('ABC\u00c4')", "abc\u00e4"),
        (r"trim('  a b\n')", "a b"),
        ("join(['a', 1, lag, true], ', ')", "a, 1, 3s, true"),
        ("join([], ',')", ""),
        ("len('\u00e4\u00f6')", 2),
        ("len(json)", 4),
        ("len(steps.hosts)", 2),
        ("empty('')", True),
        ("empty(json.empty)", True),
        ("empty(stdout)", False),
        ("first(list)", 3),
        ("last(list)", 1),
        ("reverse(list)", (1, 2, 1, 3)),
        ("unique(list)", (3, 1, 2)),
        ("unique([1, 1.0, null, null])", (1, None)),
        ("unique([[1], [true]])", ((1,), (True,))),
        ("keys(json)", ("empty", "odd key", "rows", "state")),
        ("sum(list)", 7),
        ("sum([])", 0),
        ("sum([lag, 2s])", Duration(5_000_000)),
        ("sum([size])", Size(4096)),
        ("min(list)", 1),
        ("max(['a', 'c', 'b'])", "c"),
        ("first(group('web')).name", "web1"),
        ("map(h in group('web'), h.port)", (22, 2222)),
        # EACH
        ("filter(x in list, x > 1)", (3, 2)),
        ("map(x in list, x * 2)", (6, 2, 4, 2)),
        ("sort(x in list, x)", (1, 1, 2, 3)),
        ("sort(r in columns(stdout, 'n l t'), int(r.t))[0].n", "db2"),
        ("reverse(sort(x in list, x))", (3, 2, 1, 1)),
        ("sort(p in [['b', 1], ['a', 1], ['c', 0]], p[1])", (("c", 0), ("b", 1), ("a", 1))),
        ("all(x in list, x > 0)", True),
        ("all(x in [], x.nonsense)", True),
        ("any(x in [], true)", False),
        ("any(x in list, x == 2)", True),
        ("min_by(p in [['a', 1], ['b', 1]], p[1])[0]", "a"),
        ("max_by(p in [['a', 1], ['b', 1]], p[1])[0]", "a"),
        ("map(a in [1, 2], map(b in [10, 20], a * b))", ((10, 20), (20, 40))),
        ("filter(h in steps.hosts, h.ok)[0].host", "db1"),
        ("map(h in filter(h in steps.hosts, h.ok), h.host)", ("db1",)),
        ("any(h in steps.hosts, h.n == 1)", True),
        ("all(a in list, a > 0) and any(a in list, a > 2)", True),
    ],
)
def test_a_value(text: str, expected: object) -> None:
    found = value(text)
    assert not isinstance(found, Unknown), str(found)
    assert found == expected
    assert type_name(found) == type_name(expected) or {type_name(found), type_name(expected)} == {"int", "decimal"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        # a missing value keeps the reason of its origin through everything
        ("gone", "gone: x was skipped"),
        ("not gone", "gone: x was skipped"),
        ("gone == 1", "gone: x was skipped"),
        ("1 + gone * 2", "gone: x was skipped"),
        ("len(gone)", "gone: x was skipped"),
        ("gone.a[0]", "gone: x was skipped"),
        ("steps.x.gone", "steps.x.gone: x was skipped"),
        ("[1, gone]", "gone: x was skipped"),
        ("filter(x in gone, x)", "gone: x was skipped"),
        ("map(x in list, gone)", "gone: x was skipped"),
        ("default(gone, gone)", "gone: x was skipped"),
        ("group(gone)", "gone: x was skipped"),
        ("list[gone]", "gone: x was skipped"),
        ("sum(map(h in steps.hosts, h.n))", "h.n: x was skipped"),
        # different types are never simply false
        ("stdout == 0", "text and int cannot be compared; write int(stdout)"),
        ("0 == stdout", "write int(stdout)"),
        ("stdout != lag", "write duration(stdout)"),
        ("stdout == true", "write stdout == 'true'"),
        ("db == 'db1'", "write db.name"),
        ("yes == 1", "bool and int cannot be compared"),
        ("lag == 3", "write 3 * 1s"),
        ("[1] == ['1']", "cannot be compared"),
        ("[1, 'a'] == [1, 2]", "cannot be compared"),
        ("'2' in list", "cannot be compared"),
        ("1 not in ['a']", "cannot be compared"),
        ("1 in stdout", "part of a text is a text, not int"),
        ("1 in json", "a key of a map is a text, not int"),
        ("1 in n", "int contains nothing"),
        ("'a' < 1", "no order"),
        ("yes < true", "no order"),
        ("db < spare", "no order"),
        ("null < 1", "no order"),
        ("lag < size", "no order"),
        ("yes and n", "int is neither true nor false"),
        ("not stdout", "text is neither true nor false"),
        ("n or false", "neither true nor false"),
        # operators
        ("'a' + 'b'", "join"),
        ("lag + 1", "1s"),
        ("at + at", "time cannot be added to time"),
        ("size + lag", "duration cannot be added to size"),
        ("1 / lag", "int cannot be divided by duration"),
        ("lag * lag", "duration cannot be multiplied by duration"),
        ("yes + 1", "int cannot be added to bool"),
        ("-yes", "bool has no negative"),
        ("-stdout", "text has no negative"),
        ("1 / 0", "division by zero"),
        ("lag / 0", "division by zero"),
        ("lag / 0s", "division by zero"),
        ("at + 10000d * 1000", "outside the years"),
        ("7d * 10000000000", "beyond what drctl counts"),
        ("9" * 60 + " * " + "9" * 60, "more than 100 digits"),
        # paths
        ("json.nope", "there is no key 'nope' (there are 'empty', 'odd key', 'rows', 'state')"),
        ("json.state.x", "text has no members"),
        ("json.rows.a", "a list has no names"),
        ("json.rows[2].b.c", "null before it"),
        ("json.rows[3]", "out of range: the list has 3 members"),
        ("json.rows[-1]", "out of range"),
        ("json.rows['a']", "whole number, not text"),
        ("json.rows[0.5]", "whole number, not decimal"),
        ("json.rows[true]", "whole number, not bool"),
        ("json[0]", "a key of a map is a text, not int"),
        ("db.password", "name address port site role groups"),
        ("n.a", "int has no members"),
        ("nope", "there is no nope"),
        ("steps", "name one of its fields"),
        ("steps.x == 1", "name one of its fields"),
        ("steps.x.nope", "it has no nope"),
        ("steps[0]", "it has no members"),
        ("steps.hosts[2]", "out of range"),
        ("[steps.x]", "name one of its fields"),
        ("steps.hosts", "name one of its fields"),
        # functions
        ("int('4.2')", "'4.2' is no whole number"),
        ("int('')", "is no whole number"),
        ("int('\u0664')", "is no whole number"),
        ("int(0.5)", "0.5 is no whole number"),
        ("int('" + "9" * 101 + "')", "is no whole number"),
        ("int(true)", "int takes decimal or int or text, and true is bool"),
        ("decimal('1,5')", "is no number"),
        ("decimal('nan')", "is no number"),
        ("decimal('1e999')", "100 digits"),
        ("time('yesterday')", "is not a time"),
        ("time('2026-01-31T10:00:00')", "has no zone"),
        ("time('x', '%Y %z')", "does not fit the format"),
        ("duration('90')", "is not a duration"),
        ("size('90')", "is not a size"),
        ("json('{')", "not JSON"),
        ("text(null)", "null has no text"),
        ("match(stdout, 'db9')", "nothing in the text matches 'db9'"),
        ("match('b', '(a)?b')", "nothing in the text matches"),
        ("match('\ud800', 'a')", "not UTF-8"),
        ("split('a', first(['']))", "separator"),
        ("columns('a', first(['x x']))", "each once"),
        ("join([null], ',')", "one member is null"),
        ("join([[1]], ',')", "one member is list"),
        ("len(1)", "len takes list or map or text"),
        ("first([])", "the list is empty"),
        ("last(json.empty)", "the list is empty"),
        ("min([])", "the list is empty"),
        ("max_by(x in [], x)", "the list is empty"),
        ("sum(['a'])", "text cannot be summed"),
        ("sum([true])", "bool cannot be summed"),
        ("sum([1, 1s])", "cannot be added"),
        ("min([1, 'a'])", "no common order"),
        ("min([true])", "bool has no order"),
        ("sort(x in [[1], [2]], x)", "list has no order"),
        ("unique([1, 'a'])", "cannot be compared"),
        ("group('nope')", "there is no group nope"),
        ("filter(x in stdout, true)", "filter takes a list, and stdout is text"),
        ("filter(x in json, true)", "filter takes a list, and json is map"),
        ("filter(x in list, x)", "int is neither true nor false"),
        ("keys(list)", "keys takes map, and list is list"),
        # secrets
        ("pw", "a secret takes part in no expression"),
        ("pw == 'hunter22'", "a secret"),
        ("len(pw)", "a secret"),
        ("[pw]", "a secret"),
        ("known(pw)", "a secret"),
        ("text(pw)", "a secret"),
        ("pw.a", "a secret has no members"),
        ("default(gone, pw) == 'a'", "a secret"),
        ("map(x in list, pw)", "a secret"),
    ],
)
def test_no_value_and_why(text: str, says: str) -> None:
    found = value(text)
    assert isinstance(found, Unknown), found
    assert not found.not_yet
    assert says in str(found)
    assert "hunter22" not in str(found)
    if "pw" not in text and text not in {"steps", "steps.hosts"}:  # a secret has no value; a node is more than none
        assert value(f"default({text}, 'instead')") == "instead"
        assert value(f"known({text})") is False


@pytest.mark.parametrize(
    "text",
    [
        "later",
        "not later",
        "later == 1",
        "known(later)",
        "default(later, 1)",
        "default(gone, later)",
        "known(default(gone, later))",
        "gone + later",
        "later + gone",
        "[gone, later]",
        "default([gone, later], 1)",
        "gone == later",
        "gone and later",
        "later or gone",
        "json[later]",
        "gone[later]",
        "steps.x.later",
        "filter(x in later, x)",
        "map(x in [1, 2], [gone, later][0])",
        "sum(map(h in steps.late, h.n))",
        "any(h in steps.late, h.n == 2)",
        "1 / 0 + later",
        "'a' + later",
        "text(later)",
        "group(later)",
        "now() - later",
        "default(any(x in [1, 2], default(later, true)), true)",
    ],
)
def test_what_may_still_come_is_never_answered(text: str) -> None:
    found = value(text)
    assert isinstance(found, Unknown)
    assert found.not_yet
    assert str(found).endswith(": not yet")


THREE = {"true": True, "false": False, "gone": None}


def kleene(operator: str, operands: set[bool | None]) -> bool | None:
    decisive = operator == "or"
    if decisive in operands - {None}:
        return decisive
    return None if None in operands else not decisive


@pytest.mark.parametrize(("operator", "left", "right"), list(itertools.product(("and", "or"), THREE, THREE)))
def test_the_truth_tables_of_kleene(operator: str, left: str, right: str) -> None:
    expected = kleene(operator, {THREE[left], THREE[right]})
    function = {"and": "all", "or": "any"}[operator]
    for text in (f"{left} {operator} {right}", f"{function}(x in [0, 1], x == 0 and {left} or x == 1 and {right})"):
        found = value(text)
        assert found is expected or (expected is None and isinstance(found, Unknown)), text


OPERANDS = st.lists(st.sampled_from(["true", "false", "gone", "later"]), min_size=1, max_size=6)


@given(OPERANDS, st.sampled_from(["and", "or"]))
def test_long_chains_agree_with_kleene_and_not_yet_outranks_none(operands: list[str], operator: str) -> None:
    found = value(f" {operator} ".join(operands))
    decisive = "true" if operator == "or" else "false"
    if decisive in operands:
        assert found is (operator == "or")
    elif {"gone", "later"} & set(operands):
        assert isinstance(found, Unknown)
        assert found.not_yet == ("later" in operands)
    else:
        assert found is (operator == "and")


def test_a_decided_chain_does_not_look_further() -> None:
    assert value("false and 1") is False
    assert value("true or 1") is True
    assert isinstance(value("1 and false or 1"), Unknown)


def test_a_secret_is_handed_on_only_when_it_stands_alone() -> None:
    assert evaluate_field(parse("pw"), SCOPE) is SCOPE.names["pw"]
    assert evaluate_field(parse("default(gone, pw)"), SCOPE) is SCOPE.names["pw"]
    assert isinstance(evaluate_field(parse("[pw]"), SCOPE), Unknown)
    assert isinstance(evaluate_field(parse("not pw"), SCOPE), Unknown)


def test_the_clock_is_the_scopes() -> None:
    assert value("now()") == SCOPE.now()


def test_work_is_bounded_and_default_cannot_hide_it() -> None:
    many = Names(list=tuple(range(2000)))
    found = value("default(len(map(a in list, sum(map(b in list, a * b)))), 0)", many)
    assert isinstance(found, Unknown)
    assert "1,000,000 steps" in found.reason
    assert value("len(map(a in list, a))", many) == 2000


@pytest.mark.parametrize(
    "text",
    [
        "any(a in list, lower(text) == 'b')",
        "any(a in list, 'b' in text)",
        "any(a in list, match(text, 'b') == 'b')",
        "any(a in list, unique(list) == [])",
        "any(a in list, list == [])",
        "any(a in list, text(list) == '')",
        "any(a in list, sum(list) < 0)",
    ],
)
def test_work_inside_functions_counts(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate_module, "BUDGET", 20_000)
    found = value(text, Names(list=tuple(range(1000)), text="a" * 2**17))
    assert isinstance(found, Unknown)
    assert "20,000 steps" in found.reason


def test_texts_and_lists_are_bounded() -> None:
    many = Names(text="a" * 2**20, lines="\n" * 100_001)
    assert "1 MiB" in str(value("join([text, text], '')", many))
    assert "100,000 members" in str(value("lines(lines)", many))
    assert "100,000 matches" in str(value("matches(text, 'a')", many))
    assert "longer than 1 MiB" in str(value("match(text, 'b')", Names(text="a" * (2**20 + 1))))


def test_no_text_of_a_host_can_hang_a_regex() -> None:
    assert "nothing in the text" in str(value("match(t, '^(([a-z])+.)+[A-Z]([a-z])+$')", Names(t="a" * 100_000)))
    assert "nothing in the text" in str(value("match(t, '(x+x+)+y')", Names(t="x" * 100_000)))


def test_re2_is_not_loaded_before_a_regex_is_met() -> None:
    script = (
        "import sys\n"
        "from drctl.core.expressions import parse\n"
        "from drctl.core.templates import Template\n"
        "parse('len(a) == 1'); Template.parse('${{ a }}')\n"
        "assert 're2' not in sys.modules\n"
        "parse(\"match(a, 'b')\")\n"
        "assert 're2' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_reasons_show_little_of_what_a_host_wrote_and_nothing_unprintable() -> None:
    hostile = Names(t="\x1b[2J\n" + "A" * 500)
    reason = str(value("int(t)", hostile))
    assert "\x1b" not in reason
    assert "\n" not in reason
    assert len(reason) < 120


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-10, 10) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)
SHAPES = [
    "x",
    "x == y",
    "x != y",
    "x < y",
    "x in y",
    "x + y",
    "x - y",
    "x * y",
    "x / y",
    "-x",
    "not x",
    "x and y",
    "x or y",
    "x.a",
    "x[y]",
    "x[0]",
    "len(x)",
    "empty(x)",
    "first(x)",
    "last(x)",
    "reverse(x)",
    "unique(x)",
    "keys(x)",
    "sum(x)",
    "min(x)",
    "max(x)",
    "int(x)",
    "decimal(x)",
    "time(x)",
    "duration(x)",
    "size(x)",
    "json(x)",
    "text(x)",
    "lines(x)",
    "split(x, y)",
    "columns(x, y)",
    "match(x, 'a(b)?')",
    "matches(x, '.')",
    "starts_with(x, y)",
    "lower(x)",
    "trim(x)",
    "join(x, y)",
    "filter(i in x, i == y)",
    "map(i in x, [i, y])",
    "sort(i in x, i)",
    "all(i in x, i)",
    "any(i in x, y)",
    "min_by(i in x, i.a)",
    "max_by(i in x, i)",
    "group(x)",
    "default(x, y)",
    "known(x)",
    "x not in y",
    "ends_with(x, y)",
    "time(x, '%Y-%m-%d %z')",
]


@given(st.sampled_from(SHAPES), json_values, json_values)
@example("unique(x)", [1, True, "1", None], None)
@example("x == y", {"a": [1]}, {"a": ["1"]})
def test_every_shape_has_a_value_or_a_reason_for_every_json(shape: str, x: Any, y: Any) -> None:
    scope = Names(x=from_plain(x), y=from_plain(y))
    found = value(shape, scope)
    if isinstance(found, Unknown):
        assert found.reason
        assert not found.not_yet
        return
    again = value(shape, scope)
    assert found == again
    if found is not None:
        text_of(found)


@given(json_values, json_values)
def test_equality_is_pythons_except_that_types_are_kept_apart(x: Any, y: Any) -> None:
    found = value("x == y", Names(x=from_plain(x), y=from_plain(y)))
    if found is True:
        assert x == y
    if found is False:
        assert json.dumps(x, sort_keys=True) != json.dumps(y, sort_keys=True)
    assert value("x == x", Names(x=from_plain(x))) is True
    turned = value("y == x", Names(x=from_plain(x), y=from_plain(y)))
    assert turned is found or (isinstance(found, Unknown) and isinstance(turned, Unknown))


@given(st.integers(-(2**60), 2**60), st.integers(-(2**60), 2**60))
def test_arithmetic_is_exact(a: int, b: int) -> None:
    scope = Names(a=parse_json(str(a)), b=parse_json(str(b)))
    assert value("a + b", scope) == a + b
    assert value("a - b", scope) == a - b
    assert value("a * b", scope) == a * b
    if b:
        assert value("a * b / b", scope) == a
