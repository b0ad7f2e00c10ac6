"""Freezes documents and inputs into the text that a run is bound to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from drctl.cli.documents import asked
from drctl.cli.inputs import gather_inputs
from drctl.core.bounds import Bounds
from drctl.core.frozen import Frozen
from drctl.core.nouns import dataclass
from drctl.engine.opening import freeze_inputs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drctl.cli.bounding import Bounding
    from drctl.cli.documents import Documents
    from drctl.cli.inputs import Given
    from drctl.core.values import Value


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandLine:
    """What `plan` and `run` are told in the same words: the documents, the inputs and the bounds."""

    runbook: str
    inventory: str | None
    given: Given
    bounding: Bounding

    def freeze(self, language: str, *, ask: bool) -> tuple[Documents, Frozen]:
        """Load the documents and freeze them with inputs and bounds; with `ask`, a person is asked for what is missing.

        Raises:
            UsageError: inventory, inputs or bounds are not as they must be. DocumentError: a document is wrong.
        """
        documents = asked(self.runbook, self.inventory)
        bounds = self.bounding.bounds(documents.runbook, documents.inventory)  # before a person is asked for anything
        values = gather_inputs(documents.runbook, documents.inventory, self.given, ask=ask)
        return documents, freeze(documents, values, language, bounds)


def freeze(documents: Documents, values: Mapping[str, Value], language: str, bounds: Bounds | None = None) -> Frozen:
    """Freeze. The inventory's folder is kept whole: relative key files are found from there."""
    inventory = documents.inventory
    return Frozen(
        runbook_file=documents.runbook_path, files=dict(documents.runbook.source),
        inventory_file=str(Path(documents.inventory_path).absolute()),
        inventory_files={str(Path(path).absolute()): text for path, text in inventory.source.items()},
        inputs=freeze_inputs(documents.runbook, values), language=language, bounds=bounds or Bounds(),
    )  # fmt: skip
