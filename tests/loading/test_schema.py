"""The JSON Schema says what the loader says: what one refuses for its shape, the other refuses too."""

import itertools
import json
import os
import random
import secrets
from collections.abc import Iterator

import pytest
from jsonschema import Draft202012Validator

from drctl.core.diagnostics import Severity
from drctl.kinds import registry
from drctl.loading import load_inventory, load_runbook, tables
from drctl.loading.records import Record
from drctl.loading.schema import inventory_schema, runbook_schema
from tests.loading.documents import INVALID, ROOT, VALID, inventory, read
from tests.loading.mutations import Data, as_yaml, mutated_tree, parse

RUNBOOKS = Draft202012Validator(runbook_schema(registry()))
INVENTORIES = Draft202012Validator(inventory_schema())
SMALL_FIRST = sorted(VALID, key=lambda path: len(read(path)))
SHAPE = frozenset({"E201", "E202", "E208", "E213"})
"""Problems that need no look at anything else in the document: the schema must see them as well."""


def errors(data: Data, *, hosts: bool = False) -> list[str]:
    text = as_yaml(data)
    if hosts:
        found = load_inventory("inventory.yaml", lambda path: read(path) if path == "known_hosts" else text).diagnostics
    else:
        found = load_runbook(
            "x.yaml", lambda path: text if path == "x.yaml" else read(f"valid/{path}"), registry(), inventory()
        ).diagnostics
    return [f"{one.code} {one.summary}" for one in found if one.severity is Severity.ERROR]


def disagreement(data: Data, *, hosts: bool = False) -> str:
    """What one side refuses and the other does not see; empty when they agree."""
    validator = INVENTORIES if hosts else RUNBOOKS
    refused = next((f"{list(one.absolute_path)}: {one.message}"[:300] for one in validator.iter_errors(data)), None)
    found = errors(data, hosts=hosts)
    if refused and not found:
        return f"the schema refuses what loads: {refused}"
    shape = [one for one in found if one[:4] in SHAPE]
    return f"the loader alone refuses: {shape[0]}" if shape and not refused else ""


def test_the_schemas_are_schemas() -> None:
    Draft202012Validator.check_schema(runbook_schema(registry()))
    Draft202012Validator.check_schema(inventory_schema())


def nameless(schema: object, path: str = "") -> Iterator[str]:
    """Properties without a sentence for an editor. What has no type is a condition on an object described elsewhere."""
    if isinstance(schema, list):
        for number, one in enumerate(schema):
            yield from nameless(one, f"{path}/{number}")
    if not isinstance(schema, dict):
        return
    for name, one in (schema.get("properties") or {}).items():
        described = isinstance(one.get("description"), str) and one["description"].strip()
        if not described and (schema.get("type") == "object" or "$ref" in one):
            yield f"{path}/{name}"
    for name, one in schema.items():
        yield from nameless(one, f"{path}/{name}")


@pytest.mark.parametrize("schema", [RUNBOOKS.schema, INVENTORIES.schema], ids=["runbook", "inventory"])
def test_every_property_has_a_description(schema: object) -> None:
    assert list(nameless(schema)) == []
    assert list(nameless({"type": "object", "properties": {"a": {"type": "string"}}})) == ["/a"]


def test_the_schemas_name_their_draft() -> None:
    for made in (runbook_schema(registry()), inventory_schema()):
        assert made["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize("name", ["runbook", "inventory"])
def test_the_schema_in_the_documentation_is_the_one_of_this_version(name: str) -> None:
    made = runbook_schema(registry()) if name == "runbook" else inventory_schema()
    kept = json.loads((ROOT.parent.parent / "docs" / "schema" / f"{name}.json").read_text())
    assert kept == json.loads(json.dumps(made)), f"drctl schema {name} > docs/schema/{name}.json"


@pytest.mark.parametrize("path", VALID)
def test_a_valid_runbook_is_valid_by_the_schema(path: str) -> None:
    assert [one.message for one in RUNBOOKS.iter_errors(parse(read(path)))] == []


def test_a_valid_inventory_is_valid_by_the_schema() -> None:
    assert [one.message for one in INVENTORIES.iter_errors(parse(read("inventory.yaml")))] == []


@pytest.mark.parametrize(
    "path", [path for path in INVALID if path.endswith(("document.yaml", "steps.yaml", "wrong.yaml"))]
)
def test_a_runbook_of_wrong_shape_is_refused_by_the_schema(path: str) -> None:
    hosts = "inventory" in path
    assert not (INVENTORIES if hosts else RUNBOOKS).is_valid(parse(read(path)))


@pytest.mark.parametrize(
    ("of", "valid"),
    [({"group": "app"}, True), ({"group": "app", "site": "a"}, False), ([], False), (["a"], True), ({}, False)],
)
def test_what_an_input_may_be_chosen_from(of: Data, valid: bool) -> None:  # noqa: FBT001 - what is expected
    data = parse(read("valid/first.yaml")) | {"inputs": {"a": {"type": "text", "of": of}}}
    assert RUNBOOKS.is_valid(data) == valid


def test_the_step_of_every_kind_is_in_the_schema() -> None:
    for name in registry():
        step = {"id": "x", "do": name, "wiht": {}}
        data = {"runbook": "x", "phases": [{"id": "a", "steps": [step]}]}
        assert not RUNBOOKS.is_valid(data)
        assert disagreement(data) == ""


@pytest.mark.parametrize("hosts", [False, True], ids=["runbooks", "inventories"])
def test_loader_and_schema_agree_on_mutated_documents(hosts: bool) -> None:  # noqa: FBT001 - a parameter of the test
    seed = int(os.environ.get("DRCTL_TEST_SEED") or secrets.randbelow(2**32))
    print(f"seed {seed}")  # noqa: T201 - shown when the test fails
    rng = random.Random(seed)
    donors = [parse(read(path)) for path in (["inventory.yaml"] if hosts else VALID)]
    refused = 0
    for _ in range(120):
        data = mutated_tree(rng.choice(donors), rng, donors)
        assert disagreement(data, hosts=hosts) == "", as_yaml(data).decode()
        refused += bool(errors(data, hosts=hosts))
    assert refused > 25, "the mutations must be able to break something"


def _tables() -> dict[str, Record]:
    """Every table of a runbook by name, those of forms and kinds of the language too: new keys come by themselves."""
    found = {name: one for name, one in vars(tables).items() if isinstance(one, Record)}
    return found | {f"form {name}": one for name, one in tables.FORMS.items()}


def _holders(data: Data, names: set[str]) -> list[Data]:
    """Every map of a document that has only keys of these, and one at least."""
    inner = data.values() if isinstance(data, dict) else data if isinstance(data, list) else ()
    own = [data] if isinstance(data, dict) and data and data.keys() <= names else []
    return [*own, *(one for value in inner for one in _holders(value, names))]


@pytest.mark.parametrize("name", sorted(_tables()))
def test_both_refuse_an_unknown_key_in_every_map_of_a_table(name: str) -> None:
    """Whatever a table reads, one key more makes it wrong for both; so do a key's values of another form."""
    keys = set(_tables()[name].keys)
    path = next((path for path in SMALL_FIRST if _holders(parse(read(path)), keys)), None)
    if path is None:
        pytest.skip("no valid document has such a map yet")
    first = _holders(parse(read(path)), keys)[0]
    for key, wrong in (("no_such_key", 1), *((key, {"no_such_key": []}) for key in first)):
        data = parse(read(path))
        _holders(data, keys)[0][key] = wrong
        assert disagreement(data) == "", (path, key, wrong)


def test_both_refuse_two_forms_in_one_step() -> None:
    for one, other in itertools.combinations(("do", "run", "steps", "parallel"), 2):
        inner = [{"id": "y", "do": "check", "expect": "true"}]
        values = {"do": "check", "run": "ls", "steps": inner, "parallel": inner}
        step = {"id": "x", one: values[one], other: values[other]}
        data = {"runbook": "x", "phases": [{"id": "a", "steps": [step]}]}
        assert errors(data)
        assert not RUNBOOKS.is_valid(data), (one, other)
