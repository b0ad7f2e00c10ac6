"""The campaign over a fleet can fail: one build of drctl that is broken in every way it watches for."""

import random
import socket

import pytest

from drctl.adapters import ssh_transport
from tests.campaign import fleet

Patch = pytest.MonkeyPatch
_KEPT: list[object] = []


def break_everything(patch: Patch) -> None:
    """In the process of drctl: a silent host is called refused, sockets are kept, memory grows; limits are short."""
    for name in ("CONNECT", "BANNER"):
        patch.setattr(ssh_transport, name, 1.0)
    patch.setattr(ssh_transport, "_said", lambda _host, _error: "refused: nothing listens there")
    honest = ssh_transport.dial_tcp

    def wasteful(host: str, port: int, seconds: float) -> socket.socket:
        _KEPT.extend(socket.socket() for _ in range(20))
        return honest(host, port, seconds)

    patch.setattr("drctl.adapters.ssh.dial_tcp", wasteful)
    _KEPT.append(b"x" * 310_000_000)


@pytest.mark.timeout(300)
def test_a_broken_build_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet, "SABOTAGE", "tests.campaign.test_fleet:break_everything")
    figures = fleet.run(20, random.Random(1))
    for promise in (fleet.WRONG, fleet.MEMORY, fleet.KEPT):
        assert figures.numbers[promise], figures.text()
