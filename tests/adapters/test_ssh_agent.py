"""Logging in by an agent, by every transport: a real one, one without the key, one that says nothing, and none."""

import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from drctl.core.inventory import Host, Login
from drctl.core.ports import ClaimState, Reach
from tests.adapters.conftest import Open
from tests.adapters.steps import EFFECT, claim, command, until
from tests.fakes.sshservers import Keys, Relay

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


def test_the_key_of_an_agent_logs_in(keys: Keys, asyncssh_relay: Relay, open_hosts: Open, agent: Path) -> None:
    add = ["ssh-add", "-q", str(keys.folder / "client")]
    subprocess.run(add, check=True, env={**os.environ, "SSH_AUTH_SOCK": str(agent)}, stdin=subprocess.DEVNULL)
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


def test_an_agent_that_says_nothing_holds_a_step_up_no_longer_than_its_limit(
    keys: Keys, asyncssh_relay: Relay, open_hosts: Open, agent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(str(agent.with_name("mute")))
        mute.listen()
        monkeypatch.setenv("SSH_AUTH_SOCK", str(agent.with_name("mute")))
        shell = open_hosts(by_agent(keys, asyncssh_relay.port)).shell("h1")
        began = time.monotonic()
        look = shell.read(command("echo seen", seconds=3))
        assert look.reach is Reach.UNREACHABLE, look
        assert look.because.partition(":")[0] in {"login", "silent"}, look
        assert time.monotonic() - began < 60, "the step would have waited for ever"
