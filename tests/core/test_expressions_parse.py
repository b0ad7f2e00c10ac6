"""The grammar: what is an expression, what is not, and what a person is told at 3 a.m. when it is not."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from drctl.core.expressions import ExpressionError, PathUse, parse
from drctl.core.expressions.functions import IMPLEMENTATIONS
from drctl.core.expressions.parser import MAX_DEPTH
from drctl.core.expressions.signatures import EACH_SIGNATURES, RESERVED, SIGNATURES, usage
from drctl.core.expressions.tokens import MAX_LENGTH
from drctl.core.expressions.tree import is_name, written_path


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("1", "1"),
        ("0.25", "0.25"),
        ("90s", "90s"),
        ("1h30m", "90m"),
        ("1.5KiB", "1536B"),
        ('"a\'b"', "'a\\'b'"),
        (r"'\\d+ \' \" \n \t'", r"'\\d+ \' \" \n \t'".replace('\\"', '"')),
        ("true", "true"),
        ("null", "null"),
        ("a-b", "a-b"),
        ("a - b", "a - b"),
        ("a -b", "a - b"),
        ("a--b", "a--b"),
        ("a or b and not c", "a or b and not c"),
        ("(a or b) and c", "(a or b) and c"),
        ("not (a and b)", "not (a and b)"),
        ("not not a", "not not a"),
        ("not a == b", "not a == b"),
        ("(not a) == b", "(not a) == b"),
        ("a + b - c", "a + b - c"),
        ("a - (b - c)", "a - (b - c)"),
        ("a * (b + c) / d", "a * (b + c) / d"),
        ("-a.b", "-a.b"),
        ("-(a + b)", "-(a + b)"),
        ("a - -b", "a - -b"),
        ("a not in [1,2]", "a not in [1, 2]"),
        ("a in(b)", "a in b"),
        ("(a < b) == (c < d)", "(a < b) == (c < d)"),
        ("steps.x.hosts['db1'].rows[0].not", "steps.x.hosts['db1'].rows[0].not"),
        ("(a + b).c", "(a + b).c"),
        ("[ ]", "[]"),
        ("[a]", "[a]"),
        ("now( )", "now()"),
        ("default(a,b)", "default(a, b)"),
        (
            "filter(b in steps.x.backups, b.at < inputs.fault_at)",
            "filter(b in steps.x.backups, b.at < inputs.fault_at)",
        ),
        ("all(a in (b), any(c in a, c))", "all(a in b, any(c in a, c))"),
        ("\n a\n and\tb ", "a and b"),
        ("json.state == 'off'", "json.state == 'off'"),
        ("'ok' in stdout", "'ok' in stdout"),
    ],
)
def test_an_expression_is_read(text: str, canonical: str) -> None:
    assert parse(text).canonical() == canonical
    assert parse(canonical).canonical() == canonical
    assert parse(text).text == text


@pytest.mark.parametrize(
    ("text", "offset", "says"),
    [
        ("", 0, "empty"),
        ("  ", 0, "empty"),
        ("a b", 2, "operator is missing"),
        ("a +", 3, "ends where a value"),
        ("a and", 5, "ends where a value"),
        ("(a", 2, "not closed"),
        ("a)", 1, "')' does not fit"),
        ("a[1", 3, "not closed"),
        ("[1, ", 4, "ends where a value"),
        ("[1 2]", 3, "commas"),
        ("[1,]", 3, "']' does not fit"),
        ("a < b < c", 6, "join them with `and`"),
        ("a == b == c", 7, "join them with `and`"),
        ("a in b in c", 7, "join them with `and`"),
        ("a not b", 6, "not in"),
        ("a == not b", 5, "brackets"),
        ("--a", 1, "brackets"),
        ("1 - - -a", 6, "brackets"),
        ("a = b", 2, "write =="),
        ("a === b", 2, "write =="),
        ("a <> b", 2, "write !="),
        ("a && b", 2, "write and"),
        ("a || b", 2, "write or"),
        ("a | upper", 2, "no filters"),
        ("!a", 0, "write not"),
        ("a % b", 2, "no remainder"),
        ("a ** b", 2, "multiply"),
        ("a // b", 2, "divide"),
        ("a ? b : c", 2, "default(x, y)"),
        ("a[1:2]", 3, "no slices"),
        ("{a: 1}", 0, "no maps"),
        ("${{ a }}", 0, "bare"),
        ("a }}", 2, "bare"),
        ("$a", 0, "without $"),
        ("a # b", 2, "no comments"),
        ("`a`", 0, "texts stand in"),
        ("\u201ca\u201d", 0, "straight quotes"),
        ("a\u00a0== b", 1, "type it again"),
        ("a\u200b", 1, "type it again"),
        ("gr\u00f6\u00dfe == 1", 2, "other characters stand in a text"),
        ("'abc", 0, "no closing '"),
        ('"abc', 0, 'no closing "'),
        ("'a\nb'", 2, r"write \n"),
        (r"match(a, '\d')", 10, r"'\\d+'"),
        ("'a\\", 2, "means nothing"),
        ("1.", 0, "digits after the point"),
        (".5", 0, "'.' does not fit"),
        ("1e3", 0, "neither a number nor"),
        ("5x", 0, "durations: 500ms"),
        ("5min", 0, "durations: 500ms"),
        ("1h1h", 0, "large to small"),
        ("0.0001ms", 0, "whole number of microseconds"),
        ("0.5B", 0, "whole number of bytes"),
        ("10KB", 0, "sizes: 10B 4KiB"),
        ("1_000", 0, "neither a number nor"),
        ("9" * 101, 0, "more than 100 digits"),
        ("9" * 5000, 0, "more than 100 digits"),
        ("2026-01-31", 0, "time('"),
        ("2026-01-31T23:59:59Z", 0, "time('"),
        ("10.0.0.1", 0, "addresses and versions are texts"),
        ("a.0", 2, "a position is written [0]"),
        ("a.", 2, "is no name"),
        ("a.b()", 2, ".b() is not part"),
        ("stdout.split(',')", 7, "write split(t, ',')"),
        ("a()", 0, "there is no function a"),
        ("length(a)", 0, "write len(x)"),
        ("lenn(a)", 0, "did you mean len(x)?"),
        ("contains(a, b)", 0, "'part' in text"),
        ("and(a)", 0, "does not fit"),
        ("len()", 0, "len takes 1 argument, not 0"),
        ("len(a, b)", 0, "len takes 1 argument, not 2"),
        ("now(1)", 0, "now takes 0 arguments, not 1"),
        ("time(a, '%z', b)", 0, "time takes 1 or 2 arguments, not 3"),
        ("default(a)", 0, "default takes 2 arguments, not 1"),
        ("filter(a, b)", 7, "filter(x in list"),
        ("filter(a in b)", 13, "write filter(x in list"),
        ("filter(1 in b, c)", 7, "under a name of your choice"),
        ("map()", 4, "under a name of your choice"),
        ("map(host in a, 1)", 4, "a word of the language"),
        ("map(a in b, map(a in c, 1))", 16, "bound already"),
        ("match(a, b)", 9, "a text written here"),
        ("match(a, '(')", 9, "refused"),
        ("match(a, '(?=b)')", 9, "no look-around"),
        (r"match(a, '(b)\\1')", 9, "no look-around"),
        (r"match(a, '\\C')", 9, "cut characters"),
        ("matches(a, 'b{5000}')", 11, "refused"),
        ("time(a, b)", 8, "a text written here"),
        ("time(a, '%Y-%m-%d')", 8, "no zone"),
        ("time(a, '%H:%M %z')", 8, "no year"),
        ("time(a, '%Y %Q %z')", 8, "%Q is not part"),
        ("time(a, '%Y %z %')", 8, "not part"),
        ("columns(a, '')", 11, "names, each once"),
        ("columns(a, 'x x')", 11, "names, each once"),
        ("split(a, '')", 9, "needs a separator"),
        ("(" * (MAX_DEPTH + 1) + "a" + ")" * (MAX_DEPTH + 1), MAX_DEPTH + 1, "nested deeper"),
        ("not " * 100_000 + "a", 0, "longer than"),
        ("not " * 4000 + "a", 4 * (MAX_DEPTH + 1), "nested deeper"),
    ],
    ids=lambda value: value[:24] if isinstance(value, str) else None,
)
def test_what_is_no_expression_is_refused_where_it_goes_wrong(text: str, offset: int, says: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse(text)
    assert caught.value.offset == offset
    assert says in str(caught.value)
    assert not caught.value.summary.endswith(".")


def test_the_deepest_and_the_longest_expressions_are_taken() -> None:
    parse("(" * MAX_DEPTH + "a" + ")" * MAX_DEPTH)
    longest = "a" + " + a" * ((MAX_LENGTH - 1) // 4)
    expression = parse(longest)
    assert parse(expression.canonical()) == pickle.loads(pickle.dumps(parse(expression.canonical())))  # noqa: S301
    assert len(expression.paths()) == (MAX_LENGTH - 1) // 4 + 1


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ("steps.x.lag <= inputs.limit", [("steps.x.lag", 0), ("inputs.limit", 15)]),
        ("steps.x.hosts['db1'].lag", [("steps.x.hosts.db1.lag", 0)]),
        ("steps.x.hosts['db 1'].lag", [("steps.x.hosts['db 1'].lag", 0)]),
        ("steps.x.each[0].ok", [("steps.x.each[].ok", 0)]),
        ("hosts[inputs.target].site", [("hosts[].site", 0), ("inputs.target", 6)]),
        ("filter(b in steps.x.backups, b.at < inputs.t)", [("steps.x.backups", 12), ("inputs.t", 36)]),
        ("map(a in b, map(c in a.d, a.e + c.f + g))", [("b", 9), ("g", 38)]),
        ("(a + b).c", [("a", 1), ("b", 5)]),
        ("first(a).b + [c][0]", [("a", 6), ("c", 14)]),
        ("'a' in [null, true, 1s]", []),
        ("not a", [("a", 4)]),
        ("-a", [("a", 1)]),
    ],
)
def test_the_names_an_expression_uses(text: str, paths: list[tuple[str, int]]) -> None:
    uses = parse(text).paths()
    assert [(str(use), use.offset) for use in uses] == paths


def test_a_name_bound_by_each_is_free_again_behind_it() -> None:
    assert parse("all(a in b, a) and a").paths() == (PathUse(("b",), 9), PathUse(("a",), 19))


def test_what_an_expression_tells_about_itself() -> None:
    expression = parse("len(group('web')) + len(group(x)) > 0 and now() > a")
    assert expression.groups() == (("web", 10),)
    assert expression.uses_now()
    assert not parse("steps.now").uses_now()
    assert parse(" steps.a ").path() == ("steps", "a")
    assert parse("steps.a == 1").path() is None
    assert str(expression) == expression.text


def test_every_function_has_a_signature_a_meaning_and_a_usage_that_parses() -> None:
    carried_out_by_the_evaluation = {"known", "default", "group", "now"}
    assert set(SIGNATURES) == set(IMPLEMENTATIONS) | carried_out_by_the_evaluation
    assert not set(SIGNATURES) & set(EACH_SIGNATURES)
    for function in [*SIGNATURES, *EACH_SIGNATURES]:
        parse(usage(function).split(" or ")[0])
    assert "steps" in RESERVED


@pytest.mark.parametrize("text", ["a", "a-b", "a_b", "_", "A9", "a--b"])
def test_a_name(text: str) -> None:
    assert is_name(text)
    assert parse(text).path() == (text,)


@pytest.mark.parametrize("text", ["", "-a", "a-", "9a", "a b", "\u00e4", "a.b"])
def test_no_name(text: str) -> None:
    assert not is_name(text)
    assert written_path(("x", text)).startswith("x[")


FRAGMENTS = r"""
    a b-c steps.x.lag 1 0.5 30s 1h30m 4KiB 'x' "y" true null ( ) [ ] , . + - * / == != < <= > >= in not and or len(
    default( filter( known( match( now( time( x in '(' '%z' \ ' " = & | ! $ ${{ }} # ? :
"""
fragments = st.sampled_from(FRAGMENTS.split())
arbitrary = st.lists(fragments, max_size=14).map(" ".join) | st.lists(fragments, max_size=10).map("".join)


@given(arbitrary | st.text(max_size=40))
@example("\x00")
@example("\ud800")
@example("'\ud800'")
@example("match(a, '\ud800')")
@example("1" * 400 + "d")
@example("\u0661")
@example("1\u0661")
def test_arbitrary_text_is_an_expression_or_an_expression_error(text: str) -> None:
    refused: ExpressionError | None = None
    try:
        expression = parse(text)
    except ExpressionError as error:
        refused = error
    if refused is not None:
        assert 0 <= refused.offset <= len(text)
        assert refused.summary
        return
    again = parse(expression.canonical())
    assert again.canonical() == expression.canonical()
    assert [use.path for use in again.paths()] == [use.path for use in expression.paths()]
    assert pickle.loads(pickle.dumps(expression)) == expression  # noqa: S301 - our own bytes
