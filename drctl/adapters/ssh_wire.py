"""The socket as paramiko has it: it reads ahead, and its patience is ours.

paramiko asks the kernel twice for each packet (its length, then the rest), and ten times a second on a link on which
nothing comes, because it sets a limit of 0.1 s on its socket; there is no setting for either. It takes anything that
answers like a socket, so this stands in between, and nothing of paramiko is changed.
"""

import socket
from typing import Any

_AHEAD = 65536
OPENING, OPEN = 0.5, 10.0
"""Seconds after which a read that brought nothing goes round, so that paramiko looks at its clocks.

Shorter while a link is opened, since paramiko counts the limits of banner and key exchange that way; closing a link wakes
its reader by itself. Longer than the interval of keepalives would put those off.
"""


class Wire:
    """A connected socket. One thread reads, paramiko's own; any may write, close or shut it down."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._ahead = b""
        self._at = 0
        sock.settimeout(OPENING)

    def recv(self, size: int) -> bytes:
        """Give at most `size` bytes: those read ahead, else what the kernel has."""
        ahead, at = self._ahead, self._at
        if at >= len(ahead):
            ahead, at = self._sock.recv(max(size, _AHEAD)), 0
            self._ahead = ahead
        self._at = at + size
        return ahead[at : at + size]

    def settimeout(self, seconds: float | None) -> None:
        """Let paramiko set what it likes: its 0.1 s would wake an idle link ten times a second."""

    def opened(self) -> None:
        """The link is there: from now on nothing has to be counted."""
        self._sock.settimeout(OPEN)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever a socket has
        return getattr(self._sock, name)
