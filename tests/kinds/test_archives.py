"""`archive.unpack` on the real tools of this machine, against archives that mean harm."""

import gzip
import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from drctl.core.kind import Change, FieldError, Outputs, Seen
from drctl.core.values import Size
from drctl.kinds.archive_unpack import ArchiveUnpack
from tests.kinds.worlds import Machine

FROM: dict[str, Any] = {"from": "base.tar.gz"}

Build = Callable[[tarfile.TarFile], None]


def file(name: str, data: bytes = b"data", mode: int = 0o644) -> Build:
    def add(tar: tarfile.TarFile) -> None:
        info = tarfile.TarInfo(name)
        info.size, info.mode = len(data), mode
        tar.addfile(info, io.BytesIO(data))

    return add


def member(name: str, kind: bytes, link: str = "") -> Build:
    def add(tar: tarfile.TarFile) -> None:
        info = tarfile.TarInfo(name)
        info.type, info.linkname, info.mode = kind, link, 0o755
        tar.addfile(info)

    return add


def archive(path: Path, *parts: Build) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for part in parts:
            part(tar)
    return path


def unpack(machine: Machine, **fields: object) -> Outputs:
    return ArchiveUnpack(**{**FROM, "to": "data", **fields}).execute(machine.act())


def left_over(machine: Machine) -> list[str]:
    return sorted(path.name for path in machine.home.iterdir() if path.name != "base.tar.gz")


def test_a_good_archive_appears_whole(machine: Machine) -> None:
    archive(
        machine.home / "base.tar.gz",
        member("./", tarfile.DIRTYPE),
        member("base", tarfile.DIRTYPE),
        file("base/a file", b"one"),
        file("./base/-odd", b"two"),
        file("漢字", b"three"),
        file("PG_VERSION", b"18\n", 0o600),
    )
    kind = ArchiveUnpack(to="restore/data/", **FROM)
    assert kind.preview(machine.probe()).change is Change.WOULD_CHANGE
    assert kind.verify(machine.probe()).seen is Seen.NOT_DONE
    outputs = kind.execute(machine.act())
    assert outputs.values["exit"] == 0, outputs.because
    assert outputs.values["files"] == 4
    assert isinstance(outputs.values["size"], Size)
    data = machine.home / "restore" / "data"
    assert (data / "base" / "a file").read_bytes() == b"one"
    assert (data / "base" / "-odd").read_bytes() == b"two"
    assert (data / "漢字").read_bytes() == b"three"
    assert sorted(path.name for path in data.parent.iterdir()) == ["data"]
    assert kind.verify(machine.probe()).seen is Seen.DONE
    assert kind.preview(machine.probe()).change is Change.CANNOT_TELL


def test_the_folder_is_its_owners_alone(machine: Machine) -> None:
    archive(machine.home / "base.tar.gz", file("f"))
    unpack(machine)
    assert (machine.home / "data").stat().st_mode & 0o777 == 0o700


def test_an_empty_folder_is_filled_and_a_full_one_is_not_touched(machine: Machine) -> None:
    archive(machine.home / "base.tar.gz", file("f"))
    (machine.home / "data").mkdir()
    assert unpack(machine).values["exit"] == 0
    (machine.home / "data" / "f").write_text("changed since")
    outputs = unpack(machine)
    assert outputs.because == "exit 3: data is not empty"
    assert (machine.home / "data" / "f").read_text() == "changed since"


def test_something_else_in_its_place_is_not_done_and_not_touched(machine: Machine) -> None:
    archive(machine.home / "base.tar.gz", file("f"))
    (machine.home / "data").mkdir()
    (machine.home / "data" / "other").touch()
    kind = ArchiveUnpack(to="data", **FROM)
    assert kind.verify(machine.probe()).seen is Seen.NOT_DONE
    (machine.home / "base.tar.gz").unlink()
    assert kind.verify(machine.probe()).seen is Seen.UNKNOWN


HARM: dict[str, tuple[Build, str]] = {
    "absolute name": (file("/etc/drctl-test-harm"), "absolute name|leads out"),
    "name with ..": (file("../harm"), "leads out"),
    "name with .. inside": (file("a/../../harm"), "leads out"),
    "name that is ..": (member("..", tarfile.DIRTYPE), "leads out"),
    "symbolic link": (member("link", tarfile.SYMTYPE, "/etc"), "neither file nor folder"),
    "hard link": (member("link", tarfile.LNKTYPE, "good"), "neither file nor folder"),
    "device": (member("null", tarfile.CHRTYPE), "neither file nor folder"),
    "fifo": (member("fifo", tarfile.FIFOTYPE), "neither file nor folder"),
    "set-uid file": (file("su", mode=0o4755), "set-uid"),
    "set-gid file": (file("sg", mode=0o2755), "set-uid"),
}


@pytest.mark.parametrize("harm", HARM)
def test_an_archive_that_means_harm_is_refused_before_anything_is_unpacked(machine: Machine, harm: str) -> None:
    build, why = HARM[harm]
    archive(machine.home / "base.tar.gz", file("good"), build, file("link/through"))
    outputs = unpack(machine)
    assert outputs.values["exit"] == 3
    assert any(word in outputs.because for word in why.split("|")), outputs.because
    assert left_over(machine) == []
    assert not (machine.home.parent / "harm").exists()


def test_a_chain_of_long_links_is_refused(machine: Machine) -> None:
    """CVE-2025-4517: names that only lead out once links of the same archive are followed."""
    deep = "d" * 240
    archive(
        machine.home / "base.tar.gz",
        member(deep, tarfile.DIRTYPE),
        member(f"{deep}/l", tarfile.SYMTYPE, "../" * 20),
        file(f"{deep}/l/harm"),
    )
    assert "neither file nor folder" in unpack(machine).because
    assert left_over(machine) == []


@pytest.mark.parametrize("damage", ["cut", "bit", "not gzip", "not tar", "missing"])
def test_a_damaged_archive_is_refused(machine: Machine, damage: str) -> None:
    path = archive(machine.home / "base.tar.gz", file("a", os.urandom(200_000)), file("b"))
    data = bytearray(path.read_bytes())
    match damage:
        case "cut":
            path.write_bytes(data[: len(data) // 2])
        case "bit":
            data[len(data) // 2] ^= 1
            path.write_bytes(data)
        case "not gzip":
            path.write_bytes(b"this is no archive")
        case "not tar":
            path.write_bytes(gzip.compress(b"this is no archive" * 100))
        case "missing":
            path.unlink()
    outputs = unpack(machine)
    assert outputs.values["exit"] == 3, outputs.because
    assert left_over(machine) == []


def test_an_archive_that_swells_is_refused(machine: Machine) -> None:
    path = archive(machine.home / "base.tar.gz", file("zeros", bytes(3_000_000)))
    assert path.stat().st_size < 30_000
    outputs = unpack(machine, at_most=Size(2_000_000))
    assert "more than 2000000 bytes inside" in outputs.because
    assert left_over(machine) == []
    assert unpack(machine, at_most=Size(4_000_000)).values["exit"] == 0


def test_an_interrupted_attempt_does_not_stand_in_the_way(machine: Machine) -> None:
    archive(machine.home / "base.tar.gz", file("f"))
    (machine.home / "data.drctl-new" / "half").mkdir(parents=True)
    assert unpack(machine).values["exit"] == 0
    assert left_over(machine) == ["data"]


def test_hostile_paths_are_data(machine: Machine) -> None:
    name = "a b;touch made$(touch made)'\".tar.gz"
    archive(machine.home / "base.tar.gz", file("f")).rename(machine.home / name)
    assert unpack(machine, **{"from": name, "to": "-d `touch made`"}).values["exit"] == 0
    assert not (machine.home / "made").exists()
    assert (machine.home / "-d `touch made`" / "f").exists()


@pytest.mark.parametrize("fields", [{"from": "", "to": "d"}, {"from": "a", "to": "/"}, {"from": "a", "to": ".."}])
def test_paths_that_are_none_are_refused(fields: dict[str, str]) -> None:
    with pytest.raises(FieldError):
        ArchiveUnpack(**fields)  # type: ignore[arg-type] # varied
