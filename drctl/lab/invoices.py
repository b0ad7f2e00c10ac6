"""The lab's invoice service: a small real web service over PostgreSQL, on a primary and on a standby site.

Rule of acknowledgement: commit in the database, then report to the tax authority, then answer. Without its receipt
the answer is 503, and a retry with the same key finishes what was begun; so every acknowledged invoice is in the
external record. Release "2.1.0-bad" is a faulty one: on its first start with a writable database it runs a "cleanup"
that deletes invoices and spoils amounts. SQL is left to `invoices_store`.

    POST   /invoices                 {"company", "amount", "key", "date"?} -> 201
    GET    /invoices                 ?company= &date= &key= &limit=
    GET    /invoices/totals          count, sum, voided, by_series, first, last, gaps   (?synthetic=1)
    GET    /invoices/export          every record, sorted by number   (?since= &state= &fields=a,b &synthetic=1)
    GET    /invoices/digest          one line per ?bucket=100 numbers (the parameters of export)
    POST   /invoices/import          {"invoices": [record]} or the bare list
    GET    /invoices/NUMBER          PUT: {"company"?, "amount"?, "key"?}
    POST   /invoices/NUMBER/void     {"amount"?, "key"?}; an amount given has to be the invoice's
    POST   /invoices/NUMBER/report   tell the tax authority again
    DELETE /synthetic                remove the records of checks, here and at the authority
    GET    /healthz                  200 when the database can be written, else 503 with the reason
    POST   /admin/cleanup            the bad release only; the gateway does not pass /admin on
"""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, cast

from drctl.lab.calls import CallError, call
from drctl.lab.invoices_db import Beat
from drctl.lab.invoices_store import Store
from drctl.lab.records import (
    Record,
    digests,
    read_amount,
    read_company,
    read_date,
    read_key,
    read_number,
    read_record,
    rows_for,
)
from drctl.lab.service import Answer, Log, Refusal, Request, Routes, main, now_text, text_of

if TYPE_CHECKING:
    from collections.abc import Mapping

BAD_RELEASE = "2.1.0-bad"
BEAT_SECONDS = 0.5
BEAT_STALE_MS = 3000
"""A primary whose last heartbeat is older cannot be written, whatever it says of itself."""
TAX_SECONDS = 2.0
_MOST_LISTED = 1000


class Invoices:
    """The service; see the module for what it answers."""

    def __init__(self, config: Mapping[str, object], log: Log) -> None:
        place = config.get("db")
        database = cast("dict[str, object]", place if isinstance(place, dict) else {})
        self._log = log
        self._site = text_of(config, "site", "a")
        self._release = text_of(config, "release", "2.0.0")
        self._tax = text_of(config, "tax").rstrip("/")
        cleanup = config.get("cleanup")
        amounts = cast("dict[str, int]", cleanup if isinstance(cleanup, dict) else {})
        self._delete, self._alter = int(amounts.get("delete", 25)), int(amounts.get("alter", 15))
        self._store = Store(
            socket_dir=text_of(database, "socket_dir"),
            user=text_of(database, "user", "invoices"),
            database=text_of(database, "database", "invoices"),
        )
        self._beat = Beat(BEAT_SECONDS, self._tick, lambda refusal: log.limited("beat", f"heartbeat: {refusal}"))
        self._cleaning = threading.Lock()
        self._cleaned = self._release != BAD_RELEASE
        self.headers: Mapping[str, str] = {"X-Site": self._site, "X-Release": self._release}
        self.routes = self._routes()

    def _routes(self) -> Routes:
        routes = Routes()
        routes.add("GET", "/healthz", self._health)
        routes.add("POST", "/invoices", self._issue)
        routes.add("GET", "/invoices", self._find)
        routes.add("GET", "/invoices/totals", self._totals)
        routes.add("GET", "/invoices/export", self._export)
        routes.add("GET", "/invoices/digest", self._digest)
        routes.add("POST", "/invoices/import", self._import)
        routes.add("GET", "/invoices/{number}", self._get)
        routes.add("PUT", "/invoices/{number}", self._amend)
        routes.add("POST", "/invoices/{number}/void", self._void)
        routes.add("POST", "/invoices/{number}/report", self._report_again)
        routes.add("DELETE", "/synthetic", self._remove_synthetic)
        routes.add("POST", "/admin/cleanup", self._cleanup)
        return routes

    def start(self) -> None:
        """Begin the heartbeat; the bad release's cleanup hangs on it."""
        self._log.info(f"release {self._release} at site {self._site}")
        self._beat.start()

    def stop(self) -> None:
        """End the heartbeat and close the connections."""
        self._beat.stop()
        self._store.close()

    def extra_ready(self) -> dict[str, object]:
        """What the ready file says of this service."""
        return {"site": self._site, "release": self._release}

    def _tick(self) -> bool:
        wrote = self._store.beat()
        if wrote and not self._cleaned:
            self._clean()
        return wrote

    def _clean(self) -> tuple[int, int]:
        """Do the bad release's damage once; the first line's time is just before it, a point worth restoring to."""
        with self._cleaning:
            self._log.warning(f"release {BAD_RELEASE} cleanup: begins")
            deleted, altered = self._store.damage(delete=self._delete, alter=self._alter)
            self._cleaned = True
            self._log.warning(f"release {BAD_RELEASE} cleanup: deleted {deleted} altered {altered}")
            return deleted, altered

    def _cleanup(self, _request: Request) -> Answer:
        if self._release != BAD_RELEASE:
            raise Refusal(404, f"release {self._release} has no cleanup")
        deleted, altered = self._clean()
        return Answer(body={"deleted": deleted, "altered": altered, "at": now_text()})

    def _reported(self, record: Record) -> None:
        """Have the tax authority's receipt for a record. Raises Refusal 503 without it, 409 when it holds another."""
        try:
            status, body = call("POST", f"{self._tax}/records", record.row(), timeout=TAX_SECONDS)
        except CallError as error:
            self._log.limited("tax", f"no receipt for {record.number}: {error}")
            raise Refusal(503, f"no receipt of the tax authority for {record.number}: {error}") from error
        if status in {200, 201}:
            return
        reason = body.get("error") if isinstance(body, dict) else None
        self._log.limited("tax", f"no receipt for {record.number}: status {status}: {reason}")
        raise Refusal(409 if status == 409 else 503, f"no receipt of the tax authority for {record.number}: {reason}")  # noqa: PLR2004 - HTTP

    def _issue(self, request: Request) -> Answer:
        body = request.json_object()
        key = request.headers.get("idempotency-key") or body.get("key")
        day = body.get("date")
        record = self._store.issue(
            company=read_company(body.get("company")),
            amount=read_amount(body.get("amount")),
            date=None if day is None else read_date(day),
            key=read_key(key),
        )
        self._reported(record)
        return Answer(status=201, body=record.row() | {"issued_at": record.at})

    def _amend(self, request: Request) -> Answer:
        body = request.json_object()
        company, amount, key = body.get("company"), body.get("amount"), body.get("key")
        if company is None and amount is None:
            raise Refusal(400, "give company, amount or both")
        record = self._store.amend(
            read_number(request.parts["number"]),
            company=None if company is None else read_company(company),
            amount=None if amount is None else read_amount(amount),
            key=None if key is None else read_key(key),
        )
        self._reported(record)
        return Answer(body=record.row())

    def _void(self, request: Request) -> Answer:
        body = request.json_object()
        amount, key = body.get("amount"), body.get("key")
        record = self._store.void(
            read_number(request.parts["number"]),
            amount=None if amount is None else read_amount(amount),
            key=None if key is None else read_key(key),
        )
        self._reported(record)
        return Answer(body=record.row())

    def _one(self, request: Request) -> tuple[Record, str]:
        number = read_number(request.parts["number"])
        found = self._store.get(number)
        if found is None:
            raise Refusal(404, f"there is no invoice {number}")
        return found

    def _get(self, request: Request) -> Answer:
        record, issued_at = self._one(request)
        return Answer(body=record.row() | {"issued_at": issued_at})

    def _report_again(self, request: Request) -> Answer:
        record, _ = self._one(request)
        self._reported(record)
        return Answer(body=record.row())

    def _find(self, request: Request) -> Answer:
        query = request.query
        found = self._store.find(
            company=query.get("company"),
            date=read_date(query["date"]) if query.get("date") else None,
            key=query.get("key"),
            limit=request.number("limit", 100, _MOST_LISTED),
        )
        return Answer(body=[one.row() for one in found])

    def _totals(self, request: Request) -> Answer:
        return Answer(body=self._store.totals(synthetic=request.flag("synthetic")))

    def _export(self, request: Request) -> Answer:
        return Answer(body=rows_for(self._store.every(), request.query))

    def _digest(self, request: Request) -> Answer:
        query = {name: text for name, text in request.query.items() if name != "fields"}
        return Answer(body=digests(rows_for(self._store.every(), query), request.number("bucket", 100, 100_000)))

    def _import(self, request: Request) -> Answer:
        given = request.json()
        listed = given.get("invoices") if isinstance(given, dict) else given
        if not isinstance(listed, list):
            raise Refusal(400, 'give {"invoices": [record, ...]} or the list alone')
        newest: dict[str, Record] = {}
        for record in (read_record(one, timed=False) for one in listed):
            if record.number not in newest or newest[record.number].at <= record.at:
                newest[record.number] = record
        done = self._store.take_in(list(newest.values()))
        self._log.info(f"import: {done}")
        return Answer(body=done)

    def _remove_synthetic(self, _request: Request) -> Answer:
        removed = self._store.remove_synthetic()
        try:
            status, body = call("DELETE", f"{self._tax}/synthetic", timeout=TAX_SECONDS)
        except CallError as error:
            raise Refusal(503, f"removed {removed} here, but not at the tax authority: {error}") from error
        if status != 200:  # noqa: PLR2004 - HTTP
            raise Refusal(503, f"removed {removed} here, but not at the tax authority: status {status}")
        return Answer(body={"deleted": removed, "tax": body})

    def _health(self, _request: Request) -> Answer:
        lines: dict[str, object] = {
            "site": self._site,
            "release": self._release,
            "database": "unreachable",
            "writable": False,
        }
        age = self._beat.age_ms()
        try:
            health = self._store.health()
        except Refusal as refusal:
            reason = refusal.reason
        else:
            lines["database"] = "standby" if health.standby else "primary"
            lines["timeline"] = health.timeline or None
            lines["heartbeat_at"] = health.heartbeat_at
            if health.standby:
                reason = "the database is a standby (read-only)"
            elif health.read_only:
                reason = "the database is read-only"
            elif age is None or age > BEAT_STALE_MS:
                hanging = self._store.writing.hanging()
                reason = f"no heartbeat could be committed for {age or 0} ms, {hanging} requests hang: no standby?"
            else:
                reason = ""
        lines["writable"] = not reason
        lines["reason"] = reason
        return Answer(status=200 if not reason else 503, body={"status": "unavailable" if reason else "ok", **lines})


if __name__ == "__main__":
    sys.exit(main(sys.argv, Invoices))
