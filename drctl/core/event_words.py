"""What each event about people holds: what is asked of them, what they say. The rules are those of `event_types`."""

from __future__ import annotations

from dataclasses import field
from typing import ClassVar

from drctl.core.event_types import Event, JsonMap
from drctl.core.nouns import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked(Event):
    """A question to people. `kind`: approval, caution, manual, decide, when, doubt, failure.

    Attributes:
        id: stable and sayable: q1, q2, ...
        choices: the words that answer it.
        by: roles that may answer; empty means the operator.
        until_at: after this the answer is refused; 0 means no limit.
        show: figures as (name, text) pairs.
        target: the name that must be typed, for a dangerous choice.
        fields: typed answers wanted: [{"name", "type", "ask", "of", ...}].
        digest: of what would be done; an answer is for this and nothing else.
        quorum: how many different people must say yes.
    """

    TYPE: ClassVar[str] = "asked"
    id: str
    kind: str
    path: str
    text: str
    choices: tuple[str, ...] = ()
    by: tuple[str, ...] = ()
    until_at: int = 0
    show: tuple[tuple[str, str], ...] = ()
    target: str = ""
    fields: tuple[JsonMap, ...] = ()
    digest: str = ""
    quorum: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered(Event):
    """An answer, accepted or not: a late or wrong one stays in the record with its reason."""

    TYPE: ClassVar[str] = "answered"
    id: str
    choice: str
    by: str
    accepted: bool
    because: str = ""
    reason: str = ""
    role: str = ""
    values: JsonMap = field(default_factory=dict)
    proof: str = "claimed"
    simulated: bool = False
    given_at: int = 0
    source: str = "inbox"
    word: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlReceived(Event):
    """A word from outside about the run: pause, abort, rollback. `path` is the step that a rollback goes back to."""

    TYPE: ClassVar[str] = "control_received"
    verb: str
    by: str = ""
    reason: str = ""
    accepted: bool = True
    because: str = ""
    word: str = ""
    path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteAdded(Event):
    """A person's note; `given_at` may be earlier than the record."""

    TYPE: ClassVar[str] = "note_added"
    by: str
    text: str
    given_at: int = 0
    word: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviationNoted(Event):
    """Something other than the runbook says: a skip, an override, done by hand, changed, not undone, not restored.

    `changes` are fields of the step in tagged form: its later attempts use them instead of what the runbook says.
    """

    TYPE: ClassVar[str] = "deviation_noted"
    path: str
    what: str
    by: str = ""
    because: str = ""
    changes: JsonMap = field(default_factory=dict)
    host: str = ""

    @property
    def text(self) -> str:
        """In one line."""
        where = f" on {self.host}" if self.host and f"/@{self.host}" not in self.path else ""
        by = f" by {self.by}" if self.by else ""
        return f"{self.path}{where}: {self.what}{by}" + (f" ({self.because})" if self.because else "")
