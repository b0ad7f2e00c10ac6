"""The kind `file.put`: a file with a given text on a host, replaced whole, and put back by its inverse."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, ClassVar

from drctl.core.kind import (
    ActKind,
    Change,
    CommandAct,
    Criterion,
    Either,
    FieldError,
    Outputs,
    Preview,
    Seen,
    Verdict,
    arg,
)
from drctl.core.nouns import dataclass
from drctl.core.outcomes import Effect
from drctl.core.ports import MEBIBYTE, Command, Facts, Probe, Reach, Reply
from drctl.core.values import Size, Value
from drctl.kinds.commands import ACT_LIMIT, DIGEST_OF, complaint, lines_of, none, streams

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drctl.core.values import Unknown

_MODE = re.compile(r"0?[0-7]{3,4}")
_OWNER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*\$?(:[A-Za-z0-9_][A-Za-z0-9_.-]*\$?)?")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_NEW_MODE = "644"
_MOST_LINES = 10
_LONGEST_SHOWN = 200

# A link is followed: the file it names is replaced, and the link stays.
_START = (
    DIGEST_OF
    + """\
export LC_ALL=C
fail() { printf '%s\\n' "$*" >&2; exit 3; }
real=$FILE
if [ -L "$FILE" ]; then real=$(readlink -f "$FILE"); fi
store=${XDG_STATE_HOME:-$HOME/.local/state}/drctl/kept
tell() {
  if [ -d "$real" ]; then echo "folder"
  elif [ -f "$real" ]; then
    printf 'sha256 %s\\nsize %s\\n' "$(drctl_sha256 "$real")" "$(wc -c <"$real")"
    stat -c 'mode %a
owner %U:%G
ids %u:%g' "$real"
  elif [ -e "$real" ]; then echo "folder"
  else
    said=$(ls -d "$real" 2>&1 >/dev/null) || :
    case $said in
      *"No such file"*|*"Not a directory"*|"") echo absent;;
      *) fail "$said";;
    esac
  fi
}
"""
)
# What stood there is kept on the host, by its digest: it may hold passwords, which a journal must not.
_KEEP = """\
[ ! -d "$real" ] || fail "$FILE is a folder"
new=$real.drctl-new
trap 'rm -f "$new"' EXIT
if [ -f "$real" ]; then
  old=$(drctl_sha256 "$real")
  if [ ! -f "$store/$old" ]; then
    mkdir -p -m 700 "$store"
    (umask 077; cp "$real" "$store/$old.part"; mv -f "$store/$old.part" "$store/$old")
  fi
  cp -p "$real" "$new"
fi
"""
_PLACE = """\
got=$(drctl_sha256 "$new")
[ "$got" = "$SHA256" ] || { printf 'what arrived has SHA-256 %s\\n' "$got" >&2; exit 4; }
if [ -n "$OWNER" ]; then chown "$OWNER" "$new"; fi
if [ -n "$MODE" ]; then chmod "$MODE" "$new"; fi
mv -f "$new" "$real"
tell
"""
_PUT = f"""\
{_START}{_KEEP}\
if [ ! -f "$real" ]; then
  (umask 077; cat >"$new")
  MODE=${{MODE:-{_NEW_MODE}}}
else cat >"$new"; fi
{_PLACE}"""
_BACK = f"""\
{_START}{_KEEP}\
if [ -z "$SHA256" ]; then rm -f "$real"; tell; exit 0; fi
[ -f "$store/$SHA256" ] || fail "what stood in $FILE before was not kept on this host"
(umask 077; cat "$store/$SHA256" >"$new")
{_PLACE}"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """What a file is to be: a digest, empty for no file, and mode and owner where they matter."""

    path: str
    sha256: str
    mode: str = ""
    owner: str = ""

    @property
    def env(self) -> dict[str, str]:
        # a name that begins with a dash would be read as an option by some of the tools
        path = f"./{self.path}" if self.path.startswith("-") else self.path
        return {"FILE": path, "SHA256": self.sha256, "MODE": self.mode, "OWNER": self.owner}

    def describe(self, text: str = "") -> str:
        """What the file is to be, for people: the script that does it is the same for every file."""
        if not self.sha256:
            return f"path {self.path}\nremoved"
        mode = self.mode or f"as it is, {_NEW_MODE} for a new file"
        lines = [f"path {self.path}", f"mode {mode}", f"owner {self.owner or 'as it is'}", f"SHA-256 {self.sha256}"]
        shown = [line[:_LONGEST_SHOWN] for line in text.splitlines()[:_MOST_LINES]]
        size = len(text.encode(errors="surrogatepass"))
        if not text:
            return "\n".join(lines)
        whole = shown == text.splitlines()
        return "\n".join(
            [*lines, f"text, {size} bytes:", *(f"  {line}" for line in shown), *([] if whole else ["  ..."])]
        )

    def outputs(self, reply: Reply) -> Outputs:
        """What lies on the host now."""
        said = dict(lines_of(reply)) if reply.exit == 0 else {}
        missing = none(complaint(reply) if reply.exit != 0 else f"{self.path} is not there")
        size = said.get("size", "").strip()
        values: dict[str, Value | Unknown] = {
            "exit": missing if reply.exit is None else reply.exit,
            "sha256": said.get("sha256") or missing,
            "size": Size(int(size)) if size.isdecimal() else missing,
            "mode": said.get("mode") or missing,
        }
        because = _words(self.path, said) if reply.exit == 0 else complaint(reply)
        return Outputs(
            values=values, because=because, streams=streams(reply), whole=reply.whole, host_key=reply.host_key
        )

    def preview(self, probe: Probe) -> Preview:
        """Compare what is wanted with what is there."""
        seen, because, said = self._found(probe)
        if seen is Seen.UNKNOWN:
            return Preview(change=Change.CANNOT_TELL, because=because)
        prior: dict[str, Value] = {"exists": "absent" not in said}
        prior |= {name: said[name] for name in ("sha256", "mode", "owner") if name in said}
        if seen is Seen.DONE:
            return Preview(change=Change.NO_CHANGE, because=because, prior=prior)
        to_be = f"would have SHA-256 {self.sha256}" if self.sha256 else "would be removed"
        parts = [to_be, *(f"{name} {text}" for name, text in (("mode", self.mode), ("owner", self.owner)) if text)]
        return Preview(change=Change.WOULD_CHANGE, because=f"{because}; {', '.join(parts)}", prior=prior)

    def verify(self, probe: Probe) -> Verdict:
        """Done when text, mode and owner are as wanted."""
        seen, because, _ = self._found(probe)
        return Verdict(seen=seen, because=because)

    def _found(self, probe: Probe) -> tuple[Seen, str, Mapping[str, str]]:
        reply = probe.shell.read(Command(script=f"{_START}tell\n", env=self.env, timeout=probe.timeout))
        said = dict(lines_of(reply))
        if reply.reach is not Reach.COMPLETE or reply.exit != 0:
            return Seen.UNKNOWN, complaint(reply), {}
        if "folder" in said:
            return Seen.UNKNOWN, f"{self.path} is no file", {}
        if "absent" not in said and not _DIGEST.fullmatch(said.get("sha256", "")):
            return Seen.UNKNOWN, "the host gave no SHA-256", {}
        done = said.get("sha256", "") == self.sha256 and self._same_mode(said) and self._same_owner(said)
        return Seen.DONE if done else Seen.NOT_DONE, _words(self.path, said), said

    def _same_mode(self, said: Mapping[str, str]) -> bool:
        return not self.mode or int(self.mode, 8) == int(said.get("mode") or "0", 8)

    def _same_owner(self, said: Mapping[str, str]) -> bool:
        names, ids = said.get("owner", "").split(":"), said.get("ids", "").split(":")
        wanted = self.owner.split(":") if self.owner else []
        return all(want in there for want, there in zip(wanted, zip(names, ids, strict=False), strict=False))


def _words(path: str, said: Mapping[str, str]) -> str:
    if "absent" in said:
        return f"{path} is not there"
    return f"{path} has SHA-256 {said.get('sha256')}, mode {said.get('mode')}, owner {said.get('owner')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FilePut(CommandAct):
    """Puts a text of at most 1 MiB into a file on a host: whole or not at all, by a rename.

    It stands in the runbook (`text`) or in a file beside it (`source`), which is read when the runbook is loaded and
    frozen with the run: what was planned and approved is what is put, wherever the run goes on. `${{ }}` is filled in.

    The text goes by standard input and is checked by its SHA-256 before the file gets its name. A file that is there
    keeps mode and owner unless they are given; a new one is `644`. A link stays, and the file it names is replaced. The
    folder must be there. A text is recorded: a secret does not belong into it.

    What stood there before is kept on the host (`drctl/kept` in the user's state folder, readable by the user only),
    and the inverse puts it back with mode and owner, or removes the file if there was none.
    """

    NAME: ClassVar[str] = "file.put"
    OUTPUTS: ClassVar[Mapping[str, str]] = {"exit": "int", "sha256": "text", "size": "size", "mode": "text"}
    CRITERIA: ClassVar[tuple[Criterion, ...]] = (Criterion(text="exit == 0", fields=frozenset({"exit"})),)
    EITHER: ClassVar[tuple[Either, ...]] = (
        Either(names=("text", "source"), hint='one says what is to stand in the file; text: "" is an empty file'),
    )
    EFFECT: ClassVar[Effect | None] = Effect.IDEMPOTENT
    EXAMPLE: ClassVar[str] = """
- id: maintenance
  on: gateway
  do: file.put
  with: {path: /srv/www/maintenance.json, text: "{\\"down\\": true}\\n", mode: "644"}
  restore: auto
"""

    path: str = arg(type="text", doc="The file; a relative path starts in the home folder.")
    text: str | None = arg(type="text", doc="What is to stand in it.", default=None)
    source: str | None = arg(
        type="file",
        doc="Instead of `text`: a file beside the runbook that holds it, templates filled in.",
        default=None,
    )
    mode: str = arg(type="text", doc="Octal, as `640`; kept if not given.", default="")
    owner: str = arg(type="text", doc="USER or USER:GROUP; kept if not given.", default="")

    def __post_init__(self) -> None:
        if not self.path.strip("/.") or self.path.endswith("/") or "\0" in self.path:
            raise FieldError("path", "this is not the path of a file")
        self.choose_given()
        if len(self._content()) > MEBIBYTE:
            raise FieldError(
                "text", f"{len(self._content())} bytes are more than 1 MiB", "backup.fetch brings large files"
            )
        if self.mode and not _MODE.fullmatch(self.mode):
            raise FieldError("mode", f"{self.mode!r} is not a mode", 'three or four octal digits in quotes, as "640"')
        if self.owner and not _OWNER.fullmatch(self.owner):
            raise FieldError("owner", f"{self.owner!r} is not an owner", "USER or USER:GROUP")

    def command(self, facts: Facts) -> Command:  # noqa: ARG002 - the contract's parameter
        """Keep the old file, write the new one beside it, check it, rename."""
        return Command(script=_PUT, env=self._wanted().env, stdin=self._content(), timeout=ACT_LIMIT)

    def outputs(self, reply: Reply) -> Outputs:
        """What lies on the host now."""
        return self._wanted().outputs(reply)

    def describe(self, facts: Facts) -> str:  # noqa: ARG002 - the contract's parameter
        """Path, mode, owner, digest and the beginning of the text."""
        return self._wanted().describe(self.text or self.source or "")

    def preview(self, probe: Probe) -> Preview:
        """Compare by digest, mode and owner."""
        return self._wanted().preview(probe)

    def verify(self, probe: Probe) -> Verdict:
        """Done when the file has the digest, and mode and owner where they are given."""
        return self._wanted().verify(probe)

    def inverse(self, prior: Mapping[str, Value]) -> ActKind | None:
        """Put back what was found; None when nothing was."""
        exists, digest = prior.get("exists"), prior.get("sha256")
        if exists is False:
            return _FileBack(wanted=_Wanted(path=self.path, sha256=""))
        if exists is not True or not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
            return None
        owner = str(prior.get("owner", "")) if self.owner else ""  # who may not give files away did not change it
        wanted = _Wanted(path=self.path, sha256=digest, mode=str(prior.get("mode", "")), owner=owner)
        return _FileBack(wanted=wanted)

    def _content(self) -> bytes:
        return (self.text or self.source or "").encode(errors="surrogatepass")

    def _wanted(self) -> _Wanted:
        digest = hashlib.sha256(self._content()).hexdigest()
        return _Wanted(path=self.path, sha256=digest, mode=self.mode, owner=self.owner)


@dataclass(frozen=True, slots=True, kw_only=True)
class _FileBack(CommandAct):
    """The inverse of `file.put`: the kept file, or none."""

    NAME: ClassVar[str] = FilePut.NAME
    OUTPUTS: ClassVar[Mapping[str, str]] = FilePut.OUTPUTS
    CRITERIA: ClassVar[tuple[Criterion, ...]] = FilePut.CRITERIA
    EFFECT: ClassVar[Effect | None] = Effect.IDEMPOTENT
    NO_INVERSE: ClassVar[str] = "a way back has none"

    wanted: _Wanted

    def command(self, facts: Facts) -> Command:  # noqa: ARG002 - the contract's parameter
        """Copy the kept file beside its place, check it, rename; or remove."""
        return Command(script=_BACK, env=self.wanted.env, timeout=ACT_LIMIT)

    def outputs(self, reply: Reply) -> Outputs:
        """What lies on the host now."""
        return self.wanted.outputs(reply)

    def describe(self, facts: Facts) -> str:  # noqa: ARG002 - the contract's parameter
        """Path, mode, owner and digest."""
        return self.wanted.describe()

    def preview(self, probe: Probe) -> Preview:
        """Compare by digest, mode and owner."""
        return self.wanted.preview(probe)

    def verify(self, probe: Probe) -> Verdict:
        """Done when the file is as it was."""
        return self.wanted.verify(probe)
