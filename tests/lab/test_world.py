"""The whole lab: what it says of itself is true, its scenarios do what they say, its archive holds what was written."""

import hashlib
import json
import re
import socket
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from drctl.core.inventory import Environment
from drctl.errors import LabError
from drctl.lab import api, state
from drctl.lab.s3client import S3Client, S3Error
from drctl.lab.scenarios import BY_NAME
from drctl.loading.inventory import load_inventory
from tests.lab.running import RunningLab, wait_until

pytestmark = pytest.mark.lab


def _store(lab: RunningLab) -> S3Client:
    return S3Client(**lab.info.data["s3"])


def test_the_inventory_loads_without_a_word_and_names_what_runs(lab: RunningLab) -> None:
    loaded = load_inventory(str(lab.info.inventory), lambda path: Path(path).read_bytes())
    assert loaded.diagnostics == ()
    inventory = loaded.value
    assert inventory is not None
    assert inventory.environment is Environment.LAB
    assert {name: (host.role, host.site) for name, host in inventory.hosts.items()} == {
        "inv-a": ("primary", "a"), "inv-b": ("standby", "b"), "gw": ("gateway", "a"),
    }  # fmt: skip
    for host in inventory.hosts.values():
        assert lab.ok(host.name, f"cat '{host.identity.file_path}'") == host.identity.file_text
        assert lab.http(str(host.facts["power_url"])) == (200, {"host": host.name, "state": "on"})
    assert all(person.simulated for person in inventory.people.values())
    assert inventory.roles == {"commander": ("li", "wang"), "deputy": ("wang",)}
    keys = inventory.buckets["backups"].keys
    assert keys is not None
    data = lab.info.data["s3"]
    assert Path(keys.target[0]).read_text() == f"{data['access_key']}:{data['secret_key']}"


def test_everything_that_holds_a_secret_is_its_owners_alone(lab: RunningLab) -> None:
    assert stat.S_IMODE(lab.folder.stat().st_mode) == 0o700
    for path in [lab.info.inventory, lab.folder / "lab.json", *(lab.folder / "keys").iterdir()]:
        if path.suffix != ".pub":
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_the_database_lets_no_stranger_in_as_its_superuser(lab: RunningLab) -> None:
    port = lab.info.data["edges"]["pg:inv-a"]["port"]
    asked = f"PGPASSFILE=/dev/null psql -w -h 127.0.0.1 -p {port} -U postgres -XAtqc 'select 1'"
    refused = lab.run("inv-b", asked)
    assert refused.code == 2
    assert b"no password supplied" in refused.err
    assert lab.ok("inv-b", f"psql -h 127.0.0.1 -p {port} -XAtqc 'select 1'") == "1"


def test_the_base_backup_is_what_its_manifest_says(lab: RunningLab) -> None:
    store = _store(lab)
    manifest_key = next(key for key in store.keys("base/") if key.endswith("/manifest.json"))
    assert re.fullmatch(r"base/\d{8}T\d{6}Z/manifest\.json", manifest_key)
    manifest = json.loads(store.get(manifest_key) or b"")
    content = store.get(manifest["key"]) or b""
    assert (len(content), hashlib.sha256(content).hexdigest()) == (manifest["size"], manifest["sha256"])
    assert manifest["timeline"] == 1
    assert datetime.fromisoformat(manifest["taken_at"]) < datetime.now(UTC)
    answer, _ = store.request("HEAD", manifest["key"])
    assert answer["x-amz-version-id"] == manifest["version"]


def test_the_store_refuses_a_wrong_key(lab: RunningLab) -> None:
    stranger = S3Client(**{**lab.info.data["s3"], "secret_key": "x" * 40})
    with pytest.raises(S3Error, match="403"):
        stranger.put("wal/forged", b"x")


def test_wal_reaches_the_archive_by_itself_and_at_once_when_asked(lab: RunningLab) -> None:
    name = lab.ok("inv-a", "wal-push-now").split()[1]
    assert f"wal/{name}" in _store(lab).keys("wal/")
    wait_until("the next segment comes by itself", lambda: _store(lab).keys("wal/")[-1] > f"wal/{name}", seconds=60)
    fetched = lab.ok("inv-b", f"wal-fetch {name} tmp/segment && stat -c %s tmp/segment && rm tmp/segment")
    assert fetched == str(1 << 20)
    assert lab.run("inv-b", "wal-fetch 00000009000000000000FFFF tmp/none").code == 1


def test_the_archive_takes_no_other_content_under_a_name_it_has(lab: RunningLab) -> None:
    name = lab.ok("inv-a", "wal-push-now").split()[1]
    refused = lab.run("inv-a", f"head -c 1048576 /dev/zero >tmp/forged; wal-push {name} tmp/forged")
    assert refused.code == 1
    assert b"two servers write the same timeline" in refused.err
    same = lab.run("inv-a", f"wal-fetch {name} tmp/forged && wal-push {name} tmp/forged; echo $?; rm tmp/forged")
    assert same.text == "0"


def test_commits_wait_for_the_standby_and_its_line_can_be_cut(lab: RunningLab) -> None:
    assert lab.ok("inv-a", "psql -XAtqc 'select sync_state from pg_stat_replication'") == "sync"
    fault = lab.break_("replication-cut")
    try:
        assert fault["fault"] == "database sync"
        hung = lab.run("inv-a", "timeout 2 psql -Xqc 'create table probe_cut ()'")
        assert hung.code == 124
    finally:
        lab.edge("repl:inv-a", "pass")
    wait_until(
        "the standby has caught up",
        lambda: lab.ok("inv-b", "psql -XAtqc \"select count(*) from pg_class where relname = 'probe_cut'\"") == "1",
    )
    lab.ok("inv-a", "psql -Xqc 'drop table probe_cut'")


def test_primary_host_is_dead_and_still_switched_on(lab: RunningLab) -> None:
    before = datetime.now(UTC) - timedelta(milliseconds=1)  # the lab writes whole milliseconds, cut off
    fault = lab.break_("primary-host")
    try:
        assert before <= datetime.fromisoformat(fault["fault_at"]) <= datetime.fromisoformat(fault["done_at"])
        assert lab.status()["fault"] == fault
        assert state.read(lab.folder).data["fault"] == fault
        assert lab.http(lab.host("inv-a")["facts"]["power_url"])[1]["state"] == "on"
        for wire in ("ssh", "app", "pg", "repl"):
            port = lab.info.data["edges"][f"{wire}:inv-a"]["port"]
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port), timeout=20)
    finally:
        lab.power("inv-a", "on")
        lab.wait_for_units("inv-a")
    assert lab.ok("inv-a", "psql -XAtqc 'select pg_is_in_recovery()'") == "f"


def test_bad_delete_removes_acknowledged_invoices_while_users_go_on(lab: RunningLab) -> None:
    wait_until("invoices to lose", lambda: lab.traffic("/status", "GET")["acknowledged"] > 60)
    lab.break_("bad-delete")
    try:
        log = lab.home("inv-a") / "log" / "invoices.log"
        wait_until("the log tells", lambda: "cleanup: deleted" in log.read_text())
        seen = lab.traffic("/status", "GET")["acknowledged"]
        wait_until("users go on", lambda: lab.traffic("/status", "GET")["acknowledged"] > seen)
        audit = lab.traffic("/audit")
        assert audit["lost"] > 0
        assert audit["altered"] > 0
    finally:
        lab.ok("inv-a", "deploy invoices 2.0.3")
    status, health = lab.http(f"{lab.info.data['urls']['app:inv-a']}/healthz")
    assert (status, health["release"]) == (200, "2.0.3")


def test_service_stopped_leaves_the_host_alive(lab: RunningLab) -> None:
    lab.break_("service-stopped")
    try:
        wait_until("it is failed", lambda: lab.unit("inv-a", "invoices") == "failed")
        with pytest.raises(ConnectionResetError):
            lab.http(f"{lab.info.data['urls']['app:inv-a']}/healthz")
        assert lab.http(f"{lab.info.data['urls']['gateway']}/healthz")[0] == 502
    finally:
        lab.ok("inv-a", "systemctl restart invoices")


def test_a_frozen_network_hangs_and_thaws(lab: RunningLab) -> None:
    lab.break_("primary-frozen-network")
    wires = [f"{wire}:inv-a" for wire in ("ssh", "app", "pg", "repl")]
    try:
        assert {lab.status()["edges"][wire]["mode"] for wire in wires} == {"stall"}
        assert lab.http(f"{lab.info.data['urls']['gateway']}/healthz")[0] == 504
    finally:
        for wire in wires:
            lab.edge(wire, "pass")
    wait_until("users are served", lambda: lab.http(f"{lab.info.data['urls']['gateway']}/healthz")[0] == 200)


def test_a_scenario_or_an_edge_that_does_not_exist_is_refused_by_name(lab: RunningLab) -> None:
    assert set(api.SCENARIOS) == set(BY_NAME)
    with pytest.raises(LabError, match="primary-host"):
        lab.break_("meteor")
    with pytest.raises(LabError, match="pg:nowhere"):
        lab.edge("pg:nowhere", "stall")
    with pytest.raises(LabError, match="pass, refuse"):
        lab.edge("pg:inv-a", "slow")
