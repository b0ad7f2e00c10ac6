"""Values: quantities exact, nothing secret ever printed, a journal that gives back what it was given."""
# ruff: noqa: ANN401 - values of every type are the subject here

from __future__ import annotations

import copy
import json
import pickle
from dataclasses import FrozenInstanceError, dataclass
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from drctl.core.encoding import MAX_DEPTH
from drctl.core.values import (
    LARGEST_INT,
    MAX_MEMBERS,
    Duration,
    HostRef,
    Map,
    Secret,
    Size,
    Time,
    Unknown,
    Value,
    from_json,
    from_plain,
    number,
    order_key,
    parse_json,
    text_of,
    to_json,
    type_name,
)


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("500ms", 500_000),
        ("30s", 30_000_000),
        ("5m", 300_000_000),
        ("1h30m", 5_400_000_000),
        ("7d", 604_800_000_000),
        ("1d2h3m4s5ms", 93_784_005_000),
        ("0.25s", 250_000),
        ("1.5h", 5_400_000_000),
        ("0s", 0),
        ("-90s", -90_000_000),
        ("0.001ms", 1),
    ],
)
def test_a_duration_is_read(text: str, micros: int) -> None:
    assert Duration.parse(text) == Duration(micros)


@pytest.mark.parametrize(
    "text",
    ["", "5", "s", "5 s", "5S", "5min", "1h1h", "30m1h", "0.0001ms", "5m ", "+5m", "\u0665m", "9" * 19 + "s", "1.s"],
)
def test_what_is_no_duration_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match=r"\.$"):
        Duration.parse(text)


@pytest.mark.parametrize(
    ("micros", "plain", "human"),
    [
        (90_000_000, "90s", "1m30s"),
        (252_000_000, "252s", "4m12s"),
        (500_000, "0.5s", "500ms"),
        (0, "0s", "0s"),
        (1, "0.000001s", "0.001ms"),
        (3_900_000_000, "3900s", "1h05m"),
        (3_600_000_000, "3600s", "1h"),
        (183_600_000_000, "183600s", "2d3h"),
        (3_450_000, "3.45s", "3.4s"),
        (-252_000_000, "-252s", "-4m12s"),
    ],
)
def test_a_duration_is_written_for_programs_and_for_people(micros: int, plain: str, human: str) -> None:
    assert str(Duration(micros)) == plain
    assert Duration(micros).human() == human
    assert Duration.parse(plain) == Duration(micros)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("10B", 10),
        ("4KiB", 4096),
        ("4kB", 4000),
        ("512MiB", 512 * 2**20),
        ("2GB", 2 * 10**9),
        ("1.5KiB", 1536),
        ("1MB", 10**6),
        ("1GiB", 2**30),
        ("1TB", 10**12),
        ("1TiB", 2**40),
    ],
)
def test_a_size_is_read(text: str, count: int) -> None:
    assert Size.parse(text) == Size(count)
    assert str(Size.parse(text)) == str(count)


@pytest.mark.parametrize("text", ["", "10", "10b", "1KB", "0.5B", "-1B", "1 KiB", "1KiB2B", "9" * 18 + "TiB"])
def test_what_is_no_size_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match=r"\.$"):
        Size.parse(text)


def test_a_size_for_people_has_a_unit() -> None:
    assert [Size(n).human() for n in (17, 2048, 1536 * 2**20, -(2**40))] == ["17 B", "2 KiB", "1.5 GiB", "-1 TiB"]


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("2026-01-31T23:59:59Z", "2026-01-31T23:59:59Z"),
        ("20260131T235959Z", "2026-01-31T23:59:59Z"),
        ("2026-02-01T07:59:59+08:00", "2026-01-31T23:59:59Z"),
        ("2026-01-31T20:29:59-03:30", "2026-01-31T23:59:59Z"),
        ("2026-01-31 23:59:59.5+00", "2026-01-31T23:59:59.500000Z"),
        ("2026-01-31t23:59:59.123456789z", "2026-01-31T23:59:59.123456Z"),
        ("1969-12-31T23:59:59.999999Z", "1969-12-31T23:59:59.999999Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
    ],
)
def test_a_time_is_read_and_written_in_utc(text: str, written: str) -> None:
    assert str(Time.parse(text)) == written
    assert Time.parse(written) == Time.parse(text)


@pytest.mark.parametrize("text", ["2026-01-31T23:59:59", "20260131T235959", "2026-01-31 23:59:59.5"])
def test_a_time_without_a_zone_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="has no zone"):
        Time.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2026-13-01T00:00:00Z",
        "2026-02-30T00:00:00Z",
        "2026-01-31T24:00:00Z",
        "2026-01-31T23:59:60Z",
        "2026-01-31",
        "2026-01-31T23:59Z",
        "2026-01-31T23:59:59+25:00",
        "0001-01-01T00:00:00+14:00",
        "٢٠٢٦-01-31T23:59:59Z",
    ],
)
def test_what_is_no_time_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match=r"\.$"):
        Time.parse(text)


def test_quantities_are_ordered_hashable_frozen_and_apart_from_each_other() -> None:
    assert Duration(1) < Duration(2)
    assert len({Size(1), Duration(1)}) == 2
    assert len({Time(1), Time(1), Duration(1)}) == 2
    with pytest.raises(FrozenInstanceError):
        Duration(1).micros = 2  # type: ignore[misc]
    assert Time(5) - Time(2) == Duration(3)
    assert Time(5) - Duration(2) == Time(3)
    assert Time(5) + Duration(2) == Time(7)
    with pytest.raises(ValueError, match="beyond"):
        Duration(10**18) + Duration(1)


@given(st.integers(-(10**18), 10**18))
def test_every_duration_is_read_back_as_written(micros: int) -> None:
    assert Duration.parse(str(Duration(micros))) == Duration(micros)
    assert Duration(micros).human()


@given(st.integers(Time.parse("0001-01-01T00:00:00Z").micros, Time.parse("9999-12-31T23:59:59.999999Z").micros))
def test_every_time_is_read_back_as_written(micros: int) -> None:
    assert Time.parse(str(Time(micros))) == Time(micros)


texts = st.text(st.characters(exclude_categories=()), max_size=20)
scalars: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-LARGEST_INT, LARGEST_INT),
    st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-(10**20), max_value=10**20).map(number),
    texts,
    st.builds(Duration, st.integers(-(10**18), 10**18)),
    st.builds(Size, st.integers(-(10**18), 10**18)),
    st.builds(Time, st.integers(0, 2 * 10**17)),
    st.builds(
        HostRef,
        name=texts,
        address=texts,
        port=st.integers(1, 65535),
        site=st.none() | texts,
        groups=st.just(("a", "b")),
        facts=st.dictionaries(texts | st.just("$us"), texts | st.integers(0, 5), max_size=2).map(Map),
    ),
)
keys = texts | st.sampled_from(["$us", "$decimal", "$time", "$host", "$map", "$text", "$", "=", "~"])
values: st.SearchStrategy[Any] = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4).map(tuple) | st.dictionaries(keys, inner, max_size=4).map(Map),
    max_leaves=12,
)


def _same(left: Any, right: Any) -> bool:
    """Equal in value and type all the way down: Python holds True == 1 and Decimal(1) == 1."""
    if isinstance(left, tuple):
        return isinstance(right, tuple) and len(left) == len(right) and all(map(_same, left, right))
    if isinstance(left, Map):
        return isinstance(right, Map) and left.keys() == right.keys() and all(_same(left[k], right[k]) for k in left)
    return type(left) is type(right) and left == right and str(left) == str(right)


@given(values)
@example(Map({"$us": 1}))
@example(Map({"$map": Map({"$us": Map({"\ud800": "\udcff"})})}))
@example(Decimal("1.50"))
def test_the_journal_gives_back_every_value(value: Any) -> None:
    line = json.dumps(to_json(value), ensure_ascii=True, sort_keys=True)
    assert "." not in json.dumps(_numbers(json.loads(line)))
    line.encode("ascii")
    assert _same(from_json(json.loads(line)), value)


def _numbers(encoded: Any) -> list[Any]:
    if isinstance(encoded, dict):
        return [n for each in encoded.values() for n in _numbers(each)]
    if isinstance(encoded, list):
        return [n for each in encoded for n in _numbers(each)]
    return [encoded] if isinstance(encoded, int | float) else []


@given(st.recursive(scalars, lambda inner: st.dictionaries(keys, inner, max_size=3).map(Map), max_leaves=5))
def test_a_map_from_a_host_cannot_pose_as_a_quantity(value: Any) -> None:
    hostile = from_plain({"$time": 1, "$us": value, "$map": {"=a": 1}})
    read = from_json(json.loads(json.dumps(to_json(hostile))))
    assert type_name(read) == "map"
    assert _same(read, hostile)


@pytest.mark.parametrize(
    "forged",
    [
        {"$us": 1.5},
        {"$us": "1", "b": 2},
        {"$none": 1},
        {"$host": {"name": "a"}},
        {"$host": {"name": "a", "address": "b", "port": 1, "groups": [], "facts": 1}},
        {"$decimal": "NaN"},
        {"$decimal": "x"},
        {"$decimal": "1e999"},
        {"$text": "?"},
        {"$map": [["a", 1]]},
        {"$map": {"a": 1}},
        {"$us": 10**19},
        1.5,
        [0.1],
    ],
)
def test_what_drctl_did_not_write_is_not_read(forged: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        from_json(forged)


@pytest.mark.parametrize("value", [Secret("hunter22"), Unknown("gone", not_yet=False), 1.5, object(), {"a": {1, 2}}])
def test_what_is_no_value_is_not_written(value: Any) -> None:
    with pytest.raises(TypeError):
        to_json(value)
    with pytest.raises(TypeError):
        to_json((value,))


def test_a_secret_never_shows() -> None:
    secret = Secret("hunter22", "env:PW")

    @dataclass
    class Holder:
        inside: Secret

    shown = [
        repr(secret),
        str(secret),
        f"{secret}",
        f"{secret:>20}",
        str.__mod__("%s", secret),
        repr([secret]),
        repr(Holder(secret)),
    ]
    assert not any("hunter22" in each for each in shown)
    assert secret.reveal() == "hunter22"
    for attempt in (lambda: json.dumps(secret), lambda: pickle.dumps(secret), lambda: copy.deepcopy(secret)):
        with pytest.raises(TypeError) as caught:
            attempt()
        assert "hunter22" not in str(caught.value)
    with pytest.raises(TypeError):
        assert secret


def test_no_value_equals_nothing_and_has_no_truth() -> None:
    gone = Unknown("x was skipped", not_yet=False, origin="steps.x.lag")
    same = gone
    assert not (gone == same)  # noqa: SIM201 - both operators are meant
    assert gone != same
    assert str(gone) == "steps.x.lag: x was skipped"
    assert str(Unknown("", not_yet=True)) == "not yet"
    with pytest.raises(TypeError, match="neither true nor false"):
        bool(gone)
    assert pickle.loads(pickle.dumps(gone)).reason == "x was skipped"  # noqa: S301 - our own bytes


def test_a_map_cannot_change_and_travels() -> None:
    entries: dict[str, Value] = {"a": 1, "b": (Duration(1), None)}
    frozen = Map(entries)
    entries["a"] = 2
    assert frozen["a"] == 1
    assert pickle.loads(pickle.dumps(frozen)) == frozen == {"a": 1, "b": (Duration(1), None)}  # noqa: S301
    assert hash(frozen) == hash(Map({"b": (Duration(1), None), "a": 1}))
    with pytest.raises(TypeError):
        frozen["a"] = 3  # type: ignore[index]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a b", "a b"),
        (True, "true"),
        (3, "3"),
        (Decimal("0.250"), "0.250"),
        (Decimal("1E+3"), "1000"),
        (Duration(90_000_000), "90s"),
        (Size(4096), "4096"),
        (Time(0), "1970-01-01T00:00:00Z"),
        (HostRef(name="db1", address="10.0.0.1"), "db1"),
        ((1, 'ä"', None, Duration(1_000_000)), '[1, "ä\\"", null, "1s"]'),
        (Map({"b": Size(1), "a": True}), '{"a": true, "b": 1}'),
    ],
)
def test_the_text_of_a_value(value: Value, text: str) -> None:
    assert text_of(value) == text


@pytest.mark.parametrize("value", [None])
def test_null_has_no_text(value: Value) -> None:
    with pytest.raises(ValueError, match="null has no text"):
        text_of(value)


@given(values)
def test_the_text_of_a_list_or_map_is_json(value: Any) -> None:
    json.loads(text_of((value,)))


def test_numbers_are_bounded_and_never_minus_zero() -> None:
    assert isinstance(number(2**53), int)
    assert isinstance(number(2**53 + 1), Decimal)
    assert text_of(number(Decimal("-0.0"))) == "0.0"
    for far in (Decimal("1e101"), Decimal("1e-101"), Decimal("NaN"), Decimal("Infinity"), 10**100):
        with pytest.raises(ValueError, match=r"number|digits"):
            number(far)


def test_bools_and_hosts_have_no_order() -> None:
    assert [order_key(v) for v in (True, None, (1,), HostRef(name="a", address="b"))] == [None] * 4
    assert order_key(1) == ("number", 1)


def test_json_is_read_exactly() -> None:
    assert parse_json('{"a": 1.10, "b": [1, -2, null, true, "x"], "n": 12345678901234567890}') == Map(
        {"a": Decimal("1.10"), "b": (1, -2, None, True, "x"), "n": Decimal(12345678901234567890)}
    )
    assert parse_json(" 3 ") == 3


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[1,]",
        "{'a': 1}",
        "1 2",
        '{"a": 1, "a": 1}',
        "NaN",
        "-Infinity",
        "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1),
        "[" * 100_000,
        '{"a":' * 100_000,
        "1e999999999",
        "9" * 5000,
        '"\\ud800"',
        '{"\\ud800": 1}',
        "\ud800",
        '"' + "a" * 2**20 + '"',
        "[" + "1," * MAX_MEMBERS + "1]",
        "\ufeff1",
    ],
    ids=lambda text: text[:12],
)
def test_json_that_is_not_strict_has_no_value(text: str) -> None:
    found = parse_json(text)
    assert isinstance(found, Unknown)
    assert not found.not_yet
    assert "JSON" in found.reason


def test_commas_in_texts_do_not_count_as_members() -> None:
    text = json.dumps(["," * (MAX_MEMBERS + 10)])
    assert parse_json(text) == ("," * (MAX_MEMBERS + 10),)


@given(st.text(max_size=60) | st.text(alphabet='{}[]",:0123456789.eE+-ntfalsr\\u \n', max_size=60))
def test_no_text_of_a_host_breaks_the_json_reader(text: str) -> None:
    parse_json(text)


ordinary: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(ordinary)
def test_ordinary_json_is_taken(plain: Any) -> None:
    found = parse_json(json.dumps(plain))
    if not isinstance(found, Unknown):
        assert json.loads(text_of((found,))) == [plain]


@pytest.mark.parametrize("plain", [1.5, {1: 2}, {"a": {3}}, b"x", object()])
def test_plain_data_with_floats_or_strange_types_is_refused(plain: object) -> None:
    with pytest.raises(ValueError, match=r"\.$"):
        from_plain(plain)


@pytest.mark.parametrize(
    ("micros", "exact"),
    [(90_000_000, "1m30s"), (5_415_000_000, "1h30m15s"), (-3_600_000_000, "-1h"), (1_500_000, "1s500ms"),
     (1, "0.000001s"), (0, "0s"), (7 * 86_400_000_000, "7d")],
)  # fmt: skip
def test_a_duration_is_written_whole_for_who_set_it(micros: int, exact: str) -> None:
    assert Duration(micros).exact() == exact
    assert Duration.parse(exact) == Duration(micros)


def test_a_size_is_written_whole_for_who_set_it() -> None:
    sizes = {"17B": 17, "4KiB": 4096, "1500kB": 1_500_000, "2GB": 2 * 10**9, "0B": 0, "4097B": 4097}
    assert {Size(n).exact(): n for n in sizes.values()} == sizes
    assert all(Size.parse(text) == Size(n) for text, n in sizes.items())
