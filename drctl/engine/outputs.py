"""Packs a step's values into a record, and gets them back.

A record line is at most 64 KiB, so a large value lies beside the journal under its digest and the record holds
`{"$ref": digest}`; a value from a host can never look like that, because `to_json` escapes its `$`. A value in which a
secret stands is not kept masked: used later, its stars would be taken for data. It is lost, and the record says why.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Final, Protocol

from drctl.core.nouns import dataclass
from drctl.core.values import Unknown, Value, from_json, to_json
from drctl.errors import JournalError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

INLINE: Final = 4096
ALL_INLINE: Final = 16 * 1024
HOLDS_SECRET: Final = "a secret stands in it, and secrets are not recorded"  # noqa: S105 - a sentence


class Store(Protocol):
    """Content-addressed files of one run."""

    def put(self, data: bytes) -> str:
        """Keep bytes, durably; give their SHA-256 in hex. Idempotent."""
        ...

    def get(self, digest: str) -> bytes:
        """Give bytes back. Raises KeyError or JournalError when they are missing or do not match."""
        ...


class MemoryStore:
    """A store for plans and tests: nothing touches the disk."""

    def __init__(self) -> None:
        self._data: dict[str, bytes] = {}

    def put(self, data: bytes) -> str:
        """Keep bytes."""
        digest = hashlib.sha256(data).hexdigest()
        self._data[digest] = data
        return digest

    def get(self, digest: str) -> bytes:
        """Give bytes back."""
        return self._data[digest]


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """Values as a record holds them, and why others could not be kept."""

    values: Mapping[str, Any]
    lost: Mapping[str, str]

    @property
    def tagged(self) -> dict[str, Any]:
        """Both in one map, lost ones as `{"$none": why}`."""
        return {**self.values, **{name: {"$none": why} for name, why in self.lost.items()}}


def pack(values: Mapping[str, Value], store: Store, mask: Callable[[str], str], *, inline: int = ALL_INLINE) -> Packed:
    """Encode values for a record, the large ones by reference."""
    encoded: dict[str, str] = {}
    lost: dict[str, str] = {}
    for name, value in values.items():
        tree = to_json(value)
        text = json.dumps(tree, ensure_ascii=True, sort_keys=True)
        plain = "\0".join(_texts(tree))
        if mask(text) != text or mask(plain) != plain:
            lost[name] = HOLDS_SECRET
        else:
            encoded[name] = text
    total = sum(len(text) for text in encoded.values())
    packed: dict[str, Any] = {}
    for name, text in sorted(encoded.items(), key=lambda item: -len(item[1])):
        if len(text) > INLINE or total > inline:
            packed[name] = {"$ref": store.put(text.encode("ascii"))}
            total -= len(text)
        else:
            packed[name] = json.loads(text)
    return Packed(values=packed, lost=lost)


def _texts(tree: object) -> Iterator[str]:
    """Every text in a tree of JSON, keys included."""
    if isinstance(tree, str):
        yield tree
    elif isinstance(tree, dict):
        for key, member in tree.items():
            yield key
            yield from _texts(member)
    elif isinstance(tree, list):
        for member in tree:
            yield from _texts(member)


def unpack(packed: object, store: Store) -> Value | Unknown:
    """Decode one value of a record."""
    if isinstance(packed, dict) and set(packed) == {"$none"}:
        return Unknown(str(packed["$none"]), not_yet=False)
    try:
        if isinstance(packed, dict) and set(packed) == {"$ref"}:
            packed = json.loads(store.get(packed["$ref"]))
        return from_json(packed)
    except (KeyError, ValueError, OSError, JournalError) as error:
        return Unknown(f"its kept output is missing or damaged ({error})", not_yet=False)
