"""The lab's inbox: a webhook and an SMTP sink that keep everything, so that "told exactly once" can be counted.

POST   /hook/NAME    any body; JSON members "subject"/"title" and "text"/"message" are picked out
GET    /hook/NAME    200 while the channel takes messages: what a check of channels asks
GET    /messages     every message (?channel=NAME &key=K &since=TIME), oldest first
GET    /counts       {"total", "by_channel", "keys", "repeated": keys a channel got more than once}
DELETE /messages     forget them
POST   /fail/NAME    {"times", "status"}: refuse the next messages of a channel ("smtp" for mail)
GET    /healthz
"""

from __future__ import annotations

import asyncio
import email
import email.policy
import sys
import threading
from collections import Counter
from typing import TYPE_CHECKING

from aiosmtpd.smtp import SMTP

from drctl.lab.records import read_time
from drctl.lab.service import Answer, Log, Refusal, Request, Routes, main, now_text, text_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from email.message import EmailMessage

    from aiosmtpd.smtp import Envelope, Session

LONGEST_TEXT = 65_536
SMTP_CHANNEL = "smtp"
_KEY_HEADERS = ("idempotency-key", "x-idempotency-key")


class Inbox:
    """The sink; see the module for what it answers."""

    def __init__(self, config: Mapping[str, object], log: Log) -> None:
        self._log = log
        self._host, _, port = text_of(config, "smtp_listen", "127.0.0.1:0").rpartition(":")
        self._lock = threading.Lock()
        self._messages: list[dict[str, object]] = []
        self._failing: dict[str, tuple[int, int]] = {}
        self._loop = asyncio.new_event_loop()
        self._smtp = self._loop.run_until_complete(
            self._loop.create_server(
                lambda: SMTP(self, hostname="inbox.lab", enable_SMTPUTF8=True, loop=self._loop), self._host, int(port)
            )
        )
        self.smtp_port = int(self._smtp.sockets[0].getsockname()[1])
        self._thread = threading.Thread(target=self._loop.run_forever, name="smtp", daemon=True)
        self.headers: Mapping[str, str] = {}
        self.routes = Routes()
        self.routes.add("POST", "/hook/{name}", self._hook)
        self.routes.add("GET", "/hook/{name}", self._check)
        self.routes.add("GET", "/messages", self._list)
        self.routes.add("DELETE", "/messages", self._forget)
        self.routes.add("GET", "/counts", self._counts)
        self.routes.add("POST", "/fail/{name}", self._fail)
        self.routes.add("GET", "/healthz", lambda _request: Answer(body={"status": "ok"}))

    def start(self) -> None:
        """Begin to take mail."""
        self._thread.start()

    def stop(self) -> None:
        """End the mail server."""
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(timeout=5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=5)
        self._loop.close()

    async def _close(self) -> None:
        self._smtp.close()
        others = [one for one in asyncio.all_tasks() if one is not asyncio.current_task()]
        for one in others:
            one.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def extra_ready(self) -> dict[str, object]:
        """The port of the mail server."""
        return {"smtp_port": self.smtp_port}

    def _keep(self, channel: str, key: str | None, **members: object) -> int:
        with self._lock:
            number = len(self._messages) + 1
            self._messages.append(
                {"id": number, "channel": channel, "key": key, "received_at": now_text(), **members},
            )
        self._log.info(f"message {number} on {channel}, key {key}")
        return number

    def _refused(self, channel: str, *, use_up: bool) -> int | None:
        """The status a channel that was told to fail answers with; a message uses one failure up, a check does not."""
        with self._lock:
            times, status = self._failing.get(channel, (0, 0))
            if times == 0:
                return None
            if use_up:
                self._failing[channel] = (times - 1, status)
            return status

    def _hook(self, request: Request) -> Answer:
        channel = request.parts["name"]
        if status := self._refused(channel, use_up=True):
            raise Refusal(status, f"channel {channel} was told to fail")
        text = request.body[:LONGEST_TEXT].decode("utf-8", "replace")
        try:
            body = request.json()
        except Refusal:
            body = None
        members = body if isinstance(body, dict) else {}
        header = next((request.headers[name] for name in _KEY_HEADERS if name in request.headers), None)
        key = header or members.get("idempotency_key") or members.get("key")
        number = self._keep(
            channel,
            None if key is None else str(key),
            subject=str(members.get("subject") or members.get("title") or "")[:500],
            text=str(members.get("text") or members.get("message") or text)[:LONGEST_TEXT],
            body=body if body is not None else text,
        )
        return Answer(body={"id": number})

    def _check(self, request: Request) -> Answer:
        channel = request.parts["name"]
        if status := self._refused(channel, use_up=False):
            raise Refusal(status, f"channel {channel} was told to fail")
        return Answer(body={"channel": channel, "status": "ok"})

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: ARG002, N802 - aiosmtpd calls it
        """Take one mail."""
        if self._refused(SMTP_CHANNEL, use_up=True):
            return "451 the channel was told to fail"
        raw = envelope.content if isinstance(envelope.content, bytes) else (envelope.content or "").encode()
        message = email.message_from_bytes(raw, policy=email.policy.default)
        key = next((str(message[name]) for name in _KEY_HEADERS if message[name]), None) or message["message-id"]
        number = self._keep(
            SMTP_CHANNEL,
            None if key is None else str(key),
            subject=str(message["subject"] or "")[:500],
            text=_plain(message)[:LONGEST_TEXT],
            sender=envelope.mail_from or "",
            to=list(envelope.rcpt_tos),
        )
        return f"250 kept as {number}"

    def _list(self, request: Request) -> Answer:
        query = request.query
        since = read_time(query["since"]) if query.get("since") else ""
        with self._lock:
            kept = [
                one
                for one in self._messages
                if query.get("channel") in {None, one["channel"]}
                and query.get("key") in {None, one["key"]}
                and str(one["received_at"]) >= since
            ]
        return Answer(body=kept)

    def _counts(self, _request: Request) -> Answer:
        with self._lock:
            channels = Counter(str(one["channel"]) for one in self._messages)
            keys = Counter((str(one["channel"]), str(one["key"])) for one in self._messages if one["key"] is not None)
        return Answer(
            body={
                "total": sum(channels.values()),
                "by_channel": dict(channels),
                "keys": len(keys),
                "repeated": sorted(f"{channel} {key}" for (channel, key), times in keys.items() if times > 1),
            }
        )

    def _forget(self, _request: Request) -> Answer:
        with self._lock:
            forgotten = len(self._messages)
            self._messages.clear()
        return Answer(body={"deleted": forgotten})

    def _fail(self, request: Request) -> Answer:
        body = request.json_object()
        times, status = body.get("times", 1), body.get("status", 503)
        if not isinstance(times, int) or not isinstance(status, int) or not 400 <= status <= 599 or times < 0:  # noqa: PLR2004 - HTTP
            raise Refusal(400, "times has to be a whole number from 0 and status one from 400 to 599")
        with self._lock:
            self._failing[request.parts["name"]] = (times, status)
        return Answer(body={"channel": request.parts["name"], "times": times, "status": status})


def _plain(message: EmailMessage) -> str:
    """The readable text of a mail."""
    part = message.get_body(("plain", "html"))
    try:
        return str(part.get_content()) if part is not None else ""
    except (LookupError, KeyError):  # an unknown charset or type
        return str(part.get_payload()) if part is not None else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv, Inbox))
