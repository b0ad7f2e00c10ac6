"""`log.scan` on the real tools of this machine: mawk or gawk, and busybox's awk."""

from pathlib import Path

import pytest

from drctl.core.kind import FieldError
from drctl.core.values import Map, Size, Time
from drctl.kinds.log_scan import LogScan
from tests.kinds.worlds import Machine

LINES = [
    "2026-11-23T14:59:59.9Z INFO start",
    "2026-11-23T15:00:00.0Z ERROR one: timeout after 30 s",
    "  at line 7 (no time of its own)",
    "2026-11-23T15:00:05.123Z WARN release 2.1.0-bad cleanup: deleted 17 altered 3",
    "2026-11-23T23:00:06.000+08:00 ERROR two",
    "2026/11/23 15:00:07 ERROR three",
    "Nov 23 15:00:08 no time that is read ERROR",
]


def log(machine: Machine, *lines: str, name: str = "app.log") -> Path:
    path = machine.home / name
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def test_counts_oldest_and_newest(machine: Machine) -> None:
    path = log(machine, *LINES)
    kind = LogScan(path="app.log", patterns={"error": " ERROR ", "deleted": "cleanup: deleted [0-9]+", "gone": "FATAL"})
    values = kind.look(machine.probe()).values
    assert values["readable"] is True
    assert values["count"] == Map({"error": 3, "deleted": 1, "gone": 0})
    assert values["oldest"] == Map({"error": LINES[1], "deleted": LINES[3], "gone": None})
    assert values["newest"] == Map({"error": LINES[5], "deleted": LINES[3], "gone": None})
    assert values["size"] == Size(path.stat().st_size)
    assert values["whole"] is True


@pytest.mark.parametrize(
    ("since", "count"),
    [
        ("2026-11-23T14:59:59Z", 4),
        ("2026-11-23T15:00:00Z", 4),
        ("2026-11-23T15:00:01Z", 3),
        ("2026-11-23T15:00:06Z", 3),
        ("2026-11-23T15:00:07Z", 2),
        ("2026-11-23T15:00:08Z", 0),
        ("2027-01-01T00:00:00Z", 0),
    ],
)
def test_lines_count_from_a_time_on(machine: Machine, monkeypatch: pytest.MonkeyPatch, since: str, count: int) -> None:
    monkeypatch.setenv("TZ", "UTC")
    log(machine, *LINES)
    kind = LogScan(path="app.log", patterns={"error": "ERROR"}, since=Time.parse(since))
    assert kind.look(machine.probe()).values["count"] == Map({"error": count})


def test_a_time_without_zone_is_the_hosts(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "XST-08:00")  # eight hours east, as POSIX writes it
    log(machine, "2026-11-23 23:30:00 ERROR")

    def count(since: str) -> object:
        return (
            LogScan(path="app.log", patterns={"e": "ERROR"}, since=Time.parse(since))
            .look(machine.probe())
            .values["count"]
        )

    assert count("2026-11-23T15:30:00Z") == Map({"e": 1})
    assert count("2026-11-23T15:30:01Z") == Map({"e": 0})


@pytest.mark.parametrize("day", ["2024-02-29", "2025-02-28", "2025-03-01", "2000-12-31", "1999-01-01", "2100-03-01"])
def test_days_are_counted_right(machine: Machine, day: str) -> None:
    log(machine, f"{day}T12:00:00Z here")
    for second, count in (("11:59:59", 1), ("12:00:00", 1), ("12:00:01", 0)):
        kind = LogScan(path="app.log", patterns={"x": "here"}, since=Time.parse(f"{day}T{second}Z"))
        assert kind.look(machine.probe()).values["count"] == Map({"x": count}), second


def test_a_log_without_times_cannot_be_scanned_from_a_time_on(machine: Machine) -> None:
    log(machine, "ERROR", "ERROR")
    outputs = LogScan(path="app.log", patterns={"e": "ERROR"}, since=Time(0)).look(machine.probe())
    assert outputs.values["count"] == Map({"e": 2}), "from the epoch on is everything"
    outputs = LogScan(path="app.log", patterns={"e": "ERROR"}, since=Time.parse("2026-01-01T00:00:00Z")).look(
        machine.probe()
    )
    assert outputs.values["readable"] is False
    assert "no line of the log begins with a time" in outputs.because


@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        ("a.c", "abc"),
        ("^x$", "x"),
        ("(deleted|altered) [0-9]+", "altered 3"),
        ("\\[error\\]", "[error]"),
        ("[[:space:]]x", "a x"),
        ("a\\.b", "a.b"),
        ("`touch made`|' \" \\\\", "' \" \\"),
        ("\\{1\\}", "{1}"),
        ("漢", "漢字"),
    ],
)
def test_a_pattern_is_data(machine: Machine, pattern: str, line: str) -> None:
    log(machine, line, "other")
    outputs = LogScan(path="app.log", patterns={"x": pattern}).look(machine.probe())
    assert outputs.values["count"] == Map({"x": 1}), outputs.because
    assert outputs.values["newest"] == Map({"x": line})
    assert not (machine.home / "made").exists()


@pytest.mark.parametrize("path", ["missing", "folder"])
def test_a_log_that_is_not_there(machine: Machine, path: str) -> None:
    (machine.home / "folder").mkdir()
    outputs = LogScan(path=path, patterns={"x": "y"}).look(machine.probe())
    assert outputs.values["readable"] is False
    assert f"{path} is not there, or is no file" in outputs.because


def test_a_long_line_is_shown_in_part_and_bytes_that_are_no_text_do_no_harm(machine: Machine) -> None:
    (machine.home / "app.log").write_bytes(b"ERROR \xff\x00 " + b"x" * 100_000 + b"\nERROR")
    values = LogScan(path="app.log", patterns={"e": "ERROR"}).look(machine.probe()).values
    assert values["count"] == Map({"e": 2})
    assert isinstance(values["oldest"], Map)
    assert isinstance(values["oldest"]["e"], str)
    assert len(values["oldest"]["e"]) <= 500


def test_of_a_big_log_only_the_end_is_read_and_that_is_said(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drctl.kinds.log_scan._TAIL", 100)
    log(machine, *(f"line {number:04} here" for number in range(100)))
    values = LogScan(path="app.log", patterns={"x": "here"}).look(machine.probe()).values
    assert values["whole"] is False
    assert values["count"] == Map({"x": 6}), "100 bytes are 6 whole lines of 15 and 10 bytes of another"
    assert values["oldest"] == Map({"x": "line 0094 here"})


def test_a_unit_is_read_from_the_journal(machine: Machine) -> None:
    machine.program(
        "journalctl", 'echo "$*" >>"$HOME/calls"; [ "$5" = 0 ] || echo "2026-11-23T15:00:00+0000 h x[1]: ERROR"'
    )
    kind = LogScan(unit="invoices", patterns={"e": "ERROR"}, since=Time.parse("2026-11-23T14:00:00Z"))
    assert kind.look(machine.probe()).values["count"] == Map({"e": 1})
    asked = (machine.home / "calls").read_text().splitlines()
    assert asked[-1] == "-q -u invoices --since=@1795442400 -o short-iso --no-pager"


@pytest.mark.parametrize(
    "fields",
    [
        {"patterns": {"x": "y"}},
        {"path": "a", "unit": "b", "patterns": {"x": "y"}},
        {"path": "a", "patterns": {}},
        {"path": "a", "patterns": {"Not-A-Name": "y"}},
        {"path": "a", "patterns": {"x": ""}},
        {"path": "a", "patterns": {"x": "a\nb"}},
        {"path": "a", "patterns": {"x": "\\d+"}},
        {"path": "a", "patterns": {"x": "a{2,3}"}},
        {"path": "a", "patterns": {"x": "\\<word\\>"}},
        {"path": "a", "patterns": {"x": "("}},
        {"path": "a", "patterns": {"x": "[a"}},
        {"path": "a", "patterns": {"x": "(?:a)"}},
        {"path": "a", "patterns": {"x": "a+?"}},
        {"unit": "-u", "patterns": {"x": "y"}},
    ],
)
def test_what_would_mean_other_things_on_other_hosts_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(FieldError):
        LogScan(**fields)  # type: ignore[arg-type] # wrong on purpose
