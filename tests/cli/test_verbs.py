"""pause, retry, skip, done, rollback, abort from another terminal: each answers with what became of it."""

import json
from pathlib import Path

import pytest

from drctl.errors import Exit
from tests.cli.conftest import SECONDS, Drctl, Said, book, step, until
from tests.cli.test_running import slow


def undoable(folder: Path, name: str) -> str:
    return step(name, f"echo {name} >> {folder}/ledger").replace(
        "undo: {none: a test}", f"undo: {{run: echo un-{name} >> {folder}/ledger}}"
    )


def failing(drctl: Drctl) -> str:
    """A run that has done two things, and failed at a third."""
    uses = "      - {id: after, do: check, expect: steps.fails.exit == 0}\n"
    fails = step("fails", f"cat {drctl.folder}/missing", effect="read")
    said, id_ = drctl.ran(book(undoable(drctl.folder, "a"), undoable(drctl.folder, "b"), fails, uses))
    assert said.code == Exit.STEP_FAILED, said
    return id_


def ledger(drctl: Drctl) -> list[str]:
    return (drctl.folder / "ledger").read_text().split()


def refused(said: Said, *texts: str) -> None:
    """It says what happened, where things stand, and what to type."""
    assert said.code in {Exit.USAGE, Exit.NOTHING_CHANGED}, said
    assert "next: drctl" in said.err
    assert all(text in said.err for text in texts), said.err


# -- a run that nobody carries out ---


def test_pause_of_a_run_that_nobody_carries_out_says_so_and_where_it_stands(drctl: Drctl) -> None:
    id_ = failing(drctl)
    refused(drctl("pause", id_), "Nobody carries", "FAILED", "drctl resume")


def test_words_about_steps_that_wait_for_nothing_say_what_they_are_doing(drctl: Drctl) -> None:
    id_ = failing(drctl)
    refused(drctl("retry", id_, "a"), "only/a is ok", "run " + id_)
    refused(drctl("skip", id_, "after", "--reason", "x"), "only/after has not begun")
    refused(drctl("done", id_, "nothing", "--reason", "x"), "No step of this runbook is named 'nothing'")
    refused(drctl("approve", id_, "fails"), "does not answer")
    refused(drctl("retry", id_, "q7"), "q7")


def test_the_same_word_twice_is_told_apart(drctl: Drctl) -> None:
    id_ = failing(drctl)
    assert drctl("skip", id_, "fails", "--reason", "x").code == 0
    refused(drctl("skip", id_, "fails", "--reason", "x"), "has said skip", "drctl resume")


def test_skip_says_first_what_loses_its_values(drctl: Drctl) -> None:
    id_ = failing(drctl)
    text = "these go by its values and lose them: only/after"
    assert text in " ".join(drctl("show", id_).out.split())
    assert text in drctl("skip", id_, "fails", "--reason", "x").err


def test_retry_with_another_value_then_resume(drctl: Drctl) -> None:
    id_ = failing(drctl)
    said = drctl("retry", id_, "fails", "--set", "run=true", "--reason", "typo")
    assert said.code == 0, said
    assert f"drctl resume {id_}" in said.err
    assert drctl("resume", id_, "--no-live").code == Exit.EXCEPTIONS
    shown = drctl("report", id_, "--format", "json", "-o", "-").out
    assert "changed run" in shown


def test_done_keeps_a_file_as_evidence_with_the_run(drctl: Drctl) -> None:
    id_ = failing(drctl)
    (drctl.folder / "proof.txt").write_text("it is up\n")
    none = drctl("done", id_, "fails", "--reason", "by hand", "--evidence", "@none")
    assert none.code == Exit.USAGE
    assert "cannot be read" in none.err
    assert drctl("done", id_, "fails", "--reason", "by hand", "--evidence", "@proof.txt").code == 0
    drctl("skip", id_, "after", "--reason", "x")
    drctl("resume", id_, "--no-live")
    record = drctl.journal(id_).read_text()
    assert "proof.txt, 9 bytes, kept as out/" in record
    digest = record.split("kept as out/")[1][:64]
    assert (drctl.state / "runs" / id_ / "out" / digest).read_text() == "it is up\n"


def test_rollback_shows_then_takes_everything_back_and_closes(drctl: Drctl) -> None:
    id_ = failing(drctl)
    shown = drctl("rollback", id_, "--show")
    assert (shown.code, ledger(drctl)) == (0, ["a", "b"])
    assert "takes back, newest first: b on local, a on local" in shown.out
    as_json = drctl("--output", "json", "rollback", id_, "--show", "--to", "b").json
    assert (as_json["back"], as_json["to"]) == (["b on local"], "only/b")
    refused(drctl("rollback", id_), "needs a reason")
    said = drctl("--output", "json", "rollback", id_, "--reason", "worse", "--as", "li")
    assert (said.code, said.json["state"]) == (Exit.ROLLED_BACK, "rolled_back")
    assert ledger(drctl) == ["a", "b", "un-b", "un-a"]
    refused(drctl("rollback", id_, "--reason", "again"), "closed already: ROLLED BACK")


def test_rollback_to_a_step_stays_open_before_it(drctl: Drctl) -> None:
    id_ = failing(drctl)
    said = drctl("rollback", id_, "--to", "b", "--reason", "again from there", "--as", "li")
    assert said.code == Exit.PAUSED, said
    assert f"drctl resume {id_}" in said.out
    assert "only/b" in said.out
    assert "answer as above" not in said.out
    assert "No question 'fails' waits" in drctl("skip", id_, "fails", "--reason", "x").err
    assert ledger(drctl) == ["a", "b", "un-b"]
    (drctl.folder / "missing").touch()
    assert drctl("resume", id_, "--no-live").code == Exit.EXCEPTIONS
    assert ledger(drctl) == ["a", "b", "un-b", "b"]


def test_a_rollback_that_cannot_be_leaves_the_run_as_it_was(drctl: Drctl) -> None:
    id_ = failing(drctl)
    for to, why in (("nothing", "there is no step"), ("after", "has not begun")):
        refused(drctl("rollback", id_, "--show", "--to", to), why)
        said = drctl("rollback", id_, "--to", to, "--reason", "x")
        assert said.code == Exit.NOTHING_CHANGED
        assert why in said.err
        shown = drctl("--output", "json", "show", id_).json
        assert (shown["state"], shown["exit"]) == ("paused", Exit.STEP_FAILED)
    assert ledger(drctl) == ["a", "b"]


def test_a_run_with_nothing_to_take_back_says_so(drctl: Drctl) -> None:
    said, id_ = drctl.ran(book(step("no", "exit 3", effect="read")))
    assert said.code == Exit.STEP_FAILED
    refused(drctl("rollback", id_, "--show"), "nothing to take back")
    assert drctl("rollback", id_, "--reason", "x").code == Exit.NOTHING_CHANGED


# -- a run that is being carried out ---


@pytest.mark.parametrize(
    ("words", "code", "state"),
    [
        (("pause", "--reason", "wait"), Exit.PAUSED, "paused"),
        (("abort", "--reason", "wrong"), Exit.ABORTED, "aborted"),
        (("rollback", "--reason", "worse"), Exit.ROLLED_BACK, "rolled_back"),
        (("rollback", "--to", "first", "--reason", "worse"), Exit.PAUSED, "paused"),
    ],
)
def test_a_word_to_a_running_run_is_answered_with_what_became_of_it(
    drctl: Drctl, words: tuple[str, ...], code: Exit, state: str
) -> None:
    text = slow(drctl.folder, after=step("then", f"echo then >> {drctl.folder}/ledger"))
    first = undoable(drctl.folder, "first")
    drctl.write("book.yaml", text.replace("    steps:\n", f"    steps:\n{first}", 1))
    with drctl.process("run", "book.yaml", "--no-live") as process:
        until((drctl.folder / "started").exists)
        (id_,) = drctl.ids()
        with drctl.process("--output", "json", words[0], id_, *words[1:]) as sender:
            until(lambda: any((drctl.state / "runs" / id_ / "inbox").glob("*.json")) or sender.poll() is not None)
            (drctl.folder / "go").touch()
            out, err = sender.communicate(timeout=SECONDS)
        process.communicate(timeout=SECONDS)
    assert (sender.returncode, process.returncode) == (0, code), err
    assert json.loads(out)["kept"] == words[0]
    assert drctl("--output", "json", "show", id_).json["state"] == state
    assert "then" not in ledger(drctl)


def test_a_refused_word_to_a_running_run_is_an_error_with_the_reason(drctl: Drctl) -> None:
    drctl.write("book.yaml", book(step("wait", "true"), "      - {id: m, do: manual, with: {say: Look.}}\n"))
    with drctl.process("run", "book.yaml", "--no-live", "--wait", "10m") as process:
        until(
            lambda: bool(drctl.ids()) and bool(drctl("--output", "json", "show", drctl.ids()[0]).json.get("questions"))
        )
        (id_,) = drctl.ids()
        said = drctl("rollback", id_, "--to", "nowhere", "--reason", "x")
        refused(said, "rollback was refused: there is no step 'nowhere'", "It had no effect", id_)
        refused(drctl("rollback", id_, "--reason", "x"), "nothing to take back")
        paused = drctl("pause", id_)
        assert paused.code == 0, paused
        assert "Taken up: pause" in paused.err
        assert "PAUSED" in paused.err
        process.communicate(timeout=SECONDS)
    assert process.returncode == Exit.PAUSED


def test_an_answer_to_a_waiting_run_says_that_it_counts_or_why_not(drctl: Drctl) -> None:
    drctl.write("book.yaml", book("      - {id: m, do: manual, with: {say: Look., by: [commander]}}\n"))
    with drctl.process("run", "book.yaml", "--no-live", "--wait", "10m") as process:
        until(
            lambda: bool(drctl.ids()) and bool(drctl("--output", "json", "show", drctl.ids()[0]).json.get("questions"))
        )
        (id_,) = drctl.ids()
        refused(drctl("answer", id_, "m", "done", "--as", "wang"), "wang is not commander")
        said = drctl("answer", id_, "m", "done", "--as", "li")
        assert said.code == 0, said
        assert "Taken up: done for only/m" in said.err
        process.communicate(timeout=SECONDS)
    assert process.returncode == 0


@pytest.mark.parametrize("state", ["done", "exceptions", "aborted", "failed", "rolled_back", "nothing_changed"])
def test_to_a_closed_run_every_word_is_an_error_that_says_how_it_ended(drctl: Drctl, state: str) -> None:
    a, fails = undoable(drctl.folder, "a"), step("fails", "exit 3", effect="read")
    texts = {
        "done": book(a),
        "exceptions": book(a, head="objectives: {rto: 5m}\n"),
        "aborted": book(a, fails),
        "failed": book(a, fails.replace("effect: read", "effect: read, on_failure: abort")),
        "rolled_back": book(a, fails.replace("effect: read", "effect: read, on_failure: rollback")),
        "nothing_changed": book("      - {id: c, do: check, expect: 1 == 2, on_failure: abort}\n"),
    }
    _, id_ = drctl.ran(texts[state])
    if state == "aborted":
        drctl("abort", id_, "--reason", "x")
    assert drctl("--output", "json", "show", id_).json["state"] == state
    before = drctl.journal(id_).read_bytes()
    words = [
        ("pause", id_), ("resume", id_), ("retry", id_, "fails"), ("skip", id_, "fails", "--reason", "x"),
        ("done", id_, "fails", "--reason", "x"), ("rollback", id_, "--reason", "x"), ("rollback", id_, "--show"),
        ("abort", id_, "--reason", "x"), ("note", id_, "x"), ("approve", id_), ("resolve", id_, "--done"),
    ]  # fmt: skip
    for word in words:
        refused(drctl(*word), "closed")
    assert drctl.journal(id_).read_bytes() == before
