import smtplib
from email.message import EmailMessage

import pytest

from drctl.lab.calls import call
from drctl.lab.inbox import Inbox
from drctl.lab.service import Running
from tests.lab.cluster import Services, ask, ask_list

pytestmark = pytest.mark.lab


@pytest.fixture
def inbox(services: Services) -> Running:
    return services.start(Inbox)


def smtp_port(inbox: Running) -> int:
    program = inbox._program
    assert isinstance(program, Inbox)
    return program.smtp_port


def send(inbox: Running, key: str | None = "n1") -> None:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "drctl@lab", "users@lab", "发票系统恢复"
    if key:
        message["Idempotency-Key"] = key
    message.set_content("系统已恢复")
    with smtplib.SMTP("127.0.0.1", smtp_port(inbox), timeout=20) as client:
        client.send_message(message)


def test_messages_of_both_channels_are_kept_with_their_keys_and_repeats_are_counted(inbox: Running) -> None:
    for key in ("n1", "n1", "n2"):
        status, _ = ask(
            "POST",
            f"{inbox.url}/hook/users",
            {"title": "Invoices are down", "text": "We work on it."},
            headers={"Idempotency-Key": key},
        )
        assert status == 200
    send(inbox)
    kept = ask_list(f"{inbox.url}/messages")
    assert [(one["channel"], one["key"]) for one in kept] == [
        ("users", "n1"),
        ("users", "n1"),
        ("users", "n2"),
        ("smtp", "n1"),
    ]
    assert (kept[0]["subject"], kept[0]["text"]) == ("Invoices are down", "We work on it.")
    assert (kept[3]["subject"], kept[3]["text"].strip()) == ("发票系统恢复", "系统已恢复")
    assert ask("GET", f"{inbox.url}/counts")[1] == {
        "total": 4,
        "by_channel": {"users": 3, "smtp": 1},
        "keys": 3,
        "repeated": ["users n1"],
    }
    assert len(ask_list(f"{inbox.url}/messages?channel=smtp")) == 1
    assert len(ask_list(f"{inbox.url}/messages?key=n1")) == 3
    assert ask("DELETE", f"{inbox.url}/messages")[1] == {"deleted": 4}


def test_a_channel_told_to_fail_refuses_and_keeps_nothing(inbox: Running) -> None:
    ask("POST", f"{inbox.url}/fail/users", {"times": 1, "status": 500})
    assert call("GET", f"{inbox.url}/hook/users")[0] == 500  # a check sees it and does not use it up
    assert ask("POST", f"{inbox.url}/hook/users", {"text": "x"})[0] == 500
    assert ask("POST", f"{inbox.url}/hook/users", {"text": "x"})[0] == 200
    ask("POST", f"{inbox.url}/fail/smtp", {"times": 1})
    with pytest.raises(smtplib.SMTPDataError):
        send(inbox)
    send(inbox, key=None)
    assert [one["channel"] for one in ask_list(f"{inbox.url}/messages")] == ["users", "smtp"]


def test_a_body_that_is_not_json_is_kept_as_it_came(inbox: Running) -> None:
    assert call("POST", f"{inbox.url}/hook/x", "plain")[0] == 200
    assert ask_list(f"{inbox.url}/messages")[0]["body"] == "plain"
