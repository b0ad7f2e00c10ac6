"""A terminal for tests: a real pseudo terminal whose other end the test types into and reads from."""

import contextlib
import os
import pty
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from pexpect import fdpexpect

from drctl.adapters.console import Terminal


@dataclass(slots=True)
class Person:
    """The person's end: waits for texts, types, hangs up."""

    terminal: Terminal
    screen: Any
    answer: Any = None
    failure: BaseException | None = None
    thread: threading.Thread | None = None
    ends: list[int] = field(default_factory=list)

    def sees(self, text: str) -> None:
        """Wait until a text stands on the screen."""
        self.screen.expect_exact(text, timeout=60)

    def types(self, text: str) -> None:
        """Type a line."""
        self.screen.send(text + "\n")

    def hangs_up(self) -> None:
        """Close the person's end."""
        self.screen.close()

    def is_asked(self, ask: Callable[[], object]) -> None:
        """Begin to ask on another thread, so that the test can answer."""

        def run() -> None:
            try:
                self.answer = ask()
            except BaseException as failure:  # noqa: BLE001 - it is raised again where the test can see it
                self.failure = failure

        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()

    def gave(self) -> Any:  # noqa: ANN401 - whatever was asked for
        """What the asking gave, once it is over."""
        assert self.thread is not None
        self.thread.join(60)
        assert not self.thread.is_alive(), "still asking"
        if self.failure is not None:
            raise self.failure
        return self.answer


@contextlib.contextmanager
def person(color: str = "never") -> Iterator[Person]:
    """A pseudo terminal with a person at it."""
    ours, theirs = pty.openpty()
    with (
        open(theirs, encoding="utf-8", closefd=False) as stdin,
        open(theirs, "w", encoding="utf-8", closefd=False) as err,
    ):
        someone = Person(Terminal(color=color, stdin=stdin, stderr=err), fdpexpect.fdspawn(ours, encoding="utf-8"))
        try:
            yield someone
        finally:
            with contextlib.suppress(OSError):
                someone.screen.close()
            if someone.thread is not None:
                someone.thread.join(60)
            with contextlib.suppress(OSError):
                err.close()
    with contextlib.suppress(OSError):
        os.close(theirs)
