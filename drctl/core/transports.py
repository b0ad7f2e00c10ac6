"""What opens links to hosts. These names stand in journals: one that was ever given keeps its meaning."""

from __future__ import annotations

from typing import Final

FABRIC: Final = "fabric"
"""paramiko, by way of fabric. The default of every record: a run that says nothing used it."""
OPENSSH: Final = "openssh"
"""The ssh of this machine."""
