"""`drctl new`: writes a runbook or an inventory to start from, with its schema beside it for the editor."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from drctl.errors import Exit, UsageError

if TYPE_CHECKING:
    from drctl.cli.app import Settings

DEFAULT_NAMES = {"runbook": "recovery", "inventory": "inventory"}


@click.command()
@click.argument("document", type=click.Choice(["runbook", "inventory"]))
@click.argument("name", default="")
@click.option("-o", "--out", metavar="FILE", help="Where to write it ('-' is stdout); else NAME.yaml here.")
@click.pass_obj
def new(settings: Settings, document: str, name: str, out: str | None) -> int:
    """Write a runbook or an inventory to start from; it loads as it stands, and its comments teach.

    The JSON Schema that its first line names is written beside it, so that an editor completes keys anywhere, without a
    checkout. A file that is there is never overwritten.

    Exit status: 0 written; 2 the file is there already, cannot be written, or the name is none.
    """
    from drctl.loading.skeletons import INVENTORY_SCHEMA, RUNBOOK_SCHEMA, inventory_skeleton, runbook_skeleton

    called = _name(document, name)
    schema = RUNBOOK_SCHEMA if document == "runbook" else INVENTORY_SCHEMA
    text = runbook_skeleton(called) if document == "runbook" else inventory_skeleton(called)
    if out == "-":
        click.echo(text, nl=False)
        click.echo(f"for the editor, in the same folder: drctl schema {document} > {schema}", err=True)
        return int(Exit.DONE)
    path = Path(out or f"{called}.yaml")
    _write_new(path, text, document)
    written = [str(path)]
    beside = path.parent / schema
    if not beside.exists():
        _write_new(beside, _schema(document), document)
        written.append(str(beside))
    _tell(settings, document, path, written)
    return int(Exit.DONE)


def _name(document: str, name: str) -> str:
    """The name inside the document; that of a runbook obeys the naming rule."""
    called = name or DEFAULT_NAMES[document]
    if not re.fullmatch(r"(?=.{1,60}$)[a-z][a-z0-9_]*(?:-+[a-z0-9_]+)*", called):
        near = re.sub(r"[^a-z0-9_]+", "-", called.lower()).strip("-0123456789_")[:60].strip("-")
        rule = "small letters, digits, '_' and '-' between them, a letter first, at most 60"
        raise UsageError(
            f"{called[:60]!r} is not a name: {rule}.",
            where="NAME",
            meaning="Nothing was written.",
            next=f"drctl new {document} {near or DEFAULT_NAMES[document]}",
        )
    return called


def _schema(document: str) -> str:
    from drctl.kinds import registry
    from drctl.loading.schema import inventory_schema, runbook_schema

    made = runbook_schema(registry()) if document == "runbook" else inventory_schema()
    return json.dumps(made, indent=2, ensure_ascii=False) + "\n"


def _write_new(path: Path, text: str, document: str) -> None:
    """Write a file that is not there yet; `x` leaves no moment in which another's file could be overwritten."""
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        other = path.with_name(f"{path.stem}-2{path.suffix}")
        raise UsageError(
            "There is a file of this name already.", where=str(path), meaning="It was left as it is.",
            next=f"drctl new {document} -o {shlex.quote(str(other))}",
        ) from error  # fmt: skip
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise UsageError(
            f"It cannot be written: {getattr(error, 'strerror', error)}.", where=str(path),
            meaning="Nothing was written.", next=f"drctl new {document} -o FILE",
        ) from error  # fmt: skip


def _tell(settings: Settings, document: str, path: Path, written: list[str]) -> None:
    from drctl.cli.documents import find_inventory
    from drctl.reporting.texts import clean

    if settings.output == "json":
        click.echo(json.dumps({"written": written}, ensure_ascii=False))
        return
    for one in written:
        click.echo(clean(one))
    file = shlex.quote(str(path))
    if document == "inventory":
        flag = "" if str(path) == "inventory.yaml" else f" --inventory {file}"
        click.echo(clean(f"  next: put your own hosts in, then: drctl check RUNBOOK{flag}"), err=True)
    elif find_inventory(None) is None:
        click.echo(clean(f"  next: drctl new inventory, then: drctl check {file}"), err=True)
    else:
        click.echo(clean(f"  next: drctl check {file}   (its roles are those of drctl new inventory)"), err=True)
