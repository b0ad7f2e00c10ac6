"""The kind `backup.fetch`: brings one version of one object from a bucket to a host, and proves that it is the one."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, ClassVar

from drctl.core.holdings import LinkError
from drctl.core.kind import Change, CommandAct, Criterion, FieldError, Outputs, Preview, Seen, Verdict, arg
from drctl.core.nouns import dataclass
from drctl.core.outcomes import Effect
from drctl.core.ports import Act, Command, Facts, ObjectError, Probe, Reach, Reply
from drctl.core.values import Size, Value
from drctl.kinds.commands import ACT_LIMIT, DIGEST_OF, complaint, lines_of, none, shown, streams, without_values

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_DIGEST = re.compile(r"[0-9a-f]{64}")

_LOOK = (
    DIGEST_OF
    + """\
if [ -f "$TO" ]; then printf 'sha256 %s\\nsize %s\\n' "$(drctl_sha256 "$TO")" "$(wc -c <"$TO")"
elif [ -e "$TO" ]; then echo "other"
else echo "absent"; fi
"""
)
# The copy is made beside its place, so that the last move is a rename: a reader sees the old file or the whole new one.
_MOVE = (
    DIGEST_OF
    + """\
[ ! -d "$TO" ] || { printf '%s is a folder\\n' "$TO" >&2; exit 3; }
mkdir -p "$(dirname "$TO")"
part=$TO.drctl-part
trap 'rm -f "$part"' EXIT
mv -f "$DRCTL_STAGE/data" "$part"
got=$(drctl_sha256 "$part")
[ "$got" = "$SHA256" ] || { printf 'what arrived has SHA-256 %s\\n' "$got" >&2; exit 4; }
mv -f "$part" "$TO"
printf 'sha256 %s\\nsize %s\\n' "$got" "$(wc -c <"$TO")"
"""
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupFetch(CommandAct):
    """Streams one version of an object from S3 to a file on the host, in place only if its SHA-256 is right.

    The digest must come from elsewhere than the object: from the manifest made with the backup. It is checked twice:
    while the bytes arrive, before anything is changed on the host, and on the host before the file gets its name. The
    file appears whole or not at all, and replaces one of the same name. Without `version` the newest version is
    fetched; a version that is not there is a failure, never a reason to take another.
    """

    NAME: ClassVar[str] = "backup.fetch"
    OUTPUTS: ClassVar[Mapping[str, str]] = {"exit": "int", "path": "text", "sha256": "text", "size": "size"}
    CRITERIA: ClassVar[tuple[Criterion, ...]] = (Criterion(text="exit == 0", fields=frozenset({"exit"})),)
    EFFECT: ClassVar[Effect | None] = Effect.IDEMPOTENT
    NO_INVERSE: ClassVar[str] = "a fetched copy does no harm where it lies"
    EXAMPLE: ClassVar[str] = """
- id: catalogue
  do: backup.list
  with: {bucket: backups, name: "base/{time}/manifest.json", manifest: true}
- id: fetch
  on: db-standby
  do: backup.fetch
  with:
    bucket: backups
    key: "${{ first(steps.catalogue.backups).key }}"
    version: "${{ first(steps.catalogue.backups).version }}"
    sha256: "${{ first(steps.catalogue.backups).sha256 }}"
    to: restore/base.tar.gz
"""

    bucket: str = arg(type="text", doc="Bucket of the inventory.", entry="bucket")
    key: str = arg(type="text", doc="Key of the object.")
    version: str | None = arg(type="text", doc="Version of the object.", default=None)
    sha256: str = arg(type="text", doc="SHA-256 it must have, 64 hex digits.")
    to: str = arg(type="text", doc="File on the host; a relative path starts in the home folder.")

    def __post_init__(self) -> None:
        if not _DIGEST.fullmatch(self.sha256.lower()):
            raise FieldError("sha256", "this is not a SHA-256 of 64 hex digits", "take it from the backup's manifest")
        if not self.to or self.to.endswith("/") or "\0" in self.to:
            raise FieldError("to", "this is not the path of a file")

    def command(self, facts: Facts) -> Command:  # noqa: ARG002 - the contract's parameter
        """Check what was staged and move it into place."""
        env = {"TO": self._path(), "SHA256": self.sha256.lower()}
        return Command(script=_MOVE, env=env, timeout=ACT_LIMIT)

    def execute(self, act: Act) -> Outputs:
        """Stream, check, stage, then move: nothing is put in place when the bytes are not the right ones.

        After a crash nothing is staged: the command's outcome is already on the host, and `run` gives it back.
        """
        try:
            source = _Source(act.probe.objects(self.bucket).get(self.key, self.version))
        except KeyError:
            return without_values(BackupFetch, f"the inventory has no bucket {self.bucket}")
        try:
            act.shell.stage(source)
        except LinkError as error:
            return without_values(BackupFetch, error.because, Reach.UNREACHABLE)
        if source.fault:
            return without_values(BackupFetch, source.fault)
        got = source.digest.hexdigest()
        if source.read and got != self.sha256.lower():
            return without_values(BackupFetch, f"{self.key} has SHA-256 {got}, not {self.sha256.lower()}")
        return CommandAct.execute(self, act)

    def outputs(self, reply: Reply) -> Outputs:
        """What lies on the host now."""
        said = dict(lines_of(reply)) if reply.exit == 0 else {}
        missing = none(complaint(reply))
        size = said.get("size", "").strip()
        return Outputs(
            values={
                "exit": missing if reply.exit is None else reply.exit,
                "path": self.to,
                "sha256": said.get("sha256") or missing,
                "size": Size(int(size)) if size.isdecimal() else missing,
            },
            because=f"{self.to} is {self.key}" if reply.exit == 0 else complaint(reply),
            streams=streams(reply),
            whole=reply.whole,
            host_key=reply.host_key,
        )

    def describe(self, facts: Facts) -> str:
        """What is fetched, then the script that puts it in place."""
        version = f" version {self.version}" if self.version else ", newest version"
        return (
            f"fetch {self.key}{version} from bucket {self.bucket} into $DRCTL_STAGE/data\n{shown(self.command(facts))}"
        )

    def preview(self, probe: Probe) -> Preview:
        """Look at what lies there now."""
        found, because = self._found(probe)
        if found is None:
            return Preview(change=Change.CANNOT_TELL, because=because)
        prior: dict[str, Value] = {"exists": found != "absent", "sha256": found if _DIGEST.fullmatch(found) else None}
        same = found == self.sha256.lower()
        return Preview(change=Change.NO_CHANGE if same else Change.WOULD_CHANGE, because=because, prior=prior)

    def verify(self, probe: Probe) -> Verdict:
        """Done when the file on the host has the digest."""
        found, because = self._found(probe)
        if found is None:
            return Verdict(seen=Seen.UNKNOWN, because=because)
        return Verdict(seen=Seen.DONE if found == self.sha256.lower() else Seen.NOT_DONE, because=because)

    def _path(self) -> str:
        return f"./{self.to}" if self.to.startswith("-") else self.to

    def _found(self, probe: Probe) -> tuple[str | None, str]:
        """The digest of the file there, or absent, or other; None when the look gave nothing."""
        reply = probe.shell.read(Command(script=_LOOK, env={"TO": self._path()}, timeout=probe.timeout))
        if reply.reach is not Reach.COMPLETE or reply.exit != 0:
            return None, complaint(reply)
        said = dict(lines_of(reply))
        if "absent" in said:
            return "absent", f"{self.to} is not there"
        if "other" in said:
            return "other", f"{self.to} is no file"
        digest = said.get("sha256", "")
        return (digest, f"{self.to} has SHA-256 {digest}") if _DIGEST.fullmatch(digest) else (None, "no SHA-256 tool")


class _Source:
    """The bytes of an object, hashed as they pass. A store that fails ends them and is remembered, not raised.

    An exception would have to find its way through the link that is sending; this way the link always ends in order.
    """

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self.digest = hashlib.sha256()
        self.read = False
        self.fault = ""

    def __iter__(self) -> Iterator[bytes]:
        """Pass the pieces on; called once, and not at all when the host has its outcome already."""
        self.read = True
        try:
            for chunk in self._chunks:
                self.digest.update(chunk)
                yield chunk
        except ObjectError as error:
            self.fault = error.because
