"""A canary in every secret: no byte of it may reach a journal, an output, a report or a screen, in no form."""

import base64
import json
import threading
import urllib.parse
from pathlib import Path

import pytest

from drctl.adapters.secrets import Masker, Secrets
from drctl.cli import app
from drctl.core.inventory import SecretRef
from drctl.engine.executor import Executor
from drctl.errors import Exit, RefusedError
from tests.cli.conftest import Drctl, book, step

CANARY = "kanarie/Vogel+7&q'ü"
"""Holds what shells, URLs, JSON, HTML and base64 each write in their own way."""

FORMS = [
    CANARY.encode(),
    base64.b64encode(CANARY.encode()),
    base64.urlsafe_b64encode(CANARY.encode()),
    CANARY.encode().hex().encode(),
    urllib.parse.quote(CANARY, safe="").encode(),
    json.dumps(CANARY)[1:-1].encode(),
    b"kanarie",  # the beginning of all of the readable ones
]

SCRIPTS = {
    "plain": 'printf "%s\\n" "$TOKEN"',
    "stderr": 'printf "%s\\n" "$TOKEN" >&2',
    "base64": 'printf %s "$TOKEN" | base64',
    "base64-inside": 'printf "user:%s" "$TOKEN" | base64',
    "hex": 'printf %s "$TOKEN" | od -An -tx1 | tr -d " \\n"',
    "in-two-writes": 'printf %.6s "$TOKEN"; sleep 0.05; printf "%s\\n" "${TOKEN#??????}"',
    "failing": 'printf "%s\\n" "$TOKEN" >&2; exit 3',
    "traced": 'set -x; : "$TOKEN"',
    "read-from-stdin": "cat",
}


def found(folder: Path, *texts: str) -> list[str]:
    """Where the canary was seen."""
    seen = [str(path) for path in folder.rglob("*") if path.is_file() and any(f in path.read_bytes() for f in FORMS)]
    return seen + [text for text in texts if any(form in text.encode() for form in FORMS)]


def runbook(script: str, source: str, *, stdin: bool = False) -> str:
    given = 'stdin: "${{ inputs.token }}"' if stdin else 'env: {TOKEN: "${{ inputs.token }}"}'
    return book(
        step("use", script, more=f", with: {{{given}}}"),
        "      - {id: told, do: check, expect: steps.use.exit == 0, hint: It failed.}\n",
        head=f"inputs: {{token: {{type: secret, from: {source}}}}}\n",
    )


@pytest.fixture(params=["env", "file"])
def source(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where the secret comes from, as the runbook writes it; outside of the state folder."""
    if request.param == "env":
        monkeypatch.setenv("CANARY_TOKEN", CANARY)
        return "env:CANARY_TOKEN"
    path = tmp_path / "token"
    path.write_text(CANARY + "\n")
    path.chmod(0o600)
    return f"file:{path}"


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_secret_never_gets_out(drctl: Drctl, source: str, name: str) -> None:
    text = runbook(SCRIPTS[name], source, stdin=name == "read-from-stdin")
    said, id_ = drctl.ran(text)
    assert said.code == (Exit.STEP_FAILED if name == "failing" else Exit.DONE), said
    others = [
        drctl(*words)
        for words in (
            ["plan", "book.yaml"], ["--output", "json", "plan", "book.yaml"], ["show", id_], ["watch", id_],
            ["report", id_], ["--output", "json", "show", id_], ["report", id_, "--format", "json", "-o", "-"],
            ["audit", "verify", id_], ["runs"],
        )
    ]  # fmt: skip
    assert found(drctl.state, *[text for one in (said, *others) for text in (one.out, one.err)]) == []
    if name == "plain":
        assert "***" in (drctl("report", id_, "--format", "json", "-o", "-").out + said.err + said.out), "it was masked"


def test_the_canary_would_be_seen(tmp_path: Path) -> None:
    for number, form in enumerate(FORMS):
        (tmp_path / str(number)).write_bytes(b"<" + form + b">")
    assert len(found(tmp_path)) == len(FORMS)


def test_a_secret_is_never_taken_from_a_flag(drctl: Drctl, source: str) -> None:
    drctl.write("book.yaml", runbook(SCRIPTS["plain"], source))
    for command in ("plan", "run"):
        said = drctl(command, "book.yaml", "-i", "token=abcdefgh")
        assert said.code == Exit.USAGE
        assert "never from a flag" in said.err
        assert "abcdefgh" not in said.err + said.out


def test_a_secret_that_is_missing_open_or_short_opens_no_run(
    drctl: Drctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CANARY_SHORT", "abc")
    readable = tmp_path / "readable"
    readable.write_text(CANARY)
    readable.chmod(0o644)
    for source in ("env:CANARY_NOT_SET", "env:CANARY_SHORT", f"file:{tmp_path}/none", f"file:{readable}"):
        drctl.write("book.yaml", runbook(SCRIPTS["plain"], source))
        said = drctl("run", "book.yaml", "--no-live")
        assert said.code == Exit.NOTHING_CHANGED, said
        assert "next:" in said.err
        assert found(drctl.folder / "state", said.err, said.out) == []


def test_a_resumed_run_takes_the_secret_anew_and_hides_it_as_well(drctl: Drctl, source: str) -> None:
    ask = "      - {id: m, do: manual, with: {say: Look., by: [commander]}}\n"
    text = runbook(SCRIPTS["plain"], source).replace("    steps:\n", f"    steps:\n{ask}")
    said, id_ = drctl.ran(text)
    assert said.code == Exit.PAUSED
    drctl("answer", id_, "m", "done", "--as", "li")
    resumed = drctl("resume", id_, "--no-live")
    assert resumed.code == 0, resumed
    assert found(drctl.state, said.err, said.out, resumed.err, resumed.out) == []


@pytest.mark.parametrize("debug", ["", "1"])
@pytest.mark.parametrize("error", [RuntimeError, RefusedError])
def test_an_error_that_nobody_foresaw_does_not_say_it_either(
    drctl: Drctl, monkeypatch: pytest.MonkeyPatch, debug: str, error: type[Exception]
) -> None:
    monkeypatch.setenv("CANARY_TOKEN", CANARY)
    monkeypatch.setenv("DRCTL_DEBUG", debug)

    def breaks(_: Executor) -> Exit:
        raise error(f"with {CANARY} and {base64.b64encode(CANARY.encode()).decode()}")

    monkeypatch.setattr(Executor, "run", breaks)
    drctl.write("book.yaml", runbook(SCRIPTS["plain"], "env:CANARY_TOKEN"))
    said = drctl.unclean("--output", "json", "run", "book.yaml", "--no-live")
    assert found(drctl.state, said.out, said.err) == []
    assert "***" in said.err
    assert ("Traceback" in said.err) == bool(debug and error is RuntimeError)


def test_a_thread_that_fails_shows_no_secret(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    masker = Masker()
    Secrets(masker, tmp_path, {"PW": "harbour-light-keeper"}).resolve(SecretRef(source="env", target=("PW",)))
    with pytest.raises(SystemExit):
        app.main(["--version"])

    def fail() -> None:
        raise ValueError("harbour-light-keeper was refused")

    thread = threading.Thread(target=fail, name="watching")
    thread.start()
    thread.join()
    said = capsys.readouterr().err
    assert "watching" in said
    assert "ValueError: *** was refused" in said
    assert "harbour-light-keeper" not in said
