"""Channels: once each, positive answers only, a lost answer is a doubt, and nothing ever raises or hangs."""

import asyncio
import email
import socket
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from drctl.adapters.http import UrllibHttp
from drctl.adapters.notify import Channels
from drctl.core.inventory import Channel, SecretRef
from drctl.core.ports import HttpReply, Message, Reach
from drctl.core.values import Duration, Secret
from drctl.errors import RefusedError
from tests.kinds.worlds import Web

LIMIT = Duration.parse("20s")
MESSAGE = Message(
    channel="oncall", subject="发票系统 is down", text="Next word\nin 30 minutes. 下次通知", key="0a1b" * 16
)


def no_secret(ref: SecretRef) -> Secret:
    raise RefusedError("is not there", where=f"secret {ref}")


def channels(type_: str, secret: SecretRef | None = None, http: Any = None, **settings: Any) -> Channels:  # noqa: ANN401 - settings of any shape
    channel = Channel(name="oncall", type=type_, settings=settings, secret=secret)
    return Channels(
        {"oncall": channel}, http or UrllibHttp(), lambda ref: Secret("token-of-test") if secret else no_secret(ref)
    )


# --- webhook ----------------------------------------------------------------------------------------------------------


def test_a_webhook_carries_the_message_and_its_key() -> None:
    web = Web(HttpReply(reach=Reach.COMPLETE, status=204))
    receipt = channels("webhook", SecretRef(source="env", target=("T",)), web, url="http://h/hook").send(MESSAGE, LIMIT)
    assert receipt.sent
    (request,) = web.sent_requests
    assert request.method == "POST"
    assert request.headers["idempotency-key"] == MESSAGE.key
    authorization = request.headers["authorization"]
    assert isinstance(authorization, Secret)
    assert authorization.reveal() == "Bearer token-of-test"
    assert isinstance(request.body, bytes)
    assert "发票系统".encode() in request.body


@pytest.mark.parametrize(
    ("reply", "doubt", "words"),
    [
        (HttpReply(reach=Reach.COMPLETE, status=500), False, "HTTP 500"),
        (HttpReply(reach=Reach.COMPLETE, status=302), False, "HTTP 302"),
        (HttpReply(reach=Reach.UNREACHABLE, because="refused", sent=False), False, "refused"),
        (HttpReply(reach=Reach.UNREACHABLE, because="reset", sent=True), True, "reset"),
        (HttpReply(reach=Reach.TIMEOUT, because="no answer", sent=True), True, "no answer"),
    ],
)
def test_a_webhook_without_a_positive_answer(reply: HttpReply, words: str, *, doubt: bool) -> None:
    web = Web(reply)
    receipt = channels("webhook", http=web, url="http://h/hook").send(MESSAGE, LIMIT)
    assert (receipt.sent, receipt.doubt) == (False, doubt)
    assert words in receipt.because
    assert len(web.sent_requests) == 1


def test_a_webhook_over_a_real_socket() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        got: list[bytes] = []

        def answer() -> None:
            line, _ = server.accept()
            with line:
                while b"30 minutes" not in b"".join(got):
                    got.append(line.recv(65536))
                line.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/hook/oncall"
        assert channels("webhook", url=url).send(MESSAGE, LIMIT).sent
        thread.join()
    assert b"".join(got).startswith(b"POST /hook/oncall HTTP/1.1\r\n")


def test_a_webhook_that_never_answers_is_in_doubt_at_the_limit() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/hook"
        receipt = channels("webhook", url=url).send(MESSAGE, Duration.parse("300ms"))
    assert (receipt.sent, receipt.doubt) == (False, True)


# --- mail -------------------------------------------------------------------------------------------------------------


@dataclass
class Sink:
    """A mail server's behaviour: `answers` by verb, and what arrived."""

    refused: tuple[str, ...] = ()
    data_answer: str = "250 taken"
    drop_after_data: bool = False
    mails: list[Any] = field(default_factory=list)
    port: int = 0

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:  # noqa: ANN401, ARG002, N802 - aiosmtpd's hook
        if address in self.refused:
            return "550 no such person"
        envelope.rcpt_tos.append(address)
        return "250 ok"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: ANN401, ARG002, N802 - aiosmtpd's hook
        self.mails.append(email.message_from_bytes(envelope.original_content, policy=default))
        if self.drop_after_data:
            server.transport.abort()
            await asyncio.sleep(0)
        return self.data_answer


@pytest.fixture
def sink() -> Iterator[Sink]:
    handler = Sink()

    class OnAnyPort(Controller):
        def _trigger_server(self) -> None:
            assert isinstance(self.server, asyncio.Server)
            self.port = handler.port = self.server.sockets[0].getsockname()[1]
            super()._trigger_server()  # type: ignore[no-untyped-call] # aiosmtpd has no type here

    controller = OnAnyPort(handler, hostname="127.0.0.1", port=0)
    controller.start()
    yield handler
    controller.stop()


def mail(sink: Sink, **settings: Any) -> Channels:  # noqa: ANN401 - settings of any shape
    base = {"host": "127.0.0.1", "port": str(sink.port), "from": "drctl@lab.example", "to": ("a@lab.example",)}
    return channels("smtp", **(base | settings))


def test_a_mail_arrives_once_with_a_stable_id(sink: Sink) -> None:
    receipt = mail(sink).send(MESSAGE, LIMIT)
    assert receipt.sent, receipt.because
    (got,) = sink.mails
    assert got["Subject"] == MESSAGE.subject
    assert got["Message-ID"] == f"<{MESSAGE.key}@drctl.invalid>"
    assert got["Idempotency-Key"].strip() == MESSAGE.key  # mail folds a long header
    assert got.get_content().strip() == MESSAGE.text


def test_a_subject_of_two_lines_cannot_add_a_header(sink: Sink) -> None:
    message = Message(channel="oncall", subject="down\nBcc: all@lab.example", text="t", key="k")
    assert mail(sink).send(message, LIMIT).sent
    assert sink.mails[0]["Bcc"] is None
    assert sink.mails[0]["Subject"] == "down Bcc: all@lab.example"


def test_a_mail_refused_for_some_is_not_called_sent(sink: Sink) -> None:
    sink.refused = ("b@lab.example",)
    receipt = mail(sink, to=("a@lab.example", "b@lab.example")).send(MESSAGE, LIMIT)
    assert (receipt.sent, receipt.doubt) == (False, False)
    assert receipt.because == "1 took it; refused: b@lab.example (550 no such person)"
    assert len(sink.mails) == 1


def test_a_mail_refused_for_all_is_not_sent(sink: Sink) -> None:
    sink.refused = ("a@lab.example",)
    receipt = mail(sink).send(MESSAGE, LIMIT)
    assert (receipt.sent, receipt.doubt, sink.mails) == (False, False, [])


def test_a_mail_refused_after_its_text_is_not_sent(sink: Sink) -> None:
    sink.data_answer = "554 this is spam"
    receipt = mail(sink).send(MESSAGE, LIMIT)
    assert (receipt.sent, receipt.doubt) == (False, False)
    assert "554 this is spam" in receipt.because


def test_a_mail_whose_answer_is_lost_is_in_doubt(sink: Sink) -> None:
    sink.drop_after_data = True
    receipt = mail(sink).send(MESSAGE, LIMIT)
    assert (receipt.sent, receipt.doubt) == (False, True)


def test_a_mail_server_that_is_not_there() -> None:
    receipt = channels("smtp", host="127.0.0.1", port="1", sender="a@b.example", to=("c@d.example",)).send(
        MESSAGE, LIMIT
    )
    assert (receipt.sent, receipt.doubt) == (False, False)
    assert receipt.because


def test_a_mail_server_that_says_nothing_is_left_at_the_limit() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        there = channels("smtp", host="127.0.0.1", port=port, sender="a@b.example", to=("c@d.example",))
        receipt = there.send(MESSAGE, Duration.parse("300ms"))
    assert (receipt.sent, receipt.doubt) == (False, False)


# --- command ----------------------------------------------------------------------------------------------------------


def test_a_command_gets_text_subject_and_key(tmp_path: Path) -> None:
    script = (
        "import os, sys; open(sys.argv[1], 'wb').write("
        "os.environb[b'DRCTL_SUBJECT'] + b'|' + os.environb[b'DRCTL_KEY'] + b'|' + sys.stdin.buffer.read())"
    )
    out = tmp_path / "out"
    assert channels("command", argv=(sys.executable, "-c", script, str(out))).send(MESSAGE, LIMIT).sent
    assert out.read_text() == f"{MESSAGE.subject}|{MESSAGE.key}|{MESSAGE.text}"


def test_a_command_that_fails_or_does_not_end() -> None:
    failed = channels("command", argv=("sh", "-c", "exit 7")).send(MESSAGE, LIMIT)
    assert (failed.sent, failed.doubt, failed.because) == (False, False, "sh ended with exit code 7")
    slow = channels("command", argv=("sleep", "60")).send(MESSAGE, Duration.parse("200ms"))
    assert (slow.sent, slow.doubt) == (False, True)
    missing = channels("command", argv=("no-such-program-here",)).send(MESSAGE, LIMIT)
    assert (missing.sent, missing.doubt) == (False, False)


# --- whatever the inventory says --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("type_", "settings"),
    [("webhook", {}), ("smtp", {"host": "h"}), ("command", {}), ("pigeon", {}), ("smtp", {"host": "h", "port": "x"})],
)
def test_a_channel_that_is_not_complete_is_a_receipt_not_an_exception(type_: str, settings: dict[str, Any]) -> None:
    receipt = channels(type_, **settings).send(MESSAGE, LIMIT)
    assert (receipt.sent, receipt.doubt) == (False, False)
    assert receipt.because


def test_a_channel_that_is_not_there() -> None:
    message = Message(channel="nobody", subject="s", text="t", key="k")
    assert channels("webhook", url="http://h").send(message, LIMIT).because == "the inventory has no such channel"


def test_a_secret_that_cannot_be_found_sends_nothing() -> None:
    web = Web(HttpReply(reach=Reach.COMPLETE, status=200))
    channel = Channel(
        name="oncall", type="webhook", settings={"url": "http://h"}, secret=SecretRef(source="env", target=("T",))
    )
    receipt = Channels({"oncall": channel}, web, no_secret).send(MESSAGE, LIMIT)
    assert (receipt.sent, receipt.doubt, web.sent_requests) == (False, False, [])


def test_checks_send_nothing_a_person_would_see(sink: Sink) -> None:
    web = Web(HttpReply(reach=Reach.COMPLETE, status=405))
    assert channels("webhook", http=web, url="http://h").check("oncall") == ""
    assert web.sent_requests == []
    assert channels("webhook", http=Web(), url="http://h").check("oncall") == "no route to it"
    assert mail(sink).check("oncall") == ""
    assert sink.mails == []
    assert channels("smtp", host="127.0.0.1", port="1", sender="a@b.c", to=("d",)).check("oncall")
    assert channels("command", argv=("no-such-program-here",)).check("oncall")
    assert channels("command", argv=("sh",)).check("oncall") == ""
    assert channels("command", argv=("sh",)).check("other") == "the inventory has no channel other"


def test_the_limit_holds_for_whatever_a_channel_does() -> None:
    class Slow(Web):
        def send(self, request: Any) -> HttpReply:  # noqa: ANN401 - the request does not matter
            gone.wait()
            return super().send(request)

    gone = threading.Event()
    began = time.monotonic()
    receipt = channels("webhook", http=Slow(), url="http://h").send(MESSAGE, Duration.parse("100ms"))
    gone.set()
    assert (receipt.sent, receipt.doubt) == (False, True)
    assert time.monotonic() - began < 60
