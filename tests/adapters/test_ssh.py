"""SSH against real servers, by every transport: the suite of every shell, opening links, and what goes through them.

What becomes of a command when its link breaks is in `test_ssh_loss`.
"""

import base64
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from drctl.adapters.host_check import Findings
from drctl.adapters.ssh import SshHosts
from drctl.adapters.ssh_keys import fingerprint
from drctl.core.inventory import Host, Identity, Login, SecretRef
from drctl.core.ports import ClaimShell, ClaimState, HttpRequest, PortState, Reach
from drctl.core.values import Duration, Secret
from drctl.errors import RefusedError
from tests.adapters.conftest import Open
from tests.adapters.shell_conformance import Place, ShellConformance
from tests.adapters.steps import EFFECT, claim, command, no_secret
from tests.fakes.sshservers import Keys, Relay, asyncssh_server, inventory, openssh_server, tcp
from tests.fakes.webserver import web_server


def place_at(host: Host, folder: Path, transport: str) -> Iterator[Place]:
    hosts = SshHosts(inventory(host), no_secret, transport)
    effects, boot = folder / "effects", folder / "boot_id"

    def restart() -> None:
        boot.write_text("boot-2\n")

    place = Place(hosts.shell(host.name), lambda: effects.read_text().split(), str(effects), restart)
    yield place
    place.clear()
    hosts.close()


class TestAsyncssh(ShellConformance):
    @pytest.fixture
    def place(self, keys: Keys, asyncssh_relay: Relay, tmp_path: Path, transport: str) -> Iterator[Place]:
        yield from place_at(keys.host(asyncssh_relay.port), tmp_path, transport)


@pytest.mark.needs("openssh-server")
class TestOpenSsh(ShellConformance):
    @pytest.fixture
    def place(self, keys: Keys, openssh_relay: Relay, tmp_path: Path, transport: str) -> Iterator[Place]:
        yield from place_at(keys.host(openssh_relay.port), tmp_path, transport)


# --- opening ----------------------------------------------------------------------------------------------------------


def unreachable(shell: ClaimShell, seconds: float = 1) -> str:
    """Both a look and an act come back as surely not begun; give the reason."""
    look, act = shell.read(command(EFFECT, seconds=seconds)), shell.run(claim(), command(EFFECT, seconds=seconds))
    assert (look.reach, act.state) == (Reach.UNREACHABLE, ClaimState.UNREACHABLE), (look, act)
    assert look.because.partition(":")[0] == act.because.partition(":")[0]
    assert act.because.count("Next: ") == 1
    return act.because


def test_a_port_where_nothing_listens_is_refused(keys: Keys, open_hosts: Open) -> None:
    with socket.socket() as bound:  # bound, not listening: the system refuses for it
        bound.bind(("127.0.0.1", 0))
        assert unreachable(open_hosts(keys.host(bound.getsockname()[1])).shell("h1")).startswith("refused:")


@pytest.mark.parametrize(("mode", "word"), [("stall", "silent:"), ("reset", "reset:")])
def test_a_host_that_accepts_and_says_nothing_or_hangs_up(
    keys: Keys, open_hosts: Open, mode: Literal["stall", "reset"], word: str
) -> None:
    relay = Relay(tcp(1), mode)
    assert unreachable(open_hosts(keys.host(relay.port)).shell("h1")).startswith(word)
    relay.close()


@pytest.mark.parametrize("offset", [0, 30, 700, 1400, 1800])
def test_a_host_that_goes_silent_anywhere_while_the_link_is_opened(
    keys: Keys, asyncssh_relay: Relay, open_hosts: Open, tmp_path: Path, offset: int
) -> None:
    asyncssh_relay.freeze_after = offset
    assert unreachable(open_hosts(keys.host(asyncssh_relay.port)).shell("h1")).startswith("silent:")
    assert (tmp_path / "effects").read_text() == ""


def test_a_name_that_cannot_be_resolved(keys: Keys, open_hosts: Open) -> None:
    host = replace(keys.host(22), address="no-such-host.invalid")
    assert unreachable(open_hosts(host).shell("h1"), 20).startswith("address:")


def test_another_host_key_than_the_pinned_one_is_shown_beside_it(
    keys: Keys, asyncssh_relay: Relay, open_hosts: Open, tmp_path: Path
) -> None:
    because = unreachable(open_hosts(keys.host(asyncssh_relay.port, pin="other")).shell("h1"), 20)
    assert because.startswith("host key:")
    for name in ("host", "other"):
        assert fingerprint(base64.b64decode(keys.public(name).split()[1])) in because
    assert (tmp_path / "effects").read_text() == ""


def test_one_of_two_pinned_keys_of_a_type_is_enough(keys: Keys, asyncssh_relay: Relay, open_hosts: Open) -> None:
    host = replace(keys.host(asyncssh_relay.port), host_keys=(keys.public("host"), keys.public("other")))
    reply = open_hosts(host).shell("h1").read(command("true"))
    assert (reply.exit, reply.host_key) == (0, fingerprint(base64.b64decode(keys.public("host").split()[1])))


def test_a_login_that_is_refused_or_cannot_be_tried(
    keys: Keys, asyncssh_relay: Relay, open_hosts: Open, transport: str
) -> None:
    good = keys.host(asyncssh_relay.port)
    # OpenSSH's client may have a login of its own for the host, such as GSSAPI
    nothing = {"fabric": "login: the inventory gives no key", "openssh": "login: 127.0.0.1"}[transport]
    for login, word in (
        (Login(user="u", key=str(keys.folder / "other")), "login: 127.0.0.1"),
        (Login(user="u", key=str(keys.folder / "missing")), "login: key"),
        (Login(user="u", key=str(keys.folder / "host.pub")), "login: "),
        (Login(user="u"), nothing),
    ):
        assert unreachable(open_hosts(replace(good, login=login)).shell("h1"), 20).startswith(word)


def test_a_password_is_resolved_at_the_moment_of_use(keys: Keys, asyncssh_relay: Relay) -> None:
    ref = SecretRef(source="env", target=("X",))
    host = replace(keys.host(asyncssh_relay.port), login=Login(user="u", password=ref))
    asked: list[SecretRef] = []

    def resolve(ref: SecretRef) -> Secret:
        asked.append(ref)
        raise RefusedError("env:X is not set")

    hosts = SshHosts(inventory(host), resolve)
    assert asked == []
    assert unreachable(hosts.shell("h1"), 20).startswith("login: env:X is not set. Next: ")
    assert asked
    hosts.close()


# --- identity ---------------------------------------------------------------------------------------------------------


def test_the_machine_is_asked_who_it_is_before_the_first_act(
    keys: Keys, asyncssh_relay: Relay, open_hosts: Open, tmp_path: Path
) -> None:
    (tmp_path / "machine_id").write_text("4711\n")
    (tmp_path / "role").write_text("primary\n")
    base = keys.host(asyncssh_relay.port)
    role = str(tmp_path / "role")
    wrong = (
        (Identity(machine_id="0815"), ("4711", "0815")),
        (Identity(file_path=role, file_text="standby"), ("primary", "standby")),
        (Identity(file_path=role + "x", file_text="standby"), ("nothing", "standby")),
    )
    for identity, parts in wrong:
        shell = open_hosts(replace(base, identity=identity)).shell("h1")
        answer = shell.run(claim(), command(EFFECT))
        assert answer.state is ClaimState.REFUSED
        assert all(part in answer.because for part in parts), answer
        assert shell.attach(claim(), command(EFFECT)).state is ClaimState.IN_DOUBT  # another machine proves nothing
        assert shell.read(command("true")).exit == 0  # looking is harmless, and may be how one finds out
    right = Identity(machine_id="4711", file_path=role, file_text="primary\n")
    assert open_hosts(replace(base, identity=right)).shell("h1").run(claim(), command(EFFECT)).state is ClaimState.RAN
    assert (tmp_path / "effects").read_text() == "x\n"


# --- what a host may be like ------------------------------------------------------------------------------------------


def test_a_noisy_login_shell_does_not_confuse(keys: Keys, env: dict[str, str], open_hosts: Open) -> None:
    noise = "printf 'no newline @deadbeef reply ran 0'; echo welcome >&2; trap 'echo bye; echo bye >&2' EXIT"
    with asyncssh_server(keys, env, noise) as port:
        shell = open_hosts(keys.host(port)).shell("h1")
        look = shell.read(command("printf out; printf err >&2"))
        assert (look.exit, look.stdout, look.stderr) == (0, b"out", b"err")
        answer = shell.run(claim(), command("printf out; printf err >&2"))
        assert answer.reply is not None
        assert (answer.reply.exit, answer.reply.stdout, answer.reply.stderr) == (0, b"out", b"err")


def test_a_host_without_a_shell_refuses_for_certain(
    keys: Keys, env: dict[str, str], open_hosts: Open, tmp_path: Path
) -> None:
    with asyncssh_server(keys, env, "echo This account is currently not available.; exit 1") as port:
        hosts = open_hosts(keys.host(port))
        shell = hosts.shell("h1")
        answer = shell.run(claim(), command(EFFECT))
        assert answer.state is ClaimState.REFUSED
        assert "This account is currently not available., exit status 1" in answer.because
        look = shell.read(command("true"))
        assert (look.reach, look.exit) == (Reach.UNREACHABLE, None)
        assert "not available" in hosts.check("h1").problem
    assert (tmp_path / "effects").read_text() == ""


def test_twenty_megabytes_come_whole(keys: Keys, asyncssh_relay: Relay, open_hosts: Open) -> None:
    shell = open_hosts(keys.host(asyncssh_relay.port)).shell("h1")
    big = command("yes 0123456789abcde | head -c 20000000", 100, cap=30_000_000)
    whole = b"0123456789abcde\n" * 1_250_000
    assert shell.read(big).stdout == whole
    answer = shell.run(claim(), big)
    assert answer.reply is not None
    assert answer.reply.stdout == whole


@pytest.mark.needs("openssh-server")
def test_a_host_that_allows_one_session_serves_many_threads(
    keys: Keys, tmp_path: Path, env: dict[str, str], open_hosts: Open
) -> None:
    with openssh_server(keys, tmp_path, env, MaxSessions="1") as connect:
        relay = Relay(connect)
        shell = open_hosts(keys.host(relay.port)).shell("h1")
        with ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(lambda n: shell.run(claim(f"k{n}"), command(EFFECT, seconds=60)), range(6)))
        assert [answer.state for answer in answers] == [ClaimState.RAN] * 6
        assert (relay.accepted, (tmp_path / "effects").read_text()) == (1, "x\n" * 6)
        relay.close()


def test_preflight_says_what_keeps_a_host_from_being_claimed(
    keys: Keys, asyncssh_relay: Relay, open_hosts: Open, tmp_path: Path
) -> None:
    host = keys.host(asyncssh_relay.port)
    assert open_hosts(host).check("h1") == Findings()
    (tmp_path / "file").touch()
    problem = open_hosts(replace(host, state_dir=str(tmp_path / "file/below"))).check("h1").problem
    assert "cannot be made" in problem
    asyncssh_relay.close()
    assert open_hosts(host).check("h1").problem.startswith("refused:")
    assert not (tmp_path / "state").exists()  # nothing was made


# --- through a link ---------------------------------------------------------------------------------------------------


@pytest.fixture(params=["asyncssh", pytest.param("openssh", marks=pytest.mark.needs("openssh-server"))])
def any_relay(request: pytest.FixtureRequest) -> Relay:
    relay: Relay = request.getfixturevalue(f"{request.param}_relay")
    return relay


def test_tcp_as_the_host_sees_it(keys: Keys, any_relay: Relay, open_hosts: Open) -> None:
    dialer = open_hosts(keys.host(any_relay.port)).dialer("h1")
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        there = dialer.connect("127.0.0.1", listening.getsockname()[1], Duration(20_000_000))
        gone = dialer.connect("127.0.0.1", bound.getsockname()[1], Duration(20_000_000))
    assert (there.reach, there.state) == (Reach.COMPLETE, PortState.OPEN)
    assert (gone.reach, gone.state) == (Reach.COMPLETE, PortState.REFUSED)
    lost = dialer.connect("no-such-host.invalid", 80, Duration(20_000_000))
    assert (lost.reach, lost.state) == (Reach.UNREACHABLE, None)  # not knowing is not a refusal


def test_http_as_the_host_sees_it(keys: Keys, any_relay: Relay, open_hosts: Open) -> None:
    with web_server() as port:
        http = open_hosts(keys.host(any_relay.port)).http("h1")
        reply = http.read(HttpRequest(method="GET", url=f"http://127.0.0.1:{port}/ok", timeout=Duration(20_000_000)))
    assert (reply.reach, reply.status, reply.body) == (Reach.COMPLETE, 200, b"fine")


def test_a_host_behind_another(keys: Keys, any_relay: Relay, env: dict[str, str], open_hosts: Open) -> None:
    with asyncssh_server(keys, env) as port:
        hop = keys.host(any_relay.port, name="hop")
        login = replace(keys.host(port).login, via=("hop",))
        hosts = open_hosts(hop, keys.host(port, name="inner", login=login))
        answer = hosts.shell("inner").run(claim(), command(EFFECT))
        assert (answer.state, any_relay.accepted) == (ClaimState.RAN, 1)
        hosts.close()
        any_relay.close()
        assert hosts.shell("inner").read(command("true", 2)).because.count("(on the way, at hop). Next: ") == 1
