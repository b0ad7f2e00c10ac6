"""A host's SSH server: what sshd does for commands, on a unix socket, as any user.

The command is handed to `/bin/sh -c` exactly as it was sent, in a session of its own, with default INT and QUIT. A lost
connection does not end the command, as with sshd. Terminals, agents, subsystems and shells on a terminal are not given.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

import asyncssh

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_PASSED_ON = ("LANG", "LC_")


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Who may log in to a host, and what is found there.

    Attributes:
        user: the only login name.
        authorized_keys: read at each login, as sshd does.
        home: where commands start.
        env: the whole environment of a command.
        forwards: ports of this machine that direct-tcpip may reach: the lab's own edges.
    """

    user: str
    authorized_keys: Path
    home: Path
    env: Mapping[str, str]
    forwards: frozenset[int]


async def listen(path: Path, host_key: Path, account: Account) -> asyncssh.SSHAcceptor:
    """Start the server; its host key must exist."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.settimeout(0)
    return await asyncssh.listen(
        sock=listener,
        server_factory=lambda: _Server(account),
        server_host_keys=[str(host_key)],
        encoding=None,
        allow_scp=False,
        line_editor=False,
        keepalive_interval=0,
        login_timeout=30,
        server_version="drctl-lab",
    )


def make_key(path: Path, comment: str) -> str:
    """Make an Ed25519 key pair (0600, and `.pub` beside it) unless it exists; gives the public line."""
    public = path.with_name(f"{path.name}.pub")
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        key = asyncssh.generate_private_key("ssh-ed25519", comment=comment)
        path.touch(mode=0o600)
        path.write_bytes(key.export_private_key("openssh"))
        public.write_bytes(key.export_public_key("openssh"))
    return public.read_text().strip()


class _Server(asyncssh.SSHServer):
    def __init__(self, account: Account) -> None:
        self._account = account
        self._connection: asyncssh.SSHServerConnection | None = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn

    def begin_auth(self, username: str) -> bool:
        if self._connection and username == self._account.user:
            self._connection.set_authorized_keys(str(self._account.authorized_keys))
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def session_requested(self) -> _Command:
        return _Command(self._account)

    def connection_requested(self, dest_host: str, dest_port: int, orig_host: str, orig_port: int) -> bool:
        del orig_host, orig_port
        return dest_host in ("127.0.0.1", "localhost") and dest_port in self._account.forwards


class _Command(asyncssh.SSHServerSession[bytes]):
    """One exec request and its process; bytes are pumped by hand, each direction at the pace of its reader."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._command: str | None = None
        self._channel: asyncssh.SSHServerChannel[bytes] | None = None
        self._process: _Process | None = None
        self._starting: asyncio.Task[None] | None = None
        self._early: list[bytes] = []
        self._eof = False

    def connection_made(self, chan: asyncssh.SSHServerChannel[bytes]) -> None:
        self._channel = chan

    def exec_requested(self, command: str) -> bool:
        self._command = command
        return True

    def shell_requested(self) -> bool:
        return True

    def session_started(self) -> None:
        # The loop keeps only a weak reference to a task.
        self._starting = asyncio.get_running_loop().create_task(self._start())

    async def _start(self) -> None:
        channel = self._channel
        if channel is None:
            return
        argv = ["/bin/sh"] if self._command is None else ["/bin/sh", "-c", self._command]
        sent = {key: value for key, value in channel.get_environment().items() if key.startswith(_PASSED_ON)}
        process = _Process(channel)
        try:
            await asyncio.get_running_loop().subprocess_exec(
                lambda: process,
                *argv,
                cwd=self._account.home,
                env={**self._account.env, **sent},
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            channel.write_stderr(f"the host cannot start this command: {error}\n".encode())
            channel.exit(126)
            return
        self._process = process
        for data in self._early:
            process.write(data)
        if self._eof:
            process.end_of_input()
        if self._channel is None:
            process.detach()

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        del datatype
        if self._process:
            self._process.write(data)
        else:
            self._early.append(data)

    def eof_received(self) -> bool:
        self._eof = True
        if self._process:
            self._process.end_of_input()
        return True  # The other direction goes on: closing here would lose the output.

    def signal_received(self, signal: str) -> None:
        if self._process:
            self._process.signal(signal)

    def pause_writing(self) -> None:
        if self._process:
            self._process.pause_output()

    def resume_writing(self) -> None:
        if self._process:
            self._process.resume_output()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._channel = None
        if self._process:
            self._process.detach()


class _Process(asyncio.SubprocessProtocol):
    """A command's process; reports its end only after the last byte of its output went out."""

    def __init__(self, channel: asyncssh.SSHServerChannel[bytes]) -> None:
        self._channel: asyncssh.SSHServerChannel[bytes] | None = channel
        self._transport: asyncio.SubprocessTransport | None = None
        self._open_outputs = {1, 2}
        self._exited = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.SubprocessTransport)  # noqa: S101 - tells mypy what asyncio promises
        self._transport = transport

    def write(self, data: bytes) -> None:
        pipe = self._pipe(0)
        if isinstance(pipe, asyncio.WriteTransport) and not pipe.is_closing():
            pipe.write(data)

    def end_of_input(self) -> None:
        pipe = self._pipe(0)
        if isinstance(pipe, asyncio.WriteTransport) and not pipe.is_closing():
            pipe.write_eof()

    def signal(self, name: str) -> None:
        number = getattr(signal, f"SIG{name}", None)
        if number is not None and self._transport and not self._exited:
            # The whole group, as sshd does: the command's children are meant too.
            os.killpg(self._transport.get_pid(), number)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if self._channel is None:
            return
        if fd == 1:
            self._channel.write(data)
        else:
            self._channel.write_stderr(data)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        del exc
        self._open_outputs.discard(fd)
        self._report()

    def process_exited(self) -> None:
        self._exited = True
        self._report()

    def pause_writing(self) -> None:
        if self._channel:
            self._channel.pause_reading()

    def resume_writing(self) -> None:
        # Not at once: asyncio calls this from the middle of a write, and what the channel held back would come in here
        # with its end of file, closing the pipe a second time (asyncio's unix write pipe does not expect that).
        asyncio.get_running_loop().call_soon(self._resume_input)

    def _resume_input(self) -> None:
        if self._channel:
            self._channel.resume_reading()

    def pause_output(self) -> None:
        self._each_output("pause_reading")

    def resume_output(self) -> None:
        self._each_output("resume_reading")

    def detach(self) -> None:
        """The connection is gone: the command goes on without it and learns so when it writes."""
        self._channel = None
        for fd in (0, 1, 2):
            pipe = self._pipe(fd)
            if pipe:
                pipe.close()

    def _each_output(self, verb: str) -> None:
        for fd in tuple(self._open_outputs):
            pipe = self._pipe(fd)
            if isinstance(pipe, asyncio.ReadTransport) and not pipe.is_closing():
                getattr(pipe, verb)()

    def _pipe(self, fd: int) -> asyncio.BaseTransport | None:
        return self._transport.get_pipe_transport(fd) if self._transport else None

    def _report(self) -> None:
        if self._channel is None or not self._exited or self._open_outputs or self._transport is None:
            return
        code = self._transport.get_returncode() or 0
        channel, self._channel = self._channel, None
        if code < 0:
            channel.exit_with_signal(signal.Signals(-code).name.removeprefix("SIG"))
        else:
            channel.exit(code)
