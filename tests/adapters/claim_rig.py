"""A shell of this machine whose claims lie in a folder of a test, and the shells that the wrapper is proven under."""

import contextlib
from dataclasses import dataclass
from pathlib import Path

import pytest

from drctl.adapters.claims import ClaimedShell
from drctl.adapters.local import LocalCarrier
from drctl.core.ports import Claim, ClaimReply, ClaimState, Reply
from tests.adapters.steps import command

SHELLS = ["/bin/sh", "/bin/bash", pytest.param("busybox sh", marks=pytest.mark.needs("busybox"))]
APPLETS = (
    "cat chmod df env find grep head id kill ln mkdir mv rm seq setsid sh sha256sum sleep stat sync tail touch tr true "
    "wc busybox"
)


@dataclass(slots=True)
class Rig:
    """A local shell in a folder of its own."""

    folder: Path
    shell: str
    env: dict[str, str]
    key: str

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def made(self) -> ClaimedShell:
        return ClaimedShell(LocalCarrier(self.env), "local", str(self.state), self.shell)

    def claim(self, name: str = "k") -> Claim:
        return Claim(key=f"{self.key}-{name}", run="uid-a", run_id="7K3QF", operator="li", epoch=1, holder="SHA256:a")

    def act(self, script: str, name: str = "k", seconds: float = 30, **more: object) -> ClaimReply:
        return self.made.run(self.claim(name), command(script, seconds, **more))

    def ran(self, script: str, name: str = "k", seconds: float = 30, **more: object) -> Reply:
        answer = self.act(script, name, seconds, **more)
        assert answer.state is ClaimState.RAN, answer
        assert answer.reply is not None
        return answer.reply


def left(key: str) -> list[int]:
    """The processes that carry the cookie of these claims."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if f"DRCTL_CLAIM={key}".encode() in entry.read_bytes():
                found.append(int(entry.parent.name))
    return found
