"""`service`, `file.read` and `host.status` on the real shell of this machine."""

import hashlib
import os
from decimal import Decimal

import pytest

from drctl.core.kind import Change, FieldError, Seen
from drctl.core.ports import Reach
from drctl.core.values import Duration, Size, Unknown
from drctl.kinds.file_read import FileRead
from drctl.kinds.host_status import HostStatus
from drctl.kinds.service import Service
from tests.fakes.hosts import FakeHost, said
from tests.kinds.worlds import Machine, probe

SYSTEMCTL = """
state=$HOME/units/$2
case $1 in
  start|restart)
    [ -e "$HOME/broken" ] && { echo "Job failed." >&2; exit 1; }
    echo active >"$state.active"; echo "$1" >>"$HOME/calls";;
  stop) echo inactive >"$state.active"; echo stop >>"$HOME/calls";;
  enable) echo enabled >"$state.enabled"; echo enable >>"$HOME/calls";;
  disable) echo disabled >"$state.enabled"; echo disable >>"$HOME/calls";;
  is-active) cat "$state.active" 2>/dev/null || { echo inactive; exit 3; };;
  is-enabled) cat "$state.enabled" 2>/dev/null || { echo "Failed to get unit file state" >&2; exit 1; };;
esac
"""


@pytest.fixture
def host(machine: Machine) -> Machine:
    (machine.bin / "systemctl").unlink(missing_ok=True)
    machine.program("systemctl", SYSTEMCTL)
    (machine.home / "units").mkdir()
    return machine


def unit(host: Machine, active: str, enabled: str) -> None:
    (host.home / "units" / "db.active").write_text(f"{active}\n")
    (host.home / "units" / "db.enabled").write_text(f"{enabled}\n")


def calls(host: Machine) -> list[str]:
    path = host.home / "calls"
    return path.read_text().split() if path.exists() else []


def test_a_service_is_stopped_disabled_and_put_back(host: Machine) -> None:
    unit(host, "active", "enabled")
    kind = Service(name="db", state="stopped", enabled=False)
    preview = kind.preview(host.probe())
    assert preview.change is Change.WOULD_CHANGE
    assert preview.prior == {"active": True, "enabled": True}
    assert kind.verify(host.probe()).seen is Seen.NOT_DONE
    assert calls(host) == [], "looking changed something"

    outputs = kind.execute(host.act())
    assert outputs.values == {"exit": 0, "active": False, "enabled": False}
    assert kind.verify(host.probe()).seen is Seen.DONE
    assert kind.preview(host.probe()).change is Change.NO_CHANGE

    back = kind.inverse(preview.prior)
    assert back == Service(name="db", state="started", enabled=True)
    back.execute(host.act())
    assert back.verify(host.probe()).seen is Seen.DONE
    assert kind.preview(host.probe()).prior == preview.prior


def test_enablement_is_left_alone_unless_given(host: Machine) -> None:
    unit(host, "inactive", "static")
    kind = Service(name="db")
    assert kind.execute(host.act()).values["active"] is True
    assert calls(host) == ["start"]
    assert kind.verify(host.probe()).seen is Seen.DONE
    assert kind.inverse(kind.preview(host.probe()).prior) == Service(name="db", state="started")


def test_a_unit_that_does_not_start_fails_and_is_still_enabled(host: Machine) -> None:
    unit(host, "inactive", "disabled")
    (host.home / "broken").touch()
    kind = Service(name="db", enabled=True)
    outputs = kind.execute(host.act())
    assert outputs.values == {"exit": 1, "active": False, "enabled": True}
    assert outputs.because == "exit 1: Job failed."
    assert kind.verify(host.probe()).seen is Seen.NOT_DONE


def test_a_restart_always_changes(host: Machine) -> None:
    unit(host, "active", "enabled")
    kind = Service(name="db", state="restarted")
    assert kind.preview(host.probe()).change is Change.WOULD_CHANGE
    kind.execute(host.act())
    assert calls(host) == ["restart"]
    assert kind.verify(host.probe()).seen is Seen.DONE


@pytest.mark.parametrize(("active", "enabled"), [("activating", "enabled"), ("active", "static"), ("", "")])
def test_what_systemd_cannot_say_is_unknown(host: Machine, active: str, enabled: str) -> None:
    unit(host, active, enabled)
    kind = Service(name="db", enabled=True)
    assert kind.verify(host.probe()).seen is Seen.UNKNOWN
    assert kind.preview(host.probe()).change is Change.CANNOT_TELL


def test_a_host_without_systemctl_cannot_tell() -> None:
    bare = probe(shell=FakeHost().on("systemctl", said(exit=127, stderr="systemctl is not on this host")))
    assert Service(name="db").verify(bare).seen is Seen.UNKNOWN
    assert "systemctl is not on this host" in Service(name="db").preview(bare).because


@pytest.mark.parametrize("name", ["", "-H", "a b", "a/b", "a\nb"])
def test_a_name_that_is_no_unit_is_refused(name: str) -> None:
    with pytest.raises(FieldError):
        Service(name=name)


# --- file.read --------------------------------------------------------------------------------------------------------


def test_a_file_is_read_whole(machine: Machine) -> None:
    content = "Zeile 1\n\nsize 3\n漢字\n\n"
    path = machine.home / "-odd name"
    path.write_text(content)
    path.chmod(0o640)
    values = FileRead(path="-odd name").look(machine.probe()).values
    assert values == {
        "exists": True,
        "text": content,
        "sha256": hashlib.sha256(content.encode()).hexdigest(),
        "size": Size(len(content.encode())),
        "mode": "640",
    }


def test_an_empty_file(machine: Machine) -> None:
    (machine.home / "f").touch()
    values = FileRead(path="f").look(machine.probe()).values
    assert (values["text"], values["size"]) == ("", Size(0))


def test_a_file_that_is_not_text_has_a_digest(machine: Machine) -> None:
    (machine.home / "f").write_bytes(b"\xff\x00\n\n\xfe")
    values = FileRead(path="f").look(machine.probe()).values
    assert str(values["text"]) == "f is not UTF-8 text"
    assert values["sha256"] == hashlib.sha256(b"\xff\x00\n\n\xfe").hexdigest()


def test_a_large_file_is_not_sent_and_has_a_digest(machine: Machine) -> None:
    data = bytes(1024 * 1024 + 1)
    (machine.home / "f").write_bytes(data)
    outputs = FileRead(path="f").look(machine.probe())
    assert str(outputs.values["text"]) == "f is longer than 1 MiB"
    assert outputs.values["sha256"] == hashlib.sha256(data).hexdigest()
    assert outputs.values["size"] == Size(len(data))
    (machine.home / "g").write_bytes(data[1:])
    assert FileRead(path="g").look(machine.probe()).values["text"] == "\0" * (1024 * 1024)


@pytest.mark.parametrize("path", ["missing", "a/b/c", "file/below", "dangling"])
def test_a_file_that_is_not_there(machine: Machine, path: str) -> None:
    (machine.home / "file").touch()
    (machine.home / "dangling").symlink_to("nowhere")
    outputs = FileRead(path=path).look(machine.probe())
    assert outputs.reach is Reach.COMPLETE
    assert outputs.values["exists"] is False
    assert str(outputs.values["text"]) == f"{path} is not there"


def test_a_look_that_is_refused_tells_nothing() -> None:
    refused = probe(shell=FakeHost().on("ls -d", said(exit=3, stderr="ls: locked/f: Permission denied")))
    outputs = FileRead(path="locked/f").look(refused)
    assert str(outputs.values["exists"]) == "locked/f: exit 3: ls: locked/f: Permission denied"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may look everywhere")
def test_a_file_that_may_not_be_looked_at_is_not_called_absent(machine: Machine) -> None:
    locked = machine.home / "locked"
    locked.mkdir()
    locked.chmod(0)
    try:
        assert isinstance(FileRead(path="locked/f").look(machine.probe()).values["exists"], Unknown)
    finally:
        locked.chmod(0o700)


def test_a_folder_exists_and_has_no_text(machine: Machine) -> None:
    (machine.home / "d").mkdir()
    values = FileRead(path="d").look(machine.probe()).values
    assert values["exists"] is True
    assert str(values["text"]) == "d is a folder"


# --- host.status ------------------------------------------------------------------------------------------------------


def test_a_machine_says_how_it_is(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    boot = machine.home / "boot-id"
    boot.write_text("0b0e-5\n")
    monkeypatch.setenv("DRCTL_BOOT_ID_FILE", str(boot))
    values = HostStatus().look(machine.probe()).values
    assert values["boot_id"] == "0b0e-5"
    assert isinstance(values["uptime"], Duration)
    assert isinstance(values["load"], Decimal)
    assert isinstance(values["memory_free"], Size)
    assert isinstance(values["processes"], int)
    assert isinstance(values["disks"], tuple)
    for disk in values["disks"]:
        assert isinstance(disk, dict) or set(disk) == {"mount", "size", "free"}  # type: ignore[arg-type] # a map


def test_a_machine_without_proc_gives_what_it_has(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRCTL_BOOT_ID_FILE", "/nonexistent")
    values = HostStatus().look(machine.probe()).values
    assert str(values["boot_id"]) == "the machine gives no boot_id"
