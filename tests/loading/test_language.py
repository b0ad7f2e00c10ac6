"""The reference of the language is written from the tables, up to date, and its examples load."""

from pathlib import Path
from textwrap import indent

import pytest

from drctl.core.expressions.signatures import EACH_SIGNATURES, SIGNATURES, usage
from drctl.kinds import registry
from drctl.loading import load_inventory, load_runbook, tables
from drctl.loading.language import language_page
from drctl.loading.language_texts import EXAMPLES
from drctl.loading.records import Record

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "language.md"
RECORDS = {name: one for name, one in vars(tables).items() if isinstance(one, Record) and not name.startswith("_")}


def test_the_document_is_up_to_date() -> None:
    assert DOCUMENT.read_text("utf-8") == language_page(), "drctl explain --markdown >docs/language.md"


@pytest.mark.parametrize("name", sorted(RECORDS.keys() - {"WAY_NONE", "ANY_OF"}))
def test_every_key_stands_in_it(name: str) -> None:
    page = language_page()
    missing = [key for key in RECORDS[name].keys if f"| `{key}` |" not in page]
    assert missing == []


def test_every_function_stands_in_it() -> None:
    page = language_page()
    assert [name for name in (*SIGNATURES, *EACH_SIGNATURES) if f"| `{usage(name)}` |" not in page] == []


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_an_example_loads_and_stands_in_it(name: str) -> None:
    assert EXAMPLES[name].strip() in language_page()
    inventory = load_inventory("inventory.example.yaml", lambda path: (ROOT / path).read_bytes()).value
    text = "runbook: example\nphases:\n  - id: all\n    steps:\n" + indent(EXAMPLES[name], " " * 6)
    loaded = load_runbook("example.yaml", lambda _: text.encode(), registry(), inventory)
    assert [(one.code, one.summary, one.hint) for one in loaded.diagnostics] == []
