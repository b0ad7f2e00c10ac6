"""Becoming another user: a real sudo behind a real sshd, and a sudo that answers oddly."""

import contextlib
import functools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from drctl.adapters import become, openssh
from drctl.adapters.ssh import SshHosts
from drctl.core.holdings import LinkError, Standing
from drctl.core.inventory import Login, SecretRef
from drctl.core.ports import Claim, ClaimReply, ClaimShell, ClaimState, Command, Reach, Reply
from drctl.core.values import Duration, Secret
from drctl.errors import RefusedError
from tests.adapters.shell_conformance import Place, ShellConformance
from tests.fakes.sshservers import SSH, Keys, Relay, asyncssh_server, inventory, openssh_server, tcp
from tests.fakes.sudoers import LOGIN, OTHER, PASSWORD, SudoHost, sudo_host

REF = SecretRef(source="env", target=("SUDO",))


@pytest.fixture(autouse=True, params=["fabric", pytest.param("openssh", marks=pytest.mark.needs("openssh-client"))])
def _transport(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each over every transport."""
    monkeypatch.setattr(openssh, "PROGRAM", SSH)
    monkeypatch.setattr(f"{__name__}.SshHosts", functools.partial(SshHosts, transport=request.param))


def given(password: str) -> Callable[[SecretRef], Secret]:
    return lambda ref: Secret(password, str(ref))


def claim(key: str = "k1", run: str = "uid-a") -> Claim:
    return Claim(key=key, run=run, run_id="7K3QF", operator="li", epoch=1, holder="SHA256:a")


def command(script: str = "id -un", seconds: float = 30, user: str = OTHER) -> Command:
    return Command(script=script, as_user=user, timeout=Duration(int(seconds * 1e6)))


# --- a real sudo ------------------------------------------------------------------------------------------------------

real_sudo = pytest.mark.needs("sudo", "openssh-server")
only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a host its own sudoers")


RULES = ["", "Defaults use_pty", "Defaults log_input, log_output, iolog_dir=/run/sudo", "Defaults pwfeedback"]


@dataclass(slots=True)
class AsUser:
    """A shell whose every command is another user's."""

    shell: ClaimShell

    def read(self, command: Command) -> Reply:
        return self.shell.read(replace(command, as_user=OTHER))

    def run(self, claim: Claim, command: Command) -> ClaimReply:
        return self.shell.run(claim, replace(command, as_user=OTHER))

    def attach(self, claim: Claim, command: Command) -> ClaimReply:
        return self.shell.attach(claim, replace(command, as_user=OTHER))

    def kill(self, claim: Claim, command: Command) -> ClaimReply:
        return self.shell.kill(claim, replace(command, as_user=OTHER))

    def stage(self, claim: Claim, chunks: list[bytes]) -> str:
        return self.shell.stage(claim, chunks, OTHER)

    def release(self, claim: Claim) -> ClaimReply:
        return self.shell.release(claim)

    def standing(self, claim: Claim) -> Standing:
        return self.shell.standing(claim)

    def take(self, claim: Claim, given_up: str = "") -> ClaimReply:
        return self.shell.take(claim, given_up)


@dataclass(slots=True)
class Real:
    """A host with its own sudo, reached as LOGIN."""

    host: SudoHost
    keys: Keys
    relay: Relay
    made: list[SshHosts]

    def shell(self, password: str | None = PASSWORD) -> ClaimShell:
        login = Login(user=LOGIN, key=str(self.keys.folder / "client"))
        ref = None if password is None else REF
        inner = self.keys.host(self.relay.port, login=login, become_password=ref)
        self.made.append(SshHosts(inventory(inner), given(password or "")))
        return self.made[-1].shell("h1")


@pytest.fixture
def real(keys: Keys, tmp_path: Path) -> Iterator[Real]:
    with sudo_host(keys, tmp_path) as (host, connect):
        made = Real(host, keys, Relay(connect), [])
        made.host.allow(f"{LOGIN} ALL=({OTHER}) ALL")
        yield made
        for hosts in made.made:
            hosts.close()
        made.relay.close()


@real_sudo
@only_root
class TestRealSudoWithAPassword(ShellConformance):
    @pytest.fixture
    def place(self, real: Real) -> Iterator[Place]:
        effects = real.host.home / OTHER / "effects"

        def seen() -> list[str]:
            return effects.read_text().split() if effects.exists() else []

        place = Place(AsUser(real.shell()), seen, f"/home/{OTHER}/effects", real.host.restart)  # type: ignore[arg-type] # stage has no user
        yield place
        place.clear()


@real_sudo
@only_root
@pytest.mark.parametrize("rule", RULES)
def test_the_claim_lies_with_the_user_and_the_password_nowhere(real: Real, rule: str) -> None:
    real.host.allow(*([rule] if rule else []), f"{LOGIN} ALL=({OTHER}) ALL")
    shell = real.shell()
    script = 'id -un; cat; tr "\\0" "\\n" </proc/$PPID/environ; tr "\\0" " " </proc/[0-9]*/cmdline'
    answer = shell.run(claim(), replace(command(script), stdin=b"all of it\n"))
    assert answer.state is ClaimState.RAN, answer
    assert answer.reply is not None
    assert answer.reply.stdout.startswith(f"{OTHER}\nall of it\n".encode())
    assert PASSWORD.encode() not in answer.reply.stdout + answer.reply.stderr
    homes = [real.host.home / name / ".local/state/drctl" for name in (LOGIN, OTHER)]
    assert all((home / "owner").exists() for home in homes)
    assert list((homes[1] / "runs/uid-a/claims").iterdir())
    assert not (homes[0] / "runs/uid-a/claims").exists()
    for file in (path for home in homes for path in home.rglob("*") if path.is_file()):
        assert PASSWORD.encode() not in file.read_bytes()
    assert shell.release(claim()).state is ClaimState.RAN
    assert not any((home / "owner").exists() for home in homes)


ALL = f"{LOGIN} ALL=({OTHER}) ALL"
REFUSALS = {
    "wrong password": ([ALL], "open-sesame", OTHER, ("does not take", "become.password")),
    "no password given": ([ALL], None, OTHER, ("the inventory gives none", "become: {by: sudo")),
    "not in sudoers": (["root ALL=(ALL) ALL"], PASSWORD, OTHER, ("does not let", ALL)),
    "not that command": ([f"{LOGIN} ALL=({OTHER}) /bin/true"], PASSWORD, OTHER, ("does not let", "sudoers")),
    "not that user": ([f"{LOGIN} ALL=(root) ALL"], PASSWORD, OTHER, ("does not let", "sudoers")),
    "requiretty": (["Defaults requiretty", ALL], PASSWORD, OTHER, ("requiretty", "!requiretty")),
    "no such user": ([f"{LOGIN} ALL=(ALL) ALL"], PASSWORD, "nosuch", ("there is no user nosuch",)),
    "rules that cannot be read": (["Defaults ===", "xx"], PASSWORD, OTHER, ("Next:",)),
}  # fmt: skip


@real_sudo
@only_root
@pytest.mark.parametrize("case", REFUSALS)
def test_sudo_that_refuses_says_what_to_do_and_nothing_began(real: Real, case: str) -> None:
    rules, password, user, parts = REFUSALS[case]
    real.host.allow(*rules)
    shell = real.shell(password)
    answer = shell.run(claim(), command("touch ran", user=user))
    look = shell.read(command("true", user=user))
    assert (answer.state, look.reach) == (ClaimState.REFUSED, Reach.UNREACHABLE), (answer, look)
    for because in (answer.because, look.because):
        assert because.startswith("sudo: ")
        assert all(part in because for part in parts), because
        assert PASSWORD not in because
    assert (
        shell.attach(claim(), command("touch ran", user=user)).state is ClaimState.IN_DOUBT
    )  # it proves nothing later
    assert not list(real.host.home.rglob("ran"))


@real_sudo
@only_root
def test_a_password_that_sudo_does_not_ask_for_is_not_sent(real: Real) -> None:
    real.host.allow(f"{LOGIN} ALL=({OTHER}) NOPASSWD: ALL")
    answer = real.shell("x\ny").run(claim(), replace(command("id -un; cat"), stdin=b"mine"))
    assert answer.reply is not None
    assert answer.reply.stdout == f"{OTHER}\nmine".encode()


@pytest.mark.needs("openssh-server")
@pytest.mark.parametrize("password", [None, PASSWORD])
def test_a_host_without_sudo(keys: Keys, tmp_path: Path, password: str | None) -> None:
    """Whatever the machine has: the login shell finds no sudo in an empty PATH."""
    rig = Odd(keys, tmp_path, "", password)
    (rig.folder / "bin/sudo").unlink()
    with rig.serving(openssh=True) as shell:
        answer = shell.run(claim(), command())
    assert answer.state is ClaimState.REFUSED, answer
    assert "sudo is not installed" in answer.because


# --- a sudo that answers oddly ----------------------------------------------------------------------------------------

FAKE = """#!/bin/sh
printf '%s\\n' "$*" >>"$HOME/argv"
env >>"$HOME/environment"
while [ "$1" != -- ]; do [ "$1" != -p ] || prompt=$2; shift; done
shift
ask() {
  printf %s "$prompt" >&2
  IFS= read -r word || { echo 'sudo: no password was provided' >&2; exit 1; }
  printf '%s\\n' "$word" >>"$HOME/words"
}
ask_otherwise() { printf 'Password: ' >&2; IFS= read -r word; printf '%s\\n' "$word" >>"$HOME/words"; }
"""
TOOLS = "cat chmod date env find head id kill ln mkdir mv rm setsid sh sleep sync touch tr wc"
LECTURE = "We trust you have received the usual lecture. password: Password:\\n"


@dataclass(slots=True)
class Odd:
    """A host whose sudo is a script that ends with `how`."""

    keys: Keys
    folder: Path
    how: str
    password: str | None = PASSWORD
    resolve: Callable[[SecretRef], Secret] | None = None

    def __post_init__(self) -> None:
        (self.folder / "bin").mkdir()
        for name in TOOLS.split():
            (self.folder / "bin" / name).symlink_to(
                next(p for p in (Path("/bin", name), Path("/usr/bin", name)) if p.exists())
            )
        (self.folder / "bin/sudo").write_text(FAKE + self.how)
        (self.folder / "bin/sudo").chmod(0o755)
        for name in ("argv", "words", "environment"):
            (self.folder / name).touch()

    def said(self, name: str) -> str:
        return (self.folder / name).read_text()

    @contextlib.contextmanager
    def serving(self, *, openssh: bool = False) -> Iterator[ClaimShell]:
        env = {"HOME": str(self.folder), "PATH": f"{self.folder}/bin", "XDG_STATE_HOME": f"{self.folder}/state"}
        server = openssh_server(self.keys, self.folder, env) if openssh else asyncssh_server(self.keys, env)
        with server as upstream:
            relay = Relay(tcp(upstream) if isinstance(upstream, int) else upstream)
            ref = None if self.password is None else REF
            host = self.keys.host(relay.port, become_password=ref)
            hosts = SshHosts(inventory(host), self.resolve or given(self.password or ""))
            yield hosts.shell("h1")
            hosts.close()
            relay.close()


def test_the_password_goes_out_once_after_the_prompt_and_by_stdin_alone(keys: Keys, tmp_path: Path) -> None:
    odd = Odd(keys, tmp_path, f"printf '{LECTURE}' >&2; ask; exec \"$@\"")
    with odd.serving() as shell:
        answer = shell.run(claim(), replace(command("cat"), stdin=b"in"))
        assert answer.state is ClaimState.RAN, answer
        assert answer.reply is not None
        assert answer.reply.stdout == b"in"
    words = odd.said("words").splitlines()
    assert words == [PASSWORD] * len(words)
    assert len(words) == len(odd.said("argv").splitlines())
    prompts = [line.split(" -p ")[1].split()[0] for line in odd.said("argv").splitlines()]
    assert len(set(prompts)) == len(prompts)  # a nonce each time
    assert PASSWORD not in odd.said("argv") + odd.said("environment")


@pytest.mark.parametrize(
    ("how", "parts", "words"),
    [
        ("ask_otherwise", ("asked for no password", "time sudo -k"), ""),
        ("exec sleep 600", ("asked for no password",), ""),
        ("ask; exec sleep 600", ("did not answer the password",), f"{PASSWORD}\n"),
        ('ask; sleep 1; ask; exec "$@"', ("does not take the password",), f"{PASSWORD}\n"),
        ("ask; echo 'sudo: a plugin crashed' >&2; exit 3", ("gave", "a plugin crashed"), f"{PASSWORD}\n"),
        ("ask; kill -9 $$", ("it said nothing",), f"{PASSWORD}\n"),
        ("exit 0", ("it said nothing",), ""),
    ],
    ids=["another prompt", "silent", "silent after the password", "asks again", "breaks", "is killed", "just ends"],
)  # fmt: skip
def test_an_odd_sudo_never_hangs_and_begins_nothing(
    keys: Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, parts: tuple[str, ...], words: str
) -> None:
    monkeypatch.setattr(become, "PATIENCE", 3.0)
    odd = Odd(keys, tmp_path, how)
    with odd.serving() as shell:
        asking = command("touch ran", 60)
        look = shell.read(asking)
        assert look.reach is Reach.UNREACHABLE, look
        assert all(part in look.because for part in parts), look
        assert odd.said("words").rstrip("\n") == words.rstrip("\n")
        answer = shell.run(claim(), asking)
        assert answer.state is ClaimState.REFUSED, answer
        with pytest.raises(LinkError) as caught:
            shell.stage(claim("s"), [b"x"], OTHER)
        assert not caught.value.began
    assert odd.said("words").count("\n") <= odd.said("argv").count("\n")  # one word for each sudo
    assert not list(tmp_path.rglob("ran"))


@pytest.mark.parametrize("password", ["two\nlines", "two\rlines", "nul\0"])
def test_a_password_of_several_lines_is_never_sent(keys: Keys, tmp_path: Path, password: str) -> None:
    """What follows its first line would be read by the shell."""
    odd = Odd(keys, tmp_path, 'ask; exec "$@"', password)
    with odd.serving() as shell:
        answer = shell.run(claim(), command())
    assert (answer.state, "several lines" in answer.because, odd.said("words")) == (ClaimState.REFUSED, True, "")
    assert "lines" not in answer.because.replace("several lines", "")


def test_a_password_that_is_not_there_is_told_and_asked_for_only_when_sudo_asks(keys: Keys, tmp_path: Path) -> None:
    asked: list[SecretRef] = []

    def resolve(ref: SecretRef) -> Secret:
        asked.append(ref)
        raise RefusedError("env:SUDO is not set")

    odd = Odd(keys, tmp_path, 'ask; exec "$@"', resolve=resolve)
    with odd.serving() as shell:
        assert shell.read(replace(command("true"), as_user=None)).exit == 0
        assert asked == []
        answer = shell.run(claim(), command())
    assert (answer.state, asked) == (ClaimState.REFUSED, [REF])
    assert "env:SUDO is not set" in answer.because
