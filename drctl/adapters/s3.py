"""Reading one S3 bucket by boto3: every version and delete marker, and bytes that are never fewer than promised.

What boto3 leaves open is closed here: its retries are over within 0.1 s, so a busy store is waited for within a time
budget; it takes a body that ends early for a whole one when no length was sent, so a length is demanded; an ETag is no
digest and is never used as one. Comparing with a digest is left to whoever has a manifest.
"""

import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final, TypeVar

from drctl.core.inventory import Bucket
from drctl.core.ports import MEBIBYTE, ObjectError, ObjectVersion
from drctl.core.values import Secret, Time

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

T = TypeVar("T")

_CONNECT_SECONDS = 5
_READ_SECONDS = 20
_PAUSES: Final = (0.2, 0.5, 1.0, 2.0, 5.0)
_BUSY: Final = frozenset(
    {"500", "502", "503", "504", "SlowDown", "InternalError", "ServiceUnavailable", "RequestTimeout"}
)
_WRONG_KEYS: Final = frozenset(
    {"InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "ExpiredToken", "AuthorizationHeaderMalformed"}
)
_MISSING: Final = frozenset({"404", "NoSuchKey", "NoSuchVersion", "MethodNotAllowed"})


class S3Objects:
    """A `ReadObjects` over one bucket of the inventory. Safe in several threads; connects on first use.

    Args:
        bucket: name, endpoint, region, and where the keys come from.
        keys: `ACCESS:SECRET`, when the inventory refers to keys.
        budget: seconds for which a store that does not answer is asked again, counted from its last answer.
        pause: waits between attempts.
    """

    def __init__(
        self,
        bucket: Bucket,
        keys: Secret | None = None,
        *,
        budget: float = 15.0,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._bucket = bucket
        self._keys = keys
        self._budget = budget
        self._pause = pause
        self._client: S3Client | None = None
        self._lock = threading.Lock()

    def versions(self, prefix: str) -> list[ObjectVersion]:
        """List every version and delete marker under a prefix, by key, the oldest version of a key first."""
        found: list[ObjectVersion] = []
        after: dict[str, str] = {}
        while True:
            page = self._insist(prefix, _page(self._bucket.bucket, prefix, after))
            found += [_version(entry, deleted=False) for entry in page.get("Versions", ())]
            found += [_version(entry, deleted=True) for entry in page.get("DeleteMarkers", ())]
            if not page.get("IsTruncated"):
                return sorted(found, key=lambda version: (version.key, version.at, version.latest, version.version))
            following = {
                name: page[f"Next{name}"] for name in ("KeyMarker", "VersionIdMarker") if page.get(f"Next{name}")
            }
            if not following or following == after:
                raise self._error("the listing does not go on where it says it would")
            after = following

    def get(self, key: str, version: str | None) -> Iterator[bytes]:
        """Stream one version; nothing is asked for before the first piece is taken.

        A stream that breaks is taken up where it broke, from the same version.
        """
        reading = _Reading(key=key, version=version)
        while reading.size is None or reading.position < reading.size:
            response = self._insist(_name(key, version), reading.open_with(self._bucket.bucket))
            self._accept(reading, response)
            body = response["Body"]
            try:
                while piece := body.read(MEBIBYTE):
                    reading.take(len(piece))
                    yield piece
            except self._broken() as error:
                self._wait_after_break(reading, error)
            else:
                if reading.size is not None and reading.position < reading.size:
                    self._wait_after_break(reading, None)
            finally:
                body.close()

    def _accept(self, reading: "_Reading", response: Any) -> None:  # noqa: ANN401 - boto3's answer is a map of anything
        """Check that an answer is the object that was begun, and says how long it is."""
        length = response.get("ContentLength")
        if not isinstance(length, int):
            raise self._error(f"the store does not say how long {reading.key} is, so its end cannot be told")
        size = length + reading.position
        version, etag = response.get("VersionId"), response.get("ETag")
        if reading.size is None:
            reading.size, reading.version, reading.etag = size, reading.version or version, etag
        elif size != reading.size or etag != reading.etag or (version and version != reading.version):
            raise self._error(f"{reading.key} was replaced while it was read")

    def _wait_after_break(self, reading: "_Reading", error: Exception | None) -> None:
        """Wait before a broken stream is taken up again, or give up when it made no progress for too long."""
        now = time.monotonic()
        if now - reading.progress >= self._budget:
            why = f" ({_one_line(error)})" if error else ""
            raise self._error(
                f"{reading.key} ended after {reading.position} of {reading.size} bytes{why}; it is not whole"
            )
        self._pause(
            min(_PAUSES[min(reading.breaks, len(_PAUSES) - 1)], max(0.0, reading.progress + self._budget - now))
        )
        reading.breaks += 1

    def _insist(self, what: str, ask: Callable[["S3Client"], T]) -> T:
        """Ask until there is an answer, or the budget is used up.

        Raises:
            ObjectError: with what is wrong, where, and what to look at.
        """
        from botocore.exceptions import BotoCoreError, ClientError, SSLError  # noqa: PLC0415 - boto3 takes half a second to load

        until = time.monotonic() + self._budget
        attempt = 0
        while True:
            try:
                return ask(self._connected())
            except ClientError as error:
                if not _codes(error) & _BUSY or time.monotonic() >= until:
                    raise self._told(what, error) from None
            except (BotoCoreError, OSError) as error:
                if (
                    isinstance(error, SSLError)
                    or not isinstance(error, (*self._broken(), OSError))
                    or time.monotonic() >= until
                ):
                    raise self._error(self._untold(error)) from None
            self._pause(min(_PAUSES[min(attempt, len(_PAUSES) - 1)], max(0.0, until - time.monotonic())))
            attempt += 1

    def _connected(self) -> "S3Client":
        with self._lock:
            if self._client is None:
                self._client = self._connect()
            return self._client

    def _connect(self) -> "S3Client":
        import boto3  # noqa: PLC0415 - takes half a second to load
        from botocore.config import Config  # noqa: PLC0415 - the same

        elsewhere = self._bucket.endpoint is not None
        # Stores that are not Amazon's refuse the checksum trailers of botocore 1.36+, or store them (boto3#4435).
        config = Config(
            connect_timeout=_CONNECT_SECONDS,
            read_timeout=_READ_SECONDS,
            retries={"total_max_attempts": 1, "mode": "standard"},
            s3={"addressing_style": "path"} if elsewhere else {},
            request_checksum_calculation="when_required" if elsewhere else "when_supported",
            response_checksum_validation="when_required" if elsewhere else "when_supported",
        )
        access, secret = None, None
        if self._keys is not None:
            access, _, secret = self._keys.reveal().partition(":")
            if not access or not secret:
                raise self._error("its keys are not written as ACCESS:SECRET")
        session = boto3.session.Session(
            aws_access_key_id=access,
            aws_secret_access_key=secret,
            region_name=self._bucket.region or ("us-east-1" if elsewhere else None),
            profile_name=self._bucket.profile,
        )
        return session.client("s3", endpoint_url=self._bucket.endpoint, config=config)

    def _broken(self) -> tuple[type[Exception], ...]:
        """What boto3 raises when the line breaks, as opposed to when it is used wrongly."""
        from botocore import exceptions  # noqa: PLC0415 - takes half a second to load

        return (
            exceptions.HTTPClientError,
            exceptions.ResponseStreamingError,
            exceptions.IncompleteReadError,
            exceptions.ConnectionError,
        )

    def _told(self, what: str, error: Any) -> ObjectError:  # noqa: ANN401 - botocore's ClientError, loaded lazily
        """What the store's own refusal means."""
        codes = _codes(error)
        if "NoSuchBucket" in codes:
            return self._error("there is no such bucket; look at `bucket:` in the inventory")
        if codes & _WRONG_KEYS:
            return self._error("the keys are not accepted; look at `keys:` or `profile:` in the inventory")
        if codes & {"AccessDenied", "403"}:
            return self._error(f"these keys may not read {what or 'it'}: the policy of user or bucket refuses it")
        if codes & _MISSING or ("InvalidArgument" in codes and "version" in str(error).lower()):
            return self._error(f"{what} is not there; no other version is taken for it", missing=True)
        if codes & _BUSY:
            return self._error(f"the store was too busy for {self._budget:.0f} s ({', '.join(sorted(codes))})")
        return self._error(_one_line(error))

    def _untold(self, error: Exception) -> str:
        from botocore import exceptions  # noqa: PLC0415 - takes half a second to load

        if isinstance(error, exceptions.SSLError):
            return f"its certificate is not accepted ({_one_line(error)})"
        if isinstance(error, (exceptions.NoCredentialsError, exceptions.PartialCredentialsError)):
            return "there are no keys; give `keys:` or `profile:` in the inventory"
        if isinstance(error, exceptions.ProfileNotFound):
            return f"there is no AWS profile {self._bucket.profile} on this machine"
        if isinstance(error, (exceptions.HTTPClientError, exceptions.ConnectionError, OSError)):
            return f"the endpoint does not answer ({_one_line(error)})"
        return _one_line(error)

    def _error(self, because: str, *, missing: bool = False) -> ObjectError:
        where = self._bucket.endpoint or "AWS"
        return ObjectError(f"bucket {self._bucket.bucket} at {where}: {because}", missing=missing)


class _Reading:
    """How far one object was read, and which one it is."""

    __slots__ = ("breaks", "etag", "key", "position", "progress", "size", "version")

    def __init__(self, key: str, version: str | None) -> None:
        self.key = key
        self.version = version
        self.position = 0
        self.size: int | None = None
        self.etag: str | None = None
        self.breaks = 0
        self.progress = time.monotonic()

    def take(self, count: int) -> None:
        """Count what arrived."""
        self.position += count
        self.progress = time.monotonic()
        self.breaks = 0

    def open_with(self, bucket: str) -> Callable[["S3Client"], Any]:
        """The request for what is still to come."""
        request: dict[str, str] = {"Bucket": bucket, "Key": self.key}
        if self.version:
            request["VersionId"] = self.version
        if self.position:
            request["Range"] = f"bytes={self.position}-"
            if self.etag:
                request["IfMatch"] = self.etag
        return lambda client: client.get_object(**request)  # type: ignore[arg-type] # the stubs want each field by itself


def _page(bucket: str, prefix: str, after: dict[str, str]) -> Callable[["S3Client"], Any]:
    """The request for one page of the listing."""
    request = {"Bucket": bucket, "Prefix": prefix, **after}
    return lambda client: client.list_object_versions(**request)  # type: ignore[arg-type] # the stubs want each field


def _version(entry: Any, *, deleted: bool) -> ObjectVersion:  # noqa: ANN401 - boto3's map
    return ObjectVersion(
        key=entry["Key"],
        version=entry["VersionId"],
        size=0 if deleted else entry["Size"],
        at=Time.from_datetime(entry["LastModified"]),
        latest=entry["IsLatest"],
        deleted=deleted,
        etag="" if deleted else entry.get("ETag", "").strip('"'),
    )


def _codes(error: Any) -> set[str]:  # noqa: ANN401 - botocore's ClientError, loaded lazily
    """The store's own code and the HTTP status: some answers carry only one of them."""
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return {str(error.response.get("Error", {}).get("Code", "")), str(status)} - {"", "None"}


def _name(key: str, version: str | None) -> str:
    return f"{key} version {version}" if version else key


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
