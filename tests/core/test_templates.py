"""Templates: where they begin and end, what they keep and what they refuse, what a plan shows."""

from __future__ import annotations

import pickle
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drctl.core.expressions import ExpressionError
from drctl.core.templates import Template
from drctl.core.values import Duration, Map, Secret, Size, Time, Unknown, Value
from tests.fakes.scopes import NOT_YET, SKIPPED, Names, Record, Types

SCOPE = Names(
    a="x y", n=3, d=Decimal("1.50"), lag=Duration(90_000_000), size=Size(4096), at=Time(0), rows=(1, "b"),
    entries=Map({"k": None}), none=None, ok=True, gone=SKIPPED, later=NOT_YET, pw=Secret("hunter22"),
    hostile="${{ pw }} }} $(reboot)", steps=Record({"x": Record({"y": SKIPPED, "z": NOT_YET})}),
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", ""),
        ("plain }} { $ {{", "plain }} { $ {{"),
        ("${{ n }}", 3),
        ("${{n}}", 3),
        ("${{ none }}", None),
        ("${{ rows }}", (1, "b")),
        ("${{ lag }}", Duration(90_000_000)),
        ("${{ ok }}", True),
        (" ${{ n }}", " 3"),
        ("${{ n }}${{ n }}", "33"),
        ("a ${{ a }} b", "a x y b"),
        ("${{ d }} ${{ lag }} ${{ size }} ${{ at }}", "1.50 90s 4096 1970-01-01T00:00:00Z"),
        ("${{ rows }} ${{ entries }} ${{ ok }}", '[1, "b"] {"k": null} true'),
        ("<${{ hostile }}>", "<${{ pw }} }} $(reboot)>"),
        ("${{ '}}' }}.", "}}."),
        ('${{ "\\"}}" }}.', '"}}.'),
        ("${{ '${{' }}!", "${{!"),
        ("${{\n n\n}}\n", "3\n"),
        ("$${{ n }}", "$3"),
    ],
)
def test_a_text_has_a_value(text: str, value: Value) -> None:
    template = Template.parse(text)
    found = template.resolve(SCOPE)
    assert found == value
    assert type(found) is type(value)
    assert pickle.loads(pickle.dumps(template)) == template  # noqa: S301 - our own bytes


@pytest.mark.parametrize(
    ("text", "is_plain", "is_single", "expressions"),
    [("a", True, False, []), ("${{ n }}", False, True, ["n"]), ("${{ n }} ${{ a }}", False, False, ["n", "a"])],
)
def test_what_kind_of_text_it_is(text: str, is_plain: object, is_single: object, expressions: list[str]) -> None:
    template = Template.parse(text)
    assert (template.is_plain, template.is_single) == (is_plain, is_single)
    assert [expression.canonical() for expression in template.expressions] == expressions
    assert template.text == text


@pytest.mark.parametrize(
    ("text", "offset", "says"),
    [
        ("abc ${{ a", 4, "not closed"),
        ("abc ${{ 'a }}", 4, "not closed"),
        ("abc ${{ a } }", 4, "not closed"),
        ("abc ${{ }} x", 7, "empty"),
        ("abc ${{ a b }}", 10, "does not fit"),
        ("${{ a }} ${{ b = 1 }}", 15, "write =="),
        ("${{ {a} }}", 4, "no maps"),
        ("${{ ${{ a }} }}", 4, "bare"),
    ],
)
def test_a_template_that_cannot_be_read_says_where(text: str, offset: int, says: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        Template.parse(text)
    assert caught.value.offset == offset
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says", "not_yet"),
    [
        ("${{ gone }}", "gone: x was skipped", False),
        ("a ${{ gone }}", "gone: x was skipped", False),
        ("a ${{ gone }} ${{ later }}", "later: not yet", True),
        ("a ${{ none }}", "none: null has no text", False),
        ("a ${{ pw }}", "pw: a secret cannot be part of a text", False),
        ("a ${{ 1 / 0 }}", "division by zero", False),
    ],
)
def test_a_missing_part_makes_the_whole_missing(text: str, says: str, not_yet: object) -> None:
    found = Template.parse(text).resolve(SCOPE)
    assert isinstance(found, Unknown)
    assert says in str(found)
    assert found.not_yet is not_yet


def test_a_secret_is_handed_on_whole_and_only_alone() -> None:
    assert Template.parse("${{ pw }}").resolve(SCOPE) is SCOPE.names["pw"]


def test_a_text_is_bounded() -> None:
    found = Template.parse("${{ t }}${{ t }}").resolve(Names(t="a" * 2**20))
    assert isinstance(found, Unknown)
    assert "1 MiB" in found.reason


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("url/${{ a }}?n=${{ n }}", "url/x y?n=3"),
        ("${{ steps.x.z }}!", "<steps.x.z: not yet>!"),
        ("${{ steps.x.y }}", "<steps.x.y: x was skipped>"),
        ("${{ int( steps.x.z )+1 }}", "<int(steps.x.z) + 1: not yet>"),
        ("${{ pw }} ${{ none }}", "*** null"),
        ("${{ rows }}", '[1, "b"]'),
    ],
)
def test_what_a_plan_shows(text: str, shown: str) -> None:
    assert Template.parse(text).show(SCOPE) == shown


def test_the_check_tells_where_in_the_whole_text() -> None:
    types = Types(a="text", pw="secret", none="null", n="int")
    assert Template.parse("abc ${{ a + 1 }}").check(types)[0].offset == 10
    assert [problem.summary for problem in Template.parse("x ${{ pw }} ${{ none }}").check(types)] == [
        "secret cannot be part of a text",
        "null cannot be part of a text",
    ]
    assert Template.parse("${{ pw }}").check(types) == ()
    assert Template.parse("${{ n }}").infer(types) == "int"
    assert Template.parse("${{ n }} ").infer(types) == "text"


@given(
    st.lists(st.sampled_from(["${{", "}}", " a ", "'", '"', "\\", "x", "$", "{", "}", "\n"]), max_size=12).map("".join)
)
def test_arbitrary_text_is_a_template_or_an_expression_error(text: str) -> None:
    refused: ExpressionError | None = None
    try:
        template = Template.parse(text)
    except ExpressionError as error:
        refused = error
    if refused is not None:
        assert 0 <= refused.offset <= len(text)
        return
    if "${{" not in text:
        assert template.resolve(SCOPE) == text
    pieces = [part if isinstance(part, str) else text[part.offset : part.end] for part in template.parts]
    assert "".join(pieces) == text


@given(st.text(max_size=30))
def test_what_is_inserted_is_never_read_again(value: str) -> None:
    assert Template.parse("<${{ v }}>").resolve(Names(v=value)) == f"<{value}>"
    assert Template.parse("${{ v }}").resolve(Names(v=value)) == value


def test_equal_expressions_of_one_text_are_parsed_once_and_keep_their_own_places() -> None:
    first, other, again = Template.parse("${{ vars.a }}-${{ vars.b }}-${{ vars.a }}").placeholders
    assert again.expression is first.expression
    assert other.expression is not first.expression
    assert (first.offset, other.offset, again.offset) == (0, 14, 28)
