"""Real SSH servers on loopback for tests: asyncssh in a thread, OpenSSH's sshd on a socket, and a relay with faults.

The relay is a listening socket of this process; nothing outlives the test.
"""

import asyncio
import contextlib
import getpass
import os
import select
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import asyncssh

from drctl.core.diagnostics import Where
from drctl.core.inventory import Environment, Host, Identity, Inventory, Login

SSHD = "/usr/sbin/sshd"
SSH = ("ssh", "-F", "none", "-oKexAlgorithms=curve25519-sha256")
"""OpenSSH's client without anybody's settings, and without the key exchange that takes it a quarter of a second."""


@dataclass(slots=True)
class Keys:
    """A client key and a host key, made once for a session of tests."""

    folder: Path

    @classmethod
    def make(cls, folder: Path) -> "Keys":
        for name in ("client", "host", "other"):
            key = asyncssh.generate_private_key("ssh-ed25519")
            key.write_private_key(folder / name)
            (folder / name).chmod(0o600)
            key.write_public_key(folder / f"{name}.pub")
        return cls(folder)

    def public(self, name: str) -> str:
        return (self.folder / f"{name}.pub").read_text().strip()

    def host(self, port: int, *, name: str = "h1", pin: str = "host", key: str = "client", **more: object) -> Host:
        """An inventory's host at this port."""
        fields: dict[str, object] = {
            "name": name,
            "address": "127.0.0.1",
            "port": port,
            "login": Login(user=getpass.getuser(), key=str(self.folder / key)),
            "host_keys": (self.public(pin),),
            "identity": Identity(),
            "where": Where(file="inventory.yaml", line=1),
        }
        return Host(**(fields | more))  # type: ignore[arg-type] # fields of tests


def inventory(*hosts: Host) -> Inventory:
    return Inventory(name="test", environment=Environment.LAB, hosts={host.name: host for host in hosts})


Mode = Literal["pass", "stall", "reset", "drop", "full"]
Way = Literal["to the host", "from the host"]
FULL = b"Exceeded MaxStartups\r\n"
"""What OpenSSH's sshd says to a connection that it has no room for, before it closes it."""


@dataclass(slots=True)
class _Pair:
    """One connection through the relay; what it passed on, and whether it passes anything on now, each way."""

    near: socket.socket
    far: socket.socket
    go: dict[Way, threading.Event] = field(
        default_factory=lambda: {"to the host": threading.Event(), "from the host": threading.Event()}
    )
    passed: dict[Way, int] = field(default_factory=lambda: {"to the host": 0, "from the host": 0})


@dataclass(slots=True)
class Relay:
    """Forwards connections of a port to `upstream`; `cut` resets all of them, `mode` decides for new ones."""

    upstream: Callable[[], socket.socket]
    mode: Mode = "pass"
    accepted: int = 0
    reset_after: int | None = None
    """Reset a connection when this many bytes went `way`."""
    freeze_after: int | None = None
    """Pass nothing on any more when this many bytes went `way`."""
    way: Way = "to the host"
    _frozen: bool = False
    _pairs: list[_Pair] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _listener: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))

    def __post_init__(self) -> None:
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    @property
    def passed(self) -> dict[Way, int]:
        """How many bytes of the newest connection went each way."""
        return self._pairs[-1].passed

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.accepted += 1
                if self.mode == "reset":
                    _reset(near)
                elif self.mode == "full":
                    with near:
                        near.sendall(FULL)
                elif self.mode in ("stall", "drop"):
                    self._keep(_Pair(near, near))
                else:
                    self._forward(_Pair(near, self.upstream()))

    def _forward(self, pair: _Pair) -> None:
        for go in pair.go.values():
            if not self._frozen:
                go.set()
        self._keep(pair)
        threading.Thread(target=self._pump, args=(pair, "to the host"), daemon=True).start()
        threading.Thread(target=self._pump, args=(pair, "from the host"), daemon=True).start()

    def _keep(self, pair: _Pair) -> None:
        with self._lock:
            self._pairs.append(pair)

    def _pump(self, pair: _Pair, way: Way) -> None:
        source, sink = (pair.near, pair.far) if way == "to the host" else (pair.far, pair.near)
        counted, go = way == self.way, pair.go[way]
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                go.wait()
                sent = pair.passed[way]
                if counted and self.reset_after is not None and sent + len(data) > self.reset_after:
                    sink.sendall(data[: self.reset_after - sent])
                    self.reset_after = None
                    _reset(pair.near)
                    break
                pair.passed[way] += len(data)
                if counted and self.freeze_after is not None and sent + len(data) > self.freeze_after:
                    self.freeze()
                    go.wait()
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)

    def freeze(self, *, new: bool = True, ways: Sequence[Way] = ("to the host", "from the host")) -> None:
        """Pass nothing on, and keep the connections: what is there, and with `new` what comes as well."""
        self._frozen = new
        for pair in list(self._pairs):
            for way in ways:
                pair.go[way].clear()

    def thaw(self, more: Sequence[_Pair] = ()) -> None:
        self._frozen = False
        for pair in [*self._pairs, *more]:
            for go in pair.go.values():
                go.set()

    def end(self, way: Way) -> None:
        """Half-close every connection: nothing more comes this way, and whoever listens there is told."""
        for pair in list(self._pairs):
            with contextlib.suppress(OSError):
                (pair.far if way == "to the host" else pair.near).shutdown(socket.SHUT_WR)

    def cut(self) -> None:
        """Reset every connection now."""
        with self._lock:  # whoever is cut off is back at once, with a connection that is to stay
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for sock in (pair.near, pair.far):
                with contextlib.suppress(OSError):
                    _reset(sock)
        self.thaw(pairs)

    def close(self) -> None:
        self.cut()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def _reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RD)  # wakes a thread that waits in recv; a closed descriptor would not
    sock.close()


_FILLERS = 4  # connections that are tried on a host that drops: the kernel keeps one
_PATIENCE = 0.2  # seconds in which a connect on loopback would long have been there


def drop_all(bound: Sequence[socket.socket], stack: contextlib.ExitStack) -> None:
    """Let these bound sockets drop every SYN without an answer, and prove it: no firewall is needed.

    Nobody accepts from them, with a backlog of 0. Linux keeps one connection for each, which is made here and kept with
    `stack`, and drops what comes after (`sk_acceptq_is_full` in tcp_input.c).
    """
    last: list[socket.socket] = []
    for sock in bound:
        sock.listen(0)
        for _ in range(_FILLERS):
            filler = stack.enter_context(socket.socket())
            filler.settimeout(0)
            filler.connect_ex(sock.getsockname())
        last.append(filler)
    asked = select.poll()  # `select` takes no descriptor over 1,023, and a fleet has more
    for filler in last:
        asked.register(filler, select.POLLOUT)
    if last and asked.poll(_PATIENCE * 1000):
        raise RuntimeError("a host that was to drop every SYN has taken one")


def tcp(port: int) -> Callable[[], socket.socket]:
    return lambda: socket.create_connection(("127.0.0.1", port))


# --- asyncssh ---------------------------------------------------------------------------------------------------------


class ForwardingServer(asyncssh.SSHServer):
    def __init__(self, connections: set[asyncssh.SSHServerConnection]) -> None:
        self._connections = connections

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connections.add(conn)

    def connection_requested(self, *_: object) -> bool:
        return True


@dataclass(slots=True)
class Commands:
    """Runs what clients ask for, each in a session of its own, as sshd does."""

    env: dict[str, str]
    prelude: str
    children: set[asyncio.subprocess.Process] = field(default_factory=set)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    connections: set[asyncssh.SSHServerConnection] = field(default_factory=set)

    def env_of(self, _: asyncssh.SSHServerProcess[bytes]) -> dict[str, str]:
        """The environment of a command."""
        return self.env

    async def serve(self, channel: asyncssh.SSHServerProcess[bytes]) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        child = await asyncio.create_subprocess_exec(
            "/bin/sh",
            "-c",
            f"{self.prelude}\n{channel.command}",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self.env_of(channel),
            start_new_session=True,
        )
        self.children.add(child)
        feeding = asyncio.ensure_future(_feed(channel.stdin, child.stdin))
        await asyncio.gather(_pump(child.stdout, channel.stdout), _pump(child.stderr, channel.stderr))
        code = await child.wait()
        self.children.discard(child)
        feeding.cancel()
        with contextlib.suppress(OSError, asyncssh.Error):
            if code < 0:
                channel.exit_with_signal("KILL")
            else:
                channel.exit(code)
        self.tasks.discard(task)

    async def stop(self) -> None:
        for child in self.children:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
        for connection in self.connections:  # first: a task may wait for a client that reads no more
            connection.abort()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        for connection in self.connections:
            await connection.wait_closed()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.sleep(0)


async def _feed(source: asyncssh.SSHReader[bytes], sink: asyncio.StreamWriter | None) -> None:
    assert sink is not None
    with contextlib.suppress(OSError, asyncssh.Error):
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
    sink.close()


async def _pump(source: asyncio.StreamReader | None, sink: asyncssh.SSHWriter[bytes]) -> None:
    assert source is not None
    with contextlib.suppress(OSError, asyncssh.Error):
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()


@contextlib.contextmanager
def asyncssh_server(
    keys: Keys, env: dict[str, str], prelude: str = "", *, at: Sequence[str] = ("127.0.0.1",), port: int = 0
) -> Iterator[int]:
    """Serve `/bin/sh -c COMMAND` on an ephemeral port; `prelude` is what a noisy login shell would run first.

    With more than one address in `at`, the port is the caller's to choose.
    """
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    commands = Commands(env, prelude)

    async def start() -> asyncssh.SSHAcceptor:
        return await asyncssh.listen(
            at,
            port,
            server_factory=lambda: ForwardingServer(commands.connections),
            server_host_keys=[str(keys.folder / "host")],
            authorized_client_keys=str(keys.folder / "client.pub"),
            process_factory=commands.serve,
            encoding=None,
        )

    acceptor = asyncio.run_coroutine_threadsafe(start(), loop).result(30)
    try:
        yield acceptor.get_port()
    finally:
        loop.call_soon_threadsafe(acceptor.close)
        asyncio.run_coroutine_threadsafe(commands.stop(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
        loop.close()


# --- OpenSSH ----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def openssh_server(
    keys: Keys, folder: Path, env: dict[str, str], *, inside: tuple[str, ...] = (), **options: str
) -> Iterator[Callable[[], socket.socket]]:
    """Give a function that connects to a fresh `sshd -i` of its own: no port to race for, works as any user.

    `inside` is a command that starts the one after it somewhere else, such as in a namespace.
    """
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # its privilege separation folder
    lines = {
        "HostKey": str(keys.folder / "host"),
        "AuthorizedKeysFile": str(keys.folder / "client.pub"),
        "PidFile": "none",
        "UsePAM": "no",
        "StrictModes": "no",
        "PermitRootLogin": "yes",
        "PasswordAuthentication": "no",
        "LogLevel": "ERROR",
        "SetEnv": " ".join(f"{name}={value}" for name, value in env.items()),
    } | options
    config = folder / "sshd_config"
    config.write_text("".join(f"{name} {value}\n" for name, value in lines.items()))
    children: list[subprocess.Popen[bytes]] = []

    def connect() -> socket.socket:
        near, far = socket.socketpair()
        with far:
            command = [*inside, SSHD, "-i", "-e", "-f", str(config)]
            end = far.fileno()
            children.append(subprocess.Popen(command, stdin=end, stdout=end, stderr=subprocess.DEVNULL))
        return near

    try:
        yield connect
    finally:
        for child in children:
            child.terminate()
        for child in children:
            child.wait(30)
