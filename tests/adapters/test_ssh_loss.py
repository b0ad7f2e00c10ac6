"""A link that breaks, freezes or dies under a command, by every transport: what is said of the command afterwards."""

import contextlib
import random
import socket
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from drctl.adapters import openssh_words, ssh_transport, ssh_watch
from drctl.adapters.ssh import SshHosts
from drctl.core.ports import MEBIBYTE, ClaimReply, ClaimState, Reach
from tests.adapters.conftest import Open
from tests.adapters.steps import EFFECT, claim, command, no_secret, until
from tests.fakes.sshservers import Keys, Relay, inventory


def in_background(call: Callable[[], ClaimReply]) -> "Future[ClaimReply]":
    pool = ThreadPoolExecutor(1)
    future = pool.submit(call)
    pool.shutdown(wait=False)
    return future


def test_the_outcome_is_read_after_the_link_was_reset(
    keys: Keys, asyncssh_relay: Relay, open_hosts: Open, tmp_path: Path
) -> None:
    shell = open_hosts(keys.host(asyncssh_relay.port)).shell("h1")
    act = command('echo x >>"$HOME/effects"; until [ -e "$HOME/go" ]; do sleep 0.02; done; echo ran; exit 5')
    future = in_background(lambda: shell.run(claim(), act))
    until((tmp_path / "effects").read_text, "the effect")
    asyncssh_relay.cut()
    until(lambda: asyncssh_relay.accepted > 1, "a second connection")
    (tmp_path / "go").touch()
    answer = future.result(30)
    assert (answer.state, answer.reply and answer.reply.exit) == (ClaimState.REATTACHED, 5)
    assert answer.reply is not None
    assert answer.reply.stdout == b"ran\n"
    assert (tmp_path / "effects").read_text() == "x\n"


def running(pid: int) -> bool:
    """Whether a process lives; one that nobody has buried does not."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] not in "ZX"
    return False


def test_a_look_that_is_asked_again_was_ended_before(
    keys: Keys, asyncssh_relay: Relay, open_hosts: Open, tmp_path: Path
) -> None:
    shell = open_hosts(keys.host(asyncssh_relay.port)).shell("h1")
    shows = tmp_path / "begun"
    script = (
        'head -c 100000 /dev/zero; echo $$ >>"$HOME/begun"; until [ -e "$HOME/go" ]; do sleep 0.02; done; echo seen'
    )
    shows.touch()
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(shell.read, command(script))
        until(shows.read_text, "the look")
        until(lambda: asyncssh_relay.passed["from the host"] > 100000, "its output, so that drctl knows of it")
        asyncssh_relay.end("from the host")  # what was passed on is read before the end
        until(lambda: len(shows.read_text().split()) > 1, "the second look")
        first, _ = shows.read_text().split()
        gone = not running(int(first))
        (tmp_path / "go").touch()
        assert future.result(30).stdout.endswith(b"seen\n")
    assert gone


def test_a_link_lost_for_good_is_in_doubt_and_never_failed(
    keys: Keys, asyncssh_relay: Relay, open_hosts: Open, tmp_path: Path
) -> None:
    shell = open_hosts(keys.host(asyncssh_relay.port)).shell("h1")
    act = command('echo x >>"$HOME/effects"; sleep 0.5', 4)
    future = in_background(lambda: shell.run(claim(), act))
    until((tmp_path / "effects").read_text, "the effect")
    asyncssh_relay.mode = "reset"
    asyncssh_relay.cut()
    answer = future.result(30)
    assert (answer.state, answer.gone, answer.reply) == (ClaimState.IN_DOUBT, False, None)
    assert "reset" in answer.because
    asyncssh_relay.mode = "pass"
    assert shell.attach(claim(), act).state is ClaimState.REATTACHED


def test_a_frozen_link_is_noticed_and_replaced(
    keys: Keys, asyncssh_relay: Relay, open_hosts: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openssh_words, "PING", 1)
    monkeypatch.setattr(openssh_words, "PINGS", 1)
    monkeypatch.setattr(ssh_watch, "PING", 0.1)
    monkeypatch.setattr(ssh_transport, "CHANNEL", 0.5)
    shell = open_hosts(keys.host(asyncssh_relay.port)).shell("h1")
    act = command('echo x >>"$HOME/effects"; until [ -e "$HOME/go" ]; do sleep 0.02; done; echo ran', 60)
    future = in_background(lambda: shell.run(claim(), act))
    until((tmp_path / "effects").read_text, "the effect")
    asyncssh_relay.freeze()
    (tmp_path / "go").touch()
    until(lambda: asyncssh_relay.accepted > 1, "a second connection")
    asyncssh_relay.thaw()
    assert future.result(60).state is ClaimState.REATTACHED
    assert (tmp_path / "effects").read_text() == "x\n"


@pytest.mark.parametrize("then", ["is ended", "is left"])
def test_a_host_that_freezes_for_good_during_a_command_is_in_doubt_and_never_called_unreachable(
    keys: Keys, asyncssh_relay: Relay, open_hosts: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, then: str
) -> None:
    for name in ("CHANNEL", "BANNER", "OPEN"):
        monkeypatch.setattr(ssh_transport, name, 0.5)
    shell = open_hosts(keys.host(asyncssh_relay.port)).shell("h1")
    script = 'echo x >>"$HOME/effects"; until [ -e "$HOME/go" ]; do sleep 0.02; done'
    act = replace(command(script, 3), killable=then == "is ended")
    shell.read(command("true"))  # the link is open
    future = in_background(lambda: shell.run(claim(), act))
    until((tmp_path / "effects").read_text, "the effect")
    asyncssh_relay.freeze()
    answer = future.result(60)
    assert (answer.state, answer.gone) == (ClaimState.IN_DOUBT, False), answer
    assert "silent" in answer.because
    asyncssh_relay.cut()
    (tmp_path / "go").touch()
    assert shell.attach(claim(), act).state is ClaimState.REATTACHED


def test_a_link_that_died_in_silence_is_opened_again_for_the_next_command(
    keys: Keys, asyncssh_relay: Relay, open_hosts: Open
) -> None:
    shell = open_hosts(keys.host(asyncssh_relay.port)).shell("h1")
    for number in range(4):
        assert shell.run(claim(f"k{number}"), command("true")).state is ClaimState.RAN
        assert shell.read(command("true")).exit == 0
        asyncssh_relay.cut()
    assert asyncssh_relay.accepted == 4


@pytest.mark.parametrize("offset", [*range(0, 3000, 500), 6000, 9000, 12000])
def test_a_reset_at_any_byte_leaves_an_effect_with_its_outcome_or_none(
    keys: Keys, asyncssh_relay: Relay, open_hosts: Open, tmp_path: Path, offset: int
) -> None:
    asyncssh_relay.reset_after = offset
    shell = open_hosts(keys.host(asyncssh_relay.port)).shell("h1")
    answer = shell.run(claim(), command(EFFECT))
    effects = (tmp_path / "effects").read_text().count("x")
    if answer.state is ClaimState.UNREACHABLE:
        assert effects == 0
        answer = shell.run(claim(), command(EFFECT))
        effects = (tmp_path / "effects").read_text().count("x")
    assert answer.state in (ClaimState.RAN, ClaimState.REATTACHED), answer
    assert (answer.reply and answer.reply.exit, effects) == (0, 1)


@pytest.mark.parametrize("offset", [200_000, 250_000, 350_000])
def test_what_came_of_an_answer_before_the_link_ended_is_not_fetched_again(
    keys: Keys, asyncssh_relay: Relay, open_hosts: Open, tmp_path: Path, offset: int
) -> None:
    printed = random.Random(offset).randbytes(400_000)
    (tmp_path / "printed").write_bytes(printed)
    relay = asyncssh_relay
    relay.way, relay.freeze_after = "from the host", offset
    shell = open_hosts(keys.host(relay.port)).shell("h1")
    future = in_background(lambda: shell.run(claim(), command('cat "$HOME/printed"; echo x >>"$HOME/effects"')))
    until(lambda: relay._frozen, "so much of the answer")
    relay.freeze_after = None
    relay.end("from the host")  # in order: a reset would also drop what the client had not read yet
    relay.thaw()
    answer = future.result(60)
    assert answer.reply is not None, answer
    assert (answer.state, answer.reply.stdout) == (ClaimState.REATTACHED, printed)
    assert relay.accepted > 1
    # a reset by the relay's end may drop what had come and was not read: how much is fetched exactly, a look at the
    # carrier tells (`ShellConformance`); here it is less than all, a login included
    assert relay.passed["from the host"] < len(printed)
    assert (tmp_path / "effects").read_text() == "x\n"


@pytest.mark.needs("openssh-server")
def test_a_look_that_kills_its_own_shell_is_no_broken_link(keys: Keys, openssh_relay: Relay, open_hosts: Open) -> None:
    shell = open_hosts(keys.host(openssh_relay.port)).shell("h1")
    look = shell.read(command("kill -9 $$"))
    assert (look.reach, look.exit) == (Reach.UNREACHABLE, None)
    assert look.because.startswith("ended: ")
    assert shell.read(command("true")).exit == 0
    assert openssh_relay.accepted == 1


def test_a_host_that_takes_nothing_any_more_is_noticed_while_much_is_sent(
    keys: Keys, asyncssh_relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every word waits behind what the kernel does not take: the question whether the host is there, and hanging up."""
    real = ssh_transport.dial_tcp

    def small(host: str, port: int, seconds: float) -> socket.socket:
        sock = real(host, port, seconds)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        return sock

    monkeypatch.setattr("drctl.adapters.ssh.dial_tcp", small)
    asyncssh_relay._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    hosts = SshHosts(inventory(keys.host(asyncssh_relay.port)), no_secret, "fabric")
    shell = hosts.shell("h1")
    shell.read(command("true"))
    link = hosts.carrier("h1").link(time.monotonic() + 30)
    assert isinstance(link, ssh_transport.Link)
    asyncssh_relay.freeze_after = 200_000
    big = replace(command("cat", 60), stdin=b"x" * MEBIBYTE)
    sending = in_background(lambda: shell.read(big))  # type: ignore[arg-type, return-value] # any call will do
    until(lambda: asyncssh_relay._frozen, "the frozen host")
    until(lambda: time.monotonic() - link.wire.moved > 1, "nothing more goes out")
    asyncssh_relay.freeze_after = None
    monkeypatch.setattr(ssh_transport, "CHANNEL", 0.5)
    link._owed = dict.fromkeys(link._owed, 0.0)  # its limit has passed: hanging up is a word as well
    in_background(link.look_after).result(30)  # type: ignore[arg-type] # any call will do

    def closed() -> bool:
        link.look_after()
        return not link.alive

    until(closed, "the end of the link")
    assert link.because.startswith("frozen")
    asyncssh_relay.thaw()
    sending.result(60)
    hosts.close()
