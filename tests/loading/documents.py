"""The example documents: runbooks and inventories that load, and such that do not, each with what is said of it."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from drctl.core.inventory import Inventory
from drctl.core.kind import Kind
from drctl.core.model import Runbook
from drctl.kinds import registry
from drctl.loading import Loaded, load_inventory, load_runbook

ROOT = Path(__file__).resolve().parent.parent / "documents"
VALID = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("valid/*.yaml"))
INVALID = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("invalid/*.yaml"))


def read(path: str) -> bytes:
    return (ROOT / path).read_bytes()


@cache
def inventory() -> Inventory:
    loaded = load_inventory("inventory.yaml", read)
    assert loaded.value is not None, loaded.diagnostics
    return loaded.value


def load(path: str) -> Loaded[Runbook] | Loaded[Inventory]:
    if path.removeprefix("invalid/").startswith("inventory"):
        return load_inventory(path, read)
    return load_runbook(path, read, registry(), inventory())


def load_text(text: str, kinds: Mapping[str, type[Kind]] | None = None, *, alone: bool = False) -> Loaded[Runbook]:
    """A runbook from a text, with the example inventory unless it stands alone."""
    hosts = None if alone else inventory()
    return load_runbook("x.yaml", lambda _: text.encode(), registry() if kinds is None else kinds, hosts)


def load_steps(*steps: str, head: str = "", kinds: Mapping[str, type[Kind]] | None = None) -> Loaded[Runbook]:
    """A runbook of one phase `only` with these steps, the first on line 5 (and one further for each line of `head`)."""
    lines = "".join(f"      - {step}\n" for step in steps)
    return load_text(f"runbook: x\n{head}phases:\n  - id: only\n    steps:\n{lines}", kinds)


def said(loaded: Loaded[Runbook] | Loaded[Inventory]) -> list[str]:
    """What was found, as `LINE:COLUMN CODE SUMMARY`."""
    return [f"{one.where.line}:{one.where.column} {one.code} {one.summary}" for one in loaded.diagnostics]


def codes(loaded: Loaded[Runbook] | Loaded[Inventory]) -> list[str]:
    return [one.code for one in loaded.diagnostics]
