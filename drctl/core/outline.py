"""The outline of a runbook: every step by address, every id by file, and what stands around what.

Made once from the document alone. Addresses here are those of the document; which rounds there are is for a run to say.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from drctl.core.model import Include, inside
from drctl.core.nouns import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drctl.core.model import Runbook, Step


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """Steps of a runbook and of all that it includes.

    Attributes:
        steps: by address.
        ids: addresses by file (the address of its `include`, empty for the main file) and id.
        around: the steps around a step, outermost first, by address; rungs have the step of their ladder around them.
        runbooks: by file.
    """

    steps: Mapping[str, Step] = field(default_factory=dict)
    ids: Mapping[tuple[str, str], str] = field(default_factory=dict)
    around: Mapping[str, tuple[Step, ...]] = field(default_factory=dict)
    runbooks: Mapping[str, Runbook] = field(default_factory=dict)

    def find(self, id_: str, home: str = "") -> Step | None:
        """The step with this id in a file."""
        path = self.ids.get((home, id_))
        return None if path is None else self.steps[path]


def outline_of(runbook: Runbook) -> Outline:
    """Index a runbook."""
    steps: dict[str, Step] = {}
    ids: dict[tuple[str, str], str] = {}
    around: dict[str, tuple[Step, ...]] = {}
    runbooks = {"": runbook}

    def add(step: Step, outside: tuple[Step, ...]) -> None:
        steps[step.path], around[step.path] = step, outside
        ids.setdefault((step.home, step.id), step.path)
        if isinstance(step.body, Include):
            runbooks[step.path] = step.body.runbook
        for inner in inside(step):
            add(inner, (*outside, step))

    for phase in runbook.phases:
        for top in phase.steps:
            add(top, ())
    return Outline(steps=steps, ids=ids, around=around, runbooks=runbooks)
