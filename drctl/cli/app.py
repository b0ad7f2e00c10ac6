"""The root command: options for all, lazy commands, and the one place where errors are printed.

stdout is data, stderr the story. No option is ever taken from the environment but the state folder and the inventory:
nothing dangerous can be switched on by a variable that somebody exported last year.
"""

from __future__ import annotations

import atexit
import difflib
import gc
import importlib
import io
import json
import os
import sys
import threading
import traceback
from typing import TYPE_CHECKING, Any

import click

from drctl import __version__
from drctl.core.nouns import dataclass
from drctl.errors import DocumentError, DrctlError, Exit

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS = {
    "new": "Write a runbook or an inventory to start from.",
    "check": "Read a runbook and an inventory, and say everything that is wrong with them.",
    "explain": "Say what a code means: E103, or an exit code.",
    "graph": "Draw a runbook: as text, or for Mermaid.",
    "plan": "Look, and show what a run would do; nothing is changed.",
    "run": "Run a runbook.",
    "resume": "Go on with a run that is paused or crashed.",
    "takeover": "Make a run the owner of its hosts, in place of a lost or dead one.",
    "pause": "Let a run stop after its running step.",
    "rollback": "Take back what an open run did, all of it or down to a step.",
    "abort": "Close an open run: put back what was suspended, do nothing else.",
    "answer": "Answer a question of a run.",
    "approve": "Say yes to a request for approval.",
    "reject": "Say no to a request for approval.",
    "resolve": "Say what became of a step in doubt.",
    "retry": "Have a failed step tried again.",
    "skip": "Leave a failed step out; the run ends with exceptions.",
    "done": "Attest that a failed step was done by hand.",
    "exec": "Do something by hand on hosts of an open run, in its record.",
    "note": "Add a note to a run's record.",
    "runs": "List runs.",
    "show": "Show where a run stands, and what it waits for.",
    "watch": "Follow a run from another terminal.",
    "report": "Write the report of a run: HTML, Markdown or JSON.",
    "audit": "Verify a run's journal.",
    "kinds": "List the step kinds and what they take and give.",
    "schema": "Print the JSON Schema of runbooks or inventories, for editors.",
    "lab": "A small invoice system to break and recover: the embedded lab.",
    "doctor": "Check this machine: Python, state folder, disk, tools.",
}


@dataclass(slots=True, kw_only=True)
class Settings:
    """What the options for all commands say."""

    state_dir: str | None = None
    output: str = "text"
    color: str = "auto"
    language: str = ""
    transport: str = ""


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Name the commands, in the order a person meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import one command."""
        if cmd_name not in COMMANDS:
            return None
        module = (
            "answer" if cmd_name in {"answer", "approve", "reject", "resolve", "retry", "skip", "done"} else cmd_name
        )
        loaded = importlib.import_module(f"drctl.cli.commands.{module}")
        command: click.Command = getattr(loaded, cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; a slip of the hand is told what was probably meant."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            close = difflib.get_close_matches(args[0], COMMANDS, n=3)
            if close and "Did you mean" not in error.message:
                raise click.UsageError(f"{error.message} Did you mean {' or '.join(close)}?", ctx) from error
            raise

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the list without importing any of them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="drctl")
@click.option(
    "--state-dir", metavar="FOLDER", help="Where runs are kept (else DRCTL_STATE, else XDG_STATE_HOME/drctl)."
)
@click.option("--output", type=click.Choice(["text", "json"]), default="text", help="What goes to stdout.")
@click.option("--color", type=click.Choice(["auto", "always", "never"]), default="auto", help="Colour on a terminal.")
@click.option("--lang", default="", metavar="CODE", help="Language of a runbook's texts, such as en or zh.")
@click.pass_context
def root(ctx: click.Context, state_dir: str | None, output: str, color: str, lang: str) -> None:
    """Run disaster-recovery runbooks: plans that cannot lie, a record that auditors can verify."""
    if output == "json":
        from drctl.cli.streams import speak_utf8

        speak_utf8()
    settings = ctx.ensure_object(Settings)
    settings.state_dir, settings.output, settings.color, settings.language = state_dir, output, color, lang


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    from drctl.cli.streams import lasting

    threading.excepthook = thread_failed
    gc.set_threshold(200_000)  # a document is 100,000 values that all stay: looking for rubbish among them is in vain
    atexit.register(gc.freeze)  # and so it is once more when the interpreter ends: everything goes anyway
    with lasting() as ended:
        code = ended(run(list(sys.argv[1:] if args is None else args)))
    sys.exit(code)


def run(args: list[str]) -> int:
    """Run the command line; every ending is a code of `errors.Exit` and a message, never a traceback."""
    settings = Settings()
    try:
        answer: Any = root.main(args=args, prog_name="drctl", standalone_mode=False, obj=settings)
    except click.exceptions.Exit as ended:
        return int(ended.exit_code)
    except click.ClickException as error:
        said = io.StringIO()
        error.show(said)
        click.echo(_clean(said.getvalue()), err=True, nl=False)
        return int(Exit.USAGE)
    except DrctlError as error:
        show_error(error, settings.output)
        return int(error.exit)
    except (click.Abort, KeyboardInterrupt):
        say("Interrupted.", "drctl runs list   (shows what is open)")
        return int(Exit.INTERRUPTED)
    except Exception as error:  # noqa: BLE001 - the last resort: a defect is told as one, with its exit code
        if os.environ.get("DRCTL_DEBUG"):
            click.echo(_clean(traceback.format_exc()), err=True)
        say(
            f"drctl has a defect: {type(error).__name__}: {error}",
            "drctl runs list   (open runs can be resumed); DRCTL_DEBUG=1 shows where it happened",
        )
        return int(Exit.DEFECT)
    return int(answer) if isinstance(answer, int) else int(Exit.DONE)


def thread_failed(failed: threading.ExceptHookArgs) -> None:
    """Say the defect of a thread that nobody waits for: Python's own hook would show secrets it was raised with."""
    name = failed.thread.name if failed.thread is not None else "one that is gone"
    traced = "".join(traceback.format_exception(failed.exc_type, failed.exc_value, failed.exc_traceback))
    say(f"drctl has a defect in its thread {name}:\n{traced.rstrip()}")


def say(what: str, next_: str = "") -> None:
    """Say something on stderr."""
    click.echo(_clean(what), err=True)
    if next_:
        click.echo(f"  next: {_clean(next_)}", err=True)


def show_error(error: DrctlError, output: str = "text") -> None:
    """Print an error in its four parts, and every diagnostic of a document; with `--output json` on stdout as well."""
    problems = error.diagnostics if isinstance(error, DocumentError) else ()
    if output == "json":
        from drctl.cli.documents import diagnostic_rows

        parts = {"what": error.what, "where": error.where, "meaning": error.meaning, "next": error.next}
        document = {"error": {**parts, "exit": int(error.exit), "diagnostics": diagnostic_rows(problems)}}
        click.echo(_starred(json.dumps(document, ensure_ascii=False)))
    if problems:
        from drctl.cli.documents import show_diagnostics

        show_diagnostics(problems)
    click.echo(_clean(f"error: {f'{error.where}: ' if error.where else ''}{error.what}"), err=True)
    if error.meaning:
        click.echo(f"  {_clean(error.meaning)}", err=True)
    if error.next:
        click.echo(f"  next: {_clean(error.next)}", err=True)


def _clean(text: str) -> str:
    """Star secrets, and escape what a terminal would obey: words of hosts and of defects come through here."""
    from drctl.reporting.texts import clean

    return clean(_starred(text), lines=True)


def _starred(text: str) -> str:
    """What no masker has stood before: an error says what it was raised with."""
    from drctl.adapters.secrets import starred

    return starred(text)
