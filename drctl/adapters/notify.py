"""Telling people by the inventory's channels: webhook, mail or command. Each message once, within a limit.

`sent` is said only on a positive answer. Whatever happens between handing the message over and that answer leaves it in
doubt: it may have gone out. What to say, and to whom, is left to the kind `notify` and the engine.
"""

import contextlib
import json
import os
import shutil
import smtplib
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import field
from email.message import EmailMessage
from email.utils import formatdate
from typing import Final

from drctl.core.inventory import Channel, SecretRef
from drctl.core.nouns import dataclass
from drctl.core.ports import Http, HttpRequest, Message, Reach, Receipt
from drctl.core.values import Duration, Secret
from drctl.errors import RefusedError

_CHECK_LIMIT: Final = Duration.parse("10s")
_LEAST_SECONDS = 0.001
_ANSWERED = range(200, 300)


@dataclass(slots=True)
class _Attempt:
    """One delivery. Once it has begun, the message may have gone out, and a lost answer is a doubt."""

    message: Message
    until: float
    began: bool = False
    given_up: bool = False
    receipt: Receipt | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self) -> None:
        """Say that the message is handed over now; an attempt that was given up does not come this far.

        Raises:
            _RefusedError: when it was given up.
        """
        with self.lock:
            if self.given_up:
                raise _RefusedError("it was given up before the message was handed over")
            self.began = True

    def outcome(self) -> Receipt:
        """The receipt now; without one the attempt is given up here."""
        with self.lock:
            self.given_up = self.receipt is None
        return self.receipt or self.end("no answer within the limit")

    @property
    def left(self) -> float:
        """Seconds until the limit; never zero, which many calls take for no limit."""
        return max(_LEAST_SECONDS, self.until - time.monotonic())

    def end(self, because: str, *, sent: bool = False) -> Receipt:
        """The receipt of this attempt; in doubt when it began and there is no answer about it."""
        return Receipt(channel=self.message.channel, sent=sent, doubt=self.began and not sent, because=because)

    def refused(self, because: str) -> Receipt:
        """A clear no: the message did not go out."""
        return Receipt(channel=self.message.channel, sent=False, because=because)


class Channels:
    """The `Notifier` over an inventory's channels.

    Args:
        channels: by name.
        http: sends the webhooks.
        resolve: finds a channel's secret; raises RefusedError.
    """

    def __init__(self, channels: Mapping[str, Channel], http: Http, resolve: Callable[[SecretRef], Secret]) -> None:
        self._channels = channels
        self._http = http
        self._resolve = resolve

    def send(self, message: Message, timeout: Duration) -> Receipt:
        """Deliver once. A delivery that goes on beyond the limit is left to itself, and in doubt."""
        channel = self._channels.get(message.channel)
        if channel is None:
            return Receipt(channel=message.channel, sent=False, because="the inventory has no such channel")
        deliver = {"webhook": self._webhook, "smtp": self._smtp, "command": self._command}.get(channel.type)
        if deliver is None:
            return Receipt(channel=message.channel, sent=False, because=f"no way to send by {channel.type}")
        attempt = _Attempt(message, time.monotonic() + timeout.micros / 1e6)
        thread = threading.Thread(
            target=_guarded, args=(deliver, channel, attempt), daemon=True, name=f"drctl-notify-{channel.name}"
        )
        thread.start()
        thread.join(attempt.left)
        return attempt.outcome()

    def check(self, channel: str) -> str:
        """Say why a channel cannot be used: a webhook without an answer, a mail server that refuses the login."""
        known = self._channels.get(channel)
        if known is None:
            return f"the inventory has no channel {channel}"
        try:
            match known.type:
                case "webhook":
                    reply = self._http.read(HttpRequest(method="HEAD", url=_text(known, "url"), timeout=_CHECK_LIMIT))
                    return "" if reply.status is not None else reply.because or "no answer"
                case "smtp":
                    with _session(self._connected(known, _CHECK_LIMIT.micros / 1e6)) as server:
                        server.noop()
                    return ""
                case "command":
                    program = _words(known, "argv")[0]
                    return "" if shutil.which(program) else f"{program} is not on this machine"
                case other:
                    return f"no way to send by {other}"
        except (OSError, smtplib.SMTPException, RefusedError, _RefusedError) as error:
            return _one_line(error)

    def _webhook(self, channel: Channel, attempt: _Attempt) -> Receipt:
        message = attempt.message
        headers: dict[str, str | Secret] = {"content-type": "application/json", "idempotency-key": message.key}
        if channel.secret is not None:
            secret = self._resolve(channel.secret)
            headers["authorization"] = Secret(f"Bearer {secret.reveal()}", name=secret.name)
        content = {"channel": channel.name, "subject": message.subject, "text": message.text, "key": message.key}
        request = HttpRequest(
            method="POST",
            url=_text(channel, "url"),
            headers=headers,
            body=json.dumps(content, ensure_ascii=False).encode(),
            timeout=Duration(int(attempt.left * 1e6) + 1),
        )
        attempt.begin()
        reply = self._http.send(request)
        if reply.status is None or reply.reach is not Reach.COMPLETE:
            attempt.began = reply.sent
            return attempt.end(reply.because or "no answer")
        if reply.status in _ANSWERED:
            return attempt.end(f"HTTP {reply.status}", sent=True)
        return attempt.refused(f"HTTP {reply.status}")

    def _smtp(self, channel: Channel, attempt: _Attempt) -> Receipt:
        recipients = _words(channel, "to")
        text = _mail(channel, attempt.message, recipients)
        with _session(self._connected(channel, attempt.left)) as server:
            code, answer = server.mail(_sender(channel))
            if code != 250:  # noqa: PLR2004 - RFC 5321: done
                return attempt.refused(f"the sender was refused: {_answer(code, answer)}")
            answers = {recipient: server.rcpt(recipient) for recipient in recipients}
            refused = [f"{who} ({_answer(*answers[who])})" for who in recipients if answers[who][0] not in (250, 251)]
            if len(refused) == len(recipients):
                return attempt.refused(f"every recipient was refused: {', '.join(refused)}")
            attempt.begin()
            code, answer = server.data(text)
            if code != 250:  # noqa: PLR2004 - RFC 5321: done
                return attempt.refused(f"the text was refused: {_answer(code, answer)}")
            if refused:
                return attempt.refused(f"{len(recipients) - len(refused)} took it; refused: {', '.join(refused)}")
            return attempt.end(f"taken for {', '.join(recipients)}", sent=True)

    def _connected(self, channel: Channel, seconds: float) -> smtplib.SMTP:
        """A session with the mail server, encrypted and logged in as the channel says."""
        host, port = _text(channel, "host"), int(_text(channel, "port", "25"))
        tls = _text(channel, "tls", "none")
        if tls == "tls":
            context = ssl.create_default_context()
            server: smtplib.SMTP = smtplib.SMTP_SSL(host, port, timeout=seconds, context=context)
        else:
            server = smtplib.SMTP(host, port, timeout=seconds)
        try:
            server.ehlo()
            if tls == "starttls":
                server.starttls(context=ssl.create_default_context())
                server.ehlo()
            if channel.secret is not None:
                server.login(_text(channel, "user", _sender(channel)), self._resolve(channel.secret).reveal())
        except BaseException:
            server.close()
            raise
        return server

    def _command(self, channel: Channel, attempt: _Attempt) -> Receipt:
        message = attempt.message
        env = {**os.environ, "DRCTL_SUBJECT": message.subject, "DRCTL_KEY": message.key, "DRCTL_CHANNEL": channel.name}
        if channel.secret is not None:
            env["DRCTL_SECRET"] = self._resolve(channel.secret).reveal()
        argv = _words(channel, "argv")
        attempt.begin()
        try:
            done = subprocess.run(
                argv, input=message.text.encode(), env=env, capture_output=True, timeout=attempt.left, check=False
            )
        except subprocess.TimeoutExpired:
            return attempt.end(f"{argv[0]} did not end in time and was killed")
        except OSError as error:
            return attempt.refused(f"{argv[0]} cannot be started: {error.strerror}")
        if done.returncode == 0:
            return attempt.end(f"{argv[0]} took it", sent=True)
        return attempt.refused(f"{argv[0]} ended with exit code {done.returncode}")


class _RefusedError(Exception):
    """Nothing can be sent: a setting is missing or has the wrong shape, or the attempt was given up."""


@contextlib.contextmanager
def _session(server: smtplib.SMTP) -> Iterator[smtplib.SMTP]:
    """The session, ended politely: what the server says to the goodbye changes nothing about the message."""
    try:
        yield server
        with contextlib.suppress(OSError, smtplib.SMTPException):
            server.quit()
    finally:
        server.close()


def _guarded(deliver: Callable[[Channel, _Attempt], Receipt], channel: Channel, attempt: _Attempt) -> None:
    """Deliver, and turn whatever the world does into a receipt."""
    try:
        attempt.receipt = deliver(channel, attempt)
    except smtplib.SMTPResponseException as error:
        attempt.receipt = attempt.refused(_answer(error.smtp_code, error.smtp_error))
    except (OSError, ValueError, smtplib.SMTPException, RefusedError, _RefusedError) as error:
        attempt.receipt = attempt.end(_one_line(error))


def _mail(channel: Channel, message: Message, recipients: tuple[str, ...]) -> bytes:
    mail = EmailMessage()
    mail["From"] = _sender(channel)
    mail["To"] = ", ".join(recipients)
    mail["Subject"] = " ".join(message.subject.split())
    mail["Date"] = formatdate()
    mail["Message-ID"] = f"<{message.key}@drctl.invalid>"  # the same if it is ever sent again: mail servers drop a copy
    mail["Idempotency-Key"] = message.key
    mail.set_content(message.text)
    return mail.as_bytes()


def _sender(channel: Channel) -> str:
    return _text(channel, "sender", "") or _text(channel, "from")


def _text(channel: Channel, name: str, default: str | None = None) -> str:
    value = channel.settings.get(name, default)
    if value is None or isinstance(value, tuple):
        raise _RefusedError(f"channel {channel.name} has no {name}")
    return str(value)


def _words(channel: Channel, name: str) -> tuple[str, ...]:
    value = channel.settings.get(name)
    words = (value,) if isinstance(value, str) else tuple(value or ())
    if not words:
        raise _RefusedError(f"channel {channel.name} has no {name}")
    return words


def _answer(code: int, text: bytes | str) -> str:
    words = text.decode(errors="replace") if isinstance(text, bytes) else text
    return f"{code} {' '.join(words.split())[:200]}"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
