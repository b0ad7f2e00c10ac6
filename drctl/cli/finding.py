"""Which question of a run is meant; and when none is, what the run and the step are doing instead."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from drctl.cli.words import stands
from drctl.errors import DrctlError, UsageError
from drctl.reporting.facts import step_facts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from drctl.adapters.statedir import RunFolder
    from drctl.core.fold import QuestionState, RunState


def _matching(state: RunState, paths: Iterable[str], name: str) -> list[str]:
    """Addresses named in full, by their end, or without their rounds; the closest count.

    `id@host` and `id[3]` are `id/@host` and `id/3`.
    """
    wanted = re.sub(r"(?<!/)@", "/@", re.sub(r"\[(\d+)\]", r"/\1", name))
    ways: tuple[Callable[[str], bool], ...] = (
        lambda path: path == wanted,
        lambda path: path.endswith(f"/{wanted}"),
        lambda path: f"/{state.origin(path)}".endswith(f"/{wanted}"),
    )
    known = list(dict.fromkeys(paths))
    return next((found for way in ways if (found := [path for path in known if way(path)])), [])


def find_question(folder: RunFolder, state: RunState, name: str) -> QuestionState:
    """The question meant: by id, by step, or the only one that waits.

    Raises:
        UsageError: none or several.
    """
    waiting = state.open_questions
    matches: Sequence[QuestionState] = [q for q in waiting if not name or name == q.asked.id]
    if not matches:
        paths = _matching(state, (q.asked.path for q in waiting), name)
        matches = [q for q in waiting if q.asked.path in paths]
    if len(matches) == 1:
        return matches[0]
    listed = ", ".join(f"{q.asked.id} ({q.asked.path})" for q in waiting) or "nothing"
    problem = "Several questions wait" if matches else f"No question {name!r} waits" if name else "No question waits"
    why = f" {_instead(folder, state, name)}" if name and not matches else ""
    raise UsageError(
        f"{problem} in run {folder.id}; open: {listed}.{why}",
        meaning=f"Nothing was said to the run; {stands(folder, state)}.",
        next=f"drctl show {folder.id}",
    )


def _instead(folder: RunFolder, state: RunState, name: str) -> str:
    """What is known of a step that nothing is asked about."""
    question = state.questions.get(name)
    if question is not None:
        decided = question.decided
        how = f"answered {decided.choice} by {decided.by}" if decided is not None else "settled without an answer"
        return f"{name} ({question.asked.path}) is {how} already."
    found = _matching(state, [*state.steps, *state.blocks], name)
    if found:
        facts = step_facts(state.step(found[-1]))
        block = state.blocks.get(found[-1])
        outcome = block.outcome.value if block is not None and block.outcome is not None else "under way"
        word = outcome if block is not None else facts.word
        return f"{found[-1]} is {word}: only a step that failed, or that waits for somebody, can be answered."
    try:
        known = _matching(state, _documents(folder, state), name)
    except (DrctlError, LookupError, ValueError):  # documents that cannot be read are for others to tell
        return ""
    if known:
        return f"{known[0]} has not begun."
    return f"No step of this runbook is named {name[:60]!r}."


def _documents(folder: RunFolder, state: RunState) -> list[str]:
    from drctl.cli.wiring import frozen_of, thaw_documents
    from drctl.core.outline import outline_of

    runbook, _ = thaw_documents(frozen_of(state, folder.journal))
    return list(outline_of(runbook).steps)
