"""The kind `http.request`: sends any HTTP request, as a look (GET, HEAD) or as an act."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import TYPE_CHECKING, ClassVar

from drctl.core.kind import (
    ActKind,
    Change,
    Criterion,
    Either,
    FieldError,
    LookKind,
    Outputs,
    Preview,
    Seen,
    Verdict,
    arg,
)
from drctl.core.nouns import dataclass
from drctl.core.ports import Act, Facts, HttpRequest, Probe, Reach
from drctl.core.values import Secret, Value, json_text
from drctl.kinds.commands import ACT_LIMIT, without_values
from drctl.kinds.web import HTTP_CRITERIA, HTTP_OUTPUTS, answer, check_url, headers_of, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drctl.core.outcomes import Effect
    from drctl.core.values import Duration

_READS = ("GET", "HEAD")
_KEY_HEADER = "idempotency-key"  # draft-ietf-httpapi-idempotency-key-header
_KEY_LINE = f"{_KEY_HEADER}: (the key of this step in this run)"


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequestKind(LookKind, ActKind):
    """Sends one HTTP request: power switches, load balancers, DNS and cloud APIs.

    The step states its `effect`. With `read` only GET and HEAD are sent. Otherwise the request is sent exactly once,
    never retried by itself, with an `Idempotency-Key` header (one key for this step of this run) unless the step gives
    its own. An answer that did not arrive leaves the step in doubt: no server keeps a claim for drctl, so only the
    step's own `verify:` can tell whether the request was acted upon.
    """

    NAME: ClassVar[str] = "http.request"
    OUTPUTS: ClassVar[Mapping[str, str]] = HTTP_OUTPUTS
    CRITERIA: ClassVar[tuple[Criterion, ...]] = HTTP_CRITERIA
    EITHER: ClassVar[tuple[Either, ...]] = (Either(names=("body", "json"), needed=False, hint="give one of them"),)
    EFFECT: ClassVar[Effect | None] = None
    CLAIMED: ClassVar[bool] = False
    VERIFIES: ClassVar[bool] = False
    NO_INVERSE: ClassVar[str] = "only its author knows which request takes this one back"
    EXAMPLE: ClassVar[str] = """
- id: power_off
  do: http.request
  with: {url: "http://power.example/db1/off", method: POST, json: {reason: failover}}
  effect: idempotent
  verify: {do: http.check, with: {url: "http://power.example/db1"}, expect: "json.state == 'off'"}
  undo: {none: the failback runbook switches it on again}
"""

    url: str = arg(type="text", doc="Where to: http or https, without a login in it.")
    method: str = arg(
        type="text", doc="The method.", default="GET", choices=("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
    )
    headers: Mapping[str, Value | Secret] = arg(
        type="map", doc="Further headers; a value may be a secret.", default={}, secret=True
    )
    bearer: Secret | None = arg(type="secret", doc="Token for `Authorization: Bearer`.", default=None, secret=True)
    body: str | Secret | None = arg(type="text", doc="Body as it is; may be a secret.", default=None, secret=True)
    json: Value = arg(type="any", doc="Body as JSON, with its content type; instead of body.", default=None)

    def __post_init__(self) -> None:
        check_url(self.url)
        headers_of(self.headers, self.bearer)
        self.choose_given()
        if self.method in _READS and (self.body is not None or self.json is not None):
            raise FieldError("method", f"{self.method} carries no body", "give method: POST, PUT or PATCH")

    def look(self, probe: Probe) -> Outputs:
        """Ask once; a method other than GET and HEAD sends nothing."""
        if self.method not in _READS:
            return without_values(HttpRequestKind, f"a look sends GET or HEAD only, not {self.method}")
        return answer(probe.http.read(self._request(probe.timeout)))

    def preview(self, probe: Probe) -> Preview:  # noqa: ARG002 - the contract's parameter
        """A request does not say what it would do."""
        return Preview(change=Change.CANNOT_TELL, because="only the server knows what this request changes")

    def execute(self, act: Act) -> Outputs:
        """Send once. Without an answer the reach says whether the server may have acted: `unreachable` if it cannot."""
        request = self._request(act.probe.timeout)
        if _KEY_HEADER not in request.headers:
            request = dataclasses.replace(request, headers={**request.headers, _KEY_HEADER: act.key})
        reply = act.http.send(request)
        if reply.reach is not Reach.COMPLETE:
            reply = dataclasses.replace(reply, reach=Reach.TIMEOUT if reply.sent else Reach.UNREACHABLE)
        return answer(reply)

    def verify(self, probe: Probe) -> Verdict:  # noqa: ARG002 - the contract's parameter
        """Only the step's own `verify:` can tell."""
        return Verdict(seen=Seen.UNKNOWN, because="a request cannot be asked; the step's `verify:` can")

    def describe(self, facts: Facts) -> str:  # noqa: ARG002 - the contract's parameter
        """The request line, headers and body; an act also says that it carries a key."""
        text = shown(self._request(ACT_LIMIT))
        if self.method in _READS or _KEY_HEADER in text.lower():
            return text
        first, *rest = text.split("\n", 1)
        return "\n".join([first, _KEY_LINE, *rest])

    @classmethod
    def sketch(cls, fields: Mapping[str, str]) -> str:
        """The fields as written; an act also says that it carries a key."""
        text = super(HttpRequestKind, cls).sketch(fields)  # noqa: UP008 - a class with slots is another one than this text made
        keyed = fields.get("method", "GET") not in _READS and _KEY_HEADER not in text.lower()
        return f"{text}\n{_KEY_LINE}" if keyed else text

    def digest(self, facts: Facts) -> str:  # noqa: ARG002 - the contract's parameter
        """SHA-256 over method, URL, headers and body, secrets left out."""
        request = self._request(ACT_LIMIT)
        content = {
            "method": request.method,
            "url": request.url,
            "headers": {k: None if isinstance(v, Secret) else v for k, v in sorted(request.headers.items())},
            "body": None if isinstance(request.body, Secret) else hashlib.sha256(request.body).hexdigest(),
        }
        text = json.dumps(content, sort_keys=True, ensure_ascii=True)
        return hashlib.sha256(b"drctl/request/v1\n" + text.encode()).hexdigest()

    def _request(self, timeout: Duration) -> HttpRequest:
        headers = headers_of(self.headers, self.bearer)
        body: bytes | Secret = b""
        if self.json is not None:
            body = json_text(self.json).encode()
            headers.setdefault("content-type", "application/json")
        elif self.body is not None:
            body = self.body if isinstance(self.body, Secret) else self.body.encode()
        return HttpRequest(method=self.method, url=self.url, headers=headers, body=body, timeout=timeout)
