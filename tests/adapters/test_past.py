"""How long steps took before: of the same steps only, and whatever was not read is said."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from drctl.adapters import past
from drctl.adapters.journal import NAME
from drctl.adapters.past import past_of
from drctl.core.records import MAX_LINE
from tests.fakes.journals import Builder

if TYPE_CHECKING:
    from pathlib import Path


def ran(root: Path, name: str, *, host: str = "db1", inventory: str = "lab", more: bytes = b"") -> None:
    """A run of one step that took a second."""
    made = Builder.start()
    made.add(
        "run_opened", {"uid": "0123456789abcdef0123456789abcdef", "id": name, "runbook": "book", "inventory": inventory}
    )
    made.add("step_started", {"path": "main/act", "host": host, "attempt": 1, "role": "act", "kind": "shell"})
    made.add(
        "step_finished",
        {"path": "main/act", "host": host, "attempt": 1, "role": "act", "outcome": "ok", "elapsed_us": 1_000_000},
    )
    folder = root / "runs" / name
    folder.mkdir(parents=True)
    (folder / NAME).write_bytes(b"".join(made.lines) + more)


def test_only_the_same_step_on_the_same_host_and_inventory_counts(tmp_path: Path) -> None:
    ran(tmp_path, "A")
    ran(tmp_path, "B", host="db2")
    ran(tmp_path, "C", inventory="production")
    found = past_of(tmp_path, "book", "lab")
    assert found.median("main/act", "shell", "db1") == (1_000_000, 1)
    assert found.median("main/act", "service", "db1") is None
    assert found.median("main/act", "shell", "") is None
    assert (found.runs, found.skipped) == (2, [])


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (b"", ""),
        (b'{"torn', ""),
        (
            b"x" * (MAX_LINE + 5) + b"\n",
            "run A counts only in part for the time estimate: a line of its journal is too long",
        ),
    ],
    ids=["whole", "torn", "line"],
)
def test_what_of_a_journal_is_not_read_is_said(tmp_path: Path, more: bytes, says: str) -> None:
    ran(tmp_path, "A", more=more)
    found = past_of(tmp_path, "book", "lab")
    assert found.skipped == ([says] if says else [])
    assert found.median("main/act", "shell", "db1") == (1_000_000, 1)


def test_a_journal_that_is_too_long_counts_in_part_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran(tmp_path, "A", more=(b"x" * 1000 + b"\n") * 1100)
    monkeypatch.setattr(past, "LONGEST", 1024 * 1024)
    assert past_of(tmp_path, "book", "lab").skipped == [
        "run A counts only in part for the time estimate: its journal is longer than 1 MiB"
    ]


def test_runs_that_are_not_searched_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(past, "FOLDERS", 2)
    for name in "ABC":
        ran(tmp_path, name)
    assert past_of(tmp_path, "book", "lab").skipped == [
        "only the newest 2 of 3 runs were searched for the time estimate"
    ]
    monkeypatch.setattr(past, "RUNS", 2)  # as many as are asked for
    assert past_of(tmp_path, "book", "lab").skipped == []
