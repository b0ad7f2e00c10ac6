"""What a step does: the fields of a kind, and the kinds that belong to the language itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drctl.core.model import Action, Ask, Body, Check, Decide, FieldValue, Manual, RestoreNow, Rule, SetNames, Wait
from drctl.core.scripts import Script
from drctl.core.templates import Template
from drctl.core.values import Duration, Time, Value
from drctl.core.written import Formula, Text
from drctl.loading.inputs import read_inputs
from drctl.loading.literal_kinds import check_entries, check_given, check_literals
from drctl.loading.literals import constant, kind_record
from drctl.loading.nodes import Mapping, Node
from drctl.loading.records import Fields, Record
from drctl.loading.shapes import Bad, Shape
from drctl.loading.suggest import did_you_mean
from drctl.loading.tables import DECIDE, MANUAL, RESTORE, SET, WAIT

if TYPE_CHECKING:
    from drctl.core.input_specs import InputSpec
    from drctl.core.inventory import Inventory
    from drctl.core.kind import Kind


def with_fields(fields: Fields, record: Record) -> Fields | None:
    """Read `with` by a table; a missing `with` is an empty one."""
    node = with_node(fields)
    reading = fields.reading.inside(f"with of {fields.reading.within}")
    found = record.read(node, reading)
    return None if isinstance(found, Bad) else found


def with_node(fields: Fields) -> Node:
    """The node of `with`."""
    return fields.nodes.get("with", Mapping(entries=(), where=fields.node.where))


def action(fields: Fields, kind: type[Kind], inventory: Inventory | None) -> Action | None:
    """The fields of a kind; `run: SCRIPT` is short for `do: shell` with that field."""
    given = with_fields(fields, _without_run(kind, fields))
    if given is None:
        return None
    values: dict[str, FieldValue] = dict(given.values)  # type: ignore[arg-type] # every shape of a field gives one
    where = {name: key.where for name, key in given.keys.items()}
    script = fields.get("run", Script)
    if "run" in fields:
        where["run"] = fields.nodes["run"].where
        if script is not None:
            values["run"] = script
    found = Action(kind=kind.NAME, fields=values, field_where=where)
    if not check_given(kind, found, fields.node.where, fields.reading):
        return None
    if values.keys() == where.keys():  # a field that was refused is not judged once more
        check_literals(kind, found, fields.node.where, fields.reading)
    check_entries(kind, found, fields.node.where, inventory, fields.reading)
    return found


def _without_run(kind: type[Kind], fields: Fields) -> Record:
    record = kind_record(kind)
    if "run" not in fields:
        return record
    keys = {name: key for name, key in record.keys.items() if name != "run"}
    return Record(keys, elsewhere={"run": "the script stands in `run` of the step already"})


def language_body(name: str, fields: Fields, inventory: Inventory | None) -> Body | None:
    """The body of a kind that belongs to the language; None when it was refused."""
    match name:
        case "check":
            return Check()
        case "set":
            return _set(fields)
        case "decide":
            return _decide(fields)
        case "manual":
            return _manual(fields, inventory)
        case "wait":
            return _wait(fields)
        case _:
            given = with_fields(fields, RESTORE)
            return None if given is None else RestoreNow(steps=given.many("steps", str))


def _set(fields: Fields) -> SetNames | None:
    reading = fields.reading.inside(f"with of {fields.reading.within}")
    shape: Shape = SET
    found = shape.read(with_node(fields), reading)
    if not isinstance(found, dict):
        return None
    return SetNames(values={name: one.value for name, one in found.items()})


def _value(fields: Fields, key: str) -> Value:
    if key not in fields:
        return None
    value = constant(fields.nodes[key], fields.reading)
    return None if isinstance(value, Bad) else value


def _decide(fields: Fields) -> Decide | None:
    given = with_fields(fields, DECIDE)
    if given is None:
        return None
    rules = []
    for rule in given.many("rules", Fields):
        then, condition = _value(rule, "then"), rule.get("if", Formula)
        if condition is not None:
            rules.append(Rule(condition=condition, then=then))
    return Decide(
        rules=tuple(rules),
        otherwise=_value(given, "otherwise"),
        has_otherwise="otherwise" in given,
        ask=given.member("ask", Ask, Ask.UNCLEAR),
    )


def _manual(fields: Fields, inventory: Inventory | None) -> Manual | None:
    given = with_fields(fields, MANUAL)
    if given is None:
        return None
    ask: tuple[InputSpec, ...] = read_inputs(given.named("ask"), inventory, answers=True)
    by = given.many("by", str)
    check_roles(by, given, "by", inventory)
    say = given.get("say", Text)
    if say is None:
        return None
    return Manual(
        say=say,
        ask=ask,
        by=by,
        within=given.get("within", Duration),
        evidence_required=given.get("evidence", str) == "required",
    )


def check_roles(roles: tuple[str, ...], fields: Fields, key: str, inventory: Inventory | None, quorum: int = 1) -> None:
    """Look for roles of people in the inventory, and count who holds them."""
    if inventory is None:
        return
    unknown = [role for role in roles if role not in inventory.roles]
    for role in unknown:
        summary = f"the inventory '{inventory.name}' has no role of people '{role}'"
        fields.error("E308", key, summary, did_you_mean(role, inventory.roles))
    people = {person for role in roles for person in inventory.roles.get(role, ())}
    if roles and not unknown and len(people) < quorum:
        summary = f"{quorum} must approve, and {len(people)} people hold {', '.join(roles)}"
        fields.error("E308", key, summary, "lower the quorum, or give the role to more people in the inventory")


def _wait(fields: Fields) -> Wait | None:
    given = with_fields(fields, WAIT)
    if given is None:
        return None
    if ("for" in given) == ("until" in given):
        given.error("E210", "until", "exactly one of 'for' and 'until' is needed", "for: 30s, or until: TIME")
    length, until = given.get("for", Template), given.get("until", Template)
    for key, template, kind in (("for", length, Duration), ("until", until, Time)):
        if template is not None and template.is_plain:
            try:
                kind.parse(template.text)
            except ValueError as error:
                given.reading.problems.error("E204", given.nodes[key].where, str(error).rstrip("."))
    return Wait(length=length, until=until)
