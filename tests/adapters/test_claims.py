"""The claim wrapper itself, under three shells: what a command sees, what stays on the host, what cannot be claimed."""

import os
import random
import secrets
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from drctl.adapters import claim_text
from drctl.core.holdings import LinkError
from drctl.core.ports import ClaimState
from drctl.core.values import Secret
from drctl.core.whole import Whole
from drctl.errors import DefectError
from tests.adapters.claim_rig import APPLETS, SHELLS, Rig
from tests.adapters.shell_conformance import Place, ShellConformance
from tests.adapters.steps import command

SECRET = "Xy7-sesam-$HOME-'\"`%\\"


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


def test_a_host_without_a_tool_for_sha256_says_only_how_much_there_was(sh: Rig) -> None:
    (sh.folder / "bin").mkdir()
    for name in (*APPLETS.split(), "sh"):
        (sh.folder / "bin" / name).unlink(missing_ok=True)
        if name != "sha256sum" and (there := shutil.which(name)):
            (sh.folder / "bin" / name).symlink_to(there)
    sh.env["PATH"] = str(sh.folder / "bin")
    reply = sh.ran("seq 5000", cap=1000)
    assert (reply.cut, reply.whole) == (True, {"stdout": Whole(size=23893)})


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


@pytest.mark.parametrize("options", ["noglob", "errexit", "xtrace", "verbose", "nounset"])
def test_options_that_a_host_sets_in_every_bash_change_nothing(sh: Rig, options: str) -> None:
    """Without globs a newer epoch was not seen, and a writer that was replaced acted again."""
    sh.shell, sh.env["SHELLOPTS"] = "/bin/bash", options
    look = sh.made.read(command("echo said; exit 3"))
    assert (look.exit, look.stdout, look.stderr) == (3, b"said\n", b"")
    answer = sh.ran("echo said; exit 4", "k1")
    assert (answer.exit, answer.stdout, answer.stderr) == (4, b"said\n", b"")
    newer = replace(sh.claim("k2"), epoch=2, holder="SHA256:new")
    assert sh.made.run(newer, command("true")).state is ClaimState.RAN
    assert sh.act("touch late", "k3").state is ClaimState.REFUSED
    assert not (sh.folder / "late").exists()
