"""One valid instance of every kind that is not carried out by the engine, by name: what the contract is tested on."""

from collections.abc import Mapping
from typing import Any

from drctl.core.kind import Kind
from drctl.core.scripts import ResolvedScript
from drctl.core.values import Map, Secret
from drctl.kinds import registry

TOKEN = Secret("t0ken-very-secret", name="env:TOKEN")

FIELDS: Mapping[str, Mapping[str, Any]] = {
    "archive.unpack": {"from": "base.tar.gz", "to": "data"},
    "backup.fetch": {"bucket": "backups", "key": "base", "version": "v1", "sha256": "a" * 64, "to": "base.tar.gz"},
    "backup.list": {"bucket": "backups", "name": "base/{time}/manifest.json", "manifest": True},
    "dns.check": {"name": "h.example", "server": "ns.example"},
    "file.put": {"path": "etc/maintenance.json", "text": "down for maintenance\n", "mode": "640"},
    "file.read": {"path": "release"},
    "host.reboot": {},
    "host.status": {},
    "http.check": {"url": "http://h.example/", "headers": {"x-key": TOKEN}, "bearer": TOKEN},
    "http.request": {"url": "http://h.example/", "method": "POST", "bearer": TOKEN, "body": TOKEN},
    "log.scan": {"path": "app.log", "patterns": {"error": "ERROR"}},
    "notify": {"to": ("oncall",), "text": "It is down."},
    "ping.check": {"host": "h.example"},
    "postgres.exec": {"sql": "ALTER ROLE app PASSWORD :'pw'", "args": {"pw": TOKEN}},
    "postgres.promote": {},
    "postgres.query": {"sql": "SELECT :'pw' AS x", "args": {"pw": TOKEN}},
    "postgres.set": {"setting": "synchronous_standby_names", "value": "standby-one"},
    "postgres.start": {"service": "postgresql@18-main"},
    "postgres.status": {},
    "records.compare": {"left": (Map({"n": 1}),), "right": (), "key": "n"},
    "service": {"name": "postgresql", "state": "stopped", "enabled": False},
    "shell": {"run": ResolvedScript("echo", {"DRCTL_1": TOKEN}), "env": {"TOKEN": TOKEN}, "stdin": TOKEN},
    "tcp.check": {"host": "h.example", "port": 5432},
    "traffic.switch": {"route": "routes/invoices.conf", "to": "127.0.0.1:8080"},
}


def sample(name: str) -> Kind:
    """A valid instance."""
    return registry()[name](**FIELDS[name])
