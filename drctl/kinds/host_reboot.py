"""The kind `host.reboot`: a machine restarts, and is seen to have done so by another boot id."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from drctl.core.kind import Change, CommandAct, Criterion, Outputs, Preview, Seen, Verdict
from drctl.core.nouns import dataclass
from drctl.core.outcomes import Effect
from drctl.core.ports import Act, Command, Facts, Probe, Reach, Reply
from drctl.core.values import Duration, Unknown, Value
from drctl.kinds.commands import ACT_LIMIT, complaint, lines_of, none, shown, streams

if TYPE_CHECKING:
    from collections.abc import Mapping

_BOOT = """\
read -r boot <"${DRCTL_BOOT_ID_FILE:-/proc/sys/kernel/random/boot_id}"
printf 'boot %s\\n' "$boot"
"""
# It ends before the machine goes down, so that its end is on the disk; the restart itself comes two seconds later.
_REBOOT = f"""\
{_BOOT}if command -v systemctl >/dev/null 2>&1; then how='systemctl reboot'; else how=reboot; fi
command -v "${{how%% *}}" >/dev/null 2>&1 || {{ echo "neither systemctl nor reboot is on this host" >&2; exit 127; }}
[ "$(id -u)" = 0 ] || [ -n "${{DRCTL_BOOT_ID_FILE:-}}" ] || {{ echo "only root restarts it: as: root" >&2; exit 77; }}
sync
setsid sh -c "sleep 2; $how" </dev/null >/dev/null 2>&1 &
"""
_LOOK = Duration(10_000_000)
_PAUSE = Duration(2_000_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class HostReboot(CommandAct):
    """Restarts a machine and waits until it answers with another boot id.

    The loss of the link is expected. Give `timeout` the time the machine may need (10 min if not given) and `as: root`.
    The step fails when the machine still runs the old boot, and when it does not come back in time; what is on its
    console then decides. `down` is the time from the order to the first answer of the new boot. What ran under drctl
    on the machine ends with it. A crash of drctl in between restarts nothing twice: the boot id that was there before
    stands in the record.
    """

    NAME: ClassVar[str] = "host.reboot"
    OUTPUTS: ClassVar[Mapping[str, str]] = {
        "exit": "int",
        "back": "bool",
        "boot_before": "text",
        "boot_id": "text",
        "down": "duration",
    }
    CRITERIA: ClassVar[tuple[Criterion, ...]] = (
        Criterion(text="exit == 0", fields=frozenset({"exit"})),
        Criterion(text="boot_id != boot_before", fields=frozenset({"back", "boot_id"})),
    )
    EFFECT: ClassVar[Effect | None] = Effect.ONCE
    NO_INVERSE: ClassVar[str] = "a machine that was restarted cannot be put back into the boot it was in"
    EXAMPLE: ClassVar[str] = """
- {id: restart_web, on: db-standby, as: root, do: host.reboot, timeout: 5m, marks: restarted}
"""

    def command(self, facts: Facts) -> Command:  # noqa: ARG002 - the contract's parameter
        """Order the restart, and end before it comes."""
        return Command(script=_REBOOT, timeout=ACT_LIMIT)

    def outputs(self, reply: Reply) -> Outputs:
        """What the order said; whether the machine came back is not known by it."""
        because = "" if reply.exit == 0 else complaint(reply)
        unknown = none(because or "not waited for")
        values: dict[str, Value | Unknown] = {
            "exit": none(complaint(reply)) if reply.exit is None else reply.exit,
            "back": unknown,
            "boot_before": _boot(reply) or none("the machine gave no boot id"),
            "boot_id": unknown,
            "down": unknown,
        }
        return Outputs(
            values=values, because=because, streams=streams(reply), whole=reply.whole, host_key=reply.host_key
        )

    def execute(self, act: Act) -> Outputs:
        """Order it under this unit's claim, then look until another boot answers or the limit passes."""
        clock, limit = act.probe.clock, act.probe.timeout
        began = clock.monotonic()
        ordered = CommandAct.execute(self, act)
        before = ordered.values["boot_before"]
        if ordered.values["exit"] != 0 or not isinstance(before, str):
            return ordered
        while True:
            spent = Duration(clock.monotonic().micros - began.micros)
            reply = _ask(act.probe)
            boot = _boot(reply)
            back = bool(boot) and boot != before
            if back or spent.micros + _PAUSE.micros >= limit.micros:
                break
            clock.sleep(_PAUSE)
        because = f"restarted: boot {boot}" if back else _not_back(before, boot, reply, limit)
        seen: dict[str, Value | Unknown] = {"back": back, "boot_id": boot or none(because)}
        seen["down"] = spent if back else none(because)
        return Outputs(
            values={**ordered.values, **seen},
            because=because,
            streams=ordered.streams,
            whole=ordered.whole,
            host_key=ordered.host_key,
        )

    def describe(self, facts: Facts) -> str:
        """The script."""
        return shown(self.command(facts))

    def preview(self, probe: Probe) -> Preview:
        """Note the boot that would end."""
        boot = _boot(reply := _ask(probe))
        if not boot:
            return Preview(change=Change.CANNOT_TELL, because=_silence(reply))
        return Preview(change=Change.WOULD_CHANGE, because=f"boot {boot} would end", prior={"boot_id": boot})

    def verify(self, probe: Probe) -> Verdict:  # noqa: ARG002 - the contract's parameter
        """Nothing can be told without the boot that was there before."""
        return Verdict(seen=Seen.UNKNOWN, because="the boot before is not known")

    def verify_since(self, probe: Probe, prior: Mapping[str, Value]) -> Verdict:
        """Compare the boot with the one in the record."""
        before = prior.get("boot_id")
        boot = _boot(reply := _ask(probe))
        if not boot or not isinstance(before, str):
            return Verdict(seen=Seen.UNKNOWN, because=_silence(reply) if not boot else "the boot before is not known")
        if boot != before:
            return Verdict(seen=Seen.DONE, because=f"boot {before} ended, boot {boot} runs")
        return Verdict(seen=Seen.NOT_DONE, because=f"still in boot {boot}")


def _ask(probe: Probe) -> Reply:
    limit = min(probe.timeout, _LOOK, key=lambda one: one.micros)
    return probe.shell.read(Command(script=_BOOT, timeout=limit))


def _boot(reply: Reply) -> str:
    if reply.reach is not Reach.COMPLETE or reply.exit != 0:
        return ""
    return dict(lines_of(reply)).get("boot", "")


def _silence(reply: Reply) -> str:
    return complaint(reply) if reply.reach is not Reach.COMPLETE or reply.exit != 0 else "the machine gave no boot id"


def _not_back(before: str, boot: str, reply: Reply, limit: Duration) -> str:
    if boot:
        return f"the restart was ordered {limit.human()} ago, and boot {before} still runs"
    return (
        f"the restart was ordered {limit.human()} ago, and the machine did not come back: {_silence(reply)}."
        f" Look at its console or power control"
    )
