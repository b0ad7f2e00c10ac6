"""The form in which the invoice service and the tax authority speak of an invoice, so that their lists can be compared.

Both lists have the members FIELDS in this order, sorted by number. How each side stores, counts and sums its records is
left to it: two programs that share their arithmetic would agree on the same mistake.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from drctl.lab.service import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

FIELDS = ("number", "company", "amount", "date", "state", "key", "at")
STATES = ("issued", "amended", "void")
SYNTHETIC = "SYNTHETIC"
"""Start of the company of a record made by a check; such records have a number series of their own (S)."""

_NUMBER = re.compile(r"([FS])([1-9][0-9]{0,8})-([0-9]{6,9})")
_AMOUNT = re.compile(r"[0-9]{1,12}(\.[0-9]{1,2})?")
_KEY = re.compile(r"[\x21-\x7e]{1,128}")
_AT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_LONGEST_COMPANY = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One invoice as it is reported; `at` is the time of its last change and decides which of two versions is newer."""

    number: str
    company: str
    amount: str
    date: str
    state: str
    key: str
    at: str

    @property
    def synthetic(self) -> bool:
        """Whether it was made by a check and counts nowhere."""
        return self.number.startswith("S")

    def row(self) -> dict[str, str]:
        """As a JSON object, members in the order of FIELDS."""
        return {name: getattr(self, name) for name in FIELDS}


def split_number(number: str) -> tuple[str, int, int]:
    """The letter, timeline and place of a number such as F1-000042. Raises Refusal 400."""
    match = _NUMBER.fullmatch(number)
    if match is None:
        raise Refusal(400, f"an invoice number looks like F1-000042, not {number[:40]!r}")
    return match[1], int(match[2]), int(match[3])


def read_number(value: object) -> str:
    """A well-formed number. Raises Refusal 400."""
    text = value if isinstance(value, str) else ""
    split_number(text)
    return text


def read_amount(value: object) -> str:
    """A decimal text such as 120 or 99.50, more than zero, written with two decimals. Raises Refusal 400."""
    if not isinstance(value, str) or not _AMOUNT.fullmatch(value) or Decimal(value) == 0:
        raise Refusal(400, 'amount has to be a decimal text more than zero with at most 2 decimals, such as "99.50"')
    return str(Decimal(value).quantize(Decimal("0.01")))


def read_company(value: object) -> str:
    """A name of 1 to 120 characters without control characters. Raises Refusal 400."""
    if not isinstance(value, str) or not value.strip() or len(value) > _LONGEST_COMPANY or _CONTROL.search(value):
        raise Refusal(400, "company has to be a text of 1 to 120 characters")
    return value


def read_date(value: object) -> str:
    """A calendar day. Raises Refusal 400."""
    try:
        return date.fromisoformat(value).isoformat() if isinstance(value, str) else _bad_date()
    except ValueError:
        return _bad_date()


def _bad_date() -> str:
    raise Refusal(400, 'date has to be a day such as "2026-01-31"')


def read_key(value: object) -> str:
    """An idempotency key, 1 to 128 visible ASCII characters. Raises Refusal 400."""
    if not isinstance(value, str) or not _KEY.fullmatch(value):
        raise Refusal(400, "key has to be 1 to 128 visible ASCII characters, the same for every retry of one request")
    return value


def read_state(value: object) -> str:
    """One of STATES. Raises Refusal 400."""
    if value not in STATES:
        raise Refusal(400, f"state has to be one of {', '.join(STATES)}")
    return str(value)


def read_time(value: object) -> str:
    """An RFC 3339 time with a zone, as UTC with milliseconds (further digits cut off). Raises Refusal 400."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise Refusal(400, "a time has to be RFC 3339 with a zone, such as 2026-01-31T23:59:59.000Z")
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def read_record(value: object, *, timed: bool = True) -> Record:
    """A whole record as one side sends it to the other; without `timed`, `at` may be missing and is then empty.

    Raises:
        Refusal: 400, a member is missing or not what it has to be.
    """
    if not isinstance(value, dict):
        raise Refusal(400, "a record has to be a JSON object")
    return Record(
        number=read_number(value.get("number")),
        company=read_company(value.get("company")),
        amount=read_amount(value.get("amount")),
        date=read_date(value.get("date")),
        state=read_state(value.get("state")),
        key=read_key(value.get("key")),
        at=read_time(value.get("at")) if timed or value.get("at") else "",
    )


def rows_for(records: Iterable[Record], query: Mapping[str, str]) -> list[dict[str, str]]:
    """The list an answer gives: sorted by number, cut down by ?since= ?state= ?synthetic=1 ?fields=a,b.

    Args:
        records: all that there are, in any order.
        query: `since` keeps records changed at or after it; `fields` keeps these members, in the order of FIELDS.

    Raises:
        Refusal: 400, a parameter is not what it has to be.
    """
    since = read_time(query["since"]) if query.get("since") else ""
    state = read_state(query["state"]) if query.get("state") else ""
    wanted = set(query["fields"].split(",")) if query.get("fields") else set(FIELDS)
    if unknown := wanted - set(FIELDS):
        raise Refusal(400, f"fields may be {', '.join(FIELDS)}, not {', '.join(sorted(unknown))[:80]}")
    names = [name for name in FIELDS if name in wanted]
    synthetic = query.get("synthetic", "0") not in {"", "0"}
    kept = (
        one
        for one in records
        if one.at >= since and (not state or one.state == state) and (synthetic or not one.synthetic)
    )
    ordered = sorted(kept, key=lambda one: split_number(one.number))
    return [{name: getattr(one, name) for name in names} for one in ordered]


def digests(rows: Iterable[Mapping[str, str]], bucket: int) -> list[dict[str, object]]:
    """One line per `bucket` numbers of a series: two sides compare lines, then only the lists behind unequal ones."""
    groups: dict[tuple[str, int, int], list[Mapping[str, str]]] = {}
    for row in rows:
        letter, timeline, place = split_number(row["number"])
        groups.setdefault((letter, timeline, (place - 1) // bucket), []).append(row)
    lines: list[dict[str, object]] = []
    for (letter, timeline, index), members in sorted(groups.items(), key=lambda item: item[0]):
        text = "\n".join("\t".join(row.values()) for row in members)
        lines.append(
            {
                "from": f"{letter}{timeline}-{index * bucket + 1:06d}",
                "count": len(members),
                "sha256": hashlib.sha256(text.encode()).hexdigest(),
            }
        )
    return lines
