"""The reference of the language is written from the tables, up to date, and its examples load."""

from pathlib import Path
from textwrap import indent

import pytest

from drctl.core.expressions.signatures import EACH_SIGNATURES, SIGNATURES, usage
from drctl.kinds import registry
from drctl.loading import load_inventory, load_runbook, tables
from drctl.loading.language import language_page
from drctl.loading.language_examples import EXAMPLES, INCLUDED
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
    text = EXAMPLES[name]
    if not text.startswith("runbook:"):
        text = "runbook: example\nphases:\n  - id: all\n    steps:\n" + indent(text, " " * 6)
    files = {"example.yaml": text.encode(), INCLUDED: EXAMPLES["included"].encode()}
    loaded = load_runbook("example.yaml", files.__getitem__, registry(), inventory)
    assert [(one.code, one.summary, one.hint) for one in loaded.diagnostics] == []


def test_every_section_but_the_limits_has_an_example() -> None:
    sections = language_page().split("\n## ")[1:]
    assert [one.partition("\n")[0] for one in sections if "```yaml" not in one] == ["Limits"]


@pytest.mark.parametrize("table", ["RUNBOOK", "PHASE", "INPUT", "ACTION", "SELECTION", "APPROVE", "MANUAL", "DECIDE"])
def test_the_examples_show_the_keys_that_people_look_up(table: str) -> None:
    shown = "\n".join(EXAMPLES.values())
    rare = {"description", "touches", "sensitive", "site", "role", "quorum"}
    assert [key for key in RECORDS[table].keys.keys() - rare if f"{key}:" not in shown] == []
