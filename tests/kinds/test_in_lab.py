"""The kinds over SSH in a whole lab, wired as the command line wires them: what only shows when the parts meet."""

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from drctl.adapters.secrets import Masker, Secrets
from drctl.cli.world import RealWorld
from drctl.core.kind import ActKind, Change, LookKind, Outputs, Seen
from drctl.core.ports import Act
from drctl.core.values import Duration, Map, Time
from drctl.kinds.archive_unpack import ArchiveUnpack
from drctl.kinds.backup_fetch import BackupFetch
from drctl.kinds.backup_list import BackupList
from drctl.kinds.file_read import FileRead
from drctl.kinds.host_status import HostStatus
from drctl.kinds.http_check import HttpCheck
from drctl.kinds.log_scan import LogScan
from drctl.kinds.notify import Notify
from drctl.kinds.postgres_query import PostgresQuery
from drctl.kinds.postgres_status import PostgresStatus
from drctl.kinds.service import Service
from drctl.kinds.tcp_check import TcpCheck
from drctl.kinds.traffic_switch import TrafficSwitch
from drctl.loading import load_inventory
from tests.kinds.worlds import ClaimedOnce
from tests.lab.running import RunningLab, lab

__all__ = ["lab"]

pytestmark = pytest.mark.lab

LIMIT = Duration.parse("60s")


class Hands:
    """Looks and acts in the lab, by place."""

    def __init__(self, world: RealWorld) -> None:
        self.world = world
        self._keys = 0

    def look(self, place: str, kind: LookKind) -> Outputs:
        return kind.look(self.world.probe(place, LIMIT))

    def act(self, place: str, kind: ActKind) -> Outputs:
        self._keys += 1
        shell = ClaimedOnce(self.world.shell(place), key=f"{self._keys:064x}")
        return kind.execute(
            Act(
                probe=self.world.probe(place, LIMIT),
                shell=shell,
                http=self.world.http(place),
                notifier=self.world.notifier,
                key=shell.key,
            )
        )


@pytest.fixture(scope="module")
def hands(lab: RunningLab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hands]:
    folder = Path(lab.info.folder)
    loaded = load_inventory(str(folder / "inventory.yaml"), lambda path: Path(path).read_bytes())
    assert loaded.value is not None, loaded.diagnostics
    world = RealWorld(loaded.value, Secrets(Masker(), folder), tmp_path_factory.mktemp("state"))
    yield Hands(world)
    world.close()


def test_looks_on_a_host(hands: Hands) -> None:
    status = hands.look("inv-b", PostgresStatus())
    assert (status.values["accepting"], status.values["in_recovery"]) == (True, True), status.because
    assert isinstance(status.values["lag"], Duration)
    assert hands.look("inv-a", PostgresStatus()).values["in_recovery"] is False
    rows = hands.look("inv-b", PostgresQuery(sql="SELECT max(at) AS at FROM heartbeat")).values["rows"]
    assert isinstance(rows, tuple)
    assert isinstance(rows[0], Map)
    Time.parse(str(rows[0]["at"]))
    machine = hands.look("gw", HostStatus())
    boot = hands.look("gw", FileRead(path="etc/boot-id")).values["text"]
    assert machine.values["boot_id"] == str(boot).strip()
    scan = hands.look("inv-a", LogScan(path="log/invoices.log", patterns={"info": " INFO "}))
    assert isinstance(scan.values["count"], Map), scan.because
    assert machine.host_key, "the verified host key belongs into the record"


def test_a_backup_is_listed_fetched_and_unpacked(hands: Hands) -> None:
    listed = hands.look("local", BackupList(bucket="backups", name="base/{time}/manifest.json", manifest=True))
    assert isinstance(listed.values["backups"], tuple), listed.because
    newest: Any = listed.values["backups"][0]
    assert isinstance(newest["at"], Time)
    fetch = BackupFetch(
        bucket="backups", key=newest["key"], version=newest["version"], sha256=newest["sha256"], to="tmp/k/base.tar.gz"
    )
    outputs = hands.act("inv-b", fetch)
    assert outputs.values["exit"] == 0, outputs.because
    assert outputs.values["size"] == newest["size"]
    assert fetch.verify(hands.world.probe("inv-b", LIMIT)).seen is Seen.DONE
    unpack = ArchiveUnpack(to="tmp/k/data", **{"from": "tmp/k/base.tar.gz"})  # type: ignore[arg-type] # a word of Python's
    unpacked = hands.act("inv-b", unpack)
    assert unpacked.values["exit"] == 0, unpacked.because
    assert unpack.verify(hands.world.probe("inv-b", LIMIT)).seen is Seen.DONE
    assert hands.look("inv-b", FileRead(path="tmp/k/data/PG_VERSION")).values["text"] == "18\n"


def test_traffic_is_switched_and_back(hands: Hands) -> None:
    standby = str(hands.world._inventory.hosts["inv-b"].facts["upstream"])
    kind = TrafficSwitch(route="nginx/routes/invoices.conf", to=standby)
    preview = kind.preview(hands.world.probe("gw", LIMIT))
    assert preview.change is Change.WOULD_CHANGE, preview.because
    outputs = hands.act("gw", kind)
    assert outputs.values["exit"] == 0, outputs.because
    assert kind.verify(hands.world.probe("gw", LIMIT)).seen is Seen.DONE
    back = kind.inverse(preview.prior)
    assert back is not None
    assert hands.act("gw", back).values["exit"] == 0
    assert kind.preview(hands.world.probe("gw", LIMIT)).prior == preview.prior


def test_a_service_is_what_systemctl_says(hands: Hands) -> None:
    kind = Service(name="invoices", state="started", enabled=True)
    preview = kind.preview(hands.world.probe("inv-b", LIMIT))
    assert (preview.change, dict(preview.prior)) == (Change.NO_CHANGE, {"active": True, "enabled": True})
    outputs = hands.act("inv-b", Service(name="invoices", state="restarted"))
    assert outputs.values["exit"] == 0, outputs.because
    assert outputs.values["active"] is True


def test_looks_through_a_host(hands: Hands, lab: RunningLab) -> None:
    url = lab.info.data["urls"]["power"]
    through = hands.look("gw", HttpCheck(url=f"{url}/inv-a"))
    assert isinstance(through.values["json"], Map), through.because
    assert through.values["json"]["state"] == "on"
    port = hands.world._inventory.hosts["inv-a"].port
    assert hands.look("gw", TcpCheck(host="inv-a", port=port)).values["open"] is True


def test_people_are_told_once(hands: Hands, lab: RunningLab) -> None:
    outputs = hands.act(
        "local", Notify(to=("oncall", "mail"), subject="演练", text="A test of the kinds.", required=True)
    )
    assert outputs.values["delivered"] is True, outputs.because
    with urllib.request.urlopen(f"{lab.info.data['urls']['inbox']}/messages", timeout=20) as answer:  # noqa: S310 - the lab
        messages = json.load(answer)
    ours = [message for message in messages if "A test of the kinds." in json.dumps(message)]
    assert len(ours) == 2
