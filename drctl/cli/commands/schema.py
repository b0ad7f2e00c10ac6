"""`drctl schema`: prints the JSON Schema of documents."""

from __future__ import annotations

import json

import click


@click.command()
@click.argument("document", type=click.Choice(["runbook", "inventory"]), default="runbook")
def schema(document: str) -> int:
    """Print the JSON Schema (Draft 2020-12), for editors and CI."""
    from drctl.kinds import registry
    from drctl.loading.schema import inventory_schema, runbook_schema

    made = runbook_schema(registry()) if document == "runbook" else inventory_schema()
    click.echo(json.dumps(made, indent=2, ensure_ascii=False))
    return 0
