"""Each step of each example fails in turn and takes the run back: all is as before, or the report names what is not.

As the campaign `ways-back` does it in the lab, on the fakes of the examples: every step, in every way, in memory.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from drctl.core.ports import Command, Message, Receipt
from drctl.core.values import Duration
from drctl.errors import Exit
from drctl.kinds import registry
from drctl.loading import load_runbook
from drctl.reporting.report_left import left_over
from tests.campaign._broken_steps import Broken, Node, broken, read, right_exit, walk, ways, written
from tests.engine.rig import FakeNotifier
from tests.engine.test_examples import FOLDER, INPUTS, OFFICE, WEB, Cluster, Example, bare, inventory, unit
from tests.engine.test_examples_failover import POWER, Promotion, Switch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from drctl.core import events as ev

State = dict[str, object]

BEFORE: Final[Mapping[str, Node]] = {
    "run": {"run": "exit 1"},
    "http.request": {"with": {"url": "http://192.0.2.9/no-such-page"}},
    "postgres.exec": {"with": {"sql": "SELECT 1 / 0"}},
    "postgres.set": {"with": {"setting": "no_such_setting"}},
    "postgres.promote": {
        "do": None, "with": None, "run": "exit 1", "effect": "irreversible", "verify": {"run": "is-promoted"},
        "undo": {"none": "a promoted server has a history of its own"},
    },
    "service": {"with": {"name": "stuck"}},
    "notify": {"with": {"to": ["oncall"], "required": True, "subject": "not taken"}},
}  # fmt: skip
"""How an act of each kind ends badly without effect."""


class Fleet(Example):
    """Four web hosts, each in the balancer or not."""

    def __post_init__(self) -> None:
        Example.__post_init__(self)
        self.out: set[str] = set()
        self.world.http_.answer("https://192.0.2.2/healthz", 200)
        for name, address in WEB.items():
            self.world.http_.answer(f"http://{address}:8080/healthz", 200)
            unit(self.host(name))
            host = self.host(name).on("balancer-leave", partial(self.leave, name))
            host.on("balancer-join", partial(self.join, name)).on("balancer-has", partial(self.has, name))

    def leave(self, name: str, _: Command) -> int:
        self.out.add(name)
        return 0

    def join(self, name: str, _: Command) -> int:
        self.out.discard(name)
        return 0

    def has(self, name: str, _: Command) -> int:
        return 1 if name in self.out else 0


class Notifier(FakeNotifier):
    """Channels that do not take one message."""

    def send(self, message: Message, timeout: Duration) -> Receipt:
        """Take it or not."""
        if message.subject == "not taken":
            return Receipt(channel=message.channel, sent=False, because="the channel is closed")
        return super().send(message, timeout)


class Home(Example):
    """The plan of people only."""


def units(rig: Example, *names: str) -> State:
    """What a unit of each host says."""
    look = Command(script="systemctl is-active", timeout=Duration.parse("1s"))
    return {f"unit {name}": rig.host(name).read(look).stdout.decode() for name in names}


def state(rig: Example) -> State:
    """Everything that a run could have changed on these fakes."""
    found: State = {"messages": len(rig.world.notifier.messages)}
    if isinstance(rig, Fleet):
        found |= {"balancer": sorted(rig.out), **units(rig, *WEB)}
    if isinstance(rig, Cluster):
        found |= {"restored": dict(rig.restored), "members": sorted(rig.members), **units(rig, "kv1", "kv2", "kv3")}
        found["copies"] = rig.host("kv1").count("kv-send")
        found["tried"] = rig.host("kv1").count("kv-put-and-get")
    if isinstance(rig, Switch | Promotion):
        sent = Counter(request.method for request in rig.world.http_.sent if request.url in rig.world.http_.effects)
        found |= {"standby": sorted(rig.dbs.standby), "down": sorted(rig.dbs.down), "set": rig.dbs.read_only}
        found["silences"] = sent["POST"] - sent["DELETE"] if isinstance(rig, Switch) else 0
        found["written"] = rig.dbs.marks
    if isinstance(rig, Switch):
        found |= {"tables": dict(rig.tables), "agents": dict(rig.agents), "zone": dict(rig.zone)}
        found["caches"] = sum(rig.host(name).count("cache-clear") for name in WEB)
    if isinstance(rig, Promotion):
        found |= {"paused": dict(rig.paused), "power": rig.world.http_.effects.count(f"{POWER}/off")}
        found["ended"] = rig.host("db-b").count("pool-end-slow")
    return found


EXAMPLES: Final[Mapping[str, Callable[..., Example]]] = {
    "cluster-restore.yaml": Cluster,
    "health-window.yaml": Home,
    "office-outage.yaml": Home,
    "replica-promotion.yaml": Promotion,
    "rolling-restart.yaml": Fleet,
    "site-switchover.yaml": Switch,
}
NAMED: Final[Mapping[str, tuple[str, ...]]] = {
    "messages": ("after/told", "tell/out"),
    "balancer": ("restart/roll",),
    "restored": ("restore/fill",),
    "members": ("start/join",),
    "unit": ("restore/stop", "start/first", "start/join", "restart/roll"),
    "copies": ("restore/copy",),
    "tried": ("verify/done",),
    "standby": ("move/promote", "failover/promote"),
    "down": ("move/stop_old", "failover/fence"),
    "power": ("failover/fence",),
    "set": ("move/read_only",),
    "silences": ("prepare/silence",),
    "tables": ("prepare/no_cron",),
    "agents": ("prepare/no_agent",),
    "zone": ("prepare/short_ttl", "move/point"),
    "caches": ("move/caches_b",),
    "paused": ("failover/hold/pause",),
    "ended": ("failover/hold",),
    "written": ("verify/writes",),
}
"""Which steps change a piece of the state."""
UNSEEN: Final = ("restart/roll/", "verify/done")
"""Steps that leave nothing to be seen: a restarted unit runs as before, a key is removed by what put it."""


def cases() -> list[tuple[str, Broken]]:
    """Every step of every example, in every way it can fail."""
    found = []
    for name in EXAMPLES:
        book = read((FOLDER / name).read_text(encoding="utf-8"))
        found += [(name, Broken(path=path, way=way)) for path, step, _ in walk(book) for way in ways(step)]
    return found


def made(name: str, wanted: Broken) -> Example:
    """The example on its fakes, edited so that this step fails."""
    kind = EXAMPLES[name]
    inputs = INPUTS.get(name, {}) | ({"limit": Duration.parse("10s")} if kind is Promotion else {})
    rig = kind(name, inputs=inputs)
    text = written(broken(read((FOLDER / name).read_text(encoding="utf-8")), wanted, BEFORE))

    def file(path: str) -> bytes:
        return text.encode() if Path(path).name == name else (FOLDER / Path(path).name).read_bytes()

    loaded = load_runbook(name, file, registry(), inventory())
    assert loaded.value is not None, [f"{d.where}: {d.code} {d.summary}" for d in loaded.diagnostics]
    rig.runbook = loaded.value
    rig.world.notifier = Notifier()
    stuck = ["a unit"]
    for host in rig.world.hosts.values():
        host.on(lambda command: command.script.strip() == "exit 1", 1).on("is-promoted", 1).on(_fails, 5)
        host.on(partial(_stuck, stuck), 5)
    rig.world.http_.answer("http://192.0.2.41/healthz", 200)
    rig.world.http_.answer("http://192.0.2.9/no-such-page", 404)
    return rig


def _fails(command: Command) -> bool:
    """Whether it is about a setting that is not there."""
    text = command.stdin.decode() if isinstance(command.stdin, bytes) else ""
    return ("ALTER SYSTEM" in text and "no_such" in f"{command.env}{text}") or "1 / 0" in text


def _stuck(left: list[str], command: Command) -> bool:
    """Whether it changes a unit that is stuck, which it is once."""
    return command.env.get("UNIT") == "stuck" and "VERB" in command.env and bool(left and left.pop())


def carried_out(rig: Example, wanted: Broken) -> None:
    """Run it to its end; people agree to everything, or refuse the one step that is to be refused."""
    for _ in range(30):
        code = rig.resume() if rig.lines else rig.run()
        if rig.state.closed is not None:
            return
        assert code is Exit.PAUSED, (code, rig.lines[-1])
        for question in rig.state.open_questions:
            rig.answer(**said_by(question.asked, wanted))
    raise AssertionError(rig.lines[-1])


SHORT: Final = {"declare/how_long": ("done", "wang", {"outage": "1h"}), "declare/level": ("wait", "li", {})}
"""What people say when there is nothing to do but wait."""


def said_by(asked: ev.Asked, wanted: Broken) -> dict[str, Any]:
    """What the person who is asked says."""
    refused = wanted == Broken(path=asked.path, way="refused")
    people = {**OFFICE, "wait/back": ("done", "zhao", {}), **(SHORT if wanted.path.startswith("wait/") else {})}
    if asked.path in people:
        choice, by, values = people[asked.path]
        no = {"done": "not_done", "approve": "reject"}.get(choice, choice)
        return {"choice": no if refused else choice, "step": asked.path, "by": by, "values": values, "reason": "so"}
    match asked.kind:
        case "approval":
            said = {"choice": "reject" if refused else "approve", "by": "li"}
        case "caution":
            said = {"choice": "reject" if refused else "confirm", "by": "ops"}
        case "manual":
            said = {"choice": "not_done" if refused else "done", "by": "li"}
        case _:
            raise AssertionError(asked)
    values = {str(field["name"]): "an hour" for field in asked.fields}
    return {**said, "step": asked.path, "target": asked.target, "values": values, "reason": "so"}


def namers(piece: str) -> tuple[str, ...]:
    """The steps that change a piece of the state."""
    return NAMED[max((key for key in NAMED if piece.startswith(key)), key=len)]


def reached(rig: Example, path: str) -> bool:
    """Whether the step itself, or a round of it, ended badly."""
    steps = [step.outcome for key, step in rig.state.steps.items() if bare(key) == path]
    blocks = [block.outcome for key, block in rig.state.blocks.items() if bare(key) == path]
    return any(outcome is not None and outcome.bad for outcome in steps + blocks)


@pytest.mark.parametrize("name", EXAMPLES)
def test_after_a_rollback_all_is_as_before_or_the_report_names_what_is_not(name: str) -> None:
    wrong = []
    for wanted in [one for book, one in cases() if book == name]:
        rig = made(name, wanted)
        before = state(rig)
        carried_out(rig, wanted)
        after = state(rig)
        if not reached(rig, wanted.path):
            wrong.append(f"{wanted}: not reached")
        changed = {piece: (before[piece], after[piece]) for piece in before if before[piece] != after[piece]}
        rows = left_over(rig.state)
        paths = [bare(row.path) for row in rows]
        for piece, values in changed.items():
            if not any(f"{path}/".startswith(f"{step}/") for path in paths for step in namers(piece)):
                wrong.append(f"{wanted}: no line names {piece}: {values}; {[row.text for row in rows]}")
        for path, row in zip(paths, rows, strict=True):
            known = any(f"{path}/".startswith(f"{step}/") for piece in changed for step in namers(piece))
            if not known and row.sure and not path.startswith(UNSEEN) and "a look says" not in row.because:
                wrong.append(f"{wanted}: {row.text} names nothing of {changed}")
        if (code := int(rig.ends[-1])) != (right := right_exit(rig.state)):
            wrong.append(f"{wanted}: exit {code}, not {right}: {rig.lines[-1]}")
        if held := [host.name for host in rig.world.hosts.values() if host.owner and host.name != "local"]:
            wrong.append(f"{wanted}: still held: {held}")
    assert wrong == []
