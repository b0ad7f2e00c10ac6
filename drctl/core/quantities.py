"""The quantities of the runbook language: durations, sizes and points in time.

All three are whole numbers of their smallest unit (microseconds, bytes), so no figure ever depends on a float.
Reading the clock is not done here: a `Time` is handed in by whoever owns a clock.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Final, overload

from drctl.core.nouns import dataclass

SECOND: Final = 1_000_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR

DURATION_UNITS: Final = {"d": DAY, "h": HOUR, "m": MINUTE, "s": SECOND, "ms": 1000}
SIZE_UNITS: Final = {
    "B": 1,
    "kB": 1000,
    "KiB": 1024,
    "MB": 1000**2,
    "MiB": 1024**2,
    "GB": 1000**3,
    "GiB": 1024**3,
    "TB": 1000**4,
    "TiB": 1024**4,
}

_MOST: Final = 10**18  # microseconds or bytes: 31,700 years, 0.9 EiB; beyond it a figure is a defect, not a plan
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST: Final = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)
_LATEST: Final = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)

_PART = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,18})?)(ms|[smhd])")
_DURATION = re.compile(rf"-?(?:{_PART.pattern})+")
_SIZE = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,18})?)(B|kB|KiB|MB|MiB|GB|GiB|TB|TiB)")
_RFC3339 = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,12}))?"
    r"(?:([Zz])|([+-])([0-9]{2})(?::?([0-9]{2}))?)?"
)
_COMPACT = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})T([0-9]{2})([0-9]{2})([0-9]{2})(Z)?")


def _shown(text: str) -> str:
    """The text as it may stand in a message: one line, short, unprintable characters escaped."""
    cut = text if len(text) <= 40 else text[:37] + "..."  # noqa: PLR2004 - what fits a line of a message
    return ascii(cut) if not cut.isprintable() else f"'{cut}'"


def _whole(number: str, unit: int, text: str, smallest: str) -> int:
    digits, _, decimals = number.partition(".")
    whole, rest = divmod(int(digits + decimals) * unit, int("1" + "0" * len(decimals)))
    if rest:
        raise ValueError(f"{_shown(text)} is not a whole number of {smallest}.")
    return whole


def _check(figure: int, what: str) -> None:
    if not -_MOST <= figure <= _MOST:
        raise ValueError(f"This {what} is beyond what drctl counts (10^18).")


@dataclass(frozen=True, slots=True, order=True)
class Duration:
    """A span of time in microseconds; it may be negative, as the difference of two times."""

    micros: int

    def __post_init__(self) -> None:
        _check(self.micros, "duration")

    @classmethod
    def parse(cls, text: str) -> Duration:
        """Read `500ms 30s 5m 1h30m 7d`, and what `str` wrote (`0.25s`, `-90s`).

        Units go from large to small, each at most once: `1h1h` or `30m1h` is a slip of the hand.

        Raises:
            ValueError: with a sentence that says what is wrong with the text.
        """
        if not _DURATION.fullmatch(text):
            raise ValueError(f"{_shown(text)} is not a duration; write 500ms, 30s, 5m, 1h30m or 7d.")
        total = 0
        last = 2 * DAY
        for number, name in _PART.findall(text):
            unit = DURATION_UNITS[name]
            if unit >= last:
                raise ValueError(f"{_shown(text)}: units go from large to small, each once, as in 1h30m.")
            last = unit
            total += _whole(number, unit, text, "microseconds")
        return cls(-total if text.startswith("-") else total)

    def human(self) -> str:
        """For people: the two largest units that count, as `4m12s`, `1h05m`, `2d3h`, `3.4s`, `250ms`."""
        sign, micros = ("-", -self.micros) if self.micros < 0 else ("", self.micros)
        if micros < SECOND:
            return f"{sign}{_plain(Decimal(micros) / 1000)}ms" if micros else "0s"
        if micros < MINUTE:
            return f"{sign}{_plain(Decimal(micros // 100_000) / 10)}s"
        for large, small, names, width in ((DAY, HOUR, "dh", 1), (HOUR, MINUTE, "hm", 2), (MINUTE, SECOND, "ms", 2)):
            if micros >= large:
                rest = micros % large // small
                return f"{sign}{micros // large}{names[0]}" + (f"{rest:0{width}}{names[1]}" if rest else "")
        raise AssertionError(micros)

    def __str__(self) -> str:
        return f"{_plain(Decimal(self.micros) / SECOND)}s"

    def __neg__(self) -> Duration:
        return Duration(-self.micros)

    def __add__(self, other: Duration) -> Duration:
        return Duration(self.micros + other.micros) if isinstance(other, Duration) else NotImplemented

    def __sub__(self, other: Duration) -> Duration:
        return Duration(self.micros - other.micros) if isinstance(other, Duration) else NotImplemented


@dataclass(frozen=True, slots=True, order=True)
class Size:
    """An amount of data in bytes; it may be negative, as the difference of two sizes."""

    bytes: int

    def __post_init__(self) -> None:
        _check(self.bytes, "size")

    @classmethod
    def parse(cls, text: str) -> Size:
        """Read `10B 4KiB 4kB 512MiB 2GB`: KiB is 1024 bytes, kB is 1000.

        Raises:
            ValueError: with a sentence that says what is wrong with the text.
        """
        found = _SIZE.fullmatch(text)
        if not found:
            raise ValueError(f"{_shown(text)} is not a size; write 10B, 4KiB (1024), 4kB (1000), 512MiB or 2GB.")
        return cls(_whole(found[1], SIZE_UNITS[found[2]], text, "bytes"))

    def human(self) -> str:
        """For people: in the largest binary unit that fits, as `512 MiB`, `1.4 GiB`, `17 B`."""
        sign, count = ("-", -self.bytes) if self.bytes < 0 else ("", self.bytes)
        for name in ("TiB", "GiB", "MiB", "KiB"):
            unit = SIZE_UNITS[name]
            if count >= unit:
                return f"{sign}{_plain(Decimal(count * 10 // unit) / 10)} {name}"
        return f"{sign}{count} B"

    def __str__(self) -> str:
        return str(self.bytes)

    def __neg__(self) -> Size:
        return Size(-self.bytes)

    def __add__(self, other: Size) -> Size:
        return Size(self.bytes + other.bytes) if isinstance(other, Size) else NotImplemented

    def __sub__(self, other: Size) -> Size:
        return Size(self.bytes - other.bytes) if isinstance(other, Size) else NotImplemented


@dataclass(frozen=True, slots=True, order=True)
class Time:
    """A point in time: microseconds since 1970-01-01T00:00:00Z, years 1 to 9999."""

    micros: int

    def __post_init__(self) -> None:
        if not _EARLIEST <= self.micros <= _LATEST:
            raise ValueError("This time is outside the years 1 to 9999.")

    @classmethod
    def parse(cls, text: str) -> Time:
        """Read RFC 3339 with a zone, or `20260131T235959Z`.

        Also taken, since hosts write them: a blank for the `T`, `+00` and `+0000`, and more than six decimals, which
        are cut to microseconds.

        Raises:
            ValueError: with a sentence; a time without a zone is refused, because it names 24 moments at once.
        """
        found = _RFC3339.fullmatch(text) or _COMPACT.fullmatch(text)
        if not found:
            raise ValueError(f"{_shown(text)} is not a time; write 2026-01-31T23:59:59Z or 2026-02-01T07:59:59+08:00.")
        year, month, day, hour, minute, second, *rest = found.groups()
        fraction, zulu, sign, zone_hours, zone_minutes = rest if len(rest) > 1 else (None, rest[0], None, None, None)
        if zulu is None and sign is None:
            raise ValueError(f"{_shown(text)} has no zone; end it with Z for UTC or with an offset such as +08:00.")
        offset = timedelta(hours=int(zone_hours or 0), minutes=int(zone_minutes or 0))
        try:
            zone = timezone(-offset if sign == "-" else offset)
            moment = datetime(int(year), int(month), int(day), int(hour), int(minute), int(second), tzinfo=zone)
        except ValueError as error:
            raise ValueError(f"{_shown(text)} is not a time: {error}.") from None
        return cls((moment - _EPOCH) // timedelta(microseconds=1) + int((fraction or "0").ljust(6, "0")[:6]))

    @classmethod
    def from_datetime(cls, moment: datetime) -> Time:
        """The same moment; `moment` must carry its zone.

        Raises:
            ValueError: when it does not.
        """
        if moment.tzinfo is None:
            raise ValueError("This time has no zone.")
        return cls((moment - _EPOCH) // timedelta(microseconds=1))

    def as_datetime(self) -> datetime:
        """The same moment as a datetime in UTC."""
        return _EPOCH + timedelta(microseconds=self.micros)

    def __str__(self) -> str:
        return self.as_datetime().replace(tzinfo=None).isoformat() + "Z"

    def __add__(self, other: Duration) -> Time:
        return Time(self.micros + other.micros) if isinstance(other, Duration) else NotImplemented

    @overload
    def __sub__(self, other: Duration) -> Time: ...
    @overload
    def __sub__(self, other: Time) -> Duration: ...
    def __sub__(self, other: Duration | Time) -> Time | Duration:
        if isinstance(other, Duration):
            return Time(self.micros - other.micros)
        return Duration(self.micros - other.micros) if isinstance(other, Time) else NotImplemented


def _plain(number: Decimal) -> str:
    """Without exponent and without trailing zeros."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
