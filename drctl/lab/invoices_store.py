"""What the invoice service keeps in PostgreSQL, one method per operation, each one transaction.

Numbering: series = the database's timeline, unbroken within a series, taken from a counter row in the transaction that
inserts. Every operation with a key is carried out once; a retry locks the row it finds, so that its own commit also
waits for the standby before anybody is told "done". Telling the tax authority is left to `invoices`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, cast

from drctl.lab.invoices_db import Database, Link, Raced, Unavailable
from drctl.lab.records import FIELDS, SYNTHETIC, Record, split_number
from drctl.lab.service import Refusal

if TYPE_CHECKING:
    from collections.abc import Sequence

_RECORD = "SELECT number, company, amount, date, state, key, at FROM records WHERE number = :number"
# pg_control_checkpoint() still shows the old timeline for a while after a promotion; the WAL file's name does not.
_TIMELINE = """
    SELECT CASE WHEN pg_is_in_recovery() THEN 0
           ELSE ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int END
"""
_INCOMING = """
    CREATE TEMPORARY TABLE incoming ON COMMIT DROP AS
    SELECT i.number, i.company, i.amount, i.date, i.state, i.key,
           coalesce(i.at, v.changed_at, date_trunc('milliseconds', clock_timestamp())) AS at
      FROM jsonb_to_recordset(:data::jsonb)
           AS i (number text, company text, amount numeric, date date, state text, key text, at timestamptz)
      LEFT JOIN invoices AS v ON v.number = i.number
"""
_TAKE_IN_SERIES = """
    INSERT INTO series AS s (name, last)
    SELECT split_part(number, '-', 1), max(split_part(number, '-', 2)::int) FROM incoming GROUP BY 1 ORDER BY 1
    ON CONFLICT (name) DO UPDATE SET last = greatest(s.last, excluded.last)
"""
_NEWER = "SELECT count(*) FROM invoices AS v JOIN incoming AS i ON v.number = i.number AND v.changed_at > i.at"
# xmax is zero in a row that was inserted and not updated: the one sign ON CONFLICT leaves.
_TAKE_IN = """
    INSERT INTO invoices AS v (number, company, amount, date, state, key, issued_at, changed_at)
    SELECT number, company, amount, date, state, key, at, at FROM incoming ORDER BY number
    ON CONFLICT (number) DO UPDATE
    SET company = excluded.company, amount = excluded.amount, date = excluded.date, state = excluded.state,
        key = excluded.key, changed_at = excluded.changed_at
    WHERE v.changed_at <= excluded.changed_at
      AND (v.company, v.amount, v.date, v.state, v.key, v.changed_at)
          IS DISTINCT FROM (excluded.company, excluded.amount, excluded.date, excluded.state, excluded.key,
                            excluded.changed_at)
    RETURNING (xmax = 0)
"""
_TAKE_IN_KEYS = (
    "INSERT INTO requests (key, number) SELECT key, number FROM incoming ORDER BY key ON CONFLICT DO NOTHING"
)
_KEY_TWICE = """
    SELECT i.number FROM requests AS r JOIN incoming AS i ON r.key = i.key AND r.number <> i.number
     ORDER BY i.number LIMIT 50
"""
_GAPS_SHOWN = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What the database says of itself."""

    standby: bool
    read_only: bool
    timeline: int
    heartbeat_at: str | None


def _record(row: Sequence[object]) -> Record:
    return Record(**dict(zip(FIELDS, (str(value) for value in row), strict=True)))


def _timeline(link: Link) -> int:
    """The timeline being written. Raises Unavailable on a standby."""
    timeline = cast("int", link.run(_TIMELINE)[0][0])
    if timeline == 0:
        raise Unavailable("the database is a standby (read-only)")
    return timeline


def _finished(link: Link, key: str, asked: str | None) -> Record | None:
    """The invoice of a request that was carried out before, locked; None for a new key.

    Raises:
        Refusal: 409, the key was used for something else, or its invoice is gone from the database.
    """
    found = link.run("SELECT asked, number FROM requests WHERE key = :key FOR UPDATE", key=key)
    if not found:
        return None
    before, number = found[0]
    if asked is not None and before is not None and before != asked:
        raise Refusal(409, f"key {key} was used for another request ({before})")
    rows = link.run(_RECORD, number=number)
    if not rows:
        raise Refusal(409, f"key {key} was carried out as {number}, but this invoice is no longer in the database")
    return _record(rows[0])


def _remember(link: Link, key: str, asked: str, number: str) -> None:
    """Store that a key was carried out. Raises Raced when another transaction did so meanwhile."""
    stored = link.run(
        "INSERT INTO requests (key, asked, number) VALUES (:key, :asked, :number) ON CONFLICT DO NOTHING RETURNING 1",
        key=key,
        asked=asked,
        number=number,
    )
    if not stored:
        raise Raced


class Store:
    """The invoices of one site's database."""

    def __init__(self, *, socket_dir: str, user: str, database: str) -> None:
        place = {"socket_dir": socket_dir, "user": user, "database": database}
        self.writing = Database(**place, slots=6)
        self.reading = Database(**place, slots=4)  # apart: reads and the health page go on while commits hang
        self.beating = Database(**place, slots=1)

    def close(self) -> None:
        """Close all connections."""
        for one in (self.writing, self.reading, self.beating):
            one.close()

    def issue(self, *, company: str, amount: str, date: str | None, key: str) -> Record:
        """Make an invoice with the next number; a known key gives the invoice it made."""
        asked = f"issue {company} {amount} {date or '-'}"

        def work(link: Link) -> Record:
            if (before := _finished(link, key, asked)) is not None:
                return before
            series = f"{'S' if company.startswith(SYNTHETIC) else 'F'}{_timeline(link)}"
            place = link.run(
                "INSERT INTO series AS s (name, last) VALUES (:name, 1) "
                "ON CONFLICT (name) DO UPDATE SET last = s.last + 1 RETURNING last",
                name=series,
            )[0][0]
            number = f"{series}-{place:06d}"
            _remember(link, key, asked, number)
            link.run(
                "INSERT INTO invoices (number, company, amount, date, state, key, issued_at, changed_at) "
                "SELECT :number, :company, :amount, coalesce(:date, (now() AT TIME ZONE 'UTC')::date), 'issued', "
                ":key, t, t "
                "FROM date_trunc('milliseconds', clock_timestamp()) AS t",
                number=number,
                company=company,
                amount=Decimal(amount),
                date=date,
                key=key,
            )
            return _record(link.run(_RECORD, number=number)[0])

        return self.writing.transaction(work)

    def amend(self, number: str, *, company: str | None, amount: str | None, key: str | None) -> Record:
        """Change company or amount. Raises Refusal 404, or 409 for a void invoice."""
        asked = f"amend {number} {company or '-'} {amount or '-'}"

        def work(link: Link) -> Record:
            if key and (before := _finished(link, key, asked)) is not None:
                return before
            row = self._locked(link, number)
            if row.state == "void":
                raise Refusal(409, f"{number} is void")
            if company and company.startswith(SYNTHETIC) != row.synthetic:
                raise Refusal(409, f"{number} stays {'synthetic' if row.synthetic else 'a real invoice'}")
            if key:
                _remember(link, key, asked, number)
            return self._change(link, number, company=company or row.company, amount=amount or row.amount)

        return self.writing.transaction(work)

    def void(self, number: str, *, amount: str | None, key: str | None) -> Record:
        """Make void, which may be asked any number of times.

        Args:
            number: which invoice.
            amount: what the client believes it says; another amount is refused with 409.
            key: idempotency key, may be left out.
        """
        asked = f"void {number} {amount or '-'}"

        def work(link: Link) -> Record:
            if key and (before := _finished(link, key, asked)) is not None:
                return before
            row = self._locked(link, number)
            if amount is not None and amount != row.amount:
                raise Refusal(409, f"{number} is over {row.amount}, not {amount}")
            if key:
                _remember(link, key, asked, number)
            if row.state == "void":
                return row
            return self._change(link, number, company=row.company, amount=row.amount, state="void")

        return self.writing.transaction(work)

    def _locked(self, link: Link, number: str) -> Record:
        _timeline(link)
        rows = link.run(_RECORD + " FOR UPDATE", number=number)
        if not rows:
            raise Refusal(404, f"there is no invoice {number}")
        return _record(rows[0])

    def _change(self, link: Link, number: str, *, company: str, amount: str, state: str = "amended") -> Record:
        """Write a new version; its time is later than that of the one before, whatever the clock says."""
        link.run(
            "UPDATE invoices SET company = :company, amount = :amount, state = :state, changed_at = greatest("
            "date_trunc('milliseconds', clock_timestamp()), changed_at + interval '1 millisecond') "
            "WHERE number = :number",
            number=number,
            company=company,
            amount=Decimal(amount),
            state=state,
        )
        return _record(link.run(_RECORD, number=number)[0])

    def get(self, number: str) -> tuple[Record, str] | None:
        """One invoice and when it was issued."""
        sql = "SELECT number, company, amount, date, state, key, at, issued_at FROM records WHERE number = :number"
        rows = self.reading.run(lambda link: link.run(sql, number=number))
        return (_record(rows[0][:-1]), str(rows[0][-1])) if rows else None

    def find(self, *, company: str | None, date: str | None, key: str | None, limit: int) -> list[Record]:
        """The newest invoices that match all that is given."""
        sql = (
            "SELECT number, company, amount, date, state, key, at FROM records WHERE number IN (SELECT number "
            "FROM invoices WHERE (:company::text IS NULL OR company = :company) "
            "AND (:date::date IS NULL OR date = :date) AND (:key::text IS NULL OR key = :key) "
            "ORDER BY issued_at DESC, number DESC LIMIT :limit::int) ORDER BY issued_at DESC, number DESC"
        )
        values = {"company": company, "date": date, "key": key, "limit": limit}
        return [_record(row) for row in self.reading.run(lambda link: link.run(sql, **values))]

    def every(self) -> list[Record]:
        """All invoices."""
        sql = "SELECT number, company, amount, date, state, key, at FROM records"
        return [_record(row) for row in self.reading.run(lambda link: link.run(sql))]

    def totals(self, *, synthetic: bool) -> dict[str, object]:
        """Count, sum of what is not void, voided, and the numbering: first, last, and every number that is missing."""
        sums = (
            "SELECT series, count(*), coalesce(sum(amount::numeric) FILTER (WHERE state <> 'void'), 0.00)::text, "
            "count(*) FILTER (WHERE state = 'void'), min(place), max(place) "
            "FROM records WHERE number ~ :kind GROUP BY series"
        )
        missing = (
            "SELECT g.number FROM (SELECT name || '-' || lpad(n::text, greatest(6, length(n::text)), '0') AS number "
            "FROM series CROSS JOIN LATERAL generate_series(1, last) AS n WHERE name ~ :kind) AS g "
            "LEFT JOIN invoices AS v ON v.number = g.number WHERE v.number IS NULL"
        )
        kind = "^[FS]" if synthetic else "^F"

        def work(link: Link) -> tuple[list[list[object]], list[list[object]]]:
            link.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            both = link.run(sums, kind=kind), link.run(missing, kind=kind)
            link.run("COMMIT")
            return both

        groups, gaps = self.reading.run(work)
        return _totals(groups, sorted((str(row[0]) for row in gaps), key=split_number))

    def take_in(self, records: Sequence[Record]) -> dict[str, object]:
        """Enter records under their own numbers: missing ones are inserted, different ones corrected.

        A row that was changed later than the record says is kept: the record is older, and correcting would undo an
        acknowledged change. A record without a time is taken for as new as the row it meets.
        """
        data = json.dumps([one.row() | {"at": one.at or None} for one in records])

        def work(link: Link) -> dict[str, object]:
            _timeline(link)
            link.allow(60)
            link.run(_INCOMING, data=data)
            link.run(_TAKE_IN_SERIES)  # first: an issuing transaction takes this lock first, too
            kept = cast("int", link.run(_NEWER)[0][0])
            done = [bool(row[0]) for row in link.run(_TAKE_IN)]
            link.run(_TAKE_IN_KEYS)
            doubles = [str(row[0]) for row in link.run(_KEY_TWICE)]
            inserted = sum(done)
            return {
                "inserted": inserted,
                "corrected": len(done) - inserted,
                "unchanged": len(records) - len(done) - kept,
                "kept_newer": kept,
                "key_used_twice": doubles,
            }

        return self.writing.transaction(work)

    def remove_synthetic(self) -> int:
        """Delete every synthetic invoice and its keys; its numbers are not given out again."""

        def work(link: Link) -> int:
            _timeline(link)
            link.run("DELETE FROM requests WHERE number ~ '^S'")
            return len(link.run("DELETE FROM invoices WHERE number ~ '^S' RETURNING 1"))

        return self.writing.transaction(work)

    def damage(self, *, delete: int, alter: int) -> tuple[int, int]:
        """Do what the bad release's cleanup does: delete some invoices, spoil the amounts of others, tell nobody."""
        spread = "SELECT number FROM invoices WHERE number ~ '^F' ORDER BY md5(number) LIMIT :n::int"

        def work(link: Link) -> tuple[int, int]:
            _timeline(link)
            link.run("CREATE TEMPORARY TABLE chosen (number text) ON COMMIT DROP")
            link.run("INSERT INTO chosen " + spread, n=delete)
            deleted = link.run("DELETE FROM invoices WHERE number IN (SELECT number FROM chosen) RETURNING 1")
            link.run("TRUNCATE chosen")
            link.run("INSERT INTO chosen " + spread, n=alter)
            altered = link.run(
                "UPDATE invoices SET amount = amount + 1000 WHERE number IN (SELECT number FROM chosen) RETURNING 1"
            )
            return len(deleted), len(altered)

        return self.writing.transaction(work, again=False)

    def health(self) -> Health:
        """Ask the database for its state."""
        newest = "SELECT to_char(max(at) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"') FROM heartbeat"

        def work(link: Link) -> Health:
            timeline = cast("int", link.run(_TIMELINE)[0][0])
            read_only = link.run("SHOW transaction_read_only")[0][0] == "on"
            at = link.run(newest)[0][0]
            return Health(
                standby=timeline == 0,
                read_only=read_only,
                timeline=timeline,
                heartbeat_at=None if at is None else str(at),
            )

        return self.reading.run(work)

    def beat(self) -> bool:
        """Write one heartbeat row and sweep those older than 10 minutes; False on a standby."""

        def work(link: Link) -> bool:
            if link.run(_TIMELINE)[0][0] == 0:
                return False
            row = link.run("INSERT INTO heartbeat (at) VALUES (clock_timestamp()) RETURNING id")[0][0]
            if cast("int", row) % 100 == 0:
                link.run("DELETE FROM heartbeat WHERE at < clock_timestamp() - interval '10 minutes'")
            return True

        return self.beating.run(work)


def _totals(groups: list[list[object]], gaps: list[str]) -> dict[str, object]:
    """Put the sums of the series together."""
    series: dict[str, dict[str, object]] = {}
    for name, count, total, voided, first, last in sorted(groups, key=lambda row: split_number(f"{row[0]}-000001")):
        series[str(name)] = {
            "count": count,
            "sum": total,
            "voided": voided,
            "first": f"{name}-{first:06d}",
            "last": f"{name}-{last:06d}",
            "gaps": sum(1 for number in gaps if number.startswith(f"{name}-")),
        }
    lines = list(series.values())
    return {
        "count": sum(cast("int", line["count"]) for line in lines),
        "sum": str(sum((Decimal(str(line["sum"])) for line in lines), Decimal("0.00"))),
        "voided": sum(cast("int", line["voided"]) for line in lines),
        "by_series": series,
        "first": lines[0]["first"] if lines else None,
        "last": lines[-1]["last"] if lines else None,
        "gaps": len(gaps),
        "gap_numbers": gaps[:_GAPS_SHOWN],
    }
