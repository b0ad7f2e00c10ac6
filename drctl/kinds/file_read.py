"""The kind `file.read`: a file's text, digest, size and mode."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, ClassVar

from drctl.core.kind import Criterion, FieldError, LookKind, Outputs, arg
from drctl.core.nouns import dataclass
from drctl.core.ports import MEBIBYTE, Command, Facts, Probe, Reach, Reply
from drctl.core.values import Size, Unknown, Value
from drctl.kinds.commands import DIGEST_OF, LOOK_LIMIT, complaint, none, shown, unanswered, without_values

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drctl.core.values import Duration

_HEAD = 4096  # room for the lines before the text

_SCRIPT = (
    DIGEST_OF
    + f"""\
if [ ! -e "$FILE" ]; then
  said=$(LC_ALL=C ls -d "$FILE" 2>&1 >/dev/null) || :
  case $said in
    *"No such file"*|*"Not a directory"*|"") echo absent; exit 0;;
    *) printf '%s\\n' "$said" >&2; exit 3;;
  esac
fi
mode=$(stat -c %a "$FILE" 2>/dev/null || stat -f %Lp "$FILE")
if [ -d "$FILE" ]; then printf 'folder\\nmode %s\\n\\n' "$mode"; exit 0; fi
size=$(wc -c <"$FILE")
if [ "$size" -le {MEBIBYTE} ]; then
  printf 'file\\nmode %s\\n\\n' "$mode"; head -c {MEBIBYTE + 1} "$FILE"
else
  digest=$(drctl_sha256 "$FILE")
  printf 'large\\nmode %s\\nsize %s\\nsha256 %s\\n\\n' "$mode" "$size" "$digest"
fi
"""
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRead(LookKind):
    """Reads a file on a host, or on the control node with `on: local`.

    `text` has no value when the file is longer than 1 MiB or no UTF-8; `sha256` and `size` are given for any file. A
    file that is not there is a complete reply with `exists` false; one that may not be looked at is no reply at all.
    `mode` is octal, as `644`.
    """

    NAME: ClassVar[str] = "file.read"
    OUTPUTS: ClassVar[Mapping[str, str]] = {
        "exists": "bool",
        "text": "text",
        "sha256": "text",
        "size": "size",
        "mode": "text",
    }
    CRITERIA: ClassVar[tuple[Criterion, ...]] = (Criterion(text="exists", fields=frozenset({"exists"})),)
    EXAMPLE: ClassVar[str] = """
- {id: release, on: db-primary, do: file.read, with: {path: /srv/invoices/release}, capture: {version: trim(text)}}
- {id: no_signal, on: db-standby, do: file.read, with: {path: /var/lib/postgresql/recovery.signal}, expect: not exists}
"""

    path: str = arg(type="text", doc="The file; a relative path starts in the home folder.")

    def __post_init__(self) -> None:
        if not self.path or "\0" in self.path:
            raise FieldError("path", "this is not a path")

    def look(self, probe: Probe) -> Outputs:
        """Read once."""
        reply = probe.shell.read(self._command(probe.timeout))
        if reply.reach is not Reach.COMPLETE:
            return unanswered(FileRead, reply)
        if reply.exit != 0:
            return without_values(FileRead, f"{self.path}: {complaint(reply)}")
        return _outputs(self.path, reply)

    def describe(self, facts: Facts) -> str:  # noqa: ARG002 - the contract's parameter
        """The script with the path."""
        return shown(self._command(LOOK_LIMIT))

    def _command(self, timeout: Duration) -> Command:
        # a name that begins with a dash would be read as an option by some of the tools
        path = f"./{self.path}" if self.path.startswith("-") else self.path
        return Command(script=_SCRIPT, env={"FILE": path}, timeout=timeout, cap=MEBIBYTE + _HEAD)


def _outputs(path: str, reply: Reply) -> Outputs:
    head, _, content = reply.stdout.partition(b"\n\n")
    what, *lines = head.decode(errors="replace").splitlines() or [""]
    known = dict(line.split(" ", 1) for line in lines if " " in line)
    values: dict[str, Value | Unknown]
    if what == "absent":
        values = {"exists": False, **dict.fromkeys(("text", "sha256", "size", "mode"), none(f"{path} is not there"))}
        return Outputs(values=values, because=f"{path} is not there", host_key=reply.host_key)
    values = {"exists": True, "mode": known.get("mode") or none("the host gave no mode")}
    if what == "folder":
        values |= dict.fromkeys(("text", "sha256", "size"), none(f"{path} is a folder"))
    elif what == "large":
        values |= {"text": none(f"{path} is longer than 1 MiB"), **_large(known)}
    elif reply.cut or len(content) > MEBIBYTE:
        values |= dict.fromkeys(("text", "sha256", "size"), none(f"{path} grew while it was read"))
    else:
        values |= {
            "text": _text(path, content),
            "sha256": hashlib.sha256(content).hexdigest(),
            "size": Size(len(content)),
        }
    return Outputs(values=values, because=f"{path} is there", host_key=reply.host_key, streams=_kept(content))


def _kept(content: bytes) -> Mapping[str, bytes]:
    return {"content": content} if content else {}


def _text(path: str, content: bytes) -> str | Unknown:
    """The whole text: a file's last newline is part of it."""
    try:
        return content.decode()
    except UnicodeDecodeError:
        return none(f"{path} is not UTF-8 text")


def _large(known: Mapping[str, str]) -> dict[str, Value | Unknown]:
    size, digest = known.get("size", "").strip(), known.get("sha256", "")
    return {
        "size": Size(int(size)) if size.isdecimal() else none("the host gave no size"),
        "sha256": digest if len(digest) == hashlib.sha256().digest_size * 2 else none("the host has no SHA-256 tool"),
    }
