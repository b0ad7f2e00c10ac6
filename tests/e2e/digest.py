"""The state of a lab, piece by piece, taken from outside: two of these tell what a run changed and did not undo.

Left out is what changes by itself (logs, sockets, process ids, the data files of databases in use, archived log
segments) and the folder in which claims lie on a host, which is drctl's own and is judged apart.
"""

import hashlib
import http.client
import json
import urllib.error
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from drctl.lab.s3client import S3Client
from tests.e2e import evidence
from tests.lab.running import RunningLab

DATABASES = ("inv-a", "inv-b")
NOT_KNOWN = "cannot be asked"
_VOLATILE = ("log/", "run/", ".local/", "nginx/logs/", "nginx/nginx.pid", "nginx/tmp/", "etc/boot-id")
_TEMPORARY = "_temp/"
_CONFIGURATION = ("postgresql.auto.conf", "standby.signal", "recovery.signal", "PG_VERSION")
_NO_ANSWER = (OSError, urllib.error.URLError, http.client.HTTPException, ValueError)

_DATABASE = """
SELECT json_build_object(
  'role', CASE WHEN pg_is_in_recovery() THEN 'standby'
    ELSE 'primary ' || ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int END,
  'follows', coalesce((SELECT string_agg(status, ' ') FROM pg_stat_wal_receiver), 'nobody'),
  'databases', (SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database),
  'slots', (SELECT string_agg(slot_name, ' ' ORDER BY slot_name) FROM pg_replication_slots),
  'synthetic', (SELECT count(*) FROM invoices WHERE number ~ '^S'),
  'settings', (SELECT json_object_agg(name, setting) FROM pg_settings WHERE source = 'configuration file'))
"""


def taken(lab: RunningLab) -> dict[str, str]:
    """The digest: a value for each piece. A piece that is not there has no key."""
    found: dict[str, str] = {}
    status = lab.status()
    switches, _ = evidence.power(lab)
    for host in evidence.HOSTS:
        seen = status["hosts"][host]
        found[f"power {host}"] = switches[host]
        found[f"alive {host}"] = str(seen["alive"])
        for unit, said in seen["units"].items() if seen["alive"] else ():
            found[f"unit {host} {unit}"] = f"{said['ActiveState']} {said['UnitFileState']}"
        for path, digest in files(lab.home(host)):
            found[f"file {host} {path}"] = digest
    for host in DATABASES:
        found |= _database(lab, host) if status["hosts"][host]["alive"] else {}
        config = json.loads((lab.home(host) / "etc/invoices.json").read_text())
        found[f"release {host}"] = str(config.get("release"))
    if (lab.home("inv-a") / "pg/restore/postmaster.pid").exists():
        found["beside inv-a"] = "runs"
    found["route gw"] = (lab.home("gw") / "nginx/routes/invoices.conf").read_text().strip()
    found["messages"] = str(len(evidence.messages(lab)))
    found |= {f"object {key}": "there" for key in _objects(lab)}
    return found | _service(lab)


def files(home: Path) -> Iterator[tuple[str, str]]:
    """Files and folders of a host with what is in them; of a database's folder that it is there, and how it is set."""
    for entry in sorted(home.rglob("*")):
        path = entry.relative_to(home).as_posix()
        if f"{path}/".startswith(_VOLATILE) or _TEMPORARY in f"{path}/":
            continue
        parts = path.split("/")
        if parts[0] == "pg" and len(parts) > 2 and not (len(parts) == 3 and parts[2] in _CONFIGURATION):
            continue
        try:
            if entry.is_file():
                yield path, hashlib.sha256(entry.read_bytes()).hexdigest()[:16]
            elif entry.is_dir():
                yield f"{path}/", "there"
        except FileNotFoundError:
            continue  # it was just being written, by what the lab does by itself


def _database(lab: RunningLab, host: str) -> dict[str, str]:
    done = lab.run(host, f'psql -XAtqc "{_DATABASE}"')
    if done.code != 0:
        return {f"database {host}": NOT_KNOWN}
    seen = json.loads(done.out)
    settings = {f"setting {host} {name}": str(value) for name, value in seen.pop("settings").items()}
    return {f"{name} {host}": str(value) for name, value in seen.items()} | settings


def _objects(lab: RunningLab) -> list[str]:
    said = lab.info.data["s3"]
    names = ("endpoint", "bucket", "access_key", "secret_key", "region")
    keys = S3Client(**{name: said[name] for name in names}).keys("")
    return [key for key in keys if not key.startswith("wal/")]


def _service(lab: RunningLab) -> dict[str, str]:
    """What users have: whether the service writes, and which of their invoices it lost."""
    try:
        status, health = lab.http(f"{lab.info.data['urls']['gateway']}/healthz")
    except _NO_ANSWER:
        status, health = 0, None
    writes = status == http.client.OK and bool(health and health.get("writable"))
    if not writes:
        return {"service": "down"}
    said = lab.traffic("/audit") or {}
    return {"service": "up", **{f"invoices {name}": str(said[name]) for name in ("lost", "altered") if name in said}}


def differences(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, str]:
    """What is not as it was: the piece, with both values.

    Users change altered invoices themselves, so that fewer of them is no difference; and what could not be asked once
    is compared by the pieces that say why.
    """
    found = {}
    for piece in sorted({*before, *after}):
        old, new = before.get(piece, "none"), after.get(piece, "none")
        if old == new or (piece.startswith("invoices ") and "none" in (old, new)):
            continue
        if piece == "invoices altered" and int(new) < int(old):
            continue
        found[piece] = f"{old} -> {new}"
    return found


def shown(found: Mapping[str, Any]) -> str:
    """Differences in one line."""
    return "; ".join(f"{piece}: {values}" for piece, values in found.items())
