"""Whether a run may go on with a changed runbook: what is done must be identical, the rest a person names.

Frozen lists, hosts, inputs and captures stay as they are. A step that failed may be changed, for it is to be done
again; not how and where it is taken back, when it left something. One in doubt is settled first: what became of it can
only be asked by the very command that was sent.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from drctl.core.edits import WAYS, Edit, What, edits, frozen_edits, pieces
from drctl.core.nouns import dataclass
from drctl.core.outcomes import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from drctl.core.fold import RunState, StepState
    from drctl.core.model import Runbook


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What can be said of the differences.

    Attributes:
        edits: all of them, those of the whole run first.
        refused: address to reason: nobody can accept it.
        unnamed: those that a person has not named.
        unknown: names that fit no difference.
    """

    edits: tuple[Edit, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)
    unnamed: tuple[Edit, ...] = ()
    unknown: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the run may go on with the newer one."""
        return not (self.refused or self.unnamed or self.unknown)


def judge(old: Runbook, new: Runbook, state: RunState, named: Sequence[str]) -> Judged:
    """Judge the differences between the runbook a run goes by and a newer one."""
    whole, found = frozen_edits(old, new), edits(old, new)
    done = _Done(old, state)
    refused = {edit.path: "it was frozen when the run opened, and stays" for edit in whole}
    after = [piece.path for piece in pieces(new)]
    last = max((n for n, path in enumerate(after) if done.passed(path)), default=-1)
    for edit in found:
        because = done.refuses(edit)
        if not because and edit.what in {What.ADDED, What.MOVED} and after.index(edit.path) < last:
            because = "it stands before what began already, where the run does not come by again"
        if because:
            refused[edit.path] = because
    return Judged(
        edits=(*whole, *found), refused=refused,
        unnamed=tuple(e for e in found if e.path not in refused and not any(_names(n, e.path) for n in named)),
        unknown=tuple(n for n in named if not any(_names(n, edit.path) for edit in found)),
    )  # fmt: skip


def _names(name: str, path: str) -> bool:
    """Whether a name is a step or a block around it: its id, its address, or the end of that."""
    return f"/{name.strip('/')}/" in f"/{path}/"


class _Done:
    """What a run has begun and what is over, by address in the document."""

    def __init__(self, old: Runbook, state: RunState) -> None:
        self._paths = {piece.path for piece in pieces(old)}
        heads = ("/".join(path.split("/")[:n]) for path in self._paths for n in range(1, path.count("/") + 2))
        self._heads = self._paths | set(heads)
        self._steps: dict[str, list[StepState]] = {}
        self._blocks: dict[str, list[Outcome | None]] = {}
        self._asked = [q for q in state.open_questions if q.asked.kind not in {"failure", "approval", "caution"}]
        for path, step in state.steps.items():
            home, exact = self._home(path)
            if exact:
                self._steps.setdefault(home, []).append(step)
        for path, block in state.blocks.items():
            home, exact = self._home(path)
            if exact:
                self._blocks.setdefault(home, []).append(block.outcome)

    def _home(self, path: str) -> tuple[str, bool]:
        """The address in the document of what a record names, and whether it is that itself: rounds are left out."""
        home, rest = "", False
        for part in path.split("/"):
            longer = f"{home}/{part}" if home else part
            if not rest and longer in self._heads:
                home = longer
            elif not (part.isdecimal() or part.startswith("@")):
                rest = True  # a look at it, or a way back of it
        return home, not rest

    def passed(self, path: str) -> bool:
        """Whether the run has come by there; where a step failed it will come again."""
        ends = [step.own_final for step in self._steps.get(path, ())]
        return path in self._blocks or any(end is None or not Outcome(end.outcome).bad for end in ends)

    def refuses(self, edit: Edit) -> str:
        """Why this difference cannot be taken; empty when it can."""
        path = edit.path
        for around, ends in self._blocks.items():
            if path.startswith(f"{around}/") and ends[-1] in {Outcome.OK, Outcome.SKIPPED, Outcome.PARTIAL}:
                return f"{around}, which it stands in, is over"
        if path in self._blocks:
            return "it began already"
        return self._step_refuses(edit, self._steps.get(path, ()))

    def _step_refuses(self, edit: Edit, begun: Iterable[StepState]) -> str:
        for step in begun:
            intent = step.intent
            if step.unsettled and intent is not None and intent.started is not None and intent.started.effect != "read":
                return "what became of it is not known yet: settle that first (drctl resume, drctl resolve)"
            if any(question.asked.path == step.path for question in self._asked):
                return "a person is being asked about it: that is answered first"
            end = step.own_final
            if end is not None and not Outcome(end.outcome).bad:
                return f"it is over ({end.outcome})"
            if edit.what is not What.CHANGED:
                return "it began already"
            ways = [name for name, _, _ in edit.fields if name in WAYS]
            if step.effects and ways:
                return f"it may have left something, so how that is taken back stays ({', '.join(ways)})"
        return ""
