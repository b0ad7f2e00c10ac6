"""`local`: the same claims and looks on the machine of drctl itself, by a child process instead of a link."""

import contextlib
import os
import selectors
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from drctl.adapters.carrier import Carried, End, Order, Streams
from drctl.adapters.claims import ClaimedShell
from drctl.errors import DefectError

_CHUNK = 65536


class LocalShell(ClaimedShell):
    """Runs commands on this machine, claimed in `state_dir`; `as_user` by `sudo -n`, claimed in that user's folder."""

    def __init__(self, state_dir: Path, shell: str = "/bin/sh") -> None:
        super().__init__(LocalCarrier(), "local", str(state_dir), shell)


class LocalCarrier:
    """Carries texts to `/bin/sh` as a child in a session of its own: Ctrl-C at the terminal does not reach it."""

    def __init__(self, env: dict[str, str] | None = None) -> None:
        self._env = env

    def exchange(self, order: Order) -> Carried:
        """Run the order's exec string; a child still going at the limit is left to itself, and reaped when it ends."""
        if order.door is not None:
            raise DefectError("the inventory has no password for sudo on `local`")
        streams = Streams(order)
        limit = time.monotonic() + order.seconds
        try:
            child = subprocess.Popen(
                ["/bin/sh", "-c", order.shell],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=self._env,
                start_new_session=True,
                bufsize=0,
            )
        except OSError as error:
            return Carried(end=End.NO_LINK, because=f"no process could be started: {error}")
        end = _converse(child, order, streams, limit)
        for pipe in (child.stdin, child.stdout, child.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        status = None
        if end is End.DONE:
            with contextlib.suppress(subprocess.TimeoutExpired):
                status = child.wait(5)
        if status is None:
            threading.Thread(target=child.wait, daemon=True, name="drctl-reap").start()
        return streams.carried(end, status=status)


def _converse(child: subprocess.Popen[bytes], order: Order, streams: Streams, limit: float) -> End:
    """Feed and drain the child until its answer is complete, its pipes close, or the limit passes."""
    assert child.stdin is not None  # noqa: S101 - Popen was asked for pipes
    assert child.stdout is not None  # noqa: S101
    assert child.stderr is not None  # noqa: S101
    pending, left = filter(None, order.stdin), b""
    with selectors.DefaultSelector() as selector:
        for pipe, event in (
            (child.stdin, selectors.EVENT_WRITE),
            (child.stdout, selectors.EVENT_READ),
            (child.stderr, selectors.EVENT_READ),
        ):
            os.set_blocking(pipe.fileno(), False)
            selector.register(pipe, event)
        while len(selector.get_map()) > (1 if child.stdin in _files(selector) else 0):
            if streams.over:
                return End.DONE
            wait = limit - time.monotonic()
            if wait <= 0:
                return End.TIMEOUT
            for key, _ in selector.select(wait):
                if key.fileobj is child.stdin:
                    left = _push(child.stdin, pending, left, selector)
                else:
                    _pull(key.fileobj, streams.out if key.fileobj is child.stdout else streams.err, selector)  # type: ignore[arg-type] # the pipes registered above
    return End.DONE


def _files(selector: selectors.BaseSelector) -> list[object]:
    return [key.fileobj for key in selector.get_map().values()]


def _push(pipe: IO[bytes], pending: Iterator[bytes], left: bytes, selector: selectors.BaseSelector) -> bytes:
    left = left or next(pending, b"")
    try:
        if left:
            return left[os.write(pipe.fileno(), left[:_CHUNK]) :]
    except BlockingIOError:
        return left
    except BrokenPipeError:
        pass  # the child read no further; its answer says what that means
    selector.unregister(pipe)
    pipe.close()
    return b""


def _pull(pipe: IO[bytes], stream: object, selector: selectors.BaseSelector) -> None:
    data = os.read(pipe.fileno(), _CHUNK)
    if data:
        stream.feed(data)  # type: ignore[attr-defined]
    else:
        selector.unregister(pipe)
