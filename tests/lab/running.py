"""Whole labs for tests: one shared by all tests that put back what they change, and labs of one's own to be broken.

Every lab hangs on a pipe of the test process, so that none outlives a killed test run.
"""

import base64
import json
import os
import shutil
import socket
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paramiko
import pytest

from drctl.lab import api

# A test run may ask for the second way of keeping hosts apart (see drctl.lab.isolation).
NAMESPACES = os.environ.get("DRCTL_TEST_LAB_NAMESPACES", "1") == "1"


def wait_until(what: str, condition: Callable[[], bool], *, seconds: float = 60) -> None:
    """Wait for a condition; the limit only keeps a broken test from hanging."""
    pause = threading.Event()
    for _ in range(int(seconds / 0.05)):
        if condition():
            return
        pause.wait(0.05)
    pytest.fail(f"did not happen within {seconds} s: {what}")


@dataclass(frozen=True)
class Done:
    """How a command over SSH ended; the code is -1 when a signal ended it."""

    code: int
    out: bytes
    err: bytes

    @property
    def text(self) -> str:
        return self.out.decode().strip()


class Ssh:
    """A connection to a lab host by its own key, the host key verified."""

    def __init__(self, host: dict[str, Any]) -> None:
        self._socket = socket.create_connection((host["address"], host["port"]), timeout=20)
        self.transport = paramiko.Transport(self._socket)
        self.transport.start_client(timeout=20)
        kind, text = host["host_key"].split()
        shown = self.transport.get_remote_server_key()
        assert (shown.get_name(), shown.asbytes()) == (kind, base64.b64decode(text))
        self.transport.auth_publickey(host["user"], paramiko.Ed25519Key.from_private_key_file(host["key"]))

    def open(self, command: str) -> paramiko.Channel:
        channel = self.transport.open_session(timeout=20)
        channel.settimeout(60)
        channel.exec_command(command)
        return channel

    def run(self, command: str, stdin: bytes = b"") -> Done:
        channel = self.open(command)
        writer = threading.Thread(target=self._feed, args=(channel, stdin))
        writer.start()
        streams: dict[str, bytearray] = {"out": bytearray(), "err": bytearray()}
        readers = [
            threading.Thread(target=self._drain, args=(read, streams[name]))
            for name, read in (("out", channel.recv), ("err", channel.recv_stderr))
        ]
        for reader in readers:
            reader.start()
        for thread in (writer, *readers):
            thread.join(60)
        code = channel.recv_exit_status()
        return Done(code, bytes(streams["out"]), bytes(streams["err"]))

    def close(self) -> None:
        self.transport.close()

    def cut(self) -> None:
        """End the connection without a word, as a broken line does."""
        self._socket.close()
        self.transport.sock.close()

    @staticmethod
    def _feed(channel: paramiko.Channel, data: bytes) -> None:
        with suppress(OSError):
            channel.sendall(data)
            channel.shutdown_write()

    @staticmethod
    def _drain(read: Callable[[int], bytes], into: bytearray) -> None:
        while data := read(1 << 16):
            into += data


class RunningLab:
    """A lab that runs, as a test sees it."""

    def __init__(self, info: api.LabInfo) -> None:
        self.info = info
        self.folder = info.folder
        self._connections: dict[str, Ssh] = {}

    def status(self) -> dict[str, Any]:
        return api.status(self.folder)

    def host(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.info.data["hosts"][name]
        return found

    def home(self, name: str) -> Path:
        return Path(self.host(name)["folder"])

    def ssh(self, name: str) -> Ssh:
        """One connection a host, made anew when it is gone."""
        known = self._connections.get(name)
        if known is None or not known.transport.is_active():
            known = self._connections[name] = Ssh(self.host(name))
        return known

    def run(self, host: str, command: str, stdin: bytes = b"") -> Done:
        return self.ssh(host).run(command, stdin)

    def ok(self, host: str, command: str) -> str:
        """Run a command that must succeed; gives its output."""
        done = self.run(host, command)
        assert done.code == 0, f"{host}: {command}\n{done.out.decode()}{done.err.decode()}"
        return done.text

    def edge(self, name: str, mode: str) -> None:
        api.set_edge(self.folder, name, mode)

    def power(self, host: str, to: str) -> dict[str, Any]:
        return api.power(self.folder, host, to)

    def break_(self, scenario: str) -> dict[str, Any]:
        return api.break_(self.folder, scenario)

    def unit(self, host: str, name: str) -> str:
        return str(api.systemctl(self.folder, host, "is-active", name)["out"]).strip()

    def wait_for_units(self, host: str) -> None:
        """Wait until every enabled service of a host is active."""
        wait_until(
            f"services of {host}",
            lambda: all(unit["ActiveState"] == "active" for unit in self.status()["hosts"][host]["units"].values()),
        )

    def http(self, url: str, method: str = "GET", body: object = None) -> tuple[int, Any]:
        data = None if body is None else json.dumps(body).encode()
        asked = urllib.request.Request(url, method=method, data=data, headers={"Content-Type": "application/json"})  # noqa: S310 - the lab's own http
        try:
            with urllib.request.urlopen(asked, timeout=20) as answer:  # noqa: S310
                return answer.status, json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            with error, suppress(ValueError):
                return error.code, json.loads(error.read() or b"null")
            return error.code, None  # nginx's own words
        except urllib.error.URLError as error:
            # A reset is wrapped or bare, by whether it came while the request was being sent or after it.
            raise error.reason if isinstance(error.reason, OSError) else error from None

    def traffic(self, path: str, method: str = "POST") -> dict[str, Any]:
        answer: dict[str, Any] = self.http(f"{self.info.data['urls']['traffic']}{path}", method)[1]
        return answer

    def close(self) -> None:
        for connection in self._connections.values():
            connection.close()


def short_folder() -> Path:
    """A folder with a path short enough for unix sockets, which pytest's own is not."""
    return Path(tempfile.mkdtemp(prefix="drctl-t-"))


@contextmanager
def running_lab(*, async_replication: bool = False) -> Iterator[RunningLab]:
    """A lab of one's own, ended at the end."""
    read, write = os.pipe()
    folder = short_folder()
    try:
        lab = RunningLab(
            api.up(folder=folder, hold=read, ttl=1800, namespaces=NAMESPACES, async_replication=async_replication)
        )
        os.close(read)
        try:
            yield lab
        finally:
            lab.close()
    finally:
        os.close(write)
        api.down(folder)
        shutil.rmtree(folder, ignore_errors=True)


# Gone with its folder: a lab that nobody looks at still keeps a quarter of a core busy.
@pytest.fixture(scope="package")
def lab() -> Iterator[RunningLab]:
    """The shared lab: a test puts back what it changes."""
    with running_lab() as made:
        yield made


@pytest.fixture
def own_lab() -> Iterator[RunningLab]:
    """A lab that may be broken for good."""
    with running_lab() as made:
        yield made


def processes_of(folder: Path) -> list[str]:
    """Every living process of a lab: its folder is in the command line, the environment or the current folder."""
    needle = str(folder).encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            state = (entry / "stat").read_bytes().rpartition(b")")[2].split()[0]
            words = (entry / "cmdline").read_bytes()
            seen = words + (entry / "environ").read_bytes() + bytes((entry / "cwd").readlink())
            if state not in b"ZX" and needle in seen and int(entry.name) != os.getpid():
                found.append(f"{entry.name} {words.replace(bytes(1), b' ').decode(errors='replace')[:120]}")
    return found
