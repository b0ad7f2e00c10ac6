"""Steps: from nodes to the values of the model, each with its path, its place and its effect.

A step is read with the table of its form (action, block, parallel, a kind of the language) and of its role (a step, a
look inside `verify`, a way back, a method of a fence). A step that was refused is left out; its id stays known, so that
references to it are not reported as well.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Final

from drctl.core.kind import Place
from drctl.core.model import (
    AnyOf,
    Approve,
    Block,
    Body,
    Effect,
    Fence,
    Formula,
    Guards,
    Judgement,
    Mark,
    OnFailure,
    Outcome,
    Repeat,
    RestoreNow,
    Step,
    Text,
    Way,
    WayKind,
    Ways,
)
from drctl.core.values import Duration
from drctl.loading import rules, tables
from drctl.loading.bodies import action, check_roles, language_body, with_fields
from drctl.loading.literals import fields_of
from drctl.loading.nodes import Broken, CoreType, Mapping, Node, Scalar, Sequence
from drctl.loading.places import Around, Role, inherited, placed
from drctl.loading.records import Fields, Record
from drctl.loading.shapes import Bad, Reading, empty, refuse
from drctl.loading.suggest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping as Map

    from drctl.core.diagnostics import Where
    from drctl.core.inventory import Inventory
    from drctl.core.kind import Kind

_FORM_KEYS: Final = ("do", "run", "steps", "parallel")
_INNER: Final = {Role.LOOK: tables.LOOK, Role.WAY: tables.WAY_STEP, Role.METHOD: tables.METHOD}
_VALUE_KINDS_INSIDE: Final = {
    Role.LOOK: tables.LOOK_KINDS,
    Role.WAY: tables.WAY_KINDS,
    Role.METHOD: frozenset[str](),
}
_LATER_KINDS: Final = {"fence.lift": "do what lifts the fence in steps of your own"}
_EVERY: Final = Duration(5_000_000)
_OBSERVED: Final = frozenset({Outcome.FAILED, Outcome.UNREACHABLE, Outcome.TIMEOUT})


@dataclass(slots=True, kw_only=True)
class StepReader:
    """Reads the steps of one document.

    Attributes:
        ids: every id written, readable step or not, with its place.
        named: where `recheck` and `restore` name a step: by path, key and name.
    """

    reading: Reading
    kinds: Map[str, type[Kind]]
    inventory: Inventory | None
    ids: dict[str, Where] = field(default_factory=dict)
    named: dict[tuple[str, str, str], Where] = field(default_factory=dict)

    def steps(self, node: Node, around: Around, reading: Reading) -> tuple[Step, ...]:
        """Read a list of steps."""
        if not isinstance(node, Sequence):
            refuse(node, reading, "a list of steps")
            return ()
        if not node.items:
            empty(node, reading, "at least one step")
        found = [self.step(item, around, str(index)) for index, item in enumerate(node.items)]
        return tuple(step for step in found if step is not None)

    def step(self, node: Node, around: Around, name: str) -> Step | None:
        """Read one step; `name` stands in its path where it has no id."""
        if not isinstance(node, Mapping):
            refuse(node, self.reading.inside("steps"), "a step (a map)")
        if not isinstance(node, Mapping) or self.reading.problems.full:
            return None
        written_id = node.get("id")
        own = written_id.text if isinstance(written_id, Scalar) and around.role is Role.STEP else ""
        label = f"step '{own[:60]}'" if own else f"step {name} of '{around.path}'"
        reading = self.reading.inside(label)
        form = self.form(node, reading)
        record = self.record(form, node, around.role, reading)
        if form is None or record is None:
            self.register(written_id)
            return None
        fields = record.read(node, reading)
        if isinstance(fields, Bad):
            return None
        self.register(written_id if "id" in record.keys else None)
        step_id = fields.get("id", str) or name
        path = f"{around.path}/{own or name}" if around.role is Role.STEP else f"{around.path}/{name}"
        return self.decoded(form, fields, replace(around, path=path), step_id)

    def form(self, node: Mapping, reading: Reading) -> str | None:
        """Which of `do run steps parallel` makes this step what it is."""
        found = [entry for entry in node.entries if entry.key.text in _FORM_KEYS]
        if len(found) == 1:
            return found[0].key.text
        if found:
            both = " and ".join(f"'{entry.key.text}'" for entry in found)
            hint = "a step is exactly one of do, run, steps, parallel"
            reading.problems.error("E208", found[1].key.where, f"{both} exclude each other{reading.of}", hint)
        elif (include := node.get("include")) is not None:
            hint = tables.ACTION.later["include"]
            reading.problems.error("E205", include.where, f"'include'{reading.of} is not in this version", hint)
        else:
            keys = [entry.key.text for entry in node.entries if entry.key.text not in tables.ACTION.keys]
            near = did_you_mean(keys[0], _FORM_KEYS) if keys else ""
            hint = near if near.startswith("did") else "write do: KIND, run: SCRIPT, steps: [..] or parallel: [..]"
            place = next((one.key.where for one in node.entries if one.key.text in keys), node.where)
            reading.problems.error("E208", place, f"nothing says what to do{reading.of}", hint)
        return None

    def record(self, form: str | None, node: Mapping, role: Role, reading: Reading) -> Record | None:
        """The table this step is read with."""
        if form is None:
            return None
        if role is not Role.STEP:
            name = "shell" if form == "run" else self.kind_name(node, role, reading)
            if name is None or name not in tables.FORMS:
                return _INNER[role] if name is not None else None
            return tables.inner_form(name, _INNER[role])
        if form == "steps":
            return tables.BLOCK
        if form == "parallel":
            return tables.PARALLEL
        name = "shell" if form == "run" else self.kind_name(node, role, reading)
        return None if name is None else tables.FORMS.get(name) or _with_hints(self.kinds[name])

    def kind_name(self, node: Mapping, role: Role, reading: Reading) -> str | None:
        """The word in `do`, when there is such a kind and it may stand here."""
        written = node.get("do")
        if written is None:  # a block inside `verify` and the like; its table refuses it
            return "steps"
        if not isinstance(written, Scalar) or not written.text:
            refuse(written, reading, "a step kind")
            return None
        name = written.text
        if name in _LATER_KINDS:
            reading.problems.error(
                "E205", written.where, f"'{name}'{reading.of} is not in this version", _LATER_KINDS[name]
            )
            return None
        if name not in self.kinds and name not in tables.FORMS:
            hint = did_you_mean(name, {*self.kinds, *tables.FORMS})
            reading.problems.error("E213", written.where, f"there is no step kind '{name[:60]}'{reading.of}", hint)
            return None
        if name in tables.FORMS and role is not Role.STEP and name not in _VALUE_KINDS_INSIDE[role]:
            hint = "it needs the run itself; make it a step of its own"
            reading.problems.error("E209", written.where, f"'{name}' cannot stand{reading.of}", hint)
            return None
        return name

    def register(self, node: Node | None) -> None:
        """Note an id; the same twice is refused."""
        if not isinstance(node, Scalar) or not node.text:
            return
        first = self.ids.setdefault(node.text, node.where)
        if first != node.where:
            hint = f"first at line {first.line}, column {first.column}"
            self.reading.problems.error("E207", node.where, f"the step id '{node.text[:60]}' stands twice", hint)

    # ------------------------------------------------------------------------------------------------------- forms

    def decoded(self, form: str, fields: Fields, around: Around, step_id: str) -> Step | None:
        """The step of a form."""
        if form in {"steps", "parallel"}:
            return self.block(form, fields, around, step_id)
        name = fields.get("do", str) or "shell"
        if name == "fence.host":
            return self.fence(fields, around, step_id)
        if name in tables.FORMS:
            body = language_body(name, fields, self.inventory)
            effect = Effect.IDEMPOTENT if name == "restore" else Effect.READ
            if isinstance(body, RestoreNow):
                given = with_fields(fields, tables.RESTORE)
                if given is not None:
                    self.note_named(given, around.path, "steps")
            here = replace(around, on=None, as_user=None)
            return None if body is None else self.assembled(fields, here, step_id, body, effect)
        return self.action(fields, around, step_id, self.kinds[name])

    def block(self, form: str, fields: Fields, around: Around, step_id: str) -> Step | None:
        """A block, serial or parallel."""
        inside = inherited(fields, around, self.inventory)
        steps = self.steps(fields.nodes[form], inside, fields.reading)
        if form == "parallel":
            rules.check_branches(fields, steps, self.inventory)
        body = Block(steps=steps, parallel=form == "parallel", at_once=fields.get("at_once", int))
        return self.assembled(fields, inside, step_id, body, Effect.READ) if steps else None

    def fence(self, fields: Fields, around: Around, step_id: str) -> Step | None:
        """The form `fence.host`: methods on the host itself; proof from the control node, for the host may be dead."""
        given = with_fields(fields, tables.FENCE)
        on, user = placed(fields, around, Place.HOST, self.inventory)
        if given is None:
            return None
        here = replace(around, on=on, as_user=user)
        methods = self.inner(given.nodes.get("methods"), replace(here, role=Role.METHOD), "methods")
        outside = Around(path=around.path, role=Role.LOOK)
        proof: list[Step | AnyOf] = []
        for index, node in enumerate(given.nodes_of("proof")):
            if isinstance(node, Mapping) and node.get("any") is not None:
                either = tables.ANY_OF.read(node, fields.reading)
                if not isinstance(either, Bad):
                    looks = self.inner(either.nodes["any"], outside, f"proof/{index}")
                    proof.append(AnyOf(looks=looks))
            else:
                look = self.step(node, outside, f"proof/{index}")
                proof += [look] if look is not None else []
        if "proof" in given and not proof:
            given.error(
                "E203", "proof", "at least one look is needed", "only the proof decides whether a host is fenced"
            )
        if not methods or not proof:
            return None
        body = Fence(methods=methods, proof=tuple(proof))
        return self.assembled(fields, here, step_id, body, Effect.IDEMPOTENT)

    def action(self, fields: Fields, around: Around, step_id: str, kind: type[Kind]) -> Step | None:
        """A step of a kind with fields."""
        on, user = placed(fields, around, kind.PLACE, self.inventory)
        effect = rules.effect_of(fields, kind, around.role)
        body = action(fields, kind, self.inventory)
        if body is None:
            return None
        here = replace(around, on=on, as_user=user)
        step = self.assembled(fields, here, step_id, body, effect)
        if fields.get("effect", str) is not None or kind.EFFECT is not None or around.role is not Role.STEP:
            rules.check_keys(fields, effect, on)
            rules.check_judged(fields, kind, effect)
            rules.check_proof(fields, kind, effect, around.role, step.ways)
        inside = replace(here, role=Role.LOOK)
        return replace(
            step,
            unless=self.inner(fields.nodes.get("unless"), inside, "unless"),
            verify=self.inner(fields.nodes.get("verify"), inside, "verify"),
        )

    # ------------------------------------------------------------------------------------------------------- parts

    def inner(self, node: Node | None, around: Around, name: str) -> tuple[Step, ...]:
        """A step or a list of steps inside a step."""
        if node is None or isinstance(node, Broken):
            return ()
        if isinstance(node, Sequence) and not node.items:
            empty(node, self.reading.inside(f"'{around.path}/{name}'"), "at least one step")
        nodes = node.items if isinstance(node, Sequence) else (node,)
        found = [self.step(item, around, f"{name}/{index}") for index, item in enumerate(nodes)]
        return tuple(step for step in found if step is not None)

    def way(self, fields: Fields, key: str, around: Around) -> Way | None:
        """An `undo` or a `restore`."""
        node = fields.nodes.get(key)
        if node is None or isinstance(node, Broken) or key not in fields.values:
            return None
        if isinstance(node, Scalar):
            if node.text == "auto":
                return Way(kind=WayKind.AUTO)
            if node.text == "none" or node.core_type is CoreType.NULL:
                fields.error("E203", key, f"'{key}' needs a reason", f"write {key}: {{none: WHY}}")
                return None
            refuse(node, fields.reading, "a step, a list of steps, auto, or {none: WHY}")
            return None
        if isinstance(node, Mapping) and node.get("none") is not None:
            none = tables.WAY_NONE.read(node, fields.reading.inside(f"{key} of {fields.reading.within}"))
            why = "" if isinstance(none, Bad) else none.get("none", str)
            return Way(kind=WayKind.NONE, why=why or "")
        return Way(kind=WayKind.STEPS, steps=self.inner(node, replace(around, role=Role.WAY), key))

    def assembled(self, fields: Fields, here: Around, step_id: str, body: Body, effect: Effect) -> Step:
        """The step with everything its table had; `here` is where it runs."""
        self.note_named(fields, here.path, "recheck")
        observe = fields.get("observe", bool) or False
        tolerated = frozenset(Outcome(word) for word in fields.many("tolerate", str))
        return Step(
            id=step_id,
            path=here.path,
            where=fields.node.where,
            body=body,
            on=here.on,
            as_user=here.as_user,
            title=fields.get("title", Text),
            hint=fields.get("hint", Text),
            takes=fields.get("takes", Duration),
            when=fields.get("when", Formula),
            effect=effect,
            judgement=Judgement(
                capture={
                    name: one.value for name, one in fields.named("capture").items() if isinstance(one.value, Formula)
                },
                expect=fields.many("expect", Formula),
                tolerate=tolerated | _OBSERVED if observe else tolerated,
                observe=observe,
            ),
            until=self.repeat(fields, "until"),
            retry=self.repeat(fields, "retry"),
            timeout=fields.get("timeout", Duration),
            guards=self.guards(fields),
            ways=Ways(
                undo=self.way(fields, "undo", here),
                restore=self.way(fields, "restore", here),
                no_return=fields.get("point_of_no_return", bool) or False,
            ),
            on_failure=fields.member("on_failure", OnFailure, here.on_failure),
            marks=_marks(fields),
            uninterruptible=fields.get("uninterruptible", bool) or False,
            sensitive=fields.get("sensitive", bool) or False,
            touches_nothing="touches" in fields.values,
        )

    def note_named(self, fields: Fields, path: str, key: str) -> None:
        """Note where steps are named."""
        for node in fields.nodes_of(key):
            if isinstance(node, Scalar):
                self.named[path, "restore" if key == "steps" else key, node.text] = node.where

    def guards(self, fields: Fields) -> Guards:
        """Caution, approval and recheck."""
        approve = None
        asked = fields.get("approve", Fields)
        if asked is not None:
            by, quorum = asked.many("by", str), asked.get("quorum", int) or 1
            check_roles(by, asked, "by", self.inventory, quorum)
            within, show = asked.get("within", Duration), asked.many("show", Formula)
            approve = Approve(by=by, quorum=quorum, within=within, show=show)
        return Guards(caution=fields.get("caution", Text), approve=approve, recheck=fields.many("recheck", str))

    @staticmethod
    def repeat(fields: Fields, key: str) -> Repeat | None:
        """An `until` or a `retry`."""
        given = fields.get(key, Fields)
        if given is None:
            return None
        if "within" not in given and "times" not in given:
            fields.error("E210", key, f"'{key}' needs 'within' or 'times'", "nothing may wait for ever")
        times, row = given.get("times", int), given.get("in_a_row", int) or 1
        if times is not None and row > times:
            given.error("E204", "in_a_row", f"{row} in a row cannot come of {times} looks")
        backoff = given.values.get("backoff", 1)
        return Repeat(
            every=given.get("every", Duration) or _EVERY,
            within=given.get("within", Duration),
            times=times,
            in_a_row=row,
            backoff=backoff,  # type: ignore[arg-type] # Number gives int or Decimal
        )


@cache
def _with_hints(kind: type[Kind]) -> Record:
    """The table of an action; a field of the kind that stands beside `with` is told where it belongs."""
    table = tables.ACTION
    fields = dict.fromkeys(fields_of(kind), f"it is a field of {kind.NAME}: put it under `with`")
    return Record(table.keys, later=table.later, elsewhere={**fields, **table.elsewhere})


def _marks(fields: Fields) -> tuple[Mark, ...]:
    named = fields.named("marks")
    if named:
        return tuple(Mark(name=name, value=one.value) for name, one in named.items() if isinstance(one.value, Formula))
    return tuple(Mark(name=name) for name in fields.many("marks", str))
