"""Words about a run as a whole: pause, abort, rollback. Each is obeyed, or refused with the reason; none is dropped."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final

from drctl.core import events as ev
from drctl.engine.answers import MOST_NAME, MOST_NOTE
from drctl.errors import Exit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from drctl.core.fold import RunState
    from drctl.engine.stops import Control

VERBS: Final = ("pause", "abort", "rollback")
"""Words about the run that this version obeys."""


OWN: Final = "drctl"
"""Who says a word when a rule of the runbook does."""


class Stage(enum.Enum):
    """What a writer is doing."""

    WALK = "walk"
    UNDO = "undo"
    CLOSE = "close"


class WordError(ValueError):
    """A word that does not count now; its text says why, for the person who said it."""


def nothing_back(to: str) -> str:
    """Before the ledger is there, nothing can be taken back."""
    raise WordError(f"nothing can be taken back{f' to {to}' if to else ''} yet")


class Verbs:
    """Judges words for one writer.

    Attributes:
        stage: what the writer does: it walks, takes back, or closes.
        back: the address of the step that a rollback is to go back to, empty for one of everything; raises WordError.
    """

    def __init__(self, state: RunState, control: Control) -> None:
        self._state = state
        self._control = control
        self.stage = Stage.WALK
        self.back: Callable[[str], str] = nothing_back

    def judge(self, verb: str, word: Mapping[str, object], name: str) -> ev.ControlReceived:
        """The record of a word, accepted or not."""
        by, reason = str(word.get("by", ""))[:MOST_NAME], str(word.get("reason", ""))[:MOST_NOTE]
        to = str(word.get("to", ""))[: MOST_NAME * 4]
        because, path = "", to
        try:
            path = self.check(verb, to)
            if verb == "rollback" and not reason.strip():
                because = "rollback needs a reason"
        except WordError as error:
            because = str(error)
        return ev.ControlReceived(
            verb=verb[:40], by=by, reason=reason, accepted=not because, because=because, word=name, path=path
        )

    def check(self, verb: str, to: str = "") -> str:
        """The address of the step that a rollback goes back to; empty for every other word.

        Raises:
            WordError: the word does not count now.
        """
        state = self._state
        if verb not in VERBS:
            raise WordError("no such word in this version")
        if verb == "pause":
            if self._control.level:
                raise WordError(f"it is stopping already ({self._control.because})")
            return ""
        if state.abort is not None:
            raise WordError(f"abort was said already, by {state.abort.by}: the run is being closed")
        if self.stage is Stage.CLOSE:
            raise WordError("the run is over but for what it puts back, and closes by itself")
        if verb == "abort":
            return ""
        if state.rolling_back is not None:
            where = f" to {state.rolling_back.path}" if state.rolling_back.path else ""
            raise WordError(f"it is being rolled back{where} already, said by {state.rolling_back.by}")
        if self.stage is Stage.UNDO:
            raise WordError("it is being rolled back already: the step that failed says so")
        return self.back(to)

    def obey(self, event: ev.ControlReceived) -> None:
        """Let an accepted word take effect."""
        said = f"{event.by}: {event.reason}" if event.reason else event.by
        if event.verb == "rollback" and event.by == OWN:
            said = event.reason
        if event.verb == "pause":
            self._control.exit = Exit.PAUSED
            self._control.raise_to(1, f"pause, said {said}")
        else:
            self._control.word, self._control.because = event.verb, said
