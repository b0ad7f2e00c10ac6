"""What tests of adapters share: an AWS for the tests alone, and hosts behind relays, over every transport."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import shutil
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from moto.server import ThreadedMotoServer

from drctl.adapters import openssh
from drctl.adapters.ssh import SshHosts
from tests.adapters.claim_rig import APPLETS, SHELLS, Rig, left
from tests.adapters.steps import no_secret
from tests.fakes.sshservers import SSH, Keys, Relay, asyncssh_server, inventory, openssh_server, tcp

if TYPE_CHECKING:
    from collections.abc import Iterator

    from drctl.core.inventory import Host

Open = Callable[..., SshHosts]
"""Gives a test hosts, which are closed after it."""


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """The address of a moto server on a port of its own."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys.make(tmp_path_factory.mktemp("keys"))


@pytest.fixture(params=["fabric", pytest.param("openssh", marks=pytest.mark.needs("openssh-client"))])
def transport(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What opens the links; the settings of the person who runs the tests are not read."""
    monkeypatch.setattr(openssh, "PROGRAM", SSH)
    return str(request.param)


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "boot_id").write_text("boot-1\n")
    (tmp_path / "effects").touch()
    return {
        "HOME": str(tmp_path),
        "PATH": os.environ["PATH"],
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "DRCTL_BOOT_ID_FILE": str(tmp_path / "boot_id"),
        "DRCTL_MACHINE_ID_FILE": str(tmp_path / "machine_id"),
    }


@pytest.fixture
def asyncssh_relay(keys: Keys, env: dict[str, str]) -> Iterator[Relay]:
    with asyncssh_server(keys, env) as port:
        relay = Relay(tcp(port))
        yield relay
        relay.close()


@pytest.fixture
def openssh_relay(keys: Keys, tmp_path: Path, env: dict[str, str]) -> Iterator[Relay]:
    with openssh_server(keys, tmp_path, env) as connect:
        relay = Relay(connect)
        yield relay
        relay.close()


@pytest.fixture
def open_hosts(transport: str) -> Iterator[Open]:
    made: list[SshHosts] = []

    def make(*hosts: Host) -> SshHosts:
        made.append(SshHosts(inventory(*hosts), no_secret, transport))
        return made[-1]

    yield make
    for hosts in made:
        hosts.close()


@pytest.fixture
def masters_at(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the masters of a test keep their files; no settings of the person who runs it are read."""
    monkeypatch.setattr(openssh, "PROGRAM", SSH)
    folder = Path(tempfile.mkdtemp(prefix="drt"))  # short: sockets lie in it
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(params=SHELLS, ids=lambda shell: shell.rsplit("/", 1)[-1].split()[0])
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    env = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
    if request.param == "busybox sh":
        (tmp_path / "bin").mkdir()
        for name in APPLETS.split():
            (tmp_path / "bin" / name).symlink_to(str(shutil.which("busybox")))
        env["PATH"] = str(tmp_path / "bin")
    made = Rig(tmp_path, request.param, env, secrets.token_hex(8))
    yield made
    for pid in left(made.key):
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
def sh(tmp_path: Path) -> Iterator[Rig]:
    """One shell is enough where the shell is not the point."""
    env = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    made = Rig(tmp_path, "/bin/sh", env, secrets.token_hex(8))
    yield made
    for pid in left(made.key):
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
