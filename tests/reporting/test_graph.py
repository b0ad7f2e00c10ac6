"""Pictures of runbooks: everything is in them, they keep their width, and no text of a document can break them."""

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drctl.core.model import Block, Runbook
from drctl.reporting.graph import graph_text
from drctl.reporting.graph_mermaid import escape, graph_mermaid
from drctl.reporting.texts import WIDTH, plain_signs, width
from tests.reporting.runbooks import everything, runbook, script, step, text
from tests.reporting.snapshots import same_as

NODE = re.compile(r'(n\d+)(?:\(\["|\[/"|\["|\("|\{\{"|\{")([^"\n]*)(?:"\]\)|"/\]|"\]|"\)|"\}\}|"\})')
FRAME = re.compile(r'subgraph (n\d+) \["([^"\n]*)"\]')
ARROW = re.compile(r'(n\d+) (?:-->|-\.->)(?:\|"([^"\n|]*)"\|)? (n\d+)')
STYLE = re.compile(r"(classDef [a-z]+ [a-z0-9:,# -]+|class (n\d+)(,n\d+)* [a-z]+)")

HOSTILE = [
    '"]', "<script>alert(1)</script>", "a\nend\nb", "end", "%%{init: {}}%%", "%% comment", "`code`", "a;b", "#quot;",
    "n1 --> n2", "|x|", "click n1 href", "$$x$$", "\u202eabc", "style a:b#c;", "&lt;", "]) --> n3",
]  # fmt: skip


def drawn(picture: str) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """Read a flowchart strictly: every line is one of the known forms, or it fails. Gives labels by id, and arrows."""
    head, *lines = picture.split("\n")
    assert head == "flowchart TD"
    labels: dict[str, str] = {}
    arrows: list[tuple[str, str]] = []
    depth = 0
    for line in map(str.strip, lines):
        if line == "end":
            depth -= 1
            assert depth >= 0
        elif found := FRAME.fullmatch(line) or NODE.fullmatch(line):
            depth += line.startswith("subgraph")
            assert found[1] not in labels
            labels[found[1]] = found[2]
        elif found := ARROW.fullmatch(line):
            arrows.append((found[1], found[3]))
        else:
            assert STYLE.fullmatch(line), line
    assert depth == 0
    assert {end for arrow in arrows for end in arrow} <= labels.keys()
    for said in labels.values():
        assert re.fullmatch(r"(?:[^\x00-\x7f]|[A-Za-z0-9 _,.()/=+!?-]|#\d+;|<br/>)*", said), said
    return labels, arrows


def unescaped(label: str) -> str:
    return re.sub(r"#(\d+);", lambda found: chr(int(found[1])), label.replace("<br/>", "\n"))


def test_the_tree_of_everything() -> None:
    same_as("graph.txt", graph_text(everything()))


def test_the_flowchart_of_everything() -> None:
    same_as("graph.mmd", graph_mermaid(everything()))


SHOWN = [
    "PHASE act", "when steps.kind.value != 'none'", "caution: Users are cut off.", "fence.host", "fence.lift",
    "approval by 2 of commander or owner, within 10m", "POINT OF NO RETURN", "no undo: needs a rebuild",
    "foreach backup in [1, 2], site in 2 values, 2 at once, until", "include inner.yaml", "PHASE only", "parallel",
    "20% at a time", "group web", "after 1m30s, once", "undo by 2 steps", "restore by 1 step", "rm -r data", "any of",
    "decide", "2 at a time", "unless check", "verified by $ pgrep web", "3 in a row", "rechecks db", "sets promoted",
    "tolerates failed, timeout", "observed", "IRREVERSIBLE", "restore restart", "manual",
]  # fmt: skip


@pytest.mark.parametrize("words", SHOWN)
def test_every_noun_is_in_both_pictures(words: str) -> None:
    tree = " ".join(re.sub(r"[│├└─]", " ", graph_text(everything())).split())
    labels, _ = drawn(graph_mermaid(everything()))
    chart = " ".join("\n".join(map(unescaped, labels.values())).split())
    assert words in tree
    assert words in chart


def test_the_way_through_the_flowchart_reaches_everything_from_the_start() -> None:
    picture = graph_mermaid(everything())
    _, arrows = drawn(picture)
    nodes = {found[1] for line in picture.split("\n") if (found := NODE.fullmatch(line.strip()))}
    reached, new = set[str](), {"n1"}
    while new:
        reached |= new
        new = {end for start, end in arrows if start in new} - reached
    assert reached == nodes


@pytest.mark.parametrize("hostile", HOSTILE)
def test_no_text_breaks_out_of_its_label(hostile: str) -> None:
    book = runbook(replace(script("a", "true"), title=text(hostile), hint=text(hostile)), title=hostile)
    labels, _ = drawn(graph_mermaid(book))
    assert len(labels) == 4
    lines = graph_text(book).split("\n")
    assert all(line.isprintable() for line in lines)


@given(st.text(max_size=90))
def test_whatever_is_escaped_is_harmless(words: str) -> None:
    assert re.fullmatch(r"(?:[^\x00-\x7f]|[A-Za-z0-9 _,.()/=+!?-]|#\d+;|<br/>)*", escape(words))


@given(st.lists(st.text(alphabet='ab 票\n"]<%;', min_size=1, max_size=200), min_size=1, max_size=5), st.integers(0, 31))
def test_the_tree_keeps_its_width_and_the_chart_its_form_at_any_depth(words: list[str], deep: int) -> None:
    inner = tuple(replace(step(f"s{i}"), title=text(said)) for i, said in enumerate(words))
    block = step("block", Block(steps=inner))
    for i in range(deep):
        block = step(f"b{i}", Block(steps=(block,), parallel=i % 2 == 0))
    book: Runbook = runbook(block)
    assert max(map(width, graph_text(book).split("\n"))) <= WIDTH
    drawn(graph_mermaid(book))


def test_a_terminal_without_unicode_gets_plain_branches() -> None:
    assert plain_signs(graph_text(runbook(step("a")))).isascii()
