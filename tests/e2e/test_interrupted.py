"""Recoveries that are disturbed: by Ctrl-C, by a hang-up, by a network that stalls or breaks in the middle of it."""

import json
import signal
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from drctl.core.fold import RunState
from tests.e2e import evidence
from tests.e2e.commands import RUNBOOK, Commands, Follower, People, Started, act_begins, follow_new_run, step_ends
from tests.lab.running import RunningLab, running_lab, wait_until

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

_ALONE = evidence.Roles(
    power={"inv-a": "off", "inv-b": "on", "gw": "on"},
    databases={"inv-b": "primary 2"},
    streaming={"inv-b": "0"},
    route="",
    broken=0,
)


def acknowledged(lab: RunningLab) -> int:
    return int(lab.traffic("/status", "GET")["acknowledged"])


def serve(lab: RunningLab, more: int) -> None:
    goal = acknowledged(lab) + more
    wait_until(f"{goal} invoices are issued", lambda: acknowledged(lab) >= goal)


def disturb(lab: RunningLab, edge: str, mode: str, seconds: float) -> None:
    """Break a wire for a while; how long is part of the fault."""
    lab.edge(edge, mode)
    threading.Event().wait(seconds)
    lab.edge(edge, "pass")


def follow(follower: Follower, started: Started, wanted: Callable[[dict[str, Any]], bool]) -> Mapping[str, Any]:
    found = follower.until(started, wanted)
    assert found is not None, f"it ended before: {started.wait()}"
    return found


def recovered(lab: RunningLab, state: RunState) -> None:
    """The standby took over, once, and nothing is missing."""
    assert state.closed is not None
    assert state.closed.exit == 0
    seen = evidence.roles(lab)
    assert (seen.power, seen.databases, seen.broken) == (_ALONE.power, _ALONE.databases, 0)
    assert seen.route == evidence.upstream(lab, "inv-b")
    intents = {unit.started.key: path for path, step in state.steps.items() for unit in step.units if unit.started}
    ran = Counter(intents[claim.key] for claim in evidence.claims(lab) if claim.ran)
    assert ran == {"emergency/promote": 1, "emergency/alone": 1, "emergency/switch": 1}
    told = [str(message["subject"]) for message in evidence.messages(lab)]
    assert sorted(told) == ["Invoices are back", "Invoices sev1: hardware"]
    assert evidence.owners(lab) == {}
    found = evidence.audit(lab)
    assert {name: found[name] for name in ("lost", "altered", "reused", "tax_lost", "tax_altered")} == dict.fromkeys(
        ("lost", "altered", "reused", "tax_lost", "tax_altered"), 0
    )


def test_a_hang_up_does_not_end_a_run_ctrl_c_stops_it_after_its_step_and_a_reset_link_hides_nothing(
    commands: Commands,
) -> None:
    with running_lab() as lab, People(commands) as people:
        serve(lab, 20)
        lab.break_("primary-host")
        with commands.outage(lab.info.inventory) as started:
            people.writer = started
            follower = follow_new_run(commands, started)
            follow(follower, started, act_begins("diagnose/heartbeat"))
            started.send(signal.SIGHUP)
            follow(follower, started, act_begins("emergency/fence/methods/1"))
            started.send(signal.SIGINT)
            stopped = started.wait()
        run = follower.path.parent.name
        state = commands.fold(run)
        assert stopped.code == 130, str(stopped)
        assert f"drctl resume {run}" in stopped.out + stopped.err
        assert state.step("emergency/fence/methods/1").final is not None  # the running step was not torn
        assert not state.step("emergency/promote").began
        assert evidence.claims(lab) == []
        assert "Traceback" not in stopped.err

        with commands.resume(run) as again:
            people.writer = again
            follow(follower, again, act_begins("emergency/promote"))
            wait_until("the promotion has begun on its host", lambda: claims_on(lab, "inv-b") == 1)
            disturb(lab, "ssh:inv-b", "reset", 1.0)
            ended = again.wait()
        assert ended.code == 0, f"{ended} {people.unanswered}"
        recovered(lab, commands.fold(run))


def test_what_an_asynchronous_failover_lost_is_counted_and_then_given_back(commands: Commands) -> None:
    with running_lab(async_replication=True) as lab, People(commands) as people:
        serve(lab, 20)
        lab.edge("repl:inv-a", "stall")
        serve(lab, 30)
        lab.break_("primary-host")
        the_plan_shows_every_act(lab, commands)
        with commands.outage(lab.info.inventory) as started:
            people.writer = started
            follower = follow_new_run(commands, started)
            follow(follower, started, act_begins("emergency/promote"))
            disturb(lab, "ssh:inv-b", "stall", 3.0)
            follow(follower, started, step_ends("verify/healthy"))
            started.send(signal.SIGINT)
            stopped = started.wait()
        run = follower.path.parent.name
        assert stopped.code == 130, f"{stopped} {people.unanswered}"
        assert not commands.fold(run).step("verify/reenter/missing").began

        counted = lab.traffic("/audit")
        gone = numbers(lab, "tax", "/records") - numbers(lab, "gateway", "/invoices/export")
        assert counted["lost"] >= 1
        assert set(counted["lost_numbers"]) <= gone
        # What reached the tax authority, and was not acknowledged when the primary died: one request a user at most.
        assert 0 <= len(gone) - counted["lost"] <= 4

        with commands.resume(run) as again:
            people.writer = again
            ended = again.wait()
        assert ended.code == 0, f"{ended} {people.unanswered}"
        state = commands.fold(run)
        marks = {name: state.mark(name) for name in ("invoices_reentered", "invoices_missing")}
        assert {name: mark.value for name, mark in marks.items() if mark} == {
            "invoices_reentered": len(gone),
            "invoices_missing": 0,
        }
        recovered(lab, state)


def claims_on(lab: RunningLab, host: str) -> int:
    return sum(claim.host == host for claim in evidence.claims(lab))


def numbers(lab: RunningLab, where: str, path: str) -> set[str]:
    """The invoices somebody knows of."""
    status, rows = lab.http(f"{lab.info.data['urls'][where]}{path}")
    assert status == 200
    return {row["number"] for row in rows}


def the_plan_shows_every_act(lab: RunningLab, commands: Commands) -> None:
    """What would be done to which host, with which effect, by which command; and nothing is done."""
    claims, power = evidence.claims(lab), evidence.power(lab)
    done = commands.run("--output", "json", "plan", RUNBOOK, "--inventory", lab.info.inventory, "-i", "reporter=x")
    assert done.code == 0, str(done)
    rows = {row["path"]: row for row in json.loads(done.out)["rows"]}
    acts = {
        path: (row["place"], row["effect"])
        for path, row in rows.items()
        if row["effect"] != "read" and path.startswith("emergency")
    }
    assert acts == {
        "emergency/fence": ("inv-a", "once"),
        "emergency/fence/methods/0": ("inv-a", "idempotent"),
        "emergency/fence/methods/1": ("local", "idempotent"),
        "emergency/promote": ("inv-b", "once"),
        "emergency/alone": ("inv-b", "idempotent"),
        "emergency/switch": ("gw", "idempotent"),
    }
    assert all(rows[path]["text"] for path in acts if path != "emergency/fence")
    assert "pg_promote" in rows["emergency/promote"]["text"]
    assert (evidence.claims(lab), evidence.power(lab)) == (claims, power)
    assert evidence.sql(lab, "inv-b", "SELECT pg_is_in_recovery()") == "t"
