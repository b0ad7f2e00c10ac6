"""Fields of a step with their values: a missing one is a reason, never a crash; a dash needs leave."""

from __future__ import annotations

from typing import Any, cast

import pytest

from drctl.core.model import Action, FieldValue, Listed, Mapped
from drctl.core.scripts import Script
from drctl.core.templates import Template
from drctl.core.values import Unknown
from drctl.engine.fields import build, resolve
from drctl.kinds.shell import Shell
from tests.fakes.scopes import SKIPPED, Names

SCOPE = cast("Any", Names(gone=SKIPPED, dash="-x", a="1"))
GONE = Template.parse("${{ gone }}")
FINE = Template.parse("${{ a }}")


@pytest.mark.parametrize(
    "written",
    [
        GONE,
        Mapped(items={"X": FINE, "Y": GONE}),
        Listed(items=(FINE, GONE)),
        Listed(items=(Mapped(items={"X": GONE}),)),
    ],
)
def test_a_missing_value_inside_a_field_makes_the_field_missing(written: FieldValue) -> None:
    found = resolve(written, SCOPE)
    assert isinstance(found, Unknown)
    assert str(found) == "gone: x was skipped"


@pytest.mark.parametrize(("allow_dash", "runs"), [(None, False), (False, False), (True, True)])
def test_a_word_that_begins_with_a_dash_needs_leave(allow_dash: FieldValue, runs: object) -> None:
    fields: dict[str, FieldValue] = {"run": Script.parse("ls ${{ dash }}")}
    if allow_dash is not None:
        fields["allow_dash"] = allow_dash
    found = build(Shell, Action(kind="shell", fields=fields), SCOPE)
    assert isinstance(found, Shell) is runs
    if isinstance(found, Unknown):
        assert "allow_dash: true" in str(found)
