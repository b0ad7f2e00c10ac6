"""What the lab consists of: which hosts, what runs on them, which wires lead to them. Nothing here starts anything."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drctl.lab import postgres

USER = "ops"
BUCKET = "invoice-backups"
RELEASE = "2.0.3"
BAD_RELEASE = "2.1.0-bad"
TRAFFIC_PER_SECOND = 20
PRIMARY, STANDBY, GATEWAY = "inv-a", "inv-b", "gw"
PEOPLE = {"li": ("Li Na", ("commander",)), "wang": ("Wang Wei", ("commander", "deputy"))}

_HOST_COMMANDS = ("systemctl", "deploy", "wal-push", "wal-fetch", "wal-push-now", "base-backup", "base-fetch")
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# Passes its command through: a lab host has one user. It takes what real sudo takes, and like real sudo with NOPASSWD
# it leaves stdin alone, also with -S.
_SUDO = """#!/bin/sh
while [ $# -gt 0 ]; do
  case $1 in
    --) shift; break ;;
    -u|-g|-p|-h|-U|-C|-D|-R|-T|--user|--group|--prompt|--host|--chdir) shift; [ $# -gt 0 ] && shift ;;
    -v|-k|-K|-l|--validate|--list|--reset-timestamp|--remove-timestamp) shift; [ $# -eq 0 ] && exit 0 ;;
    -i|-s|--login|--shell) shift; [ $# -eq 0 ] && exec /bin/sh ;;
    -*) shift ;;
    [A-Za-z_]*=*) export "$1"; shift ;;
    *) break ;;
  esac
done
[ $# -gt 0 ] || { echo "usage: sudo [-n] [-u user] command" >&2; exit 1; }
exec "$@"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPlan:
    """A host as the lab plans it."""

    name: str
    site: str
    role: str
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgePlan:
    """A wire: its name, the host whose power it follows, and the socket in that host's folder it leads to.

    An edge without a socket leads to one of the lab's own services and learns its port when that has started.
    """

    name: str
    owner: str = ""
    socket: str = ""


HOSTS = (
    HostPlan(name=PRIMARY, site="a", role="primary", title="invoice service and primary database"),
    HostPlan(name=STANDBY, site="b", role="standby", title="invoice service and standby database"),
    HostPlan(name=GATEWAY, site="a", role="gateway", title="reverse proxy the users reach"),
)
DATABASE_HOSTS = (PRIMARY, STANDBY)

_PG_SOCKET = "run/pg/.s.PGSQL.5432"
EDGES = (
    *(EdgePlan(name=f"ssh:{host.name}", owner=host.name, socket="run/ssh.sock") for host in HOSTS),
    *(EdgePlan(name=f"app:{name}", owner=name, socket="run/invoices.sock") for name in DATABASE_HOSTS),
    *(EdgePlan(name=f"pg:{name}", owner=name, socket=_PG_SOCKET) for name in DATABASE_HOSTS),
    # The line between the sites: what follows NAME's server comes through repl:NAME.
    *(EdgePlan(name=f"repl:{name}", owner=name, socket=_PG_SOCKET) for name in DATABASE_HOSTS),
    EdgePlan(name="gw:http", owner=GATEWAY, socket="run/http.sock"),
    # A host's own line to a service outside, so that one site can lose it while the other keeps it.
    *(EdgePlan(name=f"{service}:{name}") for service in ("s3", "tax") for name in DATABASE_HOSTS),
    EdgePlan(name="s3"),
    EdgePlan(name="tax"),
)


def host_environment(home: Path, name: str, boot_id: str) -> dict[str, str]:
    """Give the whole environment of services and commands on a host."""
    env = {
        "HOME": str(home),
        "USER": USER,
        "LOGNAME": USER,
        "SHELL": "/bin/sh",
        "LANG": "C.UTF-8",
        "HOSTNAME": name,
        "PATH": f"{home / 'bin'}:{postgres.programs()}:{_SYSTEM_PATH}",
        "TMPDIR": str(home / "tmp"),
        "XDG_RUNTIME_DIR": str(home / "run" / "user"),
        # All lab hosts share this machine's kernel; who asks for a boot id or a machine id is to look here.
        "DRCTL_LAB_HOST": name,
        "DRCTL_LAB_BOOT_ID": boot_id,
        "DRCTL_BOOT_ID_FILE": str(home / "etc" / "boot-id"),
        "DRCTL_MACHINE_ID_FILE": str(home / "etc" / "machine-id"),
    }
    if name in DATABASE_HOSTS:
        env |= postgres.environment(home)
    return env


def service_environment() -> dict[str, str]:
    """Give what a Python program of the lab needs to find this package, wherever it was started from."""
    here = str(Path(__file__).resolve().parents[2])
    return {"PYTHONPATH": os.pathsep.join(p for p in (here, os.environ.get("PYTHONPATH", "")) if p)}


def units(home: Path, name: str) -> dict[str, dict[str, Any]]:
    """Give the services of a host, in the order they start."""
    if name == GATEWAY:
        return {
            "nginx": {
                "description": "reverse proxy",
                "argv": [str(home / "bin" / "nginx")],
                "ready": f"socket:{home / 'run' / 'http.sock'}",
                "stop_signal": "SIGTERM",
                "reload_signal": "SIGHUP",
            }
        }
    env = service_environment()
    return {
        "postgresql": postgres.unit(home, postgres.programs()),
        "wal-shipper": {
            "description": "ships WAL and base backups to the object store",
            "argv": [sys.executable, "-m", "drctl.lab.shipper", str(home / "etc" / "shipper.json")],
            "ready": f"socket:{home / 'run' / 'shipper.sock'}",
            "env": env,
        },
        "invoices": {
            "description": "invoice service",
            "argv": [sys.executable, "-m", "drctl.lab.invoices", str(home / "etc" / "invoices.json")],
            "ready": f"file:{home / 'run' / 'invoices.ready'}",
            "env": env,
        },
    }


def write_commands(home: Path, name: str) -> None:
    """Put the host's own commands into its `bin`."""
    program = Path(__file__).with_name("hostcommand.py")
    commands = {"sudo": _SUDO, "hostname": f"#!/bin/sh\necho {name}\n"}
    commands |= {
        command: f'#!/bin/sh\nexec "{sys.executable}" -I -S "{program}" "{home}" {command} "$@"\n'
        for command in _HOST_COMMANDS
        if command == "systemctl" or name in DATABASE_HOSTS
    }
    folder = home / "bin"
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    for command, text in commands.items():
        path = folder / command
        path.write_text(text)
        path.chmod(0o755)
