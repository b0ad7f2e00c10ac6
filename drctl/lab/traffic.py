"""The lab's users: they issue invoices all the time, amend and void a few, count what was lost and when they waited.

Every request has an idempotency key and is repeated with it until it is acknowledged, refused for good, or given up. So
loss and outage are counted from the outside: `traffic_ledger` holds what users were told, an audit compares it with
what the service says now.

    GET  /status    acknowledged, amended, voided, refusals, conflicts, given_up, waiting, reused, outages,
                    outage_count, outage_seconds, running, last_acknowledged_at
    POST /pause     returns when no request is under way; nothing is sent until /resume
    POST /resume
    POST /stop      for good: ends the workers; requests not yet acknowledged are given up
    POST /audit     {"acknowledged", "lost", "altered", "lost_numbers", "altered_numbers", "reused"} and, when the
                    config names a tax authority, "tax_lost" and "tax_altered"
    GET  /healthz
"""

from __future__ import annotations

import random
import sys
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

from drctl.lab.calls import CallError, call
from drctl.lab.service import Answer, Log, Refusal, Request, Routes, main, text_of, time_text
from drctl.lab.traffic_ledger import SHOWN, Change, Content, Ledger, Outages, compare

if TYPE_CHECKING:
    from collections.abc import Mapping

AGAIN_SECONDS = 0.5
"""Pause before a refused request is sent again."""
ANSWER_SECONDS = 7.0
"""Longer than the gateway waits for the service."""
_GOOD = (200, 201)
_FINAL = (400, 404, 409)
_FIELDS = "number,company,amount,date,state"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wish:
    """One request of a user, sent as often as it takes."""

    method: str
    path: str
    body: dict[str, str]


class Traffic:
    """The generator; see the module for what it answers."""

    def __init__(self, config: Mapping[str, object], log: Log) -> None:
        self._log = log
        self._target = text_of(config, "target").rstrip("/")
        self._tax = str(config.get("tax") or "").rstrip("/")
        self._rate = float(cast("float", config.get("rate", 20)))
        self._give_up = float(cast("float", config.get("give_up_seconds", 900)))
        self._amends = float(cast("float", config.get("amends", 0.06)))
        self._voids = float(cast("float", config.get("voids", 0.04)))
        seed = int(cast("int", config.get("seed", random.SystemRandom().randrange(2**32))))
        self._prefix = f"t{seed:x}-{time.time_ns():x}"
        self._log.info(f"seed {seed}, {self._rate:g} requests/s to {self._target}")
        self._ledger = Ledger()
        self._outages = Outages()
        self._ending = threading.Event()
        self._gate = threading.Condition()
        self._paused = bool(config.get("paused", False))
        self._under_way = 0
        self._next_at = 0.0
        self._count = 0
        self._waiting = 0
        self._conflicts = 0
        self._given_up = 0
        self._auditing = threading.Lock()
        self._last_good: float | None = None
        self._workers = [
            threading.Thread(target=self._work, args=(random.Random(f"{seed}/{n}"),), name=f"user-{n}", daemon=True)  # noqa: S311 - load, no secret
            for n in range(int(cast("int", config.get("workers", 4))))
        ]
        self.headers: Mapping[str, str] = {}
        self.routes = Routes()
        for method, path, answer in (
            ("GET", "/status", self._status),
            ("POST", "/pause", self._pause),
            ("POST", "/resume", self._resume),
            ("POST", "/stop", self._stop),
            ("POST", "/audit", self._audit),
            ("GET", "/healthz", lambda _request: Answer(body={"status": "ok"})),
        ):
            self.routes.add(method, path, answer)

    def start(self) -> None:
        """Begin to send."""
        for worker in self._workers:
            worker.start()

    def stop(self) -> None:
        """End the workers."""
        self._ending.set()
        with self._gate:
            self._gate.notify_all()
        for worker in self._workers:
            if worker.is_alive():
                worker.join(timeout=ANSWER_SECONDS + 1)

    def extra_ready(self) -> dict[str, object]:
        """Nothing beside the port."""
        return {}

    def _work(self, rng: random.Random) -> None:
        while self._my_turn():
            draw = rng.random()
            if draw >= self._amends + self._voids:
                self._issue(rng)
            else:
                self._change(rng, void=draw >= self._amends)

    def _my_turn(self) -> bool:
        """Wait for the next point of the common schedule; what an outage missed is not caught up. False: the end."""
        with self._gate:
            now = time.monotonic()
            at = self._next_at = max(now, self._next_at + 1 / self._rate)
        self._ending.wait(at - now)
        return not self._ending.is_set()

    def _key(self) -> str:
        with self._gate:
            self._count += 1
            return f"{self._prefix}-{self._count}"

    def _issue(self, rng: random.Random) -> None:
        key = self._key()
        content = Content(
            company=f"Company {rng.randrange(1, 41):02d}",
            amount=f"{rng.randint(100, 999_999) / 100:.2f}",
            date=datetime.now(UTC).date().isoformat(),
            state="issued",
        )
        body = {"company": content.company, "amount": content.amount, "date": content.date, "key": key}
        answer, _ = self._send(_Wish(method="POST", path="/invoices", body=body))
        if answer is not None and isinstance(answer.get("number"), str):
            self._ledger.issued(str(answer["number"]), key, content)

    def _change(self, rng: random.Random, *, void: bool) -> None:
        change = self._ledger.begin_change(rng, void=void)
        if change is None:
            return
        answer, certain = self._send(self._wish(change, self._key()))
        if answer is not None:
            self._ledger.changed(change)
        else:
            self._ledger.unchanged(change, certain=certain)

    def _wish(self, change: Change, key: str) -> _Wish:
        path = f"/invoices/{change.number}"
        if change.after.state == "void":
            # With the amount the user believes in: voiding must not confirm an invoice that was spoiled meanwhile.
            return _Wish(method="POST", path=f"{path}/void", body={"amount": change.before.amount, "key": key})
        body = {"company": change.after.company, "amount": change.after.amount, "key": key}
        return _Wish(method="PUT", path=path, body=body)

    def _send(self, wish: _Wish) -> tuple[dict[str, object] | None, bool]:
        """Send until it is acknowledged; None with whether it is certain that nothing was done."""
        began = time.monotonic()
        tries = 0
        while self._enter():
            sent = time.time()
            try:
                status, answer = call(wish.method, self._target + wish.path, wish.body, timeout=ANSWER_SECONDS)
                reason = str(answer)[:200]
            except CallError as error:
                status, answer, reason = 0, None, str(error)
            finally:
                self._leave()
            tries += 1
            if status in _GOOD and isinstance(answer, dict):
                self._last_good = time.time()
                self._outages.acknowledged(self._last_good)
                self._settle(tries)
                return cast("dict[str, object]", answer), True
            if status in _FINAL:
                self._settle(tries, conflict=True)
                self._log.limited("conflict", f"{wish.method} {wish.path}: {status} {reason}")
                return None, tries == 1
            self._outages.refused(sent)
            self._log.limited("refused", f"{wish.method} {wish.path}: {status} {reason}")
            if tries == 1:
                self._count_waiting(1)
            if time.monotonic() - began > self._give_up or self._ending.wait(AGAIN_SECONDS):
                break
        self._settle(tries, given_up=tries > 0)
        return None, tries == 0

    def _count_waiting(self, more: int) -> None:
        with self._gate:
            self._waiting += more

    def _settle(self, tries: int, *, conflict: bool = False, given_up: bool = False) -> None:
        """Count the end of a wish; it was waiting if it had been refused before."""
        with self._gate:
            self._conflicts += conflict
            self._given_up += given_up
            if tries > 1 or (given_up and tries):
                self._waiting -= 1

    def _enter(self) -> bool:
        """Wait while paused; then one more request is under way. False: the end."""
        with self._gate:
            self._gate.wait_for(lambda: not self._paused or self._ending.is_set())
            if self._ending.is_set():
                return False
            self._under_way += 1
            return True

    def _leave(self) -> None:
        with self._gate:
            self._under_way -= 1
            self._gate.notify_all()

    def _status(self, _request: Request) -> Answer:
        ledger = self._ledger
        with self._gate:
            counts = {
                "conflicts": self._conflicts,
                "given_up": self._given_up,
                "waiting": self._waiting,
                "running": not (self._paused or self._ending.is_set()),
            }
        return Answer(
            body={
                "acknowledged": ledger.acknowledged(),
                "amended": ledger.amended,
                "voided": ledger.voided,
                "reused": len(ledger.reused()),
                **counts,
                "last_acknowledged_at": None if self._last_good is None else time_text(self._last_good),
                **self._outages.report(time.time()),
            }
        )

    def _pause(self, request: Request) -> Answer:
        with self._gate:
            self._paused = True
            quiet = self._gate.wait_for(lambda: self._under_way == 0, timeout=ANSWER_SECONDS + 1)
        if not quiet:
            raise Refusal(503, "paused, but a request is still under way")
        self._log.info("paused")
        return self._status(request)

    def _resume(self, request: Request) -> Answer:
        if self._ending.is_set():
            raise Refusal(409, "the traffic was stopped for good")
        with self._gate:
            self._paused = False
            self._gate.notify_all()
        self._log.info("resumed")
        return self._status(request)

    def _stop(self, request: Request) -> Answer:
        self.stop()
        self._log.info("stopped for good")
        return self._status(request)

    def _audit(self, _request: Request) -> Answer:
        """Compare what users were told with what the service says now.

        No change begins while the audit looks, and one under way is right before and after; invoices acknowledged
        during the audit are not part of it.
        """
        with self._auditing:
            expected = self._ledger.freeze()
            try:
                lost, altered = compare(expected, self._look(f"{self._target}/invoices/export?fields={_FIELDS}"))
                body: dict[str, object] = {
                    "acknowledged": len(expected),
                    "lost": len(lost),
                    "altered": len(altered),
                    "lost_numbers": lost[:SHOWN],
                    "altered_numbers": altered[:SHOWN],
                    "reused": len(self._ledger.reused()),
                }
                if self._tax:
                    lost, altered = compare(expected, self._look(f"{self._tax}/records?fields={_FIELDS}"))
                    body |= {"tax_lost": len(lost), "tax_altered": len(altered)}
            finally:
                self._ledger.thaw()
        counts = {name: value for name, value in body.items() if isinstance(value, int)}
        self._log.info(f"audit: {counts}")
        return Answer(body=body)

    def _look(self, url: str) -> dict[str, Content]:
        """Ask for a list of invoices, three times at most. Raises Refusal 503."""
        reason = ""
        for _ in range(3):
            try:
                status, rows = call("GET", url, timeout=20)
            except CallError as error:
                status, rows, reason = 0, None, str(error)
            if status in _GOOD and isinstance(rows, list):
                return {row.pop("number"): Content(**row) for row in cast("list[dict[str, str]]", rows)}
            reason = reason or f"status {status}: {str(rows)[:200]}"
            self._ending.wait(AGAIN_SECONDS)
        raise Refusal(503, f"cannot audit: {url} gave no list: {reason}")


if __name__ == "__main__":
    sys.exit(main(sys.argv, Traffic))
