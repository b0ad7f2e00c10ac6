"""The claim wrapper itself, under three shells: what a command sees, what stays on the host, what cannot be claimed."""

import contextlib
import os
import random
import secrets
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from drctl.adapters import claim_text
from drctl.adapters.claims import ClaimedShell
from drctl.adapters.local import LocalCarrier
from drctl.core.holdings import LinkError
from drctl.core.ports import Claim, ClaimReply, ClaimState, Command, Reply
from drctl.core.values import Duration, Secret
from drctl.errors import DefectError
from tests.adapters.shell_conformance import Place, ShellConformance

SHELLS = ["/bin/sh", "/bin/bash", pytest.param("busybox sh", marks=pytest.mark.needs("busybox"))]
SECRET = "Xy7-sesam-$HOME-'\"`%\\"
APPLETS = "cat chmod df env find grep head id kill ln mkdir mv rm setsid sh sleep stat sync touch tr true wc busybox"


@dataclass(slots=True)
class Rig:
    """A local shell in a folder of its own."""

    folder: Path
    shell: str
    env: dict[str, str]
    key: str

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def made(self) -> ClaimedShell:
        return ClaimedShell(LocalCarrier(self.env), "local", str(self.state), self.shell)

    def claim(self, name: str = "k") -> Claim:
        return Claim(key=f"{self.key}-{name}", run="uid-a", run_id="7K3QF", operator="li", epoch=1, holder="SHA256:a")

    def act(self, script: str, name: str = "k", **more: object) -> ClaimReply:
        return self.made.run(self.claim(name), command(script, **more))

    def ran(self, script: str, name: str = "k", **more: object) -> Reply:
        answer = self.act(script, name, **more)
        assert answer.state is ClaimState.RAN, answer
        assert answer.reply is not None
        return answer.reply


def command(script: str, **more: object) -> Command:
    return Command(script=script, **({"timeout": Duration(30_000_000)} | more))  # type: ignore[arg-type] # fields of tests


@pytest.fixture(params=SHELLS, ids=lambda shell: shell.rsplit("/", 1)[-1].split()[0])
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    env = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
    if request.param == "busybox sh":
        (tmp_path / "bin").mkdir()
        for name in APPLETS.split():
            (tmp_path / "bin" / name).symlink_to(str(shutil.which("busybox")))
        env["PATH"] = str(tmp_path / "bin")
    made = Rig(tmp_path, request.param, env, secrets.token_hex(8))
    yield made
    for pid in left(made.key):
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
def sh(tmp_path: Path) -> Iterator[Rig]:
    """One shell is enough where the shell is not the point."""
    env = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    made = Rig(tmp_path, "/bin/sh", env, secrets.token_hex(8))
    yield made
    for pid in left(made.key):
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)


def left(key: str) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if f"DRCTL_CLAIM={key}".encode() in entry.read_bytes():
                found.append(int(entry.parent.name))
    return found


def until(there: Callable[[], object], what: str) -> None:
    for _ in range(3000):
        if there():
            return
        time.sleep(0.01)
    raise AssertionError(f"never came: {what}")


@pytest.mark.parametrize("rig", SHELLS[1:], indirect=True, ids=["bash", "busybox"])
class TestOtherShells(ShellConformance):
    @pytest.fixture
    def place(self, rig: Rig) -> Iterator[Place]:
        boot, effects = rig.folder / "boot_id", rig.folder / "effects"
        boot.write_text("boot-1\n")
        effects.touch()
        rig.env["DRCTL_BOOT_ID_FILE"] = str(boot)

        def restart() -> None:
            boot.write_text("boot-2\n")

        place = Place(rig.made, lambda: effects.read_text().split(), str(effects), restart)
        yield place
        place.clear()


# --- what a command sees ----------------------------------------------------------------------------------------------


def test_any_byte_reaches_the_command(rig: Rig) -> None:
    data = bytes(range(256)) * 3 + b"-n %s %% \\ \\012 'quoted' $HOME `x` \r\n" + bytes(range(255, -1, -1))
    for name, stdin in (("all", data), ("dash", b"-e x\n"), ("large", data * 300), ("none", b"")):
        assert rig.ran("cat", name, stdin=stdin, cap=1 << 22).stdout == stdin
        assert rig.made.read(command("cat", stdin=stdin, cap=1 << 22)).stdout == stdin
    assert rig.ran("true", "unread", stdin=data * 300).exit == 0


def test_any_text_reaches_it_as_a_variable_and_is_never_parsed(rig: Rig) -> None:
    value = "a'b\"c$HOME`id`$(id)\\\n;&|*?[x] \t é\n\n"
    reply = rig.ran('printf "%s|%s" "$A" "$B"', env={"A": value, "B": Secret(SECRET)})
    assert reply.stdout.decode() == f"{value}|{SECRET}"


def test_neither_script_nor_value_shows_in_ps(rig: Rig) -> None:
    look = "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '; exit 0; # a-word-of-the-script"
    for reply in (
        rig.ran(look, env={"A": "a-word-of-a-value"}, stdin=b"a-word-of-the-input"),
        rig.made.read(command(look, env={"A": "a-word-of-a-value"}, stdin=b"a-word-of-the-input")),
    ):
        assert b"python" in reply.stdout  # this process, so the others were listed too
        assert b"a-word" not in reply.stdout


def test_a_look_runs_as_if_nothing_stood_around_it(rig: Rig) -> None:
    script = "set | grep -c '^dr_' || :; echo $#; cat; case $- in *e*) echo e ;; esac; false; echo never"
    reply = rig.made.read(command(script, stdin=b"in\n"))
    assert (reply.exit, reply.stdout.split()) == (1, [b"0", b"0", b"in", b"e"])


def test_a_command_runs_as_if_nothing_stood_around_it(rig: Rig) -> None:
    script = """
        set | grep -c '^dr_' || :
        umask
        pwd
        echo "$HOME"
        echo "$DRCTL_CLAIM $DRCTL_STAGE"
        IFS= read -r x </proc/self/stat; x=${x##*) }; set -- $x; echo "$4"
        grep SigIgn /proc/self/status | tr -d ' \\t'
    """
    before = os.umask(0o027)
    try:
        shown = rig.ran(script).stdout.decode().split("\n")
    finally:
        os.umask(before)
    home = str(rig.folder)
    key = rig.claim().key
    assert shown[:5] == ["0", "0027", home, home, f"{key} {rig.state}/runs/uid-a/stage/{key}"]
    assert int(shown[5]) not in (os.getsid(0), 0)  # a session of its own
    ignored = int(shown[6].partition(":")[2], 16)
    assert ignored & 0b110 == 0  # SIGINT and SIGQUIT work, as for a command typed by hand


def test_a_script_stops_at_its_first_failure_or_unset_name(rig: Rig) -> None:
    assert rig.ran("echo a; false; echo b", "e").stdout == b"a\n"
    assert rig.ran('echo a; echo "$NOT_SET"; echo b', "u").stdout == b"a\n"
    assert rig.ran("exit 0; false", "x").exit == 0
    assert rig.ran("if then", "syntax").exit != 0
    assert rig.ran("kill -9 $$", "signal").exit == 137


def test_a_folder_to_start_in(sh: Rig) -> None:
    (sh.folder / "-odd 'name").mkdir()
    assert sh.ran("pwd", cwd=f"{sh.folder}/-odd 'name").stdout.decode() == f"{sh.folder}/-odd 'name\n"
    assert sh.ran("pwd", "b", cwd="-odd 'name").stdout.decode() == f"{sh.folder}/-odd 'name\n"
    missing = sh.ran("echo x >here", "c", cwd="/missing")
    assert (missing.exit, missing.stdout) == (126, b"")


def test_what_cannot_be_said_to_a_shell_is_a_defect(sh: Rig) -> None:
    for bad in ({"script": "a\0b"}, {"env": {"A-B": "x"}}, {"env": {"A": "x\0"}}, {"as_user": "li; id"}):
        with pytest.raises(DefectError):
            sh.made.run(sh.claim(), replace(command("true"), **bad))
    for name in ("../x", "a b", "a*"):
        with pytest.raises(DefectError):
            sh.made.run(replace(sh.claim(), key=name), command("true"))


# --- what stays on the host -------------------------------------------------------------------------------------------


def test_no_secret_is_left_in_the_folder_of_claims(rig: Rig) -> None:
    script = 'printf "%s" "$A"; cat >&2'
    first = rig.ran(script, env={"A": Secret(SECRET)}, stdin=Secret(SECRET))
    assert [first.stdout.decode(), first.stderr.decode()] == ([SECRET] * 2 if first.stdout else ["", ""])
    assert first.cut is (not first.stdout)  # no memory of this user's own: then the outputs are kept nowhere
    files = [path for path in rig.state.rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if b"sesam" in path.read_bytes()]
    vaults = [Path(path.read_text().strip()) for path in files if path.name == "vault"]
    rig.made.release(rig.claim())
    assert [vault for vault in vaults if vault.exists()] == []
    later = rig.made.attach(rig.claim(), command(script, env={"A": Secret("x")}, stdin=Secret("y")))
    assert later.reply is not None
    assert (later.reply.exit, later.reply.stdout, later.reply.cut) == (0, b"", True)


def test_everything_on_the_host_belongs_to_this_user_alone(sh: Rig) -> None:
    sh.ran("true")
    assert {oct(path.stat().st_mode & 0o077) for path in sh.state.rglob("*")} == {"0o0"}


def test_tombstones_are_swept_after_ninety_days_and_not_before(rig: Rig) -> None:
    rig.ran("true")
    for name, days in (("old", 100), ("young", 80)):
        folder = rig.state / "runs" / name / "claims"
        folder.mkdir(parents=True)
        then = time.time() - days * 86400
        os.utime(folder.parent, (then, then))
    rig.made.release(rig.claim())
    assert sorted(path.name for path in (rig.state / "runs").iterdir()) == ["uid-a", "young"]
    assert not (rig.state / "owner").exists()


# --- what cannot be claimed -------------------------------------------------------------------------------------------


def test_a_full_disk_refuses_before_the_effect_and_later_lets_the_same_key_run(sh: Rig) -> None:
    effects = sh.folder / "effects"
    script = f"echo x >>{effects}"
    full = replace(sh)
    full.shell = """/bin/sh -c 'trap "" XFSZ; ulimit -f 0; exec /bin/sh "$@"' x"""
    for folders in ("none-yet", "there"):
        answer = full.act(script, folders)
        assert answer.state is ClaimState.REFUSED, answer
        assert "full" in answer.because
        assert full.made.attach(full.claim(folders), command(script)).state is ClaimState.IN_DOUBT
        with pytest.raises(LinkError):
            full.made.stage(full.claim(folders), [b"x"])
        assert not effects.exists()
        assert sh.ran(script, folders).exit == 0
        effects.unlink()


def test_a_folder_that_cannot_be_made_refuses(sh: Rig) -> None:
    sh.state.write_text("a file")
    answer = sh.act("true")
    assert answer.state is ClaimState.REFUSED
    assert str(sh.state) in answer.because


def test_a_host_without_setsid_refuses(sh: Rig) -> None:
    (sh.folder / "bin").mkdir()
    for name in ("cat", "mkdir", "ln", "rm"):
        (sh.folder / "bin" / name).symlink_to(str(shutil.which(name)))
    sh.env["PATH"] = str(sh.folder / "bin")
    answer = sh.act("true")
    assert answer.state is ClaimState.REFUSED
    assert "setsid" in answer.because


def test_of_many_runs_one_gets_the_host(rig: Rig) -> None:
    start = threading.Barrier(12)

    def run(number: int) -> ClaimState:
        claim = replace(rig.claim(f"k{number}"), run=f"uid-{number}", run_id=f"R{number}")
        start.wait()
        return rig.made.run(claim, command(f"echo {number} >>{rig.folder}/effects")).state

    with ThreadPoolExecutor(12) as pool:
        states = list(pool.map(run, range(12)))
    assert sorted(state.value for state in states) == ["ran"] + ["refused"] * 11
    assert len((rig.folder / "effects").read_text().split()) == 1


def test_of_many_holders_one_gets_the_epoch(rig: Rig) -> None:
    start = threading.Barrier(12)

    def run(number: int) -> ClaimState:
        claim = replace(rig.claim(f"k{number}"), epoch=2, holder=f"SHA256:{number}")
        start.wait()
        return rig.made.run(claim, command("true")).state

    with ThreadPoolExecutor(12) as pool:
        states = list(pool.map(run, range(12)))
    assert sorted(state.value for state in states) == ["ran"] + ["refused"] * 11


def test_a_text_cut_off_anywhere_starts_nothing(rig: Rig) -> None:
    values = claim_text.claim_values(rig.claim(), "2026-11-23T15:00:00Z") | {
        "d": str(rig.state), "g": "x", "cap": "1000", "t": "5", "priv": "0", "kill": "1", "sh": rig.shell,
        "p": claim_text.program(command(f"touch {rig.folder}/effect")),
    }  # fmt: skip
    whole = claim_text.wrapper_text("ab" * 16, "run", values).rstrip()
    seed = secrets.randbelow(10**6)
    print(f"seed {seed}")  # noqa: T201 - shown when the test fails
    cuts = sorted({*random.Random(seed).sample(range(len(whole)), 60), len(whole) - 1})
    for cut in cuts:
        argv = [*rig.shell.split(), "-c", 'eval "$(cat)"']
        done = subprocess.run(argv, input=whole[:cut], capture_output=True, env=rig.env, check=False)
        assert b"hello" not in done.stdout, cut
        assert not rig.state.exists(), cut
    done = subprocess.run(argv, input=whole, capture_output=True, env=rig.env, check=False)
    assert b"reply ran 0" in done.stdout
    assert (rig.folder / "effect").exists()


# --- ending, and what is left -----------------------------------------------------------------------------------------


def test_a_child_that_left_the_group_is_told_and_not_called_killed(rig: Rig) -> None:
    script = f"setsid sleep 600 & echo $! >{rig.folder}/child; sleep 600"
    answer = rig.act(script, timeout=Duration(1_000_000))
    assert (answer.state, answer.gone) == (ClaimState.STILL_RUNNING, False), answer
    (child,) = left(rig.key)
    assert str(child) in answer.because
    os.kill(child, signal.SIGKILL)
    assert rig.made.kill(rig.claim(), command(script)).state is ClaimState.KILLED


def test_a_command_that_ignores_term_is_ended_too(sh: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    wrapper = claim_text._wrapper().replace("dr_signal TERM 50", "dr_signal TERM 3")
    monkeypatch.setattr(claim_text, "_wrapper", lambda: wrapper)
    script = f"trap '' TERM; touch {sh.folder}/ready; while :; do sleep 1; done"
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(sh.act, script)
        until((sh.folder / "ready").exists, "the command")
        ended = sh.made.kill(sh.claim(), command(script))
        assert (ended.state, ended.gone, left(sh.key)) == (ClaimState.KILLED, True, [])
        assert running.result(30).state is ClaimState.KILLED  # whoever waited for it hears the same


def test_what_ignores_term_has_its_five_seconds_in_few_looks_at_all_processes(sh: Rig) -> None:
    programs = sh.folder / "programs"  # a nap takes no time here; what was asked for is noted
    programs.mkdir()
    (programs / "sleep").write_text(f'#!/bin/sh\necho "$1" >>{sh.folder}/naps.$PPID\n')
    (programs / "sleep").chmod(0o755)
    sh.env["PATH"] = f"{programs}:{sh.env['PATH']}"
    script = f"trap '' TERM; touch {sh.folder}/ready; while :; do /bin/sleep 1; done"
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(sh.act, script)
        until((sh.folder / "ready").exists, "the command")
        assert sh.made.kill(sh.claim(), command(script)).state is ClaimState.KILLED
        running.result(30)
    found = (path.read_text().split() for path in sh.folder.glob("naps.*"))
    (naps,) = [one for one in found if "0.1" in one]  # the other one waits for an end that someone writes down
    assert 4.9 < sum(map(float, naps)) < 9
    assert len(naps) < 40


def test_a_command_that_something_else_killed_is_in_doubt_but_gone(rig: Rig) -> None:
    script = f"touch {rig.folder}/ready; exec sleep 600"
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(rig.act, script)
        until((rig.folder / "ready").exists, "the command")
        for pid in sorted(left(rig.key)):  # the one that would write the exit code first
            os.kill(pid, signal.SIGKILL)
        for answer in (running.result(30), rig.made.attach(rig.claim(), command(script))):
            assert (answer.state, answer.gone) == (ClaimState.IN_DOUBT, True), answer


def test_another_process_with_the_same_number_is_never_ended(sh: Rig) -> None:
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as stranger:
        folder = sh.state / "runs" / "uid-a" / "claims" / sh.claim().key
        sh.ran("true")
        (folder / "rc").write_text(f"{'pending':<12}\n")
        (folder / "pid").write_text(f"{stranger.pid:<12}\n")
        answer = sh.made.kill(sh.claim(), command("true"))
        assert answer.state is ClaimState.KILLED  # what the claim started is gone
        assert stranger.poll() is None
        stranger.kill()


def test_a_claim_whose_maker_died_at_once_is_in_doubt(sh: Rig) -> None:
    (sh.state / "runs" / "uid-a" / "claims" / sh.claim().key).mkdir(parents=True)
    answer = sh.made.attach(sh.claim(), command("true"))
    assert (answer.state, answer.gone) == (ClaimState.IN_DOUBT, False)


def test_what_is_no_integer_is_no_exit_code(rig: Rig) -> None:
    rig.ran("true")
    rc = rig.state / "runs" / "uid-a" / "claims" / rig.claim().key / "rc"
    for text in ("-1", "0x", "nan"):
        rc.write_text(f"{text:<12}\n")
        answer = rig.made.attach(rig.claim(), command("true"))
        assert (answer.state, answer.reply) == (ClaimState.IN_DOUBT, None)


def test_whoever_comes_back_waits_for_the_end(rig: Rig) -> None:
    script = f"touch {rig.folder}/ready; until [ -e {rig.folder}/go ]; do sleep 0.05; done; exit 6"
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(rig.act, script)
        until((rig.folder / "ready").exists, "the command")
        soon = rig.made.attach(rig.claim(), command(script, timeout=Duration(300_000)))
        assert soon.state is ClaimState.STILL_RUNNING
        again = [pool.submit(call, rig.claim(), command(script)) for call in (rig.made.run, rig.made.attach)]
        (rig.folder / "go").touch()
        answers = [first.result(30), *(future.result(30) for future in again)]
    assert [answer.state.value for answer in answers] == ["ran", "reattached", "reattached"]
    assert {answer.reply and answer.reply.exit for answer in answers} == {6}


# --- as another user --------------------------------------------------------------------------------------------------

SUDO = """#!/bin/sh
[ "$1 $2" = "-n -u" ] && [ "$4 $5" = "-H --" ] || exit 99
[ "$3" != nobody ] || { echo 'sudo: a password is required' >&2; exit 1; }
HOME=$HOME/home-of-$3; export HOME; mkdir -p "$HOME"; cd /
shift 5
exec "$@"
"""


def test_as_another_user_the_claim_lies_with_that_user_and_both_are_given_back(sh: Rig) -> None:
    (sh.folder / "bin").mkdir()
    (sh.folder / "bin" / "sudo").write_text(SUDO)
    (sh.folder / "bin" / "sudo").chmod(0o755)
    sh.env["PATH"] = f"{sh.folder}/bin:{sh.env['PATH']}"
    theirs = sh.folder / "home-of-postgres"
    shell = sh.made
    answer = shell.run(sh.claim(), command("pwd", as_user="postgres"))
    assert answer.reply is not None
    assert answer.reply.stdout.decode() == f"{theirs}\n"
    assert shell.read(command("pwd", as_user="postgres")).stdout.decode() == f"{theirs}\n"
    owners = [sh.state / "owner", theirs / ".local/state/drctl/owner"]
    assert all(owner.exists() for owner in owners)
    other = replace(sh.claim("o"), run="uid-b", run_id="ZZZZZ")
    assert sh.made.run(other, command("true")).state is ClaimState.REFUSED
    assert sh.made.run(other, command("true", as_user="postgres")).state is ClaimState.REFUSED
    assert sh.made.release(sh.claim()).state is ClaimState.RAN  # by a process that did not make the claims
    assert not any(owner.exists() for owner in owners)


@pytest.mark.parametrize("user", ["../../x", "a b", "-u", "x;y", "", "a/b"])
def test_what_is_no_name_of_a_user_leaves_nothing_on_the_host(sh: Rig, user: str) -> None:
    with pytest.raises(DefectError):
        sh.act("true", as_user=user)
    with pytest.raises(DefectError):
        sh.made.stage(sh.claim(), [b"x"], user)
    assert not sh.state.exists()


def test_a_user_that_sudo_does_not_give_refuses_for_certain(sh: Rig) -> None:
    (sh.folder / "bin").mkdir()
    (sh.folder / "bin" / "sudo").write_text(SUDO)
    (sh.folder / "bin" / "sudo").chmod(0o755)
    sh.env["PATH"] = f"{sh.folder}/bin:{sh.env['PATH']}"
    answer = sh.act("true", as_user="nobody")
    assert answer.state is ClaimState.REFUSED
    assert "a password is required" in answer.because
    assert sh.made.attach(sh.claim(), command("true", as_user="nobody")).state is ClaimState.IN_DOUBT
