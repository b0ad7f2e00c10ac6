"""HTTP by urllib3: one request, sent once, within one limit for everything. No retries, no redirects, no proxies.

The connection comes from a factory, so that the same code speaks from this machine or through a host's SSH link.
"""

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from drctl.adapters.dialer import local_connect
from drctl.core.ports import HttpReply, HttpRequest, Reach
from drctl.core.values import Duration, Secret
from drctl.errors import DefectError

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

Connect = Callable[[str, int, float], socket.socket]

_CHUNK = 65536
_PORTS = {"http": 80, "https": 443}


class UrllibHttp:
    """An `Http` port.

    Args:
        connect: opens the TCP connection, from wherever the request is to come; raises OSError.
    """

    def __init__(self, connect: Connect = local_connect) -> None:
        self._connect = connect

    def read(self, request: HttpRequest) -> HttpReply:
        """Send a GET or HEAD."""
        if request.method not in ("GET", "HEAD"):
            raise DefectError(f"{request.method} {request.url}: a look may send GET and HEAD only")
        return self.send(request)

    def send(self, request: HttpRequest) -> HttpReply:
        """Send the request once and read the whole answer, or as much of it as the cap allows."""
        began = time.monotonic()
        limit = began + max(0.001, request.timeout.micros / 1e6)
        try:
            parts = urlsplit(request.url)
            host, port = parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 0)
        except ValueError as error:
            return HttpReply(reach=Reach.UNREACHABLE, because=f"{request.url}: {error}")
        if not host or not port or parts.scheme not in _PORTS:
            return HttpReply(reach=Reach.UNREACHABLE, because=f"{request.url} is no http or https address")
        try:
            sock = self._connect(host, port, limit - time.monotonic())
        except OSError as error:
            reach = Reach.TIMEOUT if isinstance(error, TimeoutError) else Reach.UNREACHABLE
            because = f"{host}:{port}: {error.strerror or error}"
            return HttpReply(reach=reach, because=because, latency=_since(began))
        with contextlib.closing(sock), _cut_off_at(limit, sock.dup()):
            if parts.scheme == "https":
                try:
                    sock.settimeout(max(0.001, limit - time.monotonic()))
                    sock = ssl.create_default_context().wrap_socket(sock, server_hostname=host)
                except (OSError, ValueError) as error:
                    reach = Reach.TIMEOUT if time.monotonic() >= limit else Reach.UNREACHABLE
                    return HttpReply(reach=reach, because=f"TLS with {host}:{port}: {error}", latency=_since(began))
            with contextlib.closing(sock):
                return _exchange(request, sock, (host, port, parts.scheme), began, limit)


def _exchange(
    request: HttpRequest, sock: socket.socket, place: tuple[str, int, str], began: float, limit: float
) -> HttpReply:
    """Speak HTTP over an open connection; from here on the request may have been acted upon."""
    from http.client import HTTPException  # noqa: PLC0415 - loaded when the first request is sent

    from urllib3.connection import HTTPConnection  # noqa: PLC0415 - the same
    from urllib3.exceptions import HTTPError  # noqa: PLC0415 - the same

    host, port, scheme = place
    parts = urlsplit(request.url)
    connection = HTTPConnection(host, port, timeout=max(0.001, limit - time.monotonic()))
    connection.sock = sock
    sock.settimeout(max(0.001, limit - time.monotonic()))
    named = f"[{host}]" if ":" in host else host
    headers = {
        "Host": named if port == _PORTS[scheme] else f"{named}:{port}",
        "Accept-Encoding": "identity",
        "User-Agent": "drctl",
        "Connection": "close",
    }
    given = {name: value.reveal() if isinstance(value, Secret) else value for name, value in request.headers.items()}
    headers = {n: v for n, v in headers.items() if n.lower() not in {g.lower() for g in given}} | given
    body = request.body.reveal().encode() if isinstance(request.body, Secret) else request.body
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        connection.request(
            request.method, target, body=body or None, headers=headers, preload_content=False, decode_content=False
        )
        response = connection.getresponse()
        content, cut = _body(response, request.cap)
    except (HTTPError, HTTPException, OSError, ValueError) as error:
        late = time.monotonic() >= limit
        because = (
            f"no whole answer from {host}:{port} within {request.timeout.human()}"
            if late
            else f"the answer of {host}:{port} broke off: {error or type(error).__name__}"
        )
        reach = Reach.TIMEOUT if late else Reach.UNREACHABLE
        return HttpReply(reach=reach, because=because, latency=_since(began), sent=True)
    answered = {name.lower(): ", ".join(response.headers.getlist(name)) for name in response.headers}
    return HttpReply(
        reach=Reach.COMPLETE,
        status=response.status,
        headers=answered,
        body=content,
        cut=cut,
        latency=_since(began),
        sent=True,
    )


def _body(response: "BaseHTTPResponse", cap: int) -> tuple[bytes, bool]:
    """Read to the end, keep up to the cap; urllib3 raises when fewer bytes come than were announced."""
    kept = bytearray()
    cut = False
    for chunk in response.stream(_CHUNK, decode_content=False):
        room = cap - len(kept)
        kept += chunk[:room]
        cut = cut or len(chunk) > room
    return bytes(kept), cut


@contextlib.contextmanager
def _cut_off_at(limit: float, sock: socket.socket) -> Iterator[None]:
    """Shut the connection when the limit passes: a peer that drips bytes would outlive every timeout of a read.

    `sock` is a duplicate: wrapping in TLS takes the descriptor away from the first.
    """

    def cut() -> None:
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(max(0.0, limit - time.monotonic()), cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        sock.close()


def _since(began: float) -> Duration:
    return Duration(int((time.monotonic() - began) * 1e6))
