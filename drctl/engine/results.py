"""What may be read of a step that is over: of one that gave a single result, of a table, of a loop.

A single result has the outputs of its kind and what every step has. A table has a record for each host (`here`,
`hosts`), a loop one for each round (`each`). A step inside a block that rolls over hosts is, from outside, one table of
all batches.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from drctl.core.model import Action, Block, Frame, Include, Step
from drctl.core.nouns import dataclass
from drctl.core.outcomes import Outcome
from drctl.core.rounds import HOST
from drctl.core.values import Duration, Secret, Unknown, Value, parse_json, text_of
from drctl.engine.outputs import Store, unpack
from drctl.engine.parts import rounds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from drctl.core.events import StepFinished
    from drctl.core.expressions import Found
    from drctl.core.fold import BlockState, StepState
    from drctl.engine.context import Context


@dataclass(frozen=True, slots=True)
class Names:
    """A node whose members come from a function; `what` names it in reasons."""

    what: str
    get: Callable[[str], Found]

    def member(self, name: str) -> Found:
        """Look a member up."""
        return self.get(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """From where results are read: the run, the host of the reading step, values pinned for its way back."""

    context: Context
    place: str = ""
    pinned: Mapping[str, Value | Unknown] = field(default_factory=dict)

    def missing(self, reason: str) -> Unknown:
        """A value that is not there: not yet in a plan, none in a run."""
        return Unknown("" if self.context.planning else reason, not_yet=self.context.planning)

    def not_begun(self, step: Step, path: str, name: str) -> Value | Unknown:
        """A field of what has no record: inside something that is over it was left out, else it has not run."""
        while "/" in path:
            path = path.rpartition("/")[0]
            block = self.context.state.blocks.get(path)
            if block is not None and block.outcome is not None:
                left_out = Outcome.SKIPPED if block.outcome is Outcome.SKIPPED else Outcome.NOT_RUN
                known: dict[str, Value] = {"ok": False, "failed": False, "started": False, "outcome": left_out.value}
                if name in known:
                    return known[name]
                how = "skipped" if left_out is Outcome.SKIPPED else "not run"
                return Unknown(f"{step.id} was {how} with {path}", not_yet=False)
        return False if name == "started" and not self.context.planning else self.missing(f"{step.id} has not run")


def result_of(lookup: Lookup, step: Step, frames: tuple[Frame, ...]) -> Single | TableResult | LoopResult:
    """The node for a step of the document, read from inside some rounds.

    Rounds around both are the same round: inside an iteration, a step of the loop means the one of that iteration.
    """
    path, inner = step.path, []
    for frame in frames:
        if not frame.host and (step.path == frame.origin or step.path.startswith(f"{frame.origin}/")):
            path = frame.moved(path)
            inner.append(frame)
    in_round = any(frame.origin == step.path for frame in inner)
    if step.loop is not None and not in_round:
        return LoopResult(lookup, step, path, tuple(inner))
    rolling = isinstance(step.body, Block) and step.body.rolling
    if step.on is not None and step.on.many and not isinstance(step.body, Block | Include) and not rolling:
        host = next((frame.host for frame in frames if frame.host and frame.origin == step.path), lookup.place)
        return TableResult(lookup, step, tuple(_tables(lookup.context, step, path, inner)), host)
    return Single(lookup, step, next(_tables(lookup.context, step, path, inner), path))


def _tables(context: Context, step: Step, path: str, inner: list[Frame]) -> Iterator[str]:
    """The addresses of a table: one, or one for each batch of a block around it that is read from outside."""
    known = {frame.origin for frame in inner}
    around = [
        one for one in context.outline.around.get(step.path, ())
        if isinstance(one.body, Block) and one.body.rolling and one.path not in known
    ]  # fmt: skip
    if not around:
        yield path
        return
    outside = around[0]
    prefix = path[: len(path) - len(step.path) + len(outside.path)]
    for batch in rounds(context, outside, prefix):
        yield from _tables(context, step, batch.moved(path), [*inner, batch])


@dataclass(frozen=True, slots=True)
class Single:
    """A step, or one round of it, that has one result; also a block as a whole."""

    lookup: Lookup
    step: Step
    path: str
    pin: str = ""

    def member(self, name: str) -> Found:
        """A field of it."""
        pinned = f"{self.pin or f'steps.{self.step.id}'}.{name}"
        if pinned in self.lookup.pinned:
            return self.lookup.pinned[pinned]
        context = self.lookup.context
        block = context.state.blocks.get(self.path)
        ended = context.state.step(self.path)
        if ended.final is None and block is not None and block.outcome is not None:
            return block_field(block, name, context.store)
        if not ended.units and block is None:
            return self.lookup.not_begun(self.step, self.path, name)
        if name == "started" and (ended.final is not None or not context.planning):
            return ended.began or block is not None
        if ended.final is None:
            return self.lookup.missing(f"{self.step.id} has not run")
        common = _common_fields(ended).get(name)
        return common() if common is not None else self._output(ended, name)

    def _output(self, ended: StepState, name: str) -> Value | Unknown | Secret:
        final, context, step = ended.final, self.lookup.context, self.step
        assert final is not None  # noqa: S101 - the caller has looked
        held = context.held.get(self.path, {})
        if name in held:
            return held[name]
        for found in (final.captures, final.outputs):
            if name in found:
                return unpack(found[name], context.store)
        if name == "json" and name not in final.unknown:
            for text in ("stdout", "body", "text"):
                if text in final.outputs:
                    value = unpack(final.outputs[text], context.store)
                    return value if isinstance(value, Unknown) else parse_json(text_of(value))
        return Unknown(_why_none(step, final, name), not_yet=False)


@dataclass(frozen=True, slots=True)
class TableResult:
    """A step on a selection of hosts."""

    lookup: Lookup
    step: Step
    paths: tuple[str, ...]
    host: str

    def member(self, name: str) -> Found:
        """`here`, `hosts`, or a field of the table as a whole."""
        if name == "here":
            return self._record(self.host, f"steps.{self.step.id}.here")
        if name == "hosts":
            return HostsResult(self)
        blocks = [self.lookup.context.state.blocks.get(path) for path in self.paths]
        over = [block for block in blocks if block is not None and block.outcome is not None]
        if not any(blocks):
            return self.lookup.not_begun(self.step, self.paths[0] if self.paths else self.step.path, name)
        if name == "started":
            return True
        if not over or len(over) < len(blocks):
            return self.lookup.missing(f"{self.step.id} has not run")
        worst = max(over, key=lambda block: _WORSE.index(block.outcome or Outcome.OK))
        return block_field(worst, name, self.lookup.context.store)

    def hosts(self) -> list[tuple[str, str]]:
        """Each host with the address of its record, in the order of the inventory."""
        context = self.lookup.context
        found = {
            frame.host: frame.path for path in self.paths for frame in rounds(context, self.step, path) if frame.host
        }
        return [(name, found[name]) for name in context.inventory.hosts if name in found]

    def record(self, host: str) -> Found:
        """What it gave on one host."""
        return self._record(host, "")

    def _record(self, host: str, pin: str) -> Found:
        context = self.lookup.context
        for path in self.paths:
            address = f"{path}/{HOST}{host}"
            if context.state.step(address).final is not None:
                return HostRecord(self.lookup, self.step, address, pin or f"steps.{self.step.id}.hosts.{host}", host)
        if any((block := context.state.blocks.get(path)) is None or block.outcome is None for path in self.paths):
            return _Nothing(self.lookup.missing(f"{self.step.id} has not run on {host or 'this place'}"), host)
        return _Nothing(Unknown(f"{self.step.id} did not run on {host or 'this place'}", not_yet=False), host)


@dataclass(frozen=True, slots=True)
class HostRecord(Single):
    """What a table gave on one host."""

    host: str = ""

    def member(self, name: str) -> Found:
        """A field; `host` is the host's name."""
        # Named in full: `super()` has no cell in a slotted dataclass.
        return self.host if name == "host" else Single.member(self, name)


@dataclass(frozen=True, slots=True)
class _Nothing:
    """A record that is not there: it was not ok, did not fail, did not start, and has no values."""

    why: Unknown
    host: str

    def member(self, name: str) -> Found:
        if name == "host":
            return self.host
        if name in {"ok", "failed", "started"} and not self.why.not_yet:
            return False
        return self.why


@dataclass(frozen=True, slots=True)
class HostsResult:
    """`steps.x.hosts`: by name, or as a list of records."""

    table: TableResult

    def member(self, name: str) -> Found:
        """The record of one host."""
        return self.table.record(name)

    def records(self) -> tuple[Found, ...] | Unknown:
        """All records, in the order of the inventory; hosts of which none is over are left out."""
        done = self.table.member("outcome")
        if isinstance(done, Unknown):
            return done
        state = self.table.lookup.context.state
        return tuple(self.table.record(host) for host, path in self.table.hosts() if state.step(path).final is not None)


@dataclass(frozen=True, slots=True)
class LoopResult:
    """A step that was repeated."""

    lookup: Lookup
    step: Step
    path: str
    frames: tuple[Frame, ...]

    def member(self, name: str) -> Found:
        """`each`, a field of the loop as a whole, or what the winner of `first_ok` gave."""
        block = self.lookup.context.state.blocks.get(self.path)
        if block is None:
            return self.lookup.not_begun(self.step, self.path, name)
        if name == "started":
            return True
        if block.outcome is None:
            return self.lookup.missing(f"{self.step.id} has not run")
        return _Each(self) if name == "each" else self._whole(block, name)

    def _whole(self, block: BlockState, name: str) -> Found:
        whole = block_field(block, name, self.lookup.context.store)
        if not isinstance(whole, Unknown) or self.step.loop is None or not self.step.loop.first_ok:
            return whole
        winner = next((one for one in self.rounds() if one.member("ok") is True), None)
        none = Unknown(f"no round of {self.step.id} was ok", not_yet=False)
        return winner.member(name) if winner is not None else none

    def rounds(self) -> tuple[RoundResult, ...]:
        """Every round, in order."""
        return tuple(RoundResult(self, frame) for frame in rounds(self.lookup.context, self.step, self.path))


@dataclass(frozen=True, slots=True)
class _Each:
    loop: LoopResult

    def member(self, name: str) -> Found:
        return Unknown(f"rounds have numbers, no names such as {name!r}", not_yet=False)

    def records(self) -> tuple[Found, ...]:
        return self.loop.rounds()


@dataclass(frozen=True, slots=True)
class RoundResult:
    """One round of a loop: its names, the steps inside it, and what it gave."""

    loop: LoopResult
    frame: Frame

    def member(self, name: str) -> Found:
        """A loop's name, `steps` of a block, or a field."""
        if name in self.frame.names:
            return self.frame.names[name]
        frames = (*self.loop.frames, self.frame)
        lookup, step = self.loop.lookup, self.loop.step
        if name == "steps":
            return Names("steps", lambda id_: self._inner(id_, frames))
        return result_of(lookup, step, frames).member(name)

    def _inner(self, id_: str, frames: tuple[Frame, ...]) -> Found:
        outline, step = self.loop.lookup.context.outline, self.loop.step
        inner = outline.find(id_, step.home)
        found: Found = Unknown(f"no step is named {id_!r}", not_yet=False)
        return found if inner is None else result_of(self.loop.lookup, inner, frames)


_WORSE = (
    *(Outcome.SKIPPED, Outcome.OK, Outcome.EMPTY, Outcome.NOT_RUN, Outcome.PARTIAL, Outcome.TIMEOUT),
    *(Outcome.UNREACHABLE, Outcome.FAILED, Outcome.IN_DOUBT),
)
"""Outcomes from the least to the most serious."""


def _why_none(step: Step, final: StepFinished, name: str) -> str:
    """Why a step that is over gave no value of that name."""
    if name in final.unknown:
        return final.unknown[name]
    if final.outcome == Outcome.SKIPPED.value:
        return f"{step.id} was skipped"
    if final.outcome == Outcome.NOT_RUN.value:
        return f"{step.id} was not run"
    if final.found and isinstance(step.body, Action):
        return f"{step.id} was found done, so it has no reply of its own"
    return f"{step.id} gave no {name}"


def _common_fields(ended: StepState) -> dict[str, Callable[[], Value | Unknown]]:
    """The fields every step has once it is over."""
    final = ended.final
    assert final is not None  # noqa: S101 - the caller has looked
    outcome = Outcome(final.outcome)
    never = Unknown("it never began", not_yet=False)
    return {
        "ok": lambda: outcome is Outcome.OK,
        "failed": lambda: outcome.bad,
        "outcome": lambda: outcome.value,
        "found": lambda: final.found,
        "tolerated": lambda: final.tolerated,
        "started_at": lambda: never if ended.first_started_at is None else ended.first_started_at,
        "finished_at": lambda: ended.final_at,
        "elapsed": lambda: Duration(final.elapsed_us),
        "because": lambda: final.because,
    }


def block_field(block: BlockState, name: str, store: Store) -> Value | Unknown:
    """A field of a block, loop, table or include as a whole; outputs of an include among them."""
    outcome = block.outcome
    assert outcome is not None  # noqa: S101 - the caller has looked
    end = block.finished_at or block.started_at
    values: dict[str, Value] = {
        "ok": outcome is Outcome.OK,
        "failed": outcome.bad,
        "outcome": outcome.value,
        "found": False,
        "tolerated": block.tolerated,
        "started": True,
        "started_at": block.started_at,
        "finished_at": end,
        "elapsed": Duration(end.micros - block.started_at.micros),
        "because": block.because,
    }
    if name in values:
        return values[name]
    if name in block.outputs:
        return unpack(block.outputs[name], store)
    why = f"it was {outcome.value}" if outcome is not Outcome.OK else f"it gives no {name} as a whole"
    return Unknown(why, not_yet=False)


def outputs_of(final: StepFinished, store: Store) -> dict[str, Value | Unknown]:
    """All outputs and captures of an ended step by their bare names."""
    values: dict[str, Value | Unknown] = {name: Unknown(why, not_yet=False) for name, why in final.unknown.items()}
    for packed in (final.outputs, final.captures):
        values |= {name: unpack(value, store) for name, value in packed.items()}
    return values
