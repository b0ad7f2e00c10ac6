"""The YAML layer: what it takes, what it refuses, and where it points."""

from __future__ import annotations

import pytest

from drctl.core.diagnostics import Where
from drctl.loading.codes import Problems
from drctl.loading.nodes import CoreType, Mapping, Node, Scalar, Sequence
from drctl.loading.yaml_nodes import MAX_BYTES, compose


def read(text: str | bytes) -> tuple[Node | None, list[tuple[str, int, int, str]]]:
    problems = Problems()
    root = compose(text.encode() if isinstance(text, str) else text, "x.yaml", problems)
    return root, [(one.code, one.where.line, one.where.column, one.summary) for one in problems.sorted()]


def codes(text: str | bytes) -> list[tuple[str, int, int]]:
    return [(code, line, column) for code, line, column, _ in read(text)[1]]


def value(text: str, key: str) -> Scalar:
    root, found = read(text)
    assert not found
    assert isinstance(root, Mapping)
    node = root.get(key)
    assert isinstance(node, Scalar)
    return node


@pytest.mark.parametrize(
    ("written", "core_type"),
    [
        ("no", CoreType.TEXT),
        ("on", CoreType.TEXT),
        ("22:30", CoreType.TEXT),
        ("2026-13-45", CoreType.TEXT),
        ("1_000", CoreType.TEXT),
        ("0777", CoreType.INT),
        ("0x1F", CoreType.INT),
        ("3.10", CoreType.FLOAT),
        ("1e3", CoreType.FLOAT),
        (".inf", CoreType.FLOAT),
        ("true", CoreType.BOOL),
        ("True", CoreType.BOOL),
        ("null", CoreType.NULL),
        ("~", CoreType.NULL),
        ("", CoreType.NULL),
        ("'true'", CoreType.TEXT),
        ('""', CoreType.TEXT),
    ],
)
def test_scalars_follow_yaml_1_2_core_and_keep_their_written_form(written: str, core_type: CoreType) -> None:
    node = value(f"key: {written}\n", "key")
    assert node.core_type is core_type
    assert node.text == written.strip("'\"")


def test_positions_count_characters_also_in_chinese_text() -> None:
    root, found = read("题: {数据: 好, 二: [甲, 乙]}\n")
    assert not found
    assert isinstance(root, Mapping)
    inner = root.entries[0].value
    assert isinstance(inner, Mapping)
    listed = inner.get("二")
    assert isinstance(listed, Sequence)
    assert listed.items[1].where == Where(file="x.yaml", line=1, column=19)


def test_a_place_inside_a_scalar_is_found_for_every_style_or_is_the_start() -> None:
    text = "plain: a 数 bad\nquoted: 'a bad'\nblock: |\n  one\n\n    two bad\nfolded: >\n  a\n  bad\n"
    assert value(text, "plain").place(4).column == 12
    assert value(text, "quoted").place(2) == Where(file="x.yaml", line=2, column=12)
    block = value(text, "block")
    assert block.place(block.text.index("bad")) == Where(file="x.yaml", line=6, column=9)
    folded = value(text, "folded")
    assert folded.place(folded.text.index("bad")) == folded.where


def test_a_comment_behind_a_plain_text_is_seen() -> None:
    text = "a: one # two\nb: 'one' # two\nc: one#two\nd:\n  x\n  y  # z\n"
    assert value(text, "a").cut == Where(file="x.yaml", line=1, column=8)
    assert value(text, "b").cut is None
    assert value(text, "c").cut is None
    assert value(text, "d").cut == Where(file="x.yaml", line=6, column=6)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\nb: 2\na: 3\n", [("E105", 3, 1)]),
        ("a: &x 1\nb: *x\n", [("E103", 1, 4), ("E103", 2, 4)]),
        ("run: ! test\n", [("E102", 1, 6)]),
        ("run: !!python/object:os.system x\n", [("E102", 1, 6)]),
        ("a: {<<: {b: 1}}\n", [("E104", 1, 5)]),
        ("[a]: 1\n", [("E106", 1, 1)]),
        ("{a: 1}: 1\n", [("E106", 1, 1)]),
        ("'': 1\n", [("E106", 1, 1)]),
        ("a: 1\n---\nb: 1\n", [("E107", 2, 1)]),
        ("", [("E107", 0, 0)]),
        ("# nothing\n", [("E107", 0, 0)]),
        ("%YAML 1.1\n---\na: 1\n", [("E102", 1, 1)]),
        ("\ufeffa: 1\n", [("E100", 1, 1)]),
        ("a: \x00\n", [("E100", 1, 4)]),
        ("a: x\ry\n", [("E100", 1, 5)]),
        ("a: 数\u202e\n", [("E100", 1, 5)]),
        ("a: x\u2028y\n", [("E100", 1, 5)]),
        ('a: "\\0"\n', [("E100", 1, 4)]),
        ('a: "\\u202e"\n', [("E100", 1, 4)]),
        ('a: "\\ud800"\n', [("E101", 1, 7)]),
        ('a: 1\nb: "x\nc: 2\n', [("E101", 2, 4)]),
        ("a:\n\tb: 1\n", [("E101", 2, 1)]),
        ("a: |\n\tb\n", [("E101", 2, 1)]),
        ("a: b: c\n", [("E101", 1, 5)]),
        ("a: @x\n", [("E101", 1, 4)]),
        ("a: [${{ x }}]\n", [("E101", 1, 6)]),
        ("a: {run: ls a?}\n", [("E110", 1, 14)]),
        ("a: [数, b?c, d]\n", [("E110", 1, 9)]),
        ("a: {b: [x], c: [y,\n  z w?]}\n", [("E110", 2, 6)]),
        ("a: [x\n  y?]\n", [("E110", 1, 5)]),
        ("a: {b?: 1}\n", [("E110", 1, 6)]),
        ("a: ['b?', \"c?\"]\nd: e?\nf:\n  - g?\n  - {h: 1}\n  - i?\n", []),
    ],
)
def test_what_is_refused_and_where(text: str, expected: list[tuple[str, int, int]]) -> None:
    assert codes(text) == expected


def test_every_problem_is_reported_at_once() -> None:
    assert codes("a: &x 1\nb: !t 2\na: 3\n") == [("E103", 1, 4), ("E102", 2, 4), ("E105", 3, 1)]


@pytest.mark.parametrize(
    ("data", "line", "column"),
    [(b"\xff\xfea\x00", 0, 0), (b"a: 1\nb: \xe6\x95\xb0 \xff\n", 2, 6), (b" " * (MAX_BYTES + 1), 0, 0)],
)
def test_bytes_that_are_no_text(data: bytes, line: int, column: int) -> None:
    assert codes(data) == [("E100", line, column)]


def test_line_ends_of_another_system_are_read_and_do_not_reach_the_values() -> None:
    assert value("a: |\r\n  one\r\n  two\r\n", "a").text == "one\ntwo\n"


def bombs() -> list[str]:
    depth = 200_000
    layers = "\n".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9) if i else 'x'}]" for i in range(9))
    return [
        "[" * depth,
        "{a: " * depth,
        "- " * depth,
        "? " * depth,
        layers,
        "k: [" + "a," * 400_000,
        "{" + "a," * 400_000,
        "? a\n" * 200_000,
        "{" + ",".join(f"k{i}: v" for i in range(60_000)) + "}",
        ": \n" * 300_000,
        '"' + "a\n" * 400_000,
        "&a " * 300_000,
        "!" * 900_000,
        "a: " + "1" * 900_000,
    ]


@pytest.mark.parametrize("number", range(len(bombs())))
def test_a_bomb_is_refused_at_the_first_limit_it_meets(number: int) -> None:
    root, found = read(bombs()[number])
    if number == len(bombs()) - 1:
        assert root is not None
        return
    assert found
    assert all(code.startswith("E1") for code, *_ in found)
