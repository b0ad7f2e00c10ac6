"""The kind `log.scan`: counts patterns in a log, on the host that has it."""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING, ClassVar

from drctl.core.kind import Criterion, Either, FieldError, LookKind, Outputs, arg
from drctl.core.nouns import dataclass
from drctl.core.ports import MEBIBYTE, Command, Facts, Probe, Reach, Reply
from drctl.core.values import Map, Size, Time, Unknown, Value
from drctl.kinds.commands import LOOK_LIMIT, complaint, lines_of, shown, streams, unanswered, without_values

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drctl.core.values import Duration

_TAIL = 64 * MEBIBYTE
_MOST_PATTERNS = 50
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,59}")

# Read otherwise by some awk or other: \d and its like, \< and \>, {2,3}, (?:, and one repetition upon another.
_NOT_PORTABLE = re.compile(r"\\[A-Za-z0-9<>`']|(?<!\\)\{[0-9,]|(?<!\\)\(\?|(?<!\\)[*+?][*+?]")

# One pass, nothing written to the host's disk, which may be full. ENVIRON, not -v, since -v reads backslashes.
_AWK = r"""
function days(y, m, d) {
  if (m <= 2) { y--; m += 12 }
  return 365*y + int(y/4) - int(y/100) + int(y/400) + int((153*m - 457)/5) + d - 719469
}
function offset(z,  s) {
  if (z !~ /^[+-][0-9][0-9]:?[0-9][0-9]/) return 0
  s = (substr(z, 1, 1) == "-") ? -1 : 1
  sub(/:/, "", z)
  return s * (substr(z, 2, 2)*3600 + substr(z, 4, 2)*60)
}
function moment(line,  t, z, o) {
  t = substr(line, RSTART, 19)
  z = substr(line, RSTART + 19, 20)
  sub(/^[.,][0-9]+/, "", z); sub(/^ /, "", z)
  o = zone
  if (z ~ /^(Z|UTC|GMT)/) o = 0
  if (z ~ /^[+-][0-9][0-9]:?[0-9][0-9]/) o = offset(z)
  return days(substr(t, 1, 4) + 0, substr(t, 6, 2) + 0, substr(t, 9, 2) + 0) * 86400 \
    + substr(t, 12, 2)*3600 + substr(t, 15, 2)*60 + substr(t, 18, 2) - o
}
BEGIN {
  since = ENVIRON["SINCE"] + 0; zone = offset(ENVIRON["ZONE"]); on = (since == 0)
  stamp = "[0-9][0-9][0-9][0-9][-/][0-9][0-9][-/][0-9][0-9][T ][0-9][0-9]:[0-9][0-9]:[0-9][0-9]"
  n = ENVIRON["COUNT"] + 0
  for (i = 0; i < n; i++) { re[i] = ENVIRON["PATTERN_" i]; count[i] = 0; if ("" ~ re[i]) empty++ }
}
{ bytes += length($0) + 1 }
NR == 1 && ENVIRON["SKIP"] != "" { next }
since && match($0, stamp) && RSTART <= 40 { seen++; on = (moment($0) >= since) }
!on { next }
{ for (i = 0; i < n; i++) if ($0 ~ re[i]) { if (!count[i]++) oldest[i] = $0; newest[i] = $0 } }
END {
  if (since && NR > 0 && !seen) exit 7
  print "bytes", bytes + 0
  for (i = 0; i < n; i++) {
    print "count", i, count[i]
    if (count[i]) { print "oldest", i, substr(oldest[i], 1, 500); print "newest", i, substr(newest[i], 1, 500) }
  }
}
"""

_SCRIPT = r"""
export LC_ALL=C
fail() { printf '%s\n' "$*" >&2; exit 3; }
ZONE=$(date +%z); export ZONE
SKIP=; export SKIP
if [ -n "$UNIT" ]; then
  command -v journalctl >/dev/null 2>&1 || fail "journalctl is not on this host"
  journalctl -q -u "$UNIT" -n 0 >/dev/null || fail "journalctl cannot read $UNIT"
  from=${SINCE:+--since=@$SINCE}
  SINCE=
  scan() { journalctl -q -u "$UNIT" $from -o short-iso --no-pager | tail -c "$TAIL"; }
else
  [ -f "$LOG" ] || fail "$LOG is not there, or is no file"
  [ -r "$LOG" ] || fail "$LOG may not be read"
  size=$(wc -c <"$LOG")
  echo "size" $size
  if [ "$size" -gt "$TAIL" ]; then SKIP=1; fi
  scan() { tail -c "$TAIL" "$LOG"; }
fi
rc=0; scan | tr -d '\000' | awk "$AWK" || rc=$?
[ "$rc" -ne 7 ] || fail "no line of the log begins with a time drctl can read"
[ "$rc" -eq 0 ] || fail "awk ended with $rc"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogScan(LookKind):
    r"""Counts the lines of a log that match patterns, on the host itself, so that a big log does not travel.

    `patterns` are extended regular expressions in the part that every awk knows, matched against single lines, byte by
    byte: write `[0-9]` for a digit and repetitions out in full; `\d` and `{2,3}` are refused. `count.NAME` is how many
    lines matched, `oldest.NAME` and `newest.NAME` are the first and the last of them (at most 500 bytes; null when none
    matched): take a time out of one with `time(match(...))`.

    Give a `path`, or the `unit` of a systemd journal. With `since`, only lines from that time on count: the time of a
    line is the first `2026-01-31T23:59:59` in its first 40 characters (also with `/` or a blank), in the zone it names,
    else in the host's; a line without one belongs to the line before it. Only the last 64 MiB of a log are read;
    `whole` is false when there was more, and then a count is a least count.
    """

    NAME: ClassVar[str] = "log.scan"
    OUTPUTS: ClassVar[Mapping[str, str]] = {
        "readable": "bool",
        "count": "map",
        "oldest": "map",
        "newest": "map",
        "whole": "bool",
        "size": "size",
    }
    CRITERIA: ClassVar[tuple[Criterion, ...]] = (Criterion(text="readable", fields=frozenset({"readable"})),)
    EITHER: ClassVar[tuple[Either, ...]] = (Either(names=("path", "unit")),)
    EXAMPLE: ClassVar[str] = """
- id: errors
  on: db-primary
  do: log.scan
  with:
    path: /var/log/invoices.log
    since: "${{ run.started_at }}"
    patterns: {error: " ERROR ", deleted: "cleanup: deleted [0-9]+"}
  expect: count.error < 100
  capture: {cleanup: newest.deleted}
"""

    patterns: Mapping[str, Value] = arg(type="map", doc="Extended regular expressions by name.")
    path: str = arg(type="text", doc="The log file; this or unit.", default="")
    unit: str = arg(type="text", doc="The systemd unit whose journal is read; this or path.", default="")
    since: Time | None = arg(type="time", doc="Count lines from this time on.", default=None)

    def __post_init__(self) -> None:
        self.choose_given()
        if not 1 <= len(self.patterns) <= _MOST_PATTERNS:
            raise FieldError("patterns", f"give 1 to {_MOST_PATTERNS} patterns")
        for name, pattern in self.patterns.items():
            if not _NAME.fullmatch(name):
                raise FieldError("patterns", f"{name!r} is not a name", "small letters, digits, _ and -")
            if not isinstance(pattern, str) or not pattern or re.search(r"[\n\0]", pattern):
                raise FieldError("patterns", f"{name} is not a pattern for one line")
            if _NOT_PORTABLE.search(pattern):
                hint = "write [0-9] for \\d, [A-Za-z0-9_] for \\w, and repetitions out in full"
                raise FieldError("patterns", f"{name}: {pattern!r} is not read alike on every host", hint)
            if problem := _fault(pattern):
                raise FieldError("patterns", f"{name}: {pattern!r} is no regular expression: {problem}")
        if self.unit.startswith("-") or "\0" in self.unit + self.path:
            raise FieldError("unit" if self.unit else "path", "this is not a name")

    def look(self, probe: Probe) -> Outputs:
        """Scan once."""
        reply = probe.shell.read(self._command(probe.timeout))
        if reply.reach is not Reach.COMPLETE:
            return unanswered(LogScan, reply)
        if reply.exit != 0 or reply.cut:
            missing = without_values(LogScan, complaint(reply))
            values = {**missing.values, "readable": False}
            return Outputs(
                values=values,
                because=missing.because,
                streams=streams(reply),
                whole=reply.whole,
                host_key=reply.host_key,
            )
        return self._outputs(reply)

    def describe(self, facts: Facts) -> str:  # noqa: ARG002 - the contract's parameter
        """The patterns as variables, and the script."""
        return shown(self._command(LOOK_LIMIT))

    def _command(self, timeout: Duration) -> Command:
        path = f"./{self.path}" if self.path.startswith("-") else self.path
        since = "" if self.since is None else str(self.since.micros // 1_000_000)
        env = {"LOG": path, "UNIT": self.unit, "SINCE": since, "TAIL": str(_TAIL), "COUNT": str(len(self.patterns))}
        env |= {f"PATTERN_{index}": str(pattern) for index, pattern in enumerate(self.patterns.values())}
        return Command(script=_SCRIPT, env=env | {"AWK": _AWK}, timeout=timeout)

    def _outputs(self, reply: Reply) -> Outputs:
        names = list(self.patterns)
        found: dict[str, dict[str, Value]] = {
            "count": dict.fromkeys(names, 0),
            "oldest": dict.fromkeys(names, None),
            "newest": dict.fromkeys(names, None),
        }
        size = 0
        for word, text in lines_of(reply):
            if word in {"size", "bytes"}:
                size = max(size, int(text))
            elif word in found:
                index, _, rest = text.partition(" ")
                found[word][names[int(index)]] = int(rest) if word == "count" else rest
        values: dict[str, Value | Unknown] = {word: Map(entries) for word, entries in found.items()}
        values |= {"readable": True, "size": Size(size), "whole": size < _TAIL}
        because = ", ".join(f"{name} {number}" for name, number in found["count"].items())
        return Outputs(
            values=values, because=because, streams=streams(reply), whole=reply.whole, host_key=reply.host_key
        )


def _fault(pattern: str) -> str:
    """What is wrong with the brackets of a pattern; some awks take an open one for a plain character."""
    try:
        with warnings.catch_warnings(action="ignore"):
            re.compile(re.sub(r"\[:[a-z]+:\]", "a", pattern))
    except re.error as error:
        return error.msg
    return ""
