"""Collecting a stream: the same however it comes in pieces, up to its mark and no further."""

import hashlib
import itertools

from hypothesis import given
from hypothesis import strategies as st

from drctl.adapters import claim_text
from drctl.adapters.carrier import Stream

MARK, OPENS = b" 0123456789abcdef.\n", b"\n@begin"


def collected(data: bytes, cap: int, cuts: list[int]) -> Stream:
    stream, places = Stream(MARK, cap, OPENS), sorted({0, *(cut % (len(data) + 1) for cut in cuts), len(data)})
    for begin, end in itertools.pairwise(places):
        stream.feed(data[begin:end])
    return stream


@given(
    before=st.binary(max_size=40) | st.integers(0, 9000).map(lambda size: b"x" * size),
    noise=st.binary(max_size=20) | st.integers(0, 9000).map(lambda size: b"y" * size),
    cap=st.integers(1, 300),
    cuts=st.lists(st.integers(0, 20000), max_size=6),
)
def test_an_answer_ends_with_its_mark_however_much_noise_comes_with_it(
    before: bytes, noise: bytes, cap: int, cuts: list[int]
) -> None:
    """A mark with more than 4 KiB behind it in one piece was not seen: the look was told as one without an end."""
    answer = b"\n@begin 1\n" + before + MARK
    stream = collected(answer + noise, cap, cuts)
    assert stream.seen
    assert stream.head == answer[:cap]
    rest = answer[cap:]
    assert rest.endswith(bytes(stream.tail))
    assert stream.dropped + len(stream.tail) == len(rest)
    assert len(stream.tail) >= min(len(rest), len(MARK))
    if stream.digest is not None:
        told = stream.digest.copy()
        told.update(stream.tail)
        assert told.hexdigest() == hashlib.sha256(before + MARK).hexdigest()


@given(data=st.binary(max_size=200), cap=st.integers(1, 300), cuts=st.lists(st.integers(0, 300), max_size=6))
def test_without_a_mark_all_of_it_is_kept_and_nothing_is_seen(data: bytes, cap: int, cuts: list[int]) -> None:
    data = data.replace(MARK, b"")
    stream = collected(data, cap, cuts)
    assert (stream.seen, stream.content) == (False, data)


def test_the_first_line_of_a_look_that_was_cut_off_tells_no_process() -> None:
    opens = claim_text.look_opens("n")
    for line in (b"", b"21", b"2126xxxx\nmore"):
        seen = claim_text.seen("n", opens + line)
        assert (seen.pid, seen.exit) == ((21, None) if line == b"21" else (0, None))
