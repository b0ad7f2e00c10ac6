"""TCP connects from this machine. Connects as a host sees them are `ssh.LinkDialer`."""

import socket
import time

from drctl.core.ports import PortReply, PortState, Reach
from drctl.core.values import Duration


def local_connect(host: str, port: int, seconds: float) -> socket.socket:
    """Open a TCP connection.

    Raises:
        OSError: ConnectionRefusedError, TimeoutError, or what else the system says.
    """
    return socket.create_connection((host, port), timeout=max(0.001, seconds))


class LocalDialer:
    """A `Dialer` on this machine."""

    def connect(self, host: str, port: int, timeout: Duration) -> PortReply:
        """Try to connect, and close at once; nothing is sent."""
        began = time.monotonic()
        try:
            local_connect(host, port, timeout.micros / 1e6).close()
            reach, state, because = Reach.COMPLETE, PortState.OPEN, ""
        except ConnectionRefusedError:
            reach, state, because = Reach.COMPLETE, PortState.REFUSED, f"nothing listens at {host}:{port}"
        except TimeoutError:
            reach, state, because = Reach.TIMEOUT, PortState.SILENT, f"no answer from {host}:{port}"
        except OSError as error:
            return PortReply(reach=Reach.UNREACHABLE, because=f"{host}:{port}: {error.strerror or error}")
        latency = Duration(int((time.monotonic() - began) * 1e6))
        return PortReply(reach=reach, state=state, latency=latency, because=because)
