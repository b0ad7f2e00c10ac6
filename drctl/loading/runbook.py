"""A runbook: the text of a file to a value of the model, or every reason why not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drctl.core.model import FieldValue, Formula, Objectives, Phase, Runbook, Text
from drctl.core.values import Duration
from drctl.loading import tables
from drctl.loading.codes import Problems
from drctl.loading.document import Loaded, read_document
from drctl.loading.inputs import read_inputs
from drctl.loading.literals import Anything
from drctl.loading.nodes import Mapping, Node, Scalar, Sequence
from drctl.loading.places import Around, inherited
from drctl.loading.records import Fields, MapOf
from drctl.loading.references import check_references
from drctl.loading.shapes import Bad, Reading, Texts, empty, refuse
from drctl.loading.steps import StepReader

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
    root, text = read_document(path, read, problems)
    value = None
    if root is not None:
        reader = _RunbookReader(Reading(problems, Texts()), kinds, inventory)
        value = reader.read(root, {path: text})
    return Loaded(value=None if problems.failed else value, diagnostics=problems.sorted())


class _RunbookReader:
    def __init__(self, reading: Reading, kinds: Map[str, type[Kind]], inventory: Inventory | None) -> None:
        self.reading = reading
        self.inventory = inventory
        self.steps = StepReader(reading=reading, kinds=kinds, inventory=inventory)
        self.phase_ids: dict[str, Where] = {}

    def read(self, root: Node, source: Map[str, str]) -> Runbook | None:
        fields = tables.RUNBOOK.read(root, self.reading.inside("the runbook"))
        if isinstance(fields, Bad):
            return None
        inputs = read_inputs(fields.named("inputs"), self.inventory)
        constants = self.constants(fields)
        phases = self.phases(fields)
        goals = fields.get("objectives", Fields)
        objectives = (
            Objectives()
            if goals is None
            else Objectives(rto=goals.get("rto", Duration), rpo=goals.get("rpo", Duration))
        )
        runbook = Runbook(
            name=fields.get("runbook", str) or "",
            where=fields.node.where,
            title=fields.get("title", Text),
            description=fields.get("description", Text),
            objectives=objectives,
            inputs=inputs,
            vars=constants,
            locks=fields.many("locks", str),
            phases=phases,
            source=source,
        )
        check_references(runbook, self.steps)
        return runbook

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
        around = inherited(fields, Around(path=name), self.inventory)
        steps = self.steps.steps(fields.nodes["steps"], around, fields.reading) if "steps" in fields else ()
        return Phase(
            id=name,
            where=fields.node.where,
            title=fields.get("title", Text),
            when=fields.get("when", Formula),
            steps=steps,
        )
