"""`drctl report`: writes the report of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from drctl.adapters.keys import verify_signature
from drctl.cli.runs import entries_of, open_state
from drctl.cli.streams import speak_utf8
from drctl.core.fold import RunState
from drctl.core.verification import Verifier
from drctl.errors import JournalError, UsageError

if TYPE_CHECKING:
    from drctl.adapters.statedir import RunFolder
    from drctl.cli.app import Settings
    from drctl.reporting.report_model import Report

FORMATS = {"html": "report.html", "markdown": "report.md", "json": "report.json"}


@click.command()
@click.argument("run_id", metavar="RUN")
@click.option("--format", "format_", type=click.Choice([*FORMATS, "all"]), default="all", help="Which form.")
@click.option("-o", "--out", metavar="FILE", help="Where to write one form ('-' is stdout); else beside the journal.")
@click.pass_obj
def report(settings: Settings, run_id: str, format_: str, out: str | None) -> int:
    """Write a run's report: what happened, who decided, what was attained, what remains.

    It says whether the record it was made from is whole.

    Exit status: 0 written; 74 the journal cannot be read, or the report cannot be written.
    """
    folder = open_state(settings.state_dir).find(run_id)
    wanted = list(FORMATS) if format_ == "all" else [format_]
    if out is not None and format_ == "all":
        raise UsageError("-o takes one form.", where="-o", next=f"drctl report {folder.id} --format html -o FILE")
    if out == "-":
        speak_utf8()
        click.echo(render(folder, format_))
        return 0
    paths = write_reports(folder, wanted) if out is None else [_write(Path(out), render(folder, format_))]
    if settings.output == "json":
        click.echo(json.dumps({"run": folder.id, "reports": [str(path) for path in paths]}, ensure_ascii=False))
    else:
        for path in paths:
            click.echo(str(path))
    return 0


def write_reports(folder: RunFolder, wanted: list[str]) -> list[Path]:
    """Write reports beside the journal; they may be deleted and made again at any time.

    Raises:
        JournalError: the journal cannot be read, or the folder cannot be written.
    """
    made = _built(folder)
    return [_write(folder.path / FORMATS[form], _form(made, form)) for form in wanted]


def _write(path: Path, text: str) -> Path:
    try:
        path.write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise JournalError(
            f"The report cannot be written: {error.strerror}.", where=str(path), meaning="The run's record is whole.",
            next="drctl report RUN --format html -o FILE",
        ) from error  # fmt: skip
    return path


def render(folder: RunFolder, form: str) -> str:
    """Render one form from the verified journal."""
    return _form(_built(folder), form)


def _built(folder: RunFolder) -> Report:
    """Read the journal, once for all forms: what is told and what is judged are the same bytes."""
    from drctl.reporting.report import build

    verifier = Verifier(public_key=None, check_signature=verify_signature)
    every = entries_of(folder, verifier)
    return build(every, RunState.of(every), verifier.finish(), folder.outputs.get)


def _form(made: Report, form: str) -> str:
    if form == "json":
        from drctl.reporting.report import as_json

        return as_json(made)
    if form == "markdown":
        from drctl.reporting.markdown import markdown

        return markdown(made)
    from drctl.reporting.html import html

    return html(made)
