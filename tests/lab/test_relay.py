"""Edges: each way a wire can fail, seen from a client's plain socket."""

import asyncio
import socket
import socketserver
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from drctl.lab.relay import MODES, Edge, Upstream
from tests.lab.running import short_folder

T = TypeVar("T")


class _Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        while data := self.request.recv(65536):
            self.request.sendall(data)
        self.request.sendall(b"!end")


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        """A test cut the line: nothing to say."""


class Wire:
    """An edge in a loop of its own, and clients of it."""

    def __init__(self, path: Path) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._clients: list[socket.socket] = []
        self._path = path
        self.edge = self.make()

    def make(self, owner: str = "", path: Path | None = None) -> Edge:
        async def make() -> Edge:
            edge = Edge("test", owner=owner, upstream=Upstream(path=path or self._path))
            await edge.set_mode("pass")
            return edge

        return self.do(make())

    def do(self, work: Coroutine[None, None, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def mode(self, mode: str) -> None:
        self.do(self.edge.set_mode(mode))

    def connect(self, edge: Edge | None = None) -> socket.socket:
        client = socket.create_connection(("127.0.0.1", (edge or self.edge).port), timeout=20)
        self._clients.append(client)
        return client

    def close(self) -> None:
        for client in self._clients:
            client.close()
        self.do(self.edge.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()


@pytest.fixture
def wire() -> Iterator[Wire]:
    path = short_folder() / "s"
    with _Server(str(path), _Echo) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        made = Wire(path)
        yield made
        made.close()
        server.shutdown()
    path.unlink()
    path.parent.rmdir()


def _read(client: socket.socket, size: int) -> bytes:
    got = b""
    while len(got) < size and (data := client.recv(size - len(got))):
        got += data
    return got


def _says(client: socket.socket, data: bytes) -> bytes:
    client.sendall(data)
    return _read(client, len(data))


def _is_silent(client: socket.socket) -> bool:
    """Nothing comes within a moment. A wrong yes could hide a defect, never invent one."""
    client.settimeout(0.2)
    try:
        client.recv(1)
    except TimeoutError:
        return True
    finally:
        client.settimeout(20)
    return False


def _is_reset(client: socket.socket) -> bool:
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    return True


def _reset_at_once(connect: Callable[[], socket.socket]) -> bool:
    """A reset may overtake the end of connect(), which then reports it."""
    with pytest.raises(ConnectionResetError):
        connect().recv(1)
    return True


def _refused(connect: Callable[[], socket.socket]) -> bool:
    with pytest.raises(ConnectionRefusedError):
        connect()
    return True


def test_it_passes_bytes_and_a_half_close(wire: Wire) -> None:
    client = wire.connect()
    sent = bytes(range(256)) * 20000
    reader: list[bytes] = []
    thread = threading.Thread(target=lambda: reader.append(_read(client, len(sent) + 5)))
    thread.start()
    client.sendall(sent)
    client.shutdown(socket.SHUT_WR)
    thread.join(30)
    assert reader == [sent + b"!end"]


def test_refuse_refuses_in_the_kernel_cuts_what_is_open_and_keeps_the_port(wire: Wire) -> None:
    client = wire.connect()
    assert _says(client, b"x") == b"x"
    port = wire.edge.port
    wire.mode("refuse")
    assert _is_reset(client)
    assert _refused(wire.connect)
    with socket.socket() as thief, pytest.raises(OSError, match="in use"):
        thief.bind(("127.0.0.1", port))
    wire.mode("pass")
    assert wire.edge.port == port
    assert _says(wire.connect(), b"again") == b"again"


def test_reset_accepts_and_resets(wire: Wire) -> None:
    client = wire.connect()
    assert _says(client, b"x") == b"x"
    wire.mode("reset")
    assert _is_reset(client)
    assert _reset_at_once(wire.connect)


def test_stall_holds_back_and_loses_nothing(wire: Wire) -> None:
    old = wire.connect()
    assert _says(old, b"x") == b"x"
    wire.mode("stall")
    new = wire.connect()
    for client in (old, new):
        client.sendall(b"held")
        assert _is_silent(client)
    wire.mode("pass")
    assert [_read(client, 4) for client in (old, new)] == [b"held", b"held"]


def test_drop_loses_bytes_and_what_lost_some_is_reset_when_the_edge_passes_again(wire: Wire) -> None:
    lossy, lucky = wire.connect(), wire.connect()
    assert _says(lossy, b"x") + _says(lucky, b"y") == b"xy"
    wire.mode("drop")
    lossy.sendall(b"lost")
    assert _is_silent(lossy)
    wire.mode("pass")
    assert _is_reset(lossy)
    assert _says(lucky, b"kept") == b"kept"


def test_an_edge_follows_its_owner_whatever_was_asked_of_it(wire: Wire) -> None:
    edge = wire.make(owner="inv-a")
    assert edge.effective == "refuse"
    assert _refused(lambda: wire.connect(edge))
    wire.do(edge.set_owner_up(up=True))
    assert _says(wire.connect(edge), b"x") == b"x"
    wire.do(edge.set_mode("stall"))
    wire.do(edge.set_owner_up(up=False))
    assert _refused(lambda: wire.connect(edge))
    assert edge.mode == "stall"
    wire.do(edge.close())


def test_an_upstream_that_does_not_answer_is_a_reset(wire: Wire) -> None:
    edge = wire.make(path=Path("/nonexistent/socket"))
    assert _reset_at_once(lambda: wire.connect(edge))
    wire.do(edge.close())


def test_a_mode_that_does_not_exist_is_refused(wire: Wire) -> None:
    with pytest.raises(ValueError, match=", ".join(MODES)):
        wire.mode("slow")
