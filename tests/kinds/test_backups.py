"""`backup.list` over a bucket in memory, `backup.fetch` from there onto this machine."""

import hashlib
import json
from collections.abc import Mapping

import pytest

from drctl.core.kind import Change, FieldError, Seen
from drctl.core.ports import Reach
from drctl.core.values import Map, Size, Time, Unknown, Value
from drctl.kinds.backup_fetch import BackupFetch
from drctl.kinds.backup_list import BackupList
from tests.fakes.hosts import FakeHost, said
from tests.kinds.worlds import Attached, Machine, NoStage, Objects, act, probe


def listed(objects: Objects, **fields: object) -> list[Mapping[str, Value]]:
    kind = BackupList(**{"bucket": "backups", "name": "base/{time}/manifest.json", **fields})  # type: ignore[arg-type] # varied
    outputs = kind.look(probe(objects=objects))
    assert isinstance(outputs.values["backups"], tuple), outputs.because
    return [entry for entry in outputs.values["backups"] if isinstance(entry, Map)]


def manifest(objects: Objects, stamp: str, **extra: object) -> str:
    version = objects.put(f"base/{stamp}/base.tar.gz", b"archive of " + stamp.encode())
    content = {
        "key": f"base/{stamp}/base.tar.gz",
        "version": version,
        "size": 11 + len(stamp),
        "sha256": hashlib.sha256(b"archive of " + stamp.encode()).hexdigest(),
        "taken_at": "2026-01-31T23:59:59Z",
        "timeline": 1,
        **extra,
    }
    return objects.put(f"base/{stamp}/manifest.json", json.dumps(content).encode())


def test_versions_are_listed_newest_first() -> None:
    objects = Objects()
    objects.put("base/20260101T000000Z/manifest.json", b"{}")
    objects.put("base/20260301T000000Z/manifest.json", b"{}")
    objects.put("base/20260201T000000Z/manifest.json", b"{}")
    objects.put("base/20260201T000000Z/base.tar.gz", b"not a manifest")
    entries = listed(objects)
    assert [str(entry["at"]) for entry in entries] == [
        "2026-03-01T00:00:00Z", "2026-02-01T00:00:00Z", "2026-01-01T00:00:00Z",
    ]  # fmt: skip
    assert entries[0]["key"] == "base/20260301T000000Z/manifest.json"
    assert entries[0]["size"] == Size(2)
    assert entries[0]["latest"] is True


def test_a_backup_hidden_by_a_delete_marker_is_listed_as_such() -> None:
    objects = Objects()
    version = objects.put("base/20260101T000000Z/manifest.json", b"{}")
    objects.delete("base/20260101T000000Z/manifest.json")
    (entry,) = listed(objects)
    assert (entry["version"], entry["deleted"], entry["latest"]) == (version, True, False)


def test_a_pattern_gives_its_words_and_nothing_else_fits() -> None:
    objects = Objects()
    objects.put("wal/1/000001.gz", b"", at="2026-05-05T00:00:00Z")
    objects.put("wal/1/x/000001.gz", b"")
    objects.put("wal/1/000001Xgz", b"")
    (entry,) = listed(objects, name="wal/{timeline}/{segment}.gz")
    assert (entry["timeline"], entry["segment"]) == ("1", "000001")
    assert entry["at"] == Time.parse("2026-05-05T00:00:00Z")


def test_a_manifest_makes_an_entry_the_backup_itself() -> None:
    objects = Objects()
    version = manifest(objects, "20260201T000000Z")
    (entry,) = listed(objects, manifest=True)
    assert entry["key"] == "base/20260201T000000Z/base.tar.gz"
    assert entry["version"] == "v1"
    assert entry["size"] == Size(27)
    assert entry["at"] == entry["taken_at"] == Time.parse("2026-01-31T23:59:59Z")
    assert (entry["manifest_version"], entry["timeline"]) == (version, 1)
    assert "fault" not in entry


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"not json", "not JSON"),
        (b"[]", "not a JSON map"),
        (b"\xff", "cannot be read"),
        (b'{"key": "k"}', "names no key and sha256"),
        (b'"' + b"x" * 1_100_000 + b'"', "longer than 1 MiB"),
    ],
)
def test_a_manifest_that_cannot_be_read_is_listed_with_its_fault(content: bytes, fault: str) -> None:
    objects = Objects()
    objects.put("base/20260101T000000Z/manifest.json", content)
    manifest(objects, "20260201T000000Z")
    bad = [entry for entry in listed(objects, manifest=True) if "fault" in entry]
    assert len(bad) == 1
    assert fault in str(bad[0]["fault"])
    assert "sha256" not in bad[0]


def test_an_old_manifest_of_the_same_key_is_an_entry_of_its_own() -> None:
    objects = Objects()
    manifest(objects, "20260201T000000Z")
    manifest(objects, "20260201T000000Z", sha256="f" * 64)
    entries = listed(objects, manifest=True)
    assert [entry["sha256"] == "f" * 64 for entry in entries].count(True) == 1
    assert len(entries) == 2


def test_a_store_that_does_not_answer_is_no_reply() -> None:
    outputs = BackupList(bucket="backups", name="base/").look(probe(objects=Objects(broken="dead endpoint")))
    assert outputs.reach is Reach.UNREACHABLE
    assert outputs.because == "dead endpoint"


def test_a_bucket_that_is_not_in_the_inventory() -> None:
    outputs = BackupList(bucket="other", name="base/").look(probe())
    assert str(outputs.values["backups"]) == "the inventory has no bucket other"


@pytest.mark.parametrize("name", ["", "{a}/{a}", "{key}", "{size}"])
def test_patterns_that_are_none_are_refused(name: str) -> None:
    with pytest.raises(FieldError):
        BackupList(bucket="backups", name=name)


# --- fetch ------------------------------------------------------------------------------------------------------------

DATA = bytes(range(256)) * 5000
DIGEST = hashlib.sha256(DATA).hexdigest()


def fetch(**fields: object) -> BackupFetch:
    base: dict[str, object] = {
        "bucket": "backups",
        "key": "base",
        "version": "v1",
        "sha256": DIGEST,
        "to": "in/base.gz",
    }
    return BackupFetch(**(base | fields))  # type: ignore[arg-type] # varied


def stocked() -> Objects:
    objects = Objects()
    objects.put("base", DATA)
    objects.put("base", b"a newer version that nobody asked for")
    return objects


def test_the_version_asked_for_arrives_whole(machine: Machine) -> None:
    kind = fetch(sha256=DIGEST.upper())
    looking = machine.probe(objects=stocked())
    assert kind.preview(looking).prior == {"exists": False, "sha256": None}
    assert kind.verify(looking).seen is Seen.NOT_DONE
    outputs = kind.execute(machine.act(objects=stocked()))
    assert outputs.values == {"exit": 0, "path": "in/base.gz", "sha256": DIGEST, "size": Size(len(DATA))}
    assert (machine.home / "in" / "base.gz").read_bytes() == DATA
    assert [path.name for path in (machine.home / "in").iterdir()] == ["base.gz"]
    assert kind.verify(looking).seen is Seen.DONE
    assert kind.preview(looking).change is Change.NO_CHANGE


def test_a_file_that_is_another_one_is_replaced(machine: Machine) -> None:
    (machine.home / "in").mkdir()
    (machine.home / "in" / "base.gz").write_bytes(b"old")
    kind = fetch()
    preview = kind.preview(machine.probe())
    assert preview.change is Change.WOULD_CHANGE
    assert preview.prior["sha256"] == hashlib.sha256(b"old").hexdigest()
    assert kind.execute(machine.act(objects=stocked())).values["exit"] == 0
    assert (machine.home / "in" / "base.gz").read_bytes() == DATA


def test_bytes_with_another_digest_change_nothing_on_the_host(machine: Machine) -> None:
    (machine.home / "in").mkdir()
    (machine.home / "in" / "base.gz").write_bytes(b"old")
    outputs = fetch(version="v2").execute(machine.act(objects=stocked()))
    assert isinstance(outputs.values["exit"], Unknown)
    assert f"not {DIGEST}" in outputs.because
    assert (machine.home / "in" / "base.gz").read_bytes() == b"old"


def test_bytes_damaged_on_the_way_to_the_host_do_not_get_its_name(machine: Machine) -> None:
    doing = machine.act(objects=stocked())
    real = doing.shell.stage

    def damaged(chunks: object) -> str:
        for _ in chunks:  # type: ignore[attr-defined] # the bytes
            pass
        return real([DATA[:-1] + b"x"])

    doing.shell.stage = damaged  # type: ignore[method-assign] # a link that damages
    outputs = fetch().execute(doing)
    assert outputs.values["exit"] == 4
    assert "what arrived has SHA-256" in outputs.because
    assert list((machine.home / "in").iterdir()) == []


def test_a_version_that_is_not_there_is_a_failure_and_no_other_is_taken(machine: Machine) -> None:
    outputs = fetch(version="v9").execute(machine.act(objects=stocked()))
    assert outputs.because == "base has no version v9"
    assert outputs.reach is Reach.COMPLETE
    assert not (machine.home / "in").exists()


def test_a_link_that_breaks_while_staging_began_nothing() -> None:
    outputs = fetch().execute(act(probe(objects=stocked()), shell=NoStage(FakeHost())))
    assert outputs.reach is Reach.UNREACHABLE


def test_after_a_crash_the_outcome_comes_from_the_host_and_nothing_is_fetched_again() -> None:
    kept = said(f"sha256 {DIGEST}\nsize {len(DATA)}\n")
    objects = Objects(broken="must not be asked")
    outputs = fetch().execute(act(probe(objects=objects), shell=Attached(kept)))
    assert outputs.values["exit"] == 0
    assert outputs.values["sha256"] == DIGEST


def test_a_folder_in_its_place_is_refused(machine: Machine) -> None:
    (machine.home / "in" / "base.gz").mkdir(parents=True)
    outputs = fetch().execute(machine.act(objects=stocked()))
    assert outputs.because == "exit 3: in/base.gz is a folder"
    assert fetch().verify(machine.probe()).seen is Seen.NOT_DONE


@pytest.mark.parametrize("fields", [{"sha256": "abc"}, {"sha256": "g" * 64}, {"to": ""}, {"to": "folder/"}])
def test_fields_that_cannot_be_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(FieldError):
        fetch(**fields)
