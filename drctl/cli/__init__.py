"""The command line. One command a file in `cli.commands`; loaded only when it is the one that is called."""

from __future__ import annotations

from drctl.cli.app import main

__all__ = ["main"]
