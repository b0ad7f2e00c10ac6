"""Leaves a word for a run in its inbox, and says what became of it.

While a process carries the run out, the sender watches the record for a few seconds: a word that was taken up is told
with the state it led to, one that was refused is an error with the reason. Else it is kept, and the sender is told what
takes it up. A word is never lost on the way, and never left without an answer.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Final

import click

from drctl.cli.runs import entries, fold_of, login, now
from drctl.core import events as ev
from drctl.core.fold import RunState
from drctl.core.nouns import dataclass
from drctl.errors import JournalError, RefusedError, UsageError
from drctl.reporting.facts import verdict
from drctl.reporting.texts import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drctl.adapters.statedir import RunFolder
    from drctl.cli.app import Settings
    from drctl.core.records import JSON

PATIENCE: Final = 5.0
"""Seconds that a sender waits for the writer to take a word up."""
_GLANCE: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """A word for a run.

    Attributes:
        kind: the verb, or `answer`, `note`.
        said: what it is, for people: `pause`, `retry for main/web`.
        content: what goes into the inbox beside the sender.
        then: what a writer does with it, for people.
        ends: whether the run pauses or closes by it, so that this is waited for too.
    """

    kind: str
    said: str
    content: Mapping[str, JSON]
    then: str = ""
    ends: bool = False


def by(person: str) -> dict[str, JSON]:
    """Who says it, and when."""
    return {"by": person or login(), "login": login(), "given_at": now()}


def refuse_closed(folder: RunFolder, state: RunState) -> None:
    """Refuse to say anything to a run that is over.

    Raises:
        UsageError: it is closed.
    """
    if state.closed is not None:
        raise UsageError(
            f"Run {folder.id} is closed already: {verdict(state).word}.",
            meaning="Nothing was said to the run; it is over, and its record is never written again.",
            next=f"drctl show {folder.id}",
        )


def stands(folder: RunFolder, state: RunState) -> str:
    """Where a run stands, in one line."""
    now = verdict(state, writing=state.paused is None and folder.holder() is not None)
    because = f" ({one_line(now.because)})" if now.because else ""
    return f"run {folder.id} is {now.word}{because}"


def leave(settings: Settings, folder: RunFolder, word: Word) -> int:
    """Leave a word, and tell what became of it as far as that is known within a few seconds.

    Raises:
        RefusedError: the writer refused it, or closed the run without it.
    """
    path = folder.inbox.put(word.kind, word.content)
    if folder.holder() is None:
        _tell(settings, folder, word, taken=False, then=f"taken up by `drctl resume {folder.id}`")
        return 0
    taken, state = _watched(folder, path.name, word)
    if taken is None and state.closed is not None:
        raise RefusedError(
            f"The run closed before it took {word.said} up: {verdict(state).word}.", where=f"run {folder.id}",
            meaning="It had no effect.", next=f"drctl show {folder.id}",
        )  # fmt: skip
    if taken is None:
        then = word.then or "the run takes it up at its next step, or when the running one is over"
        if folder.holder() is None:
            then = f"its process has ended meanwhile; taken up by `drctl resume {folder.id}`"
        _tell(settings, folder, word, taken=False, then=then)
        return 0
    if isinstance(taken, ev.Answered | ev.ControlReceived) and not taken.accepted:
        raise RefusedError(
            f"{word.said} was refused: {taken.because}.", where=f"run {folder.id}",
            meaning=f"It had no effect; {stands(folder, state)}.", next=f"drctl show {folder.id}",
        )  # fmt: skip
    then = stands(folder, state)
    if word.ends and state.paused is None and state.closed is None:
        then = f"{word.then}; {then}"
    elif state.paused is not None:
        then += f"; next: drctl resume {folder.id}"
    _tell(settings, folder, word, taken=True, then=then)
    return 0


def _watched(folder: RunFolder, name: str, word: Word) -> tuple[ev.Event | None, RunState]:
    """The record of a word, once it is there, and the state then; waits no longer than a sender would."""
    end = time.monotonic() + PATIENCE
    size, taken, state = -1, None, fold_of(folder)
    while True:
        alive = folder.holder() is not None
        now = folder.journal.stat().st_size
        if now != size:
            size = now
            taken, state = _read(folder, name)
        settled = state.paused is not None or state.closed is not None
        if (taken is not None and (settled or not word.ends)) or state.closed is not None:
            return taken, state
        if not alive or time.monotonic() >= end:
            return taken, state
        time.sleep(_GLANCE)


def _read(folder: RunFolder, name: str) -> tuple[ev.Event | None, RunState]:
    state, taken = RunState(), None
    try:
        for entry in entries(folder.journal):
            state.apply(entry)
            if getattr(entry.event, "word", "") == name:
                taken = entry.event
    except JournalError:  # another file is just put in its place; whoever reads next sees it whole
        return None, fold_of(folder)
    return taken, state


def _tell(settings: Settings, folder: RunFolder, word: Word, *, taken: bool, then: str) -> None:
    if settings.output == "json":
        about = {key: word.content[key] for key in ("question", "choice") if key in word.content}
        document = {"run": folder.id, "kept": word.said, "taken_up": taken, "then": then, **about}
        click.echo(json.dumps(document, ensure_ascii=False))
    click.echo(f"{'Taken up' if taken else 'Kept'}: {word.said}; {then}.", err=True)
