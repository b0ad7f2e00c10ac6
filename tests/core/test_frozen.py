"""The frozen plan: its text, its parts, its digest."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drctl.core.frozen import Frozen, digest_of, thaw
from drctl.core.records import JSON, MAX_LINE, Record, encode

TEXTS = st.text(max_size=60)


@given(st.dictionaries(TEXTS, TEXTS, max_size=3), st.dictionaries(TEXTS, st.integers(0, 9) | TEXTS, max_size=3))
def test_it_thaws_to_what_was_frozen(files: dict[str, str], inputs: dict[str, object]) -> None:
    frozen = Frozen(runbook_file="a", files=files, inventory_file="b", inventory_files=files, inputs=inputs)
    assert thaw(frozen.text()) == frozen
    assert "".join(frozen.parts()) == frozen.text()
    assert digest_of(frozen.text()) == frozen.digest


@pytest.mark.parametrize(
    "text", ["a" * 300_000, "\"'\\" * 60_000, "发票系统" * 40_000, "\x00\x1f" * 50_000, "😀" * 30_000]
)
def test_every_part_fits_into_a_record(text: str) -> None:
    frozen = Frozen(runbook_file="a", files={"a": text}, inventory_file="b", inventory_files={})
    parts = frozen.parts()
    for number, part in enumerate(parts):
        body: dict[str, JSON] = {"index": number, "of": len(parts), "text": part}
        record = Record(
            seq=1, ts=1, type="plan_part", actor="ops", body=body, run="ab" * 16, boot="b", mono=1, dur=0, epoch=1
        )
        line, _ = encode(record, bytes(32))
        assert len(line) <= MAX_LINE + 1
    assert thaw("".join(parts)) == frozen


def test_one_character_more_is_another_digest() -> None:
    frozen = Frozen(runbook_file="a", files={"a": "x"}, inventory_file="b", inventory_files={})
    other = Frozen(runbook_file="a", files={"a": "y"}, inventory_file="b", inventory_files={})
    assert frozen.digest != other.digest


@pytest.mark.parametrize("text", ["[]", "{}", json.dumps({"v": 2}), json.dumps({"v": 1}), "no json"])
def test_what_is_no_frozen_plan_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        thaw(text)
