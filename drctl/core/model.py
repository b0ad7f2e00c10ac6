"""The nouns of a runbook: what a document says, decoded once into frozen values.

Nothing here reads, evaluates or decides. Positions stay with every value that can be wrong later, so that a message at
run time still names file, line and column.
"""

from __future__ import annotations

import enum
from dataclasses import field
from typing import TYPE_CHECKING, TypeAlias

from drctl.core.nouns import dataclass
from drctl.core.outcomes import Effect, OnFailure, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from drctl.core.diagnostics import Where
    from drctl.core.input_specs import InputSpec
    from drctl.core.places import On
    from drctl.core.scripts import Script
    from drctl.core.templates import Template
    from drctl.core.values import Duration, Unknown, Value
    from drctl.core.written import Formula, Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Objectives:
    """What is promised: RTO and RPO, None when the runbook promises nothing."""

    rto: Duration | None = None
    rpo: Duration | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Drill:
    """How often the runbook is to be drilled, and on which days never: `month-end`, weekdays, or dates."""

    every: Duration | None = None
    never_on: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapped:
    """A map of a step's `with`, its values still to be resolved."""

    items: Mapping[str, FieldValue]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A list of a step's `with`, its members still to be resolved."""

    items: tuple[FieldValue, ...]


FieldValue: TypeAlias = "Template | Formula | Script | Mapped | Listed | Value"


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """A step kind by name, and its fields as written."""

    kind: str
    fields: Mapping[str, FieldValue]
    field_where: Mapping[str, Where] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule of `decide`: the first true one wins."""

    condition: Formula
    then: Value


class Ask(enum.Enum):
    """When `decide` asks a person."""

    UNCLEAR = "unclear"
    ALWAYS = "always"
    NEVER = "never"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decide:
    """Names one of several values by rules, or by a person when the rules cannot."""

    rules: tuple[Rule, ...]
    otherwise: Value = None
    has_otherwise: bool = False
    ask: Ask = Ask.UNCLEAR


@dataclass(frozen=True, slots=True, kw_only=True)
class Manual:
    """Work or a judgement of a person, with typed answers."""

    say: Text
    ask: tuple[InputSpec, ...] = ()
    by: tuple[str, ...] = ()
    within: Duration | None = None
    evidence_required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """Only `expect`: a statement about what is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetNames:
    """Gives names to values."""

    values: Mapping[str, Template]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Waits for a length (`length`) or until a time (`until`); exactly one is given."""

    length: Template | None = None
    until: Template | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreNow:
    """Carries out the restores of the named steps at this place instead of at the end."""

    steps: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Steps in order, or branches side by side.

    With a selection of hosts of its own (`rolling`) it is carried out whole for one batch of them before the next.
    """

    steps: tuple[Step, ...]
    parallel: bool = False
    at_once: int | None = None
    rolling: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AnyOf:
    """Alternatives inside a proof: one that is ok is enough."""

    looks: tuple[Step, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fence:
    """Form `fence.host`: methods in order until every proof is ok; only the proof decides.

    With `lift` it is the form `fence.lift`: the same, and what is proven is that the host may be touched again.
    """

    methods: tuple[Step, ...]
    proof: tuple[Step | AnyOf, ...]
    lift: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Include:
    """Another runbook at this place. Its addresses begin with that of the including step; it sees its inputs only."""

    file: str
    runbook: Runbook
    inputs: Mapping[str, FieldValue] = field(default_factory=dict)


Body = Action | Decide | Manual | Check | SetNames | Wait | RestoreNow | Block | Fence | Include


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """`foreach`: every combination of its lists, the last name fastest. A list is an expression, or written out.

    Attributes:
        at_once: how many iterations together.
        first_ok: stop at the first iteration of which all steps are ok; the others are rejected, and tolerated.
        max_failures: so many may fail.
    """

    lists: Mapping[str, Formula | tuple[FieldValue, ...]]
    at_once: int = 1
    first_ok: bool = False
    max_failures: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One round of something that repeats: an iteration of a loop, a batch, a host of a table.

    Attributes:
        origin: the address in the document of the step that repeats.
        path: the address of this round; it replaces `origin` at the front of addresses inside.
        names: the loop's names with the values of this round.
        host: the host, in a table.
        hosts: the hosts that a batch carries through its inner steps; None when this is no batch.
        on: the selection that they were taken from; an inner step with the same one runs on them.
    """

    origin: str
    path: str
    names: Mapping[str, Value | Unknown] = field(default_factory=dict)
    host: str = ""
    hosts: tuple[str, ...] | None = None
    on: On | None = None

    @property
    def around(self) -> str:
        """The address of what repeats, in the rounds around it."""
        return self.path.rpartition("/")[0]

    def moved(self, path: str) -> str:
        """The address in this round of what has this address in the rounds around."""
        return self.path + path[len(self.around) :]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """A step of the ladder of a wait: steps taken once, between attempts, when `after` has passed."""

    after: Duration
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeat:
    """`until` or `retry`: again and again within limits. At least one of `within` and `times` is given."""

    every: Duration
    within: Duration | None = None
    times: int | None = None
    in_a_row: int = 1
    backoff: Value = 1
    escalate: tuple[Rung, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Approve:
    """Who must agree, how many, how long the request stands, and which figures they see."""

    by: tuple[str, ...]
    quorum: int = 1
    within: Duration | None = None
    show: tuple[Formula, ...] = ()


class WayKind(enum.Enum):
    """How a step is taken back."""

    STEPS = "steps"
    AUTO = "auto"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """An `undo` or a `restore`. `why` stands with NONE."""

    kind: WayKind
    steps: tuple[Step, ...] = ()
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A clock or figure set by a step; without a value, the time at which the step became ok."""

    name: str
    value: Formula | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Guards:
    """What stands before an act: people and a second look."""

    caution: Text | None = None
    approve: Approve | None = None
    recheck: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """How the end of a step is judged."""

    capture: Mapping[str, Formula] = field(default_factory=dict)
    expect: tuple[Formula, ...] = ()
    tolerate: frozenset[Outcome] = frozenset()
    observe: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Ways:
    """The ways back of a step."""

    undo: Way | None = None
    restore: Way | None = None
    no_return: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step, or a block of steps.

    `path` is its address in the runbook: phase, enclosing blocks and id joined by '/', with `methods/0` and the like
    for steps without an id. It is part of every claim key, so it never depends on anything but the document and, inside
    of what repeats, the round: `copy/3` is the fourth iteration of `copy`, `restart/@web1` the unit of a table on web1.

    Attributes:
        origin: the address in the document, where `path` is that of one round; else empty.
        home: the address in the document of the `include` whose file this step stands in; empty in the main file.
        frames: the rounds around it, outermost first.
    """

    id: str
    path: str
    where: Where
    body: Body
    origin: str = ""
    home: str = ""
    frames: tuple[Frame, ...] = ()
    title: Text | None = None
    hint: Text | None = None
    takes: Duration | None = None
    on: On | None = None
    as_user: Template | None = None
    when: Formula | None = None
    loop: Loop | None = None
    unless: tuple[Step, ...] = ()
    effect: Effect = Effect.READ
    verify: tuple[Step, ...] = ()
    judgement: Judgement = field(default_factory=Judgement)
    until: Repeat | None = None
    retry: Repeat | None = None
    timeout: Duration | None = None
    guards: Guards = field(default_factory=Guards)
    ways: Ways = field(default_factory=Ways)
    on_failure: OnFailure = OnFailure.PAUSE
    marks: tuple[Mark, ...] = ()
    uninterruptible: bool = False
    sensitive: bool = False
    touches_nothing: bool = False

    @property
    def acts(self) -> bool:
        """Whether this step itself, or any step inside it, is an act."""
        if isinstance(self.body, Fence) or self.effect is not Effect.READ:
            return True
        return any(step.acts for step in inside(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A phase: a named stretch of the flow with its own condition."""

    id: str
    where: Where
    title: Text | None = None
    when: Formula | None = None
    guards: Guards = field(default_factory=Guards)
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Runbook:
    """A whole document. `source` maps file names to their canonical text, for the frozen plan."""

    name: str
    where: Where
    title: Text | None = None
    description: Text | None = None
    objectives: Objectives = field(default_factory=Objectives)
    inputs: tuple[InputSpec, ...] = ()
    vars: Mapping[str, FieldValue] = field(default_factory=dict)
    locks: tuple[str, ...] = ()
    scenario: tuple[str, ...] = ()
    drill: Drill = field(default_factory=Drill)
    outputs: Mapping[str, Formula] = field(default_factory=dict)
    phases: tuple[Phase, ...]
    source: Mapping[str, str] = field(default_factory=dict)

    def steps(self) -> Iterator[Step]:
        """Walk every step in the order written, blocks before what they hold, ways back left out."""
        for phase in self.phases:
            for step in phase.steps:
                yield from walk(step)


def walk(step: Step) -> Iterator[Step]:
    """Walk a step and the steps inside it, as written; without verify, unless, undo and restore."""
    yield step
    for inner in inside(step):
        yield from walk(inner)


def rungs(step: Step) -> Iterator[Step]:
    """The steps of its ladders."""
    for repeat in (step.until, step.retry):
        for rung in repeat.escalate if repeat is not None else ():
            yield from rung.steps


def inside(step: Step) -> Iterator[Step]:
    """The steps right inside a step, as written: rungs first, then what a block, fence or include holds."""
    yield from rungs(step)
    yield from members(step)


def members(step: Step) -> Iterator[Step]:
    """What a block, fence or include holds, without the ladders."""
    match step.body:
        case Block(steps=steps):
            yield from steps
        case Include(runbook=runbook):
            for phase in runbook.phases:
                yield from phase.steps
        case Fence(methods=methods, proof=proof):
            yield from methods
            for look in proof:
                yield from look.looks if isinstance(look, AnyOf) else (look,)
        case _:
            pass


def around(step: Step) -> Iterator[Step]:
    """The steps that stand around what a step does: looks at it, and its ways back."""
    yield from step.unless
    yield from step.verify
    for way in (step.ways.undo, step.ways.restore):
        yield from way.steps if way is not None else ()
