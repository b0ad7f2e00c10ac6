"""Channels asked for ahead, and commands without waiting for leave: fewer round trips, and what a host refuses."""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncssh
import paramiko
import pytest

from drctl.adapters import ssh_channels, ssh_transport
from drctl.adapters.carrier import Carried, End, Order, exec_text
from drctl.adapters.ssh import HostCarrier, SshHosts
from drctl.adapters.ssh_channels import Leave, Opening
from drctl.adapters.ssh_transport import Link
from drctl.core.inventory import Host
from drctl.core.ports import ClaimState, Reach
from tests.adapters.steps import EFFECT, claim, command, no_secret, until
from tests.fakes.sshservers import Keys, Relay, inventory, openssh_server


@contextlib.contextmanager
def connected(host: Host) -> Iterator[tuple[SshHosts, Link]]:
    """Hosts of which one is connected, a look behind it."""
    hosts = SshHosts(inventory(host), no_secret)
    try:
        assert hosts.shell("h1").read(command()).exit == 0
        link: Any = hosts.carrier("h1").link(time.monotonic() + 30)
        yield hosts, link
    finally:
        hosts.close()


def test_a_host_gets_a_whole_step_without_having_answered_a_word_of_it(
    keys: Keys, asyncssh_relay: Relay, tmp_path: Path
) -> None:
    with connected(keys.host(asyncssh_relay.port)) as (hosts, link), ThreadPoolExecutor(1) as pool:
        until(lambda: link._ahead is not None and link._ahead._answered.is_set(), "the channel asked for ahead")
        asyncssh_relay.freeze(new=False, ways=("from the host",))
        look = pool.submit(hosts.shell("h1").read, command(EFFECT))
        until((tmp_path / "effects").read_text, "the effect")
        assert not look.done()
        asyncssh_relay.thaw()
        assert look.result(30).stdout == b"ran\n"


@pytest.mark.parametrize("lacking", ["channels ahead", "leave"])
def test_a_paramiko_of_which_too_little_is_known_is_used_by_its_public_functions(
    keys: Keys, asyncssh_relay: Relay, monkeypatch: pytest.MonkeyPatch, lacking: str
) -> None:
    if lacking == "channels ahead":
        monkeypatch.setattr(Opening, "asked", lambda _transport: None)
    else:
        monkeypatch.setattr(ssh_channels, "_HOOK", "no_such_name")
    with connected(keys.host(asyncssh_relay.port)) as (hosts, link):
        for number in range(3):
            answer = hosts.shell("h1").run(claim(f"k{number}"), command(EFFECT))
            assert answer.state is ClaimState.RAN
        assert (link._ahead is None) == (lacking == "channels ahead")


def test_what_stands_in_for_a_transport_is_not_asked() -> None:
    assert Opening.asked(object()) is None  # type: ignore[arg-type] # one without any of the names
    assert hasattr(paramiko.Channel(0), ssh_channels._HOOK)


@pytest.mark.needs("openssh-server")
def test_a_host_with_one_channel_a_link_is_asked_for_no_other_ahead(
    keys: Keys, tmp_path: Path, env: dict[str, str]
) -> None:
    with openssh_server(keys, tmp_path, env, MaxSessions="1") as connect:
        relay = Relay(connect)
        with connected(keys.host(relay.port)) as (hosts, link):
            for _ in range(3):
                assert hosts.shell("h1").read(command("echo seen")).stdout == b"seen\n"
            assert not link._asks_ahead
            assert relay.accepted == 1
        relay.close()


def test_a_channel_that_was_closed_before_its_use_is_replaced(keys: Keys, asyncssh_relay: Relay) -> None:
    """OpenSSH's ChannelTimeout does so."""
    with connected(keys.host(asyncssh_relay.port)) as (hosts, link):
        ahead = link._ahead
        assert ahead is not None
        assert ahead.channel(30) is not None
        ahead._channel.close()
        assert hosts.shell("h1").read(command("echo seen")).stdout == b"seen\n"
        assert link._asks_ahead
        assert asyncssh_relay.accepted == 1


def test_a_link_that_broke_before_the_answer_has_no_channel(keys: Keys, asyncssh_relay: Relay) -> None:
    with connected(keys.host(asyncssh_relay.port)) as (hosts, link):
        asyncssh_relay.freeze(new=False, ways=("from the host",))
        opening = Opening.asked(link.transport)
        assert opening is not None
        with pytest.raises(TimeoutError):
            opening.channel(0)
        asyncssh_relay.cut()
        assert opening.channel(30) is None
        assert not opening.was_refused()
        assert hosts.shell("h1").read(command("echo seen")).stdout == b"seen\n"
        assert asyncssh_relay.accepted == 2


class Refusing(asyncssh.SSHServer):
    """Gives channels; a session as asyncssh has it refuses whatever is asked for."""

    def session_requested(self) -> asyncssh.SSHServerSession[bytes]:
        return asyncssh.SSHServerSession()


@contextlib.contextmanager
def refusing(keys: Keys) -> Iterator[int]:
    """A server on which nothing runs."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    made: list[asyncssh.SSHServerConnection] = []

    async def start() -> asyncssh.SSHAcceptor:
        return await asyncssh.listen(
            "127.0.0.1",
            0,
            server_host_keys=[str(keys.folder / "host")],
            authorized_client_keys=str(keys.folder / "client.pub"),
            server_factory=Refusing,
            acceptor=made.append,
        )

    async def stop() -> None:
        for connection in made:
            connection.abort()
            await connection.wait_closed()

    acceptor = asyncio.run_coroutine_threadsafe(start(), loop).result(30)
    try:
        yield acceptor.get_port()
    finally:
        loop.call_soon_threadsafe(acceptor.close)
        asyncio.run_coroutine_threadsafe(stop(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
        loop.close()


def test_a_command_that_the_host_refused_to_run_surely_did_not_begin(keys: Keys) -> None:
    with refusing(keys) as port:
        hosts = SshHosts(inventory(keys.host(port)), no_secret)
        act = hosts.shell("h1").run(claim(), command(EFFECT))
        look = hosts.shell("h1").read(command(EFFECT))
        hosts.close()
    assert (act.state, look.reach) == (ClaimState.UNREACHABLE, Reach.UNREACHABLE)
    assert act.because.startswith("denied: the host gave a channel and ran nothing on it. Next: ")


def test_leave_is_given_by_an_answer_and_not_by_the_end_of_the_channel() -> None:
    answered, ended = paramiko.Channel(1), paramiko.Channel(2)
    first, second = Leave(answered), Leave(ended)
    first.set()
    ended.closed = True
    second.set()
    assert (first.given, first.refused, second.given, second.refused) == (True, False, False, True)


def test_a_link_that_breaks_closes_its_channels_first_and_that_is_no_refusal(
    keys: Keys, asyncssh_relay: Relay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """paramiko does so in its own thread; for a moment the channel is closed, and the link looks alive."""
    monkeypatch.setattr(ssh_transport, "CHANNEL", 0.5)
    with connected(keys.host(asyncssh_relay.port)) as (hosts, link), ThreadPoolExecutor(1) as pool:
        until(lambda: link._ahead is not None and link._ahead._answered.is_set(), "the channel asked for ahead")
        asyncssh_relay.freeze(new=False, ways=("from the host",))
        act = pool.submit(hosts.shell("h1").run, claim(), command(EFFECT))
        until((tmp_path / "effects").read_text, "the effect")
        channel: Any = next(iter(link._owed))
        channel._unlink()
        answer = act.result(60)
    assert answer.state is ClaimState.REATTACHED, answer
    assert (tmp_path / "effects").read_text() == "x\n"


@dataclass
class Odd:
    """A link that is there and ran nothing, so many times."""

    refusals: int
    carried: int = 0
    identified: bool = True
    alive: bool = True
    remarks: tuple[str, ...] = ()
    host_key: str = ""

    def exchange(self, order: Order, seconds: float) -> Carried:  # noqa: ARG002 - the contract's
        self.carried += 1
        for _ in order.stdin:
            break
        return Carried(end=End.NO_LINK if self.carried <= self.refusals else End.DONE)

    def forward(self, seconds: float, target: tuple[str, int]) -> socket.socket:
        raise NotImplementedError

    def close(self, because: str = "") -> None:
        self.alive = because is None


def order(stdin: Iterable[bytes]) -> Order:
    return Order(shell=exec_text("sh"), stdin=stdin, mark=b"m", seconds=30, cap=9)


def carried_over(keys: Keys, link: Odd, stdin: Iterable[bytes]) -> tuple[End, int]:
    opened: list[float] = []

    def opener(seconds: float) -> Odd:
        opened.append(seconds)
        return link

    carrier = HostCarrier(keys.host(1), opener, lambda _: [])
    carrier.exchange(order((b"x",)))
    link.carried = 0
    end = carrier.exchange(order(stdin)).end
    assert len(opened) == 1, "the link is there, and others use it"
    return end, link.carried


def test_a_host_that_ran_nothing_is_asked_again_on_the_same_link_a_few_times(keys: Keys) -> None:
    assert carried_over(keys, Odd(refusals=2), (b"x",)) == (End.DONE, 3)
    assert carried_over(keys, Odd(refusals=99), (b"x",)) == (End.NO_LINK, 4)


def test_an_input_of_which_some_is_gone_is_never_sent_again(keys: Keys) -> None:
    """What is left of it would stand where its beginning should."""
    assert carried_over(keys, Odd(refusals=1), (piece for piece in (b"a", b"b"))) == (End.NO_LINK, 1)
    asked = order(piece for piece in (b"a",))
    assert (asked.once, asked.taken) == (True, False)
    assert list(asked.stdin) == [b"a"]
    assert (asked.once, asked.taken) == (True, True)
    kept = order((b"a",))
    assert (kept.once, kept.taken) == (False, False)
