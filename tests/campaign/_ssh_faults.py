"""Every fault of a link or of a host behind it: how it is made, and what drctl may say of it."""

import contextlib
import os
import re
import signal
import socket
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from drctl.adapters.ssh import SshHosts
from drctl.core.inventory import Host
from drctl.core.ports import Claim, ClaimReply, ClaimShell, Command, Reply
from drctl.core.transports import FABRIC
from drctl.core.values import Duration
from tests.adapters.steps import no_secret, until
from tests.fakes.sshservers import Keys, Relay, Way, drop_all, inventory

CAP = 65536
LONG, SHORT = 60.0, 3.0
"""Seconds of a command's limit: one that no fault reaches, and one that is to pass."""
WEIRD = bytes(range(256)) + b"\xff\xfe\xc3(\xe2\x82\xf0\x9f\n" * 20
_HANG = 'until [ -e "$HOME/go/$N" ]; do sleep 0.05; done'


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One fault met by one act or look.

    Attributes:
        number: of the case; its files and its exit code are made of it.
        fault: its name in `FAULTS`.
        look: a look instead of an act.
        part: where in its range a fault strikes that can strike anywhere, from 0 to 1.
        transport: what opens the links.
    """

    number: int
    fault: str
    look: bool
    part: float
    transport: str = FABRIC

    @property
    def code(self) -> int:
        return self.number % 100


@dataclass(slots=True)
class Lane:
    """A host of its own, and the relay before it. `lengths`: bytes of a login, then of a whole act, each way."""

    folder: Path
    keys: Keys
    relay: Relay
    plain: Callable[[], socket.socket]
    changed: Callable[[], socket.socket]
    stuck: Callable[[], socket.socket]
    lengths: dict[str, Mapping[Way, tuple[int, int]]] = field(default_factory=dict)

    def host(self) -> Host:
        return self.keys.host(self.relay.port)


@dataclass(frozen=True, slots=True)
class Allowed:
    """What may be said: states of a claim or ends of a look, and words of which one stands in `because`.

    Attributes:
        states: of the answer.
        words: none of them needed when empty.
        killed: the command dies of SIGKILL: that is its end, when there is one.
        later: states in which the claim may be found when the fault is over, beside those that are an outcome.
    """

    states: frozenset[str]
    words: tuple[str, ...] = ()
    killed: bool = False
    later: frozenset[str] = frozenset()


@dataclass(slots=True)
class Bout:
    """One case while it goes on."""

    lane: Lane
    case: Case
    answer: ClaimReply | Reply | None = None
    took: float = 0.0
    limit: float = LONG
    hosts: SshHosts = field(init=False)
    sent: Command = field(init=False)
    _future: "Future[ClaimReply | Reply]" = field(init=False)

    def __post_init__(self) -> None:
        self.hosts = self.opened()

    def opened(self, port: int = 0) -> SshHosts:
        """The host, by the transport of the case; perhaps at another port."""
        host = self.lane.host()
        return SshHosts(inventory(replace(host, port=port) if port else host), no_secret, self.case.transport)

    @property
    def lengths(self) -> Mapping[Way, tuple[int, int]]:
        """How many bytes of a connection are a login, and how many a login and an act."""
        return self.lane.lengths[self.case.transport]

    @property
    def shell(self) -> ClaimShell:
        return self.hosts.shell("h1")

    @property
    def claim(self) -> Claim:
        key = f"{self.lane.folder.parent.name}-{self.lane.folder.name}-{self.case.number}"
        return Claim(key=key, run="uid-a", run_id="7K3QF", operator="li", epoch=1, holder="SHA256:a")

    @property
    def effects(self) -> int:
        """How often the command began on the host."""
        path = self.lane.folder / "effects" / str(self.case.number)
        return path.read_text().count("x") if path.exists() else 0

    def left(self) -> list[int]:
        """Live processes of the command on the host, whatever session they went to."""
        found = []
        words = (f"DRCTL_CLAIM={self.claim.key}\0".encode(), f"CASE={self.claim.key}\0".encode())
        for entry in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                text, state = entry.read_bytes(), (entry.parent / "stat").read_text().rpartition(") ")[2][0]
                if any(word in text for word in words) and state not in "ZX":
                    found.append(int(entry.parent.name))
        return found

    # --- what a fault does ------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Have a link that is in order."""
        until(lambda: self.shell.read(Command(script=":", timeout=Duration(20_000_000))).exit == 0, "a link")

    def start(self, then: str = "", limit: float = LONG, *, killable: bool = True, stdin: bytes = b"") -> None:
        """Begin the act or the look: leaves a mark on the host, does `then`, ends with the code of the case."""
        number = self.case.number
        read = "cat >/dev/null; " if stdin else ""
        self.limit = limit
        self.sent = Command(
            script=f'{read}echo x >>"$HOME/effects/$N"; {then}\nexit {self.case.code}',
            env={"N": str(number), "CASE": self.claim.key},
            stdin=stdin,
            timeout=Duration(int(limit * 1e6)),
            killable=killable,
            cap=CAP,
        )
        pool = ThreadPoolExecutor(1)
        self._future = pool.submit(self._carry)
        pool.shutdown(wait=False)

    def _carry(self) -> ClaimReply | Reply:
        began = time.monotonic()
        try:
            return self.shell.read(self.sent) if self.case.look else self.shell.run(self.claim, self.sent)
        finally:
            self.took = time.monotonic() - began

    def begun(self) -> None:
        """Wait until the command is under way; it then waits for `go`."""
        until(lambda: self.effects or self._future.done(), "the effect")

    def go(self) -> None:
        (self.lane.folder / "go" / str(self.case.number)).touch()

    def end(self, most: float) -> bool:
        """Wait for the answer, so many seconds at most."""
        with contextlib.suppress(TimeoutError):
            self.answer = self._future.result(most)
        return self.answer is not None

    def mend(self) -> None:
        """Let everything be in order again."""
        relay = self.lane.relay
        relay.mode, relay.upstream, relay.reset_after, relay.freeze_after = "pass", self.lane.plain, None, None
        relay.way = "to the host"
        (self.lane.folder / "stuck").unlink(missing_ok=True)
        relay.thaw()

    def clear(self) -> None:
        """End what is left of it here and on the host."""
        self.go()
        self.hosts.close()
        self.lane.relay.cut()
        for pid in self.left():
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)


# --- opening ----------------------------------------------------------------------------------------------------------

NEVER = frozenset({"unreachable"})
KNOWN = frozenset({"ran", "reattached", "complete"})
ENDED = frozenset({"killed", "timeout", "not_started"})
LATE = ("voided now",)
"""What is said where the limit passed before the command began, on a machine that is slow."""
AGAIN = frozenset({"reattached", "complete"})
DOUBT = frozenset({"in_doubt", "unreachable", "timeout"})


def never(*words: str) -> Allowed:
    """It surely did not begin, for this reason."""
    return Allowed(frozenset(NEVER), tuple(f"^{word}:" for word in words))


def refused(bout: Bout) -> Allowed:
    with socket.socket() as bound:  # bound, not listening: the system refuses for it
        bound.bind(("127.0.0.1", 0))
        bout.hosts = bout.opened(bound.getsockname()[1])
        bout.start()
        bout.end(LONG)
    bout.hosts = bout.opened()
    return never("refused")


def syn_dropped(bout: Bout) -> Allowed:
    with socket.socket() as bound, contextlib.ExitStack() as stack:
        bound.bind(("127.0.0.1", 0))
        drop_all([bound], stack)
        bout.hosts = bout.opened(bound.getsockname()[1])
        bout.start()
        bout.end(LONG)
    bout.hosts = bout.opened()
    return never("silent")


def banner_stall(bout: Bout) -> Allowed:
    bout.lane.relay.mode = "stall"
    bout.start()
    return never("silent")


def login_stall(bout: Bout) -> Allowed:
    bout.lane.relay.freeze_after = int(bout.lengths["to the host"][0] * bout.case.part)
    bout.start()
    return never("silent")


def max_startups(bout: Bout) -> Allowed:
    bout.lane.relay.mode = "full"
    bout.start()
    return never("reset")


def reset_at_once(bout: Bout) -> Allowed:
    bout.lane.relay.mode = "reset"
    bout.start()
    return never("reset")


def host_key(bout: Bout) -> Allowed:
    bout.lane.relay.upstream = bout.lane.changed
    bout.start()
    return never("host key")


# --- a reset ----------------------------------------------------------------------------------------------------------


def _reset_at(bout: Bout, way: Way) -> Allowed:
    bout.lane.relay.way = way
    bout.lane.relay.reset_after = int(bout.lengths[way][1] * bout.case.part)
    bout.start()
    return Allowed(KNOWN | NEVER | {"not_started", "in_doubt"})


def reset_to(bout: Bout) -> Allowed:
    return _reset_at(bout, "to the host")


def reset_from(bout: Bout) -> Allowed:
    return _reset_at(bout, "from the host")


def reset_mid(bout: Bout) -> Allowed:
    bout.start(_HANG)
    bout.begun()
    return _linked_again(bout, bout.lane.relay.cut)


def reset_away(bout: Bout) -> Allowed:
    bout.start(_HANG, SHORT)
    bout.begun()
    bout.lane.relay.mode = "reset"
    bout.lane.relay.cut()
    return Allowed(DOUBT, ("reset",))


def key_changed(bout: Bout) -> Allowed:
    """The link breaks, and another machine answers at the address."""
    bout.start(_HANG, SHORT)
    bout.begun()
    bout.lane.relay.upstream = bout.lane.changed
    bout.lane.relay.cut()
    return Allowed(DOUBT, ("host key",))


def _linked_again(bout: Bout, breaks: Callable[[], None]) -> Allowed:
    """The link breaks, and the outcome must be read over another one."""
    before = bout.lane.relay.accepted
    breaks()
    until(lambda: bout.lane.relay.accepted > before or bout._future.done(), "another link")
    bout.go()
    return Allowed(AGAIN)


# --- silence on an open link ------------------------------------------------------------------------------------------


def half_open_idle(bout: Bout) -> Allowed:
    bout.open()
    bout.lane.relay.freeze(new=False)
    bout.start()
    return Allowed(KNOWN)


def half_open_mid(bout: Bout) -> Allowed:
    bout.start(_HANG)
    bout.begun()
    return _linked_again(bout, lambda: bout.lane.relay.freeze(new=False))


def half_open_away(bout: Bout) -> Allowed:
    bout.start(_HANG, SHORT)
    bout.begun()
    bout.lane.relay.freeze()
    return Allowed(DOUBT, ("frozen", "silent", "its limit", "no end within"))


def half_closed_by_host(bout: Bout) -> Allowed:
    bout.start(_HANG)
    bout.begun()
    return _linked_again(bout, lambda: bout.lane.relay.end("from the host"))


def half_closed_to_host(bout: Bout) -> Allowed:
    bout.start(_HANG)
    bout.begun()
    return _linked_again(bout, lambda: bout.lane.relay.end("to the host"))


def window_tcp(bout: Bout) -> Allowed:
    """The host's network takes nothing more; what it says still comes."""
    bout.open()
    bout.lane.relay.freeze(new=False, ways=("to the host",))
    bout.start(stdin=os.urandom(3_000_000))
    return Allowed(KNOWN)


def window_ssh(bout: Bout) -> Allowed:
    """The host's shell reads nothing: the window of the channel goes to 0 on a link that is in order."""
    (bout.lane.folder / "stuck").touch()
    bout.lane.relay.upstream = bout.lane.stuck
    bout.start(limit=SHORT, stdin=os.urandom(3_000_000))
    return Allowed(DOUBT, ("its limit", "no end within", "silent"))


def shell_stuck(bout: Bout) -> Allowed:
    """The login shell stands still with the whole text on its input; it reads it when nobody waits any more."""
    (bout.lane.folder / "stuck").touch()
    bout.lane.relay.upstream = bout.lane.stuck
    bout.start(limit=SHORT)
    return Allowed(DOUBT, ("its limit", "no end within", "silent"))


# --- the command ------------------------------------------------------------------------------------------------------


def flood(bout: Bout) -> Allowed:
    """Ten megabytes in each stream, of which the cap is kept."""
    bout.start("yes 0123456789abcde | head -c 10000000; yes fedcba987654321 | head -c 10000000 >&2")
    return Allowed(KNOWN)


def flood_for_ever(bout: Bout) -> Allowed:
    """Ten megabytes a second, until it is ended."""
    bout.start("while :; do head -c 500000 /dev/zero; sleep 0.05; done", SHORT)
    return Allowed(ENDED, ("no end within", *LATE))


def bad_utf8(bout: Bout) -> Allowed:
    octal = "".join(f"\\{byte:03o}" for byte in WEIRD)
    bout.start(f"printf '{octal}'; printf '{octal}' >&2")
    return Allowed(KNOWN)


def session_killed(bout: Bout) -> Allowed:
    """What `KillUserProcesses` does when the link is lost: nothing of the command lives, and nobody wrote an end."""
    bout.start(_HANG, LONG)
    bout.begun()
    for pid in bout.left():
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    if bout.case.part < 1 / 2:
        bout.lane.relay.cut()
    words = ("gone", "reset", "no exit code")
    bout.go()  # a look whose link is lost is asked again, and that one has an end
    return Allowed(DOUBT | {"complete"}, words, killed=True, later=frozenset({"in_doubt"}))


def command_killed(bout: Bout) -> Allowed:
    """It kills its shell; that of a look is the one that would tell."""
    bout.start("kill -9 $$")
    return Allowed(KNOWN | NEVER if bout.case.look else KNOWN, ("^ended:",), killed=True)


def timed_out(bout: Bout) -> Allowed:
    deaf = "trap '' TERM; " if bout.case.part < 1 / 4 else ""
    bout.start(f"{deaf}{_HANG}", SHORT)
    return Allowed(ENDED | {"in_doubt"} if deaf else ENDED, ("no end within", "did not say how it stands", *LATE))


def not_to_be_ended(bout: Bout) -> Allowed:
    bout.start(_HANG, SHORT, killable=False)
    return Allowed(frozenset({"still_running", "timeout"}), ("still running as process", "no end within"))


Fault = Callable[[Bout], Allowed]
FAULTS: Mapping[str, Fault] = {
    fault.__name__.replace("_", " "): fault
    for fault in (
        refused, syn_dropped, banner_stall, login_stall, max_startups, reset_at_once, host_key, reset_to, reset_from,
        reset_mid, reset_away, key_changed, half_open_idle, half_open_mid, half_open_away, half_closed_by_host,
        half_closed_to_host, window_tcp, window_ssh, shell_stuck, flood, flood_for_ever, bad_utf8, session_killed,
        command_killed, timed_out, not_to_be_ended,
    )
}  # fmt: skip
ANYWHERE = ("reset to", "reset from")


def named(because: str) -> list[int]:
    """The processes that a sentence names as alive."""
    found = re.findall(r"(?:process|alive:)((?: ?\d+)+)", because)
    return [int(word) for part in found for word in part.split()]
