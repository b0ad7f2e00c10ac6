"""The commands by which a runbook brings the invoices back, exactly as a host takes them over SSH.

Each script here is meant to be copied: plain commands of the host, values by environment-like lines at the top. Only
the ports and the times come from outside (facts of the inventory, the moment of the fault).
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.lab.running import RunningLab, running_lab, wait_until

pytestmark = pytest.mark.lab

PROMOTE = """
set -eu
test "$(psql -XAtqc 'select pg_promote(true, 30)')" = t
psql -XAtqc 'select not pg_is_in_recovery()'
"""

# The archive must hold a commit after the target, else recovery ends FATAL: end the segment and wait for its receipt.
PUSH_WAL = "wal-push-now"

RESTORE_BESIDE = """
set -eu
TARGET='{target}'
rm -rf "$HOME/pg/restore" "$HOME/run/restore" "$HOME/tmp/base"
mkdir -m 700 "$HOME/pg/restore" "$HOME/run/restore" "$HOME/tmp/base"
base-fetch '{base}' "$HOME/tmp/base"
tar -xzf "$HOME/tmp/base/base.tar.gz" -C "$HOME/pg/restore"
cat >>"$HOME/pg/restore/postgresql.auto.conf" <<END
restore_command = 'wal-fetch %f %p'
recovery_target_time = '$TARGET'
recovery_target_action = 'pause'
synchronous_standby_names = ''
END
touch "$HOME/pg/restore/recovery.signal"
export PGHOST="$HOME/run/restore"
pg_ctl -D "$HOME/pg/restore" -l "$HOME/log/restore.log" -w -t 120 -s -o "-c unix_socket_directories=$PGHOST" start
until [ "$(psql -XAtqc 'select pg_get_wal_replay_pause_state()')" = paused ]; do sleep 0.1; done
"""

LOOK_BESIDE = """
set -eu
export PGHOST="$HOME/run/restore"
psql -XAtqc "select pg_last_xact_replay_timestamp() <= '{target}'"
psql -XAtqc "select count(*) from invoices where number like 'F%'"
"""

PROMOTE_BESIDE = """
set -eu
export PGHOST="$HOME/run/restore"
test "$(psql -XAtqc 'select pg_promote(true, 60)')" = t
psql -Xqc 'checkpoint'
psql -XAtqc 'select timeline_id from pg_control_checkpoint()'
"""

SWAP = """
set -eu
pg_ctl -D "$HOME/pg/restore" -m fast -w -s stop
systemctl stop invoices
systemctl stop postgresql
mv "$HOME/pg/data" "$HOME/pg/broken"
mv "$HOME/pg/restore" "$HOME/pg/data"
sed -i '/^restore_command/d; /^recovery_target/d' "$PGDATA/postgresql.auto.conf"
systemctl start postgresql
systemctl start invoices
"""

REBUILD_STANDBY = """
set -eu
systemctl stop invoices
systemctl stop postgresql
rm -rf "$PGDATA"
FROM="host=127.0.0.1 port={replication_port} user=$PGUSER passfile=$PGPASSFILE"
pg_basebackup -d "$FROM" -D "$PGDATA" -R -X stream -C -S {standby_name} -c fast --no-sync
systemctl start postgresql
systemctl start invoices
"""

STREAMING = """
psql -XAtqc "select state from pg_stat_replication where application_name = '{standby_name}'"
"""

CONFIRM_AGAIN = """
set -eu
psql -Xqc 'alter system reset synchronous_standby_names'
psql -XAtqc 'select pg_reload_conf()'
"""

CONFIRM_BY = """
set -eu
psql -Xqc "alter system set synchronous_standby_names = 'FIRST 1 ({standby_name})'"
psql -XAtqc 'select pg_reload_conf()'
"""


def _total(lab: RunningLab, host: str) -> int:
    status, totals = lab.http(f"{lab.info.data['urls'][f'app:{host}']}/invoices/totals")
    assert status == 200
    return int(totals["count"])


def _issue(lab: RunningLab, host: str, key: str) -> tuple[int, Any]:
    body = {"company": "Restore Ltd", "amount": "12.50", "key": key}
    return lab.http(f"{lab.info.data['urls'][f'app:{host}']}/invoices", "POST", body)


def _switch_gateway(lab: RunningLab, host: str) -> None:
    upstream = lab.host(host)["facts"]["upstream"]
    route = '"$HOME/nginx/routes/invoices.conf"'
    lab.ok("gw", f"echo 'server {upstream};' >{route}.new && mv {route}.new {route} && nginx -t && nginx -s reload")


def test_the_standby_is_promoted_and_the_old_primary_rebuilt_as_its_standby(own_lab: RunningLab) -> None:
    lab = own_lab
    wait_until("invoices before the fault", lambda: lab.traffic("/status", "GET")["acknowledged"] > 40)
    lab.power("inv-a", "off")
    assert lab.ok("inv-b", PROMOTE) == "t"
    _switch_gateway(lab, "inv-b")

    wait_until("the service on b writes", lambda: _issue(lab, "inv-b", "after-failover")[0] == 201)
    assert _issue(lab, "inv-b", "after-failover")[1]["number"].startswith("F2-")
    seen = lab.traffic("/status", "GET")["acknowledged"]
    wait_until("users are served by b", lambda: lab.traffic("/status", "GET")["acknowledged"] > seen + 20)
    lab.traffic("/pause")
    audit = lab.traffic("/audit")
    assert (audit["lost"], audit["altered"]) == (0, 0)  # every commit was confirmed by b before it was acknowledged
    lab.traffic("/resume")

    lab.power("inv-a", "on")
    lab.wait_for_units("inv-a")
    facts = {key: lab.host("inv-b")["facts"][key] for key in ("replication_port",)} | {"standby_name": "inv_a"}
    lab.ok("inv-a", REBUILD_STANDBY.format(**facts))
    wait_until("a follows b", lambda: lab.ok("inv-b", STREAMING.format(standby_name="inv_a")) == "streaming")
    lab.ok("inv-b", CONFIRM_BY.format(standby_name="inv_a"))
    wait_until(
        "commits on b are confirmed by a",
        lambda: lab.ok("inv-b", "psql -XAtqc 'select sync_state from pg_stat_replication'") == "sync",
    )
    assert _issue(lab, "inv-b", "confirmed-by-a")[0] == 201


def test_without_confirmed_commits_a_lost_primary_takes_what_had_not_crossed_the_line() -> None:
    with running_lab(async_replication=True) as lab:
        wait_until("invoices before the fault", lambda: lab.traffic("/status", "GET")["acknowledged"] > 20)
        lab.edge("repl:inv-a", "stall")
        seen = lab.traffic("/status", "GET")["acknowledged"]
        wait_until("users go on", lambda: lab.traffic("/status", "GET")["acknowledged"] > seen + 30)
        lab.break_("primary-host")
        lab.ok("inv-b", PROMOTE)
        _switch_gateway(lab, "inv-b")
        wait_until("the service on b writes", lambda: _issue(lab, "inv-b", "after-failover")[0] == 201)
        lab.traffic("/pause")
        audit = lab.traffic("/audit")
        assert audit["lost"] >= 20  # some crossed before the stall and were acknowledged after it
        assert audit["tax_lost"] == 0  # the external record has every one of them: what a runbook re-enters from


def test_a_point_in_time_restore_beside_brings_back_what_a_bad_release_deleted(own_lab: RunningLab) -> None:
    lab = own_lab
    wait_until("invoices before the fault", lambda: lab.traffic("/status", "GET")["acknowledged"] > 60)
    lab.traffic("/pause")
    before = _total(lab, "inv-a")
    # Without commits around the target, so that the count at the target is known exactly; heartbeats go on.
    fault = lab.break_("bad-delete")
    wait_until("the release deletes", lambda: _total(lab, "inv-a") < before)
    target = (datetime.fromisoformat(fault["fault_at"]) - timedelta(milliseconds=1)).astimezone(UTC).isoformat()

    lab.ok("inv-a", PUSH_WAL)
    lab.ok("inv-a", RESTORE_BESIDE.format(target=target, base=""))
    earlier, count = lab.ok("inv-a", LOOK_BESIDE.format(target=target)).splitlines()
    assert (earlier, int(count)) == ("t", before)
    assert lab.ok("inv-a", PROMOTE_BESIDE) == "2"
    lab.ok("inv-a", "deploy invoices 2.0.3")
    lab.ok("inv-a", SWAP)
    assert _total(lab, "inv-a") == before
    status, issued = _issue(lab, "inv-a", "after-restore")  # it would hang if it waited for the old standby
    assert (status, issued["number"].partition("-")[0]) == (201, "F2")

    facts = lab.host("inv-a")["facts"]
    lab.ok("inv-b", REBUILD_STANDBY.format(replication_port=facts["replication_port"], standby_name="inv_b"))
    wait_until("b follows a", lambda: lab.ok("inv-a", STREAMING.format(standby_name="inv_b")) == "streaming")
    lab.ok("inv-a", CONFIRM_AGAIN)
    wait_until(
        "commits on a are confirmed by b",
        lambda: lab.ok("inv-a", "psql -XAtqc 'select sync_state from pg_stat_replication'") == "sync",
    )
    assert _issue(lab, "inv-a", "confirmed-again")[0] == 201
    assert _total(lab, "inv-b") == before + 2
    lab.traffic("/resume")
    lab.traffic("/pause")
    assert lab.traffic("/audit")["lost"] == 0
