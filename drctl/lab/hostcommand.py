"""The commands in a lab host's PATH that the system does not have: `systemctl`, `wal-push`, `wal-fetch` and their like.

Run as a plain file with `python -I -S`, so that it starts in some 15 ms: only the standard library, nothing of drctl.
Each asks one of the host's own sockets and prints what comes back.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from pathlib import Path
from typing import Any

_WAIT_SECONDS = 30.0


def ask(path: Path, request: dict[str, Any], *, wait: float = 0.0) -> Any:  # noqa: ANN401 - JSON
    """Send one line of JSON and give the answer; waits for the socket to appear when asked to."""
    deadline = time.monotonic() + wait
    while True:
        try:
            with socket.socket(socket.AF_UNIX) as channel:
                channel.settimeout(120)
                channel.connect(str(path))
                channel.sendall(json.dumps(request).encode() + b"\n")
                with channel.makefile("rb") as answers:
                    line = answers.readline()
            if not line:
                raise ConnectionError("closed without an answer")
            return json.loads(line)
        except OSError as error:
            if time.monotonic() >= deadline:
                return {"ok": False, "error": f"no answer from {path}: {error}"}
            time.sleep(0.1)


def systemctl(home: Path, arguments: list[str]) -> int:
    """Drive the host's services."""
    answer = ask(home / "run" / "host.sock", {"op": "systemctl", "args": arguments})
    result: Any = answer["result"] if answer["ok"] else {"rc": 1, "out": "", "err": f"systemctl: {answer['error']}\n"}
    sys.stdout.write(result["out"])
    sys.stderr.write(result["err"])
    return int(result["rc"])


def shipper(home: Path, request: dict[str, Any]) -> int:
    """Ask the WAL shipper for something; prints what it answers, one `key value` a line."""
    answer = ask(home / "run" / "shipper.sock", request, wait=_WAIT_SECONDS if request["op"] == "push" else 0.0)
    if not answer["ok"]:
        sys.stderr.write(f"{request['op']}: {answer['error']}\n")
        return 1
    for key, value in (answer["result"] or {}).items():
        sys.stdout.write(f"{key} {value}\n")
    return 0


def deploy(home: Path, arguments: list[str]) -> int:
    """`deploy UNIT RELEASE`: write the release into the unit's configuration, whole or not at all, and restart it."""
    if len(arguments) != 2:  # noqa: PLR2004
        sys.stderr.write("usage: deploy UNIT RELEASE\n")
        return 2
    unit, release = arguments
    path = home / "etc" / f"{unit}.json"
    try:
        config = json.loads(path.read_text())
    except OSError as error:
        sys.stderr.write(f"deploy: {unit} has no configuration: {error}\n")
        return 1
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.touch(mode=0o600)
    draft.write_text(json.dumps({**config, "release": release}, indent=1))
    draft.replace(path)
    return systemctl(home, ["restart", unit])


def main(arguments: list[str]) -> int:
    """Carry out `HOME COMMAND ARGUMENT...`."""
    home, command, rest = Path(arguments[0]), arguments[1], arguments[2:]
    here = Path.cwd()
    if command == "systemctl":
        return systemctl(home, rest)
    if command == "deploy":
        return deploy(home, rest)
    if command in ("wal-push", "wal-fetch"):
        return shipper(home, {"op": command.removeprefix("wal-"), "file": rest[0], "path": str(here / rest[1])})
    if command in ("wal-push-now", "base-backup"):
        return shipper(home, {"op": command.removeprefix("wal-")})
    if command == "base-fetch":
        time_wanted, folder = (*rest, "", "")[:2]
        return shipper(home, {"op": "base-fetch", "time": time_wanted, "path": str(here / folder)})
    sys.stderr.write(f"{command}: not known on this host\n")
    return 127


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
