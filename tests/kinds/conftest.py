"""Machines for the kinds that speak to a shell: the system's own tools, and busybox's."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.kinds.worlds import Machine


@pytest.fixture(params=["system", pytest.param("busybox", marks=pytest.mark.needs("busybox"))])
def machine(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    if request.param == "system":
        return Machine(tmp_path, monkeypatch)
    machine = Machine(tmp_path, monkeypatch, shell=str(tmp_path / "bin" / "sh"))
    busybox = shutil.which("busybox")
    assert busybox is not None
    subprocess.run([busybox, "--install", "-s", str(machine.bin)], check=True)
    for name in ("setsid", "mktemp", "sync"):  # the claim wrapper's own, not the kinds'
        real = shutil.which(name, path="/usr/bin:/bin")
        (machine.bin / name).unlink(missing_ok=True)
        if real:
            (machine.bin / name).symlink_to(real)
    return machine
