"""The `~/.ssh/config` of a person over the transport openssh: what of it applies, and what must not."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from drctl.adapters import openssh, openssh_words
from drctl.adapters.ssh import SshHosts
from drctl.core.inventory import Login
from drctl.core.ports import ClaimState
from tests.adapters.steps import claim, command, no_secret
from tests.fakes.sshservers import Keys, Relay, inventory

pytestmark = pytest.mark.needs("openssh-client", "openssh-server")
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
def with_config(masters_at: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    def write(text: str) -> None:
        (tmp_path / "config").write_text(text)
        (tmp_path / "config").chmod(0o600)
        monkeypatch.setattr(openssh, "PROGRAM", ("ssh", "-F", str(tmp_path / "config")))

    assert masters_at.exists()
    return write


def test_settings_that_would_weaken_a_promise_do_not_apply(
    keys: Keys, openssh_relay: Relay, tmp_path: Path, with_config: Callable[[str], None]
) -> None:
    known, mark = tmp_path / "known", tmp_path / "happened"
    known.write_text(f"* {keys.public('host')}\n")
    with_config(WEAK.format(known=known, forward=mark))
    right = SshHosts(inventory(keys.host(openssh_relay.port)), no_secret, "openssh")
    assert right.shell("h1").read(command("tty; echo $SSH_AUTH_SOCK$DISPLAY")).stdout.strip() == b"not a tty"
    right.close()
    wrong = SshHosts(inventory(keys.host(openssh_relay.port, pin="other")), no_secret, "openssh")
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
    keys: Keys, openssh_relay: Relay, with_config: Callable[[str], None]
) -> None:
    with_config(f"Match host 127.0.0.1 originalhost h1\n  IdentityFile {keys.folder}/client\n")
    bare = Login(user=keys.host(1).login.user)
    for name, reached in (("h1", True), ("h2", False)):
        hosts = SshHosts(inventory(keys.host(openssh_relay.port, name=name, login=bare)), no_secret, "openssh")
        reply = hosts.shell(name).read(command())
        assert (reply.exit == 0) is reached, reply
        assert reached or reply.because.startswith("login: 127.0.0.1")
        hosts.close()


def test_a_word_of_a_config_that_ssh_does_not_know_is_told(
    keys: Keys, openssh_relay: Relay, with_config: Callable[[str], None]
) -> None:
    with_config("NoSuchThing yes\n")
    hosts = SshHosts(inventory(keys.host(openssh_relay.port)), no_secret, "openssh")
    because = hosts.shell("h1").read(command()).because
    assert because.startswith("link: ")
    assert "bad configuration options" in because
    hosts.close()


def test_a_slow_key_exchange_is_told(keys: Keys, openssh_relay: Relay, with_config: Callable[[str], None]) -> None:
    for kex, told in (("curve25519-sha256", 0), ("sntrup761x25519-sha512@openssh.com", 1)):
        with_config(f"KexAlgorithms {kex}\n")
        hosts = SshHosts(inventory(keys.host(openssh_relay.port)), no_secret, "openssh")
        found = hosts.check("h1")
        assert (found.problem, sum("key" in remark or kex[:10] in remark for remark in found.remarks)) == ("", told)
        hosts.close()
