"""Session channels: asked for ahead of their use, their command asked for without waiting for leave, and read.

paramiko asks for a channel and waits, asks for the command and waits, and only then takes its input: three round trips
for a step. SSH asks for none of it (RFC 4254, sections 5.1 and 6.5: requests are carried out in their order), but
OpenSSH's sshd gives no room for input before the command runs, so that two are left. No public function of paramiko
does so, and names are used here that it may change. Where one is missing, `Opening.asked` and `Leave.ask` do as
paramiko does; a test goes through both ways.
"""

import threading
import time
from collections.abc import Callable
from typing import Any

import paramiko

from drctl.adapters.become import Door
from drctl.adapters.carrier import End, Streams

_CHUNK = 262144  # what has come is taken at once: paramiko moves the rest of its buffer forward each time
_HOOK = "event_ready"  # of a channel: set by the answer to a request, and looked at after its `event`
_OPEN = b"\x5a"  # SSH_MSG_CHANNEL_OPEN


class Opening:
    """A session channel that was asked for; the host's answer is not waited for before it is needed."""

    def __init__(self, transport: paramiko.Transport, channel: paramiko.Channel, answered: threading.Event) -> None:
        self._transport = transport
        self._channel = channel  # paramiko itself keeps only a weak reference
        self._answered = answered

    @classmethod
    def asked(cls, transport: paramiko.Transport) -> "Opening | None":
        """Ask for a channel; None when this paramiko cannot be asked so. Raises what any word on a broken link does."""
        inside: Any = transport
        try:
            with inside.lock:
                window, packet = inside._sanitize_window_size(None), inside._sanitize_packet_size(None)  # noqa: SLF001 - see above
                number = inside._next_channel()  # noqa: SLF001
                channel: Any = paramiko.Channel(number)
                channel._set_transport(transport)  # noqa: SLF001
                channel._set_window(window, packet)  # noqa: SLF001
                send, answered = inside._send_user_message, threading.Event()  # noqa: SLF001
                inside.channel_events[number], inside.channels_seen[number] = answered, True
                inside._channels.put(number, channel)  # noqa: SLF001
        except (AttributeError, TypeError):
            return None
        message = paramiko.Message()
        message.add_byte(_OPEN)
        message.add_string("session")
        for value in (number, window, packet):
            message.add_int(value)
        send(message)
        return cls(transport, channel, answered)

    def channel(self, seconds: float) -> paramiko.Channel | None:
        """The channel, or None: refused, closed again, or the link is no more.

        Raises:
            TimeoutError: no answer yet.
        """
        if not self._answered.wait(max(0.0, seconds)):
            raise TimeoutError
        opened = self._channel.active and not self._channel.closed and self._transport.is_active()
        return self._channel if opened else None

    def was_refused(self) -> bool:
        """Whether the host answered, with no, on a link that is there: it has no channel to spare for later."""
        if not self._answered.is_set() or self._channel.active or not self._transport.is_active():
            return False
        self._transport.get_exception()  # paramiko keeps the refusal for whoever asks next, and it was ours
        return True


class Leave:
    """The host's leave to run a command, asked for and not waited for.

    A command that was refused has not begun, and what was sent for it is thrown away by the host. This stands in for
    the event by which paramiko waits for the answer.
    """

    def __init__(self, channel: paramiko.Channel) -> None:
        self._channel: Any = channel
        self.given = False

    def ask(self, shell: str, *, waits: bool) -> None:
        """Ask for a command, and wait for leave or not. Raises what any word on a broken link does."""
        if waits or not hasattr(self._channel, _HOOK):
            self._channel.exec_command(shell)
            self.given = True
        else:
            self._channel.event = self
            self._channel.exec_command(shell)

    @property
    def refused(self) -> bool:
        """Whether the channel was closed, and leave never given. Only where it was the host that closed it."""
        return bool(self._channel.closed) and not self.given

    def set(self) -> None:
        """An answer, or the end of the channel: paramiko marks the channel as closed before it says so here."""
        if not self._channel.closed:
            self.given = True

    def clear(self) -> None:
        """Nothing was answered yet."""

    def wait(self, _timeout: float | None = None) -> bool:
        """Do not wait."""
        setattr(self._channel, _HOOK, True)
        return True

    def is_set(self) -> bool:
        """Nothing is waited for."""
        return True


class _Bell:
    """Rings when bytes or an end arrive. Given to paramiko's buffers in place of an event, which they set and clear.

    `Channel.fileno` would do the same by a pipe; but its end may be written to after it was closed, when the number
    already belongs to another connection of this process.
    """

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        """Something arrived, in either stream."""
        self._event.set()

    def clear(self) -> None:
        """One stream is empty: nothing follows from that for the other."""

    def lower(self) -> None:
        """Listen for what comes from now on."""
        self._event.clear()

    def wait(self, seconds: float) -> None:
        """Wait until it rings."""
        self._event.wait(seconds)


def drained(
    channel: paramiko.Channel, streams: Streams, limit: float, is_over: Callable[[], bool] | None = None
) -> End:
    """Collect both streams until the answer is whole, the far side closes, or the limit passes."""
    bell: Any = _Bell()
    channel.in_buffer.set_event(bell)
    channel.in_stderr_buffer.set_event(bell)
    while not (is_over() if is_over is not None else streams.over):
        bell.lower()
        over = channel.closed or channel.eof_received  # asked first: what came before it is read below
        moved = False
        if channel.recv_ready():
            streams.out.feed(channel.recv(_CHUNK))
            moved = True
        if channel.recv_stderr_ready():
            streams.err.feed(channel.recv_stderr(_CHUNK))
            moved = True
        if moved:
            continue
        if over:
            return End.DONE
        left = limit - time.monotonic()
        if left <= 0:
            return End.TIMEOUT
        bell.wait(left)
    return End.DONE


def status_of(channel: paramiko.Channel) -> int | None:
    """The exit status, when one was really sent: paramiko's -1 stands for a signal and for a lost link alike."""
    channel.status_event.wait(2)
    status = channel.recv_exit_status() if channel.exit_status_ready() else -1
    return status if status >= 0 else None


def at_door(channel: paramiko.Channel, streams: Streams, door: Door, limit: float) -> str:
    """Let sudo be asked and answered; why it gave no shell, or nothing. Nothing of the order has been sent."""
    patience = min(limit, time.monotonic() + door.seconds)

    def over() -> bool:
        words = door.hear(streams)
        if words:
            channel.settimeout(max(0.001, patience - time.monotonic()))
            channel.sendall(words)
        return door.over

    end = drained(channel, streams, patience, over)
    return "" if door.is_open else door.closed(streams, waited=end is End.TIMEOUT)
