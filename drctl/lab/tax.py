"""The lab's tax authority: the external record of every invoice, with a store of its own that no runbook touches.

A report is idempotent: the same record again is known, a newer one (by `at`) becomes the current version, an older one
is kept as history. Refused with 409: the same number and time with another content (somebody altered it), and a known
number with another key (a database that forgot its past gives numbers out again).

    POST|PUT /records            one record -> {"number", "receipt", "result": recorded|known|older}
    GET      /records            current versions, sorted by number (?since= &state= &fields=a,b &synthetic=1)
    GET      /records/NUMBER     the current version
    GET      /records/NUMBER/versions
    GET      /totals             {"count", "sum", "voided"}   (?synthetic=1)
    GET      /digest             one line per ?bucket=100 numbers
    DELETE   /synthetic          remove the records of checks
    POST     /outage             {"seconds"}: answer 503 to everything else for so long
    GET      /healthz
"""

from __future__ import annotations

import sqlite3
import sys
import threading
import time
from decimal import Decimal
from typing import TYPE_CHECKING

from drctl.lab.records import FIELDS, Record, digests, read_number, read_record, rows_for
from drctl.lab.service import Answer, Log, Refusal, Request, Routes, main, now_text, text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_LONGEST_OUTAGE = 3600
_SCHEMA = """
CREATE TABLE IF NOT EXISTS versions (
    receipt INTEGER PRIMARY KEY AUTOINCREMENT,
    number TEXT NOT NULL, company TEXT NOT NULL, amount TEXT NOT NULL, date TEXT NOT NULL,
    state TEXT NOT NULL, key TEXT NOT NULL, at TEXT NOT NULL, received_at TEXT NOT NULL,
    UNIQUE (number, at)
);
"""
_COLUMNS = ", ".join(FIELDS)
# With max(), SQLite takes the other columns from the row that has the maximum (documented as "bare columns").
_CURRENT = "SELECT number, company, amount, date, state, key, max(at) FROM versions"


class Tax:
    """The authority; see the module for what it answers."""

    def __init__(self, config: Mapping[str, object], log: Log) -> None:
        self._log = log
        self._lock = threading.Lock()
        self._store = sqlite3.connect(text_of(config, "data"), check_same_thread=False, isolation_level=None)
        self._store.execute("PRAGMA journal_mode = WAL")
        self._store.execute("PRAGMA synchronous = NORMAL")  # a killed process loses nothing
        self._store.executescript(_SCHEMA)
        self._silent_until = 0.0
        self.headers: Mapping[str, str] = {}
        self.routes = Routes()
        self.routes.add("POST", "/outage", self._outage)
        for method, pattern, answer in (
            ("POST", "/records", self._record),
            ("PUT", "/records", self._record),
            ("GET", "/records", self._list),
            ("GET", "/records/{number}", self._one),
            ("GET", "/records/{number}/versions", self._versions),
            ("GET", "/totals", self._totals),
            ("GET", "/digest", self._digest),
            ("DELETE", "/synthetic", self._remove_synthetic),
            ("GET", "/healthz", lambda _request: Answer(body={"status": "ok"})),
        ):
            self.routes.add(method, pattern, self._when_open(answer))

    def start(self) -> None:
        """Nothing to begin."""

    def stop(self) -> None:
        """Close the store."""
        with self._lock:
            self._store.close()

    def extra_ready(self) -> dict[str, object]:
        """Nothing beside the port."""
        return {}

    def _when_open(self, answer: Callable[[Request], Answer]) -> Callable[[Request], Answer]:
        def guarded(request: Request) -> Answer:
            if time.monotonic() < self._silent_until:
                raise Refusal(503, "the tax authority is not available")
            return answer(request)

        return guarded

    def _outage(self, request: Request) -> Answer:
        seconds = request.json_object().get("seconds")
        if not isinstance(seconds, int) or not 0 <= seconds <= _LONGEST_OUTAGE:
            raise Refusal(400, f"seconds has to be a whole number from 0 to {_LONGEST_OUTAGE}")
        self._silent_until = time.monotonic() + seconds
        self._log.warning(f"not available for {seconds} s")
        return Answer(body={"seconds": seconds})

    def _record(self, request: Request) -> Answer:
        record = read_record(request.json())
        with self._lock:
            known = self._store.execute(
                f"SELECT receipt, {_COLUMNS} FROM versions WHERE number = ? AND at = ?",  # noqa: S608 - constant columns
                (record.number, record.at),
            ).fetchone()
            if known is not None:
                if tuple(known[1:]) != tuple(record.row().values()):
                    self._log.error(f"{record.number} was reported before with another content")
                    raise Refusal(409, f"{record.number} of {record.at} was reported before with another content")
                return Answer(body={"number": record.number, "receipt": f"T-{known[0]}", "result": "known"})
            other = self._store.execute(
                "SELECT key FROM versions WHERE number = ? AND key <> ? LIMIT 1", (record.number, record.key)
            ).fetchone()
            if other is not None:
                self._log.error(f"{record.number} is known with another key")
                raise Refusal(409, f"{record.number} was given out before, to the request with key {other[0]}")
            marks = ", ".join("?" * (len(FIELDS) + 1))
            receipt = self._store.execute(
                f"INSERT INTO versions ({_COLUMNS}, received_at) VALUES ({marks})",  # noqa: S608 - constant columns
                (*record.row().values(), now_text()),
            ).lastrowid
            newest = self._store.execute("SELECT max(at) FROM versions WHERE number = ?", (record.number,)).fetchone()
        result = "recorded" if newest[0] == record.at else "older"
        return Answer(status=201, body={"number": record.number, "receipt": f"T-{receipt}", "result": result})

    def _current(self, number: str | None = None) -> list[Record]:
        where, values = ("WHERE number = ?", (number,)) if number else ("", ())
        with self._lock:
            rows = self._store.execute(f"{_CURRENT} {where} GROUP BY number", values).fetchall()
        return [Record(**dict(zip(FIELDS, row, strict=True))) for row in rows]

    def _list(self, request: Request) -> Answer:
        return Answer(body=rows_for(self._current(), request.query))

    def _digest(self, request: Request) -> Answer:
        query = {name: text for name, text in request.query.items() if name != "fields"}
        return Answer(body=digests(rows_for(self._current(), query), request.number("bucket", 100, 100_000)))

    def _one(self, request: Request) -> Answer:
        number = read_number(request.parts["number"])
        found = self._current(number)
        if not found:
            raise Refusal(404, f"no invoice {number} was reported")
        return Answer(body=found[0].row())

    def _versions(self, request: Request) -> Answer:
        number = read_number(request.parts["number"])
        with self._lock:
            rows = self._store.execute(
                f"SELECT receipt, {_COLUMNS}, received_at FROM versions WHERE number = ? ORDER BY at",  # noqa: S608 - constant columns
                (number,),
            ).fetchall()
        names = ("receipt", *FIELDS, "received_at")
        return Answer(body=[dict(zip(names, (f"T-{row[0]}", *row[1:]), strict=True)) for row in rows])

    def _totals(self, request: Request) -> Answer:
        every = [one for one in self._current() if request.flag("synthetic") or not one.synthetic]
        valid = [Decimal(one.amount) for one in every if one.state != "void"]
        return Answer(
            body={
                "count": len(every),
                "sum": str(sum(valid, Decimal("0.00"))),
                "voided": len(every) - len(valid),
            }
        )

    def _remove_synthetic(self, _request: Request) -> Answer:
        with self._lock:
            removed = self._store.execute("DELETE FROM versions WHERE number GLOB 'S*'").rowcount
        self._log.info(f"removed {removed} versions of synthetic records")
        return Answer(body={"deleted": removed})


if __name__ == "__main__":
    sys.exit(main(sys.argv, Tax))
