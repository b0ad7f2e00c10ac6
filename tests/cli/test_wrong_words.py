"""Whatever is typed: a code of the table, a message that says what to do, no traceback, nothing changed."""

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from drctl.cli.app import run
from drctl.errors import Exit
from tests.cli.conftest import SECONDS, Drctl, book, step

U, D, N = int(Exit.USAGE), int(Exit.DOCUMENT), int(Exit.NOTHING_CHANGED)
LONG = "x" * 5000

# (words, exit code, a text of the message); DONE stands for the id of a run that is closed.
TABLE: list[tuple[list[str], int, str]] = [
    ([], U, "Missing command"),
    (["nothing"], U, "No such command 'nothing'"),
    (["chek"], U, "Did you mean check"),
    (["resme", "x"], U, "Did you mean resume"),
    ([""], U, "No such command"),
    (["\x1b[31mred"], U, "\\x1b[31mred"),
    (["--output", "xml", "runs"], U, "is not one of"),
    (["--color", "red", "runs"], U, "is not one of"),
    (["--nothing"], U, "No such option"),
    (["check"], U, "Missing argument"),
    (["check", ""], U, "cannot be read"),
    (["check", "none.yaml"], U, "No such file"),
    (["check", "folder"], U, "Is a directory"),
    (["check", "a\0b"], U, "cannot be read"),
    (["check", LONG], U, "too long"),
    (["check", "\x1b[31m\u202e"], U, "\\x1b[31m\\u202e"),
    (["check", "binary"], D, "not UTF-8"),
    (["check", "empty"], D, "no document"),
    (["check", "/dev/null"], D, "no document"),
    (["check", "deep"], D, "levels"),
    (["check", "nul"], D, "U+0000"),
    (["check", "utf16"], D, "UTF-16"),
    (["check", "alias"], D, "anchor"),
    (["check", "list"], D, "a map is expected"),
    (["check", "number"], D, "a map is expected"),
    (["check", "inventory.yaml"], D, "'phases' is missing"),
    (["check", "book.yaml", "--inventory", "folder"], U, "Is a directory"),
    (["check", "book.yaml", "--inventory", "binary"], D, "not UTF-8"),
    (["check", "book.yaml", "--inventory", "book.yaml"], D, "'environment' is missing"),
    (["plan"], U, "Missing argument"),
    (["plan", "folder"], U, "Is a directory"),
    (["plan", "binary"], D, "not UTF-8"),
    (["plan", "book.yaml", "--inventory", "/none"], U, "No such file"),
    (["plan", "book.yaml", "-i", "word"], U, "NAME=VALUE"),
    (["plan", "book.yaml", "-i", "=x"], U, "NAME=VALUE"),
    (["plan", "book.yaml", "-i", "none=1"], U, "no input 'none'"),
    (["plan", "book.yaml", "-i", "place="], U, "is empty"),
    (["plan", "book.yaml", "--declared-reads", "maybe"], U, "is not one of"),
    (["run", "binary"], D, "not UTF-8"),
    (["run", "book.yaml", "--wait", "soon"], U, "not a duration"),
    (["run", "book.yaml", "--wait", ""], U, "not a duration"),
    (["run", "book.yaml", "--wait", "-5s"], U, "less than no time"),
    (["run", "book.yaml", "-i", "n=" + "9" * 10000], U, "n"),
    (["show"], U, "Missing argument"),
    (["show", ""], U, "There is no run"),
    (["show", " \n"], U, "There is no run"),
    (["show", "ZZZZZ"], U, "There is no run"),
    (["show", "9" * 10000], U, "There is no run"),
    (["show", "../../etc"], U, "There is no run"),
    (["show", "恢复"], U, "There is no run"),
    (["show", "DONE", "--nothing"], U, "No such option"),
    (["resume", "ZZZZZ"], U, "There is no run"),
    (["resume", "DONE"], N, "closed"),
    (["resume", "DONE", "--wait", "x"], U, "not a duration"),
    (["pause"], U, "Missing argument"),
    (["pause", "ZZZZZ"], U, "There is no run"),
    (["pause", "DONE"], U, "closed already"),
    (["rollback", "DONE"], U, "closed already"),
    (["rollback", "DONE", "--show"], U, "closed already"),
    (["rollback", "DONE", "--to", "hello", "--reason", "x"], U, "closed already"),
    (["retry", "DONE", "--set", "run"], U, "NAME=VALUE"),
    (["abort", "DONE"], U, "Missing option"),
    (["abort", "DONE", "--reason", "x"], U, "closed already"),
    (["answer", "DONE"], U, "Missing argument"),
    (["answer", "DONE", "q1", "yes"], U, "closed already"),
    (["approve", "DONE"], U, "closed already"),
    (["approve", "DONE", "x" * 3000], U, "closed already"),
    (["reject", "ZZZZZ"], U, "There is no run"),
    (["resolve", "DONE"], U, "What did you see?"),
    (["retry", "DONE"], U, "closed already"),
    (["skip", "DONE"], U, "closed already"),
    (["done", "DONE"], U, "closed already"),
    (["note", "DONE", "x"], U, "takes no more notes"),
    (["watch", "ZZZZZ"], U, "There is no run"),
    (["report", "ZZZZZ"], U, "There is no run"),
    (["report", "DONE", "--format", "pdf"], U, "is not one of"),
    (["report", "DONE", "-o", "x.html"], U, "takes one form"),
    (["report", "DONE", "--format", "html", "-o", "folder"], int(Exit.JOURNAL), "Is a directory"),
    (["audit"], U, "Usage"),
    (["audit", "verify"], U, "Missing argument"),
    (["audit", "verify", "folder"], U, "There is no journal"),
    (["audit", "verify", "DONE", "--pub", "!!"], U, "public key"),
    (["explain", "E13"], U, "There is no code 'E13'. Did you mean E"),
    (["explain", "\x1b[31m"], U, "There is no code '\\x1b[31m'"),
    (["explain", LONG], U, "There is no code"),
    (["graph"], U, "Missing argument"),
    (["graph", "none.yaml"], U, "No such file"),
    (["graph", "binary"], D, "not UTF-8"),
    (["graph", "book.yaml", "--format", "dot"], U, "is not one of"),
    (["graph", "book.yaml", "-o", "folder"], U, "Is a directory"),
    (["graph", "book.yaml", "--inventory", "binary"], D, "not UTF-8"),
    (["new"], U, "Missing argument"),
    (["new", "none"], U, "is not one of"),
    (["new", "runbook", "Big Name"], U, "drctl new runbook big-name"),
    (["new", "runbook", "恢复"], U, "drctl new runbook recovery"),
    (["new", "runbook", "book"], U, "There is a file of this name already"),
    (["new", "inventory"], U, "drctl new inventory -o inventory-2.yaml"),
    (["new", "runbook", "-o", "folder"], U, "already"),
    (["new", "runbook", "-o", "/none/x.yaml"], U, "No such file"),
    (["new", "runbook", "-o", "a\0b"], U, "cannot be written"),
    (["kinds", "none"], U, "There is no kind"),
    (["schema", "none"], U, "is not one of"),
    (["lab"], U, "Usage"),
    (["lab", "none"], U, "No such command"),
    (["lab", "break", "none"], U, "There is no scenario"),
    (["lab", "demo", "--scenario", ""], U, "There is no scenario"),
    (["lab", "up", "--ttl", "long"], U, "not a valid float"),
    (["lab", "up", "--ttl", "-1"], U, "ttl"),
    (["lab", "up", "--ttl", "nan"], U, "ttl"),
    (["runs", "none"], U, "No such command"),
    (["runs", "list", "x"], U, "unexpected"),
]


@pytest.fixture
def documents(drctl: Drctl, done: str) -> str:
    """Documents of every wrong form; gives the id of the closed run."""
    here = drctl.folder
    (here / "folder").mkdir()
    (here / "binary").write_bytes(bytes(range(256)) * 50)
    (here / "empty").touch()
    (here / "deep").write_text("[" * 5000)
    (here / "nul").write_bytes(b"runbook: a\0b\n")
    (here / "utf16").write_bytes("runbook: x\n".encode("utf-16"))
    (here / "alias").write_text("a: &a [1]\nb: *a\n")
    (here / "list").write_text("- 1\n")
    (here / "number").write_text("42\n")
    head = "inputs: {place: {type: text, default: x}, n: {type: int, default: 1}}\n"
    drctl.write("book.yaml", book(step("a", "true", effect="read"), head=head))
    return done


def test_every_wrong_word_gets_its_code_and_its_message(drctl: Drctl, documents: str) -> None:
    before = drctl.ids()
    wrong = []
    for words, code, text in TABLE:
        said = drctl(*[documents if word == "DONE" else word for word in words])
        if said.code != code or text not in said.err:
            wrong.append((words, code, text, said))
        assert all(c.isprintable() or c == "\n" for c in said.err), words
    assert wrong == []
    assert drctl.ids() == before


def test_errors_are_one_json_document_when_json_is_asked_for(drctl: Drctl, documents: str) -> None:
    for words, code, text in TABLE:
        if not words or words[0] in {"--output", "--color"}:
            continue
        said = drctl("--output", "json", *[documents if word == "DONE" else word for word in words])
        assert said.code == code, words
        if said.out:  # what click refuses never gets as far as having data
            document = said.json
            if "error" in document:
                assert document["error"]["exit"] == code, words
                assert text in said.err, words


@pytest.mark.parametrize("there", ["file", "/dev/null", "/proc/none", "x" * 300, ""], ids=str)
def test_a_state_folder_that_cannot_be_used_is_not_an_empty_one(
    drctl: Drctl, documents: str, there: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (drctl.folder / "file").touch()
    words = [["runs"], ["show", documents], ["watch", documents], ["run", "book.yaml"], ["note", documents, "x"]]
    for command in words:
        code = run(["--state-dir", there, *command])
        said = capsys.readouterr()
        if there == "/proc/none" and command[0] != "run":  # a folder that is not there yet holds no runs
            continue
        assert code in {Exit.USAGE, Exit.NOTHING_CHANGED}, (command, code, said)
        assert "--state-dir" in said.err or "no run" in said.err
    if Path(there).name == "file":
        assert Path(there).read_bytes() == b""


def test_a_variable_never_answers_a_prompt(drctl: Drctl, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "YES",
        "RUN_YES",
        "DRCTL_YES",
        "DRCTL_RUN_YES",
        "DRCTL_WAIT",
        "DRCTL_RUN_WAIT",
        "DRCTL_AS",
        "DRCTL_APPROVE_AS",
    ):
        monkeypatch.setenv(name, "1")
    text = book(step("act", "true", more=", caution: Sure."))
    said, _ = drctl.ran(text)
    assert said.code == Exit.PAUSED
    said, _ = drctl.ran(text.replace("runbook: book", "runbook: another"), "--yes")
    assert said.code == Exit.PAUSED, "without a terminal nobody is asked, and --yes answers prompts, not questions"


def test_a_defect_is_told_as_one(drctl: Drctl, done: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> str:
        raise RuntimeError("\x1b[31mno\u202e")

    monkeypatch.setattr("drctl.cli.commands.show.fold_of", broken)
    said = drctl("show", done)
    assert said.code == Exit.DEFECT
    assert "drctl has a defect: RuntimeError: \\x1b[31mno\\u202e" in said.err
    assert "next:" in said.err
    monkeypatch.setenv("DRCTL_DEBUG", "1")
    code = run(["--state-dir", str(drctl.state), "show", done])
    assert code == Exit.DEFECT


def test_debug_shows_where_a_defect_happened(
    drctl: Drctl, done: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> str:
        raise RuntimeError("here")

    monkeypatch.setattr("drctl.cli.commands.show.fold_of", broken)
    monkeypatch.setenv("DRCTL_DEBUG", "1")
    assert run(["--state-dir", str(drctl.state), "show", done]) == Exit.DEFECT
    assert "Traceback" in capsys.readouterr().err


# -- stdout and stderr as processes meet them ---


def shell(drctl: Drctl, line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a line of sh in which $D is drctl."""
    argv = drctl.argv()
    return subprocess.run(
        ["sh", "-c", line, *argv], capture_output=True, text=True, timeout=SECONDS, check=False,
        env={**os.environ, **environment}, stdin=subprocess.DEVNULL, errors="surrogateescape",
    )  # fmt: skip


D_ = '"$0" "$@"'


def test_a_reader_that_went_away_changes_no_exit_code(drctl: Drctl, done: str) -> None:
    for command, code in ((f"audit verify {done}", Exit.AUDIT_NOT_ANCHORED), ("kinds", 0), ("show ZZZZZ", Exit.USAGE)):
        said = shell(drctl, f'{{ {D_} {command}; echo "code $?" >&2; }} | true')
        assert f"code {int(code)}\n" in said.stderr
        assert "Broken" not in said.stderr
        assert "Traceback" not in said.stderr


def test_a_run_whose_stdout_is_closed_or_gone_still_runs_and_tells_its_code(drctl: Drctl) -> None:
    drctl.write(
        "book.yaml",
        book(step("act", f"echo went >> {drctl.folder}/ledger"), step("no", "exit 3", more=", on_failure: abort")),
    )
    for number, tail in enumerate((">&- 2>&- <&-", "2>/dev/full >/dev/null", "| true"), start=1):
        line = (
            f"{{ {D_} run book.yaml --no-live; echo $? > code; }} {tail}"
            if "|" in tail
            else f"{D_} run book.yaml --no-live {tail}; echo $? > code"
        )
        shell(drctl, line)
        assert (drctl.folder / "code").read_text().strip() == str(int(Exit.STEP_FAILED)), tail
        assert (drctl.folder / "ledger").read_text() == "went\n" * number
    for id_ in drctl.ids():
        assert drctl("audit", "verify", id_).code in {Exit.AUDIT_NOT_ANCHORED, Exit.AUDIT_UNSIGNED_TAIL}, tail


def test_a_full_disk_behind_stdout_is_no_success(drctl: Drctl, done: str) -> None:
    said = shell(drctl, f"{D_} show {done} > /dev/full")
    assert said.returncode == Exit.JOURNAL
    assert "No space left" in said.stderr


def test_names_that_are_not_utf_8_are_shown_escaped(drctl: Drctl) -> None:
    for command in ("check", "--output json show"):
        said = shell(drctl, f"""{D_} {command} "$(printf '\\377')\"""")
        assert said.returncode == Exit.USAGE, said
        assert "\\udcff" in said.stderr
        assert said.stdout == "" or json.loads(said.stdout)["error"]["exit"] == Exit.USAGE


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_any_encoding_will_do(drctl: Drctl, done: str, encoding: str) -> None:
    for command in (f"show {done}", f"watch {done}"):
        said = shell(drctl, f"{D_} {command}", PYTHONIOENCODING=encoding, PYTHONUTF8="0")
        assert said.returncode == 0, said
        assert "Error" not in said.stderr


def test_json_is_utf_8_whatever_the_locale_says(drctl: Drctl) -> None:
    said, id_ = drctl.ran(book(step("a", "true", effect="read"), head="title: {en: Café, zh: 恢复发票系统}\n"))
    assert said.code == 0
    for command in (f"--output json watch {id_}", f"report {id_} --format json -o -"):
        done = shell(drctl, f"{D_} {command} | od -An -v -tx1", PYTHONIOENCODING="latin-1", PYTHONUTF8="0")
        data = bytes.fromhex("".join(done.stdout.split()))
        assert json.loads(data.decode("utf-8")), command
    assert "Café".encode() in data


def test_ctrl_c_outside_a_run_is_130_and_no_traceback(drctl: Drctl, waiting: str) -> None:
    os.mkfifo(drctl.folder / "pipe")
    with drctl.process("check", "pipe") as process:  # waits for the pipe's other end
        assert process.stderr is not None
        with (drctl.folder / "pipe").open("wb"):  # opened on both sides: now it reads
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=SECONDS)
    assert process.returncode == Exit.INTERRUPTED, (process.returncode, err)
    assert "Traceback" not in err
    assert waiting in drctl.ids()


def test_without_a_home_the_state_folder_is_asked_for(drctl: Drctl) -> None:
    said = subprocess.run(
        [*drctl.argv()[:3], "runs"], capture_output=True, text=True, timeout=SECONDS, check=False,
        env={"PATH": os.environ["PATH"]},
    )  # fmt: skip
    assert said.returncode == Exit.USAGE
    assert "HOME" in said.stderr
