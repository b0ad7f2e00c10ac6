"""A campaign that cannot fail counts nothing: each of these builds is broken on purpose and must be caught."""

import random
from collections.abc import Callable

import pytest

from drctl.adapters.journal import JournalWriter
from drctl.core import verification
from drctl.core.records import Record
from drctl.core.verification import Verdict, Verifier
from tests.campaign.registry import campaigns

Patch = pytest.MonkeyPatch


def acknowledge_before_the_disk(patch: Patch) -> None:
    patch.setattr(JournalWriter, "settle", lambda _self, _seq: None)


def claim_more_on_disk_than_is(patch: Patch) -> None:
    honest = JournalWriter._seal

    def lie(self: JournalWriter, *given: object) -> tuple[Record, bytes, bytes]:
        self._durable = self._chain.size - 1
        return honest(self, *given)  # type: ignore[arg-type] # passed through

    patch.setattr(JournalWriter, "_seal", lie)


def forget_that_writing_failed(patch: Patch) -> None:
    honest = JournalWriter._usable

    def forget(self: JournalWriter) -> None:
        self._poison = None
        honest(self)

    patch.setattr(JournalWriter, "_usable", forget)


def do_not_finish_a_torn_line(patch: Patch) -> None:
    def half(self: JournalWriter, line: bytes, digest: bytes) -> None:
        self._disk.write(self._fd, line)  # a short write is taken for a whole one
        self._chain.add(line, digest)

    patch.setattr(JournalWriter, "_put", half)


class Agreeable:
    """Equal to any hash."""

    __hash__ = None  # type: ignore[assignment] # never a key

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False


def do_not_look_at_the_chain(patch: Patch) -> None:
    patch.setattr(verification, "link", lambda _prev, _content: Agreeable())


def do_not_look_at_checkpoints(patch: Patch) -> None:
    def trust(self: Verifier, _chain: object, record: Record, _line: bytes) -> None:
        self._signed = record.seq + 1

    patch.setattr(Verifier, "_check", trust)
    do_not_look_at_the_chain(patch)


def do_not_look_at_anchors(patch: Patch) -> None:
    patch.setattr(Verifier, "__post_init__", lambda self: setattr(self, "_roots", {}))


def call_an_open_run_intact(patch: Patch) -> None:
    honest = Verifier._verdict

    def flatter(self: Verifier) -> Verdict:
        word = honest(self)
        return Verdict.INTACT_NOT_ANCHORED if word is Verdict.OPEN else word

    patch.setattr(Verifier, "_verdict", flatter)


def call_every_bad_end_torn(patch: Patch) -> None:
    honest = Verifier._verdict

    def excuse(self: Verifier) -> Verdict:
        word = honest(self)
        return Verdict.TORN if word is Verdict.ALTERED else word

    patch.setattr(Verifier, "_verdict", excuse)


def call_every_torn_end_altered(patch: Patch) -> None:
    honest = Verifier._verdict

    def accuse(self: Verifier) -> Verdict:
        word = honest(self)
        return Verdict.ALTERED if word is Verdict.TORN else word

    patch.setattr(Verifier, "_verdict", accuse)


@pytest.mark.parametrize(
    ("sabotage", "campaign", "count"),
    [
        (acknowledge_before_the_disk, "power-loss", 300),
        (claim_more_on_disk_than_is, "power-loss", 500),
        (call_every_torn_end_altered, "power-loss", 50),
        (forget_that_writing_failed, "journal-faults", 100),
        (do_not_finish_a_torn_line, "journal-faults", 100),
        (do_not_look_at_the_chain, "bitflip", 2000),
        (do_not_look_at_checkpoints, "records", 500),
        (call_every_bad_end_torn, "records", 50),
        (do_not_look_at_anchors, "truncate", 200),
        (call_an_open_run_intact, "truncate", 1_000_000),
    ],
    ids=lambda given: getattr(given, "__name__", str(given)),
)
def test_sabotage_is_caught(sabotage: Callable[[Patch], None], campaign: str, count: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        sabotage(patch)
        figures = campaigns()[campaign].run(count, random.Random(1))
    assert figures.broken
