"""A real browser without a window: opens a page, tells what it says and what it complains about, takes its picture."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--enable-logging=stderr",
    "--v=0",
)
COMPLAINT = re.compile(r"^.*(?:CONSOLE|Refused to|ERR_).*$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the browser made of a page."""

    dom: str
    complaints: tuple[str, ...]


def look(page: Path, picture: Path, *, profile: Path, width: int = 1100, height: int = 1600) -> Seen:
    """Open a page and take a picture of it. `profile` is an empty folder of its own."""
    done = subprocess.run(
        [
            "chromium",
            *QUIET,
            f"--user-data-dir={profile}",
            f"--window-size={width},{height}",
            "--dump-dom",
            f"--screenshot={picture}",
            page.absolute().as_uri(),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=150,
    )
    return Seen(dom=done.stdout, complaints=tuple(COMPLAINT.findall(done.stderr)))
