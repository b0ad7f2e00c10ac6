"""`local`, and the fake host: the same suite, so that what the engine's tests rely on is what a host does."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from drctl.adapters.local import LocalShell
from tests.adapters.shell_conformance import Place, ShellConformance, fake_place
from tests.fakes.hosts import FakeHost


@pytest.fixture
def local_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    boot, effects = tmp_path / "boot_id", tmp_path / "effects"
    boot.write_text("boot-1\n")
    effects.touch()
    monkeypatch.setenv("DRCTL_BOOT_ID_FILE", str(boot))
    shell = LocalShell(tmp_path)
    place = Place(shell, lambda: effects.read_text().split(), str(effects), lambda: _restart(boot))
    yield place
    place.clear()


def _restart(boot: Path) -> None:
    boot.write_text("boot-2\n")


class TestFake(ShellConformance):
    @pytest.fixture
    def place(self) -> Place:
        return fake_place(FakeHost("fake"))


class TestLocal(ShellConformance):
    @pytest.fixture
    def place(self, local_place: Place) -> Place:
        return local_place
