"""A small web server on loopback that misbehaves on purpose, one path for each way."""

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SEEN: list[tuple[str, str, dict[str, str], bytes]] = []


class _Paths(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        SEEN.append((self.command, self.path, dict(self.headers), self.rfile.read(size)))
        name = self.path.partition("?")[0].strip("/")
        {"moved": self._moved, "cut": self._cut, "drip": self._drip, "large": self._large}.get(name, self._ok)()

    do_POST = do_GET  # noqa: N815 - the base class looks for these names
    do_HEAD = do_GET  # noqa: N815 - the same

    def _answer(self, status: int, size: int, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(size))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def _ok(self) -> None:
        self._answer(503 if self.path == "/down" else 200, 4, X_Site="a")
        if self.command != "HEAD":
            self.wfile.write(b"fine")

    def _moved(self) -> None:
        self._answer(302, 0, Location="/ok")

    def _cut(self) -> None:
        self._answer(200, 100)
        self.wfile.write(b"only this")
        self.close_connection = True

    def _large(self) -> None:
        self._answer(200, 300000)
        self.wfile.write(bytes(300000))

    def _drip(self) -> None:
        self._answer(200, 1000)
        with contextlib.suppress(OSError):
            for _ in range(1000):
                self.wfile.write(b".")
                if self.server.over.wait(0.02):  # type: ignore[attr-defined] # set below
                    return

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
        pass


@contextlib.contextmanager
def web_server() -> Iterator[int]:
    """Give the port."""
    SEEN.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Paths)
    server.over = threading.Event()  # type: ignore[attr-defined] # lets a dripping answer end with the test
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.over.set()  # type: ignore[attr-defined]
        server.shutdown()
        server.server_close()
        thread.join()
