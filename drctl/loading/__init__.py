"""YAML text to core values: every problem at once, with file, line and column.

`load_runbook`, `load_inventory` and `load_answers` (a file of inputs) are the whole interface; `render` and `snippet`
show what they found. Nothing here opens a file, asks a clock or carries anything out.
"""

from drctl.loading.answers import load_answers
from drctl.loading.document import Loaded
from drctl.loading.inventory import load_inventory
from drctl.loading.render import render, snippet
from drctl.loading.runbook import load_runbook

__all__ = ["Loaded", "load_answers", "load_inventory", "load_runbook", "render", "snippet"]
