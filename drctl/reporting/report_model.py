"""What a report holds: plain frozen values, the same for HTML, Markdown and JSON.

Every text in it is clean (no control characters) and nothing in it depends on the machine that renders it, except the
zone's rules: the same journal gives the same report, byte for byte.
"""

from __future__ import annotations

from drctl.core.approvals import agreement
from drctl.core.nouns import dataclass

TO_FILL = "[to be filled in]"
"""Stands where only people can say something; never left out, so that a gap is seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A point in time: microseconds UTC, UTC as text, and the run's own zone (empty when that is UTC).

    `own_us` is the same in the run's own time, of which lengths are made: no moved clock stretches it.
    """

    us: int
    utc: str
    clock: str
    local: str
    own_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A name with its value, and where that came from."""

    name: str
    value: str
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """Which run this is."""

    id: str
    uid: str
    runbook: str
    title: str
    environment: str
    mode: str
    inventory: str
    operator: str
    node: str
    versions: tuple[str, ...]
    plan_digest: str
    plan_intact: bool
    held: str
    bounds: str
    language: str
    zone: str
    opened: Moment | None
    closed: Moment | None
    last: Moment | None
    sessions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictRow:
    """How it ended."""

    sign: str
    word: str
    because: str
    exit: int | None
    state: str
    simulated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectiveRow:
    """A promise against what was reached."""

    name: str
    attained_name: str
    promised_us: int | None
    attained_us: int | None
    percent: int | None
    word: str
    method: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitRow:
    """One part of the time that recovery took; `us` is None when it cannot be told."""

    name: str
    us: int | None
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseRow:
    """A phase with its entry and exit."""

    path: str
    title: str
    entry: Moment
    exit: Moment | None
    elapsed_us: int | None
    state: str
    because: str
    steps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineRow:
    """One event. `who` is machine, person or note; a late note names the time of its record too."""

    seq: int
    at: Moment
    who: str
    sign: str
    word: str
    text: str
    recorded: Moment | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerRow:
    """An answer, accepted or refused."""

    at: Moment
    recorded: Moment
    by: str
    role: str
    choice: str
    accepted: bool
    because: str
    reason: str
    proof: str
    simulated: bool
    source: str
    values: tuple[Named, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionRow:
    """A question, what its readers were shown, and all answers."""

    id: str
    kind: str
    path: str
    text: str
    asked: Moment
    until: Moment | None
    by: tuple[str, ...]
    quorum: int
    target: str
    shown: tuple[Named, ...]
    digest: str
    answers: tuple[AnswerRow, ...]
    waited_us: int | None
    state: str

    @property
    def who(self) -> str:
        """Who may answer, and how many must."""
        return agreement(self.by, self.quorum)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputRow:
    """What a command printed: named by its digest, shown in part."""

    stream: str
    digest: str
    size: int | None
    excerpt: str
    cut: bool
    problem: str = ""
    all_of_it: str = ""  # where the record has only the beginning: what is known of the rest


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRow:
    """One unit: one attempt of a step at one place."""

    number: int
    generation: int
    host: str
    text: str
    digest: str
    started: Moment | None
    finished: Moment | None
    elapsed_us: int | None
    outcome: str
    because: str
    exit: int | None
    came_back: str
    host_key: str
    outputs: tuple[OutputRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRow:
    """A step over all its attempts. `good` is False for an end that nobody foresaw."""

    path: str
    title: str
    kind: str
    effect: str
    role: str
    host: str
    sign: str
    word: str
    outcome: str
    good: bool
    because: str
    by: str
    retried: bool
    started: Moment | None
    finished: Moment | None
    elapsed_us: int | None
    back: str
    values: tuple[Named, ...]
    attempts: tuple[AttemptRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkRow:
    """A clock or figure: the value that counts, and all values when it was set more than once."""

    name: str
    value: str
    at: Moment
    path: str
    history: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviationRow:
    """Something other than the runbook says was done."""

    at: Moment
    path: str
    what: str
    by: str
    because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftRow:
    """One thing that is not as it was, or of which nobody knows.

    Attributes:
        path: the step that did it.
        host: where; empty when it is no host of the inventory.
        what: `not undone`, `not restored`, `fenced`, `in doubt`, `restore owed`, or the question that waits.
        remains: the step's title: what it did.
        because: why it was left.
        sure: False when the step did not end well and nothing can tell whether it did anything.
    """

    path: str
    host: str
    what: str
    remains: str
    because: str
    sure: bool

    @property
    def text(self) -> str:
        """In one line."""
        where = f" on {self.host}" if self.host and f"/@{self.host}" not in self.path else ""
        remains = f": {self.remains}" if self.remains else ""
        maybe = "" if self.sure else "; it did not end well, and what it did is not known"
        return f"{self.path}{where}: {self.what}{remains}" + (f" ({self.because}{maybe})" if self.because else maybe)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Whether the record is whole, and how far its key is to be believed."""

    verdict: str
    exit: int
    records: int
    signed: int
    head: str
    root: str
    key_status: str
    keys: tuple[str, ...]
    anchored: int
    closed: bool
    first_bad: str
    notices: tuple[str, ...]
    unknown_types: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionRow:
    """Something to be done; owner, date and closing check are left to people."""

    source: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A whole report."""

    schema: int
    header: Header
    verdict: VerdictRow
    incident: tuple[Named, ...]
    inputs: tuple[Named, ...]
    objectives: tuple[ObjectiveRow, ...]
    split: tuple[SplitRow, ...]
    phases: tuple[PhaseRow, ...]
    marks: tuple[MarkRow, ...]
    timeline: tuple[TimelineRow, ...]
    decisions: tuple[DecisionRow, ...]
    steps: tuple[StepRow, ...]
    exceptions: tuple[str, ...]
    deviations: tuple[DeviationRow, ...]
    left_over: tuple[LeftRow, ...]
    evidence: Evidence
    actions: tuple[ActionRow, ...]
    standstills: tuple[tuple[int, int], ...]
