"""SSH step: one command on one connected host by drctl's look and claimed act, against other clients of the same sshd.

Peers: a raw paramiko channel (as it comes, and with TCP_NODELAY, which paramiko leaves off: 40 ms a step), asyncssh,
and OpenSSH through a ControlMaster. Each runs `true` and reads its exit status: the median of a round's steps, in
milliseconds of wall, and the client's CPU (not for OpenSSH: its master is no child of ours). An act also claims its key
on the host, keeps exit code and output there, and reads them back: no peer does. Then the capture of 50 and of 20 MB of
stdout, in seconds, complete to the last byte or the bench is broken.
"""

import asyncio
import contextlib
import getpass
import hashlib
import itertools
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import asyncssh
import paramiko

from bench.farm import address, farm
from bench.measure import Report, Sample, Subject, interleaved
from drctl.adapters.ssh import SshHosts
from drctl.core.inventory import SecretRef
from drctl.core.ports import Claim, ClaimShell, Command
from drctl.core.values import Duration, Secret
from tests.fakes.sshservers import SSHD, Keys, inventory

NAME = "ssh-step"
ROUNDS = 5
STEPS = 20
CAPTURES = (50, 20)  # MB
MASTER = "OpenSSH ControlMaster"
_OURS = ("drctl look", "drctl claimed act")

Client = Callable[[str, int], bytes]
"""Runs a command on the connected host; gives all of its stdout, at most so many bytes."""


def run(*, small: bool, rounds: int) -> Report:
    """Measure; small takes two steps and 1 MB."""
    report = Report()
    with tempfile.TemporaryDirectory(prefix="drb") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        keys = Keys.make(folder)
        kind = "sshd" if Path(SSHD).exists() else "asyncssh"
        port = stack.enter_context(farm(folder, kind, ["good"]))
        known = folder / "known_hosts"
        known.write_text(f"[{address(1)}]:{port} {keys.public('host')}\n")
        clients: dict[str, Client] = {}
        clients |= stack.enter_context(_drctl(keys, port))
        clients |= stack.enter_context(_paramiko(keys, port, known))
        clients |= stack.enter_context(asyncssh_client(keys, port, known))
        if shutil.which("ssh"):
            clients |= stack.enter_context(openssh_client(keys, port, known))
        else:
            report.missing.append(f"{MASTER}: there is no ssh here")
        report.notes.append(f"far side: {kind}; paramiko {paramiko.__version__}, asyncssh {asyncssh.__version__}")
        steps = [_subject(name, client, 2 if small else STEPS) for name, client in clients.items()]
        report.rows += interleaved("one step", steps, rounds)
        for size in (1,) if small else CAPTURES:
            captures = [_capture(name, client, size * 1_000_000, report) for name, client in clients.items()]
            report.rows += interleaved(f"capture of {size} MB", captures, min(rounds, 3), warm=False)
    return report


def _subject(name: str, client: Client, steps: int) -> Subject:
    def sample() -> Sample:
        cpu = time.process_time()
        found = {"ms a step": step_ms(client, steps)}
        cpu = time.process_time() - cpu
        return found if name == MASTER else found | {"client CPU ms a step": cpu / steps * 1e3}

    return Subject(name=name, run=sample, peer=name not in _OURS)


def step_ms(client: Client, steps: int) -> float:
    """Milliseconds of wall that a step takes: the median of so many."""
    walls = []
    for _ in range(steps):
        began = time.perf_counter()
        client("true", 1000)
        walls.append(time.perf_counter() - began)
    return statistics.median(walls) * 1e3


def _capture(name: str, client: Client, size: int, report: Report) -> Subject:
    def sample() -> Sample:
        began = time.perf_counter()
        got = len(client(f"head -c {size} /dev/zero", size))
        if got != size:
            report.broken.append(f"{name}: {got} bytes of {size}")
        return {"s": time.perf_counter() - began}

    return Subject(name=name, run=sample, peer=name not in _OURS)


# --- clients, each connected once -------------------------------------------------------------------------------------


def _no_secret(ref: SecretRef) -> Secret:
    raise RuntimeError(f"nothing here has a secret: {ref}")


@contextlib.contextmanager
def _drctl(keys: Keys, port: int) -> Iterator[Mapping[str, Client]]:
    hosts = SshHosts(inventory(keys.host(port, address=address(1))), _no_secret)
    shell: ClaimShell = hosts.shell("h1")
    numbers = itertools.count()

    def claim() -> Claim:
        key = hashlib.sha256(f"step {next(numbers)}".encode()).hexdigest()
        return Claim(key=key, run="bench", run_id="7K3QF", operator="bench", epoch=1, holder="SHA256:bench")

    def command(script: str, cap: int) -> Command:
        return Command(script=script, timeout=Duration(120_000_000), cap=cap)

    def look(script: str, cap: int) -> bytes:
        reply = shell.read(command(script, cap))
        if reply.exit != 0:
            raise RuntimeError(f"drctl look: {reply.because}")
        return reply.stdout

    def act(script: str, cap: int) -> bytes:
        answer = shell.run(claim(), command(script, cap))
        if answer.reply is None or answer.reply.exit != 0:
            raise RuntimeError(f"drctl act: {answer.because}")
        return answer.reply.stdout

    try:
        yield dict(zip(_OURS, (look, act), strict=True))
        shell.release(claim())
    finally:
        hosts.close()


@contextlib.contextmanager
def _paramiko(keys: Keys, port: int, known: Path) -> Iterator[Mapping[str, Client]]:
    def connect(*, nodelay: bool) -> paramiko.Transport:
        client = paramiko.SSHClient()
        client.load_host_keys(str(known))
        key = paramiko.Ed25519Key.from_private_key_file(str(keys.folder / "client"))
        client.connect(address(1), port, getpass.getuser(), pkey=key, allow_agent=False, look_for_keys=False)
        ends.callback(client.close)
        transport = client.get_transport()
        if transport is None:
            raise RuntimeError("paramiko connected without a transport")
        if nodelay and isinstance(transport.sock, socket.socket):
            transport.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return transport

    def client(transport: paramiko.Transport) -> Client:
        def run(script: str, cap: int) -> bytes:  # noqa: ARG001 - it keeps everything
            with transport.open_session() as channel:
                channel.exec_command(script)
                out = bytearray()
                while data := channel.recv(1 << 20):
                    out += data
                _expect_zero(channel.recv_exit_status())
            return bytes(out)

        return run

    with contextlib.ExitStack() as ends:
        yield {
            "paramiko channel, TCP_NODELAY": client(connect(nodelay=True)),
            "paramiko channel": client(connect(nodelay=False)),
        }


@contextlib.contextmanager
def asyncssh_client(keys: Keys, port: int, known: Path) -> Iterator[Mapping[str, Client]]:
    """By asyncssh, connected to host 1 of a farm."""
    with asyncio.Runner() as loop:

        async def connect() -> asyncssh.SSHClientConnection:
            return await asyncssh.connect(
                address(1), port, username=getpass.getuser(), known_hosts=str(known), config=[], agent_path=None,
                client_keys=[str(keys.folder / "client")],
            )  # fmt: skip

        async def step(script: str) -> bytes:
            done = await connection.run(script, encoding=None)
            _expect_zero(done.exit_status)
            return done.stdout if isinstance(done.stdout, bytes) else b""

        connection = loop.run(connect())
        try:
            yield {"asyncssh": lambda script, _cap: loop.run(step(script))}
        finally:
            connection.close()
            loop.run(connection.wait_closed())


@contextlib.contextmanager
def openssh_client(keys: Keys, port: int, known: Path) -> Iterator[Mapping[str, Client]]:
    """By OpenSSH, a process for each command, through a ControlMaster to host 1 of a farm."""
    options = {
        "ControlPath": keys.folder / "cm", "IdentityFile": keys.folder / "client", "UserKnownHostsFile": known,
        "IdentitiesOnly": "yes", "BatchMode": "yes", "StrictHostKeyChecking": "yes", "LogLevel": "ERROR",
    }  # fmt: skip
    said = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    argv = ["ssh", "-F", "none", *said, "-p", str(port), f"{getpass.getuser()}@{address(1)}"]
    subprocess.run([*argv[:-1], "-M", "-N", "-f", argv[-1]], check=True, stdin=subprocess.DEVNULL)
    try:
        yield {MASTER: lambda script, _cap: subprocess.run([*argv, script], check=True, stdout=subprocess.PIPE).stdout}
    finally:
        subprocess.run([*argv[:-1], "-O", "exit", argv[-1]], check=False, stderr=subprocess.DEVNULL)


def _expect_zero(status: int | None) -> None:
    if status != 0:
        raise RuntimeError(f"a peer's command ended with {status}")
