"""Text snapshots: what a person sees, kept as files beside the tests.

`WRITE_SNAPSHOTS=1 pytest tests/reporting` writes them anew; then read the difference before you commit it.
"""

import os
from pathlib import Path

FOLDER = Path(__file__).parent / "snapshots"


def same_as(name: str, text: str) -> None:
    """Compare a text with its file."""
    path = FOLDER / name
    if os.environ.get("WRITE_SNAPSHOTS") == "1":
        path.parent.mkdir(exist_ok=True)
        path.write_text(text + "\n", encoding="utf-8")
    assert path.is_file(), f"{path.name} is missing; write it with WRITE_SNAPSHOTS=1"
    assert text + "\n" == path.read_text("utf-8")
