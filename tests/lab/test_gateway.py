import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from drctl.errors import LabError
from drctl.lab import gateway
from drctl.lab.service import Answer, Log, Request, Routes
from tests.lab.cluster import Services, wait_until

pytestmark = pytest.mark.lab


class Site:
    """An upstream that says who it is."""

    headers: Mapping[str, str]

    def __init__(self, config: Mapping[str, object], _log: Log) -> None:
        self.headers = {"X-Site": str(config["site"])}
        self.routes = Routes()
        self.routes.add("GET", "/invoices/totals", self._who)
        self.routes.add("GET", "/admin/cleanup", self._who)

    def _who(self, _request: Request) -> Answer:
        return Answer(body=self.headers)

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def extra_ready(self) -> dict[str, object]:
        return {}


def get(plug: Path, path: str) -> tuple[int, str]:
    """Status and whole text of one answer through a unix socket; 0 when there is none."""
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(plug))
            client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            text = b"".join(iter(lambda: client.recv(65536), b"")).decode()
        except OSError:
            return 0, ""
    return (int(text.split(" ")[1]) if text else 0), text


@pytest.fixture
def home() -> Iterator[Path]:
    with TemporaryDirectory(prefix="gw") as folder:
        yield Path(folder)


@pytest.fixture
def nginx(home: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []

    def run(*argv: str) -> subprocess.Popen[bytes]:
        command = home / "command"
        command.write_text(gateway.command_text(home / "nginx", home / "s"))
        command.chmod(0o755)
        process = subprocess.Popen([str(command), *argv], start_new_session=True, stderr=subprocess.PIPE)
        started.append(process)
        return process

    yield run
    for process in started:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # the group: a worker outlives a killed master
        process.communicate(timeout=10)


def test_a_rewritten_route_and_a_reload_switch_the_traffic_and_no_request_is_refused(
    home: Path, services: Services, nginx: Callable[..., subprocess.Popen[bytes]]
) -> None:
    one, two = (services.start(Site, site=name) for name in ("a", "b"))
    gateway.write_config(home / "nginx", home / "s", f"127.0.0.1:{one.port}")
    assert nginx("-t").wait(20) == 0
    nginx()
    wait_until("the gateway answers", lambda: get(home / "s", "/gateway/healthz")[0] == 200)
    assert "X-Site: a" in get(home / "s", "/invoices/totals")[1]
    assert get(home / "s", "/admin/cleanup")[0] == 403

    route = home / "nginx" / gateway.ROUTE
    route.with_suffix(".new").write_text(gateway.route_text(two.url))
    route.with_suffix(".new").replace(route)
    assert nginx("-s", "reload").wait(20) == 0
    seen: list[tuple[int, str]] = []

    def switched() -> bool:
        seen.append(get(home / "s", "/invoices/totals"))
        return "X-Site: b" in seen[-1][1]

    wait_until("the traffic goes to b", switched)
    assert {status for status, _ in seen} == {200}

    services.stop(two)
    assert get(home / "s", "/invoices/totals")[0] == 502


def test_a_gateway_that_was_killed_starts_again_over_its_old_socket(
    home: Path, services: Services, nginx: Callable[..., subprocess.Popen[bytes]]
) -> None:
    site = services.start(Site, site="a")
    gateway.write_config(home / "nginx", home / "s", site.url)
    first = nginx()
    wait_until("the gateway answers", lambda: get(home / "s", "/gateway/healthz")[0] == 200)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait(10)
    assert (home / "s").exists()
    nginx()
    wait_until("the gateway answers again", lambda: get(home / "s", "/invoices/totals")[0] == 200)


@pytest.mark.parametrize("bad", ["example.org:80", "127.0.0.1:80; } evil {", "unix:relative", "", "127.0.0.1:1\n"])
def test_a_route_is_one_address_and_nothing_else(bad: str) -> None:
    with pytest.raises(LabError, match="upstream"):
        gateway.route_text(bad)
    assert gateway.route_text("unix:/lab/s/inv-a") == "server unix:/lab/s/inv-a;\n"
