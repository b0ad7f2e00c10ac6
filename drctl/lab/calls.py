"""One HTTP request from a lab program to another: JSON in, JSON out, a time limit, no proxy, no pooling.

Not for the product: it has its own HTTP adapter. Programs that must know why a request failed get it as one error type.
"""

from __future__ import annotations

import http.client
import json
from urllib.parse import urlsplit


class CallError(Exception):
    """The other side did not give an HTTP answer in time; whether it did what was asked is unknown."""


def call(
    method: str, url: str, body: object = None, *, timeout: float = 5.0, headers: dict[str, str] | None = None
) -> tuple[int, object]:
    """Send one request and read the whole answer.

    Args:
        method: the HTTP method.
        url: an http:// URL with host and port.
        body: sent as JSON unless None.
        timeout: seconds for each wait on the socket.
        headers: sent beside Content-Type.

    Returns:
        The status and the decoded JSON, None for an answer that is not JSON.

    Raises:
        CallError: refused, reset, timed out or not HTTP.
    """
    parts = urlsplit(url)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    data = None if body is None else json.dumps(body, separators=(",", ":")).encode()
    connection = http.client.HTTPConnection(parts.hostname or "127.0.0.1", parts.port or 80, timeout=timeout)
    try:
        connection.request(method, target or "/", data, {"Content-Type": "application/json", **(headers or {})})
        answer = connection.getresponse()
        text = answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise CallError(f"{method} {url}: {type(error).__name__}: {error}") from error
    finally:
        connection.close()
    try:
        return answer.status, json.loads(text)
    except ValueError:
        return answer.status, None
