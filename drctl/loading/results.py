"""What may be read of a step that has ended: one result, a table of hosts, a loop of turns, and these in one another.

A table is read by `here`, by `hosts['db1']`, or as the list `hosts`; a loop by `each[0]`, or as the list `each`. What
every step has once it is over may be read of the whole as well.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Final, TypeAlias

from drctl.core.expressions import ANY_MEMBER, Problem, Type
from drctl.core.nouns import dataclass
from drctl.core.places import PlaceKind
from drctl.loading.selections import candidates
from drctl.loading.suggest import did_you_mean, nearest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drctl.core.inventory import Inventory
    from drctl.core.model import Step
    from drctl.core.places import On
    from drctl.loading.names import Names

Shown: TypeAlias = "Mapping[str, Type]"
"""Names that others may read, with their types."""

COMMON: Final[Mapping[str, Type]] = {
    "ok": "bool",
    "failed": "bool",
    "outcome": "text",
    "found": "bool",
    "tolerated": "bool",
    "started": "bool",
    "started_at": "time",
    "finished_at": "time",
    "elapsed": "duration",
    "because": "text",
}
"""Fields of every step once it is over."""

WORDS: Final = frozenset({"here", "hosts", "each"})
"""Words by which tables and loops are read."""


@dataclass(slots=True, kw_only=True)
class StepType:
    """What others may read of a step.

    Attributes:
        fields: names of one result beyond the common ones, with their types.
        guards: the conditions it stands under: place of each `when`, with its canonical text.
        branches: the parallel blocks it stands in, each with the number of its branch.
        layers: what lies around one result, outermost first: "each" of a loop, "hosts" of a table.
        turn: the loop names of one turn, with their types.
        inner: the steps of one turn, where the loop is a block.
        looped: it is a loop, or stands in one.
    """

    step: Step
    fields: Shown
    guards: Mapping[str, str] = field(default_factory=dict)
    branches: tuple[tuple[str, int], ...] = ()
    layers: tuple[str, ...] = ()
    turn: Shown = field(default_factory=dict)
    inner: Mapping[str, StepType] = field(default_factory=dict)
    looped: bool = False


def layers_of(step: Step) -> tuple[str, ...]:
    """What lies around one result of the step, for those outside of it."""
    loop = ("each",) if step.loop is not None and not step.loop.first_ok else ()
    return (*loop, *(("hosts",) if step.on is not None and step.on.many else ()))


@dataclass(frozen=True, slots=True)
class Result:
    """A step as it is read at one place.

    Attributes:
        written: how it was reached, such as `steps.x.each[0]`.
        turned: that was one turn of its loop.
    """

    names: Names
    found: StepType
    layers: tuple[str, ...]
    written: str
    turned: bool = False

    def type_of(self, rest: list[str]) -> Type | Problem | None:
        """The type of a member; see `TypeScope`."""
        if not rest or rest[0] == ANY_MEMBER:
            hint = f"name a field: {self.written}.{'hosts' if self.layers[:1] == ('hosts',) else 'ok'}"
            return self.names.problem("E302", f"{self.written} is a step, no value", hint)
        loop = self.found.step.loop
        first_ok = loop is not None and loop.first_ok and not self.turned
        if rest[0] == "each" and (first_ok or self.layers[:1] == ("each",)):
            return self.each(rest[1:])
        if rest[0] in {"hosts", "here"} and (self.layers[:1] == ("hosts",) or self.may_be_table):
            return self.here(rest[1:]) if rest[0] == "here" else self.hosts(rest[1:])
        return self.member(rest)

    @property
    def may_be_table(self) -> bool:
        """Without an inventory a name may be that of a group: then both ways to read the step are let pass."""
        on = self.found.step.on
        return self.names.world.inventory is None and on is not None and on.kind is PlaceKind.HOST

    def member(self, rest: list[str]) -> Type | Problem | None:
        """A field, of the whole or of one result."""
        name = rest[0]
        found = COMMON.get(name)
        if found is None:
            if self.layers:
                return self.wrapped(name)
            found = self.found.fields.get(name)
        if found is not None:
            return found if len(rest) == 1 else None
        return self.unknown(name)

    def each(self, rest: list[str]) -> Type | Problem | None:
        """The turns of a loop, or one of them."""
        if not rest:
            return "list"
        if rest[0] != ANY_MEMBER:
            hint = f"write {self.written}.each[0].{rest[0]}, or map(e in {self.written}.each, e.{rest[0]})"
            return self.names.problem("E310", f"{self.written}.each is a list of turns", hint)
        rest = rest[1:]
        if not rest:
            return "map"
        if rest[0] in self.found.turn:
            return self.found.turn[rest[0]] if len(rest) == 1 else None
        layers = tuple(layer for layer in self.layers if layer != "each")
        one = Result(self.names, self.found, layers, f"{self.written}.each[0]", turned=True)
        return one.inside(rest[1:]) if rest[0] == "steps" and self.found.inner else one.type_of(rest)

    def inside(self, rest: list[str]) -> Type | Problem | None:
        """A step inside one turn of a block."""
        if not rest or rest[0] == ANY_MEMBER:
            hint = f"name a step and a field: {self.written}.steps.ID.ok"
            return self.names.problem("E302", "steps is no value", hint)
        inner = self.found.inner.get(rest[0])
        if inner is None:
            summary = f"loop {self.found.step.id} has no step {rest[0]}"
            return self.names.problem("E302", summary, did_you_mean(rest[0], self.found.inner))
        return Result(self.names, inner, inner.layers, f"{self.written}.steps.{rest[0]}").type_of(rest[1:])

    def hosts(self, rest: list[str]) -> Type | Problem | None:
        """The records of a table, or that of one host."""
        if not rest:
            return "list"
        problem = None if rest[0] == ANY_MEMBER else self.named_host(rest[0])
        return problem or self.record(rest[1:], f"{self.written}.hosts[...]")

    def named_host(self, name: str) -> Problem | None:
        """Why there is no record of this host."""
        inventory = self.names.world.inventory
        if inventory is not None and name not in inventory.hosts:
            summary = f"the inventory '{inventory.name}' has no host {name}"
            return self.names.problem("E308", summary, did_you_mean(name, inventory.hosts))
        can_be = candidates(self.found.step.on, inventory)
        if can_be is not None and name not in can_be:
            summary = f"step {self.found.step.id} does not run on {name}"
            return self.names.problem("E310", summary, f"it runs on {', '.join(sorted(can_be)[:12])}")
        return None

    def here(self, rest: list[str]) -> Type | Problem | None:
        """The record of the host that this place is about."""
        on = self.names.on
        instead = f"write {self.written}.hosts['NAME'], or any(h in {self.written}.hosts, ...)"
        if on is None or on.kind is PlaceKind.LOCAL:
            where = "this step runs on local" if on is not None else "there is no host here"
            return self.names.problem("E310", f"{where}, so {self.written}.here is nothing", instead)
        if not can_meet(on, self.found.step.on, self.names.world.inventory):
            summary = f"this step and step {self.found.step.id} have no host in common"
            return self.names.problem("E310", summary, instead)
        return self.record(rest, f"{self.written}.here")

    def record(self, rest: list[str], written: str) -> Type | Problem | None:
        """The record of one host."""
        if not rest:
            return "map"
        if rest[0] == "host":
            return "text" if len(rest) == 1 else None
        return Result(self.names, self.found, self.layers[1:], written, self.turned).type_of(rest)

    def wrapped(self, name: str) -> Problem:
        """Why a table or loop cannot be read as one result."""
        step, layer = self.found.step, self.layers[0]
        if layer == "each":
            summary = f"step {step.id} is a loop: each turn has a {name} of its own"
            hint = f"write {self.written}.each[0].{name}, or map(e in {self.written}.each, e.{name})"
        else:
            summary = f"step {step.id} gives a table: each host has a {name} of its own"
            hint = f"write {self.written}.hosts['NAME'].{name}, or map(h in {self.written}.hosts, h.{name})"
            on = self.names.on
            if on is not None and on.kind is not PlaceKind.LOCAL:
                hint = f"write {self.written}.here.{name} for the host this step runs on, or {hint[6:]}"
        known = {*self.found.fields, *self.found.turn, *COMMON, *WORDS}
        if name not in known and nearest(name, known) is not None:
            hint = did_you_mean(name, known)
        return self.names.problem("E310", summary, hint)

    def unknown(self, name: str) -> Problem:
        """Why there is no such field."""
        found, step = self.found, self.found.step.id
        if name in WORDS:
            hint = f"write {self.written}.FIELD"
            what = "loop" if name == "each" else "table"
            return self.names.problem("E310", f"step {step} gives one result, no {what}", hint)
        known = {*found.fields, *COMMON}
        hint = did_you_mean(name, known)
        if nearest(name, known) is None and found.fields:
            hint = f"it has {', '.join(found.fields)}, and what every step has"
        return self.names.problem("E302", f"step {step} has no field {name}", hint)


def can_meet(one: On | None, other: On | None, inventory: Inventory | None) -> bool:
    """Whether two places may have a host in common."""
    first, second = candidates(one, inventory), candidates(other, inventory)
    return first is None or second is None or bool(first & second)
