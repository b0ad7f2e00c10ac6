"""`file.put` on the real shell of this machine: whole files, what was there kept, and put back."""

import hashlib
import os
import stat
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drctl.core.kind import Change, FieldError, Seen
from drctl.core.ports import MEBIBYTE
from drctl.core.values import Size
from drctl.kinds.file_put import FilePut
from tests.fakes.hosts import FakeHost, said
from tests.kinds.worlds import Facts, Machine, probe


@pytest.fixture(autouse=True)
def states(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(machine.home / ".local/state"))


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def put_and_back(machine: Machine, kind: FilePut) -> None:
    """Put, and put back."""
    preview = kind.preview(machine.probe())
    outputs = kind.execute(machine.act())
    assert outputs.values["exit"] == 0, outputs.because
    assert kind.verify(machine.probe()).seen is Seen.DONE
    back = kind.inverse(preview.prior)
    assert back is not None
    outputs = back.execute(machine.act())
    assert outputs.values["exit"] == 0, outputs.because
    assert back.verify(machine.probe()).seen is Seen.DONE
    assert kind.verify(machine.probe()).seen is Seen.NOT_DONE


def test_a_new_file_is_made_and_removed_again(machine: Machine) -> None:
    kind = FilePut(path="-odd name", text="down\n")
    preview = kind.preview(machine.probe())
    assert (preview.change, preview.prior) == (Change.WOULD_CHANGE, {"exists": False})
    assert digest("down\n") in preview.because
    outputs = kind.execute(machine.act())
    assert outputs.values == {"exit": 0, "sha256": digest("down\n"), "size": Size(5), "mode": "644"}
    assert (machine.home / "-odd name").read_text() == "down\n"
    assert kind.preview(machine.probe()).change is Change.NO_CHANGE
    back = kind.inverse(preview.prior)
    assert back is not None
    assert back.verify(machine.probe()).seen is Seen.NOT_DONE
    assert back.execute(machine.act()).values["exit"] == 0
    assert not (machine.home / "-odd name").exists()
    assert back.verify(machine.probe()).seen is Seen.DONE


def test_what_stood_there_comes_back_with_its_mode(machine: Machine) -> None:
    path = machine.home / "f"
    path.write_bytes(b"\xff old \0\n\n")
    path.chmod(0o600)
    kind = FilePut(path="f", text="new", mode="0640")
    preview = kind.preview(machine.probe())
    assert preview.change is Change.WOULD_CHANGE
    old = hashlib.sha256(b"\xff old \0\n\n").hexdigest()
    assert old in preview.because
    assert digest("new") in preview.because
    assert kind.execute(machine.act()).values["mode"] == "640"
    assert (path.read_text(), mode(path)) == ("new", 0o640)
    back = kind.inverse(preview.prior)
    assert back is not None
    assert back.execute(machine.act()).values["sha256"] == old
    assert (path.read_bytes(), mode(path)) == (b"\xff old \0\n\n", 0o600)
    assert sorted(p.name for p in machine.home.iterdir() if not p.name.startswith(".")) == ["f"], "something lies about"


def test_the_kept_file_can_be_read_by_its_user_only(machine: Machine) -> None:
    (machine.home / "f").write_text("password = x")
    assert FilePut(path="f", text="new").execute(machine.act()).values["exit"] == 0
    (kept,) = (machine.home / ".local/state/drctl/kept").iterdir()
    assert (mode(kept), mode(kept.parent)) == (0o600, 0o700)


def test_mode_is_kept_unless_given(machine: Machine) -> None:
    path = machine.home / "f"
    path.write_text("old")
    path.chmod(0o604)
    FilePut(path="f", text="new").execute(machine.act())
    assert mode(path) == 0o604
    other = FilePut(path="f", text="new", mode="600")
    assert other.preview(machine.probe()).change is Change.WOULD_CHANGE
    other.execute(machine.act())
    assert mode(path) == 0o600


def test_a_link_stays_and_its_file_is_replaced(machine: Machine) -> None:
    (machine.home / "d").mkdir()
    (machine.home / "d" / "f").write_text("old")
    (machine.home / "link").symlink_to("d/f")
    put_and_back(machine, FilePut(path="link", text="new"))
    assert (machine.home / "link").is_symlink()
    assert (machine.home / "d" / "f").read_text() == "old"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_an_owner_is_set_compared_and_put_back(machine: Machine) -> None:
    path = machine.home / "f"
    path.write_text("same")
    kind = FilePut(path="f", text="same", owner="65534:65534")
    preview = kind.preview(machine.probe())
    assert preview.change is Change.WOULD_CHANGE
    assert kind.execute(machine.act()).values["exit"] == 0
    assert path.stat().st_uid == 65534
    assert kind.preview(machine.probe()).change is Change.NO_CHANGE
    back = kind.inverse(preview.prior)
    assert back is not None
    back.execute(machine.act())
    assert path.stat().st_uid == 0


@pytest.mark.parametrize("path", ["missing/f", "d"])
def test_a_place_that_takes_no_file_fails_and_leaves_nothing(machine: Machine, path: str) -> None:
    (machine.home / "d").mkdir()
    outputs = FilePut(path=path, text="x").execute(machine.act())
    assert outputs.values["exit"] not in (0, None)
    assert list((machine.home / "d").iterdir()) == []
    assert not (machine.home / "missing").exists()


def test_a_folder_cannot_be_previewed(machine: Machine) -> None:
    (machine.home / "d").mkdir()
    assert FilePut(path="d", text="x").preview(machine.probe()).change is Change.CANNOT_TELL


def test_a_kept_file_that_is_gone_is_said_and_nothing_changes(machine: Machine) -> None:
    (machine.home / "f").write_text("old")
    kind = FilePut(path="f", text="new")
    preview = kind.preview(machine.probe())
    kind.execute(machine.act())
    for kept in (machine.home / ".local/state/drctl/kept").iterdir():
        kept.unlink()
    back = kind.inverse(preview.prior)
    assert back is not None
    outputs = back.execute(machine.act())
    assert "was not kept on this host" in outputs.because
    assert (machine.home / "f").read_text() == "new"


@given(st.text(max_size=200))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_arrives_as_it_is(machine: Machine, text: str) -> None:
    text = text.encode(errors="replace").decode()
    assert FilePut(path="f", text=text).execute(machine.act()).values["exit"] == 0
    assert (machine.home / "f").read_bytes() == text.encode()


def test_the_text_is_no_part_of_the_script() -> None:
    command = FilePut(path="f", text="$(reboot)").command(Facts())
    assert b"$(reboot)" in command.stdin  # type: ignore[operator] # no secret
    assert "reboot" not in command.script
    assert all("reboot" not in str(value) for value in command.env.values())


def test_a_host_that_refuses_the_look_cannot_tell() -> None:
    refused = probe(shell=FakeHost().on("tell", said(exit=3, stderr="ls: f: Permission denied")))
    assert FilePut(path="f", text="x").verify(refused).seen is Seen.UNKNOWN
    assert FilePut(path="f", text="x").inverse({}) is None


@pytest.mark.parametrize(
    "fields",
    [
        {"path": "", "text": "x"},
        {"path": "/", "text": "x"},
        {"path": "d/", "text": "x"},
        {"path": "a\0b", "text": "x"},
        {"path": "f"},
        {"path": "f", "text": "x", "source": "y"},
        {"path": "f", "source": "ä" * (MEBIBYTE // 2 + 1)},
        {"path": "f", "text": "x", "mode": "u+x"},
        {"path": "f", "text": "x", "mode": "9"},
        {"path": "f", "text": "x", "owner": "-R"},
        {"path": "f", "text": "x", "owner": "a b"},
        {"path": "f", "text": "ä" * (MEBIBYTE // 2 + 1)},
    ],
)
def test_what_cannot_be_put_is_refused(fields: dict[str, str]) -> None:
    with pytest.raises(FieldError):
        FilePut(**fields)


def test_people_are_shown_the_file_and_not_the_script() -> None:
    text = "".join(f"line {number}\n" for number in range(30))
    kind = FilePut(path="/srv/notice", text=text, mode="640", owner="www:www")
    assert kind.describe(Facts()).splitlines() == [
        "path /srv/notice", "mode 640", "owner www:www", f"SHA-256 {digest(text)}", f"text, {len(text)} bytes:",
        *(f"  line {number}" for number in range(10)), "  ...",
    ]  # fmt: skip
    back = kind.inverse({"exists": False})
    assert back is not None
    assert back.describe(Facts()) == "path /srv/notice\nremoved"
