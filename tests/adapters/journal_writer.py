"""A process of its own that writes a journal as fast as it can, until it is killed; run by tests, not a test.

Prints `<seq>` for every record that was acknowledged as being on disk. With a journal already there it goes on with it.
"""

import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from drctl.adapters.journal import NAME, JournalWriter
from drctl.adapters.keys import RunKey
from drctl.adapters.recovery import reopen
from tests.fakes.disks import FaultyDisk
from tests.fakes.journals import UID, TickingClock

if TYPE_CHECKING:
    from drctl.core.records import JSON


def main(folder: Path, chunk: int, threads: int) -> None:
    disk = FaultyDisk(chunk=chunk)
    if (folder / NAME).exists():
        taken = reopen(folder, RunKey.load(folder / "key"), TickingClock(), disk=disk, checkpoint_after=0.01)
        writer = taken.writer
        if taken.torn:
            body: dict[str, JSON] = {
                "torn_bytes": taken.torn.torn_bytes,
                "sha256": taken.torn.sha256,
                "file": taken.torn.file,
            }
            print(writer.append("recovered", body, actor="test", durable=True).seq, flush=True)  # noqa: T201 - its output
    else:
        key = RunKey.generate()
        key.save(folder / "key")
        writer = JournalWriter.create(folder, UID, key, TickingClock(), disk=disk, checkpoint_after=0.01)
        print(writer.append("run_opened", {"uid": UID}, actor="test", durable=True).seq, flush=True)  # noqa: T201

    def write() -> None:
        for n in range(1_000_000):
            writer.append("note_added", {"n": n}, actor="test", durable=False)
            seq = writer.append("note_added", {"n": n, "text": "x" * (n % 400)}, actor="test", durable=True).seq
            sys.stdout.write(f"{seq}\n")
            sys.stdout.flush()

    others = [threading.Thread(target=write, daemon=True) for _ in range(threads)]
    for other in others:
        other.start()
    for other in others:
        other.join()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
