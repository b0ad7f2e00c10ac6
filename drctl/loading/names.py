"""The names an expression may use at one place of a runbook, with their types, before any value exists."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Final, cast, get_args

from drctl.core.expressions import ANY_MEMBER, Problem, Type
from drctl.core.input_specs import InputType
from drctl.core.nouns import dataclass
from drctl.core.places import On, PlaceKind
from drctl.loading.results import Result, StepType
from drctl.loading.suggest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from drctl.core.inventory import Inventory
    from drctl.loading.results import Shown

RUN: Final[Mapping[str, Type]] = {
    "id": "text",
    "mode": "text",
    "drill": "bool",
    "operator": "text",
    "started_at": "time",
    "elapsed": "duration",
    "rto_left": "duration",
    "state": "text",
}
KNOWN_MARKS: Final = frozenset(
    {
        *("fault", "detected", "declared", "outage_start", "fenced", "promoted"),
        *("traffic_switched", "service_restored", "outage_end", "recovery_point", "data_loss"),
    }
)
INPUT_TYPES: Final[Mapping[InputType, Type]] = {
    InputType.TEXT: "text",
    InputType.INT: "int",
    InputType.BOOL: "bool",
    InputType.CHOICE: "text",
    InputType.DURATION: "duration",
    InputType.TIME: "time",
    InputType.HOST: "host",
    InputType.SECRET: "secret",
    InputType.LIST: "list",
}
_ALL_TYPES: Final = frozenset(get_args(Type))


def as_type(name: str) -> Type:
    """The type of the language a kind names; what is no type of the language is known by its value only."""
    return cast("Type", name) if name in _ALL_TYPES else "any"


@dataclass(slots=True)
class Seen:
    """The steps that ended before a place; a branch has a layer of its own over what all branches see."""

    below: Seen | None = None
    steps: dict[str, StepType] = field(default_factory=dict)

    def get(self, name: str) -> StepType | None:
        """The step with this id."""
        layer: Seen | None = self
        while layer is not None:
            if name in layer.steps:
                return layer.steps[name]
            layer = layer.below
        return None

    def __iter__(self) -> Iterator[str]:
        """Every id, the nearest layer first."""
        layer: Seen | None = self
        while layer is not None:
            yield from layer.steps
            layer = layer.below


@dataclass(slots=True, kw_only=True)
class World:
    """What is the same at every place of a runbook.

    Attributes:
        all_steps: every readable step by id, whenever it ends.
        broken: ids of steps that were refused; references to them are let pass.
        hidden: ids inside `verify`, `undo` and the like, with what they stand in.
        withheld: ids inside what repeats and has ended, with why they cannot be read from outside, and a hint.
        included: this file stands at the place of an `include`.
    """

    inventory: Inventory | None
    inputs: Mapping[str, Type]
    objectives: Mapping[str, Type]
    vars: dict[str, Type] = field(default_factory=dict)
    marks: dict[str, Type] = field(default_factory=dict)
    all_steps: dict[str, StepType] = field(default_factory=dict)
    broken: frozenset[str] = frozenset()
    hidden: dict[str, str] = field(default_factory=dict)
    withheld: dict[str, tuple[str, str]] = field(default_factory=dict)
    included: bool = False


@dataclass(slots=True, kw_only=True)
class Names:
    """A `TypeScope`: the names at one place.

    Attributes:
        own: bare names: the step's own outputs and captures, where they can be read.
        inside: ids of the blocks around this place, and of the step itself where it has not ended.
        on: where the step runs, or the selection whose candidates are asked; None where there is no host.
        bound: the names of the loops around.
        frozen: in `vars`: only what is known before the run starts.
        codes: the code of each problem this scope gave, by its sentence.
    """

    world: World
    seen: Seen = field(default_factory=Seen)
    own: Mapping[str, Type] = field(default_factory=dict)
    not_own: Mapping[str, str] = field(default_factory=dict)
    inside: tuple[str, ...] = ()
    branches: tuple[tuple[str, int], ...] = ()
    on: On | None = None
    bound: Shown = field(default_factory=dict)
    frozen: bool = False
    codes: dict[str, str] = field(default_factory=dict)

    def type_of(self, path: tuple[str, ...]) -> Type | Problem | None:  # noqa: PLR0911 - one for each root
        """The type of a name with its members; see `TypeScope`."""
        if len(path) == 1 and path[0] in self.own:
            return self.own[path[0]]
        if path[0] in self.not_own and len(path) == 1:
            return self.problem("E302", self.not_own[path[0]])
        if path[0] in self.bound:
            return self.bound[path[0]] if len(path) == 1 else None
        match path:
            case ("inputs" | "vars" | "objectives" | "run" | "marks" as root, *rest):
                return self.member(root, rest)
            case ("steps", *rest):
                return self.step_member(rest)
            case ("hosts", *rest):
                return self.host_member(rest)
            case ("host",):
                return self.host()
            case _:
                return None

    def problem(self, code: str, summary: str, hint: str | None = None) -> Problem:
        """A problem with its code."""
        self.codes[summary] = code
        return Problem(0, summary, hint)

    def member(self, root: str, rest: list[str]) -> Type | Problem | None:  # noqa: PLR0911 - one for each reason
        """A member of inputs, vars, objectives, run or marks."""
        if len(rest) > 1:
            return None
        known = self.known(root)
        if self.frozen and root in {"run", "marks"}:
            return self.problem("E302", f"{root} is not known before the run starts", "use it in a step")
        if not rest or rest[0] == ANY_MEMBER:
            return self.problem("E302", f"{root} is no value", f"name one, as in {root}.{next(iter(known), 'NAME')}")
        name = rest[0]
        if name in known:
            return known[name]
        if root == "marks" and name in KNOWN_MARKS:
            return "any" if name == "data_loss" else "time"
        if root == "objectives" and self.world.included:
            return self.problem("E302", "an included file does not see objectives", "hand the figure over as an input")
        if root == "objectives" and name in {"rto", "rpo"}:
            return self.problem("E302", f"the runbook promises no {name}", f"give objectives: {{{name}: 15m}}")
        everything = {*known, *KNOWN_MARKS} if root == "marks" else known
        what = {
            "inputs": "input",
            "vars": "variable",
            "objectives": "objective",
            "marks": "mark",
        }
        nothing = f"no {root} are declared"
        summary = f"run has no field {name}" if root == "run" else f"there is no {what[root]} {name}"
        return self.problem("E302", summary, did_you_mean(name, everything, nothing))

    def known(self, root: str) -> Mapping[str, Type]:
        """The names under a root."""
        world = self.world
        return {
            "inputs": world.inputs,
            "vars": world.vars,
            "objectives": world.objectives,
            "run": RUN,
            "marks": world.marks,
        }[root]

    def step_member(self, rest: list[str]) -> Type | Problem | None:
        """A field of a step that has ended."""
        if self.frozen:
            return self.problem("E302", "no step has run when the run starts", "use `set` for computed values")
        if not rest or rest[0] == ANY_MEMBER:
            return self.problem("E302", "steps is no value", "name a step and a field: steps.ID.ok")
        found = self.seen.get(rest[0])
        if found is None:
            return "any" if rest[0] in self.world.broken else self.absent(rest[0])
        return Result(self, found, found.layers, f"steps.{rest[0]}").type_of(rest[1:])

    def absent(self, name: str) -> Problem:
        """Why a step cannot be read here."""
        if name in self.inside:
            own = name == self.inside[-1]
            hint = (
                "its own values stand under their bare names in capture, expect and marks"
                if own
                else "it is around here"
            )
            return self.problem("E303", f"step {name} has not ended here", hint)
        if name in self.world.hidden:
            hint = "make it a step of its own to read it"
            return self.problem("E303", f"step {name} stands inside {self.world.hidden[name]} and cannot be read", hint)
        if name in self.world.withheld:
            return self.problem("E303", *self.world.withheld[name])
        other = self.world.all_steps.get(name)
        if other is None:
            return self.problem(
                "E302", f"there is no step {name}", did_you_mean(name, self.seen, "no step ends before")
            )
        here = dict(self.branches)
        if any(here.get(block, branch) != branch for block, branch in other.branches):
            hint = "branches of a parallel block do not see each other; read it after the block"
            return self.problem("E303", f"step {name} is in another branch", hint)
        place = other.step.where
        return self.problem("E303", f"step {name} comes later", f"it stands at line {place.line}; move it up")

    def host_member(self, rest: list[str]) -> Type | Problem | None:
        """A host or role by name."""
        if len(rest) > 1:
            return None
        if not rest:
            return self.problem("E302", "hosts is no value", "name one: hosts['db1'].address")
        inventory, name = self.world.inventory, rest[0]
        if inventory is None or name == ANY_MEMBER or name in inventory.hosts or inventory.host_of_role(name):
            return "host"
        known = {*inventory.hosts, *(host.role for host in inventory.hosts.values() if host.role)}
        summary = f"the inventory '{inventory.name}' has no host or role {name}"
        return self.problem("E308", summary, did_you_mean(name, known))

    def host(self) -> Type | Problem:
        """The host of this step."""
        if self.on is not None and self.on.kind is not PlaceKind.LOCAL:
            return "host"
        where = "this step runs on local" if self.on is not None else "there is no host here"
        return self.problem("E302", where, "name a host: hosts['db1'].address")
