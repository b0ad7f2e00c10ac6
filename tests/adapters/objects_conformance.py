"""What every `ReadObjects` owes, as one suite: the bucket in memory and the real adapter run it.

A subclass gives a fixture `store` with `put`, `delete` and `objects`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from drctl.core.ports import ObjectError, ReadObjects


@dataclass(slots=True)
class Store:
    """A bucket under test: `put` gives the version."""

    put: Callable[[str, bytes], str]
    delete: Callable[[str], None]
    objects: ReadObjects

    def text(self, key: str, version: str | None) -> bytes:
        return b"".join(self.objects.get(key, version))


class ObjectsConformance:
    def test_every_version_is_listed_and_can_be_read(self, store: Store) -> None:
        first, second = store.put("base/a", b"one"), store.put("base/a", b"two")
        store.put("wal/x", b"not listed")
        listed = store.objects.versions("base/")
        assert {(v.key, v.version, v.size) for v in listed} == {("base/a", first, 3), ("base/a", second, 3)}
        assert [v.version for v in listed if v.latest] == [second]
        assert store.text("base/a", first) == b"one"
        assert store.text("base/a", None) == b"two"

    def test_a_deleted_object_is_listed_with_its_marker_and_its_version_is_still_there(self, store: Store) -> None:
        version = store.put("base/a", b"one")
        store.delete("base/a")
        listed = store.objects.versions("base/")
        assert [(v.version, v.latest) for v in listed if not v.deleted] == [(version, False)]
        assert [v.latest for v in listed if v.deleted] == [True]
        assert store.text("base/a", version) == b"one"

    def test_a_version_that_is_not_there_is_missing_and_no_other_is_taken(self, store: Store) -> None:
        store.put("base/a", b"one")
        with pytest.raises(ObjectError) as failure:
            store.text("base/a", "3sL4kqtJlcpXroDTDmJ-rmSpXd3dIbrHY")
        assert failure.value.missing

    def test_bytes_arrive_whole_and_in_order(self, store: Store) -> None:
        data = bytes(range(256)) * 12_289
        assert store.text("big", store.put("big", data)) == data

    def test_an_empty_object_is_empty(self, store: Store) -> None:
        assert store.text("empty", store.put("empty", b"")) == b""

    def test_nothing_under_a_prefix_is_an_empty_list(self, store: Store) -> None:
        assert list(store.objects.versions("nothing/")) == []
