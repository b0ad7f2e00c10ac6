"""Inputs from flags and files, and times as people type them."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from drctl.cli.inputs import Given, full_time, gather_inputs
from drctl.core.inventory import Environment
from drctl.errors import DocumentError, UsageError
from drctl.kinds import registry
from drctl.loading import load_runbook
from tests.engine.rig import inventory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from drctl.core.model import Runbook

TEXT = b"""
runbook: inputs
inputs:
  level: {type: int, default: 1}
  where: {type: list, of: host}
  token: {type: secret, from: "env:TOKEN"}
phases: [{id: a, steps: [{id: c, do: check, expect: inputs.level > 0}]}]
"""
HOSTS = inventory("db1", "db2", environment=Environment.LAB)


def runbook() -> Runbook:
    loaded = load_runbook("r.yaml", lambda _: TEXT, registry(), HOSTS)
    assert loaded.value is not None, loaded.diagnostics
    return loaded.value


def test_a_flag_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "in.yaml"
    file.write_text("level: 2\nwhere: [db1, db2]\n")
    values = gather_inputs(runbook(), HOSTS, Given(flags=("level=3",), file=str(file)), ask=False)
    assert values["level"] == 3
    assert [getattr(host, "name", "") for host in values["where"]] == ["db1", "db2"]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("levl: 2\nwhere: [db1]\n", "no input 'levl'"),
        ("level: many\nwhere: [db1]\n", "whole number"),
        ("level: [1]\nwhere: [db1]\n", "no list"),
        ("where: [db9]\n", "where[0]"),
        ("token: abcdefgh\nwhere: [db1]\n", "secret"),
        ("level: 2\n", "where"),
    ],
)
def test_what_is_wrong_in_a_file_is_told_with_its_name(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "in.yaml"
    file.write_text(text)
    with pytest.raises(UsageError) as raised:
        gather_inputs(runbook(), HOSTS, Given(file=str(file)), ask=False)
    assert said in str(raised.value)
    assert "abcdefgh" not in str(raised.value)


def test_a_file_that_is_no_map_is_a_wrong_document(tmp_path: Path) -> None:
    file = tmp_path / "in.yaml"
    file.write_text("- level\n")
    with pytest.raises(DocumentError):
        Given(file=str(file)).texts()


@pytest.fixture
def shanghai() -> Iterator[None]:
    before = os.environ.get("TZ")
    os.environ["TZ"] = "CST-8"  # a zone that needs no table of zones
    time.tzset()
    yield
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()


@pytest.mark.usefixtures("shanghai")
@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("14:02", datetime(2026, 1, 31, 6, 2, tzinfo=UTC)),
        ("yesterday 14:02", datetime(2026, 1, 30, 6, 2, tzinfo=UTC)),
        ("yesterday  9:05", datetime(2026, 1, 30, 1, 5, tzinfo=UTC)),
        ("25:00", None),
        ("2026-01-31T14:02:00+08:00", None),
        ("tomorrow 14:02", None),
    ],
)
def test_a_short_time_is_of_today_or_yesterday_where_the_person_sits(text: str, full: datetime | None) -> None:
    now = datetime(2026, 1, 31, 12, 0, tzinfo=UTC).astimezone()
    assert full_time(text, now) == full


def test_a_flag_needs_a_time_with_its_zone() -> None:
    text = TEXT.replace(b"  level:", b"  seen: {type: time}\n  level:")
    loaded = load_runbook("r.yaml", lambda _: text, registry(), HOSTS)
    assert loaded.value is not None
    with pytest.raises(UsageError, match="seen"):
        gather_inputs(loaded.value, HOSTS, Given(flags=("seen=14:02", "where=db1")), ask=False)


@pytest.mark.parametrize(
    ("spec", "shown"),
    [
        ("{type: list, of: host, default: [db1, db2]}", "db1, db2"),
        ("{type: size, default: 4KiB}", "4KiB"),
        ("{type: decimal, default: 0.25}", "0.25"),
        ("{type: bool, default: true}", "true"),
        ("{type: host, default: db1}", "db1"),
        ("{type: duration, default: 1h30m}", "1h30m"),
    ],
)
def test_a_default_is_offered_as_one_types_it(monkeypatch: pytest.MonkeyPatch, spec: str, shown: str) -> None:
    body = "phases: [{id: a, steps: [{id: c, do: check, expect: known(inputs.x)}]}]\n"
    loaded = load_runbook("r.yaml", lambda _: f"runbook: r\ninputs: {{x: {spec}}}\n{body}".encode(), registry(), HOSTS)
    assert loaded.value is not None, loaded.diagnostics
    offered: list[str] = []

    def enter(_: str, *, default: str, **_rest: object) -> str:
        assert not offered, "what is offered is not taken"
        offered.append(default)
        return default

    monkeypatch.setattr("click.prompt", enter)
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True))
    values = gather_inputs(loaded.value, HOSTS, Given(flags=()), ask=True)
    assert offered == [shown]
    assert values["x"] == loaded.value.inputs[0].default
