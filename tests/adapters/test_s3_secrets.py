"""Secrets kept by AWS, against a real server in this process: read, and every refusal turned into what to do."""

import json
import logging
import socket
from pathlib import Path
from typing import Any

import boto3
import botocore.client
import pytest
from botocore.exceptions import ClientError, NoCredentialsError, ProfileNotFound

from drctl.adapters import s3_secrets
from drctl.adapters.secrets import Masker, Secrets
from drctl.core.inventory import SecretRef
from drctl.errors import RefusedError

VALUE = "kanarie-sesame-open"


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """Keys and region from the environment, nothing from the machine."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "AKIATEST0000", "AWS_SECRET_ACCESS_KEY": "s3cr3t-key-of-test", "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1", "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"), "AWS_EC2_METADATA_DISABLED": "true",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    return monkeypatch


@pytest.fixture
def store(aws: pytest.MonkeyPatch, endpoint: str) -> Any:  # noqa: ANN401 - clients of services without stubs
    aws.setenv("AWS_ENDPOINT_URL", endpoint)
    return boto3.client


def ref(written: str) -> SecretRef:
    return SecretRef.parse(written)


def secrets(masker: Masker | None = None) -> Secrets:
    return Secrets(masker or Masker(), Path("/"), {})


def refused(written: str) -> RefusedError:
    with pytest.raises(RefusedError) as failure:
        secrets().resolve(ref(written))
    assert failure.value.where == f"secret {written}"
    assert failure.value.next
    assert VALUE not in str(failure.value)
    return failure.value


@pytest.mark.parametrize("kind", ["SecureString", "String"])
def test_a_parameter_is_read_decrypted(store: Any, kind: str) -> None:  # noqa: ANN401 - boto3.client
    store("ssm").put_parameter(Name=f"/dr/{kind}", Value=VALUE + "\n", Type=kind)
    found = secrets().resolve(ref(f"ssm:/dr/{kind}"))
    assert found.reveal() == VALUE
    assert found.name == f"ssm:/dr/{kind}"


def test_a_secret_is_read_whole_or_by_a_key_of_its_object(store: Any) -> None:  # noqa: ANN401 - boto3.client
    client = store("secretsmanager")
    client.create_secret(Name="dr/plain", SecretString=VALUE)
    client.create_secret(Name="dr/object", SecretString=json.dumps({"password": VALUE, "port": 5432, "pin": "123"}))
    client.create_secret(Name="dr/binary", SecretBinary=VALUE.encode())
    assert secrets().resolve(ref("secretsmanager:dr/plain")).reveal() == VALUE
    assert secrets().resolve(ref("secretsmanager:dr/object#password")).reveal() == VALUE
    assert secrets().resolve(ref("secretsmanager:dr/binary")).reveal() == VALUE
    assert "has no key user" in refused("secretsmanager:dr/object#user").what
    assert "port is no text" in refused("secretsmanager:dr/object#port").what
    assert "fewer than 6" in refused("secretsmanager:dr/object#pin").what
    assert "no JSON object" in refused("secretsmanager:dr/plain#password").what


def test_what_is_not_there_is_told_with_the_command_that_shows_it(store: Any) -> None:  # noqa: ARG001, ANN401 - the server
    error = refused("ssm:/dr/none")
    assert "no such secret in this account and region" in error.what
    assert error.next.endswith("--name /dr/none")
    assert refused("secretsmanager:dr/none").next.endswith("--secret-id dr/none")


def test_a_short_parameter_is_refused(store: Any) -> None:  # noqa: ANN401 - boto3.client
    store("ssm").put_parameter(Name="/dr/short", Value="12345", Type="String")
    assert "fewer than 6" in refused("ssm:/dr/short").what


def test_it_is_asked_once_masked_and_never_logged(store: Any, caplog: pytest.LogCaptureFixture) -> None:  # noqa: ANN401
    store("ssm").put_parameter(Name="/dr/once", Value=VALUE, Type="SecureString")
    caplog.set_level(logging.DEBUG)
    masker = Masker()
    keeper = secrets(masker)
    caplog.clear()
    assert keeper.resolve(ref("ssm:/dr/once")).reveal() == VALUE
    assert caplog.text, "the log is on, or this test shows nothing"
    assert VALUE not in caplog.text
    store("ssm").delete_parameter(Name="/dr/once")
    assert keeper.resolve(ref("ssm:/dr/once")).reveal() == VALUE
    assert masker.text(f"it is {VALUE}.") == "it is ***."


@pytest.mark.parametrize(
    ("code", "what", "then"),
    [
        ("AccessDeniedException", "may not read it", "kms:Decrypt"),
        ("DecryptionFailure", "may not read it", "secretsmanager:GetSecretValue"),
        ("ExpiredTokenException", "does not accept the keys", "aws sts get-caller-identity"),
        ("InternalServiceError", "refused it", "describe-secret"),
    ],
)
def test_a_refusal_says_what_to_do(aws: pytest.MonkeyPatch, code: str, what: str, then: str) -> None:
    def call(_self: object, operation: str, _arguments: object) -> None:
        raise ClientError({"Error": {"Code": code, "Message": VALUE}}, operation)

    aws.setattr(botocore.client.BaseClient, "_make_api_call", call)
    error = refused("secretsmanager:dr/db")
    assert what in error.what
    assert code in error.what
    assert then in error.next


def test_no_network_is_told_after_its_attempts(aws: pytest.MonkeyPatch) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        aws.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{listener.getsockname()[1]}")
        assert "does not answer (EndpointConnectionError" in refused("ssm:/dr/db").what


def test_a_silent_store_is_given_up(aws: pytest.MonkeyPatch) -> None:
    aws.setattr(s3_secrets, "_READ_SECONDS", 0.2)
    aws.setattr(s3_secrets, "_ATTEMPTS", 1)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        aws.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{listener.getsockname()[1]}")
        error = refused("secretsmanager:dr/db")
    assert "does not answer (ReadTimeoutError" in error.what
    assert "file: or cmd:" in error.next


def test_what_the_machine_lacks_is_named(aws: pytest.MonkeyPatch) -> None:
    aws.delenv("AWS_REGION")
    aws.delenv("AWS_DEFAULT_REGION")
    assert "AWS_REGION" in refused("ssm:/dr/db").next
    aws.setenv("AWS_DEFAULT_REGION", "us-east-1")
    aws.setattr(s3_secrets, "_ask", raising(NoCredentialsError()))
    assert "no AWS keys" in refused("ssm:/dr/db").what
    aws.setattr(s3_secrets, "_ask", raising(ProfileNotFound(profile="x")))
    assert "AWS_PROFILE" in refused("ssm:/dr/db").what


def raising(error: Exception):  # type: ignore[no-untyped-def] # noqa: ANN201 - a function that only raises
    def ask(*_: str) -> bytes:
        raise error

    return ask
