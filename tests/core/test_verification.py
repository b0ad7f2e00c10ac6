"""The verifier: every change is found, at its place, and no word says more than is known."""

import base64
import io
import random
import tracemalloc
from collections.abc import Iterable, Sequence

import pytest

from drctl.adapters.keys import RunKey
from drctl.core.records import CLOSED, MAX_LINE, TAKEN_OVER
from drctl.core.verification import Anchor, KeyStatus, Verdict, Verification, verify
from tests.fakes.journals import Builder, check_signature, closed_journal
from tests.second_verifier import verify as verify_second


def judge(
    lines: Iterable[bytes] | io.BytesIO,
    *,
    key: bytes | None = None,
    anchors: Sequence[Anchor] = (),
    parse_all: bool = True,
) -> Verification:
    return verify(lines, public_key=key, check_signature=check_signature, anchors=anchors, parse_all=parse_all)


def whole(word: Verification) -> bool:
    return word.verdict in (Verdict.INTACT_ANCHORED, Verdict.INTACT_NOT_ANCHORED)


@pytest.fixture
def made(rng: random.Random) -> Builder:
    return closed_journal(rng, size=20, every=6)


@pytest.fixture
def rng() -> random.Random:
    return random.Random(7)


def test_a_closed_journal_is_intact_and_not_anchored(made: Builder) -> None:
    word = judge(made.lines, key=made.key.public)
    assert word.verdict is Verdict.INTACT_NOT_ANCHORED
    assert word.exit == 23
    assert (word.records, word.signed, word.last_checkpoint, word.bad_count) == (20, 20, 19, 0)
    assert word.closed
    assert word.head == made.chain.head.hex()
    assert word.key_status is KeyStatus.PINNED
    assert judge(made.lines).key_status is KeyStatus.SELF_DECLARED
    assert word.as_json()["verdict"] == "INTACT_NOT_ANCHORED"


def test_an_anchor_makes_it_intact_and_anchored_only_if_it_covers_the_last_word(made: Builder) -> None:
    end = Anchor(size=20, root=made.chain.tree.root())
    assert judge(made.lines, anchors=[end]).verdict is Verdict.INTACT_ANCHORED
    assert judge(made.lines, anchors=[end]).exit == 0
    early = Anchor(size=6, root=bytes.fromhex(judge(made.lines[:6]).root))
    assert judge(made.lines, anchors=[early]).verdict is Verdict.INTACT_NOT_ANCHORED
    assert judge(made.lines, anchors=[early]).anchored == 6


def test_an_anchor_shows_truncation_and_forks(made: Builder, rng: random.Random) -> None:
    end = Anchor(size=20, root=made.chain.tree.root())
    cut = judge(made.lines[:12], anchors=[end])
    assert (cut.verdict, cut.exit) == (Verdict.TRUNCATED, 21)
    other = Builder.start(key=made.key)
    other.open()
    while other.chain.size < 18:
        other.add("note_added", {"by": "mallory", "text": str(rng.random())})
    other.add(CLOSED, {"state": "done", "exit": 0})
    other.sign()
    assert judge(other.lines, key=made.key.public).verdict is Verdict.INTACT_NOT_ANCHORED
    forked = judge(other.lines, key=made.key.public, anchors=[end])
    assert (forked.verdict, forked.exit) == (Verdict.FORKED, 21)
    assert forked.first_bad
    assert forked.first_bad.reason == "fork"


def test_an_open_run_is_told_from_a_closed_one(made: Builder) -> None:
    open_ = judge(made.lines[:12])
    assert (open_.verdict, open_.exit, open_.closed) == (Verdict.OPEN, 24, False)
    unsigned = judge(made.lines[:14])
    assert (unsigned.verdict, unsigned.exit, unsigned.signed) == (Verdict.UNSIGNED_TAIL, 24, 12)
    assert judge(made.lines[:-1]).verdict is Verdict.UNSIGNED_TAIL
    empty = judge([])
    assert (empty.verdict, empty.records, empty.exit) == (Verdict.UNSIGNED_TAIL, 0, 24)


def test_a_torn_end_is_torn_and_damage_in_the_middle_is_not(made: Builder) -> None:
    torn = judge([*made.lines[:9], made.lines[9][:50]])
    assert (torn.verdict, torn.exit) == (Verdict.TORN, 24)
    assert torn.first_bad
    assert (torn.first_bad.seq, torn.first_bad.line, torn.first_bad.offset) == (9, 10, sum(map(len, made.lines[:9])))
    nuls = made.lines[9][:20] + bytes(len(made.lines[9]) - 21) + b"\n"
    assert judge([*made.lines[:9], nuls]).verdict is Verdict.TORN
    assert judge([*made.lines[:9], bytes(5000)]).verdict is Verdict.TORN
    # the same zeros, but a later record says that number 9 was on disk
    assert judge([*made.lines[:9], nuls, *made.lines[10:]]).verdict is Verdict.ALTERED


def test_a_torn_batch_is_torn_as_long_as_nothing_later_proves_it_was_on_disk(rng: random.Random) -> None:
    made = closed_journal(rng, size=8)
    batch = Builder(made.key, made.chain, [], made.clock)
    for n in range(4):
        batch.add("note_added", {"n": n}, dur=7)
    hole = bytes(len(batch.lines[0]) - 1) + b"\n"
    torn = judge([*made.lines, hole, *batch.lines[1:]])
    assert torn.verdict is Verdict.TORN
    assert torn.records == 8
    batch.add("note_added", {"n": 4}, dur=8)
    assert judge([*made.lines, hole, *batch.lines[1:]]).verdict is Verdict.ALTERED
    unproven = batch.lines[:4]
    batch.sign()
    assert judge([*made.lines, hole, *unproven[1:], batch.lines[-1]]).verdict is Verdict.ALTERED


def test_a_wrong_last_line_without_a_trace_of_tearing_is_altered(made: Builder) -> None:
    wrong = made.lines[-1].replace(b"time", b"tIme")
    assert judge([*made.lines[:-1], wrong]).verdict is Verdict.ALTERED


def test_independent_faults_are_counted_each_once(made: Builder) -> None:
    lines = list(made.lines)
    for n in (3, 8, 15):
        lines[n] = lines[n].replace(b'"v":1', b'"v":3')
    word = judge(lines)
    assert word.first_bad
    assert (word.first_bad.seq, word.bad_count) == (3, 3)
    assert judge([*made.lines[:4], *made.lines[7:]]).bad_count == 1
    flipped_hash = made.lines[4][:-10] + bytes([made.lines[4][-10] ^ 1]) + made.lines[4][-9:]
    assert judge([*made.lines[:4], flipped_hash, *made.lines[5:]]).bad_count == 1


def test_rewriting_everything_without_the_key_is_found(made: Builder) -> None:
    mallory = RunKey.generate()
    for size in range(2, 20):
        forged = Builder.start(key=made.key)
        forged.open()
        for n in range(1, size):
            forged.add("note_added", {"n": n})
        forged.sign(mallory)
        word = judge(forged.lines)
        assert word.verdict is Verdict.ALTERED
        assert word.first_bad
        assert (word.first_bad.seq, word.first_bad.reason) == (size, "signature")


def test_a_checkpoint_with_a_signature_of_another_text_is_found(made: Builder) -> None:
    forged = Builder.start(key=made.key)
    forged.open()
    note = forged.chain.note(forged.clock.micros)
    line, digest = forged.chain.checkpoint(5, made.key.public, made.key.sign(note.encode()))
    forged._keep(line, digest)
    word = judge(forged.lines)
    assert word.first_bad
    assert (word.verdict, word.first_bad.reason) == (Verdict.ALTERED, "signature")


@pytest.mark.parametrize(
    "change", [(b'"ts":1', b'"ts":2'), (b'"v":1', b'"v":1,"w":1'), (b'"seq":', b'"run":"x","seq":')]
)
def test_no_field_of_the_last_checkpoint_can_be_edited_and_rehashed_without_the_key(
    made: Builder, change: tuple[bytes, bytes]
) -> None:
    from drctl.core.records import link, split  # noqa: PLC0415 - only the forger needs them

    chain_before = bytes.fromhex(judge(made.lines[:-1]).head)
    content, _ = split(made.lines[-1][:-1])
    content = content.replace(*change)
    forged = content[:-1] + b',"~hash":"' + link(chain_before, content).hex().encode() + b'"}\n'
    assert forged != made.lines[-1]
    word = judge([*made.lines[:-1], forged])
    assert word.verdict is Verdict.ALTERED
    assert word.first_bad
    assert word.first_bad.seq == 19


def test_another_key_than_the_pinned_one_is_refused_at_the_first_record(made: Builder) -> None:
    word = judge(made.lines, key=RunKey.generate().public)
    assert word.first_bad
    assert (word.verdict, word.first_bad.seq, word.first_bad.reason) == (Verdict.ALTERED, 0, "key")


def taken_over(head: str | None = None, *, pubkey: bool = True) -> Builder:
    made = Builder.start()
    made.open()
    made.sign()
    new = RunKey.generate()
    made.epoch = 2
    body: dict[str, object] = {"reason": "machine lost", "head": made.chain.head.hex() if head is None else head}
    if pubkey:
        body["pubkey"] = base64.b64encode(new.public).decode()
    made.add(TAKEN_OVER, body)
    made.sign(new)
    made.add(CLOSED, {"state": "done", "exit": 0})
    made.sign(new)
    return made


def test_a_run_taken_over_goes_on_under_a_new_key_that_is_not_pinned() -> None:
    made = taken_over()
    word = judge(made.lines, key=made.key.public)
    assert word.verdict is Verdict.INTACT_NOT_ANCHORED
    assert [(use.seq, use.pinned) for use in word.keys] == [(0, True), (2, False)]
    assert word.key_status is KeyStatus.SELF_DECLARED
    for wrong in (taken_over("00" * 32), taken_over(pubkey=False)):
        word = judge(wrong.lines, key=wrong.key.public)
        assert word.verdict is Verdict.ALTERED


def test_oddities_that_are_no_damage_are_told() -> None:
    made = Builder.start()
    made.open()
    made.epoch = 3
    made.add("note_added", {})
    made.epoch = 2
    made.clock.micros -= 10_000_000
    made.add("newer_thing", {})
    made.add("note_added", {})
    made.sign()
    word = judge(made.lines)
    assert word.verdict is Verdict.OPEN
    assert [(notice.seq, notice.reason) for notice in word.notices] == [(2, "clock"), (2, "epoch")]
    assert word.unknown_types == ("newer_thing",)


def test_integrity_alone_gives_the_same_word(made: Builder) -> None:
    assert judge(made.lines, parse_all=False).verdict is Verdict.INTACT_NOT_ANCHORED
    for n in range(20):
        lines = [*made.lines[:n], made.lines[n].replace(b'"seq"', b'"seQ"'), *made.lines[n + 1 :]]
        word = judge(lines, parse_all=False)
        assert word.first_bad
        assert (word.verdict, word.first_bad.seq) == (Verdict.ALTERED, n)


def test_a_huge_line_is_refused_in_bounded_memory(made: Builder) -> None:
    data = b"".join(made.lines)
    huge = io.BytesIO(data + b"x" * (32 * 1024 * 1024) + b"\n" + made.lines[0])
    tracemalloc.start()
    word = judge(huge)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert word.first_bad
    assert (word.verdict, word.first_bad.reason, word.first_bad.offset) == (Verdict.ALTERED, "frame", len(data))
    assert peak < 20 * MAX_LINE
    assert judge(io.BytesIO(data + b"\x00" * (1024 * 1024))).verdict is Verdict.TORN


def test_any_bytes_get_a_verdict(rng: random.Random, made: Builder) -> None:
    data = b"".join(made.lines)
    for _ in range(300):
        mutated = bytearray(data)
        for _ in range(rng.randint(1, 5)):
            place = rng.randrange(len(mutated))
            mutated[place : place + rng.choice([0, 1, 3, 700])] = rng.randbytes(rng.choice([0, 1, 2, 900]))
        if bytes(mutated) != data:
            assert not whole(judge(io.BytesIO(bytes(mutated))))


SECOND = {
    Verdict.INTACT_NOT_ANCHORED: {"whole"},
    Verdict.OPEN: {"open"},
    Verdict.UNSIGNED_TAIL: {"unsigned"},
    Verdict.TORN: {"torn"},
    Verdict.ALTERED: {"bad", "torn"},  # the second verifier does not look behind a torn line for proof of damage
}


def test_the_second_verifier_agrees(rng: random.Random, made: Builder) -> None:
    data = b"".join(made.lines)
    over = b"".join(taken_over().lines)
    cases = [data, over, b"", *(data[: rng.randrange(len(data))] for _ in range(100))]
    cases += [b"".join(made.lines[:n]) for n in range(20)]
    for source in (data, over):
        for _ in range(200):
            flipped = bytearray(source)
            flipped[rng.randrange(len(flipped))] ^= 1 << rng.randrange(8)
            cases.append(bytes(flipped))
    for case in cases:
        word = judge(io.BytesIO(case))
        said, sound = verify_second(case)
        assert said in SECOND[word.verdict]
        assert sound == word.records


def test_every_combination_of_a_takeover_under_the_old_key_is_read() -> None:
    made = Builder.start()
    made.open()
    made.add(TAKEN_OVER, {"reason": "operator changed"})
    made.sign()
    word = judge(made.lines, key=made.key.public)
    assert word.verdict is Verdict.OPEN
    assert word.key_status is KeyStatus.PINNED
