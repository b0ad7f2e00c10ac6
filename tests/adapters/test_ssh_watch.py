"""One thread looks after links while there are any, and is there again for those that come later."""

import threading
from dataclasses import dataclass, field

import pytest

from drctl.adapters import ssh_watch
from drctl.adapters.ssh_watch import Watch
from tests.adapters.steps import until


@dataclass(slots=True)
class Fake:
    """A link that notes who looks after it."""

    alive: bool = True
    by: set[int] = field(default_factory=set)

    def look_after(self) -> None:
        self.by.add(threading.get_ident())


def test_links_share_a_thread_that_ends_with_the_last_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh_watch, "PING", 0.01)
    before = set(threading.enumerate())

    def watching() -> list[threading.Thread]:
        return [one for one in threading.enumerate() if one not in before and one.name == "drctl-watch"]

    watch, first, second = Watch(), Fake(), Fake()
    watch.add(first)
    watch.add(second)
    until(lambda: first.by and second.by, "a look at both")
    assert first.by == second.by
    first.alive = False
    second.by.clear()
    until(lambda: second.by, "a look at the one that is left")
    second.alive = False
    until(lambda: not watching(), "the end of the thread")
    third = Fake()
    watch.add(third)
    until(lambda: third.by, "a look at one that came later")
    third.alive = False
    until(lambda: not watching(), "the end of that thread")
