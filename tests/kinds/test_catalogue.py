"""The document of the step kinds is written from them, and up to date."""

from pathlib import Path

import pytest

from drctl.kinds import registry
from drctl.kinds.catalogue import markdown

DOCUMENT = Path(__file__).parents[2] / "docs" / "step-kinds.md"


def test_the_document_is_up_to_date() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == markdown(registry()), "drctl kinds --markdown >docs/step-kinds.md"


@pytest.mark.parametrize("name", sorted(registry()))
def test_every_field_and_output_stands_in_it(name: str) -> None:
    kind = registry()[name]
    text = markdown({name: kind})
    for spec in kind.fields():
        assert f"| `{spec.name}` | {spec.type} | {spec.doc}" in text
    for output in kind.OUTPUTS:
        assert f"`{output}` (" in text
    assert kind.EXAMPLE.strip() in text
