"""The kind `http.check`: asks a URL and looks at the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from drctl.core.kind import Criterion, LookKind, Outputs, arg
from drctl.core.nouns import dataclass
from drctl.core.ports import Facts, HttpRequest, Probe
from drctl.kinds.commands import LOOK_LIMIT
from drctl.kinds.web import HTTP_CRITERIA, HTTP_OUTPUTS, answer, check_url, headers_of, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drctl.core.values import Duration, Secret, Value


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpCheck(LookKind):
    """Sends GET (or HEAD) and gives back status, headers, body and latency.

    Nothing else can be sent, redirects are not followed, nothing is retried: `until` is for that. With `on: HOST` the
    connection is opened through that host's SSH link, so it sees what the host sees, and the host needs no tool.
    `headers` has lower-case names; `json` is the body parsed; a body above 1 MiB has no value.
    """

    NAME: ClassVar[str] = "http.check"
    OUTPUTS: ClassVar[Mapping[str, str]] = HTTP_OUTPUTS
    CRITERIA: ClassVar[tuple[Criterion, ...]] = HTTP_CRITERIA
    EXAMPLE: ClassVar[str] = """
- {id: web, do: http.check, with: {url: "https://invoices.example/healthz"}, observe: true}
- id: up
  do: http.check
  with: {url: "https://invoices.example/healthz"}
  expect: [status == 200, "json.writable", latency < 2s]
  until: {every: 2s, within: 2m, in_a_row: 3}
"""

    url: str = arg(type="text", doc="What to ask: http or https, without a login in it.")
    method: str = arg(type="text", doc="GET, or HEAD for the headers alone.", default="GET", choices=("GET", "HEAD"))
    headers: Mapping[str, Value | Secret] = arg(
        type="map", doc="Further headers; a value may be a secret.", default={}, secret=True
    )
    bearer: Secret | None = arg(type="secret", doc="Token for `Authorization: Bearer`.", default=None, secret=True)

    def __post_init__(self) -> None:
        check_url(self.url)
        headers_of(self.headers, self.bearer)

    def look(self, probe: Probe) -> Outputs:
        """Ask once."""
        return answer(probe.http.read(self._request(probe.timeout)))

    def describe(self, facts: Facts) -> str:  # noqa: ARG002 - the contract's parameter
        """The request line and headers."""
        return shown(self._request(LOOK_LIMIT))

    def _request(self, timeout: Duration) -> HttpRequest:
        return HttpRequest(
            method=self.method, url=self.url, headers=headers_of(self.headers, self.bearer), timeout=timeout
        )
