"""`drctl report`: writes the report of a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from drctl.cli.commands.audit import judge_file
from drctl.cli.wiring import entries, open_state
from drctl.core.fold import RunState

if TYPE_CHECKING:
    from drctl.adapters.statedir import RunFolder
    from drctl.cli.app import Settings

FORMATS = {"html": "report.html", "markdown": "report.md", "json": "report.json"}


@click.command()
@click.argument("run_id", metavar="RUN")
@click.option("--format", "format_", type=click.Choice([*FORMATS, "all"]), default="all", help="Which form.")
@click.option("-o", "--out", metavar="FILE", help="Where to write one form ('-' is stdout); else beside the journal.")
@click.pass_obj
def report(settings: Settings, run_id: str, format_: str, out: str | None) -> int:
    """Write a run's report: what happened, who decided, what was attained, what remains.

    It says whether the record it was made from is whole.
    """
    folder = open_state(settings.state_dir).find(run_id)
    wanted = list(FORMATS) if format_ == "all" else [format_]
    if out is not None and len(wanted) == 1:
        text = render(folder, wanted[0])
        if out == "-":
            click.echo(text)
        else:
            Path(out).write_text(text, encoding="utf-8")
        return 0
    for path in write_reports(folder, wanted):
        click.echo(str(path))
    return 0


def write_reports(folder: RunFolder, wanted: list[str]) -> list[Path]:
    """Write reports beside the journal; they may be deleted and made again at any time."""
    paths = []
    for form in wanted:
        path = folder.path / FORMATS[form]
        path.write_text(render(folder, form), encoding="utf-8")
        paths.append(path)
    return paths


def render(folder: RunFolder, form: str) -> str:
    """Render one form from the verified journal."""
    from drctl.reporting.report import build

    audit = judge_file(folder.journal)
    every = list(entries(folder.journal))
    made = build(every, RunState.of(every), audit, folder.outputs.get)
    if form == "json":
        from drctl.reporting.report import as_json

        return as_json(made)
    if form == "markdown":
        from drctl.reporting.markdown import markdown

        return markdown(made)
    from drctl.reporting.html import html

    return html(made)
