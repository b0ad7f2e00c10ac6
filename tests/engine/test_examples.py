"""The example runbooks: they load without a warning, plan by looking only, and do on fakes what their text says."""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from drctl.cli.app import run
from drctl.core.plan import Status
from drctl.core.values import Time
from drctl.engine.planner import Planner
from drctl.engine.sight import Options
from drctl.errors import Exit
from drctl.kinds import registry
from drctl.loading import load_inventory, load_runbook
from tests.engine.rig import Rig
from tests.fakes.hosts import said

if TYPE_CHECKING:
    from collections.abc import Callable

    from drctl.core.inventory import Inventory
    from drctl.core.model import Runbook
    from drctl.core.ports import Command, Reply
    from tests.fakes.hosts import FakeHost

FOLDER = Path(__file__).parents[2] / "runbooks" / "examples"
BOOKS = sorted(path.name for path in FOLDER.glob("*.yaml") if path.name != "inventory.yaml")
INPUTS: dict[str, dict[str, Any]] = {
    "health-window.yaml": {"url": "http://192.0.2.41/healthz"},
    "rolling-restart.yaml": {"reason": "a leak"},
    "site-switchover.yaml": {"window": "C-17"},
    "office-outage.yaml": {"what": "fire"},
}
CONTROL = re.compile(r"\b(if|for|while|until|case|elif)\b")


def inventory() -> Inventory:
    loaded = load_inventory("inventory.yaml", lambda _: (FOLDER / "inventory.yaml").read_bytes())
    assert loaded.value is not None, loaded.diagnostics
    return loaded.value


def bare(path: str) -> str:
    """An address without its numbers and hosts."""
    return re.sub(r"/(\d+|@[a-z0-9-]+|\?|\.\.\.)(?=/|$)", "", path)


def load(name: str) -> Runbook:
    loaded = load_runbook(name, lambda path: (FOLDER / Path(path).name).read_bytes(), registry(), inventory())
    assert loaded.diagnostics == (), [f"{d.where}: {d.code} {d.summary}" for d in loaded.diagnostics]
    assert loaded.value is not None
    return loaded.value


class Example(Rig):
    """A rig whose runbook and inventory are those of the examples; every host answers what a test says."""

    def __post_init__(self) -> None:
        self.hosts = tuple(inventory().hosts)
        book, name = self.text, self.text
        self.text = "runbook: x\nphases: [{id: a, steps: [{id: c, do: check, expect: true}]}]\n"
        Rig.__post_init__(self)
        self.text = (FOLDER / name).read_text(encoding="utf-8")
        self.inventory = inventory()
        self.runbook = load(book)


def scripts(name: str) -> list[str]:
    """Every script of a runbook as written: of steps, of looks at them, of ways back, of methods and rungs."""
    written = yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))
    found: list[str] = []

    def collect(node: object) -> None:
        if isinstance(node, dict):
            found.extend(value for key, value in node.items() if key == "run" and isinstance(value, str))
        for inner in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
            collect(inner)

    collect(written)
    return found


@pytest.mark.parametrize("name", BOOKS)
def test_it_loads_without_a_warning_and_leaves_control_flow_to_the_language(name: str) -> None:
    assert load(name).name == name.removesuffix(".yaml")
    assert [text for text in scripts(name) if CONTROL.search(text) and len(text.splitlines()) > 3] == []


def test_the_scripts_are_found_wherever_they_stand() -> None:
    found = scripts("replica-promotion.yaml")
    assert {"pool-is-paused", "pool-resume", "pool-end-slow", "systemctl disable --now postgresql"} <= set(found)
    assert CONTROL.search("for x in a b\ndo echo\ndone")


@pytest.mark.parametrize("name", BOOKS)
def test_it_is_planned_from_the_documents_alone(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = [f"-i{key}={value}" for key, value in INPUTS.get(name, {}).items()]
    args = ["plan", str(FOLDER / name), "--inventory", str(FOLDER / "inventory.yaml"), "--no-live-reads", *given]
    assert run(["--state-dir", str(tmp_path), *args]) == 0
    said = capsys.readouterr().out
    assert all(phase.id in said for phase in load(name).phases)


@pytest.mark.parametrize("name", BOOKS)
def test_a_plan_of_it_acts_nowhere_and_says_of_every_step_what_it_would_do(name: str) -> None:
    rig = Example(name, inputs=INPUTS.get(name, {}))
    for host in rig.world.hosts.values():
        host.on("", 0)
    context = rig.context(planning=True)
    plan = Planner(context, rig.world, Options()).plan("digest")
    assert all(host.effects == [] and host.asked == [] for host in rig.world.hosts.values())
    planned = {bare(row.path) for row in plan.rows}
    empty = {Status.WOULD_SKIP, Status.WOULD_STOP}  # a list or a selection that is empty has no rounds to show
    inside = tuple(f"{bare(row.path)}/" for row in plan.rows if row.status in empty)
    missing = {
        path for path in {bare(step.path) for step in rig.runbook.steps()} - planned if not path.startswith(inside)
    }
    assert missing == set()


# -- carried out on fakes ---------------------------------------------------------------------------------------------

WEB = {"web1": "192.0.2.41", "web2": "192.0.2.42", "web3": "192.0.2.43", "web4": "192.0.2.44"}


def fleet(bad: str = "") -> Example:
    """Four web hosts behind a balancer; `bad` does not come back from its restart."""
    rig = Example("rolling-restart.yaml", inputs=INPUTS["rolling-restart.yaml"])
    rig.world.http_.answer("https://192.0.2.2/healthz", 200)
    for name, address in WEB.items():
        url = f"http://{address}:8080/healthz"
        rig.world.http_.answer(url, 200)
        host = rig.host(name).on("balancer-leave", 0).on("balancer-join", 0).on("balancer-has", 0)
        unit(host, partial(rig.world.http_.answer, url, 500 if name == bad else 200))
    return rig


def unit(host: FakeHost, then: Callable[[], None] = lambda: None) -> None:
    """A unit of systemd on a host; `then` is called when it is changed."""
    state = ["active", "enabled"]

    def shown() -> Reply:
        return said(f"active {state[0]}\nenabled {state[1]}\n")

    def change(command: Command) -> Reply:
        state[0] = "inactive" if named(command, "VERB") == "stop" else "active"
        state[1] = {"enable": "enabled", "disable": "disabled"}.get(named(command, "ENABLING"), state[1])
        then()
        return shown()

    host.on('systemctl "$VERB"', change).on(
        lambda command: "is-active" in str(command.script) and "VERB" not in str(command.script), lambda _: shown()
    )


def words(rig: Rig, *names: str) -> dict[str, list[str]]:
    """The first word of what really ran on each host."""
    return {name: [text.split()[0].strip("'") for text in rig.host(name).effects] for name in names}


def test_the_fleet_is_restarted_canary_first_each_host_drained_and_returned() -> None:
    rig = fleet()
    assert rig.run() is Exit.DONE
    for name in WEB:
        assert [word for word in words(rig, name)[name] if word.startswith("balancer")] == [
            "balancer-leave",
            "balancer-join",
        ]
    order = [
        body["host"] for body in rig.said("step_started", role="act") if body["path"].endswith(f"drain/@{body['host']}")
    ]
    assert order == ["web1", "web2", "web3", "web4"]
    assert sum(step.startswith("restart/roll/") and step.count("/") == 2 for step in rig.state.blocks) == 4


def test_a_canary_that_does_not_come_back_stops_the_restart_of_the_others() -> None:
    rig = fleet(bad="web1")
    assert rig.run() is Exit.STEP_FAILED
    assert words(rig, "web2", "web3", "web4") == {"web2": [], "web3": [], "web4": []}
    assert "balancer-join" not in words(rig, "web1")["web1"]


def test_one_later_host_may_fail_and_the_end_says_so() -> None:
    rig = fleet(bad="web3")
    assert rig.run() is Exit.EXCEPTIONS
    assert "balancer-join" not in words(rig, "web3")["web3"]
    assert "balancer-join" in words(rig, "web4")["web4"]
    assert any("@web3" in text for text in rig.said("run_closed")[0]["exceptions"])


NEW, MID, OLD = ("kv-20260301T040000Z.db", "kv-20260301T020000Z.db", "kv-20260228T230000Z.db")
LISTED = (MID, "kv-latest.db", NEW, "notes.txt", OLD)
"""As a listing has them: in no order that tells their age, and beside other things."""


class Cluster(Example):
    """Three members; `damaged` snapshots make the tool crash, `hollow` ones are sound and empty."""

    damaged: tuple[str, ...] = ()
    hollow: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        Example.__post_init__(self)
        self.restored: dict[str, str] = {}
        self.members = ["kv1"]
        first = self.host("kv1").on("ls -1 ", said("\n".join(LISTED))).on("kv-snapshot-status", self.test)
        first.on("kv-member-add", lambda command: self.members.append(named(command, "MEMBER")))
        first.on("kv-member-list", lambda command: 0 if named(command, "MEMBER") in self.members else 1)
        first.on("kv-send", 0).on("kv-put-and-get", said("same"))
        for name in ("kv1", "kv2", "kv3"):
            unit(self.host(name))
            self.host(name).on("kv-health", said('{"health": "true"}')).on("kv-status", said('{"revision": 7}'))
            self.host(name).on("kv-restore ", partial(self.restore, name))
            self.host(name).on("kv-restored", partial(self.is_restored, name))
            self.host(name).on("kv-restore --put-back", partial(self.put_back, name))

    def test(self, command: Command) -> Reply:
        name = named(command, "FILE").rpartition("/")[2]
        keys = 0 if name in self.hollow else 3
        return said(json.dumps({"keys": keys, "revision": 7}), 139 if name in self.damaged else 0)

    def restore(self, name: str, command: Command) -> int:
        self.restored[name] = named(command, "SNAPSHOT")
        return 0

    def put_back(self, name: str, _: Command) -> int:
        self.restored.pop(name, None)
        return 0

    def is_restored(self, name: str, command: Command) -> int:
        return 0 if self.restored.get(name) == named(command, "SNAPSHOT") else 1

    def go(self) -> Exit:
        """Run; the commander agrees to the snapshot, the operator to each caution."""
        assert self.run() is Exit.PAUSED, self.lines[-1]
        self.answer("done", step="agreed", by="li", values={"known_loss": "an hour"})
        while self.resume() is Exit.PAUSED:
            assert self.question()["kind"] == "caution"
            self.answer("confirm", step=self.question()["path"], by="ops")
        return self.ends[-1]


def cluster(*, damaged: tuple[str, ...] = (), hollow: tuple[str, ...] = (), fault_at: str = "") -> Cluster:
    inputs = {"fault_at": Time.parse(fault_at)} if fault_at else {}
    rig = Cluster("cluster-restore.yaml", inputs=inputs)
    rig.damaged, rig.hollow = damaged, hollow
    return rig


def named(command: Command, name: str) -> str:
    value = command.env[name]
    assert isinstance(value, str)
    return value


def test_the_newest_snapshot_that_passes_is_restored_on_every_member() -> None:
    rig = cluster(damaged=(NEW,))
    assert rig.go() is Exit.DONE, rig.lines[-1]
    assert rig.restored == {"kv1": MID, "kv2": MID, "kv3": MID}
    assert rig.members == ["kv1", "kv2", "kv3"]
    assert words(rig, "kv1")["kv1"].count("kv-send") == 3
    assert rig.state.marks["recovery_point"][-1].value == {"$time": Time.parse("2026-03-01T02:00:00Z").micros}


def test_a_snapshot_that_is_sound_and_empty_is_passed_over_too() -> None:
    rig = cluster(damaged=(NEW,), hollow=(MID,))
    assert rig.go() is Exit.DONE, rig.lines[-1]
    assert set(rig.restored.values()) == {OLD}


def test_a_snapshot_from_after_the_fault_is_not_even_tried() -> None:
    rig = cluster(fault_at="2026-03-01T01:00:00Z")
    assert rig.run() is Exit.PAUSED
    assert OLD in rig.question()["text"]
    assert sum("kv-snapshot-status" in look for look in rig.host("kv1").looks) == 1


def test_no_sound_snapshot_stops_before_anything_is_changed() -> None:
    rig = cluster(damaged=(NEW, MID, OLD))
    assert rig.run() is Exit.STEP_FAILED
    assert all(host.effects == [] for host in rig.world.hosts.values())
    assert "none of 3 is ok" in rig.said("block_finished", path="choose/pick")[0]["because"]


OFFICE = {
    "declare/people_safe": ("done", "zhao", {"counted": "12", "missing": "0", "evidence": "the list"}),
    "declare/how_long": ("done", "wang", {"outage": "3d"}),
    "declare/level": ("relocate", "li", {}),
    "relocate": ("approve", "li", {}),
    "relocate/prepare/rooms": ("done", "wang", {}),
    "relocate/prepare/phones": ("done", "zhao", {"evidence": "called at 10:12"}),
    "home/access": ("done", "li", {}),
    "tell/words": ("done", "zhao", {"text": "We work from the other office.", "next_word": "3h"}),
    "tell/out": ("approve", "wang", {}),
    "after/review": ("done", "li", {"actions": "a second list of names, Zhao, May"}),
}
"""Who says what to which question, on a day when all goes well."""


def office(**other: tuple[str, str, dict[str, str]]) -> Example:
    """The plan of people, carried on while somebody answers; `other` are answers that are not those of a good day."""
    rig = Example("office-outage.yaml", inputs={"what": "fire", "seen_at": Time.parse("2026-03-01T01:00:00Z")})
    rig.run()
    while rig.ends[-1] is Exit.PAUSED:
        for path in [question.asked.path for question in rig.state.open_questions]:
            choice, by, values = other.get(path.rpartition("/")[2], OFFICE[path])
            rig.answer(choice, step=path, by=by, values=values, reason="asked twice")
        rig.resume()
    return rig


def test_a_plan_of_people_only_asks_who_is_to_answer_and_needs_no_host() -> None:
    rig = office()
    assert sorted(asked["path"] for asked in rig.said("asked")) == sorted(OFFICE)
    assert rig.ends[-1] is Exit.DONE, rig.lines[-1]
    assert "Next word in 180 minutes." in rig.world.notifier.messages[0].text
    assert all(host.effects == [] and host.looks == [] for host in rig.world.hosts.values())
    assert rig.state.marks["fault"][-1].value == {"$time": Time.parse("2026-03-01T01:00:00Z").micros}


def test_a_plan_of_people_stops_when_somebody_is_missing() -> None:
    rig = office(people_safe=("done", "zhao", {"counted": "12", "missing": "1", "evidence": "the list"}))
    assert rig.ends[-1] is Exit.STEP_FAILED
    assert rig.outcome("people_safe") == "failed"
    assert rig.said("asked")[-1]["kind"] == "failure"


def test_what_somebody_says_is_not_done_stops_it_and_can_be_asked_again() -> None:
    rig = office(phones=("not_done", "zhao", {"evidence": "no answer from the exchange"}))
    assert rig.ends[-1] is Exit.STEP_FAILED
    assert (rig.outcome("rooms"), rig.outcome("phones")) == ("ok", "failed")
    assert rig.world.notifier.messages == []
    rig.answer("retry", step="prepare", reason="the exchange answers now")
    assert rig.resume() is Exit.PAUSED
    assert rig.question()["path"] == "relocate/prepare/phones", "who has said that theirs is done is not asked again"


def test_somebody_without_the_role_decides_nothing() -> None:
    rig = Example("office-outage.yaml", inputs=INPUTS["office-outage.yaml"])
    rig.run()
    rig.answer("done", step="people_safe", by="li", values={"counted": "12", "missing": "0", "evidence": "the list"})
    assert rig.resume() is Exit.PAUSED
    assert rig.question()["path"] == "declare/people_safe"
