"""The kind `archive.unpack`: unpacks a tar.gz on a host into a new folder."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, ClassVar

from drctl.core.kind import Change, CommandAct, Criterion, FieldError, FieldSpec, Outputs, Preview, Seen, Verdict, arg
from drctl.core.nouns import dataclass
from drctl.core.outcomes import Effect
from drctl.core.ports import Command, Facts, Probe, Reach, Reply
from drctl.core.values import Size
from drctl.kinds.commands import ACT_LIMIT, complaint, lines_of, none, shown, streams

if TYPE_CHECKING:
    from collections.abc import Mapping

_RATIO = 100
_LEAST_LIMIT = 64 * 1024 * 1024
_MOST_FILES = 1_000_000
_NAMES = 1000  # how many names a look compares: the rest of a big archive would take longer than a look may

# Refused by the listing: anything but files and folders, set-uid bits, absolute names, names with '..'. The line of
# `tar -tv` is judged as a whole, since its columns differ between tars: an odd name may be refused, none slips through.
# busybox takes '/' and '../' off a name and says so; what tar itself complains of is refused as well.
_JUDGE = r"""
function bad(why) { if (shown++ < 3) print why ": " substr($0, 1, 200) }
/^tar: Ignoring unknown extended header/ { next }
/^tar: .*emoving leading/ { bad("a name that is absolute or leads out"); next }
substr($0, 1, 1) !~ /[-d]/ || / -> / || / link to / { bad("neither file nor folder"); next }
substr($0, 2, 9) ~ /[sS]/ { bad("a set-uid file"); next }
/ \// { bad("an absolute name"); next }
/(^|[ \/])\.\.(\/|$)/ { bad("a name that leads out"); next }
NR > 1000000 && !many++ { bad("more than 1000000 files") }
"""

_UNPACK = r"""
export LC_ALL=C
fail() { printf '%s\n' "$*" >&2; exit 3; }
[ -f "$FROM" ] || fail "$FROM is not there, or is no file"
if [ -L "$TO" ] || { [ -e "$TO" ] && [ ! -d "$TO" ]; }; then fail "$TO is there and is no folder"; fi
if [ -d "$TO" ] && [ -n "$(ls -A "$TO")" ]; then fail "$TO is not empty"; fi
size=$(wc -c <"$FROM"); most=$AT_MOST
if [ -z "$most" ]; then most=$((size * RATIO)); if [ "$most" -lt "$LEAST" ]; then most=$LEAST; fi; fi
wrong=$({ { gzip -dc <"$FROM" || echo "not a whole gzip file, or more than $most bytes inside" >&3; } 2>/dev/null \
  | head -c "$most" \
  | { tar -tvf - 2>&1 || echo "not a whole tar archive" >&3; cat >/dev/null; } \
  | awk "$JUDGE" >&3; } 3>&1)
[ -z "$wrong" ] || fail "$FROM: $(printf %s "$wrong" | tr '\n' ';')"
new=$TO.drctl-new
rm -rf "$new"
trap 'rm -rf "$new"' EXIT
mkdir -p "$(dirname "$TO")"
mkdir -m 700 "$new"
gzip -dc <"$FROM" | head -c "$most" | tar -xof - -C "$new"
if [ -d "$TO" ]; then rmdir "$TO"; fi
mv "$new" "$TO"
trap - EXIT
printf 'files %s\n' "$(find "$TO" -type f | wc -l)"
printf 'size %s\n' "$(du -sk "$TO" | cut -f 1)"
"""

_LOOK = r"""
export LC_ALL=C
if [ ! -e "$TO" ] && [ ! -L "$TO" ]; then echo absent; exit 0; fi
if [ ! -d "$TO" ]; then echo other; exit 0; fi
if [ -z "$(ls -A "$TO")" ]; then echo empty; exit 0; fi
[ -f "$FROM" ] || { echo full; exit 0; }
gzip -dc <"$FROM" 2>/dev/null | tar -tf - 2>/dev/null | head -n "$NAMES" | { n=0; gone=0
  while IFS= read -r name; do
    n=$((n+1))
    case $name in *\\*) continue;; esac
    [ -e "$TO/$name" ] || gone=$((gone+1))
  done
  echo "listed $n"; echo "gone $gone"; }
"""


@dataclass(frozen=True, slots=True, kw_only=True, init=False)
class ArchiveUnpack(CommandAct):
    """Unpacks a `.tar.gz` that lies on the host into a folder that is new or empty.

    The whole archive is read and judged first: links, devices, set-uid files, absolute names and names with `..` are
    refused, as is a damaged archive and one that holds more than 100 times its own size (`at_most` allows more, or
    less). Only then is it unpacked, beside its place, and renamed: the folder appears whole or not at all. It is
    readable by its owner only. Nothing that is there is ever overwritten.
    """

    NAME: ClassVar[str] = "archive.unpack"
    OUTPUTS: ClassVar[Mapping[str, str]] = {"exit": "int", "files": "int", "size": "size"}
    CRITERIA: ClassVar[tuple[Criterion, ...]] = (Criterion(text="exit == 0", fields=frozenset({"exit"})),)
    EFFECT: ClassVar[Effect | None] = Effect.IDEMPOTENT
    NO_INVERSE: ClassVar[str] = "removing restored data is a step of its own"
    EXAMPLE: ClassVar[str] = """
- {id: unpack, on: db-standby, do: archive.unpack, with: {from: restore/base.tar.gz, to: restore/data}}
"""

    source: str = arg(type="text", doc="The archive on the host; a relative path starts in the home folder.")
    to: str = arg(type="text", doc="The folder: new, or empty.")
    at_most: Size | None = arg(type="size", doc="Most bytes it may hold; else 100 times its size.", default=None)

    def __init__(self, *, to: str, at_most: Size | None = None, **rest: str) -> None:
        """Take the fields by their names in the language, where `source` is called `from`, a word of Python's."""
        if set(rest) != {"from"}:
            raise TypeError(f"archive.unpack takes from, to and at_most, not {', '.join(sorted(rest)) or 'these'}")
        for name, value in (("source", rest["from"]), ("to", to), ("at_most", at_most)):
            object.__setattr__(self, name, value)
        for name, path in (("from", self.source), ("to", self.to)):
            if not path.strip("/.") or "\0" in path:
                raise FieldError(name, f"{path!r} is not a path to use here")

    @classmethod
    def fields(cls) -> tuple[FieldSpec, ...]:
        """The fields by their names in the language."""
        declared = super(ArchiveUnpack, cls).fields()  # noqa: UP008 - a slotted class is made anew: no cell
        return tuple(dataclasses.replace(spec, name="from") if spec.name == "source" else spec for spec in declared)

    def command(self, facts: Facts) -> Command:  # noqa: ARG002 - the contract's parameter
        """Judge the archive, unpack it beside its place, rename."""
        env = {
            **self._paths(),
            "AT_MOST": "" if self.at_most is None else str(self.at_most.bytes),
            "RATIO": str(_RATIO),
            "LEAST": str(_LEAST_LIMIT),
            "JUDGE": _JUDGE.replace("1000000", str(_MOST_FILES)),
        }
        return Command(script=_UNPACK, env=env, timeout=ACT_LIMIT)

    def outputs(self, reply: Reply) -> Outputs:
        """How much was unpacked."""
        said = {name: value.strip() for name, value in lines_of(reply)} if reply.exit == 0 else {}
        missing = none(complaint(reply))
        files, size = said.get("files", ""), said.get("size", "")
        return Outputs(
            values={
                "exit": missing if reply.exit is None else reply.exit,
                "files": int(files) if files.isdecimal() else missing,
                "size": Size(int(size) * 1024) if size.isdecimal() else missing,
            },
            because=f"{files} files in {self.to}" if reply.exit == 0 else complaint(reply),
            streams=streams(reply),
            whole=reply.whole,
            host_key=reply.host_key,
        )

    def describe(self, facts: Facts) -> str:
        """The paths and the script."""
        return shown(self.command(facts))

    def preview(self, probe: Probe) -> Preview:
        """Look at the folder. A full one is refused by the act, even with the right names: contents may differ."""
        _, because, exists, is_free = self._found(probe)
        change = Change.WOULD_CHANGE if is_free else Change.CANNOT_TELL
        if exists and not is_free:
            because = f"{because}; only a new or empty folder is filled"
        return Preview(change=change, because=because, prior={} if exists is None else {"exists": exists})

    def verify(self, probe: Probe) -> Verdict:
        """Done when the first names of the archive are there: the folder appears in one rename, with all or none."""
        seen, because, *_ = self._found(probe)
        return Verdict(seen=seen, because=because)

    def _paths(self) -> dict[str, str]:
        paths = {"FROM": self.source, "TO": self.to.rstrip("/")}
        return {name: f"./{path}" if path.startswith("-") else path for name, path in paths.items()}

    def _found(self, probe: Probe) -> tuple[Seen, str, bool | None, bool]:
        """Whether it is done, in words; whether the folder is there; whether it may be filled."""
        reply = probe.shell.read(
            Command(script=_LOOK, env={**self._paths(), "NAMES": str(_NAMES)}, timeout=probe.timeout)
        )
        said = {name: value.strip() for name, value in lines_of(reply)}
        if reply.reach is not Reach.COMPLETE or reply.exit != 0:
            return Seen.UNKNOWN, complaint(reply), None, False
        if said.keys() & {"absent", "empty"}:
            return Seen.NOT_DONE, f"{self.to} is {min(said)}", "empty" in said, True
        if "other" in said:
            return Seen.NOT_DONE, f"{self.to} is no folder", True, False
        listed, gone = said.get("listed", "0"), said.get("gone", "0")
        if listed == "0":
            return Seen.UNKNOWN, f"{self.to} is not empty, and {self.source} cannot be read to compare", True, False
        if gone != "0":
            return Seen.NOT_DONE, f"{self.to} holds something else: {gone} of {listed} names are missing", True, False
        return Seen.DONE, f"{self.to} holds the names of {self.source} ({listed} compared)", True, False
