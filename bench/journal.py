"""Journal: appends that are on disk when they return, and verifying a journal, against what any log could do at best.

Appends: JournalWriter (hash chain, Merkle tree, signed checkpoints, shared fdatasync) from 1 and from 8 threads against
write + fdatasync of lines of the same length from as many threads; from 1 thread also against json.dumps + write +
fdatasync of the same record (what any JSON log does: the goal is at most three times its CPU) and against SQLite (WAL,
synchronous=FULL), a commit each. Units: appends a second (more is better) and microseconds of CPU an append. The parts
of an append are measured apart. Memory: resident MB of a writer after so many appends. A whole process: `drctl run` of
1,000 steps that do nothing. Verification: the verifier of `audit verify`, all records read (as the command does) and
parse_all=False (chain, tree and signatures alone). Units: CPU seconds for 100,000 records, and the peak resident memory
of the process in MB. A checkpoint stands every 64 records, far closer than in a real run.
"""

import json
import os
import secrets
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from bench.measure import ROOT, Report, Sample, Subject, interleaved, whole_process
from drctl.adapters.clock import SystemClock
from drctl.adapters.disk import Disk
from drctl.adapters.journal import NAME as FILE
from drctl.adapters.journal import JournalWriter
from drctl.adapters.keys import RunKey, verify_signature
from drctl.core.checkpoints import Chain
from drctl.core.records import JSON, Record, encode, link
from drctl.core.verification import Verdict, verify

NAME = "journal"
ROUNDS = 5
THREADS = (1, 8)
APPENDS = 2000
RECORDS = 100_000
STEPS = 1000
_EVERY = 64
_BODY: dict[str, JSON] = {
    "path": "failover/promote", "host": "db2", "iteration": "", "attempt": 1, "role": "act", "outcome": "ok",
    "found": False, "because": "", "elapsed_us": 1_234_567, "captures": {"timeline": 2, "lag": 0},
}  # fmt: skip

_WHOLE: dict[str, JSON] = {
    "seq": 1, "ts": 1_790_000_000_000_000, "type": "step_finished", "actor": "bench", "run": "0" * 32, "boot": "b" * 36,
    "mono": 1_000_000_000, "dur": 0, "epoch": 1, "v": 1, "body": _BODY,
}  # fmt: skip


class _Unsynced(Disk):
    """Only for making the journal that is verified: nobody's record, so nothing is lost with it."""

    def sync_data(self, fd: int) -> None:
        """Leave the bytes to the kernel."""


def run(*, small: bool, rounds: int) -> Report:
    """Measure; small takes 40 appends and 640 records."""
    report, appends, records = Report(), 40 if small else APPENDS, 640 if small else RECORDS
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        kind = subprocess.run(["stat", "-f", "-c", "%T", name], capture_output=True, text=True, check=True).stdout
        path = _journal(folder, records)
        size = len(path.read_bytes().splitlines()[1]) + 1
        report.notes.append(f"file system {kind.strip()}; a line has {size} bytes; {appends} appends a round")
        for threads in THREADS:
            subjects = [
                Subject(name="JournalWriter", run=partial(_written, folder, threads, appends)),
                Subject(name="write + fdatasync", run=partial(_plain, folder, threads, appends, size), peer=True),
            ]
            if threads == 1:
                subjects += [
                    Subject(name="json.dumps + write + fdatasync", run=partial(_bare, folder, appends), peer=True),
                    Subject(name="SQLite WAL FULL", run=partial(_sqlite, folder, appends), peer=True),
                ]
            report.rows += interleaved(f"durable appends, {threads} threads", subjects, rounds)
        parts = [Subject(name=part, run=partial(_part, folder, part, appends)) for part in _PARTS]
        report.rows += interleaved("parts of an append", parts, rounds)
        grown = [Subject(name=f"{n:,} appends", run=partial(_grown, folder, n)) for n in (records // 10, records)]
        report.rows += interleaved("memory of a writer", grown, 1, warm=False)
        steps = 20 if small else STEPS
        whole_run = [Subject(name=f"drctl run of {steps:,} steps", run=partial(_whole_run, folder, steps))]
        report.rows += interleaved("whole process", whole_run, min(rounds, 3), warm=False)
        whole = Subject(name="verify, all records read", run=partial(_verified, path, parse_all=True))
        chain = Subject(name="verify, parse_all=False", run=partial(_verified, path, parse_all=False))
        group = f"verification of {records:,} records"
        report.rows += interleaved(group, [whole, chain], min(rounds, 3), warm=False)
    return report


def _open(folder: Path, disk: Disk | None = None) -> JournalWriter:
    uid = secrets.token_hex(16)
    (folder / uid).mkdir()
    writer = JournalWriter.create(folder / uid, uid, RunKey.generate(), SystemClock(), disk=disk)
    writer.append("run_opened", {"uid": uid, "id": "7K3QF", "runbook": "bench"}, actor="bench", durable=True)
    return writer


def _journal(folder: Path, records: int) -> Path:
    """A closed journal of about so many records, as the product's writer writes it, but for the disk."""
    with _open(folder, _Unsynced()) as writer:
        while writer.size < records - 2:
            writer.append("step_finished", _BODY, actor="bench", durable=False)
            if writer.size % _EVERY == 0:
                writer.checkpoint()
        writer.append("run_closed", {"state": "done", "exit": 0}, actor="bench", durable=False)
        return folder / writer.uid / FILE


def _written(folder: Path, threads: int, appends: int) -> Sample:
    with _open(folder) as writer:
        return _spread(threads, appends, lambda: writer.append("step_finished", _BODY, actor="bench", durable=True))


def _plain(folder: Path, threads: int, appends: int, size: int) -> Sample:
    line = b"x" * (size - 1) + b"\n"
    fd = os.open(folder / secrets.token_hex(16), os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL)

    def append() -> None:
        os.write(fd, line)
        os.fdatasync(fd)

    try:
        return _spread(threads, appends, append)
    finally:
        os.close(fd)


def _bare(folder: Path, appends: int) -> Sample:
    fd = os.open(folder / secrets.token_hex(16), os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL)

    def append() -> None:
        os.write(fd, json.dumps(_WHOLE).encode() + b"\n")
        os.fdatasync(fd)

    try:
        return _spread(1, appends, append)
    finally:
        os.close(fd)


def _sqlite(folder: Path, appends: int) -> Sample:
    path = folder / f"{secrets.token_hex(16)}.db"
    base = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    base.execute("PRAGMA journal_mode=WAL")
    base.execute("PRAGMA synchronous=FULL")
    base.execute("CREATE TABLE record (seq INTEGER PRIMARY KEY, line TEXT)")
    try:
        return _spread(1, appends, lambda: base.execute("INSERT INTO record (line) VALUES (?)", (json.dumps(_WHOLE),)))
    finally:
        base.close()


def _part(folder: Path, part: str, appends: int) -> Sample:
    """One part of an append, so many times; microseconds of CPU each."""
    key, uid = RunKey.generate(), secrets.token_hex(16)
    record = Record(
        seq=1, ts=1, type="step_finished", actor="bench", body=_BODY, run=uid, boot="b" * 36, mono=1, dur=0, epoch=1
    )
    chain, head = Chain.start(uid, key.public), bytes(32)
    line, digest = encode(record, head)
    fd = os.open(folder / secrets.token_hex(16), os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL)

    def sync() -> None:
        os.write(fd, line)
        os.fdatasync(fd)

    parts: dict[str, Callable[[], object]] = {
        "encode and hash the line": lambda: encode(record, head),
        "of this, hash": lambda: link(head, line),
        "Merkle tree": lambda: chain.add(line, digest),
        "sign a checkpoint (one in 64 or 2 s)": lambda: key.sign(line),
        "write": lambda: os.write(fd, line),
        "write and fdatasync": sync,
    }
    work = parts[part]
    cpu = time.process_time()
    for _ in range(appends):
        work()
    cpu = time.process_time() - cpu
    os.close(fd)
    return {"CPU us each": cpu / appends * 1e6}


_PARTS = (
    "encode and hash the line", "of this, hash", "Merkle tree", "sign a checkpoint (one in 64 or 2 s)", "write",
    "write and fdatasync",
)  # fmt: skip


def grow(folder: str, records: int) -> None:
    """What a process of its own runs: appends, then prints its resident memory in KB."""
    with _open(Path(folder), _Unsynced()) as writer:
        for _ in range(records):
            writer.append("step_finished", _BODY, actor="bench", durable=False)
        status = Path("/proc/self/status").read_text().split()
    print(json.dumps(int(status[status.index("VmRSS:") + 1])))


def _grown(folder: Path, records: int) -> Sample:
    code = f"from bench.journal import grow; grow({str(folder)!r}, {records})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, check=True)
    return {"resident MB": json.loads(done.stdout) / 1024}


def _whole_run(folder: Path, steps: int) -> Sample:
    own = folder / secrets.token_hex(16)
    own.mkdir()
    lines = "".join(f"      - {{id: s{n}, do: check, expect: true}}\n" for n in range(steps))
    (own / "book.yaml").write_text(f"runbook: nothing\nphases:\n  - id: p\n    steps:\n{lines}")
    (own / "inventory.yaml").write_text("inventory: none\nenvironment: lab\nzone: UTC\nhosts: {}\n")
    words = ["--state-dir", str(own / "state"), "run", "book.yaml", "--inventory", "inventory.yaml", "--no-live"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return whole_process([sys.executable, "-m", "drctl", *words], env=env, cwd=own)


def _spread(threads: int, appends: int, append: Callable[[], object]) -> Sample:
    """Let threads append, all beginning at once."""
    ready = threading.Barrier(threads + 1)

    def work() -> None:
        ready.wait()
        for _ in range(appends // threads):
            append()

    with ThreadPoolExecutor(threads) as pool:
        working = [pool.submit(work) for _ in range(threads)]
        ready.wait()
        wall, cpu = time.perf_counter(), time.process_time()
        for one in working:
            one.result()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    done = appends // threads * threads
    return {"appends/s": done / wall, "CPU us an append": cpu / done * 1e6}


def child(path: str, *, parse_all: bool) -> None:
    """What a process of its own runs: prints CPU seconds, how many records there were, and its peak memory in KB."""
    verify_signature(bytes(32), bytes(64), b"")  # loads what it needs: start-up is another bench
    cpu = time.process_time()
    with Path(path).open("rb") as file:
        found = verify(file, public_key=None, check_signature=verify_signature, parse_all=parse_all)
    cpu = time.process_time() - cpu
    if found.verdict is not Verdict.INTACT_NOT_ANCHORED:
        raise RuntimeError(f"{path}: {found.verdict.value}, {found.first_bad}")
    # not ru_maxrss: across exec the kernel keeps the peak of the process that was forked, here the bench's own
    status = Path("/proc/self/status").read_text().split()
    print(json.dumps([cpu, found.records, int(status[status.index("VmHWM:") + 1])]))


def _verified(path: Path, *, parse_all: bool) -> Sample:
    code = f"from bench.journal import child; child({str(path)!r}, parse_all={parse_all})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, check=True)
    cpu, records, peak = json.loads(done.stdout)
    return {"CPU s/100,000 records": cpu / records * 100_000, "peak MB": peak / 1024}
