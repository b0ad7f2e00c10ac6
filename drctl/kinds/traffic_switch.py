"""The kind `traffic.switch`: points a reverse proxy's route at another server."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar

from drctl.core.kind import ActKind, Change, CommandAct, Criterion, FieldError, Outputs, Preview, Seen, Verdict, arg
from drctl.core.nouns import dataclass
from drctl.core.outcomes import Effect
from drctl.core.ports import Command, Facts, Probe, Reach, Reply
from drctl.kinds.commands import ACT_LIMIT, complaint, lines_of, none, shown, streams

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drctl.core.values import Value

_TARGET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/\[\]-]*|\[[0-9A-Fa-f:]+\](:[0-9]+)?|/[A-Za-z0-9._/-]+")

_START = """\
real=$ROUTE
if [ -L "$ROUTE" ]; then real=$(readlink -f "$ROUTE"); fi
"""
# The old file stays beside the new one until the reload is over: where it is found, a switch did not end.
_SWITCH = """\
[ -f "$real" ] || { printf '%s is not there\\n' "$ROUTE" >&2; exit 3; }
[ -f "$real.drctl-old" ] || cp -p "$real" "$real.drctl-old"
printf 'from %s\\n' "$(head -n 1 "$real.drctl-old")"
cp -p "$real" "$real.drctl-new"
printf '%s\\n' "$LINE" >"$real.drctl-new"
mv -f "$real.drctl-new" "$real"
back() { mv -f "$real.drctl-old" "$real"; }
if run_test; then :; else
  rc=$?; back
  echo "the test of the configuration failed ($rc); the old route is back" >&2; exit 5
fi
if run_reload; then :; else
  rc=$?; back; run_reload || :
  echo "the reload failed ($rc); the old route is back" >&2; exit 6
fi
rm -f "$real.drctl-old"
"""
_LOOK = """\
[ -f "$real" ] || { echo absent; exit 0; }
if [ -f "$real.drctl-old" ]; then echo unfinished; fi
printf 'lines %s\\n' "$(wc -l <"$real")"
printf 'line %s\\n' "$(head -n 1 "$real")"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficSwitch(CommandAct):
    """Rewrites the one-line file that names a proxy's upstream server, tests the configuration, and reloads.

    The file is replaced by a rename. When the test or the reload fails, the old file is put back, so the proxy goes on
    as it was, and the step fails. `to` may be an address with port, or `unix:` and a path; it takes the place of `{to}`
    in `template`. The inverse points the route back to what it named before.
    """

    NAME: ClassVar[str] = "traffic.switch"
    OUTPUTS: ClassVar[Mapping[str, str]] = {"exit": "int", "from": "text", "to": "text"}
    CRITERIA: ClassVar[tuple[Criterion, ...]] = (Criterion(text="exit == 0", fields=frozenset({"exit"})),)
    EFFECT: ClassVar[Effect | None] = Effect.IDEMPOTENT
    EXAMPLE: ClassVar[str] = """
- id: switch
  on: gateway
  do: traffic.switch
  with: {route: /etc/nginx/routes/invoices.conf, to: "10.0.2.5:8080"}
  marks: traffic_switched
"""

    route: str = arg(type="text", doc="The file; a relative path starts in the home folder.")
    to: str = arg(type="text", doc="The server traffic goes to.")
    template: str = arg(type="text", doc="The file's one line.", default="server {to};")
    test: tuple[str, ...] = arg(type="argv", doc="Tests the configuration.", default=("nginx", "-t"))
    reload: tuple[str, ...] = arg(type="argv", doc="Makes the proxy read it.", default=("nginx", "-s", "reload"))

    def __post_init__(self) -> None:
        if not _TARGET.fullmatch(self.to):
            raise FieldError("to", f"{self.to!r} is not a server", "write HOST:PORT, or unix:/PATH")
        if self.template.count("{to}") != 1 or "\n" in self.template:
            raise FieldError("template", "a template is one line that holds {to} once")
        if not self.route or "\0" in self.route or self.route.endswith("/"):
            raise FieldError("route", "this is not the path of a file")
        if not self.test or not self.reload:
            raise FieldError(
                "test" if not self.test else "reload", "a command needs a program", "write [true] for none"
            )

    def command(self, facts: Facts) -> Command:  # noqa: ARG002 - the contract's parameter
        """Replace the line, test, reload; put the old file back when either fails."""
        env = {**self._place(), "LINE": self._line()}
        functions = []
        for name, words in (("test", self.test), ("reload", self.reload)):
            names = [f"{name.upper()}_{index}" for index in range(len(words))]
            env.update(zip(names, words, strict=True))
            call = " ".join(f'"${word}"' for word in names)
            functions.append(f"run_{name}() {{ {call} >&2; }}\n")
        return Command(script="".join([*functions, _START, _SWITCH]), env=env, timeout=ACT_LIMIT)

    def outputs(self, reply: Reply) -> Outputs:
        """Where traffic went before, and where it goes now."""
        old = self._target(dict(lines_of(reply)).get("from", ""))
        missing = none(complaint(reply))
        return Outputs(
            values={
                "exit": missing if reply.exit is None else reply.exit,
                "from": old if old is not None else none("the old line does not fit the template"),
                "to": self.to if reply.exit == 0 else missing,
            },
            because=f"{self.route} names {self.to}" if reply.exit == 0 else complaint(reply),
            streams=streams(reply),
            whole=reply.whole,
            host_key=reply.host_key,
        )

    def describe(self, facts: Facts) -> str:
        """File, line and script."""
        return shown(self.command(facts))

    def preview(self, probe: Probe) -> Preview:
        """Read the route."""
        seen, because, present = self._found(probe)
        prior: dict[str, Value] = {} if present is None else {"to": present}
        if seen is Seen.UNKNOWN:
            return Preview(change=Change.CANNOT_TELL, because=because, prior=prior)
        return Preview(
            change=Change.NO_CHANGE if seen is Seen.DONE else Change.WOULD_CHANGE, because=because, prior=prior
        )

    def verify(self, probe: Probe) -> Verdict:
        """Done when the file names the server and the reload was over."""
        seen, because, _ = self._found(probe)
        return Verdict(seen=seen, because=because)

    def inverse(self, prior: Mapping[str, Value]) -> ActKind | None:
        """Point the route back; None when what stood there did not fit the template."""
        old = prior.get("to")
        if not isinstance(old, str) or not _TARGET.fullmatch(old):
            return None
        return TrafficSwitch(route=self.route, to=old, template=self.template, test=self.test, reload=self.reload)

    def _place(self) -> dict[str, str]:
        return {"ROUTE": f"./{self.route}" if self.route.startswith("-") else self.route}

    def _line(self) -> str:
        return self.template.replace("{to}", self.to)

    def _target(self, line: str) -> str | None:
        """What a line names, when it fits the template."""
        before, after = self.template.split("{to}")
        line = line.strip()
        if len(line) < len(before) + len(after) or not (line.startswith(before) and line.endswith(after)):
            return None
        return line[len(before) : len(line) - len(after)].strip()

    def _found(self, probe: Probe) -> tuple[Seen, str, str | None]:
        """Whether the route names the server, in words, and what it names."""
        reply = probe.shell.read(Command(script=_START + _LOOK, env=self._place(), timeout=probe.timeout))
        if reply.reach is not Reach.COMPLETE or reply.exit != 0:
            return Seen.UNKNOWN, complaint(reply), None
        said = dict(lines_of(reply))
        if "absent" in said:
            return Seen.UNKNOWN, f"{self.route} is not there", None
        line = said.get("line", "")
        present = self._target(line) if said.get("lines", "").strip() in {"0", "1"} else None
        if line != self._line() or present is None:
            return Seen.NOT_DONE, f"{self.route} names {present or repr(line)}", present
        if "unfinished" in said:
            return Seen.NOT_DONE, f"{self.route} names {self.to}, but the reload did not end", present
        return Seen.DONE, f"{self.route} names {self.to}", present
