"""A runbook: the text of a file to a value of the model, or every reason why not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drctl.core.model import Drill, FieldValue, Objectives, Phase, Runbook
from drctl.core.nouns import dataclass, replace
from drctl.core.values import Duration
from drctl.core.written import Formula, Text
from drctl.loading import tables
from drctl.loading.codes import Problems
from drctl.loading.document import Loaded
from drctl.loading.includes import Files, Included
from drctl.loading.inputs import read_inputs
from drctl.loading.lint_flow import warn_of_flow
from drctl.loading.lint_scenario import warn_of_scenario
from drctl.loading.literals import Anything
from drctl.loading.nodes import Mapping, Node, Scalar, Sequence
from drctl.loading.parts import read_guards
from drctl.loading.places import Around, inherited
from drctl.loading.records import Fields, MapOf
from drctl.loading.references import check_references
from drctl.loading.shapes import Bad, Reading, Texts, empty, refuse
from drctl.loading.steps import StepReader
from drctl.loading.suggest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Mapping as Map

    from drctl.core.diagnostics import Where
    from drctl.core.inventory import Inventory
    from drctl.core.kind import Kind


def load_runbook(
    path: str, read: Callable[[str], bytes], kinds: Map[str, type[Kind]], inventory: Inventory | None = None
) -> Loaded[Runbook]:
    """Load a runbook.

    Args:
        path: its name, as messages show it and `read` takes it.
        read: gives the bytes of a file; raises OSError.
        kinds: the step kinds by name.
        inventory: without one, checks of hosts, groups and people's roles are not made.
    """
    problems = Problems()
    files = Files(read=read)
    root = files.root(path, problems)
    value = None
    if root is not None:
        call = _Call(chain=(path,), around=Around(path=""))
        included = _RunbookReader(Reading(problems, Texts(), beside=files.beside), kinds, inventory, files, call).read(
            root
        )
        if included is not None:
            value = replace(included.runbook, source=dict(files.texts))
    return Loaded(value=None if problems.failed else value, diagnostics=problems.sorted())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Call:
    """Where a file is read: the files around with this one last, and what it takes from the step that includes it."""

    chain: tuple[str, ...]
    around: Around

    @property
    def included(self) -> bool:
        return len(self.chain) > 1


class _RunbookReader:
    def __init__(
        self,
        reading: Reading,
        kinds: Map[str, type[Kind]],
        inventory: Inventory | None,
        files: Files,
        call: _Call,
    ) -> None:
        self.reading = reading
        self.inventory = inventory
        self.files = files
        self.call = call
        self.steps = StepReader(reading=reading, kinds=kinds, inventory=inventory, include=self.included)
        self.phase_ids: dict[str, Where] = {}
        self.locks: dict[str, None] = {}

    def included(self, fields: Fields, around: Around) -> Included | None:
        """The file that an `include` names, read with addresses below that step."""
        name = self.files.included(fields, self.call.chain)
        root = None if name is None else self.files.root(name, self.reading.problems)
        if name is None or root is None:
            return None
        inside = Around(path=around.path, home=around.path, on_failure=around.on_failure)
        call = _Call(chain=(*self.call.chain, name), around=inside)
        reading = self.reading.inside("")
        found = _RunbookReader(reading, self.steps.kinds, self.inventory, self.files, call).read(root)
        if found is not None:
            self.locks |= dict.fromkeys(found.runbook.locks)
        return found

    def read(self, root: Node) -> Included | None:
        fields = tables.RUNBOOK.read(root, self.reading.inside("the runbook"))
        if isinstance(fields, Bad):
            return None
        inputs = read_inputs(fields.named("inputs"), self.inventory)
        constants = self.constants(fields)
        phases = self.phases(fields)
        runbook = Runbook(
            name=fields.get("runbook", str) or "",
            where=fields.node.where,
            title=fields.get("title", Text),
            description=fields.get("description", Text),
            objectives=_objectives(fields),
            inputs=inputs,
            vars=constants,
            locks=tuple(dict.fromkeys([*fields.many("locks", str), *self.locks])),
            scenario=self.scenario(fields),
            drill=_drill(fields),
            outputs={
                name: one.value for name, one in fields.named("outputs").items() if isinstance(one.value, Formula)
            },
            phases=phases,
        )
        outputs = check_references(runbook, self.steps, included=self.call.included)
        if not self.call.included and not self.reading.problems.failed:  # what is not whole would be told wrong
            warn_of_flow(runbook, self.steps.kinds, self.inventory, self.reading.problems)
            warn_of_scenario(runbook, self.steps.kinds, self.inventory, self.reading.problems)
        return Included(runbook=runbook, outputs=outputs)

    def scenario(self, fields: Fields) -> tuple[str, ...]:
        """What a drill takes for lost: sites of the inventory, and the services everything hangs on."""
        given = fields.get("scenario", Fields)
        lost = () if given is None else given.many("lost", str)
        if given is not None and self.inventory is not None:
            known = {*self.inventory.sites, *tables.LOST_WORDS}
            known |= {host.site for host in self.inventory.hosts.values() if host.site}
            for name in lost:
                if name not in known:
                    summary = f"the inventory '{self.inventory.name}' has no site '{name}'"
                    given.error("E308", "lost", summary, did_you_mean(name, known))
        return lost

    def constants(self, fields: Fields) -> dict[str, FieldValue]:
        """The `vars`."""
        if "vars" not in fields:
            return {}
        shape = MapOf(Anything(), tables.VARIABLE, least=0)
        found = shape.read(fields.nodes["vars"], self.reading.inside("vars"))
        if isinstance(found, Bad):
            return {}
        return {name: one.value for name, one in found.items()}  # type: ignore[misc] # read by Anything

    def phases(self, fields: Fields) -> tuple[Phase, ...]:
        """The phases."""
        node = fields.nodes.get("phases")
        if node is None:
            return ()
        if not isinstance(node, Sequence) or not node.items:
            refuse(node, fields.reading, "a list of phases") if not isinstance(node, Sequence) else empty(
                node, fields.reading, "at least one phase"
            )
            return ()
        found = [self.phase(item, index) for index, item in enumerate(node.items)]
        return tuple(phase for phase in found if phase is not None)

    def phase(self, node: Node, index: int) -> Phase | None:
        """One phase."""
        written = node.get("id") if isinstance(node, Mapping) else None
        label = f"phase '{written.text[:60]}'" if isinstance(written, Scalar) else f"phase {index}"
        fields = tables.PHASE.read(node, self.reading.inside(label))
        if isinstance(fields, Bad):
            return None
        phase_id = fields.get("id", str)
        name = phase_id or str(index)
        if phase_id is not None:
            first = self.phase_ids.setdefault(phase_id, fields.at("id"))
            if first != fields.at("id"):
                fields.error("E207", "id", f"the phase id '{phase_id}' stands twice", f"first at line {first.line}")
        path = f"{self.call.around.path}/{name}" if self.call.included else name
        around = inherited(fields, replace(self.call.around, path=path), self.inventory)
        steps = self.steps.steps(fields.nodes["steps"], around, fields.reading) if "steps" in fields else ()
        return Phase(
            id=name,
            where=fields.node.where,
            title=fields.get("title", Text),
            when=fields.get("when", Formula),
            guards=read_guards(fields, self.inventory),
            steps=steps,
        )


def _objectives(fields: Fields) -> Objectives:
    goals = fields.get("objectives", Fields)
    return Objectives() if goals is None else Objectives(rto=goals.get("rto", Duration), rpo=goals.get("rpo", Duration))


def _drill(fields: Fields) -> Drill:
    given = fields.get("drill", Fields)
    if given is None:
        return Drill()
    return Drill(every=given.get("every", Duration), never_on=given.many("never_on", str))
