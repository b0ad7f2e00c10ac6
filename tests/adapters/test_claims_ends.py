"""The claim wrapper: how commands end or are ended, what is left of them, and commands as another user."""

import os
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from drctl.adapters import claim_text
from drctl.core.ports import ClaimState
from drctl.errors import DefectError
from tests.adapters.claim_rig import Rig, left
from tests.adapters.steps import command, until


def test_a_child_that_left_the_group_is_told_and_not_called_killed(rig: Rig) -> None:
    script = f"setsid sleep 600 & echo $! >{rig.folder}/child; sleep 600"
    answer = rig.act(script, seconds=1)
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
        soon = rig.made.attach(rig.claim(), command(script, seconds=0.3))
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


@pytest.mark.parametrize("stdin", [b"", b"some input"])
def test_a_command_whose_text_did_not_come_whole_ran_nothing_and_has_no_exit_code(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, stdin: bytes
) -> None:
    """An empty text would be a success, and one that is cut off an exit code of the shell's own."""
    whole = claim_text.program
    monkeypatch.setattr(claim_text, "program", lambda asked: whole(asked).replace("\n}'\n", "\n'\n"))
    answer = rig.act('echo x >>"$HOME/effects"', stdin=stdin)
    assert (answer.state, answer.gone) == (ClaimState.IN_DOUBT, True), answer
    assert not (rig.folder / "effects").exists()


@pytest.mark.parametrize("tool", ["wc", "head"])
def test_a_tool_that_fails_tells_no_size_and_no_digest(sh: Rig, tmp_path: Path, tool: str) -> None:
    """Killed for want of memory, `wc` gave a size of 0, and `head` the digest of nothing."""
    (tmp_path / "fakes").mkdir()
    fake = tmp_path / "fakes" / tool
    once = f'[ -e "{tmp_path}/failed" ] || {{ : >"{tmp_path}/failed"; kill -9 $$; }}'
    fake.write_text(f'#!/bin/sh\n{once}\nexec /usr/bin/{tool} "$@"\n')
    fake.chmod(0o755)
    sh.env["PATH"] = f"{tmp_path}/fakes:{sh.env['PATH']}"
    reply = sh.ran("/usr/bin/head -c 5000 /dev/zero", cap=1000)
    assert reply.cut
    assert reply.whole["stdout"].sha256 == ""
    assert reply.whole["stdout"].size == (5000 if tool == "head" else None)
