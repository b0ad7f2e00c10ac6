"""What stands between a hostile text and a person's eyes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drctl.core.values import Duration, Size, Time, to_json
from drctl.reporting.texts import (
    clean,
    cut,
    last_name,
    local_clock,
    one_line,
    pad,
    plain_signs,
    shown,
    width,
    wrap,
    zone_of,
)


@pytest.mark.parametrize(
    ("raw", "safe"),
    [
        ("plain", "plain"),
        ("核对发票", "核对发票"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("a\rb", "a\\x0db"),
        ("a\nb", "a\\x0ab"),
        ("right\u202eleft", "right\\u202eleft"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("\x9b1m", "\\x9b1m"),
        ("\ud800", "\\ud800"),
        ("\U000e0001", "\\U000e0001"),
        ("line\u2028end", "line\\u2028end"),
        ("\u0645\u06cc\u200c\u062e", "\u0645\u06cc\u200c\u062e"),
    ],
)
def test_what_could_mislead_a_terminal_is_escaped(raw: str, safe: str) -> None:
    assert clean(raw) == safe


@given(st.text())
def test_a_clean_text_has_no_control_character_and_stays_clean(raw: str) -> None:
    once = clean(raw)
    assert not any(ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 for c in once)
    assert clean(once) == once
    assert "\n" not in one_line(raw)


@given(st.text(alphabet="ab 核对\n票x-", max_size=200), st.integers(12, 80))
def test_wrapping_fits_and_loses_nothing(text: str, cells: int) -> None:
    lines = wrap(text, first="  name  ", cells=cells)
    assert all(width(line) <= cells for line in lines)
    kept = "".join(lines)[len("  name") :]
    assert "".join(kept.split()) == "".join(text.split())


def test_wide_characters_count_two_cells() -> None:
    assert width("发票ab") == 6
    assert width(pad("发票", 7)) == 7
    assert cut("发票系统恢复", 6) == "发票…"
    assert width(cut("发票系统恢复", 6)) <= 6
    assert cut("short", 6) == "short"


def test_values_are_words() -> None:
    assert shown(to_json(Duration(240_000))) == "240ms"
    assert shown(to_json(Size(1536))) == "1.5 KiB"
    assert shown(to_json(Time(0))) == "1970-01-01T00:00:00Z"
    assert shown({"$unknown": "no route\nto host"}) == "unknown (no route to host)"
    assert shown({"$ref": "ab" * 32}) == "kept under out/abababababab…"
    assert shown(["a", 1]) == '["a", 1]'
    assert shown("\x1b[1m") == "\\x1b[1m"
    assert shown({"$wrong": 1}) == "{'$wrong': 1}"


def test_signs_become_ascii_for_old_terminals() -> None:
    assert plain_signs("✔ ok · ✖ FAILED · ⏸ asked …").isascii()


def test_local_time_carries_its_offset() -> None:
    zone = zone_of("Asia/Shanghai")
    if zone is None:
        pytest.skip("this machine has no time zone rules")
    assert local_clock(Time.parse("2026-11-22T02:11:00Z"), zone) == "10:11:00+08:00"


def test_an_unknown_zone_is_no_error() -> None:
    assert zone_of("Mars/Olympus") is None
    assert zone_of("../../etc/passwd") is None
    assert local_clock(Time(0), None) == ""


def test_a_step_with_only_a_number_is_named_in_full() -> None:
    assert last_name("failover/promote") == "promote"
    assert last_name("failover/fence/methods/0") == "failover/fence/methods/0"
