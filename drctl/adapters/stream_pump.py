"""Makes a real socket of something that only looks like one (an SSH channel), so that TLS and HTTP work over it."""

import contextlib
import socket
import threading
from typing import Protocol

_CHUNK = 65536


class Streamlike(Protocol):
    """What is needed of a channel."""

    def recv(self, size: int, /) -> bytes:
        """Receive; empty at the end."""
        ...

    def sendall(self, data: bytes, /) -> object:
        """Send all."""
        ...

    def shutdown_write(self) -> None:
        """Say that nothing more comes."""
        ...

    def close(self) -> None:
        """Close both ways."""
        ...


def pumped(stream: Streamlike) -> socket.socket:
    """Give one end of a socket pair; two threads copy between the other end and the stream until either closes."""
    near, far = socket.socketpair()

    def out() -> None:
        with contextlib.suppress(OSError, EOFError):
            while data := far.recv(_CHUNK):
                stream.sendall(data)
            stream.shutdown_write()

    def back() -> None:
        with contextlib.suppress(OSError, EOFError):
            while data := stream.recv(_CHUNK):
                far.sendall(data)
            far.shutdown(socket.SHUT_WR)
        sender.join()
        with contextlib.suppress(OSError, EOFError):
            stream.close()
        far.close()

    sender = threading.Thread(target=out, daemon=True, name="drctl-pump-out")
    sender.start()
    threading.Thread(target=back, daemon=True, name="drctl-pump-back").start()
    return near
