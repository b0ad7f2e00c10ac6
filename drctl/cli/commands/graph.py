"""`drctl graph`: a runbook as a picture, from the document alone; no network, nothing changed."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from drctl.cli.documents import find_inventory, load_documents
from drctl.errors import Exit, UsageError

if TYPE_CHECKING:
    from drctl.cli.app import Settings


@click.command()
@click.argument("runbook", metavar="RUNBOOK")
@click.option("--inventory", metavar="FILE", help="Inventory (else DRCTL_INVENTORY, else inventory.yaml here).")
@click.option("--format", "format_", type=click.Choice(["text", "mermaid"]), default="text", help="Which form.")
@click.option("-o", "--out", metavar="FILE", default="-", help="Where to write it; '-' is stdout.")
@click.pass_obj
def graph(settings: Settings, runbook: str, inventory: str | None, format_: str, out: str) -> int:
    """Draw a runbook: phases, blocks, branches, loops, fences, approvals, points of no return, ways back.

    Mermaid is the form that wikis and code forges show as a picture. Only documents are read; an inventory is used
    to check the runbook when there is one.

    Exit status: 0 drawn, 3 a document is wrong, 2 a file cannot be read or written.
    """
    from drctl.reporting.graph import graph_text
    from drctl.reporting.graph_mermaid import graph_mermaid

    book, _ = load_documents(runbook, find_inventory(inventory))
    picture = graph_text(book, settings.language) if format_ == "text" else graph_mermaid(book, settings.language)
    if out != "-":
        _write(Path(out), picture, runbook)
    if settings.output == "json":
        told = {"runbook": book.name, "format": format_}
        click.echo(json.dumps(told | ({"graph": picture} if out == "-" else {"file": out}), ensure_ascii=False))
    elif out == "-":
        click.echo(_plain(picture) if format_ == "text" else picture)
    else:
        click.echo(_plain(out))
    return int(Exit.DONE)


def _plain(text: str) -> str:
    """The text in letters that this stdout can show."""
    from drctl.reporting.texts import clean, plain_signs

    encoding = (getattr(sys.stdout, "encoding", None) or "utf-8").lower().replace("-", "")
    return clean(text if encoding == "utf8" else plain_signs(text), lines=True)


def _write(path: Path, picture: str, runbook: str) -> None:
    try:
        path.write_text(picture + "\n", encoding="utf-8", errors="backslashreplace")
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise UsageError(
            f"The picture cannot be written: {getattr(error, 'strerror', error)}.", where=str(path),
            meaning="Nothing was changed.", next=f"drctl graph {shlex.quote(runbook)} -o FILE",
        ) from error  # fmt: skip
