"""What happened, counted on the lab's hosts and services: never taken from the journal of the run that is judged."""

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.invariants import Claimed, claims_under
from tests.lab.running import RunningLab, wait_until

HOSTS = ("inv-a", "inv-b", "gw")


def claims(lab: RunningLab) -> list[Claimed]:
    """Every claim folder on every host."""
    return [claim for host in HOSTS for claim in claims_under(lab.home(host) / ".local/state/drctl", host)]


def owners(lab: RunningLab) -> dict[str, str]:
    """Which run holds which host."""
    files = {host: lab.home(host) / ".local/state/drctl/owner" for host in HOSTS}
    return {host: path.read_text().split()[1] for host, path in files.items() if path.exists()}


def commands_left(lab: RunningLab) -> list[str]:
    """Processes on the hosts that a claimed command left behind."""
    left = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            environ = (entry / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if any(one.startswith(b"DRCTL_CLAIM=") for one in environ) and any(
            str(lab.folder).encode() in one for one in environ
        ):
            left.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")[:120])
    return left


def messages(lab: RunningLab) -> list[dict[str, Any]]:
    """Everything that people were told."""
    status, found = lab.http(f"{lab.info.data['urls']['inbox']}/messages")
    assert status == 200
    return list(found)


def message_key(claim: str, channel: str) -> str:
    """The key a message of a step carries, as its receivers see it."""
    return hashlib.sha256(f"{claim}\n{channel}".encode()).hexdigest()[:32]


def power(lab: RunningLab) -> tuple[dict[str, str], list[str]]:
    """Which hosts are switched on, and every switching that was asked for."""
    url = str(lab.host("inv-a")["facts"]["power_url"])
    status, found = lab.http(url.rsplit("/", 1)[0] + "/")
    assert status == 200
    return dict(found["hosts"]), list(found["calls"])


def sql(lab: RunningLab, host: str, query: str) -> str:
    """Ask a host's database."""
    return lab.ok(host, f'psql -XAtqc "{query}"')


def audit(lab: RunningLab) -> dict[str, Any]:
    """What the users say of their invoices, once nobody waits for an answer any more."""
    wait_until("nobody waits any more", lambda: lab.traffic("/status", "GET")["waiting"] == 0)
    return lab.traffic("/audit")


@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """Who is what after a recovery.

    Attributes:
        power: of each host.
        databases: `primary N` or `standby N` with the timeline of each that answers.
        streaming: standbys that follow each primary.
        route: where the gateway sends the users.
        broken: databases kept aside.
    """

    power: Mapping[str, str]
    databases: Mapping[str, str]
    streaming: Mapping[str, str]
    route: str
    broken: int


_ROLE = (
    "SELECT CASE WHEN pg_is_in_recovery() THEN 'standby ' || (SELECT received_tli FROM pg_stat_wal_receiver) "
    "ELSE 'primary ' || ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int END"
)


def roles(lab: RunningLab) -> Roles:
    """Look at every host."""
    switches, _ = power(lab)
    up = [host for host in ("inv-a", "inv-b") if switches[host] == "on" and lab.status()["hosts"][host]["alive"]]
    databases = {host: sql(lab, host, _ROLE) for host in up}
    primaries = [host for host, role in databases.items() if role.startswith("primary")]
    following = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"
    return Roles(
        power=switches,
        databases=databases,
        streaming={host: sql(lab, host, following) for host in primaries},
        route=(lab.home("gw") / "nginx/routes/invoices.conf").read_text().strip(),
        broken=len(list(lab.home("inv-a").glob("pg/broken-*"))),
    )


def upstream(lab: RunningLab, host: str) -> str:
    """The line of the gateway that sends users to a host."""
    return f"server {lab.host(host)['facts']['upstream']};"


def twice(seen: Counter[Any]) -> list[str]:
    """What was counted more than once."""
    return [f"{what}: {times}" for what, times in seen.items() if times > 1]
