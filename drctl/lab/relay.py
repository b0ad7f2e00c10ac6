"""The lab's wires: every TCP port of a host belongs to an edge, and an edge can be cut in five ways.

A host listens on unix sockets only. The edge owns the port from the lab's first second to its last (a bound socket that
never listens holds it), so that no port is lost to another program, and a closed door really refuses.

    pass    bytes go both ways
    refuse  connections are refused by the kernel; open ones are reset
    reset   connections are accepted and reset at once; open ones too
    stall   nothing moves, nothing is lost: new connections are accepted and wait; pass lets all go on
    drop    bytes are read and thrown away, for ever: a black hole; what lost bytes is reset when the edge passes again
"""

from __future__ import annotations

import asyncio
import socket
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

MODES = ("pass", "refuse", "stall", "reset", "drop")
_CLOSES = ("refuse", "reset")
_BACKLOG = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """Where an edge leads: a unix socket, or a port on this machine."""

    path: Path | None = None
    port: int = 0


class Edge:
    """One port on 127.0.0.1 and what stands behind it.

    Attributes:
        name: such as `ssh:inv-a`; what a scenario or a test names.
        owner: the host whose power the edge follows; empty for what is no host's.
        port: the TCP port, held until `close`.
        mode: the mode asked for. While the owner is dead the edge refuses, whatever was asked.
    """

    def __init__(self, name: str, *, owner: str = "", upstream: Upstream | None = None) -> None:
        self.name = name
        self.owner = owner
        self.upstream = upstream
        self.mode = "pass"
        self._owner_is_up = not owner
        self._holder = _bound(0)
        self.port: int = self._holder.getsockname()[1]
        self._server: asyncio.Server | None = None
        self.pairs: set[_Pair] = set()

    @property
    def effective(self) -> str:
        """What the edge does now."""
        return self.mode if self._owner_is_up and self.upstream else "refuse"

    async def set_mode(self, mode: str) -> None:
        """Change what the edge does; takes hold for open connections too before this returns.

        Raises:
            ValueError: no such mode.
        """
        if mode not in MODES:
            raise ValueError(f"no relay mode {mode!r}; there are {', '.join(MODES)}")
        self.mode = mode
        await self._apply()

    async def set_owner_up(self, *, up: bool) -> None:
        """Follow the power of the host behind it."""
        self._owner_is_up = up
        await self._apply()

    async def set_upstream(self, upstream: Upstream) -> None:
        """Say what stands behind the edge, once that is known."""
        self.upstream = upstream
        await self._apply()

    async def close(self) -> None:
        """Let go of the port."""
        self._owner_is_up = False
        self.upstream = None
        await self._apply()
        self._holder.close()

    async def _apply(self) -> None:
        effective = self.effective
        if effective == "refuse":
            if self._server:
                self._server.close()
                self._server = None
        elif self._server is None:
            listener = _bound(self.port)
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(self._accept, sock=listener, backlog=_BACKLOG)
        for pair in tuple(self.pairs):
            pair.apply(effective)

    def _accept(self) -> _Side:
        return _Pair(self).client


class _Pair:
    """One connection through an edge: the client's side and the upstream's side."""

    def __init__(self, edge: Edge) -> None:
        self.edge = edge
        self.lost_bytes = False
        self.client = _Side(self)
        self.server = _Side(self)
        self._connecting: asyncio.Task[None] | None = None

    def client_came(self) -> None:
        self.edge.pairs.add(self)
        self.apply(self.edge.effective)

    def apply(self, mode: str) -> None:
        if mode in _CLOSES or (mode == "pass" and self.lost_bytes):
            self.reset()
            return
        if mode == "pass" and self._connecting is None:
            self._connecting = asyncio.get_running_loop().create_task(self._connect())
        for side in (self.client, self.server):
            side.set_stalled(stalled=mode == "stall" or (mode == "pass" and self.server.transport is None))

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        upstream = self.edge.upstream
        try:
            if upstream is None:
                raise ConnectionRefusedError
            if upstream.path:
                await loop.create_unix_connection(lambda: self.server, str(upstream.path))
            else:
                await loop.create_connection(lambda: self.server, "127.0.0.1", upstream.port)
        except OSError:
            self.reset()
            return
        if self.client.transport is None:
            self.server.reset()
            return
        self.apply(self.edge.effective)

    def reset(self) -> None:
        self.edge.pairs.discard(self)
        if self._connecting and self._connecting is not asyncio.current_task():
            self._connecting.cancel()
        self.client.reset()
        self.server.reset()

    def ended(self, side: _Side, error: Exception | None) -> None:
        other = self.server if side is self.client else self.client
        self.edge.pairs.discard(self)
        if error:
            other.reset()
        elif other.transport:
            other.transport.close()


class _Side(asyncio.Protocol):
    """One end of a connection; what it receives goes to the other end, as fast as that takes it."""

    def __init__(self, pair: _Pair) -> None:
        self.pair = pair
        self.transport: asyncio.Transport | None = None
        self._stalled = False
        self._held = bytearray()
        self.peer_is_full = False
        self.eof = False

    @property
    def other(self) -> _Side:
        return self.pair.server if self is self.pair.client else self.pair.client

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - tells mypy what asyncio promises for streams
        self.transport = transport
        raw = transport.get_extra_info("socket")
        if raw.family == socket.AF_INET:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self is self.pair.client:
            self.pair.client_came()

    def data_received(self, data: bytes) -> None:
        if self.pair.edge.effective == "drop":
            self.pair.lost_bytes = True
        elif self._stalled or self.other.transport is None:
            # Reading was paused, yet a read may be under way already (CPython before 3.11.4 even starts one).
            self._held += data
        else:
            self.other.transport.write(data)

    def eof_received(self) -> bool:
        self.eof = True
        if self.pair.edge.effective == "drop":
            self.pair.lost_bytes = True
            return True
        if not self._stalled:
            self._pass_on_the_end()
        # Half-open until the other direction has ended too: an SSH command may read to the end and answer then.
        return self._stalled or not self.other.eof

    def _pass_on_the_end(self) -> None:
        target = self.other.transport
        if target and target.can_write_eof() and not target.is_closing():
            target.write_eof()

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self.pair.ended(self, exc)

    def pause_writing(self) -> None:
        self.other.peer_is_full = True
        self.other.choose_reading()

    def resume_writing(self) -> None:
        self.other.peer_is_full = False
        self.other.choose_reading()

    def set_stalled(self, *, stalled: bool) -> None:
        self._stalled = stalled
        if not stalled and self.other.transport:
            if self._held:
                self.other.transport.write(bytes(self._held))
                self._held.clear()
            if self.eof:
                self._pass_on_the_end()
        self.choose_reading()

    def reset(self) -> None:
        if self.transport:
            raw = self.transport.get_extra_info("socket")
            if raw is not None and raw.fileno() >= 0 and raw.family == socket.AF_INET:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.transport.abort()

    def choose_reading(self) -> None:
        if self.transport is None or self.transport.is_closing() or self.eof:
            return
        if self._stalled or self.peer_is_full:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()


def _bound(port: int) -> socket.socket:
    """Bind a port of 127.0.0.1 (0: any free one). SO_REUSEADDR lets a listener join the socket that holds the port."""
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.settimeout(0)
    bound.bind(("127.0.0.1", port))
    return bound
