"""The root command: options for all, lazy commands, and the one place where errors are printed.

stdout is data, stderr the story. No option is ever taken from the environment but the state folder and the inventory:
nothing dangerous can be switched on by a variable that somebody exported last year.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from drctl import __version__
from drctl.errors import DocumentError, DrctlError, Exit

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS = {
    "check": "Read a runbook and an inventory, and say everything that is wrong with them.",
    "plan": "Look, and show what a run would do; nothing is changed.",
    "run": "Run a runbook.",
    "resume": "Go on with a run that is paused or crashed.",
    "abort": "Close an open run: put back what was suspended, do nothing else.",
    "answer": "Answer a question of a run.",
    "approve": "Say yes to a request for approval.",
    "reject": "Say no to a request for approval.",
    "resolve": "Say what became of a step in doubt.",
    "retry": "Have a failed step tried again.",
    "skip": "Leave a failed step out; the run ends with exceptions.",
    "done": "Attest that a failed step was done by hand.",
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
    ctx.obj = Settings(state_dir=state_dir, output=output, color=color, language=lang)


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    sys.exit(run(list(sys.argv[1:] if args is None else args)))


def run(args: list[str]) -> int:  # noqa: PLR0911 - one return for each way a command ends
    """Run the command line; every ending is a code of `errors.Exit` and a message, never a traceback."""
    try:
        answer: Any = root.main(args=args, prog_name="drctl", standalone_mode=False)
    except click.exceptions.Exit as ended:
        return int(ended.exit_code)
    except click.Abort:
        say("Interrupted. Nothing more was done.", "drctl runs list   (shows what is open)")
        return int(Exit.INTERRUPTED)
    except click.UsageError as error:
        error.show(sys.stderr)
        return int(Exit.USAGE)
    except click.ClickException as error:
        error.show(sys.stderr)
        return int(Exit.USAGE)
    except DrctlError as error:
        show_error(error)
        return int(error.exit)
    except KeyboardInterrupt:
        say("Interrupted.", "drctl runs list   (shows what is open)")
        return int(Exit.INTERRUPTED)
    except BrokenPipeError:
        # The reader of our output went away, as with `| head`; the interpreter must not complain about it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(Exit.DONE)
    except Exception as error:  # noqa: BLE001 - the last resort: a defect is told as one, with its exit code
        if os.environ.get("DRCTL_DEBUG"):
            traceback.print_exc()
        say(
            f"drctl has a defect: {type(error).__name__}: {error}",
            "drctl runs list   (open runs can be resumed); DRCTL_DEBUG=1 shows where it happened",
        )
        return int(Exit.DEFECT)
    return int(answer) if isinstance(answer, int) else int(Exit.DONE)


def say(what: str, next_: str = "") -> None:
    """Say something on stderr."""
    click.echo(what, err=True)
    if next_:
        click.echo(f"  next: {next_}", err=True)


def show_error(error: DrctlError) -> None:
    """Print an error in its four parts, and every diagnostic of a document."""
    if isinstance(error, DocumentError):
        from drctl.cli.documents import show_diagnostics

        show_diagnostics(error.diagnostics)
    click.echo(f"error: {f'{error.where}: ' if error.where else ''}{error.what}", err=True)
    if error.meaning:
        click.echo(f"  {error.meaning}", err=True)
    if error.next:
        click.echo(f"  next: {error.next}", err=True)
