"""What is OpenSSH's own: masters that end with drctl, settings of a person that weaken nothing, exit codes told apart.

What every transport owes is in `test_ssh`, `test_host_keys` and `test_become`.
"""

import contextlib
import errno
import os
import resource
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from drctl.adapters import openssh, openssh_words
from drctl.adapters.carrier import Carried, End, Order
from drctl.adapters.openssh import Master
from drctl.adapters.openssh_mux import MuxError, open_session
from drctl.adapters.ssh import SshHosts
from drctl.core.inventory import Login, SecretRef
from drctl.core.ports import Claim, ClaimState, Command, PortState, Reach
from drctl.core.values import Duration, Secret
from tests.adapters.test_ssh import env, no_secret, until
from tests.fakes.sshservers import SSH, Keys, Relay, asyncssh_server, inventory, openssh_server, tcp

__all__ = ["env"]
pytestmark = pytest.mark.needs("openssh-client", "openssh-server")
SECRET = "sesam-4711-never-in-argv"
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys.make(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def relay(keys: Keys, tmp_path: Path, env: dict[str, str]) -> Iterator[Relay]:
    with openssh_server(keys, tmp_path, env) as connect:
        made = Relay(connect)
        yield made
        made.close()


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the masters of a test keep their files; no settings of the person who runs it are read."""
    monkeypatch.setattr(openssh, "PROGRAM", SSH)
    folder = Path(tempfile.mkdtemp(prefix="drt"))  # short: sockets lie in it
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def hosts(keys: Keys, relay: Relay, place: Path) -> Iterator[SshHosts]:
    assert place.exists()
    made = SshHosts(inventory(keys.host(relay.port)), no_secret, "openssh")
    yield made
    made.close()


def command(script: str = "true", seconds: float = 20, **more: object) -> Command:
    return Command(script=script, timeout=Duration(int(seconds * 1e6)), **more)  # type: ignore[arg-type] # fields of tests


def claim(key: str = "k1") -> Claim:
    return Claim(key=key, run="uid-a", run_id="7K3QF", operator="li", epoch=1, holder="SHA256:a")


def master(hosts: SshHosts, name: str = "h1") -> Master:
    link = hosts.carrier(name).link(time.monotonic() + 20)
    assert isinstance(link, Master)
    return link


def group(number: int) -> list[str]:
    """The command lines of the living processes of a group."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ProcessLookupError):
            if os.getpgid(int(entry.name)) == number and b"\nState:\tZ" not in (entry / "status").read_bytes():
                found.append((entry / "cmdline").read_text().replace("\0", " "))
    return found


def descriptors() -> int:
    """How many this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


# --- exit codes -------------------------------------------------------------------------------------------------------


def exchanged(hosts: SshHosts, *script: bytes | Iterator[bytes]) -> Carried:
    """What comes of a text that does not print the mark that is waited for."""
    parts = (part for given in script for part in ((given,) if isinstance(given, bytes) else given))
    order = Order(shell="exec /bin/sh", stdin=parts, mark=b"never", seconds=20, cap=1000)  # noqa: S604 - no call of a shell
    return hosts.carrier("h1").exchange(order)


def test_255_of_a_command_is_no_lost_link(hosts: SshHosts, relay: Relay) -> None:
    said = exchanged(hosts, b"echo x; exit 255")
    assert (said.end, said.status, said.out) == (End.DONE, 255, b"x\n")
    reply = hosts.shell("h1").read(command("exit 255"))
    assert (reply.reach, reply.exit) == (Reach.COMPLETE, 255)
    answer = hosts.shell("h1").run(claim(), command("exit 255"))
    assert (answer.state, answer.reply and answer.reply.exit) == (ClaimState.RAN, 255)
    assert relay.accepted == 1


@pytest.mark.parametrize(("script", "word"), [("kill -9 $$", "ended"), ("kill -9 $PPID", "reset")])
def test_an_end_without_an_exit_code_is_lost(hosts: SshHosts, script: str, word: str) -> None:
    said = exchanged(hosts, f"echo x; {script}; sleep 600".encode())
    assert (said.end, said.status, said.because.partition(":")[0]) == (End.LOST, None, word), said


def test_a_link_cut_in_the_middle_is_lost_and_the_next_word_opens_another(
    hosts: SshHosts, relay: Relay, tmp_path: Path
) -> None:
    assert hosts.shell("h1").read(command()).exit == 0
    first = master(hosts)
    said = exchanged(hosts, _cutting(relay, tmp_path))
    assert (said.end, said.because) == (End.LOST, "reset: the link broke")
    assert not first.alive
    assert hosts.shell("h1").read(command()).exit == 0
    assert relay.accepted == 2


def _cutting(relay: Relay, folder: Path) -> Iterator[bytes]:
    yield b'echo x >"$HOME/here"; sleep 600\n'
    until((folder / "here").exists, "the effect")
    relay.cut()


# --- masters ----------------------------------------------------------------------------------------------------------


def test_a_master_and_its_files_are_private_and_gone_when_it_is_closed(hosts: SshHosts, place: Path) -> None:
    link = master(hosts)
    (folder,) = place.iterdir()
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.iterdir())}
    assert modes.pop(folder.name) == 0o700
    assert {modes[name] for name in ("s", "known_hosts", "log")} == {0o600}
    number = link.tied.process.pid
    assert len(group(number)) == 2  # ssh, and the shell that waits for our end
    hosts.close()
    until(lambda: not group(number), "the end of the master")
    assert link.tied.process.returncode > 0  # told to, not killed
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("stage", ["open", "silent"])
def test_a_master_ends_when_drctl_is_killed(keys: Keys, relay: Relay, place: Path, stage: str) -> None:
    """Whether it is open, or still waits for a host that says nothing."""
    relay.mode = "pass" if stage == "open" else "stall"
    told = place / "told"
    program = f"""
import tempfile, time
tempfile.tempdir = {str(place)!r}
from pathlib import Path
from drctl.adapters import openssh, openssh_words
from drctl.adapters.ssh import SshHosts
from tests.fakes.sshservers import Keys, inventory
openssh.PROGRAM, openssh_words.CONNECT = {SSH!r}, 600
started = openssh.Tied.__init__
def tell(self, *args):
    started(self, *args)
    Path({str(told)!r}).write_text(str(self.process.pid))
openssh.Tied.__init__ = tell
hosts = SshHosts(inventory(Keys(Path({str(keys.folder)!r})).host({relay.port})), None, "openssh")
hosts.carrier("h1").link(time.monotonic() + 600)
Path({str(told)!r} + ".up").touch()
time.sleep(600)
"""
    child = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT)
    try:
        until(lambda: told.exists() and told.read_text(), "the master")
        number = int(told.read_text())
        until(lambda: told.with_suffix(".up").exists() if stage == "open" else relay.accepted, "that stage")
        assert len(group(number)) == 2
    finally:
        child.kill()
        child.wait()
    until(lambda: not group(number), "the end of the master")
    until(lambda: not list(place.glob("drctl-*")), "the end of its files")


def test_a_master_that_hangs_is_noticed_and_replaced(
    hosts: SshHosts, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openssh, "CHANNEL", 0.5)
    link = master(hosts)
    os.kill(link.tied.process.pid, signal.SIGSTOP)
    assert hosts.shell("h1").run(claim(), command()).state is ClaimState.RAN
    assert link.because.startswith("frozen:")
    assert group(link.tied.process.pid) == []
    assert relay.accepted == 2


def test_a_host_that_froze_without_a_word_is_noticed_by_its_master(
    hosts: SshHosts, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openssh_words, "PING", 1)
    monkeypatch.setattr(openssh_words, "PINGS", 1)
    link = master(hosts)
    relay.freeze()
    until(lambda: not link.alive, "the end of the master")
    link.close("reset: whoever asked next")
    assert link.because == "frozen: the host stopped answering on an open link"
    relay.thaw()


def test_the_folder_of_sockets_stays_short(keys: Keys, relay: Relay, place: Path, tmp_path: Path) -> None:
    for name in ("x" * 90, "with space", "percent%d"):
        folder = tmp_path / name
        folder.mkdir()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tempfile, "tempdir", str(folder))
            hosts = SshHosts(inventory(keys.host(relay.port)), no_secret, "openssh")
            assert hosts.shell("h1").read(command()).exit == 0
            assert list(folder.iterdir()) == []
            hosts.close()
    assert list(place.iterdir()) == []


# --- secrets ----------------------------------------------------------------------------------------------------------


def test_no_secret_stands_in_any_command_line(hosts: SshHosts, tmp_path: Path) -> None:
    seen: list[str] = []

    def look() -> Iterator[bytes]:
        yield b": >$HOME/in; cat >/dev/null\n"
        until((tmp_path / "in").exists, "the command")
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                seen.append(entry.read_text())

    env: dict[str, str | Secret] = {"PASSWORD": Secret(SECRET, "env:P")}
    answer = hosts.shell("h1").run(claim(), command('printf %s "$PASSWORD" | wc -c; sleep 0.1', env=env))
    assert answer.reply is not None
    assert answer.reply.stdout.strip() == str(len(SECRET)).encode()
    exchanged(hosts, look())
    assert any("ControlMaster" in line for line in seen)
    assert SECRET not in "\n".join(seen)
    assert SECRET not in "\n".join(group(master(hosts).tied.process.pid))


def test_a_password_is_refused_before_anything_is_connected(keys: Keys, relay: Relay, place: Path) -> None:
    ref = SecretRef(source="env", target=("X",))
    host = keys.host(relay.port, login=Login(user="u", password=ref))
    hosts = SshHosts(inventory(host), no_secret, "openssh")
    because = hosts.shell("h1").run(claim(), command()).because
    assert because.startswith("login: the inventory gives a password")
    assert "--transport fabric" in because
    assert (relay.accepted, list(place.iterdir())) == (0, [])


# --- the settings of a person -----------------------------------------------------------------------------------------

WEAK = """
Host *
  StrictHostKeyChecking no
  UserKnownHostsFile {known}
  GlobalKnownHostsFile {known}
  NoHostAuthenticationForLocalhost yes
  VerifyHostKeyDNS yes
  UpdateHostKeys yes
  ForwardAgent yes
  ForwardX11 yes
  LocalForward {forward}.local 127.0.0.1:1
  RemoteForward 0 127.0.0.1:1
  PermitLocalCommand yes
  LocalCommand touch {forward}
  RemoteCommand touch {forward}
  RequestTTY force
  HostName other.invalid
  Port 1
  User nobody
  ControlPath {forward}.master
  ControlPersist yes
  SessionType default
  ForkAfterAuthentication yes
  LogLevel QUIET
  FingerprintHash md5
  KnownHostsCommand /bin/cat {known}
  CanonicalizeHostname always
  ServerAliveInterval 0
  ConnectTimeout 3600
  IdentityAgent {forward}.agent
  AddKeysToAgent yes
  Tunnel yes
"""
STRONG = """
batchmode yes|canonicalizehostname false|clearallforwardings yes|controlmaster true|controlpersist no|forwardagent no
forwardx11 no|nohostauthenticationforlocalhost no|permitlocalcommand no|stricthostkeychecking true|tunnel false
verifyhostkeydns false|updatehostkeys false|globalknownhostsfile /dev/null|passwordauthentication no|identityagent none
forkafterauthentication no|hostname 127.0.0.1|user nobody-else|port 4711|identitiesonly yes|serveraliveinterval 5
connecttimeout 10|addkeystoagent false|checkhostip no|kbdinteractiveauthentication no|gssapikeyexchange no
requesttty false|sessiontype none|escapechar none|proxyusefdpass no
"""
"""What `ssh -G` says of them, as it writes them; a line that this ssh does not know is left out."""


@pytest.fixture
def with_config(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    def write(text: str) -> None:
        (tmp_path / "config").write_text(text)
        (tmp_path / "config").chmod(0o600)
        monkeypatch.setattr(openssh, "PROGRAM", ("ssh", "-F", str(tmp_path / "config")))

    assert place.exists()
    return write


def test_settings_that_would_weaken_a_promise_do_not_apply(
    keys: Keys, relay: Relay, tmp_path: Path, with_config: Callable[[str], None]
) -> None:
    known, mark = tmp_path / "known", tmp_path / "happened"
    known.write_text(f"* {keys.public('host')}\n")
    with_config(WEAK.format(known=known, forward=mark))
    right = SshHosts(inventory(keys.host(relay.port)), no_secret, "openssh")
    assert right.shell("h1").read(command("tty; echo $SSH_AUTH_SOCK$DISPLAY")).stdout.strip() == b"not a tty"
    right.close()
    wrong = SshHosts(inventory(keys.host(relay.port, pin="other")), no_secret, "openssh")
    answer = wrong.shell("h1").run(claim(), command("touch $HOME/ran"))
    assert (answer.state, answer.because.partition(":")[0]) == (ClaimState.UNREACHABLE, "host key")
    wrong.close()
    assert not list(tmp_path.glob("happened*"))
    assert not (tmp_path / "ran").exists()
    assert known.read_text() == f"* {keys.public('host')}\n"


def test_what_ssh_itself_says_applies(keys: Keys, tmp_path: Path, with_config: Callable[[str], None]) -> None:
    with_config(f"{WEAK.format(known='/k', forward='/f')}  GSSAPIKeyExchange yes\n")
    host = keys.host(4711, login=Login(user="nobody-else", key=str(keys.folder / "client")))
    files = openssh_words.Files(socket="/s", known_hosts="/mine", log=str(tmp_path / "log"))
    argv = openssh_words.arguments(host, "127.0.0.1", files, None, openssh.settings_known())
    said = subprocess.run([*openssh.PROGRAM, "-G", *argv], check=True, capture_output=True, text=True).stdout
    applied = dict(line.split(" ", 1) for line in said.splitlines() if " " in line)
    wanted = dict(line.split(" ", 1) for row in STRONG.strip().splitlines() for line in row.split("|"))
    assert {name: applied[name] for name in wanted if name in applied} == {
        name: value for name, value in wanted.items() if name in applied
    }
    assert len(wanted.keys() & applied.keys()) >= len(wanted) - 3
    assert (applied["userknownhostsfile"], applied["controlpath"]) == ("/mine", "/s")
    assert not applied.keys() & {"remotecommand", "knownhostscommand"}


def test_rules_of_a_person_log_in_where_the_inventory_gives_no_key(
    keys: Keys, relay: Relay, with_config: Callable[[str], None]
) -> None:
    with_config(f"Match host 127.0.0.1 originalhost h1\n  IdentityFile {keys.folder}/client\n")
    bare = Login(user=keys.host(1).login.user)
    for name, reached in (("h1", True), ("h2", False)):
        hosts = SshHosts(inventory(keys.host(relay.port, name=name, login=bare)), no_secret, "openssh")
        reply = hosts.shell(name).read(command())
        assert (reply.exit == 0) is reached, reply
        assert reached or reply.because.startswith("login: 127.0.0.1")
        hosts.close()


def test_a_word_of_a_config_that_ssh_does_not_know_is_told(
    keys: Keys, relay: Relay, with_config: Callable[[str], None]
) -> None:
    with_config("NoSuchThing yes\n")
    hosts = SshHosts(inventory(keys.host(relay.port)), no_secret, "openssh")
    because = hosts.shell("h1").read(command()).because
    assert because.startswith("link: ")
    assert "bad configuration options" in because
    hosts.close()


def test_a_slow_key_exchange_is_told(keys: Keys, relay: Relay, with_config: Callable[[str], None]) -> None:
    for kex, told in (("curve25519-sha256", 0), ("sntrup761x25519-sha512@openssh.com", 1)):
        with_config(f"KexAlgorithms {kex}\n")
        hosts = SshHosts(inventory(keys.host(relay.port)), no_secret, "openssh")
        found = hosts.check("h1")
        assert (found.problem, sum("key" in remark or kex[:10] in remark for remark in found.remarks)) == ("", told)
        hosts.close()


# --- behind another host ----------------------------------------------------------------------------------------------


def test_a_host_behind_another_is_reached_through_it_or_not_at_all(
    keys: Keys, relay: Relay, env: dict[str, str], place: Path
) -> None:
    with asyncssh_server(keys, env) as port:
        behind = Relay(tcp(port))
        hop = keys.host(relay.port, name="hop")
        inner = keys.host(behind.port, name="inner", login=replace(keys.host(1).login, via=("hop",)))
        hosts = SshHosts(inventory(hop, inner), no_secret, "openssh")
        way = master(hosts, "hop")
        (place / Path(way.tied.socket).parent.name / "s").rename(place / "elsewhere")
        assert hosts.shell("inner").read(command(seconds=20)).reach is Reach.UNREACHABLE
        assert behind.accepted == 0  # not by itself, past the hop
        (place / "elsewhere").rename(way.tied.socket)
        assert hosts.shell("inner").read(command()).exit == 0
        assert (relay.accepted, behind.accepted) == (1, 1)
        strange = replace(inner, name="strange", host_keys=(keys.public("other"),))
        others = SshHosts(inventory(hop, strange), no_secret, "openssh")
        assert others.shell("strange").read(command()).because.startswith("host key:")
        others.close()
        behind.close()
        hosts.close()


def test_a_host_that_its_hop_cannot_reach_is_told_with_the_hops_words(keys: Keys, relay: Relay, place: Path) -> None:
    login = replace(keys.host(1).login, via=("hop",))
    with socket.socket() as bound:  # bound, not listening: the system refuses for it
        bound.bind(("127.0.0.1", 0))
        inner = keys.host(bound.getsockname()[1], name="inner", login=login)
        hosts = SshHosts(inventory(keys.host(relay.port, name="hop"), inner), no_secret, "openssh")
        because = hosts.shell("inner").read(command()).because
    assert because.startswith("refused: nothing listens at"), because
    assert "(on the way, at hop). Next: " in because
    hosts.close()
    assert list(place.iterdir()) == []


# --- a machine without room -------------------------------------------------------------------------------------------


def test_a_machine_without_descriptors_or_room_is_told_and_the_link_stays(
    hosts: SshHosts, keys: Keys, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert hosts.shell("h1").read(command()).exit == 0
    pipe, calls = os.pipe, iter(range(3))

    def scarce() -> tuple[int, int]:
        if next(calls) == 2:
            raise OSError(errno.EMFILE, "Too many open files")
        return pipe()

    open_before = descriptors()
    with monkeypatch.context() as patch:
        patch.setattr(os, "pipe", scarce)
        with pytest.raises(MuxError, match="Too many open files"):
            open_session(master(hosts).tied.socket, "true", 20)
    assert descriptors() == open_before
    assert (hosts.shell("h1").read(command()).exit, relay.accepted) == (0, 1)
    monkeypatch.setattr(openssh, "PROGRAM", ("/no/such/ssh",))
    monkeypatch.setattr(openssh, "settings_known", openssh.settings_known.__wrapped__)
    other = SshHosts(inventory(keys.host(relay.port)), no_secret, "openssh")
    assert other.shell("h1").read(command()).because.startswith("link: ssh could not be started")
    assert descriptors() == open_before
    monkeypatch.setattr(tempfile, "tempdir", "/proc/no-such-folder")
    other = SshHosts(inventory(keys.host(relay.port)), no_secret, "openssh")
    answer = other.shell("h1").run(claim(), command())
    assert (answer.state, answer.because.partition(":")[0]) == (ClaimState.UNREACHABLE, "link"), answer


def test_a_place_that_says_nothing_to_the_host_is_silent_and_the_link_stays(
    hosts: SshHosts, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openssh, "CHANNEL", 0.1)
    link = master(hosts)
    relay.freeze()  # nothing answers: neither host nor place; only the limit says so
    reply = hosts.dialer("h1").connect("127.0.0.1", 9, Duration(500_000))
    relay.thaw()
    assert (reply.reach, reply.state) == (Reach.TIMEOUT, PortState.SILENT)
    assert link.alive
    assert (hosts.shell("h1").read(command()).exit, relay.accepted) == (0, 1)


def test_nothing_is_left_open_after_many_words(hosts: SshHosts) -> None:
    shell, dialer = hosts.shell("h1"), hosts.dialer("h1")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        assert shell.read(command()).exit == 0
        before = descriptors()
        for _ in range(10):
            assert shell.read(command()).exit == 0
            assert dialer.connect("127.0.0.1", port, Duration(20_000_000)).state is PortState.OPEN
    until(lambda: descriptors() <= before, "the end of the tunnels")


def test_more_than_1024_descriptors_are_no_limit(hosts: SshHosts) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2000:
        pytest.skip("this machine allows no more")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2000), hard))
    taken = [os.open(os.devnull, os.O_RDONLY)]
    try:
        while taken[-1] < 1100:
            taken.append(os.dup(taken[0]))
        assert hosts.shell("h1").run(claim(), command()).state is ClaimState.RAN
    finally:
        for number in taken:
            os.close(number)
        hosts.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
