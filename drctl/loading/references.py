"""References of a runbook: every name an expression uses is known at its place, and types fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from drctl.core.model import Runbook
    from drctl.loading.records import Fields
    from drctl.loading.steps import StepReader


def check_references(runbook: Runbook, reader: StepReader, fields: Fields) -> None:
    """Check every expression of the runbook."""
