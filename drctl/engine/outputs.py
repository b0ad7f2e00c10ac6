"""Packs a step's values into a record, and gets them back.

A record line is at most 64 KiB, so a large value lies beside the journal under its digest and the record holds
`{"$ref": digest}`; a value from a host can never look like that, because `to_json` escapes its `$`.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Protocol

from drctl.core.values import Unknown, Value, from_json, to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

INLINE = 4096
ALL_INLINE = 24 * 1024


class Store(Protocol):
    """Content-addressed files of one run."""

    def put(self, data: bytes) -> str:
        """Keep bytes, durably; give their SHA-256 in hex. Idempotent."""
        ...

    def get(self, digest: str) -> bytes:
        """Give bytes back. Raises KeyError when they are missing, ValueError when they do not match."""
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


def pack(values: Mapping[str, Value], store: Store, mask: Callable[[str], str]) -> dict[str, Any]:
    """Encode values for a record, the large ones by reference; masked before anything reaches the disk."""
    encoded = {
        name: mask(json.dumps(to_json(value), ensure_ascii=True, sort_keys=True)) for name, value in values.items()
    }
    total = sum(len(text) for text in encoded.values())
    packed: dict[str, Any] = {}
    for name, text in sorted(encoded.items(), key=lambda item: -len(item[1])):
        if len(text) > INLINE or total > ALL_INLINE:
            packed[name] = {"$ref": store.put(text.encode("ascii"))}
            total -= len(text)
        else:
            packed[name] = json.loads(text)
    return packed


def unpack(packed: Any, store: Store) -> Value | Unknown:
    """Decode one value of a record."""
    if isinstance(packed, dict) and set(packed) == {"$ref"}:
        try:
            packed = json.loads(store.get(packed["$ref"]))
        except (KeyError, ValueError, OSError) as error:
            return Unknown(f"its kept output is missing or damaged ({error})", not_yet=False)
    return from_json(packed)
