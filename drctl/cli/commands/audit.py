"""`drctl audit`: verifies journals, offline, from their bytes alone."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from drctl.adapters.keys import verify_signature
from drctl.cli.wiring import open_state
from drctl.core.verification import verify as verify_bytes
from drctl.errors import UsageError

if TYPE_CHECKING:
    from drctl.cli.app import Settings
    from drctl.core.integrity import Verification


@click.group()
def audit() -> None:
    """Verify a run's journal."""


@audit.command()
@click.argument("journal", metavar="RUN|FILE")
@click.option(
    "--pub",
    metavar="KEY",
    help="The run's public key (base64), obtained elsewhere; else the journal's own word is taken.",
)
@click.pass_obj
def verify(settings: Settings, journal: str, pub: str | None) -> int:
    """Check every byte of a journal: chain, tree, signatures. Needs no network, configuration or other file.

    Exit status: 23 intact, not anchored; 20 not intact; 21 truncated or forked; 24 unsigned or torn tail.
    """
    path = Path(journal)
    if path.is_dir():
        path /= "journal.jsonl"
    if not path.is_file():
        path = open_state(settings.state_dir).find(journal).journal
    try:
        key = base64.b64decode(pub, validate=True) if pub else None
    except ValueError as error:
        raise UsageError("That is not a public key in base64.", where="--pub") from error
    found = judge_file(path, key)
    if settings.output == "json":
        click.echo(json.dumps(found.as_json(), ensure_ascii=False))
        return int(found.verdict.exit)
    click.echo(f"{path}: {found.verdict.value}")
    trust = ", ".join(sorted({"PINNED" if use.pinned else "SELF-DECLARED" for use in found.keys})) or "none"
    click.echo(f"  records {found.records}   key {trust}   head {found.head}")
    bad = found.first_bad
    if bad is not None:
        click.echo(f"  first bad record: {bad.seq} (line {bad.line}, byte {bad.offset}): {bad.text}")
        click.echo(f"  bad in all: {found.bad_count}; nothing from record {bad.seq} on can be trusted")
    return int(found.verdict.exit)


def judge_file(path: Path, key: bytes | None = None) -> Verification:
    """Judge a journal by its bytes."""
    with path.open("rb") as file:
        return verify_bytes(file, public_key=key, check_signature=verify_signature)
