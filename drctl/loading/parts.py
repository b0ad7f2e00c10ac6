"""Parts of a step that stand on several of its forms: loop, waiting, ways back, guards, marks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from drctl.core.model import Approve, FieldValue, Guards, Loop, Mark, Repeat, Rung, Way, WayKind
from drctl.core.nouns import replace
from drctl.core.values import Duration
from drctl.core.written import Formula, Text
from drctl.loading import tables
from drctl.loading.bodies import check_roles
from drctl.loading.literals import Anything
from drctl.loading.nodes import Broken, CoreType, Mapping, Scalar, Sequence
from drctl.loading.places import Role
from drctl.loading.records import Fields
from drctl.loading.shapes import Bad, Name, empty, refuse
from drctl.loading.texts import FormulaText

if TYPE_CHECKING:
    from drctl.core.inventory import Inventory
    from drctl.loading.nodes import Node
    from drctl.loading.places import Around
    from drctl.loading.steps import StepReader

_EVERY: Final = Duration(5_000_000)
_LOOP_NAME: Final = Name("a loop name")


def read_loop(fields: Fields, around: Around, *, parallel: bool = False) -> Loop | None:
    """Read `foreach` and what stands beside it."""
    if "foreach" not in fields:
        for key in ("first_ok", "max_failures", *(() if parallel else ("at_once",))):
            if key in fields:
                beside = "foreach or parallel" if key == "at_once" else "foreach"
                fields.error("E210", key, f"'{key}' needs 'foreach'", f"it stands beside {beside}")
        return None
    first_ok = fields.get("first_ok", bool) or False
    if first_ok:
        for key in ("at_once", "max_failures"):
            if key in fields:
                hint = "first_ok tries one member after the other, and a member that fails is rejected"
                fields.error("E210", key, f"'{key}' and 'first_ok' exclude each other", hint)
    lists = _lists(fields, around)
    if not lists:
        return None
    return Loop(
        lists=lists,
        at_once=fields.get("at_once", int) or 1,
        first_ok=first_ok,
        max_failures=fields.get("max_failures", int) or 0,
    )


def _lists(fields: Fields, around: Around) -> dict[str, Formula | tuple[FieldValue, ...]]:
    node, reading = fields.nodes["foreach"], fields.reading
    if not isinstance(node, Mapping) or not node.entries:
        if isinstance(node, Mapping):
            empty(node, reading, "at least one name with its list")
        else:
            refuse(node, reading, "a map of names and lists", "write foreach: {name: EXPR}")
        return {}
    lists: dict[str, Formula | tuple[FieldValue, ...]] = {}
    for entry in node.entries:
        name = _LOOP_NAME.read(entry.key, reading)
        if isinstance(name, Bad):
            continue
        if name in around.bound:
            summary = f"'{name}' is a loop name around here already"
            reading.problems.error("E306", entry.key.where, summary + reading.of, "choose another name")
        members = _members(entry.value, fields)
        if not isinstance(members, Bad):
            lists[name] = members
    return lists


def _members(node: Node, fields: Fields) -> Formula | tuple[FieldValue, ...] | Bad:
    reading = fields.reading
    if isinstance(node, Sequence):
        if not node.items:
            return empty(node, reading, "at least one member")
        found = [Anything().read(item, reading) for item in node.items]
        return tuple(one for one in found if not isinstance(one, Bad))
    if isinstance(node, Mapping):
        return refuse(node, reading, "a list, or an expression that gives one")
    return FormulaText().read(node, reading)


def read_repeat(reader: StepReader, fields: Fields, key: str, around: Around) -> Repeat | None:
    """Read an `until` or a `retry`; steps of its ladder have addresses below `around`."""
    given = fields.get(key, Fields)
    if given is None:
        return None
    if "within" not in given and "times" not in given:
        fields.error("E210", key, f"'{key}' needs 'within' or 'times'", "nothing may wait for ever")
    times, row = given.get("times", int), given.get("in_a_row", int) or 1
    if times is not None and row > times:
        given.error("E204", "in_a_row", f"{row} in a row cannot come of {times} looks")
    inside = replace(around, path=f"{around.path}/escalate", judged=around.judged or fields.reading.within)
    return Repeat(
        every=given.get("every", Duration) or _EVERY,
        within=given.get("within", Duration),
        times=times,
        in_a_row=row,
        backoff=given.values.get("backoff", 1),  # type: ignore[arg-type] # Number gives int or Decimal
        escalate=_rungs(reader, given, inside),
    )


def _rungs(reader: StepReader, given: Fields, around: Around) -> tuple[Rung, ...]:
    """The ladder: a rung that is never reached, or that would be taken before the one above it, is refused."""
    within = given.get("within", Duration)
    before = Duration(0)
    rungs = []
    for index, rung in enumerate(given.many("escalate", Fields)):
        after = rung.get("after", Duration) or before
        inside = replace(around, path=f"{around.path}/{index}")
        steps = reader.steps(rung.nodes["steps"], inside, given.reading) if "steps" in rung else ()
        if within is not None and after >= within:
            summary = f"a rung after {after.exact()} is never reached"
            rung.error("E204", "after", summary, f"the wait ends after {within.exact()}")
        elif after < before:
            summary = f"a rung after {after.exact()} stands below one after {before.exact()}"
            rung.error("E204", "after", summary, "write the rungs in the order in which they are taken")
        before = max(before, after)
        rungs.append(Rung(after=after, steps=steps))
    return tuple(rungs)


def read_way(reader: StepReader, fields: Fields, key: str, around: Around) -> Way | None:
    """Read an `undo` or a `restore`."""
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
    return Way(kind=WayKind.STEPS, steps=reader.inner(node, replace(around, role=Role.WAY), key))


def read_guards(fields: Fields, inventory: Inventory | None) -> Guards:
    """Read caution, approval and recheck."""
    approve = None
    asked = fields.get("approve", Fields)
    if asked is not None:
        by, quorum = asked.many("by", str), asked.get("quorum", int) or 1
        check_roles(by, asked, "by", inventory, quorum)
        within, show = asked.get("within", Duration), asked.many("show", Formula)
        approve = Approve(by=by, quorum=quorum, within=within, show=show)
    return Guards(caution=fields.get("caution", Text), approve=approve, recheck=fields.many("recheck", str))


def read_marks(fields: Fields) -> tuple[Mark, ...]:
    """Read `marks`."""
    named = fields.named("marks")
    if named:
        return tuple(Mark(name=name, value=one.value) for name, one in named.items() if isinstance(one.value, Formula))
    return tuple(Mark(name=name) for name in fields.many("marks", str))
