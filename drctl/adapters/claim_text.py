"""What is said to a shell, and how its answers are read: texts and frames, without any link.

Everything of a runbook stands quoted inside one brace group, so that a text cut off on its way is a syntax error and
starts nothing. Nothing stands in an argument list, so nothing shows in `ps`.
"""

import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import field
from functools import cache
from importlib import resources

from drctl.adapters.carrier import Gone
from drctl.core.holdings import HELD, Holding, Standing
from drctl.core.nouns import dataclass, replace
from drctl.core.ports import Claim, Command
from drctl.core.values import Secret
from drctl.core.whole import Whole
from drctl.errors import DefectError

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_KEY = re.compile(r"[0-9A-Za-z_-]{1,128}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PLAIN = frozenset(b' !"#$&()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[]^_`abcdefghijklmnopqrstuvwxyz{|}~\n')
_FORMAT = tuple(chr(byte) if byte in _PLAIN else f"\\{byte:03o}" for byte in range(256))

# A look runs in the session that sshd made for it, or in one of its own where that one has another first process, so
# that it can be ended from outside. It first prints its process and when that began: nothing has the same two again.
_LOOK = r"""
dr_R='{
printf "\n@%s begin %s %s\n" "$1" "$$" "$3"
printf "\n@%s begin %s %s\n" "$1" "$$" "$3" >&2
dr_go() {
  export DRCTL_CLAIM="$1"
  set -- "$dr_t"
  unset dr_N dr_sh dr_p dr_t dr_i dr_R dr_x
  unset -f dr_go
  set -eu
  eval "shift
$1"
}
if [ -n "$dr_i" ]; then printf "$dr_i" 2>/dev/null | (dr_go "$1"); else (dr_go "$1") </dev/null; fi
dr_x=$?
printf "\n@%s end %s %s.\n" "$1" "$dr_x" "$1"
printf "\n@%s end %s %s.\n" "$1" "$dr_x" "$1" >&2
}'
{ read -r dr_x </proc/$$/stat; } 2>/dev/null && set -- ${dr_x##*) }
if [ "${4:-}" = "$$" ]; then
  set -- "$dr_N" "$dr_sh" "${20}"
  eval "$dr_p"
  eval "$dr_R"
elif command -v setsid >/dev/null 2>&1; then
  printf '%s\n' "$dr_p" "$dr_R" | DRCTL_CLAIM=$dr_N setsid $dr_sh -s "$dr_N" "$dr_sh" ''
else
  printf '%s\n' "$dr_p" "$dr_R" | DRCTL_CLAIM=$dr_N $dr_sh -s "$dr_N" "$dr_sh" ''
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
    # an exported SHELLOPTS sets options in every bash: without globs no newer epoch would be seen
    return f"{{\n{head}\nset +efuvx\n{text}\n}}\n".encode("utf-8", "surrogateescape")


def look_text(mark: str, command: Command, shell: str) -> bytes:
    """The text of a look."""
    return _said({"N": mark, "sh": shell, "p": program(command)}, _LOOK)


def wrapper_text(mark: str, mode: str, values: Mapping[str, str]) -> bytes:
    """The text of the claim wrapper in one of its modes."""
    return _said({"N": mark, "m": mode, **values}, _wrapper())


def checked(word: str) -> str:
    """A word that may stand in a file name on the host, or nothing.

    Raises:
        DefectError: it may not.
    """
    if word and not _KEY.fullmatch(word):
        raise DefectError(f"{word!r} cannot stand in a claim")
    return word


def claim_values(claim: Claim, now: str) -> dict[str, str]:
    """What the wrapper must know of a claim; words that stand in file names are checked, free text is one line."""
    for word in (claim.key, claim.run, claim.run_id, claim.holder):
        checked(word.replace(":", "_").replace("+", "_").replace("/", "_").replace("=", "_") or "?")
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
    whole: Mapping[str, Whole] = field(default_factory=dict)


def holding(answer: Answer) -> Holding | None:
    """Who holds the host instead, when that is why it refused: `held UID ID SINCE WHO`, `fenced EPOCH HOLDER ...`."""
    return {"held": _owner, "fenced": _epoch}.get(answer.state, lambda _: None)(answer.note)


def standing(answer: Answer) -> Standing:
    """Read `EPOCH HOLDER SINCE WHO<tab>UID ID SINCE WHO`; each may be missing."""
    newest, tab, owner = answer.note.partition("\t")
    if answer.state != "standing" or not tab:
        return Standing(because=answer.note or answer.state)
    return Standing(owner=_owner(owner), newest=_epoch(newest))


def _owner(text: str) -> Holding | None:
    words = (text.strip().split(" ", 3) + [""] * 4)[:4]
    return Holding(run=words[0], run_id=words[1], since=words[2], operator=words[3]) if words[0] else None


def _epoch(text: str) -> Holding | None:
    words = (text.split(" ", 3) + [""] * 4)[:4]
    if not words[0].isdecimal() or not int(words[0]):
        return None
    return Holding(epoch=int(words[0]), holder=words[1], since=words[2], operator=words[3])


def told(name: str, by: Holding, claim: Claim) -> str:
    """Whose the host is, since when, and what to type: the sentence that whoever is refused reads."""
    since = f"({by.operator}) since {by.since}"
    if by.replaces:
        return (
            f"{name} refused: this run was taken over: epoch {by.epoch} is held by {by.holder} {since}. It goes on "
            f"there; this copy of it must not act any more"
        )
    if by.epoch:
        return (
            f"{name} was taken from this run by run {by.holder.rpartition(':')[2]} {since}. When that run is closed: "
            f"drctl takeover {claim.run_id} --reason TEXT"
        )
    return (
        f"{HELD}: {name} is held by run {by.run_id} {since}. Wait until that run is closed, or end it: "
        f"drctl abort {by.run_id} --reason TEXT; if its folder is lost: "
        f"drctl takeover {claim.run_id} --from {by.run} --reason TEXT"
    )


def wrapper_mark(mark: str) -> bytes:
    """The last line of every answer of the wrapper."""
    return f"\n@{mark} end\n".encode()


def look_opens(mark: str) -> bytes:
    """How the line begins behind which a stream of a look starts."""
    return f"\n@{mark} begin ".encode()


def look_mark(mark: str) -> bytes:
    """How the last line of each stream of a look ends."""
    return f" {mark}.\n".encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """The beginnings of both outputs that came before a link was lost, and whether the wrapper surely came to life."""

    out: bytes = b""
    err: bytes = b""
    began: bool = False

    @property
    def values(self) -> dict[str, str]:
        """How the wrapper is asked for the rest: it gives all again, unless what it has begins with these bytes."""
        if not (self.out or self.err):
            return {}
        digest = hashlib.sha256(self.out + self.err).hexdigest()
        return {"ho": str(len(self.out)), "he": str(len(self.err)), "hd": digest}


NOTHING = Held()


def _given(word: str, before: bytes) -> tuple[int, bytes, Whole | None]:
    """Read `SENT[,FROM,TOTAL,SHA256]`: how many bytes follow, those they go on from, and what was left out.

    Raises:
        ValueError: it is no such word, or goes on from bytes that never came.
    """
    sent, begin, total, digest = word.split(",") if "," in word else (word, "0", word, "-")
    if int(begin) > len(before):
        raise ValueError(word)
    size = int(total) if total.isdecimal() else None
    whole = (
        None if size == int(begin) + int(sent) else Whole(size=size, sha256=digest if _SHA256.fullmatch(digest) else "")
    )
    return int(sent), before[: int(begin)], whole


def answer(mark: str, out: bytes, held: Held = NOTHING) -> Answer | Held:
    """Read the frame, and join it to what is held; what is held by now, when there is none or it is not whole."""
    held = replace(held, began=f"\n@{mark} hello\n".encode() in out)
    start = out.find(f"\n@{mark} reply ".encode())
    line, newline, rest = out[start + 1 :].partition(b"\n")
    if start < 0 or not newline:
        return held
    try:
        _, _, state, code, out_word, err_word, cut, boot, _pid, note = line.decode("utf-8", "replace").split(" ", 9)
        first, out_before, out_whole = _given(out_word, held.out)
        second, err_before, err_whole = _given(err_word, held.err)
    except ValueError:
        return held
    both = Held(out=out_before + rest[:first], err=err_before + rest[first : first + second], began=True)
    if not rest[first + second :].startswith(wrapper_mark(mark)):
        return max(held, both, key=lambda one: len(one.out) + len(one.err))
    whole = {name: one for name, one in (("stdout", out_whole), ("stderr", err_whole)) if one is not None}
    return Answer(
        state=state,
        exit=int(code) if code.isdecimal() else None,
        out=both.out,
        err=both.err,
        cut=cut == "1",
        boot=boot,
        note=note,
        whole=whole,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a look printed so far: its process (0 = it did not begin), its exit code (None = not yet), one stream.

    `since` is when that process began, in ticks of its host's clock; empty where the host does not say.
    """

    pid: int
    exit: int | None
    content: bytes
    since: str = ""


def whole(mark: str, stream: bytes, gone: Gone, cap: int) -> Whole | None:
    """What is known of one stream of a look that is longer than `cap`; None when it is not."""
    look = seen(mark, stream)
    size = len(look.content) + gone.size
    if size <= cap:
        return None
    if look.exit is None:
        return Whole(size=size)
    if not gone.size:
        return Whole(size=size, sha256=hashlib.sha256(look.content).hexdigest())
    end = stream.rfind(f"\n@{mark} end ".encode()) - (len(stream) - gone.behind)
    if gone.digest is None or end < 0:
        return Whole(size=size)
    digest = gone.digest.copy()
    digest.update(stream[-gone.behind :][:end])
    return Whole(size=size, sha256=digest.hexdigest())


def seen(mark: str, stream: bytes) -> Seen:
    """Take the frames off one stream of a look."""
    head = look_opens(mark)
    start = stream.find(head)
    if start < 0:
        return Seen(pid=0, exit=None, content=b"")
    process, _, rest = stream[start + len(head) :].partition(b"\n")
    pid, _, since = process.decode("ascii", "replace").partition(" ")
    if not pid.isdecimal():  # a login shell printed so much before that this line is cut
        return Seen(pid=0, exit=None, content=b"")
    content, found, tail = rest.rpartition(f"\n@{mark} end ".encode())
    if not found or look_mark(mark) not in tail:
        return Seen(pid=int(pid), exit=None, content=rest, since=since)
    return Seen(pid=int(pid), exit=int(tail.partition(b" ")[0]), content=content, since=since)
