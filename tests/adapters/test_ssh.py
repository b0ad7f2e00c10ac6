"""SSH against real servers, by every transport: the suite of every shell, then what only a link can do wrong."""

import base64
import contextlib
import os
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from drctl.adapters import openssh, openssh_words, ssh_transport, ssh_watch
from drctl.adapters.host_check import Findings
from drctl.adapters.ssh import SshHosts
from drctl.adapters.ssh_keys import fingerprint
from drctl.core.inventory import Host, Identity, Login, SecretRef
from drctl.core.ports import MEBIBYTE, Claim, ClaimReply, ClaimShell, ClaimState, Command, HttpRequest, PortState, Reach
from drctl.core.values import Duration, Secret
from drctl.errors import RefusedError
from tests.adapters.shell_conformance import Place, ShellConformance
from tests.fakes.sshservers import SSH, Keys, Relay, asyncssh_server, inventory, openssh_server, tcp
from tests.fakes.webserver import web_server


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys.make(tmp_path_factory.mktemp("keys"))


def no_secret(ref: SecretRef) -> Secret:
    raise AssertionError(f"nothing asked for {ref}")


@pytest.fixture(params=["fabric", pytest.param("openssh", marks=pytest.mark.needs("openssh-client"))])
def transport(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What opens the links; the settings of the person who runs the tests are not read."""
    monkeypatch.setattr(openssh, "PROGRAM", SSH)
    return str(request.param)


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "boot_id").write_text("boot-1\n")
    (tmp_path / "effects").touch()
    return {
        "HOME": str(tmp_path),
        "PATH": os.environ["PATH"],
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "DRCTL_BOOT_ID_FILE": str(tmp_path / "boot_id"),
        "DRCTL_MACHINE_ID_FILE": str(tmp_path / "machine_id"),
    }


@pytest.fixture
def asyncssh_relay(keys: Keys, env: dict[str, str]) -> Iterator[Relay]:
    with asyncssh_server(keys, env) as port:
        relay = Relay(tcp(port))
        yield relay
        relay.close()


@pytest.fixture
def openssh_relay(keys: Keys, tmp_path: Path, env: dict[str, str]) -> Iterator[Relay]:
    with openssh_server(keys, tmp_path, env) as connect:
        relay = Relay(connect)
        yield relay
        relay.close()


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


def command(script: str = "echo x >>$HOME/effects; echo ran", seconds: float = 20, cap: int = MEBIBYTE) -> Command:
    return Command(script=script, timeout=Duration(int(seconds * 1e6)), cap=cap)


def claim(key: str = "k1") -> Claim:
    return Claim(key=key, run="uid-a", run_id="7K3QF", operator="li", epoch=1, holder="SHA256:a")


@pytest.fixture
def open_hosts(transport: str) -> Iterator[Callable[..., SshHosts]]:
    made: list[SshHosts] = []

    def make(*hosts: Host) -> SshHosts:
        made.append(SshHosts(inventory(*hosts), no_secret, transport))
        return made[-1]

    yield make
    for hosts in made:
        hosts.close()


Open = Callable[..., SshHosts]

# --- opening ----------------------------------------------------------------------------------------------------------


def unreachable(shell: ClaimShell, seconds: float = 1) -> str:
    """Both a look and an act come back as surely not begun; give the reason."""
    look, act = shell.read(command(seconds=seconds)), shell.run(claim(), command(seconds=seconds))
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
        answer = shell.run(claim(), command())
        assert answer.state is ClaimState.REFUSED
        assert all(part in answer.because for part in parts), answer
        assert shell.attach(claim(), command()).state is ClaimState.IN_DOUBT  # another machine proves nothing
        assert shell.read(command("true")).exit == 0  # looking is harmless, and may be how one finds out
    right = Identity(machine_id="4711", file_path=role, file_text="primary\n")
    assert open_hosts(replace(base, identity=right)).shell("h1").run(claim(), command()).state is ClaimState.RAN
    assert (tmp_path / "effects").read_text() == "x\n"


# --- a link that breaks -----------------------------------------------------------------------------------------------


def in_background(call: Callable[[], ClaimReply]) -> "Future[ClaimReply]":
    pool = ThreadPoolExecutor(1)
    future = pool.submit(call)
    pool.shutdown(wait=False)
    return future


def until(there: Callable[[], object], what: str) -> None:
    for _ in range(3000):
        if there():
            return
        time.sleep(0.01)
    raise AssertionError(f"never came: {what}")


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
    answer = shell.run(claim(), command())
    effects = (tmp_path / "effects").read_text().count("x")
    if answer.state is ClaimState.UNREACHABLE:
        assert effects == 0
        answer = shell.run(claim(), command())
        effects = (tmp_path / "effects").read_text().count("x")
    assert answer.state in (ClaimState.RAN, ClaimState.REATTACHED), answer
    assert (answer.reply and answer.reply.exit, effects) == (0, 1)


@pytest.mark.needs("openssh-server")
def test_a_look_that_kills_its_own_shell_is_no_broken_link(keys: Keys, openssh_relay: Relay, open_hosts: Open) -> None:
    shell = open_hosts(keys.host(openssh_relay.port)).shell("h1")
    look = shell.read(command("kill -9 $$"))
    assert (look.reach, look.exit) == (Reach.UNREACHABLE, None)
    assert look.because.startswith("ended: ")
    assert shell.read(command("true")).exit == 0
    assert openssh_relay.accepted == 1


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
        answer = shell.run(claim(), command())
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
            answers = list(pool.map(lambda n: shell.run(claim(f"k{n}"), command(seconds=60)), range(6)))
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
        answer = hosts.shell("inner").run(claim(), command())
        assert (answer.state, any_relay.accepted) == (ClaimState.RAN, 1)
        hosts.close()
        any_relay.close()
        assert hosts.shell("inner").read(command("true", 2)).because.count("(on the way, at hop). Next: ") == 1
