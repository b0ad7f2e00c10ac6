"""What each event of a journal holds. Fields are only ever added, with defaults; a default never changes.

Values of the language stand in records in the tagged form of `values.to_json`, large ones as `{"$ref": digest}`, lost
ones as `{"$none": why}`; lengths are integers of microseconds (`_us`), times are microseconds UTC (`_at`). No floats.
What is asked of people and what they say stands in `core.event_words`. The table of all events, and how they become
records, is `core.events`.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import field
from typing import Any, ClassVar

from drctl.core.bounds import FAN_OUT
from drctl.core.nouns import dataclass
from drctl.core.transports import FABRIC

JsonMap = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Base of all events; `TYPE` is the record's type."""

    TYPE: ClassVar[str] = ""


class Role(enum.Enum):
    """What a unit is for."""

    ACT = "act"
    LOOK = "look"
    VERIFY = "verify"
    UNDO = "undo"
    RESTORE = "restore"
    METHOD = "method"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOpened(Event):
    """The first record: what is run, by whom, under which key.

    `inputs` and `vars` are frozen here in tagged form, secrets as references. `operator` is claimed by the login name
    and not proven until signatures come. `held_to` is the digest of the saved plan that the run was held to when it
    opened, made at `held_made_at`; empty for a run without one. `limit` are the only hosts that it may act on; none
    named means every host. `fan_out` is how many of them it turns to at a time. `transport` opens links to hosts, here
    and in the two other records that begin a session: fabric, or openssh.
    """

    TYPE: ClassVar[str] = "run_opened"
    uid: str
    id: str
    runbook: str
    title: str = ""
    mode: str = "live"
    environment: str = "production"
    inventory: str = ""
    operator: str = ""
    node: str = ""
    version: str = ""
    plan_digest: str = ""
    plan_parts: int = 0
    pubkey: str = ""
    rto_us: int | None = None
    rpo_us: int | None = None
    language: str = ""
    zone: str = "UTC"
    held_to: str = ""
    held_made_at: int = 0
    limit: tuple[str, ...] = ()
    fan_out: int = FAN_OUT
    transport: str = FABRIC


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanPart(Event):
    """A part of the frozen plan's canonical text, in order; the digest of the whole stands in `run_opened`."""

    TYPE: ClassVar[str] = "plan_part"
    index: int
    of: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPaused(Event):
    """The writer stops and the run stays open.

    `reason`: question, failure, doubt, operator, preflight, locked, journal; `rolled_back` when a rollback to a step is
    over, and the run stands before that step, `path`.
    """

    TYPE: ClassVar[str] = "run_paused"
    reason: str
    path: str = ""
    because: str = ""
    exit: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResumed(Event):
    """A writer takes the open run up again.

    With `plan_parts` it goes on with a changed runbook: so many `plan_part` records follow, `plan_digest` is that of
    the whole, `accepted` the addresses of the steps that differ, `reason` why. It counts when all parts are there.
    """

    TYPE: ClassVar[str] = "run_resumed"
    operator: str = ""
    node: str = ""
    version: str = ""
    restore_only: bool = False
    plan_digest: str = ""
    plan_parts: int = 0
    accepted: tuple[str, ...] = ()
    reason: str = ""
    transport: str = FABRIC


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTakenOver(Event):
    """A writer on another machine goes on with a new key from the head it names."""

    TYPE: ClassVar[str] = "run_taken_over"
    operator: str = ""
    node: str = ""
    reason: str = ""
    head: str = ""
    pubkey: str = ""
    epoch: int = 0
    transport: str = FABRIC


@dataclass(frozen=True, slots=True, kw_only=True)
class RunClosed(Event):
    """The run's last word.

    `state`: done, exceptions, aborted, failed, rolled_back, rollback_failed, nothing_changed.
    """

    TYPE: ClassVar[str] = "run_closed"
    state: str
    exit: int
    because: str = ""
    exceptions: tuple[str, ...] = ()
    by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreflightFinished(Event):
    """What was tried before the first act of a phase: hosts reached, and who could not be.

    Attributes:
        warnings: what is not there now, and may be when it is needed.
        remarks: what a person should know of hosts that were reached.
    """

    TYPE: ClassVar[str] = "preflight_finished"
    phase: str
    ok: bool
    hosts: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockStarted(Event):
    """A phase or block begins.

    Attributes:
        form: phase, steps, parallel, fence, lift, loop, table, rolling, batch, include, undo, restore.
        frozen: what was evaluated once and holds to the end: `items` of a loop (maps of names to values), `batches` of
            a table or a rolling block (lists of hosts), `hosts` of a batch; packed as outputs are.
        by: `drctl` when it is done again because the block around it is; then its condition is asked again.
    """

    TYPE: ClassVar[str] = "block_started"
    path: str
    form: str
    title: str = ""
    host: str = ""
    frozen: Mapping[str, Any] = field(default_factory=dict)
    by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockFinished(Event):
    """A phase or block is over; `outputs` are what an included runbook gives to its caller."""

    TYPE: ClassVar[str] = "block_finished"
    path: str
    outcome: str
    because: str = ""
    host: str = ""
    outputs: Mapping[str, Any] = field(default_factory=dict)
    tolerated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StepStarted(Event):
    """A unit begins; for an act this is the intent, on disk before the first byte leaves.

    Attributes:
        path: the step's address.
        host: where; 'local' or empty for steps without a place.
        attempt: counts from 1.
        generation: rises when a new claim is made.
        text: what is sent, without secrets.
        digest: of the command, as the claim on the host carries it.
        key: the claim's key.
        prior: what stood there before, in tagged form.
        undo: how it is taken back: {"auto": {}} by the kind's inverse and `prior`, {"steps": [paths], "values": {...}}
            with the earlier values that their texts use, as they were at the intent, or {"none": why}.
        restore: the same for what runs at the end.
        claims: the store of claims of `local`; in another one a missing claim proves nothing.
    """

    TYPE: ClassVar[str] = "step_started"
    path: str
    host: str = ""
    attempt: int = 1
    generation: int = 1
    role: Role = Role.LOOK
    kind: str = ""
    effect: str = "read"
    title: str = ""
    text: str = ""
    digest: str = ""
    key: str = ""
    prior: JsonMap = field(default_factory=dict)
    undo: JsonMap | None = None
    restore: JsonMap | None = None
    no_return: bool = False
    claims: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandRan(Event):
    """Evidence of one command or request: how it ended, and the digests of what it printed (kept under `out/`).

    Where `cut`, only the beginning of a stream was kept: `sizes` has the bytes of all of it, `digests` its SHA-256 in
    hex, for those streams of which they are known.
    """

    TYPE: ClassVar[str] = "command_ran"
    path: str
    host: str = ""
    attempt: int = 1
    state: str = ""
    exit: int | None = None
    elapsed_us: int = 0
    out: Mapping[str, str] = field(default_factory=dict)
    cut: bool = False
    sizes: Mapping[str, int] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)
    host_key: str = ""
    boot: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFinished(Event):
    """A unit is over. `final` is False when another attempt of the same step follows.

    Attempt 0 stands for a step of which no unit ever began (skipped, not_run).
    """

    TYPE: ClassVar[str] = "step_finished"
    path: str
    outcome: str
    host: str = ""
    attempt: int = 1
    role: Role = Role.LOOK
    final: bool = True
    found: bool = False
    because: str = ""
    outputs: JsonMap = field(default_factory=dict)
    captures: JsonMap = field(default_factory=dict)
    unknown: Mapping[str, str] = field(default_factory=dict)
    tolerated: bool = False
    observed: bool = False
    effect_there: bool = False
    elapsed_us: int = 0
    by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkSet(Event):
    """A clock or figure. `value` is in tagged form; a mark without a formula carries its time."""

    TYPE: ClassVar[str] = "mark_set"
    name: str
    value: Any
    path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LockTaken(Event):
    """Names and hosts this run now holds."""

    TYPE: ClassVar[str] = "lock_taken"
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LockLost(Event):
    """A host answered that it belongs to another run, or that another holder goes on with this one.

    `holder` (a key's fingerprint, or a run), `by` whom and `since` when are the host's words; `epoch` is 0 when the
    host is another run's, else the epoch that replaced this writer's there.
    """

    TYPE: ClassVar[str] = "lock_lost"
    name: str
    because: str = ""
    epoch: int = 0
    holder: str = ""
    by: str = ""
    since: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspended(Event):
    """The machine slept: the gap between boot-time and monotonic clocks."""

    TYPE: ClassVar[str] = "suspended"
    gap_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockWarned(Event):
    """A clock jumped or differs; `moved_us` is how far UTC was moved against the monotonic clock, where it is known."""

    TYPE: ClassVar[str] = "clock_warned"
    because: str
    moved_us: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered(Event):
    """The tail of the journal was torn by a crash; the torn bytes were put aside under their digest."""

    TYPE: ClassVar[str] = "recovered"
    torn_bytes: int
    sha256: str = ""
    file: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Degraded(Event):
    """Something the run can do without is missing."""

    TYPE: ClassVar[str] = "degraded"
    what: str
    because: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchored(Event):
    """A head was kept elsewhere."""

    TYPE: ClassVar[str] = "anchored"
    size: int
    where: str
    receipt: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownEvent(Event):
    """A record of a type this version does not know: shown, never resumed over."""

    TYPE: ClassVar[str] = "unknown"
    type: str
    body: JsonMap
