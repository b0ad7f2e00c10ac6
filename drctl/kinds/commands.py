"""What the kinds that speak to a shell share: showing a command, reading a reply.

Values reach a host by environment or standard input only; the scripts here and in the kinds are plain POSIX sh that
dash and busybox run. How a command travels is left to the adapters.
"""

from __future__ import annotations

import hashlib
import shlex
from typing import TYPE_CHECKING

from drctl.core.kind import Kind, Outputs
from drctl.core.ports import Command, Reach, Reply
from drctl.core.values import Duration, Secret, Unknown, Value, parse_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

LOOK_LIMIT = Duration.parse("30s")
ACT_LIMIT = Duration.parse("10m")
_MOST_SHOWN = 4000

DIGEST_OF = """\
drctl_sha256() {
  if command -v sha256sum >/dev/null 2>&1; then set -- "$(sha256sum <"$1")"
  elif command -v shasum >/dev/null 2>&1; then set -- "$(shasum -a 256 <"$1")"
  else set -- "$(openssl dgst -sha256 -r <"$1")"; fi
  printf '%s\\n' "${1%% *}"
}
"""
"""A shell function: the SHA-256 of a file in hex, with whatever the host has for it."""


def none(reason: str) -> Unknown:
    """No value, and it will not come."""
    return Unknown(reason, not_yet=False)


def without_values(kind: type[Kind], reason: str, reach: Reach = Reach.COMPLETE) -> Outputs:
    """The outputs of a look that learned nothing: every declared name, with one reason."""
    return Outputs(values=dict.fromkeys(kind.OUTPUTS, none(reason)), reach=reach, because=reason)


def unanswered(kind: type[Kind], reply: Reply) -> Outputs:
    """The outputs of a look whose command gave no exit code."""
    missing = without_values(kind, reply.because or f"no answer ({reply.reach.value})", reply.reach)
    return Outputs(
        values=missing.values,
        reach=reply.reach,
        because=missing.because,
        streams=streams(reply),
        whole=reply.whole,
        host_key=reply.host_key,
    )


def streams(reply: Reply) -> Mapping[str, bytes]:
    """The raw output that is worth keeping."""
    return {name: data for name, data in (("stdout", reply.stdout), ("stderr", reply.stderr)) if data}


def stream_text(data: bytes, *, cut: bool, what: str) -> str | Unknown:
    """A stream as text without its last newline; no value when it was cut, or is not UTF-8."""
    if cut:
        return none(f"{what} is longer than 1 MiB")
    try:
        return data.decode().removesuffix("\n")
    except UnicodeDecodeError:
        return none(f"{what} is not UTF-8 text")


def text_streams(reply: Reply, cap: int) -> tuple[str | Unknown, str | Unknown]:
    """Both streams as text; of a cut reply only a stream that surely is whole has a value."""
    full = [len(data) >= cap for data in (reply.stdout, reply.stderr)]
    out_cut, err_cut = full if any(full) else (True, True)
    return (
        stream_text(reply.stdout, cut=reply.cut and out_cut, what="stdout"),
        stream_text(reply.stderr, cut=reply.cut and err_cut, what="stderr"),
    )


def command_values(reply: Reply, cap: int) -> dict[str, Value | Unknown]:
    """The outputs `exit stdout stderr json` of a command that ended."""
    stdout, stderr = text_streams(reply, cap)
    return {
        "exit": reply.exit if reply.exit is not None else none(reply.because or "no exit code"),
        "stdout": stdout,
        "stderr": stderr,
        "json": stdout if isinstance(stdout, Unknown) else parse_json(stdout),
    }


def complaint(reply: Reply, otherwise: str = "") -> str:
    """Why a command failed, in one line: its last words on stderr, else its exit code."""
    if reply.reach is not Reach.COMPLETE:
        return reply.because or f"no answer ({reply.reach.value})"
    words = [line.strip() for line in reply.stderr.decode(errors="replace").splitlines() if line.strip()]
    last = words[-1][:300] if words else otherwise
    return f"exit {reply.exit}: {last}" if last else f"exit {reply.exit}"


def lines_of(reply: Reply) -> Iterable[tuple[str, str]]:
    """The reply's `name value` lines as pairs, bytes that are no text replaced: what the kinds' own scripts print."""
    for line in reply.stdout.decode(errors="replace").splitlines():
        name, _, value = line.partition(" ")
        yield name, value


def has_secret(env: Mapping[str, str | Secret], stdin: bytes | Secret = b"") -> bool:
    """Whether a command carries a secret, so that its output may repeat it and must not lie on the host."""
    return isinstance(stdin, Secret) or any(isinstance(value, Secret) for value in env.values())


def shown(command: Command) -> str:
    """A command for people: folder, variables, input and script, exactly as sent, secrets as ***."""
    lines = [f"cd {shlex.quote(command.cwd)}"] if command.cwd else []
    lines += [f"{name}={_value(value)}" for name, value in command.env.items()]
    if isinstance(command.stdin, Secret):
        lines.append("stdin: ***")
    elif command.stdin:
        lines += ["stdin:", *(f"  {line}" for line in _cut(command.stdin).splitlines())]
    return "\n".join([*lines, command.script.rstrip("\n")])


def _value(value: str | Secret) -> str:
    return "***" if isinstance(value, Secret) else shlex.quote(_cut(value.encode(errors="surrogatepass")))


def _cut(data: bytes) -> str:
    text = data.decode(errors="replace")
    if len(text) <= _MOST_SHOWN:
        return text
    return f"{text[:_MOST_SHOWN]}... ({len(data)} bytes, SHA-256 {hashlib.sha256(data).hexdigest()})"
