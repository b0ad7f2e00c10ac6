"""The invoice service's connections to PostgreSQL: few, each wait bounded, none piled up behind a commit that hangs.

A commit hangs when synchronous replication has no standby. The client is then told 503, but the connection keeps its
slot until the commit ends: ending it by force would make the commit visible before it is replicated, and opening
another for every retry would use up the server. What is said in SQL is left to `invoices_store`.
"""

from __future__ import annotations

import select
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import pg8000.native
from pg8000.exceptions import DatabaseError, InterfaceError

from drctl.lab.service import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

STATEMENT_MS = 2000
"""A statement that waits longer (a row lock behind a hanging commit) is ended by the server."""
ANSWER_SECONDS = 3.0
"""A server that has not answered by then hangs; longer than STATEMENT_MS, shorter than the gateway waits."""
CONNECT_SECONDS = 1.5
SLOT_SECONDS = 1.0

_LOST = ("57P", "08", "53300", "25P03", "XX")
_LATER = {"57014": "a statement took too long", "55P03": "a row is locked", "40001": "conflict", "40P01": "deadlock"}
_READ_ONLY = "25006"


class Unavailable(Refusal):
    """The database cannot do it now; the client may try again with the same key."""

    def __init__(self, reason: str) -> None:
        super().__init__(503, reason)


class Raced(Exception):  # noqa: N818 - a signal to begin the transaction anew, never seen by a client
    """Another transaction with the same idempotency key committed first."""


@dataclass(slots=True, kw_only=True)
class Link:
    """One connection and its socket."""

    connection: pg8000.native.Connection
    socket: socket.socket
    used: bool = False

    def run(self, sql: str, **values: object) -> list[list[object]]:
        """Run one statement; values are named `:name` in it."""
        return self.connection.run(sql, **values) or []

    def allow(self, seconds: int) -> None:
        """Wait so long for each answer within this transaction: for one that is known to be large."""
        self.run(f"SET LOCAL statement_timeout = '{seconds:d}s'")
        self.socket.settimeout(seconds + 1)

    def commit(self) -> None:
        """Commit, and believe it only without a notice: a cancelled wait for the standby is told as a mere warning."""
        self.connection.notices.clear()
        self.connection.run("COMMIT")
        if self.connection.notices:
            raise Unavailable("the commit is not confirmed by the standby")

    def close(self) -> None:
        """Close, whatever state it is in."""
        with suppress(Exception):
            self.connection.close()
        with suppress(OSError):
            self.socket.close()


class Database:
    """At most `slots` connections over one unix socket; thread-safe; reconnects by itself."""

    def __init__(self, *, socket_dir: str, user: str, database: str, slots: int) -> None:
        self._path = f"{socket_dir}/.s.PGSQL.5432"
        self._user = user
        self._database = database
        self._free = threading.Semaphore(slots)
        self._lock = threading.Lock()
        self._idle: list[Link] = []
        self._hanging: list[Link] = []

    def run(self, work: Callable[[Link], T], *, again: bool = True) -> T:
        """Do `work` on a connection.

        Args:
            work: may be called a second time on a new connection, when the first turns out to be lost.
            again: False when `work` must not be repeated.

        Raises:
            Unavailable: no connection, too slow, read-only or ended; whether a commit took effect is unknown.
        """
        while True:
            link = self._take()
            stale = link.used
            link.used = True
            try:
                result = work(link)
            except (InterfaceError, OSError) as error:  # pg8000 wraps some errors of the socket and lets others through
                if isinstance(error, TimeoutError) or isinstance(error.__cause__, TimeoutError):
                    self._leave_hanging(link)
                    raise Unavailable(f"the database did not answer within {ANSWER_SECONDS:g} s") from error
                self._drop(link)
                if not (stale and again):
                    raise Unavailable(f"the connection to the database was lost: {error}") from error
            except DatabaseError as error:
                code, text = _fields(error)
                lost = code.startswith(_LOST)
                self._drop(link) if lost else self._reset(link)
                if not (lost and stale and again):
                    raise _meaning(code, text) from error
            except BaseException:
                self._reset(link)
                raise
            else:
                self._give_back(link)
                return result

    def transaction(self, work: Callable[[Link], T], *, again: bool = True) -> T:
        """Do `work` between BEGIN and COMMIT; begins anew when it lost a race for an idempotency key."""

        def whole(link: Link) -> T:
            link.run("BEGIN")
            result = work(link)
            link.commit()
            return result

        for _ in range(3):
            with suppress(Raced):
                return self.run(whole, again=again)
        raise Unavailable("too many requests with the same key at once")

    def hanging(self) -> int:
        """How many connections wait for a commit or statement that the server has not ended."""
        self._reap()
        with self._lock:
            return len(self._hanging)

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            links, self._idle, self._hanging = self._idle + self._hanging, [], []
        for link in links:
            link.close()

    def _take(self) -> Link:
        self._reap()
        if not self._free.acquire(timeout=SLOT_SECONDS):
            raise Unavailable("every connection to the database is busy: commits may be waiting for the standby")
        with self._lock:
            link = self._idle.pop() if self._idle else None
        if link is not None:
            return link
        try:
            return self._connect()
        except BaseException:
            self._free.release()
            raise

    def _connect(self) -> Link:
        plug = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        plug.settimeout(CONNECT_SECONDS)
        limits = {"statement_timeout": str(STATEMENT_MS), "idle_in_transaction_session_timeout": "10000"}
        try:
            plug.connect(self._path)
            connection = pg8000.native.Connection(
                self._user,
                database=self._database,
                sock=plug,
                ssl_context=False,
                application_name="invoices",
                startup_params={"client_min_messages": "warning", "timezone": "UTC", **limits},
            )
        except (OSError, InterfaceError) as error:
            plug.close()
            raise Unavailable(f"the database does not answer: {error}") from error
        except DatabaseError as error:
            plug.close()
            raise Unavailable(f"the database refuses connections: {_fields(error)[1]}") from error
        plug.settimeout(ANSWER_SECONDS)
        return Link(connection=connection, socket=plug)

    def _give_back(self, link: Link) -> None:
        link.socket.settimeout(ANSWER_SECONDS)
        with self._lock:
            self._idle.append(link)
        self._free.release()

    def _drop(self, link: Link) -> None:
        link.close()
        self._free.release()

    def _reset(self, link: Link) -> None:
        """End a failed transaction; a connection on which even that fails is of no more use."""
        try:
            link.run("ROLLBACK")
        except (InterfaceError, DatabaseError, OSError):
            self._drop(link)
        else:
            self._give_back(link)

    def _leave_hanging(self, link: Link) -> None:
        with self._lock:
            self._hanging.append(link)

    def _reap(self) -> None:
        """Free the slots of connections on which the server has answered at last, or that it closed."""
        with self._lock:
            if not self._hanging:
                return
            ready, _, _ = select.select([link.socket for link in self._hanging], [], [], 0)
            done = [link for link in self._hanging if link.socket in ready]
            self._hanging = [link for link in self._hanging if link.socket not in ready]
        for link in done:
            self._drop(link)


def _fields(error: DatabaseError) -> tuple[str, str]:
    """SQLSTATE and message of a server's error."""
    fields = error.args[0] if error.args and isinstance(error.args[0], dict) else {}
    return str(fields.get("C", "")), str(fields.get("M", error))


def _meaning(code: str, text: str) -> Exception:
    """What a server's error is to the client."""
    if code == _READ_ONLY:
        return Unavailable("the database is read-only")
    if code in _LATER:
        return Unavailable(f"{_LATER[code]}: {text}")
    if code.startswith(_LOST):
        return Unavailable(f"the database ended the connection: {text}")
    return RuntimeError(f"SQLSTATE {code}: {text}")


class Beat:
    """Calls `tick` every `seconds` on a thread of its own until stopped; knows when it last succeeded."""

    def __init__(self, seconds: float, tick: Callable[[], bool], failed: Callable[[Refusal], None]) -> None:
        self._seconds = seconds
        self._tick = tick
        self._failed = failed
        self._ending = threading.Event()
        self._last_success: float | None = None
        self._thread = threading.Thread(target=self._loop, name="beat", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; waits for a tick under way."""
        self._ending.set()
        self._thread.join(timeout=ANSWER_SECONDS + SLOT_SECONDS + 1)

    def age_ms(self) -> int | None:
        """Milliseconds since the last tick that succeeded; None before the first."""
        last = self._last_success
        return None if last is None else int((time.monotonic() - last) * 1000)

    def _loop(self) -> None:
        while True:
            try:
                self._last_success = time.monotonic() if self._tick() else None
            except Refusal as refusal:
                self._failed(refusal)
            if self._ending.wait(self._seconds):
                return
