"""The kind `backup.list`: the backups in a bucket, every version of them, with their manifests."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import ClassVar

from drctl.core.kind import Criterion, FieldError, LookKind, Outputs, Place, arg
from drctl.core.nouns import dataclass
from drctl.core.ports import MEBIBYTE, Facts, ObjectError, ObjectVersion, Probe, Reach, ReadObjects
from drctl.core.values import Map, Size, Time, Unknown, Value, parse_json
from drctl.kinds.commands import without_values

_MOST_MANIFESTS = 1000
_PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_OWN = ("key", "version", "size", "at", "latest", "deleted")


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupList(LookKind):
    """Lists the backups of a bucket, newest first: every version of every object whose key fits `name`.

    `name` is a pattern such as `base/{time}/manifest.json`: each `{word}` fits a stretch without `/` and is a field
    of the entry; `{time}` is read as a time when it is one. An entry has `key version size at latest deleted`; `at` is
    the `{time}` of the key, else when the object was stored. An object under a delete marker is listed with `deleted`
    true: whoever deletes a backup in a versioned bucket only hides it.

    With `manifest: true` the objects are JSON manifests: their fields (`key version size sha256 taken_at` ...) become
    those of the entry, so that an entry is the backup itself, and the manifest's own are `manifest_key` and
    `manifest_version`. `taken_at`, when given, is the entry's `at`. A manifest that cannot be read gives an entry with
    `fault` and no `sha256`; it is never left out in silence.
    """

    NAME: ClassVar[str] = "backup.list"
    PLACE: ClassVar[Place] = Place.LOCAL
    OUTPUTS: ClassVar[Mapping[str, str]] = {"backups": "list"}
    CRITERIA: ClassVar[tuple[Criterion, ...]] = (Criterion(text="not empty(backups)", fields=frozenset({"backups"})),)
    EXAMPLE: ClassVar[str] = """
- id: catalogue
  do: backup.list
  with: {bucket: backups, name: "base/{time}/manifest.json", manifest: true}
  capture: {newest: "first(filter(b in backups, not b.deleted and b.at < run.started_at))"}
"""

    bucket: str = arg(type="text", doc="Bucket of the inventory.", entry="bucket")
    name: str = arg(type="text", doc="Pattern of the keys, such as `base/{time}/manifest.json`.")
    manifest: bool = arg(type="bool", doc="The objects are JSON manifests to be read.", default=False)

    def __post_init__(self) -> None:
        words = _PLACEHOLDER.findall(self.name)
        if not self.name or len(words) != len(set(words)):
            raise FieldError("name", "a pattern needs some text, and each {word} once")
        if taken := set(words) & set(_OWN):
            raise FieldError("name", f"{{{min(taken)}}} is a field every entry has", "choose another word")

    def look(self, probe: Probe) -> Outputs:
        """List once, and read the manifests."""
        try:
            objects = probe.objects(self.bucket)
            listed = objects.versions(_PLACEHOLDER.split(self.name, maxsplit=1)[0])
            entries = self._entries(listed)
            if self.manifest:
                if len(entries) > _MOST_MANIFESTS:
                    reason = f"{len(entries)} manifests fit {self.name}; at most {_MOST_MANIFESTS} are read"
                    return without_values(BackupList, reason)
                entries = [_with_manifest(objects, entry) for entry in entries]
        except KeyError:
            return without_values(BackupList, f"the inventory has no bucket {self.bucket}")
        except ObjectError as error:
            return without_values(BackupList, error.because, Reach.UNREACHABLE)
        backups = tuple(sorted(entries, key=_newest_first))
        return Outputs(values={"backups": backups}, because=f"{len(backups)} versions of {self.name}")

    def describe(self, facts: Facts) -> str:  # noqa: ARG002 - the contract's parameter
        """What is listed."""
        read = ", and read each as a manifest" if self.manifest else ""
        return f"list all versions of {self.name} in bucket {self.bucket}{read}"

    def _entries(self, listed: Sequence[ObjectVersion]) -> list[Map]:
        pattern = re.compile("".join(_pattern_parts(self.name)))
        deleted = {version.key for version in listed if version.deleted and version.latest}
        entries = []
        for version in listed:
            found = pattern.fullmatch(version.key)
            if version.deleted or found is None:
                continue
            words = {word: _word(word, text) for word, text in found.groupdict().items()}
            time = words.get("time")
            own: dict[str, Value] = {
                "key": version.key,
                "version": version.version,
                "size": Size(version.size),
                "at": time if isinstance(time, Time) else version.at,
                "latest": version.latest,
                "deleted": version.key in deleted,
            }
            entries.append(Map({**words, **own}))
        return entries


def _pattern_parts(name: str) -> list[str]:
    parts = _PLACEHOLDER.split(name)
    return [f"(?P<{part}>[^/]+)" if index % 2 else re.escape(part) for index, part in enumerate(parts)]


def _word(word: str, text: str) -> Value:
    if word == "time":
        try:
            return Time.parse(text)
        except ValueError:
            return text
    return text


def _newest_first(entry: Map) -> tuple[int, str, str]:
    at = entry["at"]
    return (-at.micros if isinstance(at, Time) else 0, str(entry["key"]), str(entry["version"]))


def _with_manifest(objects: ReadObjects, entry: Map) -> Map:
    """The entry with the fields of its manifest; what names or measures something keeps its type."""
    own = {"manifest_key": entry["key"], "manifest_version": entry["version"]}
    try:
        decoded = parse_json(_read(objects, str(entry["key"]), str(entry["version"])))
    except (ObjectError, UnicodeDecodeError, ValueError) as error:
        if isinstance(error, ObjectError) and not error.missing:
            raise
        return Map({**entry, **own, "fault": f"the manifest cannot be read: {error}"})
    if isinstance(decoded, Unknown) or not isinstance(decoded, Mapping):
        return Map({**entry, **own, "fault": f"the manifest is not a JSON map: {decoded}"})
    fields = {name: _typed(name, value) for name, value in decoded.items() if name not in {"latest", "deleted"}}
    if not isinstance(fields.get("key"), str) or not isinstance(fields.get("sha256"), str):
        return Map({**entry, **own, "fault": "the manifest names no key and sha256"})
    taken = fields.get("taken_at")
    return Map({**entry, "version": None, **own, **fields, "at": taken if isinstance(taken, Time) else entry["at"]})


def _typed(name: str, value: Value) -> Value:
    try:
        if name == "size" and isinstance(value, int) and not isinstance(value, bool):
            return Size(value)
        if name in {"taken_at", "at"} and isinstance(value, str):
            return Time.parse(value)
    except ValueError:
        return value
    return value


def _read(objects: ReadObjects, key: str, version: str) -> str:
    content = bytearray()
    for chunk in objects.get(key, version):
        content += chunk
        if len(content) > MEBIBYTE:
            raise ValueError("it is longer than 1 MiB")
    return content.decode()
