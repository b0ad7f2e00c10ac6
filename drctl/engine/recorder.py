"""Writes events: masked, into the journal, into the fold, to whoever watches, in one order.

The only way anything of a run reaches the disk. A journal that cannot be written raises, and the caller stops before
its next effect: no record, no action.
"""

from __future__ import annotations

import hashlib
import json
import threading
from typing import TYPE_CHECKING, Any, Final, Protocol

from drctl.core import events as ev
from drctl.core.fold import Entry, RunState
from drctl.core.values import Time

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

LONGEST: Final = 14_000
"""Characters of one text in a record, as written in ASCII; of a longer one its beginning and its digest are kept."""


class Sealed(Protocol):
    """What the engine needs of a record once it is written."""

    @property
    def seq(self) -> int: ...  # noqa: D102 - its name says it
    @property
    def ts(self) -> int: ...  # noqa: D102 - its name says it
    @property
    def mono(self) -> int: ...  # noqa: D102 - its name says it
    @property
    def boot(self) -> str: ...  # noqa: D102 - its name says it


class Journal(Protocol):
    """An append-only journal. Raises JournalError; after that no append ever succeeds."""

    def append(self, type: str, body: Mapping[str, Any], *, actor: str, durable: bool) -> Sealed:  # noqa: A002 - the record's own word
        """Write one record; with `durable`, return only when it is on disk."""
        ...

    def settle(self, seq: int) -> None:
        """Return when that record is on disk; threads that wait together share one sync."""
        ...

    def checkpoint(self) -> object:
        """Sign what is written, if anything is new."""
        ...


SIGNED = (ev.RunOpened, ev.Answered, ev.RunPaused, ev.RunClosed)
"""Events after which a signed checkpoint is written at once (design, section 7)."""


class Recorder:
    """One writer's pen. Safe for threads; keeps journal order and fold order the same."""

    def __init__(
        self,
        journal: Journal,
        state: RunState,
        *,
        actor: str,
        mask: Callable[[str], str] = lambda text: text,
        watch: Callable[[Entry], None] = lambda _: None,
    ) -> None:
        self.state = state
        self._journal = journal
        self._actor = actor
        self.mask = mask
        self._watch = watch
        self._lock = threading.RLock()

    def write(self, event: ev.Event, *, durable: bool = False) -> Entry:
        """Record an event. `durable` for every intent and outcome of an act."""
        with self._lock:
            body = ev.encode(event)
            body = {name: self._masked(value, fit=not isinstance(event, ev.PlanPart)) for name, value in body.items()}
            sealed = self._journal.append(event.TYPE, body, actor=self._actor, durable=False)
            entry = Entry(
                seq=sealed.seq,
                at=Time(sealed.ts),
                mono=sealed.mono,
                boot=sealed.boot,
                actor=self._actor,
                event=ev.decode(event.TYPE, body),
            )
            self.state.apply(entry)
        if durable:
            self._journal.settle(entry.seq)
        if isinstance(event, SIGNED):
            self._journal.checkpoint()
        self._watch(entry)
        return entry

    def deviation(self, event: ev.DeviationNoted) -> None:
        """Record a deviation, once: after a crash in between the same is not noted again."""
        if event not in [known for _, known in list(self.state.deviations)]:
            self.write(event, durable=True)

    def sign(self) -> None:
        """Write a signed checkpoint now: before an irreversible act, and when the plan is frozen."""
        self._journal.checkpoint()

    def _masked(self, value: object, *, fit: bool) -> object:
        if isinstance(value, str):
            masked = self.mask(value)
            return fitting(masked) if fit else masked
        if isinstance(value, dict):
            return {self.mask(key): self._masked(item, fit=fit) for key, item in value.items()}
        if isinstance(value, list):
            return [self._masked(item, fit=fit) for item in value]
        return value


def fitting(text: str, most: int = LONGEST) -> str:
    """The text, or its beginning with its length and digest when a record has no room for it."""
    if len(text) * 12 <= most or len(json.dumps(text)) <= most:
        return text
    kept = text[: most // 12] if not text.isascii() else text[: most // 2]
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
    return f"{kept}... ({len(text)} characters, SHA-256 {digest})"
