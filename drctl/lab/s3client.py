"""A small S3 client on the standard library: signed requests (AWS Signature Version 4), put, get, list.

For the lab's own long-lived shipper and set-up, where importing a full SDK would cost a second of CPU per program. The
signing rules are those of the AWS General Reference, "Create a signed AWS API request".
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import urllib.parse
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from datetime import UTC, datetime

_TIMEOUT = 10.0


class S3Error(Exception):
    """The store refused or did not answer."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Client:
    """One bucket at one endpoint, with one key."""

    endpoint: str
    bucket: str
    access_key: str
    secret_key: str
    region: str

    def put(self, key: str, body: bytes, headers: dict[str, str] | None = None) -> str:
        """Store an object; gives its version id."""
        answer, _ = self.request("PUT", key, body=body, headers=headers)
        return answer.get("x-amz-version-id", "")

    def get(self, key: str) -> bytes | None:
        """Fetch an object; None when there is none."""
        try:
            return self.request("GET", key)[1]
        except S3Error as error:
            if error.status == http.HTTPStatus.NOT_FOUND:
                return None
            raise

    def keys(self, prefix: str) -> list[str]:
        """List keys below a prefix, in order."""
        found: list[str] = []
        token = ""
        while True:
            query = {"list-type": "2", "prefix": prefix} | ({"continuation-token": token} if token else {})
            _, body = self.request("GET", "", query=query)
            root = ET.fromstring(body)  # noqa: S314 - our own server's answer
            space = root.tag.partition("}")[0] + "}" if root.tag.startswith("{") else ""
            found += [item.findtext(f"{space}Key", "") for item in root.iter(f"{space}Contents")]
            token = root.findtext(f"{space}NextContinuationToken", "")
            if not token:
                return found

    def request(
        self,
        method: str,
        key: str,
        *,
        query: dict[str, str] | None = None,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
    ) -> tuple[dict[str, str], bytes]:
        """Send one signed request; gives the answer's headers (lower case) and body.

        Raises:
            S3Error: no answer within 10 s, or a status of 300 and above.
        """
        parts = urllib.parse.urlsplit(self.endpoint)
        path = "/" + urllib.parse.quote(f"{self.bucket}/{key}" if key else self.bucket)
        asked = "&".join(f"{_quote(k)}={_quote(v)}" for k, v in sorted((query or {}).items()))
        signed = self._sign(
            method, path, asked, hashlib.sha256(body).hexdigest(), {"host": parts.netloc, **(headers or {})}
        )
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_TIMEOUT)
        try:
            connection.request(method, f"{path}?{asked}" if asked else path, body=body, headers=signed)
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise S3Error(f"{method} {path}: {error or type(error).__name__}") from error
        finally:
            connection.close()
        if answer.status >= http.HTTPStatus.MULTIPLE_CHOICES:
            raise S3Error(
                f"{method} {path}: HTTP {answer.status} {content[:300].decode(errors='replace')}", answer.status
            )
        return {name.lower(): value for name, value in answer.getheaders()}, content

    def _sign(self, method: str, path: str, query: str, digest: str, headers: dict[str, str]) -> dict[str, str]:
        now = datetime.now(UTC)
        stamp, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
        sent = {name.lower(): value for name, value in headers.items()} | {
            "x-amz-date": stamp,
            "x-amz-content-sha256": digest,
        }
        names = ";".join(sorted(sent))
        canonical = "\n".join(
            [method, path, query, *(f"{n}:{sent[n].strip()}" for n in sorted(sent)), "", names, digest]
        )
        scope = f"{day}/{self.region}/s3/aws4_request"
        text = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
        key = f"AWS4{self.secret_key}".encode()
        for part in (day, self.region, "s3", "aws4_request"):
            key = hmac.digest(key, part.encode(), "sha256")
        signature = hmac.new(key, text.encode(), "sha256").hexdigest()
        credential = f"Credential={self.access_key}/{scope}"
        return sent | {"authorization": f"AWS4-HMAC-SHA256 {credential}, SignedHeaders={names}, Signature={signature}"}


def _quote(text: str) -> str:
    return urllib.parse.quote(text, safe="-_.~")
