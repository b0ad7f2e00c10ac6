"""The multiplexing protocol of OpenSSH's client (PROTOCOL.mux of its sources): commands and TCP through a master.

drctl speaks it itself, where a person would start `ssh -S SOCKET` for each command. That saves the program (two
thirds of a step), and tells what a program cannot: an exit code is a message of its own here, so 255 of a command and
255 of a lost link are never the same; a refused channel is known before anything was sent.
"""

import array
import contextlib
import os
import socket
import struct
import time

from drctl.adapters.pipes import Pipes
from drctl.core.nouns import dataclass

VERSION = 4  # since OpenSSH 5.4 (2010)
_HELLO, _TERMINATE, _SESSION, _STDIO = 0x00000001, 0x10000005, 0x10000002, 0x10000008
_OK, _DENIED, _FAILURE, _EXIT, _OPENED = 0x80000001, 0x80000002, 0x80000003, 0x80000004, 0x80000006
_LARGEST = 256 * 1024  # bytes of a message, as OpenSSH has it
_NO_ESCAPE = 0xFFFFFFFF
_ID = 1  # of the one request a connection carries


class MuxError(Exception):
    """The master gave no channel; nothing was sent. `silent`: it did not answer in time. `refused`: not now."""

    def __init__(self, because: str, *, silent: bool = False, refused: bool = False) -> None:
        super().__init__(because)
        self.because = because
        self.silent = silent
        self.refused = refused


class Control:
    """One connection to a master. It carries one request; the channel lives as long as the connection."""

    def __init__(self, path: str, seconds: float) -> None:
        self._limit = time.monotonic() + seconds
        self.hung_up = False  # the master said no more: the channel is over
        with contextlib.ExitStack() as stack:
            try:
                self._sock = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
                self._sock.settimeout(self._left())
                self._sock.connect(path)
            except OSError as error:
                silent = isinstance(error, TimeoutError)
                raise MuxError(f"the master cannot be reached: {error}", silent=silent) from None
            stack.pop_all()

    def ask(self, kind: int, body: bytes, pass_on: tuple[int, ...] = ()) -> None:
        """Send a request with descriptors, and wait until the master has granted it.

        Raises:
            MuxError: it has not.
        """
        try:
            self._sock.settimeout(self._left())
            # the greeting and the request in one write: the master's own greeting is read with its answer
            self._sock.sendall(
                _string(struct.pack(">II", _HELLO, VERSION)) + _string(struct.pack(">II", kind, _ID) + body)
            )
            for number in pass_on:
                self._sock.sendmsg([b"\0"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [number]))])
            hello = self._message()
            if len(hello) < 8 or struct.unpack_from(">II", hello) != (_HELLO, VERSION):  # noqa: PLR2004 - two numbers
                raise MuxError(f"the ssh of this machine speaks another multiplexing protocol than {VERSION}")
            answer = self._message()
        except TimeoutError:
            raise MuxError("the master did not answer", silent=True) from None
        except OSError as error:
            raise MuxError(f"the master hung up: {error}") from None
        said = struct.unpack_from(">I", answer)[0] if len(answer) >= 4 else 0  # noqa: PLR2004 - one number
        if said in (_DENIED, _FAILURE):
            words = answer[12 : 12 + struct.unpack_from(">I", answer, 8)[0]] if len(answer) >= 12 else b""  # noqa: PLR2004
            raise MuxError(words.decode("utf-8", "replace") or "refused", refused=True)
        if said not in (_OPENED, _OK):
            raise MuxError(f"the master answered with a message that is not known, {said:#x}")

    def exit_status(self, seconds: float) -> int | None:
        """The exit status of the command; None when its channel or the link ended without one."""
        self._limit = time.monotonic() + seconds
        with contextlib.suppress(OSError):
            while True:
                message = self._message()
                if len(message) >= 12 and struct.unpack_from(">I", message)[0] == _EXIT:  # noqa: PLR2004 - 3 numbers
                    return int(struct.unpack_from(">I", message, 8)[0])
        return None

    def close(self) -> None:
        """Hang up: the master closes the channel."""
        self._sock.close()

    def _left(self) -> float:
        return max(0.001, self._limit - time.monotonic())

    def _message(self) -> bytes:
        (size,) = struct.unpack(">I", self._exactly(4))
        if size > _LARGEST:
            raise OSError(f"it announced {size} bytes")
        return self._exactly(size)

    def _exactly(self, size: int) -> bytes:
        got = bytearray()
        while len(got) < size:
            self._sock.settimeout(self._left())
            data = self._sock.recv(size - len(got))
            if not data:
                self.hung_up = True
                raise ConnectionResetError("it closed the connection")
            got += data
        return bytes(got)


@dataclass(slots=True, kw_only=True)
class Session:
    """A command that runs on the host, with its pipes."""

    control: Control
    pipes: Pipes

    def close(self) -> None:
        """Hang up."""
        self.pipes.close()
        self.control.close()


def open_session(path: str, command: str, seconds: float) -> Session:
    """Start a command on the host, without a terminal and without environment of ours.

    Raises:
        MuxError: there is no channel; nothing was sent.
    """
    control = Control(path, seconds)
    ends = _pipes(3, control)
    theirs = (ends[0][0], ends[1][1], ends[2][1])
    pipes = Pipes(
        stdin=open(ends[0][1], "wb", 0), out=open(ends[1][0], "rb", 0), err=open(ends[2][0], "rb", 0)  # noqa: SIM115, PTH123 - descriptors, closed by Pipes
    )  # fmt: skip
    try:
        no = struct.pack(">I", 0)
        body = _string(b"") + no * 4 + struct.pack(">I", _NO_ESCAPE) + _string(b"") + _string(command.encode())
        control.ask(_SESSION, body, theirs)
    except MuxError:
        pipes.close()
        control.close()
        raise
    finally:
        for number in theirs:
            os.close(number)
    return Session(control=control, pipes=pipes)


def _pipes(count: int, control: Control) -> list[tuple[int, int]]:
    """So many pipes, or none."""
    made: list[tuple[int, int]] = []
    try:
        made.extend(os.pipe() for _ in range(count))
    except OSError as error:
        for number in (end for pipe in made for end in pipe):
            os.close(number)
        control.close()
        raise MuxError(f"this machine gives no more pipes: {error.strerror}", refused=True) from None
    return made


class Tunnel:
    """A TCP connection that the host made, as `stream_pump` wants it."""

    def __init__(self, control: Control, near: tuple[int, int]) -> None:
        self._control = control
        self._out = open(near[0], "wb", 0)  # noqa: SIM115, PTH123 - a descriptor, closed by `close`
        self._back = open(near[1], "rb", 0)  # noqa: SIM115, PTH123

    def recv(self, size: int, /) -> bytes:
        """Receive; empty at the end."""
        return os.read(self._back.fileno(), size)

    def sendall(self, data: bytes, /) -> None:
        """Send all."""
        view = memoryview(data)
        while view:
            view = view[os.write(self._out.fileno(), view) :]

    def shutdown_write(self) -> None:
        """Say that nothing more comes."""
        self._out.close()

    def close(self) -> None:
        """Close both ways."""
        self._out.close()
        self._back.close()
        self._control.close()


def open_tunnel(path: str, target: tuple[str, int], seconds: float) -> Tunnel:
    """Have the host connect to a place.

    Raises:
        MuxError: it could or would not.
    """
    control = Control(path, seconds)
    out, back = _pipes(2, control)
    tunnel = Tunnel(control, (out[1], back[0]))
    try:
        host, port = target
        control.ask(_STDIO, _string(b"") + _string(host.encode()) + struct.pack(">I", port), (out[0], back[1]))
    except MuxError:
        tunnel.close()
        raise
    finally:
        os.close(out[0])
        os.close(back[1])
    return tunnel


def terminate(path: str, seconds: float) -> None:
    """Tell the master to end, as `ssh -O exit` does.

    Raises:
        MuxError: it did not take it.
    """
    control = Control(path, seconds)
    try:
        control.ask(_TERMINATE, b"")
    finally:
        control.close()


def _string(text: bytes) -> bytes:
    return struct.pack(">I", len(text)) + text
