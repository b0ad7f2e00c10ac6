"""The frozen plan: the canonical text of everything a run was started with.

It is written into the journal in parts, so the run folder alone is enough to resume on another machine; its digest
stands in the first record. Secrets are references, never values.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import field
from typing import TYPE_CHECKING, Any

from drctl.core.bounds import Bounds
from drctl.core.nouns import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

PART = 40 * 1024
"""Bytes of one part. ASCII JSON, so a quoted part stays within the 64 KiB of a record line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frozen:
    """What is frozen. `inputs` are in tagged form, a secret as {"$secret": reference}.

    `inventory_file` keeps where relative paths in the inventory start from.
    """

    runbook_file: str
    files: Mapping[str, str]
    inventory_file: str
    inventory_files: Mapping[str, str]
    inputs: Mapping[str, Any] = field(default_factory=dict)
    mode: str = "live"
    language: str = ""
    bounds: Bounds = field(default_factory=Bounds)

    def text(self) -> str:
        """The canonical text."""
        content = {
            "v": 1,
            "runbook": self.runbook_file,
            "files": dict(self.files),
            "inventory": self.inventory_file,
            "inventory_files": dict(self.inventory_files),
            "inputs": dict(self.inputs),
            "mode": self.mode,
            "language": self.language,
        }
        if self.bounds != Bounds():
            content["bounds"] = {"limit": list(self.bounds.limit), "fan_out": self.bounds.fan_out}
        return json.dumps(content, sort_keys=True, ensure_ascii=True, separators=(",", ":"))

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical text."""
        return digest_of(self.text())

    def parts(self) -> list[str]:
        """The text cut into parts; quoting may double a part, and still fits."""
        text = self.text()
        half = PART // 2
        return [text[i : i + half] for i in range(0, len(text), half)]


def digest_of(text: str) -> str:
    """SHA-256 of a frozen text."""
    return hashlib.sha256(b"drctl/plan/v1\n" + text.encode("ascii")).hexdigest()


def thaw(text: str) -> Frozen:
    """Read a frozen text back.

    Raises:
        ValueError: it is not one, or of a version this drctl does not know.
    """
    content = json.loads(text)
    if not isinstance(content, dict) or content.get("v") != 1:
        raise ValueError("this plan was frozen by another version of drctl")
    try:
        bounds = content.get("bounds", {})
        return Frozen(
            runbook_file=content["runbook"],
            files=content["files"],
            inventory_file=content["inventory"],
            inventory_files=content["inventory_files"],
            inputs=content["inputs"],
            mode=content["mode"],
            language=content["language"],
            bounds=Bounds(limit=tuple(bounds["limit"]), fan_out=bounds["fan_out"]) if bounds else Bounds(),
        )
    except KeyError as error:
        raise ValueError(f"the frozen plan lacks {error}") from error
