"""A run that dies before or after any call of any port, or between two pieces of a stream: nothing twice, nothing lost.

One runbook uses every port: shells, claims, staging, S3, HTTP, DNS, TCP, messages, time, answers, outputs, the journal.
Every point of it is died at once, in whatever process comes to it; half of the cases die again, at points drawn at
random, while taken up. Every tenth case has the real adapters for shells, claims, S3 (a server in this process), HTTP
and TCP behind the same seam; hosts and services count what happened there.
"""

import hashlib
import json
import logging
import random
import secrets
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NoReturn, cast

import boto3
from moto.server import ThreadedMotoServer

from drctl.adapters.dialer import LocalDialer
from drctl.adapters.http import UrllibHttp
from drctl.adapters.local import LocalShell
from drctl.adapters.s3 import S3Objects
from drctl.core.fold import RunState
from drctl.core.inventory import Bucket
from drctl.core.ports import HttpReply, HttpRequest, Probe, Reach
from drctl.core.values import Duration, Secret
from drctl.errors import Exit
from tests.campaign.registry import Figures, box_closed
from tests.engine.rig import Crash, FakeDialer, FakeHttp, FakeWorld, Rig
from tests.fakes.failpoints import Points
from tests.fakes.hosts import FakeHost, said
from tests.invariants import I1, I2, I6, I7, I10, Checker, Effect
from tests.kinds.worlds import Objects

NAME = "port-kills"
ROWS = ("R5",)
COUNT = 10_000
CI_COUNT = 400
NEVER = "never ended"
MISSING = "done, and something was not"
_PROMISES = (I1, I2, I6, I7, I10, NEVER, MISSING)
_LIVES = 30
_REAL_EVERY = 10
_DATA = b"a backup, in two pieces"
_SHA256 = hashlib.sha256(_DATA).hexdigest()

_BOOK = """\
runbook: ports
phases:
  - id: one
    steps:
      - {id: seen, run: "see", effect: read, capture: {n: int(stdout)}}
      - {id: open, do: tcp.check, with: {host: 127.0.0.1, port: PORT}}
      - {id: name, do: dns.check, with: {name: a.example}}
      - {id: backups, do: backup.list, with: {bucket: b, name: "base/{time}.json", manifest: true}}
      - id: fetch
        on: local
        do: backup.fetch
        with: {bucket: b, key: "${{ first(steps.backups.backups).key }}", sha256: SHA256, to: "FOLDER/fetched"}
      - id: stop
        on: local
        run: "do-stop"
        effect: once
        verify: {run: "is-stop"}
        undo: {run: "un-stop"}
        restore: {run: "do-start"}
      - {id: nap, do: wait, with: {for: 5s}}
  - id: two
    steps:
      - id: switch
        do: http.request
        with: {url: "URL/switch", method: POST}
        effect: once
        verify: {do: http.check, with: {url: "URL/state"}, expect: "json.switched"}
        undo: {none: a test}
      - id: turn
        on: local
        run: "do-turn"
        effect: irreversible
        approve: {by: [commander], within: 1h}
        verify: {run: "is-turn"}
        undo: {none: a test}
      - {id: sure, do: manual, with: {say: Look at it., ask: {ticket: {type: text, ask: Its number}}}}
      - id: again
        run: "do-again"
        effect: idempotent
        retry: {every: 1s, times: 3}
        verify: {run: "is-again"}
        undo: {none: a test}
      - {id: up, do: http.check, with: {url: "URL/state"}, until: {every: 1s, within: 1m, in_a_row: 2}}
      - {id: tell, do: notify, with: {to: [oncall], text: It is done., required: true}}
"""
_CLASSES = {
    "stop": "once", "start": "idempotent", "turn": "irreversible", "again": "idempotent", "switch": "once",
    "fetch": "idempotent", "tell": "once",
}  # fmt: skip
_SCRIPTED = ("stop", "start", "turn", "again")


def _die() -> NoReturn:
    raise Crash


@dataclass(slots=True)
class Truth:
    """What happened in the world of one case; thread-safe, as services count in threads of their own."""

    announced: Callable[[str], bool]
    effects: list[Effect] = field(default_factory=list)

    def happened(self, name: str) -> None:
        self.effects.append(Effect(step=name, announced=self.announced(name)))

    def there(self, name: str) -> bool:
        return any(effect.step == name for effect in self.effects)


# --- two worlds -------------------------------------------------------------------------------------------------------


class Http(FakeHttp):
    """The switch in memory."""

    def __init__(self, truth: Truth) -> None:
        super().__init__()
        self._truth = truth

    def read(self, request: HttpRequest) -> HttpReply:
        if request.url.endswith("/switch"):
            self._truth.happened("switch")
            return HttpReply(reach=Reach.COMPLETE, status=200, body=b"{}")
        body = json.dumps({"switched": self._truth.there("switch")}).encode()
        return HttpReply(reach=Reach.COMPLETE, status=200, headers={"content-type": "application/json"}, body=body)


@dataclass(slots=True)
class Real:
    """Services on loopback that all real cases share; the switch belongs to the case that runs now."""

    endpoint: str
    bucket: str
    url: str = ""
    truth: Truth | None = None


@contextmanager
def real_services() -> Iterator[Real]:
    """An S3 server with the backup in it, and the switch behind HTTP."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    store = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    store.start()
    host, port = store.get_host_and_port()
    real = Real(f"http://{host}:{port}", f"backups-{secrets.token_hex(4)}")

    class Switch(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert real.truth is not None
            if self.command == "POST":
                real.truth.happened("switch")
            body = json.dumps({"switched": real.truth.there("switch")}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 - the base class looks for this name

        def log_message(self, *_: object) -> None:
            pass

    web = ThreadingHTTPServer(("127.0.0.1", 0), Switch)
    serving = threading.Thread(target=web.serve_forever, daemon=True)
    serving.start()
    real.url = f"http://127.0.0.1:{web.server_port}"
    client = boto3.client(
        "s3", endpoint_url=real.endpoint, region_name="us-east-1", aws_access_key_id="AKIATEST0000",
        aws_secret_access_key="s3cr3t-key-of-test",
    )  # fmt: skip
    client.create_bucket(Bucket=real.bucket)
    client.put_bucket_versioning(Bucket=real.bucket, VersioningConfiguration={"Status": "Enabled"})
    for key, data in _objects():
        client.put_object(Bucket=real.bucket, Key=key, Body=data)
    try:
        yield real
    finally:
        web.shutdown()
        web.server_close()
        serving.join()
        store.stop()


def _objects() -> list[tuple[str, bytes]]:
    manifest = {"key": "base/data", "size": len(_DATA), "sha256": _SHA256, "taken_at": "2026-01-01T00:00:00Z"}
    return [("base/data", _DATA), ("base/20260101T000000Z.json", json.dumps(manifest).encode())]


class World(FakeWorld):
    """The rig's world with buckets, and with another dialer where the case has one."""

    objects: Any
    dial: Any

    def probe(self, place: str, timeout: Duration) -> Probe:
        bare = super().probe(place, timeout)
        return replace(bare, objects=lambda _: self.objects, dialer=self.dial)


class Case(Rig):
    """One run in one world; `died` tells where its processes did."""

    def __init__(self, folder: Path, real: Real | None) -> None:
        self.folder = folder
        self.real = real
        self.died: tuple[str, ...] = ()
        text = _BOOK.replace("FOLDER", str(folder)).replace("SHA256", _SHA256)
        text = text.replace("URL", real.url if real else "http://switch.example")
        if real:
            for name in _SCRIPTED:
                text = text.replace(f'"do-{name}"', f"'echo {name} >>{folder}/effects'")
                text = text.replace(f'"is-{name}"', f"'grep -q {name} {folder}/effects'")
            text = text.replace('"see"', '"echo 7"').replace("PORT", real.url.rsplit(":", 1)[1])
        super().__init__(text.replace("PORT", "22"), hosts=())
        self.truth = Truth(self.announced)
        world = World(self.clock, self.world.hosts)
        self.world = world
        world.dns.zones[""] = {("a.example", "A"): (60, ("192.0.2.1",))}
        if real is None:
            self._pretend(world)
        else:
            self._connect(world, real)

    def _pretend(self, world: World) -> None:
        host = self.world.hosts["local"]
        world.http_, world.dial, world.objects = Http(self.truth), FakeDialer(), Objects()
        for key, data in _objects():
            world.objects.put(key, data)
        host.on("see", "7")
        host.on("DRCTL_STAGE", lambda _: self._fetched(host))
        host.on('echo "absent"', lambda _: f"sha256 {_SHA256}\nsize 1" if self.truth.there("fetch") else "absent")
        for name in _SCRIPTED:
            self._act(host, name)

    def _act(self, host: FakeHost, name: str) -> None:
        host.on(f"do-{name}", lambda _: self.truth.happened(name))
        host.on(f"is-{name}", lambda _: 0 if self.truth.there(name) else 1)

    def _fetched(self, host: FakeHost) -> Any:  # noqa: ANN401 - any answer of a host
        if _DATA not in host.staged.values():
            return said(exit=4)
        self.truth.happened("fetch")
        return f"sha256 {_SHA256}\nsize {len(_DATA)}"

    def _connect(self, world: World, real: Real) -> None:
        (self.folder / "effects").touch()
        real.truth = self.truth
        keys = Secret("AKIATEST0000:s3cr3t-key-of-test", name="env:KEYS")
        world.hosts["local"] = cast("FakeHost", LocalShell(self.folder / "claims"))
        world.http_ = cast("FakeHttp", UrllibHttp())
        world.dial = LocalDialer()
        world.objects = S3Objects(Bucket(name="b", bucket=real.bucket, endpoint=real.endpoint), keys, budget=5)

    # --- lives ------------------------------------------------------------------------------------------------------

    def live(self, at: int) -> tuple[Exit | None, Points]:
        """One process, which dies at its point `at`; the ports it had come back as they were."""
        self._again()
        points, whole = Points(_die, at), (self.world, self.inbox, self.clock, self.store, self.journal)
        world, inbox, clock, store, journal = whole
        self.world, self.inbox = points.watch(world, "world"), points.watch(inbox, "inbox")
        self.clock, self.store = points.watch(clock, "clock"), points.watch(store, "store")
        self.journal = points.watch(journal, "journal")
        try:
            return self._carry(), points
        except Crash:
            self.died = (*self.died, points.passed[-1])
            return None, points
        finally:
            self.world, self.inbox, self.clock, self.store, self.journal = whole

    def announced(self, name: str) -> bool:
        """Whether the intent of an act is on the disk now."""
        known = self.lines[: self.journal.settled + 1]
        wanted = "restore" if name == "start" else name
        return any(type_ == "step_started" and wanted in str(body.get("path")) for _, type_, body, _ in known)

    def people(self) -> None:
        """Answer what waits, truthfully."""
        for question in self.state.open_questions:
            asked = question.asked
            if asked.kind == "approval":
                self.answer("approve", question=asked.id, by="li")
            elif asked.kind == "manual":
                self.answer("done", question=asked.id, by="li", values={"ticket": "T1"})
            elif asked.kind == "doubt":
                there = asked.path.rsplit("/", 1)[-1] in {effect.step for effect in self.effects()}
                self.answer("done" if there else "not_done", question=asked.id, by="li", reason="I looked")
            else:
                self.answer("retry", question=asked.id, by="li", reason="again")

    def effects(self) -> list[Effect]:
        """Everything that happened."""
        told = [Effect(step="tell") for _ in self.world.notifier.messages]
        path = self.folder / "effects"
        lines = path.read_text().split() if path.exists() else []
        fetched = [Effect(step="fetch")] if (self.folder / "fetched").exists() else []
        return [*self.truth.effects, *told, *fetched, *(Effect(step=name) for name in lines)]


def _live_through(case: Case, first: tuple[int, int], rng: random.Random, check: Checker) -> list[int]:
    """Die at a point of one of the lives, perhaps again, and go on to the end. Gives how many points each life had."""
    again = [rng.randint(1, 120) for _ in range(rng.choice((0, 0, 1, 2, 4)))]
    came_to: list[int] = []
    for life in range(_LIVES):
        at = first[1] if life == first[0] else again.pop() if life > first[0] and again else 0
        code, points = case.live(at)
        came_to.append(len(points.passed))
        if code is None:
            case.state = RunState.of(case.entries())
        else:
            check.ended(int(code), case.lines[-1][1:3])
            check.folded(case.state, RunState.of(case.entries()))
        if case.state.closed is not None:
            break
        case.people()
    return came_to


def _judge(case: Case, check: Checker) -> None:
    effects, figures = case.effects(), check.figures
    check.announced(effects)
    check.once(effects, _CLASSES)
    check.approved(case.state, ["two/turn"])
    closed = case.state.closed
    figures.check(closed is not None, NEVER, f"{check.where}: {case.lines[-1][1:3] if case.lines else ''}")
    if closed is not None:
        figures.count(f"ended {closed.state}")
        done = closed.exit in (Exit.DONE, Exit.EXCEPTIONS)
        figures.check(done, NEVER, f"{check.where}: {closed}")
        check.missing(MISSING, _CLASSES if done else (), {effect.step for effect in effects})


def run(count: int, rng: random.Random) -> Figures:
    """Every point once, in random order, then again with other later deaths, until it is enough."""
    figures = Figures()
    for name in (*_PROMISES, "real adapters", "points of a whole run"):
        figures.count(name, 0)
    with tempfile.TemporaryDirectory(prefix="drctl-p-") as name, real_services() as real:

        def one(number: int, first: tuple[int, int], seed: int) -> list[int]:
            folder = Path(name, str(number))
            folder.mkdir()
            really = number % _REAL_EVERY == 0
            case = Case(folder, real if really else None)
            check = Checker(figures, f"{first}, seed {seed}, {'real' if really else 'fake'} adapters")
            came_to = _live_through(case, first, random.Random(seed), check)
            _judge(case, replace(check, where=f"{check.where}, died {case.died}"))
            figures.count("deaths", len(case.died))
            figures.count("real adapters", int(really))
            for died in case.died:
                figures.count(f"died {died.rsplit('.', 1)[0]}")
            return came_to

        space = [(life, n) for life, points in enumerate(one(1, (_LIVES, 0), 0)) for n in range(1, points + 1)]
        figures.count("points of a whole run", len(space))
        left: list[tuple[int, int]] = []
        while figures.tried < count and not box_closed():
            left = left or rng.sample(space, len(space))
            figures.tried += 1
            one(figures.tried + 1, left.pop(), rng.getrandbits(32))
    return figures
