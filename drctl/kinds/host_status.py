"""The kind `host.status`: how a machine is, in one look."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, ClassVar

from drctl.core.kind import Criterion, LookKind, Outputs
from drctl.core.nouns import dataclass
from drctl.core.ports import Command, Facts, Probe, Reach, Reply
from drctl.core.values import Duration, Map, Size, Unknown, Value
from drctl.kinds.commands import LOOK_LIMIT, complaint, lines_of, none, shown, unanswered, without_values

if TYPE_CHECKING:
    from collections.abc import Mapping

_SCRIPT = """\
{ read -r v <"${DRCTL_BOOT_ID_FILE:-/proc/sys/kernel/random/boot_id}" && echo "boot $v"; } 2>/dev/null || :
{ read -r v rest </proc/uptime && echo "uptime $v"; } 2>/dev/null || :
{ read -r v rest </proc/loadavg && echo "load $v"; } 2>/dev/null || :
awk '/^MemAvailable:/ {print "memory", $2}' /proc/meminfo 2>/dev/null || :
n=0; for p in /proc/[0-9]*; do n=$((n+1)); done; [ -d /proc/self ] && echo "processes $n" || :
LC_ALL=C df -Pk 2>/dev/null | awk 'NR > 1 && $2 > 0 {
  m = $6; for (i = 7; i <= NF; i++) m = m " " $i
  print "disk", $2, $4, m
}' || :
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostStatus(LookKind):
    """Asks a machine for its boot id, uptime, load, free memory, disks and number of processes.

    `load` is the one-minute average, `memory_free` what can be had without swapping, `disks` a list of
    `{mount size free}` for every mounted file system that has a size. `boot_id` changes with every boot: compare it to
    prove a restart. A figure that the machine does not give has no value; Linux gives all.
    """

    NAME: ClassVar[str] = "host.status"
    OUTPUTS: ClassVar[Mapping[str, str]] = {
        "boot_id": "text",
        "uptime": "duration",
        "load": "decimal",
        "memory_free": "size",
        "disks": "list",
        "processes": "int",
    }
    CRITERIA: ClassVar[tuple[Criterion, ...]] = (Criterion(text="known(boot_id)", fields=frozenset({"boot_id"})),)
    EXAMPLE: ClassVar[str] = """
- {id: standby, on: db-standby, do: host.status, expect: ["all(d in disks, d.free > 1GiB)", memory_free > 512MiB]}
"""

    def look(self, probe: Probe) -> Outputs:
        """Ask once."""
        reply = probe.shell.read(Command(script=_SCRIPT, timeout=probe.timeout))
        if reply.reach is not Reach.COMPLETE:
            return unanswered(HostStatus, reply)
        if reply.exit != 0:
            return without_values(HostStatus, complaint(reply))
        values = _values(reply)
        uptime, load = values["uptime"], values["load"]
        because = f"up {uptime.human()}, load {load}" if isinstance(uptime, Duration) else ""
        return Outputs(
            values=values, because=because, streams={"stdout": reply.stdout}, whole=reply.whole, host_key=reply.host_key
        )

    def describe(self, facts: Facts) -> str:  # noqa: ARG002 - the contract's parameter
        """The script."""
        return shown(Command(script=_SCRIPT, timeout=LOOK_LIMIT))


def _values(reply: Reply) -> dict[str, Value | Unknown]:
    said: dict[str, Value] = {}
    disks: list[Value] = []
    for name, text in lines_of(reply):
        try:
            match name:
                case "boot":
                    said["boot_id"] = text
                case "uptime":
                    said["uptime"] = Duration.parse(f"{text}s")
                case "load":
                    said["load"] = Decimal(text)
                case "memory":
                    said["memory_free"] = Size(int(text) * 1024)
                case "processes":
                    said["processes"] = int(text)
                case "disk":
                    size, free, mount = text.split(" ", 2)
                    disks.append(Map({"mount": mount, "size": Size(int(size) * 1024), "free": Size(int(free) * 1024)}))
        except (ValueError, ArithmeticError):
            continue  # a figure that cannot be read is one the machine did not give
    if disks:
        said["disks"] = tuple(disks)
    return {name: said.get(name, none(f"the machine gives no {name}")) for name in HostStatus.OUTPUTS}
