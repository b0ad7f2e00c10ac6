"""The S3 adapter against a real server in this process, and against one that breaks off, lies and is busy."""

import http.server
import itertools
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import boto3
import pytest
from botocore.config import Config

from drctl.adapters.s3 import S3Objects
from drctl.core.inventory import Bucket
from drctl.core.ports import ObjectError
from drctl.core.values import Secret
from tests.adapters.objects_conformance import ObjectsConformance, Store
from tests.kinds.worlds import Objects

NUMBERS = itertools.count()
KEYS = Secret("AKIATEST0000:s3cr3t-key-of-test", name="env:KEYS")


@pytest.fixture
def bucket(endpoint: str) -> Bucket:
    name = f"bucket-{next(NUMBERS)}"
    client = plain_client(endpoint)
    client.create_bucket(Bucket=name)
    client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return Bucket(name="backups", bucket=name, endpoint=endpoint)


def plain_client(endpoint: str):  # type: ignore[no-untyped-def] # noqa: ANN201 - boto3's own client
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id="AKIATEST0000",
        aws_secret_access_key="s3cr3t-key-of-test",
        region_name="us-east-1",
        config=Config(retries={"total_max_attempts": 1}, request_checksum_calculation="when_required"),
    )


class TestFake(ObjectsConformance):
    @pytest.fixture
    def store(self) -> Store:
        objects = Objects()
        return Store(put=objects.put, delete=objects.delete, objects=objects)


class TestReal(ObjectsConformance):
    @pytest.fixture
    def store(self, bucket: Bucket) -> Store:
        client = plain_client(bucket.endpoint or "")

        def put(key: str, data: bytes) -> str:
            return str(client.put_object(Bucket=bucket.bucket, Key=key, Body=data)["VersionId"])

        def delete(key: str) -> None:
            client.delete_object(Bucket=bucket.bucket, Key=key)

        return Store(put=put, delete=delete, objects=S3Objects(bucket, KEYS, budget=5))

    def test_a_long_listing_is_read_to_its_end(self, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
        client = plain_client(bucket.endpoint or "")
        for index in range(7):
            client.put_object(Bucket=bucket.bucket, Key=f"base/{index % 3}", Body=b"x")
        objects = S3Objects(bucket, KEYS, budget=5)
        whole = objects.versions("base/")
        real = objects._connected().list_object_versions
        pages = []

        def small_pages(**request: str):  # type: ignore[no-untyped-def] # noqa: ANN202 - boto3's answer
            pages.append(request)
            return real(**request, MaxKeys=2)  # type: ignore[arg-type] # one field more

        monkeypatch.setattr(objects._connected(), "list_object_versions", small_pages)
        assert objects.versions("base/") == whole
        assert len(whole) == 7
        assert len(pages) >= 4

    def test_a_bucket_that_is_not_there(self, bucket: Bucket) -> None:
        strange = Bucket(name="backups", bucket="no-such-bucket-here", endpoint=bucket.endpoint)
        with pytest.raises(
            ObjectError, match=r"no-such-bucket-here at http.*there is no such bucket; look at `bucket:`"
        ):
            S3Objects(strange, KEYS, budget=0).versions("")

    def test_unversioned_objects_have_a_version_too(self, endpoint: str) -> None:
        client = plain_client(endpoint)
        client.create_bucket(Bucket="plain-bucket")
        client.put_object(Bucket="plain-bucket", Key="k", Body=b"data")
        objects = S3Objects(Bucket(name="b", bucket="plain-bucket", endpoint=endpoint), KEYS, budget=5)
        (listed,) = objects.versions("")
        assert b"".join(objects.get("k", listed.version)) == b"data"


@dataclass
class Script:
    """What a server does, answer by answer; the last one stays. `asked` are the requests' ranges."""

    answers: list[Callable[[http.server.BaseHTTPRequestHandler], None]]
    asked: list[str] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def scripted() -> Iterator[Callable[..., Script]]:
    servers = []

    def serve(*answers: Callable[[http.server.BaseHTTPRequestHandler], None]) -> Script:
        script = Script(list(answers))

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                script.asked.append(self.headers.get("Range", ""))
                answer = script.answers.pop(0) if len(script.answers) > 1 else script.answers[0]
                answer(self)

            def log_message(self, *_: object) -> None:
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        servers.append((server, thread))
        script.url = f"http://127.0.0.1:{server.server_address[1]}"
        return script

    yield serve
    for server, thread in servers:
        server.shutdown()
        server.server_close()
        thread.join()


def body(data: bytes, *, promised: int | None, status: int = 200, etag: str = '"e1"', version: str = "v1"):  # type: ignore[no-untyped-def] # noqa: ANN201
    """An answer with a body that may be shorter than promised; the connection then closes."""

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        if promised is not None:
            handler.send_header("Content-Length", str(promised))
        handler.send_header("ETag", etag)
        handler.send_header("x-amz-version-id", version)
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.wfile.write(data)
        handler.close_connection = True

    return answer


def refusal(status: int, code: str):  # type: ignore[no-untyped-def] # noqa: ANN201
    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        text = f"<Error><Code>{code}</Code><Message>said so</Message></Error>".encode()
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(text)))
        handler.end_headers()
        handler.wfile.write(text)

    return answer


def objects_at(script: Script, budget: float = 5) -> tuple[S3Objects, list[float]]:
    pauses: list[float] = []
    place = Bucket(name="backups", bucket="bucket", endpoint=script.url)
    return S3Objects(place, KEYS, budget=budget, pause=pauses.append), pauses


def test_a_stream_that_breaks_is_taken_up_where_it_broke(scripted: Callable[..., Script]) -> None:
    data = os.urandom(5000)
    script = scripted(body(data[:2000], promised=5000), body(data[2000:], promised=3000, status=206))
    objects, pauses = objects_at(script)
    assert b"".join(objects.get("k", "v1")) == data
    assert script.asked == ["", "bytes=2000-"]
    assert len(pauses) == 1


def test_a_body_shorter_than_promised_is_an_error_and_never_an_end(scripted: Callable[..., Script]) -> None:
    script = scripted(body(b"x" * 1000, promised=5000), body(b"", promised=4000, status=206))
    objects, _ = objects_at(script, budget=0)
    pieces = objects.get("k", "v1")
    assert next(pieces) == b"x" * 1000
    with pytest.raises(ObjectError, match=r"k ended after 1000 of 5000 bytes.*it is not whole"):
        list(pieces)


def test_a_body_of_no_stated_length_is_refused(scripted: Callable[..., Script]) -> None:
    objects, _ = objects_at(scripted(body(b"x" * 1000, promised=None)))
    with pytest.raises(ObjectError, match="does not say how long k is"):
        list(objects.get("k", "v1"))


def test_an_object_replaced_while_it_is_read_is_refused(scripted: Callable[..., Script]) -> None:
    script = scripted(body(b"a" * 10, promised=50), body(b"b" * 40, promised=40, status=206, etag='"e2"'))
    objects, _ = objects_at(script)
    with pytest.raises(ObjectError, match="k was replaced while it was read"):
        list(objects.get("k", None))


def test_a_busy_store_is_waited_for(scripted: Callable[..., Script]) -> None:
    busy = refusal(503, "SlowDown")
    objects, pauses = objects_at(scripted(busy, busy, busy, body(b"data", promised=4)))
    assert b"".join(objects.get("k", "v1")) == b"data"
    assert pauses == sorted(pauses)
    assert len(pauses) == 3


def test_a_store_that_stays_busy_is_given_up(scripted: Callable[..., Script]) -> None:
    objects, _ = objects_at(scripted(refusal(503, "SlowDown")), budget=0)
    with pytest.raises(ObjectError, match="too busy for 0 s"):
        list(objects.get("k", "v1"))


@pytest.mark.parametrize(
    ("status", "code", "text", "missing"),
    [
        (403, "InvalidAccessKeyId", "keys are not accepted; look at `keys:`", False),
        (403, "SignatureDoesNotMatch", "keys are not accepted", False),
        (403, "AccessDenied", "may not read k version v1", False),
        (404, "NoSuchBucket", "there is no such bucket", False),
        (404, "NoSuchVersion", "k version v1 is not there; no other version is taken", True),
        (404, "NoSuchKey", "k version v1 is not there", True),
        (405, "MethodNotAllowed", "k version v1 is not there", True),
    ],
)
def test_refusals_say_what_they_mean(
    scripted: Callable[..., Script], status: int, code: str, text: str, *, missing: bool
) -> None:
    script = scripted(refusal(status, code))
    objects, pauses = objects_at(script)
    with pytest.raises(ObjectError, match=text) as failure:
        list(objects.get("k", "v1"))
    assert failure.value.missing is missing
    assert "s3cr3t" not in failure.value.because
    assert pauses == [], "a clear answer is not asked for again"


def test_an_endpoint_that_is_not_there() -> None:
    objects = S3Objects(Bucket(name="b", bucket="bucket", endpoint="http://127.0.0.1:1"), KEYS, budget=0)
    with pytest.raises(ObjectError, match=r"bucket bucket at http://127.0.0.1:1: the endpoint does not answer"):
        objects.versions("")


def test_keys_that_are_no_pair_are_refused() -> None:
    place = Bucket(name="b", bucket="bucket", endpoint="http://127.0.0.1:1")
    with pytest.raises(ObjectError, match="ACCESS:SECRET"):
        S3Objects(place, Secret("only-one-part"), budget=0).versions("")


def test_no_keys_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    objects = S3Objects(Bucket(name="b", bucket="bucket", endpoint="http://127.0.0.1:1"), budget=0)
    with pytest.raises(ObjectError, match="there are no keys"):
        objects.versions("")


def test_nothing_is_asked_for_before_the_first_piece_is_taken() -> None:
    S3Objects(Bucket(name="b", bucket="bucket", endpoint="http://127.0.0.1:1"), KEYS).get("k", "v1")
