"""`drctl explain`: what a code of a diagnostic, or an exit code, means and what to do about it."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

import click

from drctl.errors import Exit, UsageError

if TYPE_CHECKING:
    from drctl.cli.app import Settings
    from drctl.reporting.explain import Explained


@click.command()
@click.argument("code", default="", metavar="[CODE]")
@click.option("--markdown", is_flag=True, help="The reference of the language as Markdown (docs/language.md).")
@click.pass_obj
def explain(settings: Settings, code: str, markdown: bool) -> int:
    """Say what a code means, why it is refused, what to write instead: E103, W002, or an exit code such as 23.

    Without a code all of them are listed.

    Exit status: 0 explained, 2 there is no such code.
    """
    from drctl.reporting.explain import explained_text

    if markdown:
        from drctl.loading.language import language_page

        click.echo(language_page(), nl=False)
        return int(Exit.DONE)
    if not code:
        return _list(settings)
    one = _find(code)
    if settings.output == "json":
        click.echo(json.dumps(dataclasses.asdict(one), ensure_ascii=False))
    else:
        click.echo(explained_text(one))
    return int(Exit.DONE)


def _find(code: str) -> Explained:
    from drctl.loading.codes import CODES
    from drctl.loading.explanations import EXPLANATIONS
    from drctl.loading.suggest import nearest
    from drctl.reporting.explain import Explained, explained_exit

    exits = {one.name: one for one in Exit} | {str(int(one)): one for one in Exit}
    wanted = code.strip().upper()
    if wanted in exits:
        return explained_exit(exits[wanted])
    if wanted not in CODES:
        alike = [one for one in CODES if one[0] == wanted[:1] and wanted[1:2].isdigit()]
        near = nearest(wanted, alike or [*CODES, *exits])
        raise UsageError(
            f"There is no code {code[:60]!r}." + (f" Did you mean {near}?" if near else ""),
            where="drctl explain", meaning="", next=f"drctl explain {near or ''}".rstrip(),
        )  # fmt: skip
    long = EXPLANATIONS[wanted]
    kind = "error: the document is refused" if wanted.startswith("E") else "warning: the document is used"
    return Explained(
        code=wanted, name=kind, meaning=CODES[wanted], why=long.why, wrong=long.wrong, right=long.right,
        what=long.form.value, next=long.next,
    )  # fmt: skip


def _list(settings: Settings) -> int:
    from drctl.loading.codes import CODES
    from drctl.reporting.explain import table

    if settings.output == "json":
        exits = {str(int(one)): one.meaning for one in Exit}
        click.echo(json.dumps({"diagnostics": CODES, "exits": exits}, ensure_ascii=False))
        return int(Exit.DONE)
    click.echo("What drctl check may say of a document (E: refused, W: a warning):\n")
    click.echo(table(list(CODES.items())))
    click.echo("\nExit codes of every command:\n")
    click.echo(table([(str(int(one)), one.meaning) for one in Exit]))
    click.echo("\nnext: drctl explain CODE")
    return int(Exit.DONE)
