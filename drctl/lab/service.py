"""What the lab's services share: JSON config, an HTTP server on a unix socket or loopback, ready file, log, SIGTERM.

A service program is a class with `routes`, `start()`, `stop()` and `extra_ready()`; `main` runs it as
`python -m drctl.lab.NAME CONFIG.json`. Config members every service has: `listen` ("unix:/path" or "127.0.0.1:0"),
`ready` (a file written once requests are answered), `log`. What a service means is left to its own module.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import re
import signal
import socket
import socketserver
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol, cast
from urllib.parse import parse_qsl, unquote, urlsplit

from drctl.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

MAX_BODY = 16 * 1024 * 1024
"""Bytes of a request body that are read; a re-entry of some 90,000 invoices."""

DRAIN_SECONDS = 4.0
"""How long a service that is told to end waits for the requests it has begun: longer than one commit may take."""


def now_text() -> str:
    """The time now, RFC 3339 in UTC with milliseconds, always 24 characters: texts of this form sort as times do."""
    return time_text(time.time())


def time_text(seconds: float) -> str:
    """A Unix time in the same form as `now_text`."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Refusal(Exception):  # noqa: N818 - it is an answer to a client, not a defect of ours
    """A request is refused: this status, and a JSON body {"error": reason}."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One HTTP request, read to its end."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    parts: Mapping[str, str] = field(default_factory=dict)

    def json(self) -> object:
        """The body as JSON; an empty body is an empty object. Raises Refusal 400."""
        if not self.body.strip():
            return {}
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise Refusal(400, f"the body is not JSON: {error}") from error

    def json_object(self) -> dict[str, object]:
        """The body, which has to be a JSON object. Raises Refusal 400."""
        value = self.json()
        if not isinstance(value, dict):
            raise Refusal(400, "the body has to be a JSON object")
        return cast("dict[str, object]", value)

    def flag(self, name: str) -> bool:
        """Whether a query parameter is set to something other than nothing, 0, no or false."""
        return self.query.get(name, "").lower() not in {"", "0", "no", "false"}

    def number(self, name: str, default: int, most: int) -> int:
        """A query parameter that is a whole number from 1 to `most`. Raises Refusal 400."""
        text = self.query.get(name, str(default))
        if not re.fullmatch(r"[0-9]{1,9}", text) or not 1 <= int(text) <= most:
            raise Refusal(400, f"{name} has to be a whole number from 1 to {most}, not {text[:40]!r}")
        return int(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One HTTP answer; `body` is written as compact JSON."""

    body: object
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


class Routes:
    """Which method and path is answered by what. `{name}` in a pattern stands for one path segment."""

    def __init__(self) -> None:
        self._table: list[tuple[str, re.Pattern[str], Callable[[Request], Answer]]] = []

    def add(self, method: str, pattern: str, answer: Callable[[Request], Answer]) -> None:
        """Register; the first match wins. GET also answers HEAD."""
        regex = re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", pattern))
        self._table.append((method, regex, answer))

    def find(self, method: str, path: str) -> tuple[Callable[[Request], Answer], dict[str, str]]:
        """The answering function and the named segments. Raises Refusal 404 or 405."""
        wanted = "GET" if method == "HEAD" else method
        known = False
        for one, regex, answer in self._table:
            match = regex.fullmatch(path)
            if match is None:
                continue
            if one == wanted:
                return answer, {name: unquote(text) for name, text in match.groupdict().items()}
            known = True
        raise Refusal(405 if known else 404, f"there is no {method} {path[:200]} here")


class Log:
    """Lines "2026-11-23T15:00:00.123Z LEVEL text" appended to a file; without a path they go nowhere."""

    def __init__(self, path: Path | None) -> None:
        self._file = path.open("a", encoding="utf-8", buffering=1) if path else None
        self._lock = threading.Lock()
        self._last: dict[str, tuple[float, int]] = {}

    def info(self, text: str) -> None:
        """Say that something usual happened."""
        self._write("INFO", text)

    def warning(self, text: str) -> None:
        """Say that something is not as it should be, and the service goes on."""
        self._write("WARN", text)

    def error(self, text: str) -> None:
        """Say that a request or a part of the service failed."""
        self._write("ERROR", text)

    def limited(self, topic: str, text: str) -> None:
        """An ERROR of which one line a second and topic is enough; the number left out is told with the next."""
        with self._lock:
            at, left_out = self._last.get(topic, (0.0, 0))
            if time.monotonic() - at < 1.0:
                self._last[topic] = (at, left_out + 1)
                return
            self._last[topic] = (time.monotonic(), 0)
        self.error(text + (f" (and {left_out} more like it)" if left_out else ""))

    def _write(self, level: str, text: str) -> None:
        if self._file is None:
            return
        line = f"{now_text()} {level} {' '.join(text.split())}\n"
        # A full disk must not take the service down with its log.
        with self._lock, contextlib.suppress(OSError):
            self._file.write(line)

    def close(self) -> None:
        """Close the file; later lines are dropped."""
        with self._lock:
            file, self._file = self._file, None
            if file is not None:
                file.close()


class Program(Protocol):
    """What `Running` needs from a service."""

    routes: Routes
    headers: Mapping[str, str]

    def start(self) -> None:
        """Begin background work; called before the first request is answered."""

    def stop(self) -> None:
        """End background work; called after the last request was answered."""

    def extra_ready(self) -> dict[str, object]:
        """Members for the ready file beside `pid` and `port`."""


class _Conversation(http.server.BaseHTTPRequestHandler):
    """Reads one request, asks the program, writes one answer in one piece."""

    protocol_version = "HTTP/1.1"
    server_version = "drctl-lab"
    sys_version = ""
    timeout = 60
    wbufsize = -1  # header and body leave together: two small writes would wait for a delayed acknowledgement
    server: _Server

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the base class
        """Say nothing: the programs log what matters."""

    def address_string(self) -> str:
        """No address: a unix socket has none."""
        return "local"

    def _answer(self) -> None:
        with self.server.begun():
            try:
                answer = self._asked()
            except Refusal as refusal:
                answer = Answer(status=refusal.status, body={"error": refusal.reason})
            except Exception as error:  # noqa: BLE001 - a defect in one request must not end the service
                self.server.story.error(f"{self.command} {self.path[:200]}: {type(error).__name__}: {error}")
                answer = Answer(status=500, body={"error": f"{type(error).__name__}: {error}"})
            self._send(answer)

    def _asked(self) -> Answer:
        length = self.headers.get("Content-Length", "0")
        if not length.isdigit() or int(length) > MAX_BODY:
            self.close_connection = True
            raise Refusal(413, f"a body has at most {MAX_BODY} bytes and says so in Content-Length")
        body = self.rfile.read(int(length))
        if self.server.closing:
            self.close_connection = True
            raise Refusal(503, "the service is stopping")
        parts = urlsplit(self.path)
        found, named = self.server.program.routes.find(self.command, parts.path)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        headers = {name.lower(): value for name, value in self.headers.items()}
        return found(
            Request(method=self.command, path=parts.path, query=query, headers=headers, body=body, parts=named)
        )

    def _send(self, answer: Answer) -> None:
        data = json.dumps(answer.body, ensure_ascii=False, separators=(",", ":")).encode()
        # The client may have gone; its retry carries the same key.
        with contextlib.suppress(OSError):
            self.send_response(answer.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            if self.close_connection:
                # Unsaid, nginx (from 1.29.7 on) keeps the connection and loses a request on it: one in fifty was a 502.
                self.send_header("Connection", "close")
            for name, value in {**self.server.program.headers, **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)
            self.wfile.flush()

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815 - names the base class calls


class _Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    allow_reuse_address = False
    quiet: ClassVar[tuple[type[BaseException], ...]] = (ConnectionError, TimeoutError, BrokenPipeError)

    def __init__(self, listen: str, program: Program, lines: Log) -> None:
        self.program = program
        self.story = lines
        self.closing = False
        self._busy = 0
        self._idle = threading.Condition()
        address: object
        if listen.startswith("unix:"):
            path = listen.removeprefix("unix:")
            Path(path).unlink(missing_ok=True)  # left behind by a process that was killed
            self.address_family = socket.AF_UNIX
            address = path
        else:
            host, _, port = listen.rpartition(":")
            address = (host, int(port))
        super().__init__(address, _Conversation)  # type: ignore[arg-type] # a unix path is a valid address too

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002 - the base class's shape
        """A client that went away is no news; anything else is logged."""
        import sys  # noqa: PLC0415 - only here

        error = sys.exc_info()[1]
        if not isinstance(error, self.quiet):
            self.story.error(f"connection: {type(error).__name__}: {error}")

    @contextlib.contextmanager
    def begun(self) -> Iterator[None]:
        with self._idle:
            self._busy += 1
        try:
            yield
        finally:
            with self._idle:
                self._busy -= 1
                self._idle.notify_all()

    def drain(self, seconds: float) -> None:
        with self._idle:
            self._idle.wait_for(lambda: self._busy == 0, timeout=seconds)


class Running:
    """A service that answers requests until `stop`."""

    def __init__(self, config: Mapping[str, object], program: Program, log: Log) -> None:
        self._program = program
        self._log = log
        self._listen = text_of(config, "listen")
        self._ready = Path(str(config["ready"])) if config.get("ready") else None
        self._server = _Server(self._listen, program, log)
        self.port = 0 if self._listen.startswith("unix:") else int(self._server.server_address[1])
        program.start()
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="serve", daemon=True)
        self._thread.start()
        if self._ready:
            write_atomically(self._ready, {"pid": os.getpid(), "port": self.port, **program.extra_ready()})

    @property
    def url(self) -> str:
        """Where a service on TCP is asked."""
        return f"http://127.0.0.1:{self.port}"

    def stop(self) -> None:
        """Take no new request, finish those begun, end the background work."""
        self._server.closing = True
        self._server.shutdown()
        self._server.drain(DRAIN_SECONDS)
        self._server.server_close()
        self._program.stop()
        if self._listen.startswith("unix:"):
            Path(self._listen.removeprefix("unix:")).unlink(missing_ok=True)
        if self._ready:
            self._ready.unlink(missing_ok=True)


def write_atomically(path: Path, value: object) -> None:
    """Write JSON so that a reader sees all of it or nothing."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(json.dumps(value), encoding="utf-8")
    temporary.replace(path)


def text_of(config: Mapping[str, object], name: str, default: str | None = None) -> str:
    """A text member of a config. Raises LabError when it is missing or not a text."""
    value = config.get(name, default)
    if not isinstance(value, str) or not value:
        raise LabError(f"the config of a lab service has no text {name!r}", meaning="The service was not started.")
    return value


def main(argv: list[str], build: Callable[[Mapping[str, object], Log], Program]) -> int:
    """Run one service from its config file until SIGTERM or SIGINT; the exit code of the process."""
    ending = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ending.set())
    config = cast("dict[str, object]", json.loads(Path(argv[1]).read_text(encoding="utf-8")))
    lines = Log(Path(str(config["log"])) if config.get("log") else None)
    try:
        running = Running(config, build(config, lines), lines)
    except Exception as error:
        lines.error(f"could not start: {error}")
        raise
    lines.info(f"started, listening on {text_of(config, 'listen')} port {running.port}")
    ending.wait()
    running.stop()
    lines.info("stopped")
    lines.close()
    return 0
