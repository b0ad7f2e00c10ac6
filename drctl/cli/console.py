"""The operator's console: shows a run as it goes, asks its questions, says how it ended.

Joins the terminal (`adapters.console`) to the views (`reporting`). It decides nothing: an answer is handed to the
engine, which judges and records it. Nothing here has a default on a dangerous choice.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from typing import TYPE_CHECKING

from drctl.adapters.clock import SystemClock
from drctl.adapters.console import POLL, Terminal
from drctl.cli.asking import Asking
from drctl.core.fold import RunState
from drctl.reporting.lines import line
from drctl.reporting.status import status_map
from drctl.reporting.summary import summary_text
from drctl.reporting.texts import clean, plain_signs

if TYPE_CHECKING:
    from collections.abc import Callable

    from drctl.core import events as ev
    from drctl.core.fold import Entry
    from drctl.engine.questions import Given
    from drctl.reporting.live import LiveView


class Console:
    """What a person sees of one run, and the person's side of the Operator port.

    Safe for threads: the engine tells of records from several at once.
    """

    def __init__(
        self, *, live: bool | None, color: str, output: str, yes: bool, terminal: Terminal | None = None
    ) -> None:
        self._terminal = Terminal(color=color) if terminal is None else terminal
        self._json = output == "json"
        self._yes = yes
        wanted = self._terminal.err.isatty() and not self._terminal.dumb if live is None else live
        self._wants_live = wanted
        self._live: LiveView | None = None
        self._state: RunState | None = None
        self._mask: Callable[[str], str] = str
        self._early: list[Entry] = []
        self._asking = False
        self._turn = threading.Lock()
        self._lock = threading.RLock()

    @property
    def interactive(self) -> bool:
        """Whether a person can be asked here."""
        return self._terminal.interactive

    def begin(self, state: RunState, mask: Callable[[str], str]) -> None:
        """Show what was recorded so far; from now on `state` is what views are made from.

        Args:
            state: the run's fold, kept up to date by the engine.
            mask: takes secrets out of a text.
        """
        with self._lock:
            self._state, self._mask = state, mask
            if self._wants_live:
                from drctl.reporting.live import LiveView

                term = self._terminal
                self._live = LiveView(
                    term.err, color=term.color, ascii_only=not term.err.unicode, mask=mask, now=SystemClock().now
                )
                self._live.start(state)
            for entry in self._early:
                self._show(entry)
            self._early.clear()

    def watch(self, entry: Entry) -> None:
        """Show a record; called for each one, from any thread, also before `begin`."""
        with self._lock:
            if self._state is None:
                self._early.append(entry)
                return
            try:
                self._show(entry)
            except Exception as error:  # noqa: BLE001 - a view that fails must not end the run it shows
                self.end()
                self._write(f"! the view failed and was switched off, the run goes on: {clean(repr(error))}")

    def _show(self, entry: Entry) -> None:
        assert self._state is not None  # noqa: S101 - the callers have looked
        if self._live is not None and not self._asking:
            self._live.update(entry, self._state)
            return
        text = line(entry, self._state)
        if text is not None:
            self._write(text)

    def say(self, text: str) -> None:
        """Say something about the run as a whole, such as what Ctrl-C does. Called from a signal's function too."""
        if self._live is not None and not self._asking:
            self._live.say(clean(text))
        else:
            self._write(clean(text))

    def end(self) -> None:
        """Stop showing; what stands on the screen stays."""
        with self._lock:
            if self._live is not None:
                self._live.stop()
                self._live = None

    def ask(self, asked: ev.Asked, settled: Callable[[], bool], seconds: float | None) -> Given | None:
        """Ask the person at the terminal; None when it is settled elsewhere, time is over, or they leave it open.

        Branches that run side by side ask one after the other.
        """
        end = None if seconds is None else time.monotonic() + seconds
        while not self._turn.acquire(timeout=POLL):
            if settled() or (end is not None and time.monotonic() >= end):
                return None
        try:
            return self._ask(asked, settled, None if end is None else max(0.0, end - time.monotonic()))
        finally:
            self._turn.release()

    def _ask(self, asked: ev.Asked, settled: Callable[[], bool], seconds: float | None) -> Given | None:
        with self._lock:
            state = self._state or RunState()
            self._asking = True
            if self._live is not None:
                self._live.pause()
        try:
            return Asking(self._terminal, self._write, state, yes=self._yes).ask(asked, settled, seconds)
        finally:
            with self._lock:
                self._asking = False
                if self._live is not None:
                    self._live.go_on(state)

    def summary(self, id: str, state: RunState, reports: list[str]) -> None:  # noqa: A002 - the caller's word
        """Print how it ended, on stdout: a text, or one JSON object."""
        if self._json:
            document = {**status_map(id, state, writing=False), "reports": reports}
            sys.stdout.write(self._mask(json.dumps(document, ensure_ascii=False)) + "\n")
            sys.stdout.flush()
            return
        text = summary_text(id, state, reports)
        encoding = sys.stdout.encoding or "ascii"
        if encoding.lower().replace("-", "") != "utf8":
            text = plain_signs(text)
        text = self._mask(text)
        sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
        sys.stdout.flush()

    def _write(self, text: str) -> None:
        text = self._mask(text)
        self._terminal.write((text if self._terminal.err.unicode else plain_signs(text)) + "\n")
