"""Freezes documents and inputs into the text that a run is bound to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from drctl.core.frozen import Frozen
from drctl.engine.opening import freeze_inputs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drctl.core.inventory import Inventory
    from drctl.core.model import Runbook
    from drctl.core.values import Value


def freeze(
    runbook: Runbook,
    inventory: Inventory,
    values: Mapping[str, Value],
    *,
    runbook_path: str,
    inventory_path: str,
    language: str,
) -> Frozen:
    """Freeze. The inventory's folder is kept whole: relative key files are found from there."""
    return Frozen(
        runbook_file=runbook_path, files=dict(runbook.source), inventory_file=str(Path(inventory_path).absolute()),
        inventory_files={str(Path(path).absolute()): text for path, text in inventory.source.items()},
        inputs=freeze_inputs(runbook, values), language=language,
    )  # fmt: skip
