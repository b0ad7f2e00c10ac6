"""What `http.check` and `http.request` share: building a request, showing it, reading the answer.

Sending is left to the adapters, which never follow a redirect and never retry.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from drctl.core.kind import Criterion, FieldError, Outputs
from drctl.core.ports import HttpReply, HttpRequest, Reach
from drctl.core.values import Map, Secret, Unknown, Value, parse_json, text_of
from drctl.core.whole import Whole
from drctl.kinds.commands import none

if TYPE_CHECKING:
    from collections.abc import Mapping

HTTP_OUTPUTS: Final[Mapping[str, str]] = {
    "status": "int",
    "headers": "map",
    "body": "text",
    "json": "any",
    "latency": "duration",
}
HTTP_CRITERIA: Final = (Criterion(text="status < 400", fields=frozenset({"status"})),)

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2
_CHARSET = re.compile(r"charset=\"?([A-Za-z0-9_.:-]+)", re.IGNORECASE)


def check_url(url: str) -> None:
    """Refuse a URL that is not http or https, or that carries a password.

    Raises:
        FieldError: with the reason and what to write instead.
    """
    try:
        parts = urlsplit(url)
        port_ok = parts.port is None or parts.port > 0
    except ValueError:
        raise FieldError("url", "this is not a URL", "write http://HOST:PORT/PATH") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or not port_ok:
        raise FieldError("url", "this is not an http or https URL", "write http://HOST:PORT/PATH")
    if parts.username is not None or parts.password is not None:
        raise FieldError("url", "a URL must not carry a login: it is recorded", "use the field bearer, or a header")
    if re.search(r"[\x00-\x20\x7f]", url):
        raise FieldError("url", "a URL holds no blanks and no control characters", "write a blank as %20")


def headers_of(headers: Mapping[str, Value | Secret], bearer: Secret | None) -> dict[str, str | Secret]:
    """The headers to send, names in lower case.

    Raises:
        FieldError: for a name or value that cannot stand in a header (RFC 9110, section 5.5).
    """
    sent: dict[str, str | Secret] = {}
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name):
            raise FieldError("headers", f"{name!r} is not a header's name")
        try:
            written = value if isinstance(value, Secret) else text_of(value)
        except ValueError as error:
            raise FieldError("headers", f"{name}: {error}") from None
        if re.search(r"[\r\n\0]", written.reveal() if isinstance(written, Secret) else written):
            raise FieldError("headers", f"{name} holds a line break, which no header can")
        sent[name.lower()] = written
    if bearer is not None:
        sent["authorization"] = Secret(f"Bearer {bearer.reveal()}", name=bearer.name)
    return sent


def shown(request: HttpRequest) -> str:
    """The request as it is sent, secrets as ***."""
    lines = [f"{request.method} {request.url}"]
    lines += [f"{name}: {'***' if isinstance(value, Secret) else value}" for name, value in request.headers.items()]
    if isinstance(request.body, Secret):
        lines += ["", "***"]
    elif request.body:
        lines += ["", request.body.decode(errors="replace")]
    return "\n".join(lines)


def answer(reply: HttpReply) -> Outputs:
    """The outputs of a request: those of the answer, or none with the reason."""
    if reply.reach is not Reach.COMPLETE or reply.status is None:
        reason = reply.because or f"no answer ({reply.reach.value})"
        reach = reply.reach if reply.reach is not Reach.COMPLETE else Reach.UNREACHABLE
        return Outputs(values=dict.fromkeys(HTTP_OUTPUTS, none(reason)), reach=reach, because=reason)
    body = _body(reply)
    return Outputs(
        values={
            "status": reply.status,
            "headers": Map({name.lower(): value for name, value in reply.headers.items()}),
            "body": body,
            "json": body if isinstance(body, Unknown) else parse_json(body),
            "latency": reply.latency,
        },
        because=f"HTTP {reply.status} after {reply.latency.human()}",
        streams={"body": reply.body} if reply.body else {},
        whole={"body": Whole()} if reply.cut else {},
    )


def _body(reply: HttpReply) -> str | Unknown:
    if reply.cut:
        return none("the body is longer than 1 MiB")
    content_type = next((value for name, value in reply.headers.items() if name.lower() == "content-type"), "")
    charset = _CHARSET.search(content_type)
    try:
        return reply.body.decode(charset[1] if charset else "utf-8")
    except (UnicodeDecodeError, LookupError):
        return none(f"the body is not {charset[1] if charset else 'UTF-8'} text")
