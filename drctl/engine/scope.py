"""What the names of an expression stand for, at one place of one run.

Everything comes from the fold, the frozen inputs and the inventory: the same expression gives the same value after any
crash, on any machine. A name without a value says why: *not yet* (in a plan, the step has not run) or *none*.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from drctl.core.model import Action, Outcome, Step
from drctl.core.values import Duration, Secret, Time, Unknown, Value, from_json, parse_json, text_of
from drctl.engine.context import Context, host_value
from drctl.engine.outputs import Store, unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from drctl.core.events import StepFinished
    from drctl.core.expressions import Found
    from drctl.core.fold import BlockState, RunState, StepState


@dataclass(frozen=True, slots=True)
class Names:
    """A node whose members come from a function; `what` names it in reasons."""

    what: str
    get: Callable[[str], Found]

    def member(self, name: str) -> Found:
        """Look a member up."""
        return self.get(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunScope:
    """The scope of one step's expressions.

    Attributes:
        context: what the run is made of.
        place: the step's host.
        own: the step's own outputs and captures, in `expect`, `capture` and `marks`.
        pinned: values as they were at an intent, for its ways back: `steps.look.stdout` to value.
    """

    context: Context
    place: str = ""
    own: Mapping[str, Value | Unknown] = field(default_factory=dict)
    pinned: Mapping[str, Value | Unknown] = field(default_factory=dict)

    def lookup(self, name: str) -> Found:
        """Give the value or node of a name."""
        if name in self.own:
            return self.own[name]
        context = self.context
        roots: dict[str, Callable[[], Found]] = {
            "inputs": lambda: Names("inputs", lambda n: _frozen(context.inputs, "inputs", n)),
            "vars": lambda: Names("vars", lambda n: _frozen(context.vars, "vars", n)),
            "steps": lambda: Names("steps", self._step),
            "marks": lambda: Names("marks", self._mark),
            "run": lambda: Names("run", self._run),
            "objectives": lambda: Names("objectives", self._objective),
            "hosts": lambda: Names("hosts", lambda n: _host(context, n)),
            "host": lambda: _host(context, self.place),
        }
        if name in roots:
            return roots[name]()
        return Unknown(f"nothing is named {name!r} here", not_yet=False)

    def now(self) -> Time:
        """UTC now."""
        return self.context.clock.now()

    def group(self, name: str) -> Value | Unknown:
        """The hosts of a group, in inventory order."""
        hosts = tuple(host.ref for host in self.context.inventory.hosts.values() if name in host.groups)
        return hosts or Unknown(f"no host is in group {name!r}", not_yet=False)

    def _missing(self, reason: str) -> Unknown:
        return Unknown("" if self.context.planning else reason, not_yet=self.context.planning)

    def _step(self, id_: str) -> Found:
        step = self.context.step_by_id(id_)
        if step is None:
            return Unknown(f"no step is named {id_!r}", not_yet=False)
        return Names(f"steps.{id_}", lambda name: self._field(step, name))

    def _field(self, step: Step, name: str) -> Value | Unknown | Secret:
        pinned = f"steps.{step.id}.{name}"
        if pinned in self.pinned:
            return self.pinned[pinned]
        state = self.context.state
        block = state.blocks.get(step.path)
        ended = state.step(step.path)
        if ended.final is None and block is not None and block.outcome is not None:
            return _block_field(block, name)
        if name == "started":
            return ended.began or block is not None
        if ended.final is None:
            return self._missing(f"{step.id} has not run")
        common = _common_fields(ended).get(name)
        return common() if common is not None else self._output(step, ended, name)

    def _output(self, step: Step, ended: StepState, name: str) -> Value | Unknown | Secret:
        final = ended.final
        assert final is not None  # noqa: S101 - the caller has looked
        held = self.context.held.get(step.path, {})
        if name in held:
            return held[name]
        for found in (final.captures, final.outputs):
            if name in found:
                return unpack(found[name], self.context.store)
        if name == "json" and name not in final.unknown:
            for text in ("stdout", "body", "text"):
                if text in final.outputs:
                    value = unpack(final.outputs[text], self.context.store)
                    return value if isinstance(value, Unknown) else parse_json(text_of(value))
        return Unknown(_why_none(step, final, name), not_yet=False)

    def _mark(self, name: str) -> Value | Unknown:
        if f"marks.{name}" in self.pinned:
            return self.pinned[f"marks.{name}"]
        mark = self.context.state.mark(name)
        if mark is None:
            return self._missing(f"mark {name} is not set")
        return from_json(mark.value)

    def _run(self, name: str) -> Value | Unknown:
        context, state = self.context, self.context.state
        started = state.opened_at
        elapsed = None if started is None else Duration(max(0, context.clock.now().micros - started.micros))
        rto = context.runbook.objectives.rto
        values: dict[str, Value | None] = {
            "id": context.identity.id,
            "mode": context.identity.mode,
            "drill": context.identity.mode == "drill",
            "operator": context.identity.operator,
            "started_at": started,
            "elapsed": elapsed,
            "rto_left": None if rto is None or elapsed is None else Duration(rto.micros - elapsed.micros),
            "state": _run_state(state),
        }
        value = values.get(name)
        return value if value is not None else self._missing(f"run.{name} has no value")

    def _objective(self, name: str) -> Value | Unknown:
        value = {"rto": self.context.runbook.objectives.rto, "rpo": self.context.runbook.objectives.rpo}.get(name)
        return value if value is not None else Unknown(f"the runbook states no {name}", not_yet=False)


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


def _frozen(values: Mapping[str, Value | Unknown | Secret], root: str, name: str) -> Value | Unknown | Secret:
    if name in values:
        return values[name]
    return Unknown(f"{root} has no {name!r}", not_yet=False)


def _host(context: Context, name: str) -> Value | Unknown:
    found = host_value(context.inventory, name)
    return Unknown(f"no host of the inventory is {name!r}", not_yet=False) if found is None else found


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


def _block_field(block: BlockState, name: str) -> Value | Unknown:
    outcome = block.outcome
    assert outcome is not None  # noqa: S101 - the caller has looked
    end = block.finished_at or block.started_at
    values: dict[str, Value] = {
        "ok": outcome is Outcome.OK,
        "failed": outcome.bad,
        "outcome": outcome.value,
        "found": False,
        "tolerated": False,
        "started": True,
        "started_at": block.started_at,
        "finished_at": end,
        "elapsed": Duration(end.micros - block.started_at.micros),
        "because": block.because,
    }
    return values[name] if name in values else Unknown(f"a block has no {name}", not_yet=False)


def _run_state(state: RunState) -> str:
    if state.closed is not None:
        return state.closed.state
    return "paused" if state.paused is not None else "running"


def outputs_of(final: StepFinished, store: Store) -> dict[str, Value | Unknown]:
    """All outputs and captures of an ended step by their bare names."""
    values: dict[str, Value | Unknown] = {name: Unknown(why, not_yet=False) for name, why in final.unknown.items()}
    for packed in (final.outputs, final.captures):
        values |= {name: unpack(value, store) for name, value in packed.items()}
    return values
