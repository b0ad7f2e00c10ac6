"""SSH against real servers: the suite of every shell, then what only a link can do wrong."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from drctl.adapters.ssh import SshHosts
from drctl.core.inventory import Host, SecretRef
from drctl.core.values import Secret
from tests.adapters.shell_conformance import Place, ShellConformance
from tests.fakes.sshservers import Keys, Relay, asyncssh_server, inventory, openssh_server, tcp


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys.make(tmp_path_factory.mktemp("keys"))


def no_secret(ref: SecretRef) -> Secret:
    raise AssertionError(f"nothing asked for {ref}")


def hosts_of(*hosts: Host) -> SshHosts:
    return SshHosts(inventory(*hosts), no_secret)


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


def place_at(host: Host, folder: Path) -> Iterator[Place]:
    hosts = hosts_of(host)
    effects, boot = folder / "effects", folder / "boot_id"

    def restart() -> None:
        boot.write_text("boot-2\n")

    place = Place(hosts.shell(host.name), lambda: effects.read_text().split(), str(effects), restart)
    yield place
    place.clear()
    hosts.close()


class TestAsyncssh(ShellConformance):
    @pytest.fixture
    def place(self, keys: Keys, asyncssh_relay: Relay, tmp_path: Path) -> Iterator[Place]:
        yield from place_at(keys.host(asyncssh_relay.port), tmp_path)


@pytest.mark.needs("openssh-server")
class TestOpenSsh(ShellConformance):
    @pytest.fixture
    def place(self, keys: Keys, openssh_relay: Relay, tmp_path: Path) -> Iterator[Place]:
        yield from place_at(keys.host(openssh_relay.port), tmp_path)
