"""A lab looked at from outside, so that two looks show whether anything was changed in between."""

import xml.etree.ElementTree as ET
from typing import Any

from drctl.lab.s3client import S3Client
from tests.e2e import evidence
from tests.lab.running import RunningLab

# What a lab writes by itself while nobody asks anything of it: logs, sockets, the database's own files.
_LIVES = ("log", "run", "pg", "nginx/logs", "nginx/tmp")


def files(lab: RunningLab) -> dict[str, tuple[int, int]]:
    """Every file and folder of every host with its size and time of change, without what lives by itself."""
    found = {}
    for host in evidence.HOSTS:
        home = lab.home(host)
        for path in sorted(home.rglob("*")):
            name = str(path.relative_to(home))
            if not any(name == one or name.startswith(f"{one}/") for one in _LIVES):
                facts = path.stat()
                found[f"{host}:{name}"] = (facts.st_size, facts.st_mtime_ns)
    return found


def tables(lab: RunningLab, host: str) -> dict[str, str]:
    """A digest of every table, with the transaction that wrote each row; the heartbeat beats whatever happens."""
    query = (
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' "
        "AND table_type = 'BASE TABLE' AND table_name <> 'heartbeat' ORDER BY 1"
    )
    digest = "SELECT coalesce(md5(string_agg(t.xmin::text || t::text, ',' ORDER BY t::text)), '') FROM public.{} t"
    return {name: evidence.sql(lab, host, digest.format(name)) for name in evidence.sql(lab, host, query).split()}


def settings(lab: RunningLab, host: str) -> str:
    """A database's settings, start, role, timeline, standbys and slots, as one text."""
    return evidence.sql(
        lab,
        host,
        "SELECT (SELECT md5(string_agg(name || setting, ',' ORDER BY name)) FROM pg_settings "
        "WHERE source NOT IN ('client', 'environment variable', 'session')), pg_postmaster_start_time(), "
        "pg_is_in_recovery(), (SELECT timeline_id FROM pg_control_checkpoint()), "
        "(SELECT count(*) FROM pg_stat_replication), (SELECT string_agg(slot_name, ',') FROM pg_replication_slots)",
    )


def objects(lab: RunningLab) -> list[str]:
    """Every version of every object in the bucket; segments of the log come by themselves."""
    _, body = S3Client(**lab.info.data["s3"]).request("GET", "", query={"versions": ""})
    entries = [{field.tag.rpartition("}")[2]: field.text or "" for field in entry} for entry in ET.fromstring(body)]  # noqa: S314 - our own server
    found = [f"{entry['Key']} {entry['VersionId']}" for entry in entries if "VersionId" in entry]
    assert any(name.startswith("base/") for name in found)
    return sorted(name for name in found if not name.startswith("wal/"))


def world(lab: RunningLab) -> dict[str, Any]:
    """Everything that a careless look could have changed, with the users standing still."""
    status = lab.status()["hosts"]
    databases = [host for host in ("inv-a", "inv-b") if status[host]["alive"]]
    return {
        "claims": evidence.claims(lab),
        "owners": evidence.owners(lab),
        "files": files(lab),
        "units": {host: facts["units"] for host, facts in status.items()},
        "tables": {host: tables(lab, host) for host in databases},
        "settings": {host: settings(lab, host) for host in databases},
        "objects": objects(lab),
        "route": (lab.home("gw") / "nginx/routes/invoices.conf").read_text(),
        "power": evidence.power(lab),
        "messages": evidence.messages(lab),
        "tax": lab.http(f"{lab.info.data['urls']['tax']}/totals"),
        "left": evidence.commands_left(lab),
    }
