"""A carrier takes one text to a shell somewhere and brings back what it printed: over SSH, or to a local process.

This module holds only the contract and the bounded, linear collecting of output. What the texts mean is known to
`claim_text` and `claims`; how bytes travel is known to `ssh` and `local`.
"""

import enum
import hashlib
from collections.abc import Generator, Iterable, Iterator
from dataclasses import field
from inspect import GEN_CREATED, getgeneratorstate
from typing import TYPE_CHECKING, Protocol

from drctl.core.nouns import dataclass

if TYPE_CHECKING:
    from drctl.adapters.become import Door

_TAIL = 4096  # the end mark stands in the last bytes of a stream; noise after it may be this long


def exec_text(shell: str, script: str = "") -> str:
    """Give the one text a host is asked to run: constant, so nothing of a runbook shows in `ps`.

    Without a script the shell reads what it is to do from its input: one program fewer to start than `eval "$(cat)"`.
    """
    return f"exec {shell} -c '{script}'" if script else f"exec {shell}"


class End(enum.Enum):
    """How an exchange ended, as the carrier saw it."""

    DONE = "done"  # the mark was seen, or the far side closed in order
    TIMEOUT = "timeout"  # the limit passed; the far side may go on
    LOST = "lost"  # bytes were sent, then the link broke: nothing is known
    NO_LINK = "no_link"  # certain: not one byte was sent
    REFUSED = "refused"  # certain: another machine than is meant, or no shell as that user; nothing was said to it


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One exchange.

    Attributes:
        shell: the exec string.
        stdin: what is sent; then comes end of file.
        mark: the exchange is over when it has stood in stdout (and in stderr, with `both`).
        seconds: limit from now, connecting included.
        cap: most bytes kept of each stream, beside the end of it.
        act: something may change: the machine's identity is asked first.
        spare: may use the channels that are kept back for ending commands.
        opens: how the line begins behind which the SHA-256 of a long stream starts; empty: none is made.
        door: stands before the input while sudo asks for a password; nothing of it is sent while it is shut.
    """

    shell: str
    stdin: Iterable[bytes]
    mark: bytes
    seconds: float
    cap: int
    both: bool = False
    act: bool = False
    spare: bool = False
    opens: bytes = b""
    door: "Door | None" = None

    @property
    def once(self) -> bool:
        """Whether the input can be taken only once: nothing of it is taken before the host has said that it listens."""
        return iter(self.stdin) is self.stdin

    @property
    def taken(self) -> bool:
        """Whether some of an input that can be taken only once is gone: the order cannot be carried again."""
        return isinstance(self.stdin, Generator) and getgeneratorstate(self.stdin) != GEN_CREATED


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    """What of a stream was not kept: `size` bytes, which stood `behind` bytes before its end.

    `digest` is the SHA-256 of the stream up to there, to go on with; None when none was made.
    """

    size: int = 0
    behind: int = 0
    digest: "hashlib._Hash | None" = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """What came back. `status` is the far shell's exit status, None when none was read."""

    end: End
    out: bytes = b""
    err: bytes = b""
    cut: bool = False
    out_gone: Gone = Gone()
    err_gone: Gone = Gone()
    status: int | None = None
    because: str = ""
    host_key: str = ""


class Carrier(Protocol):
    """Safe to use from several threads. Never raises for what the world does."""

    def exchange(self, order: Order) -> Carried:
        """Send a text, collect the answer, at most `order.seconds` long."""
        ...


@dataclass(slots=True)
class Stream:
    """Collects one stream in linear time: the first `cap` bytes and the last few, and whether the mark was seen."""

    mark: bytes
    cap: int
    opens: bytes = b""
    head: bytearray = field(default_factory=bytearray)
    tail: bytearray = field(default_factory=bytearray)
    dropped: int = 0
    seen: bool = False
    digest: "hashlib._Hash | None" = None

    def feed(self, data: bytes) -> None:
        """Take the next bytes; what comes after the mark is not this answer's."""
        if self.seen:
            return
        first = data[: max(0, self.cap - len(self.head))]
        self.head += first
        before = len(self.tail)
        self.tail += data[len(first) :]
        noise = self._noise(len(first), before)
        if noise >= 0:  # looked for before the tail is cut: much may have come behind it at once
            self.seen = True
            kept = len(self.tail) - noise
            del self.tail[max(0, kept) :]
            del self.head[len(self.head) - max(0, -kept) :]
        self._drop(len(self.tail) - _TAIL)

    def _noise(self, new: int, before: int) -> int:
        """How many bytes came behind the mark; -1 where it did not come. Looks at new bytes only, and copies few."""
        length = len(self.mark)
        place = self.tail.find(self.mark, max(0, before - length))
        if place >= 0:
            return len(self.tail) - place - length
        if before >= length:
            return -1
        near = self.head[-new - length :] + self.tail[:length]
        place = near.find(self.mark)
        return -1 if place < 0 else len(near) - place - length + max(0, len(self.tail) - length)

    def _drop(self, surplus: int) -> None:
        """Let the oldest bytes behind the head go, into the digest."""
        if surplus <= 0:
            return
        if not self.dropped and self.opens in self.head and self.opens:
            line = self.head.index(self.opens)
            self.digest = hashlib.sha256(self.head[self.head.find(b"\n", line + len(self.opens)) + 1 :])
        if self.digest is not None:
            self.digest.update(self.tail[:surplus])
        self.dropped += surplus
        del self.tail[:surplus]

    @property
    def gone(self) -> Gone:
        """What was not kept."""
        return Gone(size=self.dropped, behind=len(self.tail), digest=self.digest) if self.dropped else Gone()

    @property
    def content(self) -> bytes:
        """Everything kept; where something was dropped, the end follows the beginning."""
        return bytes(self.head) + bytes(self.tail)


@dataclass(slots=True)
class Streams:
    """Both streams of one order."""

    order: Order
    out: Stream = field(init=False)
    err: Stream = field(init=False)

    def __post_init__(self) -> None:
        self.out = Stream(self.order.mark, self.order.cap, self.order.opens)
        self.err = Stream(self.order.mark, self.order.cap, self.order.opens)

    @property
    def over(self) -> bool:
        """Whether the answer is complete."""
        return self.out.seen and (self.err.seen or not self.order.both)

    def carried(self, end: End, *, because: str = "", status: int | None = None, host_key: str = "") -> Carried:
        """Give what was collected."""
        return Carried(
            end=End.DONE if self.over else end,
            out=self.out.content,
            err=self.err.content,
            cut=bool(self.out.dropped or self.err.dropped),
            out_gone=self.out.gone,
            err_gone=self.err.gone,
            status=status,
            because="" if self.over else because,
            host_key=host_key,
        )


class Counted:
    """Counts bytes as they are sent, and knows whether all were."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = chunks
        self.size = 0
        self.all = False

    def stream(self, head: bytes) -> Iterator[bytes]:
        """Give the head, uncounted, then the chunks."""
        yield head
        for chunk in self._chunks:
            self.size += len(chunk)
            yield chunk
        self.all = True
