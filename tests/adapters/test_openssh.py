"""What is OpenSSH's own: masters that end with drctl, exit codes told apart, a machine without room.

What every transport owes is in `test_ssh`, `test_ssh_loss`, `test_host_keys` and `test_become`; the settings of a
person are in `test_openssh_settings`.
"""

import contextlib
import errno
import os
import resource
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from drctl.adapters import openssh, openssh_words
from drctl.adapters.carrier import Carried, End, Order
from drctl.adapters.openssh import Master
from drctl.adapters.openssh_mux import MuxError, open_session
from drctl.adapters.ssh import SshHosts
from drctl.core.inventory import Login, SecretRef
from drctl.core.ports import ClaimState, PortState, Reach
from drctl.core.values import Duration, Secret
from tests.adapters.steps import claim, command, no_secret, until
from tests.fakes.sshservers import SSH, Keys, Relay, asyncssh_server, inventory, tcp

pytestmark = pytest.mark.needs("openssh-client", "openssh-server")
SECRET = "sesam-4711-never-in-argv"
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def hosts(keys: Keys, openssh_relay: Relay, masters_at: Path) -> Iterator[SshHosts]:
    assert masters_at.exists()
    made = SshHosts(inventory(keys.host(openssh_relay.port)), no_secret, "openssh")
    yield made
    made.close()


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


def test_255_of_a_command_is_no_lost_link(hosts: SshHosts, openssh_relay: Relay) -> None:
    said = exchanged(hosts, b"echo x; exit 255")
    assert (said.end, said.status, said.out) == (End.DONE, 255, b"x\n")
    reply = hosts.shell("h1").read(command("exit 255"))
    assert (reply.reach, reply.exit) == (Reach.COMPLETE, 255)
    answer = hosts.shell("h1").run(claim(), command("exit 255"))
    assert (answer.state, answer.reply and answer.reply.exit) == (ClaimState.RAN, 255)
    assert openssh_relay.accepted == 1


@pytest.mark.parametrize(("script", "word"), [("kill -9 $$", "ended"), ("kill -9 $PPID", "reset")])
def test_an_end_without_an_exit_code_is_lost(hosts: SshHosts, script: str, word: str) -> None:
    said = exchanged(hosts, f"echo x; {script}; sleep 600".encode())
    assert (said.end, said.status, said.because.partition(":")[0]) == (End.LOST, None, word), said


def test_a_link_cut_in_the_middle_is_lost_and_the_next_word_opens_another(
    hosts: SshHosts, openssh_relay: Relay, tmp_path: Path
) -> None:
    assert hosts.shell("h1").read(command()).exit == 0
    first = master(hosts)
    said = exchanged(hosts, _cutting(openssh_relay, tmp_path))
    assert (said.end, said.because) == (End.LOST, "reset: the link broke")
    assert not first.alive
    assert hosts.shell("h1").read(command()).exit == 0
    assert openssh_relay.accepted == 2


def _cutting(openssh_relay: Relay, folder: Path) -> Iterator[bytes]:
    yield b'echo x >"$HOME/here"; sleep 600\n'
    until((folder / "here").exists, "the effect")
    openssh_relay.cut()


# --- masters ----------------------------------------------------------------------------------------------------------


def test_a_master_and_its_files_are_private_and_gone_when_it_is_closed(hosts: SshHosts, masters_at: Path) -> None:
    link = master(hosts)
    (folder,) = masters_at.iterdir()
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.iterdir())}
    assert modes.pop(folder.name) == 0o700
    assert {modes[name] for name in ("s", "known_hosts", "log")} == {0o600}
    number = link.tied.process.pid
    assert len(group(number)) == 2  # ssh, and the shell that waits for our end
    hosts.close()
    until(lambda: not group(number), "the end of the master")
    assert link.tied.process.returncode > 0  # told to, not killed
    assert list(masters_at.iterdir()) == []


@pytest.mark.parametrize("stage", ["open", "silent"])
def test_a_master_ends_when_drctl_is_killed(keys: Keys, openssh_relay: Relay, masters_at: Path, stage: str) -> None:
    """Whether it is open, or still waits for a host that says nothing."""
    openssh_relay.mode = "pass" if stage == "open" else "stall"
    told = masters_at / "told"
    program = f"""
import tempfile, time
tempfile.tempdir = {str(masters_at)!r}
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
hosts = SshHosts(inventory(Keys(Path({str(keys.folder)!r})).host({openssh_relay.port})), None, "openssh")
hosts.carrier("h1").link(time.monotonic() + 600)
Path({str(told)!r} + ".up").touch()
time.sleep(600)
"""
    child = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT)
    try:
        until(lambda: told.exists() and told.read_text(), "the master")
        number = int(told.read_text())
        until(lambda: told.with_suffix(".up").exists() if stage == "open" else openssh_relay.accepted, "that stage")
        assert len(group(number)) == 2
    finally:
        child.kill()
        child.wait()
    until(lambda: not group(number), "the end of the master")
    until(lambda: not list(masters_at.glob("drctl-*")), "the end of its files")


def test_a_master_that_hangs_is_noticed_and_replaced(
    hosts: SshHosts, openssh_relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openssh, "CHANNEL", 0.5)
    link = master(hosts)
    os.kill(link.tied.process.pid, signal.SIGSTOP)
    assert hosts.shell("h1").run(claim(), command()).state is ClaimState.RAN
    assert link.because.startswith("frozen:")
    assert group(link.tied.process.pid) == []
    assert openssh_relay.accepted == 2


def test_a_host_that_froze_without_a_word_is_noticed_by_its_master(
    hosts: SshHosts, openssh_relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openssh_words, "PING", 1)
    monkeypatch.setattr(openssh_words, "PINGS", 1)
    link = master(hosts)
    openssh_relay.freeze()
    until(lambda: not link.alive, "the end of the master")
    link.close("reset: whoever asked next")
    assert link.because == "frozen: the host stopped answering on an open link"
    openssh_relay.thaw()


def test_the_folder_of_sockets_stays_short(keys: Keys, openssh_relay: Relay, masters_at: Path, tmp_path: Path) -> None:
    for name in ("x" * 90, "with space", "percent%d"):
        folder = tmp_path / name
        folder.mkdir()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tempfile, "tempdir", str(folder))
            hosts = SshHosts(inventory(keys.host(openssh_relay.port)), no_secret, "openssh")
            assert hosts.shell("h1").read(command()).exit == 0
            assert list(folder.iterdir()) == []
            hosts.close()
    assert list(masters_at.iterdir()) == []


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


def test_a_password_is_refused_before_anything_is_connected(keys: Keys, openssh_relay: Relay, masters_at: Path) -> None:
    ref = SecretRef(source="env", target=("X",))
    host = keys.host(openssh_relay.port, login=Login(user="u", password=ref))
    hosts = SshHosts(inventory(host), no_secret, "openssh")
    because = hosts.shell("h1").run(claim(), command()).because
    assert because.startswith("login: the inventory gives a password")
    assert "--transport fabric" in because
    assert (openssh_relay.accepted, list(masters_at.iterdir())) == (0, [])


# --- behind another host ----------------------------------------------------------------------------------------------


def test_a_host_behind_another_is_reached_through_it_or_not_at_all(
    keys: Keys, openssh_relay: Relay, env: dict[str, str], masters_at: Path
) -> None:
    with asyncssh_server(keys, env) as port:
        behind = Relay(tcp(port))
        hop = keys.host(openssh_relay.port, name="hop")
        inner = keys.host(behind.port, name="inner", login=replace(keys.host(1).login, via=("hop",)))
        hosts = SshHosts(inventory(hop, inner), no_secret, "openssh")
        way = master(hosts, "hop")
        (masters_at / Path(way.tied.socket).parent.name / "s").rename(masters_at / "elsewhere")
        assert hosts.shell("inner").read(command(seconds=20)).reach is Reach.UNREACHABLE
        assert behind.accepted == 0  # not by itself, past the hop
        (masters_at / "elsewhere").rename(way.tied.socket)
        assert hosts.shell("inner").read(command()).exit == 0
        assert (openssh_relay.accepted, behind.accepted) == (1, 1)
        strange = replace(inner, name="strange", host_keys=(keys.public("other"),))
        others = SshHosts(inventory(hop, strange), no_secret, "openssh")
        assert others.shell("strange").read(command()).because.startswith("host key:")
        others.close()
        behind.close()
        hosts.close()


def test_a_host_that_its_hop_cannot_reach_is_told_with_the_hops_words(
    keys: Keys, openssh_relay: Relay, masters_at: Path
) -> None:
    login = replace(keys.host(1).login, via=("hop",))
    with socket.socket() as bound:  # bound, not listening: the system refuses for it
        bound.bind(("127.0.0.1", 0))
        inner = keys.host(bound.getsockname()[1], name="inner", login=login)
        hosts = SshHosts(inventory(keys.host(openssh_relay.port, name="hop"), inner), no_secret, "openssh")
        because = hosts.shell("inner").read(command()).because
    assert because.startswith("refused: nothing listens at"), because
    assert "(on the way, at hop). Next: " in because
    hosts.close()
    assert list(masters_at.iterdir()) == []


# --- a machine without room -------------------------------------------------------------------------------------------


def test_a_machine_without_descriptors_or_room_is_told_and_the_link_stays(
    hosts: SshHosts, keys: Keys, openssh_relay: Relay, monkeypatch: pytest.MonkeyPatch
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
    assert (hosts.shell("h1").read(command()).exit, openssh_relay.accepted) == (0, 1)
    monkeypatch.setattr(openssh, "PROGRAM", ("/no/such/ssh",))
    monkeypatch.setattr(openssh, "settings_known", openssh.settings_known.__wrapped__)
    other = SshHosts(inventory(keys.host(openssh_relay.port)), no_secret, "openssh")
    assert other.shell("h1").read(command()).because.startswith("link: ssh could not be started")
    assert descriptors() == open_before
    monkeypatch.setattr(tempfile, "tempdir", "/proc/no-such-folder")
    other = SshHosts(inventory(keys.host(openssh_relay.port)), no_secret, "openssh")
    answer = other.shell("h1").run(claim(), command())
    assert (answer.state, answer.because.partition(":")[0]) == (ClaimState.UNREACHABLE, "link"), answer


def test_a_place_that_says_nothing_to_the_host_is_silent_and_the_link_stays(
    hosts: SshHosts, openssh_relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openssh, "CHANNEL", 0.1)
    link = master(hosts)
    openssh_relay.freeze()  # nothing answers: neither host nor place; only the limit says so
    reply = hosts.dialer("h1").connect("127.0.0.1", 9, Duration(500_000))
    openssh_relay.thaw()
    assert (reply.reach, reply.state) == (Reach.TIMEOUT, PortState.SILENT)
    assert link.alive
    assert (hosts.shell("h1").read(command()).exit, openssh_relay.accepted) == (0, 1)


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
