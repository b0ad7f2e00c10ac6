"""Words from people: answers that count, answers that do not, and what becomes of each."""

import json

import pytest

from drctl.adapters.statedir import StateDir
from drctl.cli.words import by
from drctl.errors import Exit
from tests.cli.conftest import Drctl, book, step

MANUAL = book(
    "      - {id: count, do: manual, with: {say: Count them., by: [commander],"
    " ask: {lost: {type: int, min: 0, ask: 'How many?'}}}}\n"
)


def ledger(drctl: Drctl) -> list[str]:
    return (drctl.folder / "ledger").read_text().split()


def test_an_approval_by_the_right_role_lets_the_run_go_on(drctl: Drctl, waiting: str) -> None:
    kept = drctl("--output", "json", "approve", waiting, "--as", "li", "--reason", "seen")
    assert (kept.code, kept.json["choice"], kept.json["run"]) == (0, "approve", waiting)
    assert f"drctl resume {waiting}" in kept.err
    assert ledger(drctl) == ["before"], "an answer alone changes nothing"
    assert drctl("resume", waiting, "--no-live").code == 0
    assert ledger(drctl) == ["before", "changed"]
    told = drctl("report", waiting, "--format", "markdown", "-o", "-").out
    assert "claimed" in told, "an approval is a claim until signatures come"


@pytest.mark.parametrize(
    ("person", "because"),
    [("wang", "commander"), ("nobody", "nobody"), ("", "commander")],
    ids=["other-role", "unknown", "login"],
)
def test_an_approval_by_anybody_else_is_refused_at_once_and_does_not_count_if_it_comes_anyway(
    drctl: Drctl, waiting: str, person: str, because: str
) -> None:
    words = ["approve", waiting] + (["--as", person] if person else [])
    said = drctl(*words)
    assert (said.code, because in said.err) == (Exit.USAGE, True), said
    assert f"next: drctl answer {waiting} q1 approve --as " in said.err
    inbox = StateDir(drctl.state).find(waiting).inbox
    assert not list(inbox.take())
    inbox.put("answer", {**by(person), "question": "q1", "choice": "approve"})
    resumed = drctl("resume", waiting, "--no-live")
    assert resumed.code == Exit.PAUSED
    assert "refused" in resumed.err
    assert because in resumed.err + resumed.out
    assert ledger(drctl) == ["before"]


def test_one_no_is_enough(drctl: Drctl, waiting: str) -> None:
    assert drctl("reject", waiting, "only/change", "--as", "li", "--reason", "too risky").code == 0
    resumed = drctl("resume", waiting, "--no-live")
    assert resumed.code not in {Exit.DONE, Exit.DEFECT}
    assert ledger(drctl) == ["before"]
    assert "too risky" in drctl("show", waiting).out + resumed.err


def test_a_late_answer_is_kept_in_the_record_and_does_not_count(drctl: Drctl) -> None:
    text = book(
        step("change", f"echo changed >> {drctl.folder}/ledger", more=", approve: {by: [commander], within: 1ms}")
    )
    said, id_ = drctl.ran(text)
    assert said.code == Exit.PAUSED
    (question,) = drctl("--output", "json", "show", id_, "--question").json["questions"]
    assert drctl("answer", id_, question["id"], "approve", "--as", "li").code == 0
    resumed = drctl("resume", id_, "--no-live")
    assert resumed.code == Exit.PAUSED
    assert "late" in resumed.err or "over" in resumed.err
    assert not (drctl.folder / "ledger").exists()


def test_a_typed_answer_is_checked_like_an_input(drctl: Drctl) -> None:
    said, id_ = drctl.ran(MANUAL)
    assert said.code == Exit.PAUSED
    for values in ((), ("--value", "found=1")):
        said = drctl("answer", id_, "q1", "done", *values, "--as", "li")
        assert said.code == Exit.USAGE, said
        assert "lost is missing" in said.err
        assert f"next: drctl answer {id_} q1 done --as li --value lost=VALUE" in said.err
    for wrong in ("lost=many", "lost=-1"):
        said = drctl("answer", id_, "q1", "done", "--value", wrong, "--as", "li")
        assert (said.code, "lost" in said.err) == (Exit.USAGE, True), said
        assert f"next: drctl answer {id_} q1 done --as li --value NAME=VALUE" in said.err
    assert drctl("answer", id_, "count", "done", "--value", "lost=3", "--as", "li").code == 0
    resumed = drctl("--output", "json", "resume", id_, "--no-live")
    assert resumed.code == 0
    assert resumed.json["state"] == "done"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["answer", "RUN", "q9", "approve"], "No question 'q9' waits"),
        (["approve", "RUN", "only/before"], "No question 'only/before' waits"),
        (["answer", "RUN", "q1", "maybe"], "'maybe' does not answer q1"),
        (["retry", "RUN"], "'retry' does not answer q1"),
        (["skip", "RUN", "--reason", "x"], "'skip' does not answer q1"),
        (["done", "RUN", "--reason", "x"], "'done' does not answer q1"),
        (["resolve", "RUN", "--not-done", "--reason", "x"], "'not_done' does not answer q1"),
        (["resolve", "RUN"], "What did you see?"),
        (["note", "RUN", "  "], "The note is empty"),
        (["answer", "RUN", "q1", "approve", "--value", "nonsense"], "NAME=VALUE"),
    ],
)
def test_a_word_that_answers_nothing_is_refused_at_once(
    drctl: Drctl, waiting: str, words: list[str], expected: str
) -> None:
    said = drctl(*[waiting if word == "RUN" else word for word in words])
    assert said.code == Exit.USAGE, said
    assert expected in said.err
    assert "next:" in said.err
    assert not list((drctl.state / "runs" / waiting / "inbox").iterdir())


def test_a_failed_step_is_tried_again_after_it_was_mended(drctl: Drctl, failed: str) -> None:
    assert drctl("resume", failed, "--no-live").code == Exit.STEP_FAILED, "a resume alone does not try again"
    assert drctl("retry", failed, "mended", "--as", "li").code == 0
    assert drctl("resume", failed, "--no-live").code == Exit.STEP_FAILED
    (drctl.folder / "mended").touch()
    assert drctl("retry", failed, "--as", "li").code == 0
    assert drctl("resume", failed, "--no-live").code == 0
    assert ledger(drctl) == ["went"]


@pytest.mark.parametrize(
    ("change", "because"),
    [("wrong=1", "has no field 'wrong'; it has run, argv"), ("allow_dash=perhaps", "allow_dash is bool"),
     ('argv=["a"]', "exactly one of run and argv"), ("elsewhere:run=true", "nothing named elsewhere")],
)  # fmt: skip
def test_a_change_that_cannot_be_is_refused_at_once(drctl: Drctl, failed: str, change: str, because: str) -> None:
    said = drctl("retry", failed, "mended", "--as", "li", "--set", change)
    assert (said.code, because in said.err) == (Exit.USAGE, True), said
    assert f"next: drctl retry {failed} only/mended --as li --set FIELD=VALUE" in said.err
    assert not list(StateDir(drctl.state).find(failed).inbox.take())
    assert drctl("retry", failed, "mended", "--as", "li", "--set", "run=true").code == 0


def test_a_person_of_the_role_whose_name_was_almost_typed_is_named(drctl: Drctl, waiting: str) -> None:
    said = drctl("approve", waiting, "--as", "lii")
    assert said.code == Exit.USAGE
    assert f"next: drctl answer {waiting} q1 approve --as li\n" in said.err


@pytest.mark.parametrize("word", ["skip", "done"])
def test_a_step_left_out_or_attested_makes_the_end_an_exception(drctl: Drctl, failed: str, word: str) -> None:
    refused = drctl(word, failed, "--as", "li")
    assert (refused.code, "needs a reason" in refused.err) == (Exit.USAGE, True)
    assert drctl(word, failed, "--as", "li", "--reason", "done on the console").code == 0
    resumed = drctl("resume", failed, "--no-live")
    assert resumed.code == Exit.EXCEPTIONS
    assert "done on the console" in drctl("report", failed, "--format", "json", "-o", "-").out
    assert not (drctl.folder / "ledger").exists()


def test_a_dangerous_yes_is_given_with_the_name_of_its_target(drctl: Drctl) -> None:
    irreversible = step(
        "wipe", f"echo wiped >> {drctl.folder}/ledger", effect="irreversible",
        more=f", caution: Gone for good., approve: {{by: [commander]}}, verify: {{run: test -s {drctl.folder}/ledger}}",
    )  # fmt: skip
    said, id_ = drctl.ran(book(irreversible))
    assert said.code == Exit.PAUSED
    (question,) = drctl("--output", "json", "show", id_, "--question").json["questions"]
    for words in ([], ["--target", "other"]):
        refused = drctl("approve", id_, "--as", "li", *words)
        assert refused.code == Exit.USAGE
        assert f"--target {question['target']}" in refused.err
    assert drctl("approve", id_, "--as", "li", "--target", question["target"]).code == 0
    assert drctl("resume", id_, "--no-live").code == 0
    assert ledger(drctl) == ["wiped"]


def test_a_step_in_doubt_is_resolved_by_a_person(drctl: Drctl) -> None:
    text = book(
        step("act", f"echo went >> {drctl.folder}/ledger", effect="once", more=", verify: {run: exit 7}"),
        step("then", f"echo then >> {drctl.folder}/ledger"),
    )
    said, id_ = drctl.ran(text)
    assert said.code == Exit.IN_DOUBT, said
    assert "drctl resolve" in said.out
    assert drctl("resume", id_, "--no-live").code == Exit.IN_DOUBT
    assert drctl("resolve", id_, "--look", "--as", "li").code == 0
    assert drctl("resume", id_, "--no-live").code == Exit.IN_DOUBT
    assert drctl("resolve", id_, "--done", "--as", "li", "--reason", "the line is there").code == 0
    resumed = drctl("resume", id_, "--no-live")
    assert resumed.code == Exit.EXCEPTIONS
    assert ledger(drctl) == ["went", "then"]


def test_several_questions_must_be_named(drctl: Drctl) -> None:
    branches = "".join(f"          - {{id: m{n}, do: manual, with: {{say: Look., by: [commander]}}}}\n" for n in (1, 2))
    said, id_ = drctl.ran(book(f"      - id: both\n        parallel:\n{branches}"))
    assert said.code == Exit.PAUSED
    open_now = drctl("--output", "json", "show", id_).json["questions"]
    if len(open_now) > 1:
        refused = drctl("answer", id_, "", "done", "--as", "li")
        assert refused.code == Exit.USAGE
        assert "Several questions wait" in refused.err
    for name in ("m1", "m2"):
        drctl("answer", id_, name, "done", "--as", "li")
        drctl("resume", id_, "--no-live")
    assert drctl("--output", "json", "show", id_).json["state"] == "done"


def test_a_note_stands_in_the_record_with_who_said_it(drctl: Drctl, waiting: str) -> None:
    kept = drctl("--output", "json", "note", waiting, "the phone is down too", "--as", "wang")
    assert (kept.code, kept.json["run"]) == (0, waiting)
    drctl("approve", waiting, "--as", "li")
    assert drctl("resume", waiting, "--no-live").code == 0
    told = json.dumps(drctl("report", waiting, "--format", "json", "-o", "-").json)
    assert "the phone is down too" in told
    assert "wang" in told


def test_the_question_can_be_passed_on_as_text(drctl: Drctl, waiting: str) -> None:
    text = drctl("show", waiting, "--question").out
    assert "APPROVAL NEEDED" in text
    assert f"drctl approve {waiting}" in text
    drctl("abort", waiting, "--reason", "over")
    assert "waits for nobody" in drctl("show", waiting, "--question").out
