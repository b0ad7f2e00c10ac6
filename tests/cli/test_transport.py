"""`--transport`: what opens links stands in the record, who goes on uses the same, and a missing ssh is told first."""

import getpass
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from drctl.adapters import openssh
from tests.cli.conftest import INVENTORY, Drctl, book, step
from tests.fakes.sshservers import SSH, Keys, Relay, openssh_server

pytestmark = pytest.mark.needs("openssh-client", "openssh-server")


@pytest.fixture
def masters(drctl: Drctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A host `db1` in the inventory; gives the names of the hosts that a master was opened for."""
    keys = Keys.make(tmp_path)
    opened: list[str] = []
    real = openssh.open_master

    def seen(host: object, *more: object) -> object:
        opened.append(host.name)  # type: ignore[attr-defined] # a host
        return real(host, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(openssh, "PROGRAM", SSH)
    monkeypatch.setattr("drctl.adapters.ssh.open_master", seen)
    with openssh_server(keys, tmp_path, {"XDG_STATE_HOME": str(tmp_path / "there")}) as connect:
        relay = Relay(connect)
        login = f"{{user: {getpass.getuser()}, key: {tmp_path}/client}}"
        host = f"{{address: 127.0.0.1, port: {relay.port}, login: {login}, host_key: {keys.public('host')}}}"
        drctl.write("inventory.yaml", f"{INVENTORY}hosts:\n  db1: {host}\n")
        yield opened
        relay.close()


def transports(drctl: Drctl, id_: str) -> list[str]:
    """What each session of a run said of it."""
    records = [json.loads(line) for line in drctl.journal(id_).read_text().splitlines()]
    begin = {"run_opened", "run_resumed", "run_taken_over"}
    return [one["body"].get("transport", "fabric") for one in records if one["type"] in begin]


def on_db1(script: str, effect: str = "idempotent") -> str:
    return book(step("go", script, effect=effect, more=", on: db1"))


def test_who_goes_on_uses_what_the_run_was_opened_with(drctl: Drctl, masters: list[str], tmp_path: Path) -> None:
    said, id_ = drctl.ran(on_db1(f"test -e {tmp_path}/mended"), "--transport", "openssh")
    assert said.code == 7, said
    assert masters == ["db1"]
    assert drctl("retry", id_, "go").code == 0
    assert drctl("resume", id_, "--no-live").code == 7
    byhand = drctl("exec", id_, "--on", "db1", "--reason", "look", "--", "echo", "by hand")
    assert (byhand.code, "by hand" in byhand.out) == (0, True), byhand
    assert masters == ["db1"] * 3
    assert drctl("retry", id_, "go").code == 0
    assert drctl("resume", id_, "--no-live", "--transport", "fabric").code == 7
    assert masters == ["db1"] * 3
    (tmp_path / "mended").touch()
    assert drctl("retry", id_, "go").code == 0
    assert drctl("resume", id_, "--no-live").code == 11  # by hand is an exception
    assert masters == ["db1"] * 3  # the newest word counts
    assert transports(drctl, id_) == ["openssh", "openssh", "openssh", "fabric", "fabric"]
    assert drctl("audit", "verify", id_).code == 23
    assert "over openssh" in drctl("watch", id_).err + drctl("watch", id_).out + drctl("report", id_).out + said.err


def test_a_plan_looks_over_it_and_takeover_asks_over_it(drctl: Drctl, masters: list[str], tmp_path: Path) -> None:
    name = drctl.write("book.yaml", on_db1("true", effect="read"))
    plan = drctl("plan", name, "--declared-reads", "yes", "--transport", "openssh")
    assert (plan.code, masters) == (0, ["db1"]), plan
    assert drctl("plan", name, "--declared-reads", "yes").code == 0
    assert masters == ["db1"]
    said, id_ = drctl.ran(on_db1(f"test -e {tmp_path}/mended"))
    assert (said.code, masters) == (7, ["db1"])
    taken = drctl("takeover", id_, "--reason", "lost", "--transport", "openssh")
    assert (taken.code, masters) == (0, ["db1"] * 3), taken  # once to ask, once to take
    assert drctl("abort", id_, "--reason", "enough").code == 5
    assert masters == ["db1"] * 4  # the host is given back over it too
    assert transports(drctl, id_)[1:] == ["openssh", "openssh"]


def test_without_ssh_nothing_is_opened_and_it_is_said_what_to_install(
    drctl: Drctl, masters: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, id_ = drctl.ran(on_db1("false"), "--transport", "openssh")
    before = drctl.journal(id_).read_bytes()
    monkeypatch.setenv("PATH", str(drctl.folder))
    masters.clear()
    text = drctl.write("other.yaml", on_db1("true").replace("book", "other"))
    for words in (("run", text, "--transport", "openssh"), ("resume", id_), ("takeover", id_, "--reason", "x")):
        said = drctl(*words)
        assert (said.code, "apt-get install openssh-client" in said.err) == (4, True), said
    assert drctl.ids() == [id_]
    assert drctl.journal(id_).read_bytes() == before
    assert masters == []


def test_a_transport_that_only_a_newer_drctl_knows_is_told_and_nothing_is_recorded(
    drctl: Drctl, masters: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, id_ = drctl.ran(on_db1("false"), "--transport", "openssh")
    before = drctl.journal(id_).read_bytes()
    masters.clear()
    monkeypatch.setattr("drctl.cli.transports.OPENSSH", "another")  # so it is not known here
    for words in (("resume", id_), ("takeover", id_, "--reason", "x")):
        said = drctl(*words)
        assert (said.code, "links were opened by 'openssh'" in said.err) == (4, True), said
    assert drctl.journal(id_).read_bytes() == before
    assert masters == []


def test_another_word_is_no_transport(drctl: Drctl, masters: list[str]) -> None:
    said = drctl("run", drctl.write("book.yaml", on_db1("true")), "--transport", "telnet")
    assert (said.code, masters) == (2, [])
    assert "'fabric', 'openssh'" in said.err
