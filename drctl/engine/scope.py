"""What the names of an expression stand for, at one place of one run.

Everything comes from the fold, the frozen inputs and the inventory: the same expression gives the same value after any
crash, on any machine. A name without a value says why: *not yet* (in a plan, the step has not run) or *none*.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from drctl.core.inputs import named_hosts
from drctl.core.model import Include, Step
from drctl.core.nouns import dataclass, replace
from drctl.core.rounds import seen_in
from drctl.core.values import Duration, Secret, Time, Unknown, Value, from_json
from drctl.engine.context import Context, host_value
from drctl.engine.fields import resolve
from drctl.engine.results import Lookup, Names, outputs_of, result_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from drctl.core.expressions import Found
    from drctl.core.fold import RunState
    from drctl.core.input_specs import InputSpec
    from drctl.core.model import Frame

__all__ = ["Names", "RunScope", "outputs_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunScope:
    """The scope of one step's expressions.

    Attributes:
        context: what the run is made of.
        place: the step's host.
        own: the step's own outputs and captures, in `expect`, `capture` and `marks`.
        pinned: values as they were at an intent, for its ways back: `steps.look.stdout` to value.
        frames: the rounds around the step, for the names of loops and for which round of another step is meant.
        home: the file the step stands in, by the address of its `include`.
    """

    context: Context
    place: str = ""
    own: Mapping[str, Value | Unknown] = field(default_factory=dict)
    pinned: Mapping[str, Value | Unknown] = field(default_factory=dict)
    frames: tuple[Frame, ...] = ()
    home: str = ""

    def at(self, step: Step) -> RunScope:
        """The same for a step: its file, and the rounds around it."""
        return replace(self, frames=step.frames, home=step.home)

    def lookup(self, name: str) -> Found:
        """Give the value or node of a name."""
        if name in self.own:
            return self.own[name]
        for frame in reversed(self.frames):
            if name in frame.names and self._is_here(frame):
                return frame.names[name]
        context = self.context
        roots: dict[str, Callable[[], Found]] = {
            "inputs": lambda: Names("inputs", self._input),
            "vars": lambda: Names("vars", self._var),
            "steps": lambda: Names("steps", self._step),
            "marks": lambda: Names("marks", self._mark),
            "run": lambda: Names("run", self._run),
            "objectives": lambda: Names("objectives", self._objective),
            "hosts": lambda: Names("hosts", lambda n: _host(context, n)),
            "host": self._host_here,
        }
        if name in roots:
            return roots[name]()
        return Unknown(f"nothing is named {name!r} here", not_yet=False)

    def _is_here(self, frame: Frame) -> bool:
        """Whether a round belongs to this file; an included file does not see the loops of its caller."""
        return not self.home or frame.origin.startswith(f"{self.home}/")

    def now(self) -> Time:
        """UTC now."""
        return self.context.clock.now()

    def group(self, name: str) -> Value | Unknown:
        """The hosts of a group, in inventory order."""
        hosts = tuple(host.ref for host in self.context.inventory.hosts.values() if name in host.groups)
        return hosts or Unknown(f"no host is in group {name!r}", not_yet=False)

    def _host_here(self) -> Found:
        return _host(self.context, self.place) if self.place else self._missing("this step has no host")

    def _missing(self, reason: str) -> Unknown:
        return Unknown("" if self.context.planning else reason, not_yet=self.context.planning)

    def _step(self, id_: str) -> Found:
        step = self.context.outline.find(id_, self.home)
        if step is None:
            return Unknown(f"no step is named {id_!r}", not_yet=False)
        return result_of(Lookup(context=self.context, place=self.place, pinned=self.pinned), step, self.frames)

    # -- files --------------------------------------------------------------------------------------------------------

    def _include(self) -> tuple[Include, RunScope]:
        """What includes this file, and the scope of the including step."""
        caller = self.context.outline.steps[self.home]
        step = seen_in(caller, self.frames)
        assert isinstance(step.body, Include)  # noqa: S101 - a home is the address of an include
        frames = tuple(frame for frame in self.frames if not self._is_here(frame))
        return step.body, RunScope(context=self.context, frames=frames, home=caller.home)

    def _input(self, name: str) -> Found:
        if not self.home:
            return _frozen(self.context.inputs, "inputs", name)
        include, outside = self._include()
        spec = next((spec for spec in include.runbook.inputs if spec.name == name), None)
        if name in include.inputs:
            found: Value | Unknown | Secret = resolve(include.inputs[name], outside)
            return found if spec is None or isinstance(found, Unknown | Secret) else self._hosts_of(spec, found)
        if spec is not None and spec.has_default:
            return spec.default
        if spec is not None and spec.source is not None:
            return self.context.secret(spec.source)
        return Unknown(f"{name} was not given", not_yet=False)

    def _hosts_of(self, spec: InputSpec, value: Value) -> Found:
        try:
            return named_hosts(spec, value, self.context.inventory.hosts)
        except ValueError as error:
            return Unknown(str(error), not_yet=False)

    def _var(self, name: str) -> Found:
        if not self.home:
            return _frozen(self.context.vars, "vars", name)
        written = self._include()[0].runbook.vars
        if name not in written:
            return Unknown(f"vars has no {name!r}", not_yet=False)
        found: Value | Unknown | Secret = resolve(written[name], replace(self, frames=self.frames, own={}))
        return found

    # -- the run ------------------------------------------------------------------------------------------------------

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
        now = state.timeline.since(context.clock.monotonic().micros)  # no moved clock changes what is left of the RTO
        elapsed = None if started is None else Duration(now - started.micros)
        rto = context.runbook.objectives.rto
        values: dict[str, Value | None] = {
            "id": context.identity.id if context.identity.uid else None,  # a plan is of no run yet, and of nobody's
            "mode": context.identity.mode,
            "drill": context.identity.mode == "drill",
            "operator": context.identity.operator if context.identity.uid else None,
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


def _frozen(values: Mapping[str, Value | Unknown | Secret], root: str, name: str) -> Value | Unknown | Secret:
    if name in values:
        return values[name]
    return Unknown(f"{root} has no {name!r}", not_yet=False)


def _host(context: Context, name: str) -> Value | Unknown:
    found = host_value(context.inventory, name)
    return Unknown(f"no host of the inventory is {name!r}", not_yet=False) if found is None else found


def _run_state(state: RunState) -> str:
    if state.closed is not None:
        return state.closed.state
    return "paused" if state.paused is not None else "running"
