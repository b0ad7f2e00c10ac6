"""run, plan, resume, abort: what they do, what they give back, and what a kill leaves behind."""

import json
import os
import signal
from pathlib import Path

import pytest

from drctl.errors import Exit
from tests.cli.conftest import SECONDS, Drctl, book, step, until


def tree(folder: Path) -> dict[str, bytes]:
    """Every file under a folder, with its content."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def slow(folder: Path, *, after: str = "") -> str:
    """A runbook whose step waits for a file named `go`, and then writes one line to `ledger`."""
    script = f"cd {folder}; : > started; while [ ! -e go ]; do sleep 0.02; done; echo once >> ledger"
    verify = f", verify: {{run: {json.dumps(f'test -e {folder}/ledger')}}}"
    return book(step("act", script, effect="once", more=verify), after)


def test_a_run_that_goes_well_gives_0_and_everything_is_where_it_says(drctl: Drctl) -> None:
    said, id_ = drctl.ran(book(step("write", f"echo hello > {drctl.folder}/note")))
    assert said.code == Exit.DONE, said
    assert (drctl.folder / "note").read_text() == "hello\n"
    assert id_ in said.out
    for name in ("report.html", "report.md", "report.json"):
        path = drctl.state / "runs" / id_ / name
        assert path.stat().st_size > 100
        assert str(path) in said.out.replace("\n", "")
    assert not list((drctl.state / "keys").iterdir()), "the key of a closed run is gone"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (book(step("no", "exit 3", effect="read")), Exit.STEP_FAILED),
        (book(step("no", "exit 3", more=", on_failure: abort")), Exit.STEP_FAILED),
        (book("      - {id: c, do: check, expect: 1 == 2, on_failure: abort}\n"), Exit.NOTHING_CHANGED),
        (book("      - {id: m, do: manual, with: {say: Look., by: [commander]}}\n"), Exit.PAUSED),
        (book(step("no", "exit 3", more=", tolerate: [failed]")), Exit.DONE),
        (
            book(step("yes", "true", more="").replace("undo: {none: a test}", "undo: {run: 'true'}"))
            + step("no", "exit 3", more=", on_failure: rollback"),
            Exit.ROLLED_BACK,
        ),
        (book(step("yes", "true"), head="objectives: {rto: 5m}\n"), Exit.EXCEPTIONS),
        (book(step("yes", "true", more=", marks: service_restored"), head="objectives: {rto: 5m}\n"), Exit.DONE),
    ],
    ids=["failed", "failed-closed", "nothing", "paused", "tolerated", "rolled-back", "not-measured", "met"],
)
def test_the_exit_code_says_how_it_ended(drctl: Drctl, text: str, code: Exit) -> None:
    said, id_ = drctl.ran(text)
    assert said.code == code, said
    shown = drctl("--output", "json", "show", id_).json
    assert shown["exit"] == code


def test_json_gives_one_document_and_the_story_on_stderr(drctl: Drctl) -> None:
    drctl.write("book.yaml", book(step("write", "true")))
    said = drctl("--output", "json", "run", "book.yaml", "--no-live")
    assert said.json["state"] == "done"
    assert said.json["exit"] == said.code == 0
    assert [row["path"] for row in said.json["steps"]] == ["only/write"]
    assert "run opened" in said.err


def test_an_input_is_taken_checked_and_frozen(drctl: Drctl) -> None:
    head = "inputs: {n: {type: int, ask: 'How many?'}}\n"
    text = book(step("use", f'echo "${{{{ inputs.n }}}}" > {drctl.folder}/n'), head=head)
    drctl.write("book.yaml", text)
    for args, word in (((), "missing"), (("-i", "n=many"), "whole number"), (("-i", "m=1"), "no input 'm'")):
        said = drctl("run", "book.yaml", "--no-live", *args)
        assert said.code == Exit.USAGE
        assert word in said.err
    assert drctl.ids() == [], "nothing was opened"
    said, _ = drctl.ran(text, "-i", "n=3")
    assert said.code == 0
    assert (drctl.folder / "n").read_text() == "3\n"


# -- plan ---


def test_a_plan_changes_nothing_and_a_dry_run_is_a_plan(drctl: Drctl) -> None:
    drctl.write(
        "book.yaml",
        book(step("look", "echo seen", effect="read"), step("act", f"rm -rf {drctl.folder}/inventory.yaml")),
    )
    drctl("run", drctl.write("other.yaml", book(step("x", "true"))), "--no-live")  # a state folder with something in it
    before = tree(drctl.folder)
    planned = drctl("plan", "book.yaml")
    dry = drctl("run", "book.yaml", "--dry-run")
    assert tree(drctl.folder) == before
    assert planned.code == dry.code == 0
    assert planned.out == dry.out
    assert "seen" in planned.out
    assert "Nothing was changed anywhere." in planned.out
    as_json = drctl("--output", "json", "plan", "book.yaml").json
    assert json.dumps(as_json, sort_keys=True) == json.dumps(
        drctl("--output", "json", "run", "book.yaml", "--dry-run").json, sort_keys=True
    )
    assert tree(drctl.folder) == before


def test_a_plan_that_would_stop_before_any_change_gives_4(drctl: Drctl) -> None:
    drctl.write("book.yaml", book("      - {id: c, do: check, expect: 1 == 2}\n", step("act", "true")))
    assert drctl("plan", "book.yaml").code == Exit.NOTHING_CHANGED


def test_a_plan_without_live_reads_looks_at_nothing(drctl: Drctl) -> None:
    drctl.write("book.yaml", book(step("look", f": > {drctl.folder}/looked", effect="read")))
    assert drctl("plan", "book.yaml", "--no-live-reads").code == 0
    assert not (drctl.folder / "looked").exists()


def test_production_takes_no_look_on_the_authors_word_alone(drctl: Drctl) -> None:
    inventory = (drctl.folder / "inventory.yaml").read_text().replace("environment: lab", "environment: production")
    drctl.write("inventory.yaml", inventory)
    drctl.write("book.yaml", book(step("look", f": > {drctl.folder}/looked", effect="read")))
    drctl("plan", "book.yaml")
    assert not (drctl.folder / "looked").exists()
    drctl("plan", "book.yaml", "--declared-reads", "yes")
    assert (drctl.folder / "looked").exists()


# -- kills, signals, two writers ---


def test_kill_9_then_resume_does_nothing_twice(drctl: Drctl) -> None:
    drctl.write("book.yaml", slow(drctl.folder, after=step("then", f"echo then >> {drctl.folder}/ledger")))
    with drctl.process("run", "book.yaml", "--no-live") as process:
        until((drctl.folder / "started").exists)
        process.kill()
        process.wait(SECONDS)
    (id_,) = drctl.ids()
    assert drctl("--output", "json", "show", id_).json["state"] == "crashed"
    assert drctl("audit", "verify", id_).code == Exit.AUDIT_UNSIGNED_TAIL
    (drctl.folder / "go").touch()
    until((drctl.folder / "ledger").exists)  # the step's command goes on without us, and its end is read back
    resumed = drctl("resume", id_, "--no-live")
    assert resumed.code == 0, resumed
    assert (drctl.folder / "ledger").read_text() == "once\nthen\n"
    assert drctl("audit", "verify", id_).code == Exit.AUDIT_NOT_ANCHORED


def test_one_ctrl_c_stops_after_the_running_step_and_says_what_to_type(drctl: Drctl) -> None:
    drctl.write("book.yaml", slow(drctl.folder, after=step("then", f"echo then >> {drctl.folder}/ledger")))
    with drctl.process("run", "book.yaml", "--no-live") as process:
        until((drctl.folder / "started").exists)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        for line in process.stderr:
            if "Stopping after the running step" in line:
                break
        (drctl.folder / "go").touch()
        out, _ = process.communicate(timeout=SECONDS)
    (id_,) = drctl.ids()
    assert process.returncode == Exit.INTERRUPTED, out
    assert f"drctl resume {id_}" in out
    assert (drctl.folder / "ledger").read_text() == "once\n"
    assert drctl("resume", id_, "--no-live").code == 0
    assert (drctl.folder / "ledger").read_text() == "once\nthen\n"


def test_a_hang_up_of_the_terminal_does_not_end_a_run(drctl: Drctl) -> None:
    drctl.write("book.yaml", slow(drctl.folder))
    with drctl.process("run", "book.yaml", "--no-live") as process:
        until((drctl.folder / "started").exists)
        process.send_signal(signal.SIGHUP)
        (drctl.folder / "go").touch()
        process.communicate(timeout=SECONDS)
    assert process.returncode == 0


def test_a_run_that_is_carried_out_has_one_writer_and_is_reached_by_its_inbox(drctl: Drctl) -> None:
    drctl.write("book.yaml", slow(drctl.folder, after=step("then", f"echo then >> {drctl.folder}/ledger")))
    with drctl.process("run", "book.yaml", "--no-live") as process:
        until((drctl.folder / "started").exists)
        (id_,) = drctl.ids()
        assert drctl("--output", "json", "runs").json["runs"][0]["state"] == "running"
        second = drctl("resume", id_, "--no-live")
        assert second.code == Exit.LOCKED
        assert "drctl watch" in second.err
        assert drctl("note", id_, "seen from outside", "--as", "li").code == 0
        kept = drctl("--output", "json", "abort", id_, "--reason", "wrong host", "--as", "li")
        assert (kept.code, kept.json["kept"]) == (0, "abort")
        (drctl.folder / "go").touch()
        process.communicate(timeout=SECONDS)
    assert process.returncode == Exit.ABORTED
    assert (drctl.folder / "ledger").read_text() == "once\n", "the step that ran was left to end; the next never began"
    told = drctl("report", id_, "--format", "json", "-o", "-").json
    assert "seen from outside" in json.dumps(told)
    assert "wrong host" in drctl("show", id_).out


def test_watch_follows_a_run_to_its_end(drctl: Drctl) -> None:
    drctl.write("book.yaml", slow(drctl.folder))
    with drctl.process("run", "book.yaml", "--no-live") as process:
        until((drctl.folder / "started").exists)
        (id_,) = drctl.ids()
        with drctl.process("watch", id_) as watcher:
            assert watcher.stdout is not None
            for line in watcher.stdout:
                if "only/act" in line:
                    break
            (drctl.folder / "go").touch()
            rest, _ = watcher.communicate(timeout=SECONDS)
        process.communicate(timeout=SECONDS)
    assert (watcher.returncode, process.returncode) == (0, 0)
    assert "closed" in rest


def test_two_runs_of_one_lock_refuse_each_other(drctl: Drctl) -> None:
    drctl.write("book.yaml", "locks: [invoices]\n" + slow(drctl.folder))
    with drctl.process("run", "book.yaml", "--no-live") as process:
        until((drctl.folder / "started").exists)
        said = drctl("run", "book.yaml", "--no-live")
        (drctl.folder / "go").touch()
        process.communicate(timeout=SECONDS)
    assert said.code == Exit.LOCKED
    assert "invoices" in said.err
    assert len(drctl.ids()) == 1


# -- abort ---


def test_abort_closes_an_open_run_and_does_nothing_else(drctl: Drctl, waiting: str) -> None:
    assert drctl("abort", waiting).code == Exit.USAGE, "a reason is needed"
    said = drctl("--output", "json", "abort", waiting, "--reason", "not today", "--as", "li")
    assert said.code == Exit.ABORTED
    assert said.json["state"] == "aborted"
    assert "li: not today" in said.json["because"]
    assert (drctl.folder / "ledger").read_text() == "before\n"
    for again in (
        ("abort", waiting, "--reason", "x"),
        ("resume", waiting),
        ("note", waiting, "x"),
        ("approve", waiting),
    ):
        refused = drctl(*again)
        assert refused.code in {Exit.USAGE, Exit.NOTHING_CHANGED}
        assert "next:" in refused.err


def test_abort_puts_back_what_was_suspended(drctl: Drctl) -> None:
    away = step("away", f"mv {drctl.folder}/cron {drctl.folder}/away").replace(
        "undo: {none: a test}", f"restore: {{run: mv {drctl.folder}/away {drctl.folder}/cron}}, undo: {{none: a test}}"
    )
    (drctl.folder / "cron").touch()
    said, id_ = drctl.ran(book(away, "      - {id: m, do: manual, with: {say: Look., by: [commander]}}\n"))
    assert said.code == Exit.PAUSED, said
    assert not (drctl.folder / "cron").exists()
    assert drctl("abort", id_, "--reason", "enough").code == Exit.ABORTED
    assert (drctl.folder / "cron").exists()


def test_a_state_folder_that_cannot_be_written_opens_no_run(drctl: Drctl) -> None:
    drctl.write("book.yaml", book(step("act", f": > {drctl.folder}/acted")))
    if os.geteuid() == 0:
        there = drctl.folder / "file"
        there.touch()
    else:
        there = drctl.folder / "closed"
        there.mkdir(mode=0o500)
    said = drctl("run", "book.yaml", "--no-live", state=there)
    assert said.code == Exit.NOTHING_CHANGED
    assert "--state-dir" in said.err
    assert not (drctl.folder / "acted").exists()
