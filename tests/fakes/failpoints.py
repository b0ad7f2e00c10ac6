"""A crash before or after any call of any port, fakes and real adapters alike.

`points.watch(port)` stands in front of a port and numbers every call that is made on it: odd numbers before it is made,
even ones when it is over and its answer has not yet been seen. At the chosen number the process dies; from then on no
port answers any more, as nothing of a dead process does. What a port gives that is a port itself is watched too.
"""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn, TypeVar, cast

from drctl.core.ports import Probe

Port = TypeVar("Port")

_GIVE_PORTS = frozenset({"shell", "http", "probe", "objects"})
_PORTS = frozenset({"notifier"})


@dataclass(slots=True)
class Points:
    """One process: where it dies (0 for nowhere), and the names of the points it came to."""

    die: Callable[[], NoReturn]
    at: int = 0
    passed: list[str] = field(default_factory=list)
    dead: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def reach(self, name: str) -> None:
        """Come to a point; does not return when the process is dead, or dies here."""
        with self._lock:
            if not self.dead:
                self.passed.append(name)
                self.dead = len(self.passed) == self.at
            if not self.dead:
                return
        self.die()

    def watch(self, port: Port, name: str) -> Port:
        """A port with points before and after each of its calls."""
        return cast("Port", _Watched(self, port, name))

    def probe(self, probe: Probe) -> Probe:
        """The ports of a probe, watched."""
        return replace(
            probe,
            shell=self.watch(probe.shell, "shell"),
            http=self.watch(probe.http, "http"),
            dialer=self.watch(probe.dialer, "dialer"),
            dns=self.watch(probe.dns, "dns"),
            objects=_Call(self, probe.objects, "objects", gives="objects"),
            files=_Call(self, probe.files, "files"),
            clock=self.watch(probe.clock, "clock"),
        )


@dataclass(slots=True)
class _Call:
    points: Points
    call: Callable[..., Any]
    name: str
    gives: str = ""

    def __call__(self, *given: object, **named: object) -> Any:  # noqa: ANN401 - whatever the port gives
        self.points.reach(f"before {self.name}")
        answer = self.call(*given, **named)
        self.points.reach(f"after {self.name}")
        if isinstance(answer, Probe):
            return self.points.probe(answer)
        if self.gives:
            return self.points.watch(answer, self.gives)
        return self._streamed(answer) if isinstance(answer, Iterator) else answer

    def _streamed(self, pieces: Iterator[object]) -> Iterator[object]:
        """What comes piece by piece can break off after any of them."""
        for piece in pieces:
            self.points.reach(f"piece of {self.name}")
            yield piece


class _Watched:
    def __init__(self, points: Points, port: object, name: str) -> None:
        self._points = points
        self._port = port
        self._name = name

    def __getattr__(self, name: str) -> object:
        found = getattr(self._port, name)
        if name in _PORTS:
            return self._points.watch(found, name)
        if not callable(found) or name.startswith("_"):
            return found
        return _Call(self._points, found, f"{self._name}.{name}", gives=name if name in _GIVE_PORTS else "")
