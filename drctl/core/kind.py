"""What a step kind is: its fields, its outputs, and one of two shapes.

A kind is one file in `drctl.kinds`: a frozen dataclass whose fields are the schema and whose docstring is the
documentation. It has the shape of a **look** (`look(probe)`; a plan and a run call the same method) or of an **act**
(`preview`, `execute`, `verify`, and `inverse` or a reason why there is none). A few kinds have both: their step says
which by its `effect`.

Most acts on a host are one command: `CommandAct` gives them everything but the command and the reading of its reply.
The executor runs that command under a claim, so calling `execute` a second time after a crash hands back the first
outcome.
"""

from __future__ import annotations

import dataclasses
import enum
from abc import ABC, abstractmethod
from dataclasses import field
from typing import TYPE_CHECKING, Any, ClassVar

from drctl.core.nouns import dataclass
from drctl.core.outcomes import Effect
from drctl.core.ports import Act, Command, Facts, Probe, Reach, Reply

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from drctl.core.values import Duration, Unknown, Value
    from drctl.core.whole import Whole


class Place(enum.Enum):
    """Where a kind may run."""

    HOST = "host"
    LOCAL = "local"
    EITHER = "either"
    NONE = "none"


class Seen(enum.Enum):
    """Whether an effect is there."""

    DONE = "done"
    NOT_DONE = "not_done"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a look at an effect found, with its reason in one line."""

    seen: Seen
    because: str


class Change(enum.Enum):
    """What an act would do now; the words of a plan."""

    WOULD_CHANGE = "would change"
    NO_CHANGE = "no change"
    CANNOT_TELL = "cannot tell"


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What an act would do, found by looking.

    `prior` is what stands there now; it is recorded with the intent, survives any crash, and is what `inverse` gets.
    """

    change: Change
    because: str = ""
    prior: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """What a look or an act gave back.

    Attributes:
        values: one entry for each declared output; Unknown where there is none, with the reason.
        reach: how the look came back; for an act always COMPLETE, for else it raises.
        because: one line for people.
        streams: raw output by name, kept beside the journal by its digest.
        whole: by name, what is known of streams of which only the beginning is in `streams`.
        host_key: fingerprint of the host key that was verified, for the record.
    """

    values: Mapping[str, Value | Unknown]
    reach: Reach = Reach.COMPLETE
    because: str = ""
    streams: Mapping[str, bytes] = field(default_factory=dict)
    whole: Mapping[str, Whole] = field(default_factory=dict)
    host_key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Criterion:
    """A default line of `expect`; dropped when a line of the step names one of `fields` (one group)."""

    text: str
    fields: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldSpec:
    """One field of a kind, as the loader, the schema and the documentation see it.

    `type` is a type name of the language ('text', 'int', 'duration', 'map', 'any', ...) or 'script', 'argv', 'sql'.
    """

    name: str
    type: str
    doc: str
    required: bool
    default: object = None
    secret: bool = False
    choices: tuple[str, ...] = ()
    entry: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Either:
    """Fields of which one is given, or at most one when `needed` is false; `hint` says what to write."""

    names: tuple[str, ...]
    needed: bool = True
    hint: str = ""


class FieldError(Exception):
    """A field's value has the wrong type or is not allowed; the caller adds the position."""

    def __init__(self, name: str, summary: str, hint: str = "") -> None:
        super().__init__(f"{name}: {summary}")
        self.name = name
        self.summary = summary
        self.hint = hint


def arg(
    *,
    type: str,  # noqa: A002 - the language's own word
    doc: str,
    default: Any = dataclasses.MISSING,  # noqa: ANN401 - a default of any field's type
    secret: bool = False,
    choices: tuple[str, ...] = (),
    entry: str = "",
) -> Any:  # noqa: ANN401 - as `dataclasses.field` does
    """Declare a field of a kind. No default means required; `secret` fields take a Secret, never shown or recorded.

    `entry` says what of the inventory it names: database, bucket or channel.
    """
    metadata = {"type": type, "doc": doc, "secret": secret, "choices": choices, "entry": entry}
    if default is dataclasses.MISSING:
        return field(metadata=metadata)
    if isinstance(default, (dict, list)):
        return field(default_factory=lambda: type_of_default(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def type_of_default(default: dict[str, Any] | list[Any]) -> Mapping[str, Any] | tuple[Any, ...]:
    """Give a fresh read-only copy of a mutable default."""
    return dict(default) if isinstance(default, dict) else tuple(default)


class Kind(ABC):
    """Base of every kind. Subclasses are frozen dataclasses, one public class a file.

    Class attributes:
        NAME: the word in `do:`.
        PLACE: where it may run.
        OUTPUTS: output name to type name.
        CRITERIA: default lines of `expect`; a look without one must be given `expect` or `observe`.
        EITHER: fields that exclude each other; judged from the names alone when a runbook is loaded.
        EFFECT: fixed effect; None when the step must state it.
        TIMEOUT: default limit of one attempt; None means 30 s for a look, 10 min for an act.
        REQUIRES: what of the surroundings it cannot do without: words of `scenario: lost` (dns, sso, git, secrets,
            cloud-control).
        EXAMPLE: a YAML list of steps; a test loads and plans it.
    """

    NAME: ClassVar[str]
    PLACE: ClassVar[Place] = Place.EITHER
    OUTPUTS: ClassVar[Mapping[str, str]] = {}
    CRITERIA: ClassVar[tuple[Criterion, ...]] = ()
    EITHER: ClassVar[tuple[Either, ...]] = ()
    EFFECT: ClassVar[Effect | None] = Effect.READ
    TIMEOUT: ClassVar[Duration | None] = None
    REQUIRES: ClassVar[frozenset[str]] = frozenset()
    EXAMPLE: ClassVar[str] = ""

    @classmethod
    def fields(cls) -> tuple[FieldSpec, ...]:
        """List the fields in the order written."""
        if not dataclasses.is_dataclass(cls):
            return ()
        return tuple(
            FieldSpec(
                name=f.name,
                type=f.metadata["type"],
                doc=f.metadata["doc"],
                required=f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING,
                default=None if f.default is dataclasses.MISSING else f.default,
                secret=f.metadata["secret"],
                choices=f.metadata["choices"],
                entry=f.metadata["entry"],
            )
            for f in dataclasses.fields(cls)
            if "type" in f.metadata
        )

    @classmethod
    def choose(cls, given: Collection[str]) -> None:
        """Judge which fields are given, by their names: their values need not be known.

        Raises:
            FieldError: fields that exclude each other are given, or none of those of which one is needed.
        """
        for either in cls.EITHER:
            both = [name for name in either.names if name in given]
            if len(both) > 1 or (either.needed and not both):
                words = " and ".join(either.names)
                summary = f"give exactly one of {words}" if either.needed else f"{words} exclude each other"
                raise FieldError(both[-1] if both else either.names[0], summary, either.hint)

    def choose_given(self) -> None:
        """Judge by `choose` the fields that have a value other than their default.

        Raises:
            FieldError: see there.
        """
        names = {name for either in self.EITHER for name in either.names}
        specs = [spec for spec in self.fields() if spec.name in names]
        self.choose({spec.name for spec in specs if getattr(self, spec.name) != spec.default})

    @abstractmethod
    def describe(self, facts: Facts) -> str:
        """Write what is sent, for plan, record and screen: the script, the request line, the query. No secrets."""

    @classmethod
    def sketch(cls, fields: Mapping[str, str]) -> str:
        """Write it for a plan in which a field has no value yet: the fields as written, with what is known of them."""
        return "\n".join(f"{name}: {text}" for name, text in fields.items())


class LookKind(Kind):
    """A kind that can look."""

    @abstractmethod
    def look(self, probe: Probe) -> Outputs:
        """Look once, within `probe.timeout`. Never raises for what the world does: `Outputs.reach` says it."""


class ActKind(Kind):
    """A kind that changes something.

    Class attributes:
        CLAIMED: every effect goes through `act.shell`, so the host remembers the outcome and `execute` may be called
            again for the same claim. False: only `verify` can tell, and UNKNOWN stops the run.
        VERIFIES: `verify` can tell; False when only the step's own `verify:` looks can.
        REQUIRES_FENCE: refused unless this run has proven a fence of another host first.
        WAITS: the field that says how long the act itself waits; the default limit of an attempt is never shorter.
        NO_INVERSE: why the act cannot be undone by the kind itself; empty when `inverse` can.
    """

    CLAIMED: ClassVar[bool] = True
    VERIFIES: ClassVar[bool] = True
    REQUIRES_FENCE: ClassVar[bool] = False
    WAITS: ClassVar[str] = ""
    NO_INVERSE: ClassVar[str] = ""

    @abstractmethod
    def preview(self, probe: Probe) -> Preview:
        """Look at what stands there now and say what would change."""

    @abstractmethod
    def execute(self, act: Act) -> Outputs:
        """Make the change: at most one `act.shell.run`, or one send."""

    @abstractmethod
    def verify(self, probe: Probe) -> Verdict:
        """Look whether the effect is there. UNKNOWN whenever the look did not answer."""

    def verify_since(self, probe: Probe, prior: Mapping[str, Value]) -> Verdict:  # noqa: ARG002 - the contract's parameter
        """Look as `verify` does, knowing what `preview` found before the newest intent; the executor calls this one."""
        return self.verify(probe)

    @abstractmethod
    def digest(self, facts: Facts) -> str:
        """SHA-256 over everything that decides the effect, secrets by name only."""

    def inverse(self, prior: Mapping[str, Value]) -> ActKind | None:  # noqa: ARG002 - the contract's parameter
        """Give the act that puts back what `prior` (recorded with the intent) says; None when it cannot."""
        return None


class CommandAct(ActKind):
    """An act that is one command on its place."""

    @abstractmethod
    def command(self, facts: Facts) -> Command:
        """Build the command. Its timeout is replaced by the step's limit."""

    @abstractmethod
    def outputs(self, reply: Reply) -> Outputs:
        """Read the reply of a command whose end is known."""

    def describe(self, facts: Facts) -> str:
        """The script itself."""
        return self.command(facts).script

    def digest(self, facts: Facts) -> str:
        """The command's digest; claims on the host carry the same."""
        return self.command(facts).digest

    def execute(self, act: Act) -> Outputs:
        """Run the command under this unit's claim."""
        command = dataclasses.replace(self.command(act.probe.facts), timeout=act.probe.timeout)
        return self.outputs(act.shell.run(command))


class EngineKind(Kind):
    """A kind that needs the run itself: declared for the schema and the documentation, carried out by the engine."""

    def describe(self, facts: Facts) -> str:  # noqa: ARG002 - the contract's parameter
        """Give nothing: the engine shows these kinds itself."""
        return ""
