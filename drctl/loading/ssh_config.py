"""The part of `~/.ssh/config` that an inventory may lean on: addresses and jumps, where it gives no address itself.

HostName, Port, User and ProxyJump of `Host` blocks, the first value found, as OpenSSH has it. `Match` blocks (but
`Match all`) and `Include` are passed over: what they would say depends on more than a text. Keys, agents and options
are never taken from there.
"""

from __future__ import annotations

import re
from typing import Final

from drctl.core.hostnames import matches
from drctl.core.nouns import dataclass

NAME: Final = "~/.ssh/config"
"""What the loader asks its `read` for, in the inventory's folder; whoever reads knows whose home that is."""

_LINE = re.compile(r"\s*([A-Za-z]+)(?:\s*=\s*|\s+)(.*?)\s*")
_TAKEN: Final = {"hostname": "HostName", "port": "Port", "user": "User", "proxyjump": "ProxyJump"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """How a host is reached: `jumps` are names as they stand there, the first one first; a port of 0 is not given."""

    address: str
    port: int = 0
    user: str = ""
    jumps: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Write it for people."""
        by = f"{self.user}@" if self.user else ""
        at = f" port {self.port}" if self.port else ""
        return f"{by}{self.address}{at}" + (f" via {', '.join(self.jumps)}" if self.jumps else "")

    def block(self, name: str) -> str:
        """The lines that say the same of this host alone: what is kept with a run is no more than it used."""
        values = {"HostName": self.address, "Port": self.port, "User": self.user, "ProxyJump": ",".join(self.jumps)}
        lines = [f"Host {name}", *(f"  {key} {value}" for key, value in values.items() if value)]
        return "\n".join([*lines, ""])


class SshConfig:
    """One file."""

    def __init__(self, text: str) -> None:
        self._blocks: list[tuple[tuple[str, ...], dict[str, str]]] = [(("*",), {})]
        for line in text.splitlines():
            found = _LINE.fullmatch(line)
            if found is not None and not line.lstrip().startswith("#"):
                self._take(found[1].lower(), found[2])

    def of(self, name: str) -> Reached | None:
        """How a host of this name is reached; None when no HostName is given for it.

        Raises:
            ValueError: a value that cannot be understood.
        """
        values: dict[str, str] = {}
        for patterns, block in self._blocks:
            fits = [one for one in patterns if matches(one.removeprefix("!"), name)]
            if fits and not any(one.startswith("!") for one in fits):
                values = {**block, **values}
        if "hostname" not in values:
            return None
        address = values["hostname"].replace("%h", name).replace("%%", "%")
        port, jump = values.get("port", "0"), values.get("proxyjump", "none")
        if "%" in address or not port.isdecimal() or int(port) > 65535:  # noqa: PLR2004 - the last port
            raise ValueError(f"HostName {address} or Port {port} cannot be understood")
        jumps = () if jump.lower() == "none" else tuple(part.strip() for part in jump.split(","))
        return Reached(address=address, port=int(port), user=values.get("user", ""), jumps=jumps)

    def _take(self, key: str, value: str) -> None:
        value = value.strip('"')
        if key == "host":
            self._blocks.append((tuple(part.strip('"') for part in value.split()), {}))
        elif key == "match":
            self._blocks.append((("*",) if value.lower() == "all" else (), {}))
        elif key in _TAKEN:
            self._blocks[-1][1].setdefault(key, value)


def jump_name(written: str) -> str:
    """The host in `user@host:port`; the rest of it is the inventory's business."""
    host = written.rpartition("@")[2].removeprefix("ssh://")
    return host.partition("]")[0].removeprefix("[") if host.startswith("[") else host.partition(":")[0]
