"""Inputs of a runbook: types, defaults and limits."""

import pytest

from drctl.core.input_specs import InputSpec, InputType
from drctl.core.model import Runbook
from drctl.core.values import Duration, Time
from tests.loading.documents import codes, inventory, load, load_text

TAIL = "phases: [{id: a, steps: [{id: b, do: check, expect: true}]}]\n"


def specs() -> dict[str, InputSpec]:
    value = load("valid/everything.yaml").value
    assert isinstance(value, Runbook)
    return {spec.name: spec for spec in value.inputs}


def test_defaults_and_limits_have_the_type_of_the_input() -> None:
    found = specs()
    assert [found[name].default for name in ("note", "count", "sure", "severity", "target")] == [
        "3.10",
        3,
        False,
        "no",
        inventory().hosts["app1"].ref,
    ]
    assert (found["limit"].default, found["limit"].maximum) == (Duration.parse("1h30m"), Duration.parse("7d"))
    assert found["since"].minimum == Time.parse("2026-01-01T00:00:00+08:00")
    assert found["severity"].of == ("sev1", "sev2", "no")
    assert found["target"].of == ("app",)


def test_what_must_be_given() -> None:
    found = specs()
    assert {name for name, spec in found.items() if spec.required} == {"asked"}
    assert (found["token"].type, found["token"].source) == (InputType.SECRET, "env:API_TOKEN")
    assert found["fault_at"].optional


@pytest.mark.parametrize(
    ("spec", "code"),
    [
        ("{type: int}", None),
        ("{type: int, default: 3.5}", "E203"),
        ("{type: int, default: 007}", "E204"),
        ("{type: bool, default: yes}", "E203"),
        ("{type: duration, default: 30}", "E203"),
        ("{type: time, default: 2026-01-31}", "E204"),
        ("{type: host, default: db9}", "E308"),
        ("{type: host, default: app1, of: {group: apps}}", "E308"),
        ("{type: choice, of: []}", "E203"),
        ("{type: choice}", "E210"),
        ("{type: text, of: [a]}", "E209"),
        ("{type: text, min: 3}", "E209"),
        ("{type: text, default: '${{ run.id }}'}", "E203"),
        ("{type: text, default: null}", "E203"),
        ("{type: text, from: env:X}", "E209"),
        ("{type: duration, min: 1m, default: 10s}", "E204"),
        ("{type: text, pattern: '['}", "E204"),
        ("{type: secret, default: x}", "E403"),
        ("{type: secret, from: 'ssm:/dr/token'}", None),
        ("{type: secret, from: 'secretsmanager:dr/token'}", None),
        ("{type: secret, from: {cmd: [pass, show, token]}}", None),
        ("{type: secret, from: {cmd: pass show token}}", "E203"),
        ("{type: secret, from: 'cmd:pass show token'}", "E204"),
        ("{default: x}", "E202"),
        ("{type: decimal, default: 0.25, min: 0, max: 1.5}", None),
        ("{type: decimal, default: 2, max: 1.5}", "E204"),
        ("{type: decimal, default: 1e3}", "E204"),
        ("{type: size, default: 4KiB, max: 1MiB}", None),
        ("{type: size, default: 4KiB, min: 1MiB}", "E204"),
        ("{type: size, default: 4096}", "E203"),
        ("{type: list, of: size, default: [1B, 4KiB]}", None),
        ("{type: list, of: size, default: [1B, 4]}", "E203"),
        ("{type: list, of: host, default: [db1, db9]}", "E308"),
        ("{type: list, of: host, default: db1}", "E203"),
        ("{type: host, default: db1, of: {group: app}}", "E308"),
        ("{type: number}", "E204"),
        ("text", "E203"),
    ],
)
def test_one_input(spec: str, code: str | None) -> None:
    assert codes(load_text(f"runbook: x\ninputs: {{a: {spec}}}\n{TAIL}")) == [code or "W011"]


@pytest.mark.parametrize("name", ["in", "steps", "A", "a-", "1a", "a" * 61, "数"])
def test_names_that_are_refused(name: str) -> None:
    assert codes(load_text(f"runbook: x\ninputs: {{{name}: {{type: text}}}}\n{TAIL}")) == ["E206"]
