"""Reading a script costs in proportion to its length, whatever stands in it, and nesting ends in a refusal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from drctl.core.expressions import ExpressionError
from drctl.core.scripts import Script
from drctl.core.templates import Template
from tests.fakes.scopes import Names

if TYPE_CHECKING:
    from types import FrameType
    from typing import Any

UNITS = (
    *("${{ x }} ", "${{ x }}\n", "${{ x }}", "a=${{ x }} ", '"${{ x }}" ', "'a' ${{ x }} ", "'a'", "a", "\\a", "*"),
    *("sh ", "sh -c ", "psql -c x ", "sudo ", "test ", "$S ", "export A=${{ x }} ", "`a`", "# c\n${{ x }}\n", "sed "),
)


def steps(text: str) -> int:
    """Instructions of Python that reading it takes: a measure no other load of the machine can change."""
    count = 0

    def trace(frame: FrameType, event: str, arg: object) -> Any:  # noqa: ANN401, ARG001 - what settrace takes
        nonlocal count
        frame.f_trace_opcodes = True
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        Script.parse(text)
    except ExpressionError:
        pass
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("unit", UNITS)
def test_the_work_grows_with_the_script(unit: str) -> None:
    steps(unit + " ${{ x }}")  # what is kept from the first one does not count
    small, large = (steps(unit * count + " ${{ x }}") for count in (40, 160))
    assert large < 6 * small + 2000


@pytest.mark.parametrize("opening", ["$(", "${x:-", '"$(', "$((${x:-"])
def test_a_deep_nest_is_refused_and_not_followed(opening: str) -> None:
    with pytest.raises(ExpressionError, match="cannot be told surely"):
        Script.parse(opening * 5000 + "${{ x }}")
    inside = "$(" * 20 + "echo ${{ x }}" + ")" * 20
    assert Script.parse(f"echo {inside}").text == f"echo {inside}".replace("${{ x }}", '"${DRCTL_1}"')


def test_what_stands_beside_others_is_not_deep() -> None:
    many = "echo $(ls ${{ x }}) ${y:-z}\n" * 100
    assert len(Script.parse(many).bindings) == 100


def test_a_command_that_names_many_programs_is_refused() -> None:
    with pytest.raises(ExpressionError, match="more than 20 programs"):
        Script.parse("sudo " + "awk -v " * 21 + "${{ x }}")


@pytest.mark.parametrize("kind", [Script, Template])
def test_a_template_ends_at_the_first_braces_outside_of_quotes(kind: type[Script | Template]) -> None:
    text = "${{ join(['}}', \"}}\", 'a\\'}}'], '') }}"
    assert [one.canonical() for one in kind.parse(f"{text} {text}").expressions] == [
        one.canonical() for one in Template.parse(text).expressions * 2
    ]
    assert Template.parse(text).resolve(Names()) == "}}}}a'}}"
    for broken in ("${{ 'x }}", '${{ "x }}', "${{ x }", "${{ 'x\\' }}", "${{"):
        with pytest.raises(ExpressionError, match="not closed"):
            kind.parse(broken)
