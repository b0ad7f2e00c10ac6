"""Talks over three pipes: feeds one, drains both others, within a limit, until an answer is whole.

Used where bytes go through a process of this machine: a child of ours (`local`), or OpenSSH's master (`openssh`).
"""

import contextlib
import os
import selectors
import time
from collections.abc import Callable, Iterable, Iterator
from typing import IO

from drctl.adapters.carrier import End, Stream, Streams
from drctl.core.nouns import dataclass

_CHUNK = 65536


@dataclass(slots=True, kw_only=True)
class Pipes:
    """This side's ends, unbuffered. `sent` says whether a byte of the input was written."""

    stdin: IO[bytes]
    out: IO[bytes]
    err: IO[bytes]
    sent: bool = False

    def close(self) -> None:
        """Close all three."""
        for pipe in (self.stdin, self.out, self.err):
            with contextlib.suppress(OSError):
                pipe.close()

    def say(self, words: bytes) -> None:
        """Write a few bytes that the pipe surely holds, and no part of the input."""
        with contextlib.suppress(OSError):  # what hung up says why
            os.write(self.stdin.fileno(), words)

    def converse(self, streams: Streams, limit: float, chunks: Iterable[bytes]) -> End:
        """Feed and drain until the answer is complete, both streams close (DONE), or the limit passes (TIMEOUT)."""
        return self._drain(streams, limit, lambda: streams.over, filter(None, chunks))

    def listen(self, streams: Streams, limit: float, is_over: Callable[[], bool]) -> End:
        """Drain until `is_over`, asked after every read; the input stays open."""
        return self._drain(streams, limit, is_over, None)

    def _drain(
        self, streams: Streams, limit: float, is_over: Callable[[], bool], pending: Iterator[bytes] | None
    ) -> End:
        left, reading = b"", 2
        with selectors.DefaultSelector() as selector:
            for pipe, stream in ((self.out, streams.out), (self.err, streams.err)):
                os.set_blocking(pipe.fileno(), False)
                selector.register(pipe, selectors.EVENT_READ, stream)
            if pending is not None:
                os.set_blocking(self.stdin.fileno(), False)
                selector.register(self.stdin, selectors.EVENT_WRITE)
            while reading:
                if is_over():
                    return End.DONE
                wait = limit - time.monotonic()
                if wait <= 0:
                    return End.TIMEOUT
                for key, _ in selector.select(wait):
                    if key.data is None and pending is not None:
                        left = self._push(pending, left, selector)
                    elif isinstance(key.data, Stream) and not _pull(key.fd, key.data):
                        selector.unregister(key.fileobj)
                        reading -= 1
        return End.DONE

    def _push(self, pending: Iterator[bytes], left: bytes, selector: selectors.BaseSelector) -> bytes:
        left = left or next(pending, b"")
        try:
            if left:
                written = os.write(self.stdin.fileno(), left[:_CHUNK])
                self.sent = True
                return left[written:]
        except BlockingIOError:
            return left
        except BrokenPipeError:
            pass  # the other side read no further; its answer says what that means
        selector.unregister(self.stdin)
        self.stdin.close()
        return b""


def _pull(pipe: int, stream: Stream) -> bool:
    """Take what is there; False at the end."""
    data = os.read(pipe, _CHUNK)
    stream.feed(data)
    return bool(data)
