"""`drctl kinds`: lists the step kinds."""

from __future__ import annotations

import difflib
import json
from typing import TYPE_CHECKING

import click

from drctl.errors import UsageError

if TYPE_CHECKING:
    from drctl.cli.app import Settings


@click.command()
@click.argument("name", default="", metavar="[KIND]")
@click.option("--markdown", is_flag=True, help="The whole catalogue as Markdown (docs/step-kinds.md).")
@click.pass_obj
def kinds(settings: Settings, name: str, markdown: bool) -> int:
    """List the step kinds, or show one: fields, outputs, effect, default criterion, example."""
    from drctl.kinds import registry
    from drctl.kinds.catalogue import markdown as catalogue
    from drctl.kinds.catalogue import requirements

    known = registry()
    if name and name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        raise UsageError(
            f"There is no kind {name!r}; there are: {', '.join(sorted(known))}.",
            next=f"drctl kinds {close[0] if close else ''}".rstrip(),
        )
    chosen = {name: known[name]} if name else known
    if settings.output == "json":
        rows = [
            {
                "kind": kind.NAME, "place": kind.PLACE.value,
                "effect": kind.EFFECT.value if kind.EFFECT else "stated by the step",
                "fields": {f.name: {"type": f.type, "required": f.required, "doc": f.doc} for f in kind.fields()},
                "outputs": dict(kind.OUTPUTS), "criteria": [c.text for c in kind.CRITERIA],
                "requires": list(requirements(kind)),
            }
            for kind in chosen.values()
        ]  # fmt: skip
        click.echo(json.dumps(rows, ensure_ascii=False))
    elif name or markdown:
        click.echo(catalogue(chosen))
    else:
        for kind in sorted(known.values(), key=lambda k: k.NAME):
            first = (kind.__doc__ or "").strip().splitlines()[0]
            needs = f" Requires {', '.join(requirements(kind))}." if requirements(kind) else ""
            click.echo(f"{kind.NAME:<18} {kind.EFFECT.value if kind.EFFECT else 'stated':<12} {first}{needs}")
    return 0
