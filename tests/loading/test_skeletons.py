"""What `drctl new` writes loads without a word, alone and together."""

from drctl.kinds import registry
from drctl.loading import load_inventory, load_runbook
from drctl.loading.skeletons import INVENTORY_SCHEMA, RUNBOOK_SCHEMA, inventory_skeleton, runbook_skeleton
from tests.loading.documents import said

SIX = ["report", "diagnose", "activate", "act", "verify", "follow-up"]


def test_the_inventory_loads() -> None:
    loaded = load_inventory("i.yaml", lambda _: inventory_skeleton("mine").encode())
    assert said(loaded) == []
    assert loaded.value is not None
    assert loaded.value.name == "mine"


def test_the_runbook_loads_alone_and_with_that_inventory_and_has_six_phases() -> None:
    hosts = load_inventory("i.yaml", lambda _: inventory_skeleton("mine").encode()).value
    for inventory in (None, hosts):
        loaded = load_runbook("r.yaml", lambda _: runbook_skeleton("mine").encode(), registry(), inventory)
        assert said(loaded) == []
        assert loaded.value is not None
        assert loaded.value.name == "mine"
        assert [phase.id for phase in loaded.value.phases] == SIX


def test_the_first_line_names_the_schema() -> None:
    for text, schema in ((runbook_skeleton("x"), RUNBOOK_SCHEMA), (inventory_skeleton("x"), INVENTORY_SCHEMA)):
        assert text.splitlines()[0] == f"# yaml-language-server: $schema={schema}"
        assert "@" not in text


def test_every_phase_is_explained_and_no_line_is_too_long() -> None:
    lines = runbook_skeleton("x").splitlines()
    for line, before in zip(lines[1:], lines, strict=False):
        if line.startswith("  - id: "):
            assert before.lstrip().startswith("#"), line
    assert max(map(len, lines + inventory_skeleton("x").splitlines())) <= 120
