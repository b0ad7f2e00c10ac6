"""The long text of every code: why, an example that is wrong, one that is right, and what to do.

The short texts are in `drctl.loading.codes`; `drctl explain` and `docs/diagnostics.md` show both. A new code needs an
entry here; tests load both examples and find the code in the first alone.
"""

from typing import Final

from drctl.loading.explanations.form import Explanation, Form
from drctl.loading.explanations.inventories import INVENTORIES
from drctl.loading.explanations.plain_yaml import PLAIN_YAML
from drctl.loading.explanations.references import REFERENCES
from drctl.loading.explanations.shapes import SHAPES
from drctl.loading.explanations.warnings import WARNINGS

EXPLANATIONS: Final[dict[str, Explanation]] = {**PLAIN_YAML, **SHAPES, **REFERENCES, **INVENTORIES, **WARNINGS}

__all__ = ["EXPLANATIONS", "Explanation", "Form"]
