"""An edited runbook for an open run: what differs, what may, and what a person has to name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drctl.cli.bounding import refuse_left_out
from drctl.cli.documents import reader_of, show_diagnostics
from drctl.cli.runs import fold_of
from drctl.cli.wiring import Change, frozen_of, thaw_documents
from drctl.core.accepting import Judged, judge
from drctl.core.nouns import dataclass, replace
from drctl.errors import DocumentError, PlanChangedError, UsageError

if TYPE_CHECKING:
    from drctl.adapters.statedir import RunFolder


@dataclass(frozen=True, slots=True, kw_only=True)
class Edited:
    """What a person asked for: the file, the steps that they know to differ, and why."""

    file: str
    steps: tuple[str, ...] = ()
    reason: str = ""

    def __post_init__(self) -> None:
        """Refuse what names no file, and steps without a reason.

        Raises:
            UsageError: see there.
        """
        if self.steps and not self.file:
            raise UsageError(
                "There is no changed runbook to accept steps of.", where="--accept-change",
                meaning="Nothing was changed.", next="add --runbook FILE",
            )  # fmt: skip
        if self.steps and not self.reason.strip():
            raise UsageError(
                "A changed runbook needs a reason; it stands in the record.", where="--accept-change",
                meaning="Nothing was changed.", next="add --reason TEXT",
            )  # fmt: skip


def change_of(folder: RunFolder, edited: Edited) -> Change | None:
    """The change that a run goes on with; None when the edited runbook means the same.

    Raises:
        DocumentError: it cannot be loaded with the inventory of the run.
        PlanChangedError: it differs in what is done, or in steps that were not named.
        UsageError: a name fits no difference, or a step acts on a host that the run's limit leaves out.
    """
    from drctl.kinds import registry
    from drctl.loading import load_runbook

    state = fold_of(folder)
    frozen = frozen_of(state, folder.journal)
    old, inventory = thaw_documents(frozen)
    loaded = load_runbook(edited.file, reader_of(edited.file), registry(), inventory)
    if loaded.value is None:
        raise DocumentError(
            "The changed runbook is wrong.", loaded.diagnostics, where=edited.file,
            next=f"mend it, then: drctl check {edited.file}",
        )  # fmt: skip
    show_diagnostics(loaded.diagnostics)
    refuse_left_out(frozen.bounds, loaded.value, inventory, edited.file)
    judged = judge(old, loaded.value, state, edited.steps)
    if not judged.ok:
        raise _refusal(folder, edited, judged)
    if not judged.edits:
        return None
    newer = replace(frozen, runbook_file=edited.file, files=dict(loaded.value.source))
    return Change(frozen=newer, steps=tuple(edit.path for edit in judged.edits), reason=edited.reason)


def _refusal(folder: RunFolder, edited: Edited, judged: Judged) -> PlanChangedError | UsageError:
    if judged.unknown:
        names = ", ".join(judged.unknown)
        paths = ", ".join(edit.path for edit in judged.edits) or "nothing"
        return UsageError(
            f"Not different in this runbook: {names}.", where="--accept-change",
            meaning=f"Different is: {paths}. Nothing was changed.", next="name only steps that differ",
        )  # fmt: skip
    lines = []
    for edit in judged.edits:
        first, *rest = edit.lines()
        because = judged.refused.get(edit.path, "")
        lines += [f"{first}: NOT POSSIBLE: {because}" if because else first, *rest]
    if judged.refused:
        what = "The changed runbook differs in what this run cannot change any more."
        next_ = f"take that back in {edited.file}, and try again"
    else:
        flags = " ".join(f"--accept-change {edit.path}" for edit in judged.unnamed)
        before = "".join(f" --accept-change {name}" for name in edited.steps)
        what = "The changed runbook differs from the one that this run goes by."
        next_ = f"drctl resume {folder.id} --runbook {edited.file}{before} {flags} --reason TEXT"
    meaning = "\n  ".join([*lines, "What is done stays as it is. Nothing was changed."])
    return PlanChangedError(what, where=edited.file, meaning=meaning, next=next_)
