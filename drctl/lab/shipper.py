"""Ships a database's WAL and base backups to the object store. Run as `python -m drctl.lab.shipper CONFIG.json`.

PostgreSQL's archive_command asks over a unix socket and believes only the answer: a segment is archived when the store
has it, not when it lies in a spool. Starting a program with an SDK for every segment would cost a second of CPU each.

Config: `socket`, `log`, `tmp`, and `s3`: endpoint, bucket, access_key, secret_key, region. Objects:

    wal/FILE                              a segment or history file by PostgreSQL's name, gzip (see Content-Encoding)
    base/20260131T235959Z/base.tar.gz     a base backup with the WAL it needs
    base/20260131T235959Z/manifest.json   key, version, size, sha256, taken_at, start_lsn, end_lsn, timeline
    base/20260131T235959Z/backup_manifest PostgreSQL's own list of files, for pg_verifybackup
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import signal
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from drctl.lab.s3client import S3Client, S3Error

_GZIP_MAGIC = b"\x1f\x8b"
_RECEIPT_SECONDS = 100.0
_COMMAND_SECONDS = 300.0
_HISTORY = ".history"


class Problem(Exception):  # noqa: N818 - an answer to the asker, not a defect
    """The request cannot be carried out; the message is for the asker."""


class Shipper:
    """What can be asked; thread-safe."""

    def __init__(self, store: S3Client, scratch: Path) -> None:
        self._store = store
        self._scratch = scratch
        self._arrived: set[str] = set()
        self._arrival = threading.Condition()

    def answer(self, request: dict[str, Any]) -> dict[str, object]:
        """Carry out one request.

        Raises:
            Problem: it could not be done; nothing is archived or written unless said otherwise.
        """
        op = request["op"]
        if op == "push":
            return self.push(request["file"], Path(request["path"]))
        if op == "fetch":
            return self.fetch(request["file"], Path(request["path"]))
        if op == "push-now":
            return self.push_now()
        if op == "base-backup":
            return self.base_backup()
        if op == "base-fetch":
            return self.base_fetch(request["time"], Path(request["path"]))
        raise Problem(f"a shipper does not know the request {op!r}")

    def push(self, name: str, path: Path) -> dict[str, object]:
        """Put one WAL file into the archive; never replaces a file by another content."""
        content = path.read_bytes()
        headers = {"if-none-match": "*", "content-encoding": "gzip"}
        try:
            self._store.put(f"wal/{name}", gzip.compress(content, 1, mtime=0), headers)
        except S3Error as error:
            if error.status != 412:  # noqa: PLR2004 - Precondition Failed: it is there
                raise
            if self._wal(name) != content:
                raise Problem(f"the archive has another {name}: two servers write the same timeline") from error
        with self._arrival:
            self._arrived.add(name)
            self._arrival.notify_all()
        return {}

    def fetch(self, name: str, path: Path) -> dict[str, object]:
        """Write one WAL file from the archive to a path; PostgreSQL reads a failure as "the archive ends here"."""
        content = self._wal(name)
        if content is None:
            raise Problem(f"the archive has no {name}")
        draft = path.with_name(f"{path.name}.part")
        draft.write_bytes(content)
        draft.replace(path)
        return {}

    def push_now(self) -> dict[str, object]:
        """End the current segment and wait until the archive has it."""
        name = _psql("select pg_walfile_name(pg_switch_wal())")
        deadline = time.monotonic() + _RECEIPT_SECONDS
        with self._arrival:
            while name not in self._arrived:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise Problem(f"{name} did not reach the archive in {_RECEIPT_SECONDS:.0f} s")
                self._arrival.wait(min(left, 1.0))
                if name not in self._arrived and self._wal(name) is not None:
                    break
        return {"archived": name}

    def base_backup(self) -> dict[str, object]:
        """Take a base backup of the local server and put it into the store; the manifest goes last."""
        with tempfile.TemporaryDirectory(dir=self._scratch, prefix="base-") as made:
            folder = Path(made)
            argv = [
                "pg_basebackup",
                "-D",
                made,
                "-Ft",
                "-Z",
                "gzip:1",
                "-X",
                "fetch",
                "-c",
                "fast",
                "--no-sync",
                "-l",
                "drctl-lab",
            ]
            _run(argv)
            content = (folder / "base.tar.gz").read_bytes()
            listed = (folder / "backup_manifest").read_bytes()
        wal = json.loads(listed)["WAL-Ranges"][0]
        taken = datetime.now(UTC)
        prefix = f"base/{taken.strftime('%Y%m%dT%H%M%SZ')}"
        key = f"{prefix}/base.tar.gz"
        manifest = {
            "key": key,
            "version": self._store.put(key, content),
            "size": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
            "taken_at": taken.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "start_lsn": wal["Start-LSN"],
            "end_lsn": wal["End-LSN"],
            "timeline": wal["Timeline"],
        }
        self._store.put(f"{prefix}/backup_manifest", listed)
        self._store.put(
            f"{prefix}/manifest.json", json.dumps(manifest, indent=1).encode(), {"content-type": "application/json"}
        )
        return manifest

    def base_fetch(self, wanted: str, folder: Path) -> dict[str, object]:
        """Write a base backup (the newest, or that of a time as in its key) into a folder, checked by its digest."""
        keys = [key for key in self._store.keys("base/") if key.endswith("/manifest.json") and wanted in key]
        if not keys:
            raise Problem(f"no base backup {wanted or 'at all'} in the store")
        prefix = keys[-1].rpartition("/")[0]
        manifest: dict[str, object] = json.loads(self._store.get(keys[-1]) or b"{}")
        content = self._store.get(f"{prefix}/base.tar.gz") or b""
        if hashlib.sha256(content).hexdigest() != manifest["sha256"]:
            raise Problem(f"{prefix}/base.tar.gz is not what its manifest says")
        (folder / "base.tar.gz").write_bytes(content)
        (folder / "backup_manifest").write_bytes(self._store.get(f"{prefix}/backup_manifest") or b"")
        return manifest

    def _wal(self, name: str) -> bytes | None:
        content = self._store.get(f"wal/{name}")
        return gzip.decompress(content) if content and content.startswith(_GZIP_MAGIC) else content


def _psql(sql: str) -> str:
    return _run(["psql", "-XAtqc", sql]).strip()


def _run(argv: list[str]) -> str:
    done = subprocess.run(
        argv, capture_output=True, text=True, timeout=_COMMAND_SECONDS, check=False, stdin=subprocess.DEVNULL
    )
    if done.returncode != 0:
        raise Problem(f"{argv[0]} ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout


class _Listener(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    request_queue_size = 32

    def __init__(self, path: Path, shipper: Shipper) -> None:
        path.unlink(missing_ok=True)
        super().__init__(str(path), _Talk)
        self.shipper = shipper


class _Talk(socketserver.StreamRequestHandler):
    server: _Listener

    def handle(self) -> None:
        for line in self.rfile:
            try:
                answer = {"ok": True, "result": self.server.shipper.answer(json.loads(line))}
            except (Problem, S3Error, OSError, KeyError, ValueError) as error:
                answer = {"ok": False, "error": f"{error}" or type(error).__name__}
                stamp = datetime.now(UTC).isoformat(timespec="milliseconds")
                sys.stderr.write(f"{stamp} WARN {line[:200].decode().strip()}: {error}\n")
                sys.stderr.flush()
            self.wfile.write(json.dumps(answer).encode() + b"\n")


def main() -> int:
    """Serve until told to end."""
    config = json.loads(Path(sys.argv[1]).read_text())
    # In a thread of its own so that a signal ends the program at once, whatever is being shipped.
    listener = _Listener(Path(config["socket"]), Shipper(S3Client(**config["s3"]), Path(config["tmp"])))
    threading.Thread(target=listener.serve_forever, daemon=True).start()
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
