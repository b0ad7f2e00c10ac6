"""A lab host behaves as a real one does: its SSH server, its services, its power."""

import os
import secrets
import socket
import threading
from contextlib import suppress
from pathlib import Path

import paramiko
import pytest

from tests.lab.running import RunningLab, Ssh, wait_until

pytestmark = pytest.mark.lab
HOST = "gw"


def test_the_command_string_reaches_sh_exactly(lab: RunningLab) -> None:
    done = lab.run(HOST, "printf '%s|' \"a  b\" 'ü' \"$0\" '$HOME'; exit 5")
    assert (done.code, done.out.decode()) == (5, "a  b|ü|/bin/sh|$HOME|")


def test_a_host_has_its_own_name_home_and_ids(lab: RunningLab) -> None:
    seen = {}
    for name in ("inv-a", "inv-b", "gw"):
        seen[name] = lab.ok(
            name, 'hostname; echo "$HOME"; pwd; cat "$HOME/etc/machine-id" "$DRCTL_BOOT_ID_FILE"'
        ).split()
        assert seen[name][:3] == [name, str(lab.home(name)), str(lab.home(name))]
        assert seen[name][3] == lab.host(name)["machine_id"]
    assert len({facts[3] for facts in seen.values()}) == len({facts[4] for facts in seen.values()}) == 3


def test_twenty_megabytes_come_whole_both_ways_with_the_exit_code(lab: RunningLab) -> None:
    size = 20_000_000
    done = lab.run(HOST, f"head -c {size} /dev/zero; head -c 1000000 /dev/zero >&2; exit 3")
    assert (done.code, len(done.out), len(done.err)) == (3, size, 1_000_000)
    done = lab.run(HOST, "wc -c; exit 4", stdin=bytes(size))
    assert (done.code, done.text) == (4, str(size))


def test_the_end_of_stdin_reaches_the_command(lab: RunningLab) -> None:
    done = lab.run(HOST, 'eval "$(cat)"', stdin=b"read -r never || echo end of input; exit 6")
    assert (done.code, done.text) == (6, "end of input")


def test_a_command_runs_in_a_session_of_its_own_with_default_signals(lab: RunningLab) -> None:
    done = lab.run(HOST, "ps -o pid=,pgid=,sid= -p $$; grep -E 'Sig(Ign|Blk)' /proc/self/status")
    pid, group, session = done.text.splitlines()[0].split()
    assert pid == group == session
    masks = [int(line.split()[1], 16) for line in done.text.splitlines()[1:]]
    assert masks == [0, 0]


def test_a_signal_death_is_an_exit_signal(lab: RunningLab) -> None:
    channel = lab.ssh(HOST).open("kill -9 $$")
    # paramiko has no word for exit-signal: it ends without an exit status, which is what must not look like success.
    assert channel.recv_exit_status() == -1


def test_a_lost_connection_does_not_end_the_command(lab: RunningLab) -> None:
    connection = Ssh(lab.host(HOST))
    mark = lab.home(HOST) / "tmp" / "after-cut"
    channel = connection.open(
        f"echo started; while [ -d /proc/$PPID ] && [ ! -e {mark}.go ]; do sleep 0.05; done; touch {mark}"
    )
    assert channel.recv(100) == b"started\n"
    connection.cut()
    wait_until("the host saw the cut", lambda: lab.status()["edges"][f"ssh:{HOST}"]["connections"] <= 1)
    mark.with_name("after-cut.go").touch()
    wait_until("the command ended by itself", mark.exists)
    mark.unlink()
    mark.with_name("after-cut.go").unlink()


def test_only_the_lab_key_of_the_one_user_is_let_in(lab: RunningLab) -> None:
    host = lab.host(HOST)
    for user, key in (("root", None), ("ops", paramiko.ECDSAKey.generate())):
        with socket.create_connection((host["address"], host["port"]), timeout=20) as line:
            transport = paramiko.Transport(line)
            transport.start_client(timeout=20)
            with pytest.raises(paramiko.AuthenticationException):
                transport.auth_publickey(user, key or paramiko.Ed25519Key.from_private_key_file(host["key"]))
            transport.close()


def test_forwarding_reaches_the_labs_own_edges_and_nothing_else(lab: RunningLab) -> None:
    transport = lab.ssh(HOST).transport
    edge = lab.info.data["edges"]["app:inv-a"]["port"]
    channel = transport.open_channel("direct-tcpip", ("127.0.0.1", edge), ("127.0.0.1", 1), timeout=20)
    channel.settimeout(20)
    channel.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
    assert channel.recv(100).startswith(b"HTTP/1.")
    channel.close()
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(paramiko.ChannelException):
            transport.open_channel("direct-tcpip", other.getsockname(), ("127.0.0.1", 1), timeout=20)


def test_sudo_passes_the_command_and_its_input_through(lab: RunningLab) -> None:
    done = lab.run(HOST, "sudo -n -u postgres -- sh -c 'cat; echo \"$X\"; exit 3'; echo $?", stdin=b"in ")
    assert done.text.split() == ["in", "3"]
    assert lab.run(HOST, "sudo -S -p '' X=5 sh -c 'cat; echo $X'", stdin=b"not eaten\n").text.split() == [
        "not",
        "eaten",
        "5",
    ]
    assert lab.run(HOST, "sudo -n -v").code == 0


def test_systemctl_speaks_and_ends_as_systemds_does(lab: RunningLab) -> None:
    def run(words: str) -> tuple[int, str]:
        done = lab.run(HOST, f"systemctl {words}")
        return done.code, (done.out + done.err).decode().strip()

    assert run("is-active nginx.service") == (0, "active")
    assert run("is-enabled nginx") == (0, "enabled")
    code, pid = run("show -p MainPID --value nginx")
    assert code == 0
    assert lab.run(HOST, f"kill -0 {pid}").code == 0
    assert run("show --property=ActiveState,UnitFileState nginx")[1] == "ActiveState=active\nUnitFileState=enabled"
    assert run("show -p LoadState ghost") == (0, "LoadState=not-found")
    assert run("is-active ghost") == (3, "inactive")
    assert run("start ghost")[0] == 5
    assert run("status ghost")[0] == 4
    assert run("frobnicate nginx") == (1, "Unknown command verb 'frobnicate'.")
    assert run("--fancy is-active nginx")[0] == 1
    try:
        assert run("mask --now nginx") == (0, "")
        assert run("is-active nginx") == (3, "inactive")
        assert run("start nginx")[0] == 1
        assert lab.run(HOST, f"kill -0 {pid}").code == 1
    finally:
        assert run("unmask nginx") == (0, "")
        assert run("start nginx") == (0, "")


def test_a_service_that_dies_is_failed_and_one_that_ends_well_is_inactive(lab: RunningLab) -> None:
    try:
        lab.ok(HOST, "kill -9 $(systemctl show -p MainPID --value nginx)")
        wait_until("nginx is seen dead", lambda: lab.unit(HOST, "nginx") == "failed")
        assert lab.run(HOST, "systemctl status nginx").code == 3
    finally:
        lab.ok(HOST, "systemctl restart nginx")
    assert lab.unit(HOST, "nginx") == "active"


def test_power_off_ends_what_called_setsid_and_power_on_is_a_new_boot(lab: RunningLab) -> None:
    seconds = f"31536000.{secrets.randbits(32)}"  # no other lab has it
    script = f"setsid sleep {seconds} & echo $! >$HOME/tmp/escaped; sleep {seconds}"
    lab.ok(HOST, f"(setsid sh -c '{script}' >/dev/null 2>&1 </dev/null &)")
    escaped = lab.home(HOST) / "tmp" / "escaped"
    wait_until("it escaped", lambda: escaped.exists() and escaped.read_text() != "")
    lab.ok(HOST, f"kill -0 {escaped.read_text().strip()}")
    before = lab.status()["hosts"][HOST]
    power = before["facts"]["power_url"]
    assert lab.http(power) == (200, {"host": HOST, "state": "on"})

    assert lab.http(f"{power}/off", "POST") == (200, {"host": HOST, "state": "off"})
    assert _commands_with(seconds) == []
    for edge in (f"ssh:{HOST}", "gw:http"):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", lab.info.data["edges"][edge]["port"]), timeout=20)
    assert lab.http(f"{power}/off", "POST") == (200, {"host": HOST, "state": "off"})  # idempotent

    assert lab.http(f"{power}/on", "POST") == (200, {"host": HOST, "state": "on"})
    lab.wait_for_units(HOST)
    after = lab.status()["hosts"][HOST]
    assert after["boot_id"] != before["boot_id"]
    assert after["machine_id"] == before["machine_id"]
    wait_until("SSH is back", lambda: _answers(lab))
    assert lab.ok(HOST, 'cat "$DRCTL_BOOT_ID_FILE"') == after["boot_id"] == lab.ok(HOST, 'echo "$DRCTL_LAB_BOOT_ID"')


def test_a_disabled_service_stays_down_after_a_boot(lab: RunningLab) -> None:
    try:
        lab.ok(HOST, "systemctl disable nginx")
        lab.power(HOST, "off")
        lab.power(HOST, "on")
        wait_until("SSH is back", lambda: _answers(lab))
        assert lab.unit(HOST, "nginx") == "inactive"
    finally:
        lab.ok(HOST, "systemctl enable --now nginx")
    assert lab.unit(HOST, "nginx") == "active"


def test_a_host_whose_first_process_is_killed_is_dead_but_on(lab: RunningLab) -> None:
    config = f"{lab.home(HOST)}/etc/host.json"
    mine = [pid for pid in _commands_with("drctl.lab.hosts", config) if _name(pid) != "unshare"]
    first = next(pid for pid in mine if _parent(pid) not in mine)
    try:
        os.kill(int(first), 9)
        wait_until("it is dead", lambda: not lab.status()["hosts"][HOST]["alive"])
        assert lab.status()["hosts"][HOST]["power"] == "on"
        wait_until("all it had is dead", lambda: _commands_with(f"{lab.home(HOST)}/") == [])
    finally:
        lab.power(HOST, "on")
        lab.wait_for_units(HOST)


@pytest.mark.parametrize("mode", ["stall", "drop"])
def test_a_frozen_line_hangs_and_the_host_lives_on(lab: RunningLab, mode: str) -> None:
    connection = Ssh(lab.host(HOST))
    lab.edge(f"ssh:{HOST}", mode)
    try:
        ended = threading.Event()

        def ask() -> None:
            with suppress(Exception):
                connection.run("true")
            ended.set()

        threading.Thread(target=ask, daemon=True).start()
        assert not ended.wait(0.5)
        assert lab.unit(HOST, "nginx") == "active"
    finally:
        lab.edge(f"ssh:{HOST}", "pass")
    assert ended.wait(60)
    connection.close()


def _answers(lab: RunningLab) -> bool:
    with suppress(OSError, EOFError, paramiko.SSHException):
        return lab.run(HOST, "true").code == 0
    return False


def _commands_with(*words: str) -> list[str]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            line = (entry / "cmdline").read_bytes().decode(errors="replace")
            if line and all(word in line for word in words) and int(entry.name) != os.getpid():
                found.append(entry.name)
    return found


def _parent(pid: str) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]


def _name(pid: str) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()
