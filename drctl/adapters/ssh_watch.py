"""One thread that looks after every open link while it owes an answer: a half-open peer tells nobody that it is gone.

paramiko sends keepalives and does not count the answers, and it waits for some answers without any limit.
"""

import contextlib
import threading
from typing import Protocol

PING = 5.0  # seconds between two looks


class Looked(Protocol):
    """What is looked after. Both are quick: what has to wait for the far side does so in a thread of its own."""

    @property
    def alive(self) -> bool:
        """Whether it still has to be looked after."""
        ...

    def look_after(self) -> None:
        """End what is past its limit, and ask the far side for a sign of life where it owes an answer."""
        ...


class Watch:
    """Looks after links until they are over. The thread is there while there are any."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._links: list[Looked] = []
        self._kept = False

    def add(self, link: Looked) -> None:
        """Look after one more."""
        with self._lock:
            self._links.append(link)
            if not self._kept:
                threading.Thread(target=self._keep, daemon=True, name="drctl-watch").start()
                self._kept = True

    def _keep(self) -> None:
        rest = threading.Event()
        while True:
            rest.wait(PING)
            with self._lock:
                self._links = [link for link in self._links if link.alive]
                self._kept = bool(self._links)
                links = list(self._links)
            if not links:
                return
            for link in links:
                with contextlib.suppress(Exception):  # a thread that cannot be started here must not cost the others
                    link.look_after()
