"""Typed answers: what is taken, what is refused, and that every refusal is a sentence."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drctl.core.diagnostics import Where
from drctl.core.input_specs import InputSpec, InputType
from drctl.core.inputs import read_input
from drctl.core.inventory import Host, Login
from drctl.core.values import Duration, HostRef, Size, Time, Value

HERE = Where(file="x")
HOSTS = {
    name: Host(name=name, address=name, login=Login(user="ops"), host_keys=("k",), groups=groups, where=HERE)
    for name, groups in (("db1", ("db",)), ("web1", ("web",)))
}


def spec(type_: InputType, **more: object) -> InputSpec:
    return InputSpec(name="x", type=type_, where=HERE, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wanted", "text", "value"),
    [
        (spec(InputType.TEXT), "  hello ", "hello"),
        (spec(InputType.LIST, of=("int",)), "1, 2,3", (1, 2, 3)),
        (spec(InputType.LIST, of=("host",)), "db1,web1", (HOSTS["db1"].ref, HOSTS["web1"].ref)),
        (spec(InputType.LIST, of=("text",), optional=True), "", None),
        (spec(InputType.TEXT, optional=True), "", None),
        (spec(InputType.TEXT, pattern="[a-z]+"), "abc", "abc"),
        (spec(InputType.INT), "-7", -7),
        (spec(InputType.INT, minimum=3, maximum=9), "3", 3),
        (spec(InputType.DECIMAL), "0.10", Decimal("0.10")),
        (spec(InputType.DECIMAL, minimum=0, maximum=Decimal("1.5")), "1", 1),
        (spec(InputType.SIZE), "4KiB", Size(4096)),
        (spec(InputType.LIST, of=("decimal",)), "1.5,2", (Decimal("1.5"), 2)),
        (spec(InputType.BOOL), "Yes", True),
        (spec(InputType.BOOL), "false", False),
        (spec(InputType.CHOICE, of=("a", "b")), "b", "b"),
        (spec(InputType.DURATION), "1h30m", Duration.parse("90m")),
        (spec(InputType.TIME), "2026-01-31T12:00:00+08:00", Time.parse("2026-01-31T04:00:00Z")),
    ],
)
def test_it_is_taken(wanted: InputSpec, text: str, value: Value) -> None:
    assert read_input(wanted, text, HOSTS) == value


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        (spec(InputType.TEXT), ""),
        (spec(InputType.TEXT, pattern="[a-z]+"), "abc1"),
        (spec(InputType.TEXT), "x" * 5000),
        (spec(InputType.INT), "--7"),
        (spec(InputType.INT), "²"),
        (spec(InputType.INT), "1.5"),
        (spec(InputType.INT), "9" * 200),
        (spec(InputType.INT, minimum=3), "2"),
        (spec(InputType.DECIMAL), "1e3"),
        (spec(InputType.DECIMAL), ".5"),
        (spec(InputType.DECIMAL, maximum=Decimal("1.5")), "1.6"),
        (spec(InputType.DECIMAL, minimum=1), "0.99"),
        (spec(InputType.SIZE), "4096"),
        (spec(InputType.SIZE, minimum=Size(2)), "1B"),
        (spec(InputType.BOOL), "1"),
        (spec(InputType.CHOICE, of=("a", "b")), "c"),
        (spec(InputType.DURATION), "soon"),
        (spec(InputType.DURATION, maximum=Duration.parse("5m")), "6m"),
        (spec(InputType.TIME), "2026-01-31T12:00:00"),
        (spec(InputType.HOST), "db9"),
        (spec(InputType.HOST, of=("db",)), "web1"),
    ],
)
def test_it_is_refused_with_a_sentence_that_names_it(wanted: InputSpec, text: str) -> None:
    with pytest.raises(ValueError, match=r"^x") as caught:
        read_input(wanted, text, HOSTS)
    assert len(str(caught.value)) < 6000


def test_a_host_is_one_of_the_inventory_and_of_the_group() -> None:
    found = read_input(spec(InputType.HOST, of=("db",)), "db1", HOSTS)
    assert isinstance(found, HostRef)
    assert found.name == "db1"


@given(st.sampled_from(InputType), st.text(max_size=40))
def test_whatever_is_typed_is_a_value_or_a_sentence(type_: InputType, text: str) -> None:
    said = "x"
    try:
        read_input(spec(type_, of=("a",) if type_ is InputType.CHOICE else ()), text, HOSTS)
    except ValueError as error:
        said = str(error)
    assert said.startswith("x")
