"""The lab's object store: moto with authentication on and one versioned, lockable bucket.

Run as `python -m drctl.lab.s3 CONFIG`. Config: `ready` (file to write: port, access_key, secret_key, bucket, region),
`log`, `bucket`. moto checks no checksum and keeps objects in memory: what reads them back verifies them itself.
"""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import sys
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

REGION = "us-east-1"
_OPEN_CALLS = ("CreateUser", "CreateAccessKey", "PutUserPolicy")
_POLICY = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}


def main() -> int:
    """Serve until told to end."""
    config = json.loads(Path(sys.argv[1]).read_text())
    # Read by moto when it is imported: so many calls are let in unsigned, then every call is checked.
    os.environ["INITIAL_NO_AUTH_ACTION_COUNT"] = str(len(_OPEN_CALLS))
    logging.basicConfig(filename=config["log"], level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    from moto.server import ThreadedMotoServer  # noqa: PLC0415 - after the environment is set

    from drctl.lab.s3client import S3Client  # noqa: PLC0415
    from drctl.lab.state import write_json  # noqa: PLC0415

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    port = int(server.get_host_and_port()[1])
    access_key, secret_key = _make_user(port)
    client = S3Client(
        endpoint=f"http://127.0.0.1:{port}",
        bucket=config["bucket"],
        access_key=access_key,
        secret_key=secret_key,
        region=REGION,
    )
    # An object-lock bucket is a versioned bucket.
    client.request("PUT", "", headers={"x-amz-bucket-object-lock-enabled": "true"})
    ready = {
        "port": port,
        "access_key": access_key,
        "secret_key": secret_key,
        "bucket": config["bucket"],
        "region": REGION,
    }
    write_json(Path(config["ready"]), ready)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    os._exit(0)


def _make_user(port: int) -> tuple[str, str]:
    """Make the one user, its key and its policy with the calls that are let in unsigned."""
    user = {"UserName": "backup"}
    _iam(port, "CreateUser", user)
    key = _iam(port, "CreateAccessKey", user)
    _iam(port, "PutUserPolicy", {**user, "PolicyName": "s3", "PolicyDocument": json.dumps(_POLICY)})
    found: list[Any] = [re.search(rf"<{tag}>([^<]+)</{tag}>", key) for tag in ("AccessKeyId", "SecretAccessKey")]
    return found[0][1], found[1][1]


def _iam(port: int, action: str, fields: dict[str, str]) -> str:
    # The header's credential scope is what tells moto which service is meant; nothing checks the signature yet.
    scope = f"AWS4-HMAC-SHA256 Credential=nobody/20200101/{REGION}/iam/aws4_request, SignedHeaders=host, Signature=0"
    body = urllib.parse.urlencode({"Action": action, "Version": "2010-05-08", **fields}).encode()
    asked = urllib.request.Request(f"http://127.0.0.1:{port}/", data=body, headers={"Authorization": scope})
    with urllib.request.urlopen(asked, timeout=30) as answer:  # noqa: S310
        return str(answer.read().decode())


if __name__ == "__main__":
    sys.exit(main())
