"""A link held by OpenSSH's own client: for security keys, GSSAPI and Match rules, which paramiko does not know.

One `ssh` a host logs in and stays as its master; commands go through its control socket, by `openssh_mux`. What it is
started with, and what its words mean, is `openssh_words`. Nothing outlives drctl: beside each master waits a shell
whose only input is a pipe from here; when that closes, however drctl ended, it ends the master's whole process group.
"""

import contextlib
import functools
import os
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from dataclasses import field
from pathlib import Path

from drctl.adapters.become import Door
from drctl.adapters.carrier import Carried, End, Order, Streams
from drctl.adapters.openssh_mux import MuxError, Session, open_session, open_tunnel, terminate
from drctl.adapters.openssh_words import Files, Told, arguments, known_hosts, refused_way
from drctl.adapters.ssh_transport import CHANNEL, OPEN, LinkProblem
from drctl.adapters.stream_pump import pumped
from drctl.core.inventory import Host
from drctl.core.nouns import dataclass

PROGRAM: tuple[str, ...] = ("ssh",)
_ROOM = 80  # bytes of a folder's name: a socket's is bounded by 104 in all, and ssh appends 18 while it makes one
_LOOK = 0.02  # seconds between two looks for the control socket, when the log says nothing meanwhile
_STATUS = 2.0  # seconds from the end of both streams to the exit status
_CLOSED = "closed by drctl"
_END = 2.0  # seconds a master has to end when it is told to
_CHUNK = 65536
_TAIL = 16384  # bytes kept of what a master says: its last words tell why it ended
# the shell that waits holds the number of the group: no other process can be given it, and none else can be hit
_TIED = """
exec 3<&0
(read -r x <&3; rm -rf -- "$0"; kill -s KILL -- "-$$") >/dev/null 2>&1 &
exec "$@" </dev/null 3<&-
"""


class Tied:
    """A master as a process of its own session, with a private folder, ended with drctl itself at the latest.

    Args:
        host: which.
        name: what its keys are looked up as, and its certificate must name.
        through: the control socket of the host on the way.

    Raises:
        LinkProblem: no process could be started.
    """

    def __init__(self, host: Host, name: str, through: str | None) -> None:
        self.up = False  # from then on only the newest words are kept
        self._lock = threading.Lock()
        self._text = bytearray()
        with contextlib.ExitStack() as undo:
            try:
                self._start(host, name, through, undo)
            except OSError as error:
                raise LinkProblem(f"link: ssh could not be started: {error}") from None
            undo.pop_all()

    def _start(self, host: Host, name: str, through: str | None, undo: contextlib.ExitStack) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="drctl-ssh-", dir=_short()))
        undo.callback(shutil.rmtree, self._folder, ignore_errors=True)
        self.socket, log, known = (str(self._folder / name) for name in ("s", "log", "known_hosts"))
        argv = arguments(host, name, Files(socket=self.socket, known_hosts=known, log=log), through, settings_known())
        with open(known, "x", encoding="utf-8", opener=_private) as file:
            file.write(known_hosts(host))
        os.mkfifo(log, 0o600)
        self._log = os.open(log, os.O_RDONLY | os.O_NONBLOCK)
        undo.callback(os.close, self._log)
        theirs, self._life = os.pipe()
        undo.callback(os.close, self._life)
        try:
            with (self._folder / "err").open("wb") as err:
                self.process = subprocess.Popen(
                    ["/bin/sh", "-c", _TIED, str(self._folder), *PROGRAM, *argv],
                    stdin=theirs, stdout=subprocess.DEVNULL, stderr=err, start_new_session=True,
                )  # fmt: skip
        finally:
            os.close(theirs)

    @property
    def alive(self) -> bool:
        """Whether the process is there."""
        return self.process.poll() is None

    def ended_within(self, seconds: float) -> bool:
        """Wait for its end; says whether it came."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def wait_up(self, seconds: float) -> bool:
        """Wait until commands can be sent, the process ends, or time is over; says whether it is up."""
        limit = time.monotonic() + seconds
        news = select.poll()  # not `select`, which knows the first 1024 descriptors only
        news.register(self._log, select.POLLIN)
        while not Path(self.socket).exists():
            left = min(_LOOK, limit - time.monotonic())
            if left <= 0 or not self.alive:
                return False
            # a pipe that everybody closed is no news: the process is waited for then
            if news.poll(left * 1000) and not self.drain():
                self.ended_within(left)
        return self.alive

    def drain(self) -> bool:
        """Take what was logged: a full pipe would halt the master. Says whether there was anything."""
        with self._lock:
            if self._log < 0:
                return False
            try:
                data = os.read(self._log, _CHUNK)
            except BlockingIOError:
                return False
            self._text += data
            if self.up:
                del self._text[:-_TAIL]
            return bool(data)

    def said(self) -> Told:
        """What it, and whatever it started, has said."""
        while self.drain():
            pass
        err = b""
        with contextlib.suppress(OSError):
            err = (self._folder / "err").read_bytes()[-_TAIL:]
        with self._lock:
            return Told(log=self._text.decode("utf-8", "replace"), err=err.decode("utf-8", "replace"))

    def end(self) -> None:
        """End it and all it started; the folder goes too. Safe to repeat."""
        with self._lock:
            if self._log < 0:
                return
            os.close(self._log)
            self._log = -1
        with contextlib.suppress(OSError):
            os.killpg(self.process.pid, signal.SIGKILL)  # the waiting shell still holds the group's number
        self.process.wait()
        os.close(self._life)
        shutil.rmtree(self._folder, ignore_errors=True)


def open_master(host: Host, way: "Master | None", seconds: float) -> "Master":
    """Have the system's client connect, check the host key and log in; `way` is the master of the host before it.

    Raises:
        LinkProblem: refused, silent, reset, address, unreachable, host key or login, in its first word.
    """
    limit = time.monotonic() + min(OPEN, seconds)
    _refuse(host)
    name, tried = host.address, set[str]()
    while True:
        tied = Tied(host, name, way.tied.socket if way is not None else None)
        if tied.wait_up(limit - time.monotonic()):
            told = tied.said()
            if not told.names_nobody(host):
                tied.up = True
                return Master(host=host, tied=tied, host_key=told.host_key, remarks=told.remarks)
            because = told.stranger(host, " and a certificate: it names no host at all, as far as ssh says")
        else:
            ended = not tied.alive
            told = tied.said()
            because = told.problem(host, ended=ended)
            if way is not None and told.way_refused:
                because = f"{refused_way(host, way.refusal())} (on the way, at {way.host.name})"
        tied.end()
        # a certificate may name the host by its other name, or by a pattern, which ssh takes for a name like any other
        tried.add(name)
        name = told.certified_name(host)
        if not name or name in tried:
            raise LinkProblem(because)


@functools.cache
def settings_known() -> frozenset[str]:
    """The settings that the ssh of this machine lists, in small letters; asked once.

    Raises:
        OSError: it lists none.
    """
    told = subprocess.run([PROGRAM[0], "-F", "none", "-G", "-T", "any"], capture_output=True, text=True, check=False)
    found = frozenset(line.split(" ", 1)[0] for line in told.stdout.splitlines())
    if "stricthostkeychecking" not in found:
        raise OSError(f"{PROGRAM[0]} -G lists no settings: {told.stderr.strip()[:200]}")
    return found


def _refuse(host: Host) -> None:
    """Refuse what would be tried in vain, or unsafely."""
    login = host.login
    if login.password is not None:
        raise LinkProblem(
            "login: the inventory gives a password, which the ssh of this machine takes from a terminal only. Next: use"
            " a key, an agent or GSSAPI; or --transport fabric, which sends passwords"
        )
    if login.key is not None:
        try:
            with Path(login.key).expanduser().open("rb"):
                pass
        except OSError as error:
            raise LinkProblem(f"login: key {login.key} cannot be read: {error.strerror}") from None


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _short() -> str:
    """A folder for sockets: their names are short, and free of what ssh would read as more than a name."""
    found = tempfile.gettempdir()
    plain = found.isascii() and all(letter.isalnum() or letter in "/._-" for letter in found)
    return found if plain and len(found) <= _ROOM - len("/drctl-ssh-12345678/") else "/tmp"  # noqa: S108 - a folder of its own is made in it


@dataclass(slots=True, kw_only=True)
class Master:
    """An open, logged-in connection, held by an `ssh` process; each exchange is a session of its own through it.

    `host_key` is the fingerprint the host proved itself with; `because` says why the link is no more.
    """

    host: Host
    tied: Tied
    host_key: str
    remarks: tuple[str, ...] = ()
    identified: bool = False
    because: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def alive(self) -> bool:
        """Whether the link is still thought to be there."""
        self.tied.drain()  # asked before each use of it
        return not self.because and self.tied.alive

    def close(self, because: str = _CLOSED) -> None:
        """End the master; everything that waits on this link returns."""
        with self._lock:
            if self.because:
                return
            self.because = because if self.tied.alive else self.tied.said().end
            if because == _CLOSED and self.tied.alive:
                self._tell_to_end()
            self.tied.end()

    def _tell_to_end(self) -> None:
        """As `ssh -O exit` does; it may end before its answer is out."""
        try:
            terminate(self.tied.socket, _END)
        except MuxError as error:
            if error.silent:
                return
        self.tied.ended_within(_END)

    def refusal(self) -> str:
        """The words with which the host refused the newest channel."""
        return self.tied.said().refusal

    def forward(self, seconds: float, target: tuple[str, int]) -> socket.socket:
        """Open a TCP connection from the host, as a real socket of this process.

        Raises:
            LinkProblem: busy, with the words of the host, when it could or would not; else frozen, silent or reset.
        """
        try:
            return pumped(open_tunnel(self.tied.socket, target, max(0.001, seconds)))
        except MuxError as error:
            if error.silent:  # it may be the far place that is silent, which says nothing against the link
                raise LinkProblem(f"silent: no answer within {seconds:.1f} s") from None
            raise self._problem(error, seconds) from None

    def _session(self, command: str, seconds: float) -> Session:
        try:
            return open_session(self.tied.socket, command, max(0.001, min(CHANNEL, seconds)))
        except MuxError as error:
            raise self._problem(error, seconds) from None

    def _problem(self, error: MuxError, seconds: float) -> LinkProblem:
        """What it means that there is no channel. Nothing was sent on it."""
        if error.refused:
            words = self.refusal() if "by peer" in error.because else ""
            return LinkProblem(f"busy: {words or error.because}", busy=True)
        if error.silent and seconds < CHANNEL:
            return LinkProblem(f"silent: no answer within the {seconds:.1f} s that were left")
        if error.silent:
            self.close("frozen: the host stopped answering on an open link")
        else:
            self.tied.ended_within(_STATUS)
            self.close(f"link: {error.because}")
        return LinkProblem(self.because)

    def exchange(self, order: Order, seconds: float) -> Carried:
        """Carry one order in a session of its own.

        Raises:
            LinkProblem: busy, the host has no channel to spare.
        """
        limit = time.monotonic() + seconds
        streams, key = Streams(order), self.host_key
        try:
            session = self._session(order.shell, seconds)
        except LinkProblem as problem:
            if problem.busy:
                raise
            return streams.carried(End.NO_LINK, because=problem.because, host_key=key)
        with contextlib.closing(session):
            refused = self._at_door(session, streams, order.door, limit) if order.door is not None else None
            if refused is not None:
                return streams.carried(refused[0], because=refused[1], host_key=key)
            end = session.pipes.converse(streams, limit, order.stdin)
            status = session.control.exit_status(_STATUS) if end is End.DONE and not streams.over else None
            if end is End.DONE and status is None and not streams.over:
                end = End.LOST if session.pipes.sent else End.NO_LINK
        because = "" if end in (End.DONE, End.TIMEOUT) else self._gone(hung_up=session.control.hung_up)
        return streams.carried(end, because=because, status=status, host_key=key)

    def _gone(self, *, hung_up: bool) -> str:
        """Why a channel ended before its time; the master's last words come just before its end.

        `hung_up`: the master says that the channel is over. It does not say whether anything was started there.
        """
        if self.because or self.tied.ended_within(_STATUS / 4):
            return self.because or self.tied.said().end
        if hung_up:
            return "ended: the shell on the host, if it began, ended without an exit code, as by a signal"
        return "reset: no exit code came, on a link that is still there"

    def _at_door(self, session: Session, streams: Streams, door: Door, limit: float) -> tuple[End, str] | None:
        """Let sudo be asked and answered; how it refused, if so. Nothing of the order has been sent."""
        patience = min(limit, time.monotonic() + door.seconds)

        def over() -> bool:
            words = door.hear(streams)
            if words:
                session.pipes.say(words)
            return door.over

        end = session.pipes.listen(streams, patience, over)
        if door.is_open:
            return None
        hung_up = end is End.DONE and not door.over and session.control.exit_status(_STATUS) is None
        if hung_up and self.tied.ended_within(_STATUS / 4):
            return End.NO_LINK, self._gone(hung_up=True)  # not sudo ended: the link broke
        return End.REFUSED, door.closed(streams, waited=end is End.TIMEOUT)
