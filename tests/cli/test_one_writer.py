"""Two operators and one host, a run that moved to another machine, and what each is told: real processes, real SSH."""

import getpass
import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from drctl.errors import Exit
from tests.cli.conftest import INVENTORY, SECONDS, Drctl, until
from tests.fakes.sshservers import Keys, asyncssh_server


@pytest.fixture
def host(drctl: Drctl) -> Iterator[Path]:
    """A host `h1` in the inventory; gives its home folder."""
    home = drctl.folder / "home"
    home.mkdir()
    keys = Keys.make(drctl.folder)
    env = {"HOME": str(home), "PATH": os.environ["PATH"]}
    with asyncssh_server(keys, env) as port:
        login = {"user": getpass.getuser(), "key": str(keys.folder / "client")}
        h1 = {"address": "127.0.0.1", "port": port, "login": login, "host_key": keys.public("host")}
        drctl.write("inventory.yaml", f"{INVENTORY}hosts:\n  h1: {json.dumps(h1)}\n")
        yield home


def act(id_: str, *, effect: str = "once") -> str:
    verify = f", verify: {{run: grep -qx {id_} effects}}" if effect == "once" else ""
    return (
        f"      - {{id: {id_}, on: h1, run: echo {id_} >>effects, effect: {effect}, undo: {{none: a test}}{verify}}}\n"
    )


WAIT = (
    "      - {id: wait, on: h1, run: ': >waiting; until [ -e go ]; do sleep 0.02; done', effect: read, timeout: 60s}\n"
)
ASK = "      - {id: ask, do: manual, with: {say: Look., by: [commander]}}\n"


def book(name: str, *steps: str) -> str:
    return f"runbook: {name}\nphases:\n  - id: only\n    steps:\n{''.join(steps)}"


def effects(home: Path) -> list[str]:
    path = home / "effects"
    return path.read_text().split() if path.exists() else []


def copied(drctl: Drctl, id_: str) -> Path:
    """The run folder on another machine: another state folder, without the key."""
    far = drctl.folder / "far"
    (far / "runs").mkdir(parents=True)
    shutil.copytree(drctl.state / "runs" / id_, far / "runs" / id_)
    return far


def test_of_two_operators_the_second_is_told_who_since_when_and_what_to_type(drctl: Drctl, host: Path) -> None:
    said, first = drctl.ran(book("first", act("one"), ASK))
    assert said.code == Exit.PAUSED, said
    far = drctl.folder / "far"
    drctl.write("second.yaml", book("second", act("two")))
    said = drctl("run", "second.yaml", "--no-live", state=far)
    assert said.code == Exit.LOCKED, said
    uid = json.loads(drctl("--output", "json", "show", first).out)["uid"]
    for word in (first, getpass.getuser(), "since 20", f"drctl abort {first}", f"--from {uid}"):
        assert word in said.err + said.out, word
    assert effects(host) == ["one"]
    (second,) = (row["id"] for row in drctl("--output", "json", "runs", state=far).json["runs"])
    assert drctl("resume", second, "--no-live", state=far).code == Exit.LOCKED

    # a takeover without --from does not take what another run holds, and one of a run that holds nothing is refused
    assert drctl("takeover", second, "--reason", "urgent", state=far).code == Exit.LOCKED
    assert drctl("takeover", second, "--from", "ZZZZZ", "--reason", "urgent", state=far).code == Exit.USAGE
    taken = drctl("--output", "json", "takeover", second, "--from", uid, "--reason", "its laptop burned", state=far)
    assert taken.code == 0, taken
    assert taken.json["hosts"]["h1"]["taken"] is True
    said = drctl("resume", second, "--no-live", state=far)
    assert said.code == Exit.EXCEPTIONS, said
    assert "its laptop burned" in drctl("show", second, state=far).out + said.out
    assert effects(host) == ["one", "two"]

    # the run that was given up can still be ended
    assert drctl("abort", first, "--reason", "enough").code == Exit.ABORTED


def test_a_run_taken_from_is_refused_and_may_take_its_hosts_back(drctl: Drctl, host: Path) -> None:
    said, first = drctl.ran(book("first", act("one"), ASK, act("three")))
    far = drctl.folder / "far"
    drctl.write("second.yaml", book("second", act("two"), ASK))
    assert drctl("run", "second.yaml", "--no-live", state=far).code == Exit.LOCKED
    (second,) = (row["id"] for row in drctl("--output", "json", "runs", state=far).json["runs"])
    assert drctl("takeover", second, "--from", first, "--reason", "r", state=far).code == 0
    assert drctl("resume", second, "--no-live", state=far).code == Exit.PAUSED
    assert drctl("done", first, "ask", "--as", "li").code == 0
    said = drctl("resume", first, "--no-live")
    assert said.code == Exit.LOCKED, said
    assert f"drctl takeover {first}" in said.out + said.err
    assert drctl("takeover", first, "--reason", "back").code == Exit.LOCKED, "the other run still holds it"
    assert drctl("abort", second, "--reason", "over", state=far).code == Exit.ABORTED
    assert drctl("takeover", first, "--reason", "back").code == 0
    assert drctl("resume", first, "--no-live").code == Exit.EXCEPTIONS
    assert effects(host) == ["one", "two", "three"]


def test_a_copied_folder_goes_on_and_the_frozen_process_left_behind_is_refused(drctl: Drctl, host: Path) -> None:
    drctl.write("book.yaml", book("book", act("one"), WAIT, act("two")))
    with drctl.process("run", "book.yaml", "--no-live") as process:
        until((host / "waiting").exists)
        process.send_signal(signal.SIGSTOP)
        (id_,) = drctl.ids()
        far = copied(drctl, id_)
        (host / "go").touch()
        said = drctl("resume", id_, "--no-live", state=far)
        assert said.code == Exit.DONE, said
        process.send_signal(signal.SIGCONT)
        out, err = process.communicate(timeout=SECONDS)
    assert process.returncode == Exit.LOCKED, (out, err)
    assert "taken over: epoch 2 is held by SHA256:" in err
    assert effects(host) == ["one", "two"]
    records = [json.loads(line) for line in drctl.journal(id_).read_text().splitlines()]
    (lost,) = (record["body"] for record in records if record["type"] == "lock_lost")
    assert (lost["name"], lost["epoch"]) == ("h1", 2)

    # what can be said of the copy that was left behind
    (row,) = drctl("--output", "json", "runs").json["runs"]
    assert row["state"] == "replaced"
    shown = drctl("show", id_)
    for word in ("GOES ON ELSEWHERE", "epoch 2", "--fork"):
        assert word in shown.out
    audited = drctl("audit", "verify", id_)
    assert "part at or before that record" in audited.out
    assert drctl("audit", "verify", str(far / "runs" / id_)).code == Exit.AUDIT_NOT_ANCHORED

    # it does not come back by itself, nor by a takeover that does not say that it knows
    assert drctl("resume", id_, "--no-live").code == Exit.LOCKED
    refused = drctl("takeover", id_, "--reason", "mine")
    assert refused.code == Exit.LOCKED
    assert "went on elsewhere" in refused.err
    assert drctl("takeover", id_, "--fork", "--reason", "the other burned").code == 0
    said = drctl("resume", id_, "--no-live")
    assert said.code == Exit.EXCEPTIONS, said
    assert effects(host) == ["one", "two"], "what was done elsewhere was read back from its claim"


def test_a_dead_run_is_taken_over_recorded_and_resumed(drctl: Drctl, host: Path) -> None:
    drctl.write("book.yaml", book("book", act("one"), WAIT, act("two")))
    with drctl.process("run", "book.yaml", "--no-live") as process:
        until((host / "waiting").exists)
        (id_,) = drctl.ids()
        assert drctl("takeover", id_, "--reason", "x").code == Exit.LOCKED, "it is being carried out"
        process.kill()
    (host / "go").touch()
    assert drctl("takeover", id_, "--reason", " ").code == Exit.USAGE
    said = drctl("takeover", id_, "--reason", "the process hung")
    assert said.code == 0, said
    assert "epoch 2" in said.err
    shown = drctl("--output", "json", "show", id_).json
    assert (shown["state"], shown["held"]) == ("paused", ["h1"])
    assert drctl("resume", id_, "--no-live").code == Exit.EXCEPTIONS
    told = drctl("report", id_, "--format", "json", "-o", "-").json
    assert "the process hung" in json.dumps(told["exceptions"])
    assert effects(host) == ["one", "two"]
    assert drctl("takeover", id_, "--reason", "x").code == Exit.NOTHING_CHANGED, "it is closed"


def test_on_another_machine_the_key_is_another_one(drctl: Drctl, host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole state folder was copied, key and all: the machine tells the two apart."""
    said, id_ = drctl.ran(book("book", act("one"), ASK, act("two")))
    assert said.code == Exit.PAUSED
    far = drctl.folder / "far"
    shutil.copytree(drctl.state, far)
    monkeypatch.setattr("socket.gethostname", lambda: "another")
    assert drctl("done", id_, "ask", "--as", "li", state=far).code == 0
    assert drctl("resume", id_, "--no-live", state=far).code == Exit.DONE
    assert '"epoch":2' in (far / "runs" / id_ / "journal.jsonl").read_text()
    monkeypatch.undo()
    assert effects(host) == ["one", "two"]
