"""Steps: from nodes to the values of the model, each with its path, its place and its effect.

A step is read with the table of its form (action, block, parallel, a kind of the language) and of its role (a step, a
look inside `verify`, a way back, a method of a fence). A step that was refused is left out; its id stays known, so that
references to it are not reported as well.
"""

from __future__ import annotations

from dataclasses import field
from functools import cache
from typing import TYPE_CHECKING, Final

from drctl.core.kind import Place
from drctl.core.model import AnyOf, Block, Body, Fence, Include, Judgement, RestoreNow, Step, Ways
from drctl.core.nouns import dataclass, replace
from drctl.core.outcomes import Effect, OnFailure, Outcome
from drctl.core.places import PlaceKind
from drctl.core.values import Duration
from drctl.core.written import Formula, Text
from drctl.loading import rules, tables
from drctl.loading.bodies import action, language_body, with_fields
from drctl.loading.includes import given_inputs
from drctl.loading.literals import fields_of
from drctl.loading.nodes import Broken, Mapping, Node, Scalar, Sequence
from drctl.loading.parts import read_guards, read_loop, read_marks, read_repeat, read_way
from drctl.loading.places import Around, Role, inherited, placed
from drctl.loading.records import Fields, Record
from drctl.loading.shapes import Bad, Reading, empty, refuse
from drctl.loading.suggest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Mapping as Map

    from drctl.core.diagnostics import Where
    from drctl.core.inventory import Inventory
    from drctl.core.kind import Kind
    from drctl.loading.includes import Included
    from drctl.loading.results import Shown

_FORM_KEYS: Final = ("do", "run", "steps", "parallel", "include")
_INNER: Final = {Role.LOOK: tables.LOOK, Role.WAY: tables.WAY_STEP, Role.METHOD: tables.METHOD}
_VALUE_KINDS_INSIDE: Final = {
    Role.LOOK: tables.LOOK_KINDS,
    Role.WAY: tables.WAY_KINDS,
    Role.METHOD: frozenset[str](),
}
_OF_FORM: Final = {"steps": tables.BLOCK, "parallel": tables.PARALLEL, "include": tables.INCLUDE}
_OBSERVED: Final = frozenset({Outcome.FAILED, Outcome.UNREACHABLE, Outcome.TIMEOUT})


@dataclass(slots=True, kw_only=True)
class StepReader:
    """Reads the steps of one document.

    Attributes:
        ids: every id written, readable step or not, with its place.
        named: where `recheck` and `restore` name a step: by path, key and name.
        include: reads the file of an `include`.
        outputs: the outputs of included files with their types, by the address of the step.
    """

    reading: Reading
    kinds: Map[str, type[Kind]]
    inventory: Inventory | None
    include: Callable[[Fields, Around], Included | None]
    outputs: dict[str, Shown] = field(default_factory=dict)
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
        """Which of `do run steps parallel include` makes this step what it is."""
        found = [entry for entry in node.entries if entry.key.text in _FORM_KEYS]
        if len(found) == 1:
            return found[0].key.text
        if found:
            both = " and ".join(f"'{entry.key.text}'" for entry in found)
            hint = "a step is exactly one of do, run, steps, parallel, include"
            reading.problems.error("E208", found[1].key.where, f"{both} exclude each other{reading.of}", hint)
        else:
            keys = [entry.key.text for entry in node.entries if entry.key.text not in tables.ACTION.keys]
            near = did_you_mean(keys[0], _FORM_KEYS) if keys else ""
            hint = (
                near
                if near.startswith("did")
                else "write do: KIND, run: SCRIPT, steps: [..], parallel: [..] or include: FILE"
            )
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
        if form in _OF_FORM:
            return _OF_FORM[form]
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
        if name not in tables.FORMS and name not in self.kinds:
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
        if form == "include":
            return self.included(fields, around, step_id)
        name = fields.get("do", str) or "shell"
        if name in {"fence.host", "fence.lift"}:
            return self.fence(name, fields, around, step_id)
        if name in tables.FORMS:
            body = language_body(name, fields, self.inventory)
            effect = Effect.IDEMPOTENT if name == "restore" else Effect.READ
            if isinstance(body, RestoreNow):
                given = with_fields(fields, tables.RESTORE)
                if given is not None:
                    self.note_named(given, around.path, "steps")
            here = replace(around, on=None, as_user=None)
            return None if body is None else self.assembled(fields, here, step_id, body, effect, around)
        return self.action(fields, around, step_id, self.kinds[name])

    def block(self, form: str, fields: Fields, around: Around, step_id: str) -> Step | None:
        """A block, serial or parallel. One with a selection of its own carries those hosts through its steps."""
        inside = inherited(fields, around, self.inventory)
        own = inside.on is not around.on and inside.on is not None
        selected = inside.on is not None and inside.on.kind is PlaceKind.SELECTION
        inside = replace(inside, carried=inside.carried or (own and selected), bound=_bound(fields, around))
        steps = self.steps(fields.nodes[form], inside, fields.reading)
        if form == "parallel":
            rules.check_branches(fields, steps, self.inventory)
        parallel = form == "parallel"
        at_once = fields.get("at_once", int) if parallel and "foreach" not in fields else None
        body = Block(steps=steps, parallel=parallel, at_once=at_once, rolling=own and selected)
        if not steps:
            return None
        here = replace(inside, on=None) if selected and not own else inside
        outside = replace(inside, bound=around.bound)
        step = self.assembled(fields, here, step_id, body, Effect.READ, outside)
        rules.check_whole(fields, step)
        return step

    def included(self, fields: Fields, around: Around, step_id: str) -> Step | None:
        """Another runbook at this place."""
        on_failure = fields.member("on_failure", OnFailure, around.on_failure)
        found = self.include(fields, replace(around, on_failure=on_failure))
        if found is None:
            return None
        self.outputs[around.path] = found.outputs
        inputs = given_inputs(fields, found.runbook, self.inventory)
        body = Include(file=fields.get("include", str) or "", runbook=found.runbook, inputs=inputs)
        here = replace(around, on=None, as_user=None)
        step = self.assembled(fields, here, step_id, body, Effect.READ, around)
        rules.check_whole(fields, step)
        return step

    def fence(self, name: str, fields: Fields, around: Around, step_id: str) -> Step | None:
        """The forms `fence.host` and `fence.lift`: methods on the host itself; proof from the control node."""
        given = with_fields(fields, tables.FENCE if name == "fence.host" else tables.LIFT)
        on, user = placed(fields, around, Place.HOST, self.inventory)
        if on is not None and on.many:
            hint = 'fence hosts one by one: foreach: {h: EXPR} with on: "${{ h }}"'
            fields.error("E214", "on", f"{name} works on one host, not on a selection", hint)
        if given is None:
            return None
        here = replace(around, on=on, as_user=user)
        methods = self.inner(given.nodes.get("methods"), replace(here, role=Role.METHOD), "methods")
        proof = self.proof(given, Around(path=around.path, home=around.home, role=Role.LOOK))
        if "proof" in given and not proof:
            given.error("E203", "proof", "at least one look is needed", "only the proof decides")
        lift = name == "fence.lift"
        if not proof or not (methods or (lift and "methods" not in given)):
            return None
        body = Fence(methods=methods, proof=proof, lift=lift)
        return self.assembled(fields, here, step_id, body, Effect.IDEMPOTENT, around)

    def proof(self, given: Fields, outside: Around) -> tuple[Step | AnyOf, ...]:
        """The proof of a fence; looks from outside, for the host may be dead."""
        proof: list[Step | AnyOf] = []
        for index, node in enumerate(given.nodes_of("proof")):
            if isinstance(node, Mapping) and node.get("any") is not None:
                either = tables.ANY_OF.read(node, given.reading)
                if not isinstance(either, Bad):
                    proof.append(AnyOf(looks=self.inner(either.nodes["any"], outside, f"proof/{index}")))
            else:
                look = self.step(node, outside, f"proof/{index}")
                proof += [look] if look is not None else []
        return tuple(proof)

    def action(self, fields: Fields, around: Around, step_id: str, kind: type[Kind]) -> Step | None:
        """A step of a kind with fields."""
        on, user = placed(fields, around, kind.PLACE, self.inventory)
        effect = rules.effect_of(fields, kind, around.role)
        if around.role is not Role.STEP and "on" in fields and on is not None and on.many:
            hint = "name one host here; a step of its own is carried out on each"
            fields.error("E209", "on", "several hosts cannot stand", hint)
        body = action(fields, kind, self.inventory)
        if body is None:
            return None
        here = replace(around, on=on, as_user=user)
        step = self.assembled(fields, here, step_id, body, effect, around)
        together = on is not None and on.selection is not None and on.selection.all_or_none
        if together and around.role is Role.STEP and not around.carried:
            rules.check_all_or_none(fields, kind, step)
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

    def assembled(self, fields: Fields, here: Around, step_id: str, body: Body, effect: Effect, around: Around) -> Step:
        """The step with everything its table had; `here` is where it runs, `around` what its ladder inherits."""
        self.note_named(fields, here.path, "recheck")
        observe = fields.get("observe", bool) or False
        tolerated = frozenset(Outcome(word) for word in fields.many("tolerate", str))
        parallel = isinstance(body, Block) and body.parallel
        loop = read_loop(fields, around, parallel=parallel) if here.role is Role.STEP else None
        step = Step(
            id=step_id,
            path=here.path,
            home=here.home,
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
            loop=loop,
            until=read_repeat(self, fields, "until", replace(around, bound=_bound(fields, around))),
            retry=read_repeat(self, fields, "retry", replace(around, bound=_bound(fields, around))),
            timeout=fields.get("timeout", Duration),
            guards=read_guards(fields, self.inventory),
            ways=Ways(
                undo=read_way(self, fields, "undo", here),
                restore=read_way(self, fields, "restore", here),
                no_return=fields.get("point_of_no_return", bool) or False,
            ),
            on_failure=fields.member("on_failure", OnFailure, here.on_failure),
            marks=read_marks(fields),
            uninterruptible=fields.get("uninterruptible", bool) or False,
            sensitive=fields.get("sensitive", bool) or False,
            touches_nothing="touches" in fields.values,
        )
        rules.check_first_ok(fields, step)
        return step

    def note_named(self, fields: Fields, path: str, key: str) -> None:
        """Note where steps are named."""
        for node in fields.nodes_of(key):
            if isinstance(node, Scalar):
                self.named[path, "restore" if key == "steps" else key, node.text] = node.where


def _bound(fields: Fields, around: Around) -> frozenset[str]:
    """The loop names inside a step: those around it, and its own."""
    node = fields.nodes.get("foreach")
    if not isinstance(node, Mapping):
        return around.bound
    return around.bound | {entry.key.text for entry in node.entries}


@cache
def _with_hints(kind: type[Kind]) -> Record:
    """The table of an action; a field of the kind that stands beside `with` is told where it belongs."""
    table = tables.ACTION
    fields = dict.fromkeys(fields_of(kind), f"it is a field of {kind.NAME}: put it under `with`")
    return Record(table.keys, elsewhere={**fields, **table.elsewhere})
