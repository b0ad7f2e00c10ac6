"""`resume --runbook`: an edited runbook under an open run (question 23 of the language specification, section 15)."""

import json
from pathlib import Path

import pytest

from drctl.errors import Exit
from tests.cli.conftest import Drctl, book, step


def writes(folder: Path, id_: str, word: str | None = None, more: str = "") -> str:
    return step(id_, f"echo {word or id_} >> {folder}/ledger", more=more)


def ledger(drctl: Drctl) -> list[str]:
    return (drctl.folder / "ledger").read_text().split()


@pytest.fixture
def stuck(drctl: Drctl) -> str:
    """A run whose second step has a slip in it."""
    folder = drctl.folder
    said, id_ = drctl.ran(book(writes(folder, "a"), step("b", "no-such-command"), writes(folder, "c")))
    assert said.code == Exit.STEP_FAILED, said
    return id_


def edited(drctl: Drctl, *steps: str) -> str:
    return drctl.write("edited.yaml", book(*steps))


def test_the_differences_are_listed_old_and_new_with_what_to_type(drctl: Drctl, stuck: str) -> None:
    name = edited(drctl, writes(drctl.folder, "a"), writes(drctl.folder, "b"), writes(drctl.folder, "c", "see"))
    said = drctl("resume", stuck, "--runbook", name, "--no-live")
    assert said.code == Exit.PLAN_CHANGED, said
    for word in ("only/b: changed", "old: no-such-command", f"new: echo b >> {drctl.folder}/ledger", "only/c: changed"):
        assert word in said.err, word
    assert "--accept-change only/b --accept-change only/c --reason TEXT" in said.err
    assert "only/a" not in said.err
    part = drctl("resume", stuck, "--runbook", name, "--accept-change", "b", "--reason", "r", "--no-live")
    assert part.code == Exit.PLAN_CHANGED
    assert "--accept-change b --accept-change only/c" in part.err
    assert ledger(drctl) == ["a"]


def test_an_accepted_change_is_gone_on_with_recorded_and_an_exception(drctl: Drctl, stuck: str) -> None:
    name = edited(drctl, writes(drctl.folder, "a"), writes(drctl.folder, "b"), writes(drctl.folder, "c"))
    flags = ("--accept-change", "b", "--reason", "a slip of the pen")
    assert drctl("resume", stuck, "--runbook", name, *flags, "--no-live").code == Exit.STEP_FAILED, "nobody said retry"
    (drctl.folder / "edited.yaml").unlink()  # what was accepted stands in the journal
    assert drctl("retry", stuck, "b", "--as", "li").code == 0
    said = drctl("resume", stuck, "--no-live")
    assert said.code == Exit.EXCEPTIONS, said
    assert ledger(drctl) == ["a", "b", "c"]
    records = [json.loads(line) for line in drctl.journal(stuck).read_text().splitlines()]
    (resumed,) = (r["body"] for r in records if r["type"] == "run_resumed" and r["body"].get("accepted"))
    assert (resumed["accepted"], resumed["reason"]) == (["only/b"], "a slip of the pen")
    told = drctl("report", stuck, "--format", "json", "-o", "-").json
    assert "only/b: runbook changed" in json.dumps(told["exceptions"])
    assert resumed["plan_digest"] in json.dumps(told)
    assert drctl("audit", "verify", stuck).code == Exit.AUDIT_NOT_ANCHORED


def test_steps_may_be_added_and_left_out_after_what_is_done_and_see_its_captures(drctl: Drctl) -> None:
    folder = drctl.folder
    seen = step("seen", "echo 7", effect="read", more=", capture: {n: int(stdout)}")
    said, id_ = drctl.ran(book(seen, step("b", "no-such-command"), writes(folder, "c")))
    assert said.code == Exit.STEP_FAILED
    use = step("use", f'echo "${{{{ steps.seen.n }}}}" >> {folder}/ledger')
    name = edited(drctl, seen, use, writes(folder, "b"))
    flags = [f for one in ("use", "b", "c") for f in ("--accept-change", one)]
    assert drctl("retry", id_, "b", "--as", "li").code == 0
    said = drctl("resume", id_, "--runbook", name, *flags, "--reason", "shorter", "--no-live")
    assert said.code == Exit.EXCEPTIONS, said
    assert ledger(drctl) == ["7", "b"]


@pytest.mark.parametrize(
    ("old", "new", "because"),
    [
        ("echo a >>", "echo A >>", "it is over (ok)"),
        ("id: a,", "id: a9,", "it is over (ok)"),
        ("phases:", "vars: {x: 1}\nphases:", "it was frozen"),
        ("    steps:\n", "    steps:\n      - {id: z, do: check, expect: 1 == 1}\n", "before what began already"),
        ("runbook: book", "runbook: other", "it was frozen"),
        ('command", effect: idempotent, undo: {none: a test}', 'x", effect: idempotent, undo: {run: y}', "taken back"),
    ],
    ids=["done", "renamed", "vars", "before", "name", "undo"],
)  # fmt: skip
def test_what_is_done_or_frozen_cannot_be_changed(drctl: Drctl, stuck: str, old: str, new: str, because: str) -> None:
    text = (drctl.folder / "book.yaml").read_text()
    assert old in text
    name = drctl.write("edited.yaml", text.replace(old, new))
    said = drctl("resume", stuck, "--runbook", name, "--no-live")
    assert said.code == Exit.PLAN_CHANGED, said
    assert "NOT POSSIBLE: " in said.err
    assert because in said.err
    assert ledger(drctl) == ["a"]


def test_comments_and_order_of_keys_are_no_difference(drctl: Drctl, stuck: str) -> None:
    text = (drctl.folder / "book.yaml").read_text()
    name = drctl.write("edited.yaml", "# looked at\n" + text.replace("runbook: book\n", "runbook: book\n# again\n"))
    before = drctl.journal(stuck).read_text()
    assert drctl("resume", stuck, "--runbook", name, "--no-live").code == Exit.STEP_FAILED
    assert '"accepted"' not in drctl.journal(stuck).read_text()[len(before) :]


def test_a_yes_to_the_older_step_is_no_yes_to_the_newer(drctl: Drctl, waiting: str) -> None:
    text = (drctl.folder / "book.yaml").read_text()
    assert drctl("approve", waiting, "change", "--as", "li").code == 0
    name = drctl.write("edited.yaml", text.replace("within: 10m}", "within: 10m}, timeout: 9m"))
    said = drctl("resume", waiting, "--runbook", name, "--accept-change", "change", "--reason", "r", "--no-live")
    assert said.code == Exit.PAUSED, "it would send the same, and still it is another step"
    assert drctl("approve", waiting, "change", "--as", "li").code == 0
    assert drctl("resume", waiting, "--no-live").code == Exit.EXCEPTIONS


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        (("--accept-change", "b", "--reason", "r"), "--runbook"),
        (("--runbook", "book.yaml", "--accept-change", "b"), "--reason"),
        (("--runbook", "book.yaml", "--accept-change", "b", "--reason", "r"), "Not different"),
        (("--runbook", "nowhere.yaml"), "cannot be read"),
    ],
)
def test_wrong_words_are_told(drctl: Drctl, stuck: str, flags: tuple[str, ...], word: str) -> None:
    said = drctl("resume", stuck, *flags)
    assert said.code == Exit.USAGE
    assert word in said.err
