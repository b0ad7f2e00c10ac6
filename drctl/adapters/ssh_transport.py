"""One SSH link: opening it with every limit set, and carrying exchanges over it on raw channels.

fabric opens the connection; its `run` is never used, because it polls, reads output in quadratic time and gives -1 both
for a signal and for a lost link. What a link is for is decided in `ssh`.
"""

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import field
from typing import Any, cast

import fabric
import paramiko

from drctl.adapters.carrier import Carried, End, Order, Streams
from drctl.adapters.ssh_agent import Agent, AgentError
from drctl.adapters.ssh_certs import CERTIFIED
from drctl.adapters.ssh_channels import Leave, Opening, at_door, drained, status_of
from drctl.adapters.ssh_keys import HostKeyError, KeyFileError, Pins, PrivateKeys, fingerprint
from drctl.adapters.ssh_wire import Untimed, Wire
from drctl.adapters.stream_pump import pumped
from drctl.core.inventory import Host
from drctl.core.nouns import dataclass

CONNECT, BANNER, AUTH, CHANNEL = 10.0, 10.0, 15.0, 10.0  # seconds; each also bounded by what is left for the step
OPEN = 30.0  # seconds from the open TCP connection to the end of the login
_KEEPALIVE = 30  # seconds; keeps address translators awake, proves nothing (paramiko does not count the answers)
_AHEAD_BELOW = (
    4  # exchanges at once on a link, beyond which no channel is asked for ahead: a host has ten (MaxSessions)
)
_NOT_RUN = "denied: the host gave a channel and ran nothing on it. Next: on the host, the log of sshd says why"
_FROZEN = "frozen: the host stopped answering on an open link"
_BROKEN = (paramiko.SSHException, EOFError, OSError)  # what any word on a broken link may raise, closing included
_BUILDING = threading.Lock()  # fabric's Config is not thread-safe: 2 of 100 hosts were lost without this lock
# one for all links: making it costs as much as a handshake's cryptography. Nothing of a connection is ever set after it
# was made, for fabric would write it in here, where every other connection would find it
_CONFIG = fabric.Config(lazy=True, ssh_config=paramiko.SSHConfig())
_GCM_FIRST = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com")  # a third of the CPU of ctr + hmac

logging.getLogger("paramiko").addHandler(logging.NullHandler())
logging.getLogger("paramiko").propagate = False  # its tracebacks of a refused banner are no story for an operator

Dial = Callable[[float], socket.socket]


class LinkProblem(Exception):  # noqa: N818 - it is told in `because`, nobody catches it as an error of drctl
    """A link could not be opened, or a channel on it; `busy` when the host has no channel to spare just now."""

    def __init__(self, because: str, *, busy: bool = False) -> None:
        super().__init__(because)
        self.because = because
        self.busy = busy


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What logs in: keys are objects, read once."""

    keys: PrivateKeys
    password: str | None = None


def dial_tcp(host: str, port: int, seconds: float) -> socket.socket:
    """Open a TCP connection without Nagle's delay: a step is write-write-read, and would wait 40 ms each time.

    Raises:
        LinkProblem: which kind of silence or refusal it was.
    """
    limit = min(CONNECT, seconds)
    try:
        sock = socket.create_connection((host, port), timeout=max(0.001, limit))
    except ConnectionRefusedError:
        raise LinkProblem(f"refused: nothing listens at {host}:{port}") from None
    except socket.gaierror as error:
        raise LinkProblem(f"address: {host} cannot be resolved: {error.strerror}") from None
    except TimeoutError:
        raise LinkProblem(f"silent: no answer from {host}:{port} within {limit:.0f} s") from None
    except ConnectionResetError:
        raise LinkProblem(f"reset: {host}:{port} closed the connection before it said what it is") from None
    except OSError as error:
        raise LinkProblem(f"unreachable: {host}:{port}: {error.strerror or error}") from None
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.settimeout(None)
    return sock


def _transport_factory(pins: Pins, wire: Wire) -> Callable[..., paramiko.Transport]:
    def make(_sock: Any, **options: Any) -> paramiko.Transport:  # noqa: ANN401 - paramiko's own signature
        transport = paramiko.Transport(cast("socket.socket", wire), packetizer_class=Untimed, **options)
        security = transport.get_security_options()
        certified = [name for name in pins.types if name in CERTIFIED]  # paramiko offers none by itself
        offered = tuple(dict.fromkeys([*certified, *security.key_types]))
        # the pinned types first, or a host with two keys proves itself with the other one
        security.key_types = tuple(
            sorted(offered, key=lambda name: pins.types.index(name) if name in pins.types else len(pins.types))
        )
        security.ciphers = tuple(sorted(security.ciphers, key=lambda name: name not in _GCM_FIRST))
        return transport

    return make


class _Refusals(logging.Handler):
    """Keeps the words with which a host refused a channel: paramiko writes them to its log and nowhere else."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.last = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the newest."""
        text = record.getMessage()
        if "open FAILED" in text:
            self.last = text.partition("open FAILED: ")[2]


def open_link(host: Host, credentials: Credentials, dial: Dial, seconds: float) -> "Link":
    """Connect, check the host key and log in. Whoever opens a link has it looked after (`ssh_watch`).

    Raises:
        LinkProblem: refused, silent, reset, address, host key, or login, in its first word.
    """
    limit = time.monotonic() + seconds
    try:
        key = credentials.keys.get(host.login.key) if host.login.key else None
    except KeyFileError as error:
        raise LinkProblem(str(error)) from None
    if key is None and not host.login.agent and credentials.password is None:
        raise LinkProblem(f"login: the inventory gives no key, agent or password for {host.login.user}")
    agent = _agent(host, min(AUTH, seconds), needed=key is None and credentials.password is None)
    try:
        sock = dial(limit - time.monotonic())
        wire = Wire(sock, time.monotonic() + min(OPEN, max(0.1, limit - time.monotonic())))
        login = {"pkey": key, "password": credentials.password}
        return _opened(host, _connection(host, login, agent, wire), wire, agent)
    finally:
        if agent is not None:
            agent.close()


def _connection(host: Host, login: Mapping[str, Any], agent: Agent | None, wire: Wire) -> fabric.Connection:
    """A connection of fabric over a wire, with every limit set; nothing is said yet."""
    left, pins = max(0.1, wire.left), Pins(host)
    with _BUILDING:
        connection = fabric.Connection(
            host.address,
            user=host.login.user,
            port=host.port,
            config=_CONFIG,
            connect_timeout=left,
            connect_kwargs={
                **login,
                "sock": wire.sock,
                "allow_agent": agent is not None,
                "look_for_keys": False,
                "banner_timeout": min(BANNER, left),
                "auth_timeout": min(AUTH, left),
                "channel_timeout": CHANNEL,
                "transport_factory": _transport_factory(pins, wire),
            },
        )
    connection.client._agent = agent  # noqa: SLF001 - else paramiko opens one of its own, which it waits for without limit
    connection.client.set_missing_host_key_policy(pins)
    return connection


def _opened(host: Host, connection: fabric.Connection, wire: Wire, agent: Agent | None) -> "Link":
    """Log in; whatever goes wrong becomes one sentence. Raises LinkProblem."""
    refusals, channel = _Refusals(), f"paramiko.{id(connection):x}"
    logging.getLogger(channel).addHandler(refusals)
    connection.client.set_log_channel(channel)
    try:
        connection.open()
        transport: paramiko.Transport = connection.transport
        host_key = fingerprint(transport.get_remote_server_key().asbytes())
        transport.set_keepalive(_KEEPALIVE)
        wire.opened()
    except Exception as error:  # noqa: BLE001 - paramiko and the system raise what they like; each becomes one sentence
        with contextlib.suppress(OSError):
            wire.sock.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(Exception):
            connection.close()
        with contextlib.suppress(OSError):
            wire.sock.close()
        if agent is not None and agent.trouble:
            raise LinkProblem(f"login: {agent.trouble}") from None
        if wire.late:
            where = f"{host.address}:{host.port}"
            raise LinkProblem(f"silent: {where} stopped answering while the link was opened") from None
        raise LinkProblem(_said(host, error)) from None
    return Link(
        host=host, connection=connection, transport=transport, wire=wire, refusals=refusals, host_key=host_key
    )  # fmt: skip


def _agent(host: Host, seconds: float, *, needed: bool) -> Agent | None:
    """The agent of a login that may use one. Raises LinkProblem when it has nothing to give, and nothing else has."""
    if not host.login.agent:
        return None
    try:
        return Agent(seconds)
    except AgentError as error:
        if needed:
            raise LinkProblem(f"login: {error}") from None
        return None


def _silent(seconds: float) -> str:
    return f"silent: no answer within the {seconds:.1f} s that were left"


def _said(host: Host, error: Exception) -> str:  # noqa: PLR0911 - one line for each fault
    where = f"{host.address}:{host.port}"
    text = str(error)
    match error:
        case HostKeyError():
            return text
        case paramiko.BadAuthenticationType():
            return f"login: {where} takes {', '.join(error.allowed_types)} from {host.login.user}, not what was offered"
        case paramiko.AuthenticationException():
            if "timeout" in text.lower():
                return f"silent: {where} did not answer the login of {host.login.user}"
            return f"login: {where} refused {host.login.user}"
        case EOFError() | ConnectionResetError() | BrokenPipeError():
            return f"reset: {where} closed the connection while it was opened"
        case TimeoutError():
            return f"silent: {where} stopped answering while the link was opened"
        case paramiko.SSHException() if "banner" in text or "No existing session" in text or "timeout" in text.lower():
            cause = error.__cause__ or error.__context__
            if isinstance(cause, (EOFError, ConnectionResetError)):
                return f"reset: {where} closed the connection before it said what it is"
            return f"silent: {where} took the connection and then said nothing"
        case paramiko.SSHException() if "host key" in text.lower():
            return f"host key: {where} and the inventory have no type of host key in common: {text}"
    return f"link: {where}: {text or type(error).__name__}"


@dataclass(slots=True, kw_only=True)
class Link:
    """An open, logged-in connection; several threads use it at once, each on a channel of its own.

    `host_key` is the fingerprint the host proved itself with; `because` says why the link is no more.
    """

    host: Host
    connection: Any
    transport: paramiko.Transport
    wire: Wire
    refusals: _Refusals
    host_key: str
    identified: bool = False
    remarks: tuple[str, ...] = ()
    because: str = ""
    _owed: dict[paramiko.Channel, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _ahead: Opening | None = None
    _asks_ahead: bool = True
    _asked: float = 0.0  # when the host was asked whether it is there, while that is going on

    @property
    def alive(self) -> bool:
        """Whether the link is still thought to be there."""
        return self.transport.is_active() and not self.because

    def close(self, because: str = "closed by drctl") -> None:
        """Close; everything that waits on this link returns."""
        with self._lock:
            self.because = self.because or because
        with contextlib.suppress(Exception):
            self.transport.sock.shutdown(socket.SHUT_RDWR)  # wakes paramiko's thread, which closes it: no other may
        with contextlib.suppress(Exception):
            self.connection.close()
        for handler in list(logging.getLogger(self.transport.get_log_channel()).handlers):
            logging.getLogger(self.transport.get_log_channel()).removeHandler(handler)

    def channel(self, seconds: float, kind: str = "session", target: tuple[str, int] | None = None) -> paramiko.Channel:
        """Open a channel.

        Raises:
            LinkProblem: frozen or reset (the link is then closed), or busy.
        """
        try:
            source = ("127.0.0.1", 0) if target else None
            return self.transport.open_channel(kind, target, source, timeout=max(0.001, min(CHANNEL, seconds)))
        except paramiko.ChannelException as error:
            raise LinkProblem(f"busy: {self.refusals.last or error}", busy=True) from None
        except _BROKEN as error:
            if "Timeout opening channel" in str(error):
                if seconds >= CHANNEL:
                    self.close(_FROZEN)
            elif self.alive:  # paramiko keeps one exception for all threads: another one took the refusal away
                raise LinkProblem("busy: the host refused a channel", busy=True) from None
            else:
                self.close("reset: the link broke")
            raise LinkProblem(self.because or _silent(seconds)) from None

    def _session(self, seconds: float) -> paramiko.Channel:
        """The channel that was asked for ahead, or a new one. Raises LinkProblem as `channel` does."""
        with self._lock:
            opening, self._ahead = self._ahead, None
        if opening is not None:
            try:
                ready = opening.channel(min(CHANNEL, seconds))
            except TimeoutError:
                if seconds >= CHANNEL:
                    self.close(_FROZEN)
                raise LinkProblem(self.because or _silent(seconds)) from None
            if ready is not None:
                return ready
            self._asks_ahead = not opening.was_refused()
        return self.channel(seconds)

    def _ask_ahead(self) -> None:
        """Ask for the channel of the next exchange, so that it need not wait a round trip for it."""
        with self._lock:
            if not self._asks_ahead or self._ahead is not None or len(self._owed) > _AHEAD_BELOW:
                return
            self._asks_ahead = False  # one thread does, and says it without the lock: the watch takes that
        opening = Opening.asked(self.transport)
        with self._lock:
            self._ahead, self._asks_ahead = opening, opening is not None

    def forward(self, seconds: float, target: tuple[str, int]) -> socket.socket:
        """Open a TCP connection from the host, as a real socket of this process.

        Raises:
            LinkProblem: busy, with the words of the host, when it could or would not; else as `channel`.
        """
        self.refusals.last = ""
        # not the bare channel: its "Socket is closed" kills paramiko's thread before it has told anyone
        return pumped(self.channel(seconds, "direct-tcpip", target))

    @contextlib.contextmanager
    def watched(self, channel: paramiko.Channel, limit: float) -> Iterator[None]:
        """While an answer is owed, the host is asked again and again whether it is there; a frozen link is closed."""
        with self._lock:
            self._owed[channel] = limit
        try:
            yield
        finally:
            with self._lock:
                del self._owed[channel]
            with contextlib.suppress(*_BROKEN):
                channel.close()

    def look_after(self) -> None:
        """Close channels past their limit: paramiko waits for the answer to `exec` without any. Ask if any is owed.

        Every word to the host waits behind what is being sent, so no word is said here. Where the kernel takes nothing
        any more, not even the question goes out: then the link is closed.
        """
        now = time.monotonic()
        with self._lock:
            owed = dict(self._owed)
            ask = bool(owed) and not self._asked
            stuck = self._asked and now - max(self._asked, self.wire.moved) > CHANNEL
            self._asked = now if ask else self._asked
        if stuck:
            self.close(_FROZEN)
        late = [channel for channel, limit in owed.items() if now > limit + 1]
        if late:
            threading.Thread(target=self._hang_up, args=(late,), daemon=True, name="drctl-late").start()
        if ask:
            try:
                threading.Thread(target=self._ask_after, daemon=True, name="drctl-ask").start()
            except RuntimeError:  # this machine has no thread to spare, which says nothing of the host
                self._asked = 0.0
                raise

    def _hang_up(self, channels: list[paramiko.Channel]) -> None:
        for channel in channels:
            with contextlib.suppress(*_BROKEN):
                channel.close()

    def _ask_after(self) -> None:
        """Ask whether the host is there: one that refuses a channel is, a frozen one is closed."""
        try:
            with contextlib.suppress(LinkProblem, *_BROKEN):
                self.channel(CHANNEL).close()
        finally:
            self._asked = 0.0

    def exchange(self, order: Order, seconds: float) -> Carried:
        """Carry one order on a channel of its own."""
        limit = time.monotonic() + seconds
        streams, key = Streams(order), self.host_key
        try:
            channel = self._session(seconds)
        except LinkProblem as problem:
            if problem.busy:
                raise
            return streams.carried(End.NO_LINK, because=problem.because, host_key=key)
        leave, refused = Leave(channel), ""
        with self.watched(channel, limit):
            try:
                refused = self._ask(leave, channel, order, streams, limit)
                end = End.REFUSED if refused else self._carry(channel, order, streams, limit)
            except TimeoutError:  # here and below: before a word of the order was sent
                end = End.TIMEOUT
            except _BROKEN:
                end = End.TIMEOUT if time.monotonic() >= limit and self.alive else End.NO_LINK
            status = status_of(channel) if end is End.DONE and not streams.over else None
        if end is End.DONE and status is None and not streams.over:
            end = End.LOST
        silent = not (streams.out.head or streams.err.head)
        if end is End.LOST and silent and leave.refused and self._answers(limit - time.monotonic()):
            end, refused = End.NO_LINK, _NOT_RUN
        # what a signal killed has no exit code, and the link is in order
        in_order = channel.eof_received and self.alive
        lost = "ended: a signal killed the shell on the host" if in_order else "reset: the link broke"
        because = "" if end in (End.DONE, End.TIMEOUT) else refused or self.because or lost
        return streams.carried(end, because=because, status=status, host_key=key)

    def _answers(self, seconds: float) -> bool:
        """Whether the host is there: paramiko closes the channels of a broken link before it says that it broke."""
        try:
            self.channel(seconds).close()
        except LinkProblem as problem:
            return problem.busy and self.alive
        return True

    def _ask(self, leave: Leave, channel: paramiko.Channel, order: Order, streams: Streams, limit: float) -> str:
        """Ask for the shell of an order; why its door stayed shut, or nothing.

        Raises:
            EOFError: the link broke, and nothing was sent; or what else any word on a broken link raises.
        """
        leave.ask(order.shell, waits=order.door is not None or order.once)
        refused = at_door(channel, streams, order.door, limit) if order.door is not None else ""
        if refused and not self.alive:
            raise EOFError  # not sudo hung up
        return refused

    def _carry(self, channel: paramiko.Channel, order: Order, streams: Streams, limit: float) -> End:
        """Send what the order says, and collect what comes back."""
        try:
            for chunk in order.stdin:
                channel.settimeout(max(0.001, limit - time.monotonic()))
                channel.sendall(chunk)
            channel.shutdown_write()
            self._ask_ahead()
            return drained(channel, streams, limit)
        except TimeoutError:
            return End.TIMEOUT
        except _BROKEN:
            return End.TIMEOUT if time.monotonic() >= limit and self.alive else End.LOST
