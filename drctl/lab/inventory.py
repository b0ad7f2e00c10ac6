"""The inventory by which drctl sees the lab. Text only; `supervisor` gathers what it says and writes it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from drctl.lab import postgres, world

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_LINE = 110


def inventory_text(data: Mapping[str, Any], folder: Path) -> str:
    """Give the inventory as YAML.

    Args:
        data: the lab's description as in `lab.json`.
        folder: the lab's folder, for the secrets that lie in files there.
    """
    head = (
        "# The embedded lab's inventory, written when the lab started; it is gone when the lab ends.\n"
        f"# Folder: {folder}\n"
    )
    return head + _yaml(_inventory(data, folder))


def _inventory(data: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    urls = data["urls"]
    hook = {"type": "webhook", "url": f"{urls['inbox']}/hook/oncall"}
    mail = {
        "type": "smtp",
        "host": "127.0.0.1",
        "port": data["smtp"]["port"],
        "from": "drctl@lab.example",
        "to": ["oncall@lab.example"],
    }
    return {
        "inventory": "lab",
        "environment": "lab",
        "zone": "Asia/Shanghai",
        "sites": {
            "a": {"title": "Site A, in use", "facts": {"gateway_url": urls["gateway"], "tax_url": urls["tax"]}},
            "b": {"title": "Site B, stands by", "facts": {"gateway_url": urls["gateway"], "tax_url": urls["tax"]}},
        },
        "hosts": {name: _host(data, name) for name in data["hosts"]},
        "databases": {
            postgres.DATABASE: {
                "port": 5432,
                "name": postgres.DATABASE,
                "user": postgres.SUPERUSER,
                "password": {"file": str(folder / "keys" / "postgres")},
            }
        },
        "buckets": {
            "backups": {
                "bucket": data["s3"]["bucket"],
                "endpoint": urls["s3"],
                "region": data["s3"]["region"],
                "keys": {"file": str(folder / "keys" / "s3")},
            }
        },
        "channels": {"oncall": hook, "mail": mail} if urls["inbox"] else {},
        "people": {
            person: {"name": name, "logins": [person], "simulated": True}
            for person, (name, _roles) in world.PEOPLE.items()
        },
        "roles": _roles(),
    }


def _host(data: Mapping[str, Any], name: str) -> dict[str, Any]:
    host = data["hosts"][name]
    return {
        "address": host["address"],
        "port": host["port"],
        "site": host["site"],
        "role": host["role"],
        "facts": host["facts"],
        "login": {"user": host["user"], "key": host["key"], "agent": False},
        "become": {"by": "sudo"},
        "host_key": host["host_key"],
        "identity": {"file": {"path": f"{host['folder']}/etc/machine-id", "text": host["machine_id"]}},
    }


def _roles() -> dict[str, list[str]]:
    roles: dict[str, list[str]] = {}
    for person, (_name, held) in world.PEOPLE.items():
        for role in held:
            roles.setdefault(role, []).append(person)
    return roles


def _yaml(value: Mapping[str, Any], indent: str = "") -> str:
    """Write nested mappings as block YAML, everything that fits a line as JSON, which YAML 1.2 reads as it stands."""
    text = ""
    for key, member in value.items():
        flow = json.dumps(member, ensure_ascii=False)
        nested = isinstance(member, dict) and member and (len(indent) + len(key) + len(flow) > _LINE or not indent)
        text += f"{indent}{key}:\n{_yaml(member, indent + '  ')}" if nested else f"{indent}{key}: {flow}\n"
    return text
