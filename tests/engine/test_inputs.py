"""Inputs in a run: a host given by its name is that host, wherever the name came from."""

from __future__ import annotations

import pytest

from drctl.errors import Exit
from tests.engine.rig import Rig
from tests.engine.test_acts import book

INNER = """
runbook: inner
inputs: {h: {type: host, default: db1}, l: {type: list, of: host, default: [db1]}}
phases:
  - id: m
    steps:
      - {id: seen, do: check, expect: ["inputs.h.name == 'db1'", "map(x in inputs.l, x.name) == ['db1']"]}
"""
HEAD = (
    "\ninputs: {h: {type: host, default: db1}, l: {type: list, of: host, default: [db1]}, "
    "n: {type: text, default: NAME}}"
)
CALLS = {
    "its default": "{id: x, include: inner.yaml}",
    "a name": "{id: x, include: inner.yaml, with: {h: db1, l: [db1]}}",
    "a computed name": "{id: x, include: inner.yaml, with: {h: '${{ inputs.n }}', l: '${{ inputs.l }}'}}",
    "another input": "{id: x, include: inner.yaml, with: {h: '${{ inputs.h }}'}}",
    "no include": "{id: x, do: check, expect: [\"inputs.h.name == 'db1'\", \"map(x in inputs.l, x.name) == ['db1']\"]}",
}


def calling(step: str, name: str = "db1") -> Rig:
    read = "{id: reads, do: check, expect: [known(inputs.h), known(inputs.l), known(inputs.n)]}"
    text = book(read, step).replace("\nphases:", HEAD.replace("NAME", name) + "\nphases:", 1)
    return Rig(text, files={"inner.yaml": INNER})


@pytest.mark.parametrize("how", CALLS)
def test_a_host_given_by_its_name_has_the_fields_of_that_host(how: str) -> None:
    assert calling(CALLS[how]).run() is Exit.DONE


def test_a_computed_name_that_is_no_host_has_no_value_and_says_so() -> None:
    rig = calling(CALLS["a computed name"], name="db9")
    assert rig.run() is Exit.STEP_FAILED
    assert "h is a host of the inventory, and 'db9' is none" in rig.because("seen")
