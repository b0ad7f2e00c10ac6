"""What only reads: runs, show, watch, report, kinds, schema, doctor, help. Nothing here may change a byte of a run."""

import json
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from drctl.cli.app import COMMANDS
from drctl.errors import Exit
from tests.cli.conftest import Drctl, book, step


def test_an_empty_state_folder_has_no_runs_and_is_not_made(drctl: Drctl) -> None:
    assert drctl("--output", "json", "runs").json == {"runs": []}
    assert "No runs yet" in drctl("runs", "list").err
    assert not drctl.state.exists()


def test_runs_are_listed_oldest_first_whatever_became_of_them(drctl: Drctl, done: str, failed: str) -> None:
    rows = drctl("--output", "json", "runs", "list").json["runs"]
    assert [(row["id"], row["state"]) for row in rows] == [(done, "done"), (failed, "paused")]
    assert drctl("runs").out == drctl("runs", "list").out
    assert "exit" in rows[1]["because"]


def without(data: bytes, *numbers: int) -> bytes:
    """The journal without some of its lines."""
    return b"".join(line for number, line in enumerate(data.splitlines(keepends=True)) if number not in numbers)


def swapped(data: bytes) -> bytes:
    """The journal with its second and third line changed over."""
    first, second, third, *rest = data.splitlines(keepends=True)
    return b"".join([first, third, second, *rest])


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "a byte": lambda data: data[:700] + bytes([data[700] ^ 1]) + data[701:],
    "a line": lambda data: without(data, 2),
    "the head": lambda data: without(data, 0),
    "a swap": swapped,
    "all of it": lambda _data: bytes(range(256)) * 20,
    "text": lambda _data: b"hello\nworld\n",
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_journal_is_never_shown_as_a_good_run(drctl: Drctl, done: str, failed: str, what: str) -> None:
    path = drctl.journal(done)
    path.write_bytes(DAMAGE[what](path.read_bytes()))
    rows = {row["id"]: row for row in drctl("--output", "json", "runs").json["runs"]}
    assert rows[failed]["state"] == "paused", "one damaged run hides no other"
    shown = drctl("show", done)
    assert shown.code in {Exit.AUDIT_NOT_INTACT, Exit.JOURNAL}, shown
    assert "audit verify" in shown.err
    assert drctl("audit", "verify", done).code in {Exit.AUDIT_NOT_INTACT, Exit.AUDIT_UNSIGNED_TAIL}
    for words in (["resume", done], ["abort", done, "--reason", "x"], ["note", done, "x"], ["approve", done]):
        assert drctl(*words).code in {Exit.JOURNAL, Exit.USAGE, Exit.NOTHING_CHANGED}, words
    told = drctl("report", done, "--format", "json", "-o", "-")
    if told.code == 0:
        assert "not intact" in told.out.lower()


@pytest.mark.parametrize("how", ["no journal", "empty journal"])
def test_a_run_that_never_opened_says_so_everywhere(drctl: Drctl, how: str) -> None:
    folder = drctl.state / "runs" / "ABCDE"
    folder.mkdir(parents=True)
    if how == "empty journal":
        (folder / "journal.jsonl").touch()
    words = [["show"], ["resume"], ["abort", "--reason", "x"], ["note", "x"], ["approve"], ["report"], ["watch"]]
    for command, *more in words:
        said = drctl(command, "ABCDE", *more)
        assert said.code == Exit.NOTHING_CHANGED, said
        assert "never opened" in said.err
        assert "next: " in said.err
    assert "never opened" in drctl("runs").out


@pytest.mark.parametrize(("fixture", "word"), [("done", "report"), ("waiting", "approve"), ("failed", "retry")])
def test_show_says_what_to_type_next(drctl: Drctl, request: pytest.FixtureRequest, fixture: str, word: str) -> None:
    id_ = request.getfixturevalue(fixture)  # one run each: a paused run keeps the machine it acted on
    text = drctl("show", id_)
    assert text.code == 0
    assert f"drctl {word}" in text.out
    data = drctl("--output", "json", "show", id_).json
    assert (data["id"], bool(data["next"])) == (id_, True)


def test_a_run_is_found_by_the_beginning_of_its_id(drctl: Drctl, done: str) -> None:
    assert drctl("show", done.lower()).out == drctl("show", done).out
    assert drctl("show", done[:4]).code in {0, Exit.USAGE}


def test_watch_of_a_run_that_nobody_carries_out_shows_all_of_it(drctl: Drctl, done: str, waiting: str) -> None:
    over = drctl("watch", done)
    assert (over.code, "closed" in over.out) == (0, True)
    paused = drctl("watch", waiting)
    assert paused.code == Exit.PAUSED
    assert "Nobody carries run" in paused.err
    as_json = drctl("--output", "json", "watch", done)
    assert as_json.json["state"] == "done"
    assert "closed" in as_json.err


class _Tags(HTMLParser):
    """Collects what an HTML page would load from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loads += [value or "" for name, value in attrs if name in {"src", "href"} and (value or "")[:1] != "#"]


def test_the_report_comes_in_three_forms_and_loads_nothing(drctl: Drctl, failed: str, tmp_path: Path) -> None:
    said = drctl("--output", "json", "report", failed)
    paths = [Path(path) for path in said.json["reports"]]
    assert [path.name for path in paths] == ["report.html", "report.md", "report.json"]
    page = _Tags()
    page.feed(paths[0].read_text())
    assert "html" in page.tags
    assert [load for load in page.loads if not load.startswith("data:")] == []
    assert json.loads(paths[2].read_text())
    for form, path in zip(("html", "markdown", "json"), paths, strict=True):
        out = tmp_path / form
        assert drctl("report", failed, "--format", form, "-o", str(out)).code == 0
        assert out.read_bytes() == path.read_bytes()
        assert drctl("report", failed, "--format", form, "-o", "-").out.strip() == path.read_text().strip()


def test_a_report_that_cannot_be_written_says_so(drctl: Drctl, done: str, tmp_path: Path) -> None:
    for out in (str(tmp_path), str(tmp_path / "no" / "such" / "folder"), "/dev/full"):
        said = drctl("report", done, "--format", "html", "-o", out)
        assert said.code == Exit.JOURNAL, said
        assert out in said.err
    assert drctl("report", done, "-o", "one.html").code == Exit.USAGE


def test_a_run_tells_its_end_even_when_no_report_can_be_written(drctl: Drctl, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> list[Path]:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("drctl.cli.carrying.write_reports", broken)
    said, id_ = drctl.ran(book(step("no", "exit 3", more=", on_failure: abort")))
    assert said.code == Exit.STEP_FAILED
    assert "No space left on device" in said.err
    assert f"drctl report {id_}" in said.err


def test_looking_changes_nothing(drctl: Drctl, done: str, waiting: str) -> None:
    def state() -> dict[str, bytes]:
        return {
            str(p): p.read_bytes() for p in drctl.state.rglob("*") if p.is_file() and not p.name.startswith("report.")
        }

    before = state()
    for id_ in (done, waiting):
        for words in (
            ["show", id_],
            ["show", id_, "--question"],
            ["watch", id_],
            ["report", id_],
            ["audit", "verify", id_],
        ):
            drctl(*words)
    drctl("runs")
    drctl("doctor")
    assert state() == before


# -- what needs no run ---


def test_check_says_everything_with_its_place(drctl: Drctl) -> None:
    drctl.write("good.yaml", book(step("a", "true")))
    assert drctl("check", "good.yaml").code == 0
    drctl.write(
        "bad.yaml", "runbook: bad\nphases:\n  - id: p\n    steps:\n      - {id: a, rum: 'true'}\n      - {id: a}\n"
    )
    said = drctl("check", "good.yaml", "bad.yaml")
    assert said.code == Exit.DOCUMENT
    assert "bad.yaml:5:" in said.err
    assert "bad.yaml:6:" in said.err
    assert "good.yaml: nothing wrong" in said.out
    data = drctl("--output", "json", "check", "good.yaml", "bad.yaml").json
    assert data["ok"] is False
    assert {row["line"] for row in data["diagnostics"] if row["severity"] == "error"} >= {5, 6}
    assert drctl("run", "bad.yaml").code == drctl("plan", "bad.yaml").code == Exit.DOCUMENT
    assert drctl("--output", "json", "plan", "bad.yaml").json["error"]["diagnostics"]


def test_without_an_inventory_check_says_what_it_did_not_check(drctl: Drctl) -> None:
    drctl.write("good.yaml", book(step("a", "true")))
    (drctl.folder / "inventory.yaml").unlink()
    said = drctl("check", "good.yaml")
    assert (said.code, "were not checked" in said.out) == (0, True)
    assert drctl("--output", "json", "check", "good.yaml").json["inventory"] is None
    for command in ("plan", "run"):
        refused = drctl(command, "good.yaml")
        assert refused.code == Exit.USAGE
        assert "--inventory" in refused.err


def test_the_inventory_is_found_by_flag_then_variable_then_folder(
    drctl: Drctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    drctl.write("good.yaml", book(step("a", "true")))
    for name in ("flag.yaml", "variable.yaml"):
        drctl.write(name, (drctl.folder / "inventory.yaml").read_text())
    assert drctl("--output", "json", "check", "good.yaml").json["inventory"] == "inventory.yaml"
    monkeypatch.setenv("DRCTL_INVENTORY", "variable.yaml")
    assert drctl("--output", "json", "check", "good.yaml").json["inventory"] == "variable.yaml"
    found = drctl("--output", "json", "check", "good.yaml", "--inventory", "flag.yaml").json["inventory"]
    assert found == "flag.yaml"


def test_kinds_are_listed_and_shown(drctl: Drctl) -> None:
    every = drctl("--output", "json", "kinds").json
    names = [row["kind"] for row in every]
    assert {"shell", "http.check", "postgres.promote"} <= set(names)
    listed = drctl("kinds").out
    for name in names:
        assert name in listed
        assert drctl("--output", "json", "kinds", name).json[0]["kind"] == name
        assert name in drctl("kinds", name).out
    wrong = drctl("kinds", "postgres.promot")
    assert (wrong.code, "drctl kinds postgres.promote" in wrong.err) == (Exit.USAGE, True)


def test_the_schemas_are_json(drctl: Drctl) -> None:
    for name in ("runbook", "inventory"):
        assert drctl("schema", name).json["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_doctor_says_whether_this_machine_can_run_drctl(drctl: Drctl) -> None:
    said = drctl("--output", "json", "doctor")
    assert said.code == 0, said
    assert said.json["ok"] is True
    assert {"python", "state folder", "free disk"} <= {row["what"] for row in said.json["checks"]}
    (drctl.folder / "file").touch()
    bad = drctl("doctor", state=drctl.folder / "file")
    assert bad.code == Exit.NOTHING_CHANGED
    assert "--state-dir" in bad.out


def test_the_lab_names_its_faults(drctl: Drctl) -> None:
    names = drctl("--output", "json", "lab", "break", "list").json
    assert {"primary-host", "bad-delete"} <= set(names)
    assert all(name in drctl("lab", "break", "list").out for name in names)
    for words in (["lab", "break", "nothing"], ["lab", "demo", "--scenario", "nothing"]):
        said = drctl(*words)
        assert said.code == Exit.USAGE
        assert "primary-host" in said.err


NO_EXIT_OF_ITS_OWN = {
    "runs": "0, or the common ones",
    "kinds": "0, or the common ones",
    "schema": "0, or the common ones",
    "approve": "as `answer`",
    "reject": "as `answer`",
    "resolve": "as `answer`",
    "retry": "as `answer`",
    "skip": "as `answer`",
    "done": "as `answer`",
    "audit": "a group: its command says it",
    "lab": "a group: its commands say it",
}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_that_says_how_it_ends(drctl: Drctl, command: str) -> None:
    said = drctl(command, "--help")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith(f"Usage: drctl {command}")
    assert ("Exit status" in said.out) == (command not in NO_EXIT_OF_ITS_OWN)


@pytest.mark.parametrize("words", [["audit", "verify"], ["lab", "demo"]])
def test_help_below_a_group(drctl: Drctl, words: list[str]) -> None:
    assert "Exit status" in drctl(*words, "--help").out


def test_help_and_version_need_no_state_folder(drctl: Drctl) -> None:
    assert all(command in drctl("--help").out for command in COMMANDS)
    assert drctl("--version").out.startswith("drctl")
    assert not drctl.state.exists()
