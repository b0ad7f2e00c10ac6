"""Secrets that AWS keeps: a parameter of Systems Manager, or a secret of Secrets Manager, read by boto3.

Keys, region and endpoint come from where the AWS tools take them: the environment, the shared files, the machine's
role. What the store says is turned into what to do; what it holds is given to nobody but the caller.
"""

import json
from typing import Any, Final

from drctl.core.inventory import SecretRef

_CONNECT_SECONDS: Final = 3
_READ_SECONDS: Final = 7
_ATTEMPTS: Final = 2
_MISSING: Final = frozenset({"ParameterNotFound", "ParameterVersionNotFound", "ResourceNotFoundException"})
_FORBIDDEN: Final = frozenset({"AccessDeniedException", "AccessDenied", "InvalidKeyId", "DecryptionFailure"})
_WRONG_KEYS: Final = frozenset(
    {
        "UnrecognizedClientException", "InvalidClientTokenId", "InvalidSignatureException", "SignatureDoesNotMatch",
        "IncompleteSignature", "ExpiredTokenException", "ExpiredToken", "RequestExpired", "MissingAuthenticationToken",
    }
)  # fmt: skip
_ASK: Final = {
    "ssm": "aws ssm get-parameter --with-decryption --query Parameter.Type --name",
    "secretsmanager": "aws secretsmanager describe-secret --secret-id",
}
_MAY: Final = {"ssm": "ssm:GetParameter", "secretsmanager": "secretsmanager:GetSecretValue"}


class NotReadError(Exception):
    """The secret could not be read: `what` says why, `then` what to do. Never holds anything of the secret."""

    def __init__(self, what: str, then: str) -> None:
        super().__init__(what)
        self.what = what
        self.then = then


def read_from_aws(ref: SecretRef) -> bytes:
    """Read the secret of an `ssm` or `secretsmanager` reference.

    Raises:
        NotReadError: it is not there, may not be read, or the store does not answer within some 20 s.
    """
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - boto3 takes half a second to load

    name, _, key = ref.target[0].partition("#")
    try:
        value = _ask(ref.source, name)
    except ClientError as error:
        raise _told(ref.source, name, error) from None
    except (BotoCoreError, OSError) as error:
        raise _untold(ref.source, error) from None
    return _member(value, key) if key else value


def _ask(source: str, name: str) -> bytes:
    import logging  # noqa: PLC0415 - 2 ms, and boto3 loads it anyhow

    import boto3  # noqa: PLC0415 - takes half a second to load
    from botocore.config import Config  # noqa: PLC0415 - the same

    logging.getLogger("botocore.parsers").setLevel(logging.INFO)  # at DEBUG it logs whole answers
    config = Config(
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=_READ_SECONDS,
        retries={"total_max_attempts": _ATTEMPTS, "mode": "standard"},
    )
    session = boto3.session.Session()
    client: Any = session.client(source, config=config)  # type: ignore[call-overload] # no stubs of these services
    if source == "ssm":
        return str(client.get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"]).encode()
    answer = client.get_secret_value(SecretId=name)
    return str(answer["SecretString"]).encode() if "SecretString" in answer else bytes(answer["SecretBinary"])


def _member(value: bytes, key: str) -> bytes:
    """One text of a JSON object."""
    try:
        found = json.loads(value)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise NotReadError(f"the secret is no JSON object, so it has no key {key}", f"leave #{key} out")
    if key not in found:
        raise NotReadError(f"the secret has no key {key}", "look at its keys in the console of Secrets Manager")
    if not isinstance(found[key], str):
        raise NotReadError(f"the value of its key {key} is no text", "store it as a JSON text")
    return str(found[key]).encode()


def _told(source: str, name: str, error: Any) -> NotReadError:  # noqa: ANN401 - botocore's ClientError, loaded lazily
    """What the store's own refusal means."""
    code = str(error.response.get("Error", {}).get("Code", ""))
    look = f"{_ASK[source]} {name}"
    if code in _MISSING:
        return NotReadError("there is no such secret in this account and region", look)
    if code in _FORBIDDEN:
        return NotReadError(
            f"these keys may not read it ({code})",
            f"allow {_MAY[source]} on it, and kms:Decrypt on its key; aws sts get-caller-identity says who asks",
        )
    if code in _WRONG_KEYS:
        return NotReadError(f"AWS does not accept the keys ({code})", "aws sts get-caller-identity")
    return NotReadError(f"the store refused it ({code or 'without a code'})", look)


def _untold(source: str, error: Exception) -> NotReadError:
    from botocore import exceptions  # noqa: PLC0415 - boto3 takes half a second to load

    if isinstance(error, (exceptions.NoCredentialsError, exceptions.PartialCredentialsError)):
        return NotReadError(
            "there are no AWS keys on this machine", "export AWS_PROFILE=... or give the machine a role"
        )
    if isinstance(error, exceptions.NoRegionError):
        return NotReadError("no AWS region is set", "export AWS_REGION=...")
    if isinstance(error, exceptions.ProfileNotFound):
        return NotReadError(
            "the AWS profile that AWS_PROFILE names is not on this machine", "aws configure list-profiles"
        )
    if isinstance(error, (exceptions.HTTPClientError, exceptions.ConnectionError, OSError)):
        waited = f"{_ATTEMPTS} attempts of at most {_CONNECT_SECONDS + _READ_SECONDS} s"
        return NotReadError(
            f"the store does not answer ({type(error).__name__}, {waited})",
            "look at the network, or keep the secret where the disaster does not reach: file: or cmd:",
        )
    return NotReadError(f"{source} could not be asked ({type(error).__name__})", "aws sts get-caller-identity")
