"""The kind `service`: the state of a systemd unit."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from drctl.core.kind import ActKind, Change, CommandAct, Criterion, FieldError, Outputs, Preview, Seen, Verdict, arg
from drctl.core.nouns import dataclass
from drctl.core.outcomes import Effect
from drctl.core.ports import Command, Facts, Probe, Reach, Reply
from drctl.core.values import Unknown, Value
from drctl.kinds.commands import ACT_LIMIT, complaint, lines_of, none, shown, streams

if TYPE_CHECKING:
    from collections.abc import Mapping

_ACTIVE = {"active": True, "reloading": True, "inactive": False, "failed": False}
_ENABLED = {"enabled": True, "alias": True, "disabled": False, "masked": False, "enabled-runtime": False}

_STATE = """\
a=$(systemctl is-active "$UNIT" 2>/dev/null) || :
e=$(systemctl is-enabled "$UNIT" 2>/dev/null) || :
printf 'active %s\\nenabled %s\\n' "${a:-unknown}" "${e:-unknown}"
"""
_LOOK = f"""\
command -v systemctl >/dev/null 2>&1 || {{ echo "systemctl is not on this host" >&2; exit 127; }}
{_STATE}"""
_CHANGE = f"""\
rc=0
systemctl "$VERB" "$UNIT" || rc=$?
if [ -n "$ENABLING" ]; then systemctl "$ENABLING" "$UNIT" || rc=$?; fi
{_STATE}exit "$rc"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service(CommandAct):
    """Starts, stops or restarts a systemd unit, and says whether it starts at boot.

    Stopping a fenced machine's database is worth little if a reboot brings it back: give `enabled: false` with
    `state: stopped`. Both are tried even if one fails, and the step fails if either did. The unit of an ordinary
    service needs `as: root`. That a `restarted` unit really was restarted is known from the command's own end;
    a later look can only see that it runs.

    The inverse puts state and enablement back as they were found.
    """

    NAME: ClassVar[str] = "service"
    OUTPUTS: ClassVar[Mapping[str, str]] = {"exit": "int", "active": "bool", "enabled": "bool"}
    CRITERIA: ClassVar[tuple[Criterion, ...]] = (Criterion(text="exit == 0", fields=frozenset({"exit"})),)
    EFFECT: ClassVar[Effect | None] = Effect.IDEMPOTENT
    EXAMPLE: ClassVar[str] = """
- {id: stop_db, on: db-primary, as: root, do: service, with: {name: postgresql, state: stopped, enabled: false}}
- {id: web, on: db-standby, do: service, with: {name: invoices, state: restarted}, expect: active}
"""

    name: str = arg(type="text", doc="The unit.")
    state: str = arg(
        type="text", doc="What it is to be.", default="started", choices=("started", "stopped", "restarted")
    )
    enabled: bool | None = arg(type="bool", doc="Whether it starts at boot; left alone if not given.", default=None)

    def __post_init__(self) -> None:
        if not self.name or self.name.startswith("-") or any(c.isspace() or c in "/\0" for c in self.name):
            raise FieldError("name", f"{self.name!r} is not the name of a unit")

    def command(self, facts: Facts) -> Command:  # noqa: ARG002 - the contract's parameter
        """Change state, then enablement, then print both."""
        verbs = {"started": "start", "stopped": "stop", "restarted": "restart"}
        enabling = "" if self.enabled is None else "enable" if self.enabled else "disable"
        env = {"UNIT": self.name, "VERB": verbs[self.state], "ENABLING": enabling}
        return Command(script=_CHANGE, env=env, timeout=ACT_LIMIT)

    def outputs(self, reply: Reply) -> Outputs:
        """What the unit was after the change."""
        active, enabled = _read(reply)
        exit_code = none(complaint(reply)) if reply.exit is None else reply.exit
        return Outputs(
            values={"exit": exit_code, "active": active, "enabled": enabled},
            because=_words(self.name, reply) if reply.exit == 0 else complaint(reply),
            streams=streams(reply),
            whole=reply.whole,
            host_key=reply.host_key,
        )

    def describe(self, facts: Facts) -> str:
        """The script with the unit's name."""
        return shown(self.command(facts))

    def preview(self, probe: Probe) -> Preview:
        """Compare what is wanted with what systemd says."""
        reply = self._ask(probe)
        active, enabled = _read(reply)
        if reply.reach is not Reach.COMPLETE or reply.exit != 0 or isinstance(active, Unknown):
            because = complaint(reply) if reply.exit != 0 else f"{self.name}: {active}"
            return Preview(change=Change.CANNOT_TELL, because=because)
        prior: dict[str, Value] = {"active": active}
        if not isinstance(enabled, Unknown):
            prior["enabled"] = enabled
        if self.enabled is not None and isinstance(enabled, Unknown):
            return Preview(change=Change.CANNOT_TELL, because=f"{self.name}: {enabled}", prior=prior)
        same = self.state != "restarted" and self._as_wanted(active=active, enabled=enabled)
        return Preview(
            change=Change.NO_CHANGE if same else Change.WOULD_CHANGE, because=_words(self.name, reply), prior=prior
        )

    def verify(self, probe: Probe) -> Verdict:
        """Ask systemd whether the unit is as wanted."""
        reply = self._ask(probe)
        active, enabled = _read(reply)
        if reply.reach is not Reach.COMPLETE or reply.exit != 0:
            return Verdict(seen=Seen.UNKNOWN, because=complaint(reply))
        if isinstance(active, Unknown) or (self.enabled is not None and isinstance(enabled, Unknown)):
            return Verdict(seen=Seen.UNKNOWN, because=_words(self.name, reply))
        done = self._as_wanted(active=active, enabled=enabled)
        return Verdict(seen=Seen.DONE if done else Seen.NOT_DONE, because=_words(self.name, reply))

    def inverse(self, prior: Mapping[str, Value]) -> ActKind | None:
        """Put back what was found; None when nothing was."""
        active, enabled = prior.get("active"), prior.get("enabled")
        if not isinstance(active, bool):
            return None
        return Service(
            name=self.name,
            state="started" if active else "stopped",
            enabled=enabled if isinstance(enabled, bool) and self.enabled is not None else None,
        )

    def _ask(self, probe: Probe) -> Reply:
        return probe.shell.read(Command(script=_LOOK, env={"UNIT": self.name}, timeout=probe.timeout))

    def _as_wanted(self, *, active: bool | Unknown, enabled: bool | Unknown) -> bool:
        return active is (self.state != "stopped") and (self.enabled is None or enabled is self.enabled)


def _read(reply: Reply) -> tuple[bool | Unknown, bool | Unknown]:
    """Whether the unit is active and enabled; a word that is neither yes nor no is no value."""
    words = dict(lines_of(reply))
    active, enabled = words.get("active", "unknown"), words.get("enabled", "unknown")
    return (
        _ACTIVE.get(active, none(f"systemd says {active!r}")),
        _ENABLED.get(enabled, none(f"systemd says {enabled!r}")),
    )


def _words(name: str, reply: Reply) -> str:
    words = dict(lines_of(reply))
    return f"{name} is {words.get('active', 'unknown')}, {words.get('enabled', 'unknown')}"
