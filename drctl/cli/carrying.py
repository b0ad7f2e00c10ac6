"""Carries a run out for a command: view, signals, terminal, summary, reports."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

from drctl.cli.commands.report import write_reports
from drctl.cli.wiring import Session
from drctl.core.values import Duration
from drctl.engine.executor import Desk
from drctl.errors import JournalError, UsageError

if TYPE_CHECKING:
    from pathlib import Path
    from types import FrameType

    from drctl.adapters.statedir import RunFolder
    from drctl.cli.app import Settings
    from drctl.core.fold import Entry
    from drctl.engine.executor import Executor
    from drctl.engine.questions import Operator
    from drctl.errors import Exit

Opening = Callable[[Callable[["Entry"], None]], AbstractContextManager[Session]]


def carry(
    settings: Settings,
    opening: Opening,
    *,
    wait: str | None,
    yes: bool,
    live: bool | None,
    verb: Callable[[Executor], Exit] | None = None,
    unattended: bool = False,
) -> int:
    """Carry a run out and show it, or do with it what a verb says. Gives the exit code."""
    from drctl.cli.console import Console

    waiting = _duration(wait)
    console = Console(live=live, color=settings.color, output=settings.output, yes=yes)
    with opening(console.watch) as session:
        console.begin(session.state, session.parts.masker.text)
        operator: Operator | None = console if console.interactive and not unattended else None
        executor = session.executor(Desk(inbox=session.folder.inbox, operator=operator, wait=waiting))
        with signals_of(session, console.say):
            try:
                code = executor.run() if verb is None else verb(executor)
            except JournalError:
                console.end()
                raise
        console.end()
        state, folder = session.state, session.folder
    reports = _reports(folder, console.say) if state.closed is not None else []
    console.summary(folder.id, state, [str(path) for path in reports])
    return int(code)


def _reports(folder: RunFolder, say: Callable[[str], None]) -> list[Path]:
    """Write the reports; the exit code is the run's own, whatever becomes of them."""
    try:
        return write_reports(folder, ["html", "markdown", "json"])
    except Exception as error:  # noqa: BLE001 - the run is over: how it ended must be told, not that a view of it broke
        say(f"The report could not be written: {type(error).__name__}: {error}.  next: drctl report {folder.id}")
        return []


def _duration(text: str | None) -> Duration | None:
    if text is None:
        return None
    try:
        waiting = Duration.parse(text)
    except ValueError as error:
        raise UsageError(str(error), where="--wait", next="--wait 10m") from error
    if waiting.micros < 0:
        raise UsageError(f"{text} is less than no time.", where="--wait", next="--wait 10m")
    return waiting


@contextmanager
def signals_of(session: Session, say: Callable[[str], None]) -> Iterator[None]:
    """Give Ctrl-C and hang-ups their meaning while a run is carried out.

    Once = stop after the running steps; twice = end them on the hosts, never an irreversible one; three times = leave
    at once, in doubt. A hang-up of the terminal detaches, it does not kill.
    """
    id_, control = session.folder.id, session.control
    pressed = 0

    def interrupted(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature of a signal's function
        nonlocal pressed
        pressed += 1
        if pressed == 1:
            control.raise_to(1, "stopped by the operator")
            say(f"Stopping after the running step. Again: end it on the host. Then: drctl resume {id_}")
        elif pressed == 2:  # noqa: PLR2004 - the second press
            control.raise_to(2, "ended by the operator")
            say(f"Ending what runs on the hosts. Again: leave at once, in doubt. Then: drctl resume {id_}")
        else:
            say(f"Left at once; what was running is in doubt.  next: drctl resume {id_}")
            sys.stderr.flush()
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            signal.raise_signal(signal.SIGINT)

    before = {number: signal.signal(number, interrupted) for number in (signal.SIGINT, signal.SIGTERM)}
    hangup = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
        signal.signal(signal.SIGHUP, hangup)
