"""Every code is explained, and its examples are what they say: the first gives the code, the second loads."""

import re

import pytest

from drctl.core.inventory import Inventory
from drctl.core.model import Runbook
from drctl.kinds import registry
from drctl.loading import Loaded, load_inventory, load_runbook
from drctl.loading.codes import CODES
from drctl.loading.explanations import EXPLANATIONS, Explanation, Form
from drctl.loading.skeletons import inventory_skeleton
from tests.loading.documents import codes, said

SHOWN = [code for code, one in EXPLANATIONS.items() if one.form is not Form.WORDS]
NOT_SHOWN = {"W012", "E109", "E215", "W006", "W007", "W008", "W009", "W010"}
"""201 problems are no example, every kind has a criterion of its own, and what a flow lacks is told in words."""
OTHER = b"runbook: other\nphases: [{id: only, steps: [{id: up, do: check, expect: true}]}]\n"


def load(one: Explanation, example: str) -> Loaded[Runbook] | Loaded[Inventory]:
    """Load an example with the inventory that `drctl new inventory` writes."""
    text = one.document(example).encode()
    if one.form is Form.INVENTORY:
        return load_inventory("x.yaml", lambda _: text)
    hosts = load_inventory("inventory.yaml", lambda _: inventory_skeleton("x").encode()).value
    assert hosts is not None
    return load_runbook("example.yaml", lambda path: text if path == "example.yaml" else OTHER, registry(), hosts)


def test_every_code_has_an_entry_in_the_order_of_the_table() -> None:
    assert list(EXPLANATIONS) == list(CODES)
    assert {code for code in EXPLANATIONS if code not in SHOWN} == NOT_SHOWN


@pytest.mark.parametrize("code", SHOWN)
def test_the_wrong_example_gives_this_code_and_no_other(code: str) -> None:
    one = EXPLANATIONS[code]
    found = load(one, one.wrong)
    assert set(codes(found)) == {code}, said(found)


@pytest.mark.parametrize("code", SHOWN)
def test_the_right_example_loads_without_a_word(code: str) -> None:
    one = EXPLANATIONS[code]
    assert said(load(one, one.right)) == []


@pytest.mark.parametrize("code", EXPLANATIONS)
def test_every_text_says_something_and_is_a_sentence(code: str) -> None:
    one = EXPLANATIONS[code]
    assert one.wrong != one.right
    assert re.fullmatch(r"[A-Z`].*\.", one.why), one.why
    assert "  " not in one.why
    assert one.next
