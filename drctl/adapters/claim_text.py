"""What is said to a shell, and how its answers are read: texts and frames, without any link.

Everything of a runbook stands quoted inside one brace group, so that a text cut off on its way is a syntax error and
starts nothing. Nothing stands in an argument list, so nothing shows in `ps`.
"""

import re
import secrets
from collections.abc import Mapping
from functools import cache
from importlib import resources

from drctl.core.nouns import dataclass
from drctl.core.ports import Claim, Command
from drctl.core.values import Secret
from drctl.errors import DefectError

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_KEY = re.compile(r"[0-9A-Za-z_-]{1,128}")
_PLAIN = frozenset(b' !"#$&()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[]^_`abcdefghijklmnopqrstuvwxyz{|}~\n')
_FORMAT = tuple(chr(byte) if byte in _PLAIN else f"\\{byte:03o}" for byte in range(256))

# A look prints its own process first, then runs in a session of its own, so that it can be ended from outside.
_LOOK = r"""
dr_R='eval "$(cat)" || exit 1
printf "\n@%s begin %s\n" "$1" "$$"
printf "\n@%s begin %s\n" "$1" "$$" >&2
dr_go() {
  printf "%s\n" "$dr_t" | {
    exec $2 -euc "eval \"exec 3<&-
\$(cat <&3)\"" 3<&0 0<&4 4<&-
  }
}
if [ -n "$dr_i" ]; then printf "$dr_i" 2>/dev/null | dr_go "$@" 4<&0; else dr_go "$@" 4</dev/null; fi
dr_x=$?
printf "\n@%s end %s %s.\n" "$1" "$dr_x" "$1"
printf "\n@%s end %s %s.\n" "$1" "$dr_x" "$1" >&2'
if command -v setsid >/dev/null 2>&1; then
  printf '%s\n' "$dr_p" | DRCTL_CLAIM=$dr_N setsid $dr_sh -c "$dr_R" drctl "$dr_N" "$dr_sh"
else
  printf '%s\n' "$dr_p" | DRCTL_CLAIM=$dr_N $dr_sh -c "$dr_R" drctl "$dr_N" "$dr_sh"
fi
"""


def nonce() -> str:
    """Make a word that no output can hold by chance."""
    return secrets.token_hex(16)


def quoted(text: str) -> str:
    """Quote for a POSIX shell; a NUL cannot be said to a shell at all."""
    if "\0" in text:
        raise DefectError("a NUL byte cannot stand in a script or an environment variable")
    return "'" + text.replace("'", "'\\''") + "'"


def _revealed(value: str | Secret) -> str:
    return value.reveal() if isinstance(value, Secret) else value


def _as_format(data: bytes) -> str:
    """Bytes as a printf format, the one way any POSIX shell can say any byte without another program."""
    text = "".join(map(_FORMAT.__getitem__, data))
    return f"\\055{text[1:]}" if text.startswith("-") else text


def program(command: Command) -> str:
    """The command as the runner on the host reads it: the text of its shell and the format of its input."""
    lines = ["{", 'cd "${HOME:-/}" 2>/dev/null || cd /']
    if command.cwd is not None:
        folder = f"./{command.cwd}" if command.cwd.startswith("-") else command.cwd
        lines.append(f"CDPATH= cd {quoted(folder)} || exit 126")
    for name, value in command.env.items():
        if not _NAME.fullmatch(name):
            raise DefectError(f"{name!r} is not the name of an environment variable")
        lines.append(f"export {name}={quoted(_revealed(value))}")
    lines += [f"eval {quoted(command.script)}", "}"]
    stdin = (
        command.stdin.reveal().encode("utf-8", "surrogateescape")
        if isinstance(command.stdin, Secret)
        else command.stdin
    )
    return f"{{\ndr_t={quoted(chr(10).join(lines))}\ndr_i={quoted(_as_format(stdin))}\n}}"


def is_private(command: Command) -> bool:
    """Whether the outputs may hold a secret."""
    return command.sensitive or any(isinstance(v, Secret) for v in (command.stdin, *command.env.values()))


@cache
def _wrapper() -> str:
    text = resources.files("drctl.adapters").joinpath("claim_wrapper.sh").read_text("utf-8")
    return "\n".join(line for line in text.splitlines() if not line.startswith("#"))


def _said(assignments: Mapping[str, str], text: str) -> bytes:
    head = "\n".join(f"dr_{name}={quoted(value)}" for name, value in assignments.items())
    return f"{{\n{head}\n{text}\n}}\n".encode("utf-8", "surrogateescape")


def look_text(mark: str, command: Command, shell: str) -> bytes:
    """The text of a look."""
    return _said({"N": mark, "sh": shell, "p": program(command)}, _LOOK)


def wrapper_text(mark: str, mode: str, values: Mapping[str, str]) -> bytes:
    """The text of the claim wrapper in one of its modes."""
    return _said({"N": mark, "m": mode, **values}, _wrapper())


def claim_values(claim: Claim, now: str) -> dict[str, str]:
    """What the wrapper must know of a claim; words that stand in file names are checked, free text is one line."""
    for word in (claim.key, claim.run, claim.run_id, claim.holder):
        if not _KEY.fullmatch(word.replace(":", "_").replace("+", "_").replace("/", "_").replace("=", "_")):
            raise DefectError(f"{word!r} cannot stand in a claim")
    if "/" in claim.key + claim.run or claim.epoch < 0:
        raise DefectError(f"{claim.run!r} {claim.key!r} {claim.epoch} cannot stand in a claim")
    operator = "".join(c if c.isprintable() else "?" for c in claim.operator)[:80] or "unknown"
    return {
        "run": claim.run,
        "id": claim.run_id,
        "op": operator,
        "ep": str(claim.epoch),
        "h": claim.holder,
        "now": now,
        "k": claim.key,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One frame of the wrapper."""

    state: str
    exit: int | None
    out: bytes
    err: bytes
    cut: bool
    boot: str
    note: str


def began(mark: str, out: bytes) -> bool:
    """Whether the wrapper surely came to life on the host."""
    return b"\n@" + mark.encode() + b" hello\n" in out


def wrapper_mark(mark: str) -> bytes:
    """The last line of every answer of the wrapper."""
    return f"\n@{mark} end\n".encode()


def look_mark(mark: str) -> bytes:
    """How the last line of each stream of a look ends."""
    return f" {mark}.\n".encode()


def answer(mark: str, out: bytes) -> Answer | None:
    """Read the frame; None when there is none, or it is not whole."""
    start = out.find(f"\n@{mark} reply ".encode())
    if start < 0:
        return None
    line, newline, rest = out[start + 1 :].partition(b"\n")
    fields = line.decode("utf-8", "replace").split(" ", 9)
    try:
        _, _, state, code, out_size, err_size, cut, boot, _pid, note = fields
        first, second = int(out_size), int(err_size)
    except ValueError:
        return None
    if not newline or not rest[first + second :].startswith(wrapper_mark(mark)):
        return None
    return Answer(
        state=state,
        exit=int(code) if code.isdecimal() else None,
        out=rest[:first],
        err=rest[first : first + second],
        cut=cut == "1",
        boot=boot,
        note=note,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a look printed so far: its process (0 = it did not begin), its exit code (None = not yet), one stream."""

    pid: int
    exit: int | None
    content: bytes


def seen(mark: str, stream: bytes) -> Seen:
    """Take the frames off one stream of a look."""
    head = f"\n@{mark} begin ".encode()
    start = stream.find(head)
    if start < 0:
        return Seen(pid=0, exit=None, content=b"")
    pid, _, rest = stream[start + len(head) :].partition(b"\n")
    content, found, tail = rest.rpartition(f"\n@{mark} end ".encode())
    if not found or look_mark(mark) not in tail:
        return Seen(pid=int(pid or b"0"), exit=None, content=rest)
    return Seen(pid=int(pid), exit=int(tail.partition(b" ")[0]), content=content)
