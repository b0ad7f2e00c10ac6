"""Hosts over SSH: one link a host, opened when needed and opened again after a loss, shared by all threads.

What is said over a link is `claims`; how it is opened is `ssh_transport` (fabric) or `openssh` (the client of this
machine); which keys are believed is `ssh_keys`. Of `~/.ssh/config` nothing is read here: what the inventory leans on it
for is read with it, and frozen with the run. OpenSSH's client reads it by itself.
"""

import contextlib
import functools
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Protocol

from drctl.adapters import claim_text, host_check
from drctl.adapters.become import Sudo
from drctl.adapters.carrier import Carried, End, Order, exec_text
from drctl.adapters.claims import ClaimedShell
from drctl.adapters.dns import NameServers
from drctl.adapters.host_check import Asked, Findings
from drctl.adapters.http import UrllibHttp
from drctl.adapters.identity import Ask, asks
from drctl.adapters.link_words import advised
from drctl.adapters.openssh import Master, open_master
from drctl.adapters.ssh_keys import PrivateKeys
from drctl.adapters.ssh_transport import Credentials, LinkProblem, dial_tcp, open_link
from drctl.adapters.ssh_watch import Watch
from drctl.core.dns import Dns
from drctl.core.inventory import Host, Inventory, SecretRef
from drctl.core.nouns import replace
from drctl.core.ports import ClaimShell, Command, Dialer, Http, PortReply, PortState, Reach
from drctl.core.transports import FABRIC, OPENSSH
from drctl.core.values import Duration, Secret
from drctl.errors import DefectError, DrctlError

_CHANNELS = 8  # at once on one link: sshd allows 10 (MaxSessions), two are kept back for ending commands and for pings
_REFUSALS = 3  # times that a host is asked again which ran nothing on a channel of a link that is there
_BUSY_PAUSE = 0.1  # seconds until a host that had no channel to spare is asked again


class Link(Protocol):
    """An open, logged-in connection to a host that proved itself. Safe to use from several threads."""

    identified: bool
    remarks: tuple[str, ...]  # what a person should know of it
    host_key: str  # the fingerprint the host proved itself with

    @property
    def alive(self) -> bool:
        """Whether it is still thought to be there."""
        ...

    def exchange(self, order: Order, seconds: float) -> Carried:
        """Carry one order. Raises LinkProblem, busy, when the host has no channel to spare."""
        ...

    def forward(self, seconds: float, target: tuple[str, int]) -> socket.socket:
        """Open a TCP connection from the host. Raises LinkProblem."""
        ...

    def close(self, because: str = "closed by drctl") -> None:
        """Close; everything that waits on it returns."""
        ...


class SshHosts:
    """All hosts of an inventory. `close` ends every link.

    Args:
        inventory: the hosts.
        resolve_secret: gives a login password at the moment of use.
        transport: what opens the links: `fabric`, or `openssh`, the system's own client.
    """

    def __init__(
        self, inventory: Inventory, resolve_secret: Callable[[SecretRef], Secret], transport: str = FABRIC
    ) -> None:
        self._inventory = inventory
        self._resolve = resolve_secret
        self._opener = {FABRIC: self._by_fabric, OPENSSH: _by_openssh}[transport]
        self._keys = PrivateKeys()
        self._watch = Watch()
        self._lock = threading.Lock()
        self._carriers: dict[tuple[str, ...], HostCarrier] = {}
        self._shells: dict[str, ClaimedShell] = {}

    def shell(self, host_name: str) -> ClaimShell:
        """The shell of a host; nothing is connected yet."""
        host = self._inventory.hosts[host_name]
        carrier = self.carrier(host_name)
        with self._lock:
            if host_name not in self._shells:
                self._shells[host_name] = ClaimedShell(carrier, host_name, host.state_dir, sudo=self._sudo(host))
            return self._shells[host_name]

    def dialer(self, host_name: str) -> Dialer:
        """TCP connects as the host sees them."""
        return LinkDialer(self.carrier(host_name))

    def dns(self, host_name: str) -> Dns:
        """Questions to name servers, by TCP through the host's link."""
        return NameServers(self.carrier(host_name).connect)

    def http(self, host_name: str) -> Http:
        """HTTP as the host sees it."""
        return UrllibHttp(self.carrier(host_name).connect)

    def check(self, host_name: str) -> Findings:
        """Preflight: why acts cannot be claimed on this host, if so, and what else to know. Changes nothing."""
        host = self._inventory.hosts[host_name]
        return self.carrier(host_name).check(host.state_dir or "")

    def close(self) -> None:
        """Close every link; commands go on, claims stay."""
        with self._lock:
            carriers = list(self._carriers.values())
        for carrier in reversed(carriers):
            carrier.close()

    def carrier(self, host_name: str, via: tuple[str, ...] | None = None) -> "HostCarrier":
        """The link to a host, through its jump hosts."""
        host = self._inventory.hosts[host_name]
        via = host.login.via if via is None else via
        with self._lock:
            found = self._carriers.get((*via, host_name))
        if found is not None:
            return found
        hop = self.carrier(via[-1], via[:-1]) if via else None
        made = HostCarrier(host, functools.partial(self._opener, host, hop), self._asks)
        with self._lock:
            return self._carriers.setdefault((*via, host_name), made)

    def _by_fabric(self, host: Host, hop: "HostCarrier | None", seconds: float) -> Link:
        def dial(seconds: float) -> socket.socket:
            if hop is None:
                return dial_tcp(host.address, host.port, seconds)
            limit = time.monotonic() + seconds
            with _on_the_way(hop):
                return hop.link(limit).forward(limit - time.monotonic(), (host.address, host.port))

        link = open_link(host, self._credentials(host), dial, seconds)
        self._watch.add(link)  # ssh asks its hosts for a sign of life by itself
        return link

    def _sudo(self, host: Host) -> Sudo:
        ref = host.become_password
        password = None if ref is None else functools.partial(self._resolve, ref)
        return Sudo(host=host.name, login=host.login.user, password=password)

    def _asks(self, host: Host) -> list[Ask]:
        return asks(host, self._inventory.databases, self._resolve)

    def _credentials(self, host: Host) -> Credentials:
        try:
            password = self._resolve(host.login.password).reveal() if host.login.password else None
        except DrctlError as error:
            raise LinkProblem(f"login: {error.what}") from None
        return Credentials(keys=self._keys, password=password)


class HostCarrier:
    """Carries orders to one host: opens its link when needed, asks who the machine is before the first act on it."""

    def __init__(self, host: Host, opener: Callable[[float], Link], asks: Callable[[Host], list[Ask]]) -> None:
        self._host = host
        self._open = opener
        self._asks = asks
        self._opening = threading.Lock()
        self._link: Link | None = None
        self._channels = threading.BoundedSemaphore(_CHANNELS)

    @property
    def name(self) -> str:
        """The host's."""
        return self._host.name

    def exchange(self, order: Order) -> Carried:
        """Carry one order. A link found dead is opened again, as long as nothing was sent."""
        limit = time.monotonic() + order.seconds
        refusals = 0
        try:
            with self._slot(order, limit):
                while True:
                    fresh = self._link is None
                    link = self.link(limit)
                    try:
                        stranger = self._identify(link, limit) if order.act and not link.identified else None
                        carried = stranger or link.exchange(order, limit - time.monotonic())
                    except LinkProblem as problem:  # the host has no channel to spare
                        if limit - time.monotonic() <= _BUSY_PAUSE:
                            return Carried(end=End.NO_LINK, because=problem.because)
                        time.sleep(_BUSY_PAUSE)
                        continue
                    if carried.end is not End.NO_LINK or order.taken or limit - time.monotonic() <= _BUSY_PAUSE:
                        return carried
                    if link.alive and refusals < _REFUSALS:  # it ran nothing, and others go on over the same link
                        refusals += 1
                        time.sleep(_BUSY_PAUSE)
                    elif fresh or link.alive:
                        return carried
                    else:
                        self._drop(link)
        except LinkProblem as problem:
            return Carried(end=End.NO_LINK, because=advised(problem.because, self._host))

    def link(self, limit: float) -> Link:
        """The open link, or a new one.

        Raises:
            LinkProblem: it cannot be opened.
        """
        if not self._opening.acquire(timeout=max(0.0, limit - time.monotonic())):
            raise LinkProblem(f"silent: the link to {self._host.name} was not open within the time that was left")
        try:
            if self._link is not None and not self._link.alive:
                self._link.close("reset: the link broke")
                self._link = None
            if self._link is None:
                self._link = self._open(limit - time.monotonic())
            return self._link
        finally:
            self._opening.release()

    def connect(self, host: str, port: int, seconds: float) -> socket.socket:
        """Open a TCP connection as the host sees it, as a real socket of this process.

        Raises:
            OSError: ConnectionRefusedError only when the host said so itself.
        """
        limit = time.monotonic() + seconds
        try:
            return self.link(limit).forward(limit - time.monotonic(), (host, port))
        except LinkProblem as problem:
            words = problem.because.lower()
            if problem.busy and ("refused" in words or "errno 111" in words):
                raise ConnectionRefusedError(f"{host}:{port} refused, seen from {self._host.name}") from None
            if (problem.busy and "timed out" in words) or problem.because.startswith("silent"):
                raise TimeoutError(f"no answer from {host}:{port}, seen from {self._host.name}") from None
            raise OSError(f"seen from {self._host.name}: {problem.because}") from None

    def check(self, state_dir: str) -> Findings:
        """Look whether acts can be claimed here, and what a person should know."""
        limit = time.monotonic() + host_check.LIMIT
        try:
            link = self.link(limit)
            stranger = self._identify(link, limit)
            if stranger is not None:
                return Findings(problem=stranger.because)
            asked, before = time.monotonic(), time.time()
            carried, out, _ = self._look(link, host_check.question(state_dir), limit)
            took = Asked(before=before, after=time.time(), took=time.monotonic() - asked)
        except LinkProblem as problem:
            return Findings(problem=advised(problem.because, self._host))
        if out.exit is None:
            said = (carried.err or carried.out).strip().splitlines()
            first = said[0].decode("utf-8", "replace")[:200] if said else "nothing"
            return Findings(problem=f"ran no shell for drctl; it said: {first}")
        noise = carried.out.partition(b"\n@")[0]
        found = host_check.findings(self._host.login.user, out, noise, took)
        return replace(found, remarks=(*found.remarks, *link.remarks))

    def close(self) -> None:
        """Close the link."""
        with self._opening:
            if self._link is not None:
                self._link.close()
                self._link = None

    def _drop(self, link: Link) -> None:
        with self._opening:
            link.close("reset: the link broke")
            if self._link is link:
                self._link = None

    @contextlib.contextmanager
    def _slot(self, order: Order, limit: float) -> Iterator[None]:
        if order.spare:
            yield
            return
        if not self._channels.acquire(timeout=max(0.0, limit - time.monotonic())):
            raise LinkProblem(f"busy: {_CHANNELS} commands were running on {self._host.name} all the time")
        try:
            yield
        finally:
            self._channels.release()

    def _look(self, link: Link, command: Command, limit: float) -> tuple[Carried, claim_text.Seen, claim_text.Seen]:
        mark = claim_text.nonce()
        order = Order(
            shell=exec_text("/bin/sh"),
            stdin=(claim_text.look_text(mark, command, "/bin/sh"),),
            mark=claim_text.look_mark(mark),
            seconds=limit - time.monotonic(),
            both=True,
            cap=command.cap,
        )
        carried = link.exchange(order, order.seconds)
        return carried, claim_text.seen(mark, carried.out), claim_text.seen(mark, carried.err)

    def _identify(self, link: Link, limit: float) -> Carried | None:
        """Ask the machine who it is, once for each link; None = it is the one of the inventory."""
        try:
            questions = self._asks(self._host)
        except DrctlError as error:
            return Carried(end=End.NO_LINK, because=f"identity: {error.what}")
        for question in questions:
            carried, out, err = self._look(link, question.command, limit)
            if out.exit is None:  # nothing of the act was sent
                return Carried(end=End.NO_LINK, because=carried.because or f"{self._host.name} did not say who it is")
            because = question.mismatch(self._host.name, out.exit, out.content, err.content)
            if because:
                return Carried(end=End.REFUSED, because=because, host_key=link.host_key)
        link.identified = True
        return None


def _by_openssh(host: Host, hop: HostCarrier | None, seconds: float) -> Link:
    if hop is None:
        return open_master(host, None, seconds)
    limit = time.monotonic() + seconds
    with _on_the_way(hop):
        way = hop.link(limit)
    if not isinstance(way, Master):
        raise DefectError(f"the way to {host.name} was opened by another transport")
    return open_master(host, way, limit - time.monotonic())


@contextlib.contextmanager
def _on_the_way(hop: HostCarrier) -> Iterator[None]:
    try:
        yield
    except LinkProblem as problem:
        raise LinkProblem(f"{problem.because} (on the way, at {hop.name})") from None


class LinkDialer:
    """TCP connects through a host's link."""

    def __init__(self, carrier: HostCarrier) -> None:
        self._carrier = carrier

    def connect(self, host: str, port: int, timeout: Duration) -> PortReply:
        """Try to connect from the host, and close at once."""
        began = time.monotonic()
        try:
            self._carrier.connect(host, port, timeout.micros / 1e6).close()
            reach, state, because = Reach.COMPLETE, PortState.OPEN, ""
        except ConnectionRefusedError as error:
            reach, state, because = Reach.COMPLETE, PortState.REFUSED, str(error)
        except TimeoutError as error:
            reach, state, because = Reach.TIMEOUT, PortState.SILENT, str(error)
        except OSError as error:  # the host could not say which of the two it was: not knowing is not a refusal
            return PortReply(reach=Reach.UNREACHABLE, because=str(error))
        return PortReply(reach=reach, state=state, latency=_since(began), because=because)


def _since(began: float) -> Duration:
    return Duration(int((time.monotonic() - began) * 1e6))
