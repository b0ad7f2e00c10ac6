"""The line format: what goes in comes out, what must not go in is refused, what is not exactly a record is not read."""

import contextlib
import enum
import hashlib
import json
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drctl.core.checkpoints import Chain, Tree, key_id, signature_line, signature_of
from drctl.core.records import (
    CHECKPOINT_FIELDS,
    JSON,
    MAX_DEPTH,
    MAX_INT,
    MAX_LINE,
    ParseError,
    Record,
    RecordRefusedError,
    checkpoint_record,
    encode,
    genesis,
    parse,
    split,
    strict_json,
)
from drctl.core.values import Secret
from tests.fakes.journals import UID, Builder

HEAD = genesis(UID, b"k" * 32)
RECORD = Record(
    seq=3, ts=1_700_000_000_000_000, type="note_added", actor="alice", body={"text": "hello"}, run=UID, boot="b",
    mono=5, dur=2, epoch=1,
)  # fmt: skip

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
values: st.SearchStrategy[JSON] = st.recursive(
    st.none() | st.booleans() | st.integers(-MAX_INT, MAX_INT) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)
integers = st.integers(-MAX_INT, MAX_INT)
names = st.from_regex(r"[a-z][a-z0-9_]{0,20}", fullmatch=True).filter(lambda name: name != "checkpoint")
records = st.builds(
    Record, seq=st.integers(0, MAX_INT), ts=integers, type=names, actor=texts,
    body=st.dictionaries(texts, values, max_size=5),
    run=st.from_regex(r"[0-9a-f]{32}", fullmatch=True), boot=texts, mono=integers, dur=integers, epoch=integers,
)  # fmt: skip


@given(records)
def test_what_is_encoded_is_read_back(record: Record) -> None:
    line, digest = encode(record, HEAD)
    assert parse(line) == record
    content, stated = split(line[:-1])
    assert stated == digest == hashlib.sha256(b"drctl/rec/v1\n" + HEAD + content).digest()
    assert line.isascii()
    assert line.count(b"\n") == 1
    members = json.loads(line)
    assert list(members) == sorted(members)
    assert list(members)[-1] == "~hash"


@given(st.binary(max_size=300) | st.text(max_size=100).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_the_parser_never_fails_in_another_way(data: bytes) -> None:
    for read in (parse, strict_json):
        with contextlib.suppress(ParseError):
            read(data)


@given(records, st.randoms(use_true_random=False))
def test_a_mutated_line_is_read_or_refused(record: Record, rng: random.Random) -> None:
    line = bytearray(encode(record, HEAD)[0])
    for _ in range(rng.randint(1, 4)):
        line[rng.randrange(len(line))] = rng.choice(b'{}[]",:\\u0d8-eE.1 \x00\xff')
    try:
        again = parse(bytes(line))
    except ParseError:
        return
    assert isinstance(again, Record)


class Word(enum.StrEnum):
    OK = "ok"


def test_a_str_enum_and_tuples_are_plain_in_the_line() -> None:
    line, _ = encode(replace(RECORD, body={"w": Word.OK, "t": (1, 2)}), HEAD)
    assert parse(line).body == {"w": "ok", "t": [1, 2]}


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (Secret("hunter2hunter2", "env:PW"), "secret"),
        (1.5, "float"),
        (float("nan"), "float"),
        (float("inf"), "float"),
        (MAX_INT + 1, "2^53"),
        (-MAX_INT - 1, "2^53"),
        (b"bytes", "base64"),
        (bytearray(b"bytes"), "base64"),
        ("\ud800", "surrogate"),
        ({1: 2}, "key"),
        ({"\udfff": 2}, "surrogate"),
        ({1, 2}, "type set"),
        (object(), "type object"),
    ],
)
def test_what_must_not_stand_in_a_journal_is_refused_with_its_place(value: object, why: str) -> None:
    for body, where in (({"a": {"b": [0, value]}}, "body.a.b[1]"), ({"x": value}, "body.x")):
        with pytest.raises(RecordRefusedError, match=where.replace("[", r"\[")) as caught:
            encode(replace(RECORD, body=body), HEAD)  # type: ignore[arg-type] # the point of the test
        assert why in str(caught.value).lower()
        assert "hunter2" not in str(caught.value)


def test_a_secret_is_refused_even_as_actor_or_key() -> None:
    with pytest.raises(RecordRefusedError, match="actor: A secret"):
        encode(replace(RECORD, actor=Secret("hunter2hunter2")), HEAD)  # type: ignore[arg-type] # the point of the test


def nested(depth: int) -> JSON:
    value: JSON = 0
    for _ in range(depth):
        value = [value]
    return value


def test_depth_is_bounded_when_writing_and_reading() -> None:
    line, _ = encode(replace(RECORD, body={"x": nested(MAX_DEPTH - 2)}), HEAD)
    assert parse(line).body["x"] == nested(MAX_DEPTH - 2)
    with pytest.raises(RecordRefusedError, match="deeper"):
        encode(replace(RECORD, body={"x": nested(MAX_DEPTH - 1)}), HEAD)
    deeper = line.replace(b'"x":[', b'"x":[[').replace(b'},"boot"', b']},"boot"')
    with pytest.raises(ParseError, match="deeper"):
        parse(deeper)
    with pytest.raises(ParseError, match="deeper"):
        strict_json(b"[" * 60_000)
    assert strict_json(b'["' + b"[" * 100 + b'\\"{{{"]') == ["[" * 100 + '"{{{']


def test_a_line_is_bounded() -> None:
    room = MAX_LINE - (len(encode(replace(RECORD, body={"x": ""}), HEAD)[0]) - 1)
    line, _ = encode(replace(RECORD, body={"x": "a" * room}), HEAD)
    assert len(line) == MAX_LINE + 1
    assert parse(line).body["x"] == "a" * room
    with pytest.raises(RecordRefusedError, match="65537 bytes"):
        encode(replace(RECORD, body={"x": "a" * (room + 1)}), HEAD)
    with pytest.raises(ParseError, match="more than"):
        split(line[:-1] + b"x")


@pytest.mark.parametrize(
    "text",
    ["1.0", "1e3", "NaN", "Infinity", "-0", "9007199254740993", "1" * 5000, "01", '"\\ud800"', '"\\udc00\\ud800"',
     '{"a":1,"a":2}', '{"a":{"b":1,"b":1}}', "'x'", "[1,]", '"\t"', ""],
)  # fmt: skip
def test_what_readers_disagree_about_is_not_read(text: str) -> None:
    with pytest.raises(ParseError):
        strict_json(text.encode())


def test_utf8_must_be_utf8() -> None:
    assert strict_json('"复 \\ud83d\\ude00"'.encode()) == "复 😀"
    for data in (b'"\xff"', b'"\xed\xa0\x80"', b"\xef\xbb\xbf1"):
        with pytest.raises(ParseError):
            strict_json(data)


def test_a_record_with_a_field_missing_or_of_the_wrong_type_is_not_read() -> None:
    good = json.loads(encode(RECORD, HEAD)[0])

    def line(members: dict[str, object]) -> bytes:
        return json.dumps(members, sort_keys=True, separators=(",", ":")).encode() + b"\n"

    assert parse(line(good)) == RECORD
    assert parse(line({**good, "added": {"later": 1}})) == RECORD
    for name in sorted(good):
        with pytest.raises(ParseError):
            parse(line({key: value for key, value in good.items() if key != name}))
        wrongs: tuple[object, ...] = (None, True, [], 1.5)
        for wrong in wrongs:
            with pytest.raises(ParseError):
                parse(line({**good, name: wrong}))
    for change in ({"seq": -1}, {"run": "xyz"}, {"run": UID.upper()}, {"type": "Bad Type"}, {"v": 2}):
        with pytest.raises(ParseError):
            parse(line({**good, **change}))


def test_a_checkpoint_line_holds_exactly_its_six_fields() -> None:
    line, _ = encode(checkpoint_record(3, 7, "note\n", "sig\n"), HEAD)
    members = json.loads(line)
    assert set(members) == CHECKPOINT_FIELDS == {"body", "seq", "ts", "type", "v", "~hash"}
    assert parse(line) == checkpoint_record(3, 7, "note\n", "sig\n")
    for extra in ("actor", "zz"):
        with pytest.raises(ParseError, match="checkpoint"):
            parse(json.dumps({**members, extra: "x"}, sort_keys=True, separators=(",", ":")).encode())
    for body in ({"note": "x"}, {"note": "x", "sig": "y", "more": 1}, {"note": 1, "sig": "y"}):
        with pytest.raises(ParseError):
            parse(json.dumps({**members, "body": body}, sort_keys=True, separators=(",", ":")).encode())


def slow_root(leaves: list[bytes]) -> bytes:
    """RFC 6962, section 2.1, word for word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return hashlib.sha256(b"\x01" + slow_root(leaves[:k]) + slow_root(leaves[k:])).digest()


def test_the_compact_range_has_the_root_of_the_rfc_at_every_size() -> None:
    tree, leaves = Tree(), list[bytes]()
    assert tree.root() == slow_root(leaves)
    for n in range(130):
        leaves.append(b"leaf %d" % n)
        tree.add(leaves[-1])
        assert tree.root() == slow_root(leaves)
        assert len(tree.peaks) == (n + 1).bit_count()


def test_the_root_is_that_of_the_published_test_vectors() -> None:
    """The vectors of certificate-transparency (RFC 6962's reference implementation)."""
    tree = Tree()
    for leaf in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"):
        tree.add(bytes.fromhex(leaf))
    assert tree.root().hex() == "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"


def test_a_note_is_a_c2sp_checkpoint_and_its_signature_line_is_exact() -> None:
    chain = Chain.start(UID, b"k" * 32)
    note = chain.note(12)
    lines = note.split("\n")
    assert lines[0] == f"drctl/run/{UID}"
    assert lines[1] == "0"
    assert lines[3:] == [f"head {chain.head.hex()}", "time 12", ""]
    name = lines[0]
    line = signature_line(name, b"k" * 32, b"s" * 64)
    assert line.startswith(f"\u2014 {name} ")
    assert key_id(name, b"k" * 32) == hashlib.sha256(name.encode() + b"\n\x01" + b"k" * 32).digest()[:4]
    assert signature_of(name, b"k" * 32, line) == b"s" * 64
    for wrong in (
        line[:-1],
        line + "\n",
        line.replace("=", ""),
        " " + line,
        line.replace("\u2014", "-"),
        "",
        "\u2014 é ",
    ):
        assert signature_of(name, b"k" * 32, wrong) is None
    assert signature_of(name, b"x" * 32, line) is None


def test_the_chain_binds_run_and_key() -> None:
    assert len({genesis(UID, b"a" * 32), genesis(UID, b"b" * 32), genesis("0" * 32, b"a" * 32)}) == 3


def test_these_bytes_are_for_ever() -> None:
    """If this fails the format changed: old journals would no longer verify. Do not mend the test."""
    line, digest = encode(replace(RECORD, body={"text": "复 😀", "n": [None, True, -1]}), HEAD)
    assert digest.hex() == line[-67:-3].decode()
    assert line.startswith(
        b'{"actor":"alice","body":{"n":[null,true,-1],"text":"\\u590d \\ud83d\\ude00"},"boot":"b","dur":2,'
    )
    assert HEAD.hex() == "8e36c10056c928c1b32fb5f62474240ec1438f8b4df2f0e7e1b5d3726cbf5403"
    assert digest.hex() == "5719fa999c778314d018450c6b9ab5faef622fbb0b6597093786dfd899759575"


def test_a_built_journal_parses_line_by_line() -> None:
    made = Builder.start()
    made.open()
    made.sign()
    assert [parse(line).seq for line in made.lines] == [0, 1]
