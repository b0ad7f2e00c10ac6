"""`--limit` and `--fan-out` on the command line: what is refused before anything is opened, and what is kept."""

import json

import pytest

from drctl.errors import Exit
from tests.cli.conftest import Drctl, book, step

HOSTS = """
inventory: here
environment: lab
defaults: {host_key: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA5HN9fWIaTnGdf5hAyuk/SjMbMAoCXzZAcuGqZkSj1M, login: {user: u}}
hosts:
  w1: {address: 127.0.0.1, port: 1, groups: [web]}
  w2: {address: 127.0.0.1, port: 1, groups: [web]}
  db1: {address: 127.0.0.1, port: 1, role: primary}
"""


@pytest.fixture
def fleet(drctl: Drctl) -> Drctl:
    drctl.write("inventory.yaml", HOSTS)
    return drctl


def test_what_cannot_be_meant_is_refused_before_anything_is_opened(fleet: Drctl) -> None:
    act = "{id: promote, on: primary, run: 'true', effect: idempotent, undo: {none: a test}}"
    fleet.write("book.yaml", book(step("here", "true"), f"      - {act}\n"))
    for args, words in (
        (("--limit", "w1"), ("only/promote on db1", "--limit w1,db1")),
        (("--limit", "web,nowhere"), ("'nowhere'", "--limit one of: hosts db1, w1, w2; groups web; roles primary\n")),
        (("--limit", "web,primry"), ("'primry'", "(did you mean primary?)")),
        (("--limit", "local"), ("names no host",)),
        (("--fan-out", "0"), ("--fan-out",)),
        (("--fan-out", "1000"), ("256",)),
    ):
        for command in ("run", "plan"):
            said = fleet(command, "book.yaml", *args)
            assert said.code == Exit.USAGE, said
            assert all(word in said.err for word in words), said.err
    assert fleet.ids() == []


@pytest.mark.parametrize(
    "way", ["undo: {run: 'true', on: primary}", "undo: {none: a}, restore: {run: 'true', on: db1}"]
)
def test_a_way_back_on_a_host_that_is_left_out_is_refused_too(fleet: Drctl, way: str) -> None:
    act = f"{{id: pause, on: w1, run: 'true', effect: idempotent, {way}}}"
    fleet.write("book.yaml", book(step("here", "true"), f"      - {act}\n"))
    said = fleet("plan", "book.yaml", "--limit", "w1")
    assert (said.code, "only/pause/" in said.err, " on db1" in said.err) == (Exit.USAGE, True, True), said.err


def test_a_limited_run_of_local_steps_says_so_in_plan_record_and_report(fleet: Drctl) -> None:
    fleet.write("book.yaml", book(step("here", "true")))
    plan = fleet("plan", "book.yaml", "--limit", "web")
    assert "limit w1, w2: no other host is acted on" in plan.out
    assert plan.out.rstrip().endswith(" --limit w1,w2")
    over = fleet("plan", "book.yaml", "--limit", "web", "--fan-out", "2", "--transport", "fabric")
    assert over.out.rstrip().endswith(" --limit w1,w2 --fan-out 2 --transport fabric")
    said = fleet("run", "book.yaml", "--no-live", "--limit", "web", "--fan-out", "2")
    assert said.code == Exit.EXCEPTIONS, said
    (id_,) = fleet.ids()
    assert json.loads(fleet.journal(id_).read_text().splitlines()[0])["body"]["limit"] == ["w1", "w2"]
    assert "limit w1, w2: no other host is acted on" in fleet("show", id_).out
    assert fleet("--output", "json", "show", id_).json["limit"] == ["w1", "w2"]
    assert fleet("--output", "json", "show", id_).json["fan_out"] == 2
    assert "fan-out 2: hosts at a time" in fleet("show", id_).out
    for name in ("report.md", "report.html", "report.json"):
        told = (fleet.state / "runs" / id_ / name).read_text()
        assert "w1, w2 and no other host, at most 2 at a time" in told, name
    assert "--limit w1,w2" in (fleet.state / "runs" / id_ / "report.md").read_text()


def test_a_kept_plan_keeps_its_bounds_and_the_run_is_held_to_them(fleet: Drctl) -> None:
    fleet.write("book.yaml", book(step("here", "true")))
    assert fleet("plan", "book.yaml", "--limit", "w2", "--out", "book.plan").code == 0
    other = fleet("run", "book.yaml", "--plan", "book.plan", "--no-live", "--limit", "w1")
    assert other.code == Exit.USAGE
    assert "its own --limit" in other.err
    said = fleet("run", "book.yaml", "--plan", "book.plan", "--no-live")
    assert said.code == Exit.EXCEPTIONS, said
    (id_,) = fleet.ids()
    assert json.loads(fleet.journal(id_).read_text().splitlines()[0])["body"]["limit"] == ["w2"]


def test_an_edited_runbook_that_acts_outside_the_limit_is_refused_at_once(fleet: Drctl) -> None:
    first = step("first", f"test -e {fleet.folder}/go", effect="read")
    said, id_ = fleet.ran(book(first), "--limit", "w2")
    assert said.code == Exit.STEP_FAILED, said
    act = "{id: promote, on: primary, run: 'true', effect: idempotent, undo: {none: a test}}"
    fleet.write("edited.yaml", book(first, f"      - {act}\n"))
    before = fleet.journal(id_).read_text()
    for flags in ((), ("--accept-change", "promote", "--reason", "wanted")):
        said = fleet("resume", id_, "--runbook", "edited.yaml", *flags, "--no-live")
        assert said.code == Exit.USAGE, said
        assert "only/promote on db1" in said.err
        assert "next: take them out of edited.yaml" in said.err
    assert fleet.journal(id_).read_text() == before


def test_who_resumes_is_under_the_same_bounds(fleet: Drctl) -> None:
    look = "{id: look, on: web, run: 'true', effect: read, observe: true}"
    said, id_ = fleet.ran(
        book(step("first", f"test -e {fleet.folder}/go", effect="read"), f"      - {look}\n"), "--limit", "w2"
    )
    assert said.code == Exit.STEP_FAILED, said
    fleet.write("go", "")
    assert fleet("retry", id_, "first").code == 0
    assert fleet("resume", id_).code == Exit.EXCEPTIONS
    records = [json.loads(line) for line in fleet.journal(id_).read_text().splitlines()]
    (table,) = [r["body"] for r in records if r["type"] == "block_started" and r["body"].get("form") == "table"]
    assert table["frozen"]["batches"] == [["w2"]]
