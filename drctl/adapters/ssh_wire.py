"""The socket as paramiko has it: it reads ahead, hangs up in time, and its patience is ours.

paramiko asks the kernel twice for each packet (its length, then the rest), and ten times a second on a link on which
nothing comes, because it sets a limit of 0.1 s on its socket; there is no setting for either. Its own limits cover the
banner and parts of the login, each by a thread that sleeps; the key exchange after it goes on for ever, for one who
sends a byte now and then. It takes anything that answers like a socket, so this stands in between.
"""

import socket
import time
from typing import Any

from paramiko.packet import Packetizer

_AHEAD = 65536
OPENING, OPEN = 0.5, 10.0
"""Seconds after which a read that brought nothing goes round, so that clocks are looked at.

Shorter while a link is opened; closing wakes the reader by itself. Longer than the interval of keepalives would put
those off.
"""


class Wire:
    """A connected socket. One thread reads, paramiko's own; any may write, close or shut it down.

    Args:
        sock: the socket.
        until: hang up when the link is not open by then, on the monotonic clock.
    """

    def __init__(self, sock: socket.socket, until: float) -> None:
        self.late = False
        self.moved = time.monotonic()  # when the kernel last took or gave bytes
        self.sock = sock
        self._until: float | None = until
        self._ahead = b""
        self._at = 0
        sock.settimeout(OPENING)

    def recv(self, size: int) -> bytes:
        """Give at most `size` bytes: those read ahead, else what the kernel has; none when it took too long to open."""
        ahead, at = self._ahead, self._at
        if at >= len(ahead):
            if self._is_late():
                return b""
            ahead, at = self.sock.recv(max(size, _AHEAD)), 0
            self.moved = time.monotonic()
            self._ahead = ahead
        self._at = at + size
        return ahead[at : at + size]

    def send(self, data: bytes) -> int:
        """Send what the kernel takes.

        Raises:
            OSError: it cannot be sent, or it took too long to open.
        """
        if self._is_late():
            raise ConnectionAbortedError
        sent = self.sock.send(data)
        self.moved = time.monotonic()
        return sent

    def settimeout(self, seconds: float | None) -> None:
        """Let paramiko set what it likes: its 0.1 s would wake an idle link ten times a second."""

    def opened(self) -> None:
        """The link is there: from now on nothing is late."""
        self._until = None
        self.sock.settimeout(OPEN)

    @property
    def left(self) -> float:
        """Seconds until it hangs up; what is left for opening the link."""
        return self._until - time.monotonic() if self._until is not None else 0.0

    def _is_late(self) -> bool:
        until = self._until  # asked for once: `opened` is called by another thread
        if until is not None and time.monotonic() > until:
            self.late = True
        return self.late

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever a socket has
        return getattr(self.sock, name)


class Untimed(Packetizer):
    """paramiko's own, without its timer for the key exchange, a thread for each link: the wire hangs up in time."""

    def start_handshake(self, timeout: float) -> None:
        """Start no timer."""
