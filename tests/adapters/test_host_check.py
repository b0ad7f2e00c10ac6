"""What preflight says of a host: each thing that keeps it from being claimed, and each that is worth knowing."""

import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from drctl.adapters.claim_text import Seen
from drctl.adapters.host_check import Asked, Findings, findings
from drctl.adapters.ssh import SshHosts
from tests.adapters.test_become import given
from tests.fakes.sshservers import Keys, Relay, asyncssh_server, inventory, openssh_server, tcp

TOOLS = "cat date df id sh stat sleep setsid tr"


@dataclass(slots=True)
class Checked:
    """A host with few programs, each of which a test may replace."""

    keys: Keys
    folder: Path
    kind: str

    def put(self, name: str, script: str) -> None:
        path = self.folder / "bin" / name
        path.unlink(missing_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def check(self, state_dir: str | None = None, noise: str = "") -> Findings:
        env = {
            "HOME": str(self.folder), "PATH": f"{self.folder}/bin", "DRCTL_LOGIND": f"{self.folder}/logind.conf",
            "DRCTL_MOUNTS_FILE": f"{self.folder}/mounts",
        }  # fmt: skip
        real = self.kind == "openssh" and not noise
        server = openssh_server(self.keys, self.folder, env) if real else asyncssh_server(self.keys, env, noise)
        with server as upstream:
            relay = Relay(tcp(upstream) if isinstance(upstream, int) else upstream)
            hosts = SshHosts(inventory(replace(self.keys.host(relay.port), state_dir=state_dir)), given(""))
            try:
                return hosts.check("h1")
            finally:
                hosts.close()
                relay.close()


@pytest.fixture(params=["asyncssh", pytest.param("openssh", marks=pytest.mark.needs("openssh-server"))])
def host(request: pytest.FixtureRequest, keys: Keys, tmp_path: Path) -> Checked:
    (tmp_path / "bin").mkdir()
    for name in TOOLS.split():
        (tmp_path / "bin" / name).symlink_to(str(shutil.which(name)))
    (tmp_path / "mounts").touch()
    return Checked(keys, tmp_path, request.param)


def test_a_host_with_nothing_wrong(host: Checked) -> None:
    assert host.check() == Findings()
    assert not (host.folder / ".local").exists()


@pytest.mark.parametrize(
    ("program", "script", "part"),
    [
        ("setsid", None, "setsid is missing"),
        ("df", "echo h; echo 'disk 100 100 1000 100% /'", "has less than 1 MiB left"),
        ("stat", "echo nfs4", "lies on NFS"),
    ],
)
def test_a_problem_says_what_to_do(host: Checked, program: str, script: str | None, part: str) -> None:
    if script is None:
        (host.folder / "bin" / program).unlink()
    else:
        host.put(program, script)
    problem = host.check().problem
    assert part in problem
    assert "Next: " in problem


def test_a_folder_that_cannot_be_written_and_a_disk_that_is_read_only_are_told_apart(host: Checked) -> None:
    (host.folder / "file").touch()
    below = str(host.folder / "file/below")
    host.put("df", "echo h; echo 'disk 100 100 99999 1% /data'")
    assert "is not writable" in host.check(below).problem
    (host.folder / "mounts").write_text("disk /data ext4 rw 0 0\n")
    assert "is not writable" in host.check(below).problem
    (host.folder / "mounts").write_text("disk /data ext4 rw 0 0\ndisk /data ext4 ro,noatime 0 0\ndisk / ext4 rw 0 0\n")
    assert "read-only" in host.check(below).problem


def test_logind_that_ends_processes_at_logout(host: Checked) -> None:
    (host.folder / "logind.conf").write_text("[Login]\n#KillUserProcesses=yes\nKillUserProcesses=no\n")
    host.put("id", "echo li")
    assert host.check() == Findings()
    (host.folder / "logind.conf.d").mkdir()
    (host.folder / "logind.conf.d/9.conf").write_text("KillUserProcesses=yes")  # no line end
    (host.folder / "logind.conf.d/8.conf").write_text("KillUserProcesses=yes\n")
    found = host.check()
    assert found.problem == ""
    assert "loginctl enable-linger li" in found.remarks[0]
    host.put("id", "echo root")  # spared by default
    assert host.check() == Findings()


@pytest.mark.parametrize(("by", "way"), [(-600, "behind"), (600, "ahead of")])
def test_a_clock_that_differs(host: Checked, by: int, way: str) -> None:
    host.put("date", f"echo {int(time.time()) + by}")
    found = host.check()
    assert found.problem == ""
    (remark,) = found.remarks
    assert f"{way} ours" in remark
    assert "chronyc" in remark


def test_a_login_shell_that_prints(host: Checked) -> None:
    found = host.check(noise="echo Welcome to db1")
    assert found.problem == ""
    assert "'Welcome to db1'" in found.remarks[0]


# --- what follows from an answer --------------------------------------------------------------------------------------


def clock(seconds: int, before: float, after: float) -> tuple[str, ...]:
    said = Seen(pid=1, exit=0, content=f"clock {seconds}\n".encode())
    return findings("li", said, b"", Asked(before=before, after=after, took=after - before)).remarks


def test_clocks_differ_only_when_the_way_there_cannot_explain_it() -> None:
    assert clock(1000, 1000.5, 1000.6) == ()
    assert clock(998, 1000.9, 1000.9) == ()  # it may have been 998.99
    assert len(clock(997, 1000.1, 1000.1)) == 1
    assert len(clock(1003, 1000.5, 1000.9)) == 1
    assert clock(1003, 1000.5, 1001.5) == ()  # it may have answered at 1001.4
    assert clock(990, 991.0, 993.0) == ()


def test_a_slow_shell_is_a_remark_and_no_problem() -> None:
    said = Seen(pid=1, exit=0, content=b"clock x\n")
    found = findings("li", said, b"", Asked(before=0, after=9, took=9.0))
    assert found.problem == ""
    assert "9.0 s for nothing" in found.remarks[0]
