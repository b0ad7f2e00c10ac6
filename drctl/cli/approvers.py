"""The lab's people: two simulated identities who answer what a run asks, by the commands a person would type.

They approve and fill in what a runbook asks of them. What became of a step that failed or is in doubt they do not say:
that is for whoever runs the demo, who is told of it.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Self

from drctl.cli.runs import fold_of
from drctl.errors import DrctlError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from drctl.adapters.statedir import RunFolder, StateDir
    from drctl.core import events as ev

COMMANDER, DEPUTY = "li", "wang"
"""Who approves, and who answers the rest: people of the lab's inventory."""
_PAUSE = 0.3
_PATIENCE = 60.0


class Approvers:
    """Answers every question of the runs in a state folder while its block lasts.

    Args:
        states: where the runs are.
        besides: ids of runs that are left alone.
        unanswered: called once with each question that the two do not answer.
    """

    def __init__(
        self,
        states: StateDir,
        *,
        besides: frozenset[str] = frozenset(),
        unanswered: Callable[[RunFolder, ev.Asked], None] = lambda _run, _asked: None,
    ) -> None:
        self._states = states
        self._besides = besides
        self._unanswered = unanswered
        self._seen: set[tuple[str, str]] = set()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._work, name="approvers", daemon=True)

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        """End; an answer under way is given to its end."""
        self._ending.set()
        self._thread.join(_PATIENCE)

    def _work(self) -> None:
        while not self._ending.wait(_PAUSE):
            for run in self._states.list():
                if run.id not in self._besides:
                    self._look(run)

    def _look(self, run: RunFolder) -> None:
        try:
            waiting = [question.asked for question in fold_of(run).open_questions]
        except (DrctlError, OSError):
            return  # its first records are just being written
        for asked in waiting:
            if (run.id, asked.id) not in self._seen:
                self._seen.add((run.id, asked.id))
                self._answer(run, asked)

    def _answer(self, run: RunFolder, asked: ev.Asked) -> None:
        if asked.kind == "approval":
            words = ["approve", run.id, asked.path, "--as", COMMANDER, "--reason", "seen and agreed"]
            words += ["--target", asked.target] if asked.target else []
        elif asked.kind == "manual":
            words = ["answer", run.id, asked.id, "done", "--as", DEPUTY]
            for field in asked.fields:
                words += ["--value", f"{field['name']}=to be filled in at the review"]
        else:
            self._unanswered(run, asked)
            return
        command = [sys.executable, "-m", "drctl", "--state-dir", str(self._states.root), *words]
        subprocess.run(command, stdin=subprocess.DEVNULL, check=False, capture_output=True, timeout=_PATIENCE)
