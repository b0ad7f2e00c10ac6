"""The ports: what drctl needs from the world, as small contracts.

Looking and acting are different types. A `Probe` carries only ports that cannot change anything; an `Act` is a `Probe`
plus the ports that can. A plan never builds an `Act`, so a dry run cannot act by mistake: there is no flag to forget,
and the type checker refuses `probe.shell.run`.

Each port has one conformance suite, run on the fake and on the real adapter.
"""

from __future__ import annotations

import enum
import hashlib
import json
from dataclasses import field
from typing import TYPE_CHECKING, Final, Protocol

from drctl.core.nouns import dataclass
from drctl.core.values import Duration, Secret, Time

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from drctl.core.dns import Dns
    from drctl.core.holdings import Holding, Standing
    from drctl.core.whole import Whole
MEBIBYTE = 1024 * 1024

_NO_TIME: Final = Duration(0)


class Reach(enum.Enum):
    """How a look came back: the field `reply` of the language."""

    COMPLETE = "complete"
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One POSIX shell script for one host.

    Values never stand in `script`: they travel in `env` or `stdin`, so nothing shows in `ps` or is parsed twice.

    Attributes:
        script: text for `sh -eu`.
        env: exported variables; a Secret is sent, never recorded.
        stdin: what the script reads; empty means end of file at once.
        cwd: folder to start in; None is the home folder.
        as_user: run as this user by sudo; None is the login user.
        timeout: limit for one attempt, connecting included.
        killable: False for an irreversible act: it is never ended by drctl.
        sensitive: outputs must not stay on the host or in a record.
        cap: most bytes of each stream that are returned.
    """

    script: str
    env: Mapping[str, str | Secret] = field(default_factory=dict)
    stdin: bytes | Secret = b""
    cwd: str | None = None
    as_user: str | None = None
    timeout: Duration
    killable: bool = True
    sensitive: bool = False
    cap: int = MEBIBYTE

    @property
    def digest(self) -> str:
        """SHA-256 over everything that decides what happens, secrets by name only.

        A claim found on a host with another digest is a defect, never an outcome.
        """
        content = {
            "script": self.script,
            "env": {k: None if isinstance(v, Secret) else v for k, v in sorted(self.env.items())},
            "stdin": None if isinstance(self.stdin, Secret) else hashlib.sha256(self.stdin).hexdigest(),
            "cwd": self.cwd,
            "as": self.as_user,
        }
        text = json.dumps(content, sort_keys=True, ensure_ascii=True)
        return hashlib.sha256(b"drctl/command/v1\n" + text.encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What came back from a host for one command whose end is known, or why none did.

    `exit` is an integer only when it was really read: 128+n for death by signal n; None unless `reach` is COMPLETE. A
    stream longer than the cap was `cut`, and has no value in expressions; `whole` has what is known of it, by name.
    """

    reach: Reach
    exit: int | None = None
    stdout: bytes = b""
    stderr: bytes = b""
    cut: bool = False
    whole: Mapping[str, Whole] = field(default_factory=dict)
    because: str = ""
    elapsed: Duration = _NO_TIME
    host_key: str = ""


class ClaimState(enum.Enum):
    """What a host says about a claim."""

    RAN = "ran"  # this call ran it; exit is known
    REATTACHED = "reattached"  # it had run or was running; exit is known
    NOT_STARTED = "not_started"  # proven: the claim was taken and voided by this very call
    KILLED = "killed"  # ended by drctl and seen to be gone
    STILL_RUNNING = "still_running"  # alive, not to be ended, or could not be
    IN_DOUBT = "in_doubt"  # began or may have begun, end unknown
    REFUSED = "refused"  # the host refused before anything ran: owner, epoch, no room, other digest
    UNREACHABLE = "unreachable"  # never began: no link, wrong key; certain


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The right to one attempt of one effect on one host (design section 6).

    Attributes:
        key: SHA-256 hex of run uid, step path, iteration, host, generation.
        run: the run's uid; owner of the host while it is open.
        run_id: its short id, for people.
        operator: who, for the refusal another run sees.
        epoch: the run's epoch number.
        holder: fingerprint of the run key in use: a number and its holder make an epoch.
    """

    key: str
    run: str
    run_id: str
    operator: str
    epoch: int
    holder: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimReply:
    """The answer about a claim. `reply` is set when the command's end is known (RAN, REATTACHED).

    `gone` is True only when the host itself said that nothing of the command runs any more (its process is gone, or the
    machine booted since). A lost link never says that. `held_by` says to whom the host belongs that refused.
    """

    state: ClaimState
    reply: Reply | None = None
    because: str = ""
    boot: str = ""
    gone: bool = False
    held_by: Holding | None = None


class ReadShell(Protocol):
    """Runs commands that only look, on one host or locally.

    Safe to call from several threads. Never raises for what the world does, DefectError for misuse: a lost link is
    `Reach.UNREACHABLE`, a limit is `Reach.TIMEOUT`, and the remote process is then ended.
    """

    def read(self, command: Command) -> Reply:
        """Run a command declared or known to change nothing, and wait for it."""
        ...


class ClaimShell(ReadShell, Protocol):
    """Runs commands that change something, each under a claim on the host.

    The executor alone holds this port; a step kind gets `ActShell`, which is bound to its unit's claim.
    """

    def run(self, claim: Claim, command: Command) -> ClaimReply:
        """Claim the key and run, or re-attach when the key was claimed before (same digest) and return that outcome."""
        ...

    def attach(self, claim: Claim, command: Command) -> ClaimReply:
        """Look at the claim without starting anything; an unclaimed key is claimed and voided (NOT_STARTED)."""
        ...

    def kill(self, claim: Claim, command: Command) -> ClaimReply:
        """End the claimed command and check that it is gone; an unclaimed key is claimed and voided."""
        ...

    def stage(self, claim: Claim, chunks: Iterable[bytes], as_user: str | None = None) -> str:
        """Put bytes into the claim's staging folder of this user on the host and return the remote path.

        Idempotent: staging again replaces. Nothing outside drctl's own folder is touched. Raises `LinkError`.
        """
        ...

    def release(self, claim: Claim) -> ClaimReply:
        """Give the host back (run_closed): remove the owner mark if it is this run's, drop outputs, keep tombstones."""
        ...

    def standing(self, claim: Claim) -> Standing:
        """Look who owns the host, and which epoch of the claim's run it has seen last. Changes nothing."""
        ...

    def take(self, claim: Claim, given_up: str = "") -> ClaimReply:
        """Announce the claim's epoch, which refuses older ones, and own the host, of the run `given_up` too (a uid)."""
        ...


class ActShell(ReadShell, Protocol):
    """What an act kind may do on its host: one claimed command per execution.

    `run` returns a Reply whose end is known; else it raises a signal of the executor's, which kinds must let pass.
    Called again after a crash it gives back the outcome that the host kept, and runs nothing a second time.
    """

    def run(self, command: Command) -> Reply:
        """Run this unit's one command, or get back its recorded outcome."""
        ...

    def stage(self, chunks: Iterable[bytes]) -> str:
        """Upload bytes beside the claim; returns the remote path for the command to move into place."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """One HTTP request. `body` and header values may be secrets; redirects are not followed."""

    method: str
    url: str
    headers: Mapping[str, str | Secret] = field(default_factory=dict)
    body: bytes | Secret = b""
    timeout: Duration
    cap: int = MEBIBYTE


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpReply:
    """An HTTP answer. Without one, `reach` says why: `sent` tells whether the request may have been acted upon."""

    reach: Reach
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut: bool = False
    latency: Duration = _NO_TIME
    because: str = ""
    sent: bool = False


class ReadHttp(Protocol):
    """Sends GET and HEAD only; anything else raises DefectError before a byte leaves.

    Never retries, never raises for the world.
    """

    def read(self, request: HttpRequest) -> HttpReply:
        """Send a GET or HEAD and wait for the whole answer."""
        ...


class Http(ReadHttp, Protocol):
    """Sends any method, once. Never retries: a lost answer is `Reach.TIMEOUT/UNREACHABLE` with `sent`."""

    def send(self, request: HttpRequest) -> HttpReply:
        """Send the request exactly once."""
        ...


class PortState(enum.Enum):
    """The state of a TCP port; one group of the language."""

    OPEN = "open"
    REFUSED = "refused"
    SILENT = "silent"


@dataclass(frozen=True, slots=True, kw_only=True)
class PortReply:
    """What a TCP connect saw. A refused connection is a complete reply, a silent one is a timeout of the peer."""

    reach: Reach
    state: PortState | None = None
    latency: Duration = _NO_TIME
    because: str = ""


class Dialer(Protocol):
    """Opens TCP connections from a vantage point (locally, or through a host's SSH link) and closes them at once."""

    def connect(self, host: str, port: int, timeout: Duration) -> PortReply:
        """Try to connect; nothing is sent."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectVersion:
    """One version of one object. `etag` is an opaque tag, never a digest (RFC-less S3 behaviour: multipart, KMS)."""

    key: str
    version: str
    size: int
    at: Time
    latest: bool
    deleted: bool = False
    etag: str = ""


class ObjectError(Exception):
    """An object store could not answer; `missing` is True when it answered that the version is not there."""

    def __init__(self, because: str, *, missing: bool = False) -> None:
        super().__init__(because)
        self.because = because
        self.missing = missing


class ReadObjects(Protocol):
    """Reads one bucket. Always by version where one is named; raises ObjectError, with its own time-bounded retries."""

    def versions(self, prefix: str) -> Sequence[ObjectVersion]:
        """List all versions and delete markers under a prefix, oldest key first."""
        ...

    def get(self, key: str, version: str | None) -> Iterator[bytes]:
        """Stream one version; a truncated body raises ObjectError, it never ends early in silence."""
        ...


class Clock(Protocol):
    """Time. `now` is UTC for people and records, `monotonic` for durations, `boottime` for deadlines across sleep."""

    def now(self) -> Time:
        """UTC now."""
        ...

    def monotonic(self) -> Duration:
        """Monotonic reading."""
        ...

    def boottime(self) -> Duration:
        """Monotonic reading that counts time asleep (CLOCK_BOOTTIME)."""
        ...

    def sleep(self, length: Duration, wake: Callable[[], bool] | None = None) -> None:
        """Sleep, or less when `wake` becomes true (polled)."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One notice for one channel. `key` is stable over retries so that a receiver can drop a second copy."""

    channel: str
    subject: str
    text: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What became of a message: `sent` is True only on a positive answer; `doubt` when it may have gone out."""

    channel: str
    sent: bool
    doubt: bool = False
    because: str = ""


class Notifier(Protocol):
    """Delivers messages to the inventory's channels, once each, within a deadline; never raises."""

    def send(self, message: Message, timeout: Duration) -> Receipt:
        """Send one message to one channel."""
        ...

    def check(self, channel: str) -> str:
        """Say why a channel cannot be used, or an empty text; sends nothing a person would see."""
        ...


class Signer(Protocol):
    """Signs checkpoints with the run's own key."""

    @property
    def public(self) -> bytes:
        """The raw public key (32 bytes, Ed25519, RFC 8032)."""
        ...

    def sign(self, message: bytes) -> bytes:
        """Sign with Ed25519."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What a look may use: read-only ports, bound to the step's place, and the step's limit.

    Attributes:
        shell: reads on the step's host, or locally.
        http: GET and HEAD from the step's place (through the host's link when it has one).
        dialer: TCP connects from the same place.
        dns: questions to name servers from the same place.
        objects: buckets of the inventory by name.
        files: local files by path, read-only.
        clock: time.
        timeout: the limit for this attempt.
        facts: what the inventory says about databases and channels.
    """

    shell: ReadShell
    http: ReadHttp
    dialer: Dialer
    dns: Dns
    objects: Callable[[str], ReadObjects]
    files: Callable[[str], bytes]
    clock: Clock
    timeout: Duration
    facts: Facts


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """What an act may use: everything a look may (`probe`), and the ports that change something."""

    probe: Probe
    shell: ActShell
    http: Http
    notifier: Notifier
    key: str


class Facts(Protocol):
    """What a kind may ask of the inventory: never secrets."""

    def database(self, name: str) -> DatabaseFacts:
        """The database of that name; the only one when the name is empty. Raises KeyError."""
        ...

    def address(self, host: str) -> str:
        """The network address of a host or role; a name that is not in the inventory is returned unchanged."""
        ...

    def channels(self) -> Sequence[str]:
        """Names of the channels."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseFacts:
    """How to reach a database from its own host: psql's connection parameters; the password travels as a Secret."""

    name: str
    port: int | None
    user: str
    password: Secret | None = None
