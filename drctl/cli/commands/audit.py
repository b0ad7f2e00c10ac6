"""`drctl audit`: verifies journals, offline, from their bytes alone."""

from __future__ import annotations

import base64
import json
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from drctl.adapters.journal import NAME
from drctl.adapters.keys import verify_signature
from drctl.cli.runs import open_state
from drctl.core.verification import verify as verify_bytes
from drctl.errors import JournalError, UsageError
from drctl.reporting.texts import clean

if TYPE_CHECKING:
    from drctl.cli.app import Settings
    from drctl.core.integrity import Verification

KEY_BYTES = 32


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

    Takes a run's id, a run's folder, or a journal.jsonl from anywhere.

    Exit status: 23 intact, not anchored; 20 not intact; 21 truncated or forked; 24 unsigned or torn tail (a crashed or
    open run); 2 there is no such journal; 74 it cannot be read.
    """
    path, key = _journal(settings, journal), _public_key(pub)
    found = judge_file(path, key)
    if settings.output == "json":
        click.echo(json.dumps(found.as_json(), ensure_ascii=False))
        return int(found.verdict.exit)
    click.echo(f"{path}: {found.verdict.value}")
    trust = ", ".join(sorted({"PINNED" if use.pinned else "SELF-DECLARED" for use in found.keys})) or "none"
    click.echo(f"  records {found.records}   key {trust}   head {found.head}")
    for notice in found.notices:
        click.echo(clean(f"  record {notice.seq}: {notice.reason}: {notice.text}"))
    if any(notice.reason == "replaced" for notice in found.notices):
        click.echo("  two histories: this copy and the one that goes on part at or before that record")
    bad = found.first_bad
    if bad is not None:
        click.echo(f"  first bad record: {bad.seq} (line {bad.line}, byte {bad.offset}): {bad.text}")
        click.echo(f"  bad in all: {found.bad_count}; nothing from record {bad.seq} on can be trusted")
    return int(found.verdict.exit)


def judge_file(path: Path, key: bytes | None = None) -> Verification:
    """Judge a journal by its bytes.

    Raises:
        JournalError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return verify_bytes(file, public_key=key, check_signature=verify_signature)
    except OSError as error:
        raise JournalError(
            f"The journal cannot be read: {error.strerror}.", where=str(path), meaning="Nothing is known about it.",
            next=f"ls -l {shlex.quote(str(path))}",
        ) from error  # fmt: skip


def _journal(settings: Settings, named: str) -> Path:
    path = Path(named)
    there = bool(named) and os.path.lexists(path)
    if there and path.is_dir():
        path /= NAME
    if path.is_file() or path.is_fifo():
        return path
    if "/" in named or there:
        raise UsageError("There is no journal.", where=str(path), next="drctl audit verify RUN|FILE")
    return open_state(settings.state_dir).find(named).journal


def _public_key(pub: str | None) -> bytes | None:
    """The key that was handed in. Nothing given by mistake (`--pub "$UNSET"`) must pass for "trust the journal"."""
    if pub is None:
        return None
    try:
        key = base64.b64decode(pub, validate=True)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise UsageError(
            f"That is not an Ed25519 public key: {KEY_BYTES} bytes in base64.", where="--pub",
            next="leave --pub out to take the journal's own word for the key",
        )  # fmt: skip
    return key
