import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from drctl.errors import LabError
from drctl.lab.calls import CallError, call
from drctl.lab.service import Answer, Log, Refusal, Request, Routes, Running
from tests.lab.cluster import Services, ask, wait_until

pytestmark = pytest.mark.lab


class Echo:
    """A program with one answer of each kind."""

    def __init__(self, _config: Mapping[str, object], _log: Log) -> None:
        self.headers: Mapping[str, str] = {"X-Site": "a"}
        self.hold = threading.Event()
        self.held = threading.Event()
        self.ended = False
        self.routes = Routes()
        self.routes.add("POST", "/echo/{name}", self._echo)
        self.routes.add("GET", "/broken", self._broken)
        self.routes.add("GET", "/slow", self._slow)

    def _echo(self, request: Request) -> Answer:
        return Answer(body={"name": request.parts["name"], "query": dict(request.query), "body": request.json_object()})

    def _broken(self, _request: Request) -> Answer:
        raise ZeroDivisionError("a defect")

    def _slow(self, _request: Request) -> Answer:
        self.held.set()
        self.hold.wait(20)
        return Answer(body={})

    def start(self) -> None: ...

    def stop(self) -> None:
        self.ended = True

    def extra_ready(self) -> dict[str, object]:
        return {"more": 1}


def program(running: Running) -> Echo:
    found = running._program
    assert isinstance(found, Echo)
    return found


def test_requests_are_routed_decoded_and_refused(services: Services) -> None:
    echo = services.start(Echo)
    assert ask("POST", f"{echo.url}/echo/a%20b?x=1", {"y": "发票"}) == (
        200,
        {"name": "a b", "query": {"x": "1"}, "body": {"y": "发票"}},
    )
    assert ask("POST", f"{echo.url}/echo/a", [1])[0] == 400
    assert ask("GET", f"{echo.url}/echo/a")[0] == 405
    assert ask("GET", f"{echo.url}/nothing")[0] == 404
    assert ask("GET", f"{echo.url}/broken") == (500, {"error": "ZeroDivisionError: a defect"})
    assert re.search(r"Z ERROR GET /broken: ZeroDivisionError", services.log("echo"))


def test_a_body_without_end_or_of_another_kind_is_refused(services: Services) -> None:
    echo = services.start(Echo)
    with socket.create_connection(("127.0.0.1", echo.port), timeout=20) as client:
        client.sendall(b"POST /echo/a HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n")
        assert client.recv(65536).startswith(b"HTTP/1.1 413")
    with socket.create_connection(("127.0.0.1", echo.port), timeout=20) as client:
        client.sendall(b"POST /echo/a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nConnection: close\r\n\r\n{bad}")
        assert client.recv(65536).startswith(b"HTTP/1.1 400")


def test_stopping_finishes_what_was_begun_and_takes_nothing_new(services: Services) -> None:
    echo = services.start(Echo)
    answers: list[int] = []
    user = threading.Thread(target=lambda: answers.append(ask("GET", f"{echo.url}/slow")[0]))
    user.start()
    assert program(echo).held.wait(20)
    stopper = threading.Thread(target=services.stop, args=(echo,))
    stopper.start()
    wait_until("the service is closing", lambda: echo._server.closing)
    assert not program(echo).ended
    program(echo).hold.set()
    for one in (user, stopper):
        one.join(20)
    assert answers == [200]
    assert program(echo).ended
    with pytest.raises(CallError):
        call("GET", f"{echo.url}/slow", timeout=5)


def test_a_log_line_is_one_line_and_like_lines_are_limited(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    log.warning("two\nlines")
    for n in range(50):
        log.limited("topic", f"refused {n}")
    log.close()
    lines = (tmp_path / "log").read_text().splitlines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z WARN two lines", lines[0])
    assert 2 <= len(lines) < 20


def test_a_config_without_its_members_is_told() -> None:
    with pytest.raises(LabError, match="'listen'"):
        Running({}, Echo({}, Log(None)), Log(None))


@pytest.mark.parametrize("name", ["tax", "inbox", "traffic", "invoices"])
def test_each_program_runs_from_its_config_on_a_unix_socket_until_it_is_told_to_end(name: str) -> None:
    with TemporaryDirectory(prefix="sv") as folder:  # short: a unix socket's path has at most 107 bytes
        home = Path(folder)
        plug, ready = home / "s", home / "ready"
        plug.touch()  # as after a kill: the old socket is in the way
        config = {
            "listen": f"unix:{plug}",
            "ready": str(ready),
            "log": str(home / "log"),
            "data": str(home / "data"),
            "tax": "http://127.0.0.1:9",
            "target": "http://127.0.0.1:9",
            "paused": True,
            "db": {"socket_dir": str(home), "user": "invoices", "database": "invoices"},
        }
        (home / "config.json").write_text(json.dumps(config))
        argv = [sys.executable, "-m", f"drctl.lab.{name}", str(home / "config.json")]
        process = subprocess.Popen(argv, env=os.environ | {"PYTHONWARNINGS": "error"})
        try:
            wait_until("it is ready", ready.exists)
            told = json.loads(ready.read_text())
            assert told["pid"] == process.pid
            assert (told.get("smtp_port", 0) > 0) == (name == "inbox")
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(plug))
                client.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
                answer = b"".join(iter(lambda: client.recv(65536), b""))
            assert answer.startswith(b"HTTP/1.1 503" if name == "invoices" else b"HTTP/1.1 200")
        finally:
            process.send_signal(signal.SIGTERM)
            code = process.wait(30)
        assert code == 0
        assert not plug.exists()
        assert not ready.exists()
        assert (home / "log").read_text().endswith(" INFO stopped\n")


def test_a_refusal_carries_its_status() -> None:
    assert (Refusal(503, "later").status, str(Refusal(503, "later"))) == (503, "later")


@pytest.mark.parametrize(("asked", "announced"), [("close", True), ("keep-alive", False)])
def test_a_connection_that_will_be_closed_is_announced_so_that_no_proxy_keeps_it(
    services: Services,
    asked: str,
    announced: bool,  # noqa: FBT001 - a table's column
) -> None:
    echo = services.start(Echo)
    with socket.create_connection(("127.0.0.1", echo.port), timeout=20) as client:
        client.sendall(f"GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: {asked}\r\n\r\n".encode())
        head = client.recv(65536).partition(b"\r\n\r\n")[0].lower()
    assert head.startswith(b"http/1.1 404")
    assert (b"\r\nconnection: close" in head) is announced
