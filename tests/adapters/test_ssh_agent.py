"""Logging in by an agent, by every transport: a real one, one without the key, one that says nothing, and none."""

import base64
import contextlib
import os
import socket
import struct
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from drctl.adapters.ssh import SshHosts
from drctl.core.inventory import Host, Login
from drctl.core.ports import ClaimState, Reach
from tests.adapters.conftest import Open
from tests.adapters.steps import EFFECT, claim, command, no_secret, until
from tests.fakes.sshservers import Keys, Relay, inventory

pytestmark = pytest.mark.needs("openssh-client")


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An agent without keys, in the foreground so that it ends with the test."""
    with tempfile.TemporaryDirectory(prefix="dra") as name:  # short: a socket lies in it
        at = Path(name) / "agent"
        child = subprocess.Popen(["ssh-agent", "-D", "-a", str(at)], stdout=subprocess.DEVNULL)
        until(at.exists, "the agent")
        monkeypatch.setenv("SSH_AUTH_SOCK", str(at))
        yield at
        child.terminate()
        child.wait()


def by_agent(keys: Keys, port: int) -> Host:
    host = keys.host(port)
    return replace(host, login=Login(user=host.login.user, agent=True))


def add_key(keys: Keys, agent: Path) -> None:
    add = ["ssh-add", "-q", str(keys.folder / "client")]
    subprocess.run(add, check=True, env={**os.environ, "SSH_AUTH_SOCK": str(agent)}, stdin=subprocess.DEVNULL)


def test_the_key_of_an_agent_logs_in(keys: Keys, asyncssh_relay: Relay, open_hosts: Open, agent: Path) -> None:
    add_key(keys, agent)
    shell = open_hosts(by_agent(keys, asyncssh_relay.port)).shell("h1")
    assert shell.read(command("echo seen")).stdout == b"seen\n"
    assert shell.run(claim(), command(EFFECT)).state is ClaimState.RAN


@pytest.mark.parametrize("there", ["without the key", "nowhere"])
def test_an_agent_without_the_key_is_told_as_a_login_that_was_refused(
    keys: Keys, asyncssh_relay: Relay, open_hosts: Open, agent: Path, monkeypatch: pytest.MonkeyPatch, there: str
) -> None:
    if there == "nowhere":
        monkeypatch.setenv("SSH_AUTH_SOCK", str(agent.with_name("none")))
    act = open_hosts(by_agent(keys, asyncssh_relay.port)).shell("h1").run(claim(), command(EFFECT))
    assert act.state is ClaimState.UNREACHABLE
    assert act.because.startswith("login: ")
    assert "Next: " in act.because


class Agents:
    """An agent of a test: it answers the first question with `answers`, and says nothing more."""

    def __init__(self, at: Path, answers: bytes) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(at))
        self._listener.listen()
        self._answers = answers
        self._kept: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                self._kept.append(near)
                if self._answers:
                    near.recv(5)
                    near.sendall(self._answers)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(30)
        for sock in (self._listener, *self._kept):
            sock.close()


def one_key(keys: Keys) -> bytes:
    """A list of one key, the right one: what signs with it is not there."""
    blob = base64.b64decode(keys.public("client").split()[1])
    body = b"\x0c" + struct.pack(">II", 1, len(blob)) + blob + struct.pack(">I", 1) + b"c"
    return struct.pack(">I", len(body)) + body


@pytest.mark.parametrize(
    "case",
    [
        ("nothing", "does not answer"),
        ("half a length", "does not answer"),
        ("no list", "no list of keys"),
        ("too many", "no list of keys"),
        ("a key, and no signature", "does not answer"),
    ],
)
def test_an_agent_that_does_not_do_its_part_is_named_and_no_longer_waited_for_than_the_limit(
    keys: Keys, asyncssh_relay: Relay, open_hosts: Open, agent: Path, monkeypatch: pytest.MonkeyPatch, transport: str,
    case: tuple[str, str],
) -> None:  # fmt: skip
    answers, words = case
    said = {
        "nothing": b"", "half a length": b"\0\0", "no list": b"\0\0\0\5\6\0\0\0\0",
        "too many": b"\0\0\0\5\x0c\x7f\xff\xff\xff", "a key, and no signature": one_key(keys),
    }  # fmt: skip
    odd = Agents(agent.with_name("odd"), said[answers])
    monkeypatch.setenv("SSH_AUTH_SOCK", str(agent.with_name("odd")))
    look = open_hosts(by_agent(keys, asyncssh_relay.port)).shell("h1").read(command("echo seen", seconds=3))
    assert look.reach is Reach.UNREACHABLE, look
    if transport == "fabric":
        assert look.because.startswith("login: "), look
        assert words in look.because
        assert "Next: SSH_AUTH_SOCK=" in look.because
    odd.close()


def test_a_host_that_cannot_be_reached_leaves_no_agent_open(
    keys: Keys, agent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its keys know their agent: only a later look for rubbish would have closed it."""
    odd = Agents(agent.with_name("odd"), one_key(keys))
    monkeypatch.setenv("SSH_AUTH_SOCK", str(agent.with_name("odd")))
    with socket.socket() as bound:  # bound, not listening: the system refuses for it
        bound.bind(("127.0.0.1", 0))
        hosts = SshHosts(inventory(by_agent(keys, bound.getsockname()[1])), no_secret)
        look = hosts.shell("h1").read(command())
    assert look.because.startswith("refused: ")
    odd._kept[0].settimeout(5)
    assert odd._kept[0].recv(1) == b"", "the agent was left open"
    odd.close()
