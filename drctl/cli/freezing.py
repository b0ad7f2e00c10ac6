"""Freezes documents and inputs into the text that a run is bound to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from drctl.core.bounds import Bounds
from drctl.core.frozen import Frozen
from drctl.engine.opening import freeze_inputs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drctl.cli.documents import Documents
    from drctl.core.values import Value


def freeze(documents: Documents, values: Mapping[str, Value], language: str, bounds: Bounds | None = None) -> Frozen:
    """Freeze. The inventory's folder is kept whole: relative key files are found from there."""
    inventory = documents.inventory
    return Frozen(
        runbook_file=documents.runbook_path, files=dict(documents.runbook.source),
        inventory_file=str(Path(documents.inventory_path).absolute()),
        inventory_files={str(Path(path).absolute()): text for path, text in inventory.source.items()},
        inputs=freeze_inputs(documents.runbook, values), language=language, bounds=bounds or Bounds(),
    )  # fmt: skip
