"""Finds the running lab for the commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drctl.errors import LabError
from drctl.lab import api

if TYPE_CHECKING:
    from pathlib import Path


def running() -> Path:
    """The folder of the running lab.

    Raises:
        LabError: none is running.
    """
    found = api.find()
    if found is None:
        raise LabError("No lab is running.", meaning="Nothing was changed.", next="drctl lab up")
    return found
