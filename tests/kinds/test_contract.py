"""What every kind owes, whoever writes it."""

import re
import subprocess
import sys

import pytest
import yaml

from drctl.core.expressions import parse
from drctl.core.kind import ActKind, CommandAct, EngineKind, Kind, LookKind, Place, Seen
from drctl.core.outcomes import Effect
from drctl.core.ports import Reach
from drctl.core.values import Secret, Unknown, to_json
from drctl.kinds import registry
from drctl.loading import load_runbook
from drctl.loading.literals import FIELD_TYPES
from tests.fakes.hosts import FakeHost
from tests.kinds.samples import FIELDS, TOKEN, sample
from tests.kinds.worlds import Facts, Web, dead, probe

ALL = sorted(registry())
OWN = [name for name in ALL if not issubclass(registry()[name], EngineKind)]
LOOKS = [name for name in OWN if issubclass(registry()[name], LookKind)]
ACTS = [name for name in OWN if issubclass(registry()[name], ActKind)]
TYPES = {"text", "int", "decimal", "bool", "duration", "size", "time", "list", "map", "any"}


def test_the_kinds_of_the_language_are_there() -> None:
    assert set(ALL) >= {
        "archive.unpack", "backup.fetch", "backup.list", "check", "decide", "dns.check", "file.put", "file.read",
        "host.status", "http.check", "ping.check", "postgres.set", "postgres.start",
        "http.request", "log.scan", "manual", "notify", "postgres.exec", "postgres.promote", "postgres.query",
        "postgres.status", "records.compare", "restore", "service", "set", "shell", "tcp.check", "traffic.switch",
        "wait",
    }  # fmt: skip


def test_every_kind_has_a_sample_for_these_tests() -> None:
    assert sorted(FIELDS) == OWN


@pytest.mark.parametrize("name", ALL)
def test_a_kind_has_one_or_two_shapes_or_is_carried_out_by_the_engine(name: str) -> None:
    kind = registry()[name]
    shapes = [issubclass(kind, shape) for shape in (LookKind, ActKind, EngineKind)]
    assert shapes in ([True, False, False], [False, True, False], [False, False, True], [True, True, False])
    if shapes == [True, True, False]:
        assert kind.EFFECT is None, "a kind of two shapes is told by its step which one it has"
    if shapes == [True, False, False]:
        assert kind.EFFECT is Effect.READ
    if shapes == [False, True, False]:
        assert kind.EFFECT is not Effect.READ


@pytest.mark.parametrize("name", ALL)
def test_fields_and_outputs_are_documented_and_typed(name: str) -> None:
    kind = registry()[name]
    assert kind.__doc__
    assert len(kind.__doc__.strip().splitlines()[0]) > 10
    names = [spec.name for spec in kind.fields()]
    assert len(set(names)) == len(names)
    for spec in kind.fields():
        assert re.fullmatch(r"[a-z][a-z0-9_]*", spec.name)
        assert spec.type in FIELD_TYPES, f"{name}.{spec.name}: {spec.type}"
        assert spec.doc.endswith(".")
        assert spec.required or spec.default is None or not spec.choices or spec.default in spec.choices
    assert set(kind.OUTPUTS.values()) <= TYPES


@pytest.mark.parametrize("name", OWN)
def test_default_criteria_are_expressions_over_own_outputs(name: str) -> None:
    kind = registry()[name]
    for criterion in kind.CRITERIA:
        parse(criterion.text)
        assert criterion.fields <= set(kind.OUTPUTS)
        assert any(re.search(rf"\b{re.escape(word)}\b", criterion.text) for word in criterion.fields)


@pytest.mark.parametrize("name", ALL)
def test_the_example_loads(name: str) -> None:
    kind = registry()[name]
    steps = yaml.safe_load(kind.EXAMPLE)
    assert isinstance(steps, list)
    used = [step.get("do", "shell" if "run" in step else None) for step in steps]
    assert name in used
    indented = "".join(f"      {line}\n" if line else "\n" for line in kind.EXAMPLE.strip("\n").splitlines())
    text = f"runbook: example\nphases:\n  - id: only\n    steps:\n{indented}"
    loaded = load_runbook("example.yaml", lambda _: text.encode(), registry())
    assert loaded.value is not None, "\n".join(map(str, loaded.diagnostics))


@pytest.mark.parametrize("name", OWN)
def test_what_is_shown_holds_no_secret(name: str) -> None:
    kind = sample(name)
    text = kind.describe(Facts())
    assert text.strip()
    assert TOKEN.reveal() not in text
    if any(isinstance(value, Secret) for value in FIELDS[name].values()) or "args" in FIELDS[name]:
        assert "***" in text
    assert TOKEN.reveal() not in repr(kind)


@pytest.mark.parametrize("name", [name for name in LOOKS if registry()[name].PLACE is not Place.NONE])
@pytest.mark.parametrize("reach", [Reach.UNREACHABLE, Reach.TIMEOUT])
def test_a_look_at_a_dead_world_says_so_and_does_not_raise(name: str, reach: Reach) -> None:
    kind = sample(name)
    assert isinstance(kind, LookKind)
    outputs = kind.look(dead(reach))
    assert set(outputs.values) == set(registry()[name].OUTPUTS)
    assert all(isinstance(value, Unknown) for value in outputs.values.values())
    assert outputs.because
    told_by_reach = outputs.reach is not Reach.COMPLETE
    assert told_by_reach or name == "http.request", "http.request refuses a POST as a look"


@pytest.mark.parametrize("name", LOOKS)
def test_outputs_are_those_declared_and_can_be_recorded(name: str) -> None:
    kind = sample(name)
    assert isinstance(kind, LookKind)
    outputs = kind.look(probe(shell=FakeHost().on(lambda _: True, "something odd\n")))
    assert set(outputs.values) == set(registry()[name].OUTPUTS)
    for value in outputs.values.values():
        if not isinstance(value, Unknown):
            to_json(value)


@pytest.mark.parametrize("name", ACTS)
def test_preview_and_verify_only_look(name: str) -> None:
    kind = sample(name)
    assert isinstance(kind, ActKind)
    host, web = FakeHost().on(lambda _: True, "something odd\n"), Web()
    looking = probe(shell=host, http=web)
    preview, verdict = kind.preview(looking), kind.verify(looking)
    assert preview.because
    assert verdict.because
    assert host.asked == []
    assert host.effects == []
    assert web.sent_requests == []
    for value in preview.prior.values():
        to_json(value)


@pytest.mark.parametrize("name", ACTS)
@pytest.mark.parametrize("reach", [Reach.UNREACHABLE, Reach.TIMEOUT])
def test_verify_cannot_tell_when_the_look_did_not_answer(name: str, reach: Reach) -> None:
    kind = sample(name)
    assert isinstance(kind, ActKind)
    assert kind.verify(dead(reach)).seen is Seen.UNKNOWN


@pytest.mark.parametrize("name", ACTS)
def test_the_digest_does_not_depend_on_a_secret_and_does_on_the_rest(name: str) -> None:
    kind = sample(name)
    assert isinstance(kind, ActKind)
    digest = kind.digest(Facts())
    assert re.fullmatch(r"[0-9a-f]{64}", digest)
    assert sample(name).digest(Facts()) == digest  # type: ignore[attr-defined] # an ActKind as well
    other = Secret("another-secret-value", name="env:TOKEN")
    changed = {
        field: other if value is TOKEN else {k: other if v is TOKEN else v for k, v in value.items()}
        if isinstance(value, dict) else value
        for field, value in FIELDS[name].items()
    }  # fmt: skip
    again = registry()[name](**changed)
    assert isinstance(again, ActKind)
    assert again.digest(Facts()) == digest


@pytest.mark.parametrize("name", ACTS)
def test_an_act_can_be_put_back_or_says_why_not(name: str) -> None:
    kind = registry()[name]
    assert issubclass(kind, ActKind)
    has_inverse = "inverse" in vars(kind)
    assert has_inverse != bool(kind.NO_INVERSE)


@pytest.mark.parametrize("name", [name for name in ACTS if issubclass(registry()[name], CommandAct)])
def test_no_value_stands_in_the_text_of_a_script(name: str) -> None:
    kind = sample(name)
    assert isinstance(kind, CommandAct)
    script = kind.command(Facts()).script
    for field, value in FIELDS[name].items():
        if isinstance(value, str) and len(value) > 8:
            assert value not in script, f"{field} stands in the script"


def test_the_registry_is_one_name_one_kind() -> None:
    classes: list[type[Kind]] = list(registry().values())
    assert len(set(classes)) == len(classes)
    assert [kind.NAME for kind in classes] == ALL


def test_every_kind_is_found_by_its_name_without_the_others() -> None:
    """A check imports what it needs: the file of a kind is named as the kind is."""
    script = (
        "import sys; from drctl.kinds import registry; found = registry()['tcp.check']; assert 'web' not in registry();"
        "print(found.NAME, 'drctl.kinds.archive_unpack' in sys.modules)"
    )
    first = script.replace("assert 'web' not in registry();", "")
    done = subprocess.run([sys.executable, "-c", first], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["tcp.check", "False"]
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["tcp.check", "True"], "an unknown name is looked for in every file"
    for name in ALL:
        assert registry()[name].__module__ == f"drctl.kinds.{name.replace('.', '_')}"
