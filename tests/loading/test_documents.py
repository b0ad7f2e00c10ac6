"""The example documents, whole: what loads is what was written, and what does not is said completely, in order."""

import dataclasses

import pytest

from drctl.core.diagnostics import Severity
from drctl.core.model import Runbook
from drctl.loading.codes import CODES, diagnostics_page
from tests.loading.documents import INVALID, ROOT, VALID, load, read, said

DOCS = ROOT.parent.parent / "docs" / "diagnostics.md"


@pytest.mark.parametrize("path", [*VALID, "inventory.yaml"])
def test_a_valid_document_loads_without_a_word(path: str) -> None:
    loaded = load(path)
    assert said(loaded) == []
    assert loaded.value is not None
    assert loaded.value.source[path] == read(path).decode()


@pytest.mark.parametrize("path", INVALID)
def test_everything_wrong_is_said_at_once_in_order_and_at_its_place(path: str) -> None:
    loaded = load(path)
    expected = (ROOT / path).with_suffix(".expected").read_text().splitlines()
    assert said(loaded) == expected
    only_warnings = all(one.severity is Severity.WARNING for one in loaded.diagnostics)
    assert (loaded.value is not None) == only_warnings
    places = [(one.where.line, one.where.column) for one in loaded.diagnostics]
    assert places == sorted(places)


def test_every_code_is_said_of_some_example() -> None:
    seen = {
        line.split()[1] for path in INVALID for line in (ROOT / path).with_suffix(".expected").read_text().splitlines()
    }
    elsewhere = {
        "E100": "test_yaml_nodes",
        "W012": "test_ssh_config",
        "E108": "test_yaml_nodes",
        "E109": "test_runbook",
        "W007": "test_lint",
        "W008": "test_lint",
        "W009": "test_lint",
        "W010": "test_lint",
        "E215": "test_runbook: every kind has a criterion of its own",
    }
    assert seen | elsewhere.keys() == CODES.keys()


def test_the_page_of_codes_is_the_table() -> None:
    assert DOCS.read_text() == diagnostics_page()


def test_a_document_loads_to_the_same_value_every_time() -> None:
    for path in VALID:
        first, second = load(path).value, load(path).value
        assert isinstance(first, Runbook)
        assert isinstance(second, Runbook)
        assert dataclasses.asdict(first) == dataclasses.asdict(second)
